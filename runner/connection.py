"""Where do requests go: to the provider, or to a stand-in server started for this run alone?"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from runner.client import Client
from runner.simulator import SimulatorSettings, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.preflight import Preflight
    from runner.providers import Key

_REHEARSAL_KEY: Final = "sk-rehearsal"  # the stand-in server takes any
# Answers take this long, from and to, so that a rehearsal feels like the real thing without
# taking its time.
_LATENCY_S: Final = (0.1, 0.6)


@asynccontextmanager
async def connect(flight: Preflight, key: Key | None) -> AsyncIterator[Client]:
    """The client of a run. Without a key it talks to a stand-in server under the run's own limits.

    Raises JobError for a way to the endpoint that cannot work.
    """
    job, limits = flight.job, flight.limits
    async with AsyncExitStack() as stack:
        base_url = flight.endpoint.base_url
        if key is None:
            server = await stack.enter_async_context(serve(_stand_in(flight)))
            base_url = server.base_url
        client = Client(
            base_url,
            key.reveal() if key is not None else _REHEARSAL_KEY,
            stream=flight.stream,
            concurrency=limits.workers,
            timeout_s=job.limits.timeout_s,
            ca_file=job.ca_file,
            wait_timeout_s=job.wait_timeout_s,
        )
        yield await stack.enter_async_context(client)


def _stand_in(flight: Preflight) -> SimulatorSettings:
    limits = flight.limits
    return SimulatorSettings(
        # It counts by model, under the same limits for each: no use where each has its own.
        qps=None if flight.names_models else limits.per_second,
        tpm=None if flight.names_models else limits.tokens_per_minute,
        latency_s=_LATENCY_S,
    )
