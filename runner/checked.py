"""Do key, region, address, proxy and model work? One free call tells; nothing is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.client import Client
from runner.errors import (
    AnsweredError,
    AttemptFailed,
    IncompleteReply,
    JobError,
    TimedOut,
    Untrusted,
)
from runner.providers import Providers, read_key
from runner.verdict import is_dashscope, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.job import Job
    from runner.providers import Endpoint

_TIMEOUT_S = 30.0  # as long as the client waits for a listing
_LISTED = 20  # model names in a text; the JSON has all


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at. Made by `check_endpoint`, shown by the command."""

    name: str
    ok: bool | None  # None: a note, neither good nor bad
    text: str


@dataclass(slots=True)
class Checked:
    """What `check_endpoint` found, in the order in which it looked."""

    steps: list[Step] = field(default_factory=list)
    models: list[str] | None = None  # that the endpoint lists; None: it was not told
    exit_status: int = 0

    def add(self, name: str, text: str, *, ok: bool | None = True) -> None:
        """Note a step."""
        self.steps.append(Step(name, ok, text))

    def fail(self, name: str, text: str, exit_status: int) -> None:
        """Note the step that ends the check."""
        self.add(name, text, ok=False)
        self.exit_status = exit_status

    def to_json(self) -> dict[str, Any]:
        """The documented keys of `check --json`."""
        return {
            "ok": self.exit_status == 0,
            "exit_status": self.exit_status,
            "steps": [{"step": one.name, "ok": one.ok, "text": one.text} for one in self.steps],
            "models": self.models,
        }


async def check_endpoint(
    job: Job, environ: Mapping[str, str], *, providers_file: str | None = None
) -> Checked:
    """Look at each thing in turn, up to the first that fails. Raises nothing of ours."""
    found = Checked()
    step = "address"
    try:
        providers = Providers.load(providers_file)
        endpoint = providers.endpoint(job)
        region = f"region {endpoint.region}" if endpoint.region else "no region of the tables"
        found.add(step, f"{endpoint.base_url} ({endpoint.provider}, {region})")
        step = "key"
        key = read_key(job, endpoint, environ)
        place = f"the file {job.api_key_file}" if job.api_key_file else endpoint.api_key_env
        found.add(step, f"found in {place}")
        step = "way out"
        client = Client(
            endpoint.base_url,
            key.reveal(),
            stream=False,
            concurrency=1,
            timeout_s=_TIMEOUT_S,
            ca_file=job.ca_file,
        )
        found.add(step, str(client.way_out))
    except JobError as error:
        found.fail(step, str(error), JobError.exit_status)
        return found
    try:
        async with client:
            found.models = await client.list_models()
    except AttemptFailed as error:
        _tell_failure(found, error, endpoint, providers.regions(endpoint.provider))
    else:
        _tell_reached(found, endpoint)
        found.add("key accepted", f"by {_host(endpoint)}")
    if found.exit_status == 0:
        _tell_model(found, job, endpoint, providers)
    return found


def _host(endpoint: Endpoint) -> str:
    return urlsplit(endpoint.base_url).hostname or endpoint.base_url


def _tell_reached(found: Checked, endpoint: Endpoint) -> None:
    if urlsplit(endpoint.base_url).scheme == "https":
        found.add("TLS", f"the certificate of {_host(endpoint)} is trusted")
    else:
        found.add("TLS", "none: the address is http://, so the key travels in the clear", ok=None)


def _tell_failure(
    found: Checked, error: AttemptFailed, endpoint: Endpoint, regions: list[str]
) -> None:
    verdict = judge(error, dashscope=not endpoint.custom or is_dashscope(endpoint.base_url))
    text = f"{verdict.message} ({verdict.hint})" if verdict.hint else verdict.message
    if isinstance(error, Untrusted):
        found.fail("TLS", text, 3)
        return
    # A proxy that lets nothing through answers too, and is no endpoint.
    if not isinstance(error, AnsweredError | IncompleteReply) or verdict.error_type == "connection":
        found.fail("connection", str(error) if isinstance(error, TimedOut) else text, 3)
        return
    _tell_reached(found, endpoint)
    if endpoint.custom and verdict.error_type in {"config", "incomplete"}:
        # Gateways need not have a listing; whether the address is right, the first row will tell.
        note = (
            f"cannot be told without asking: there is no list of models at this address. If rows "
            f"are refused too, check --base-url ({text})"
        )
        found.add("key accepted", note, ok=None)
        return
    if verdict.error_type == "key" and endpoint.region is not None:
        others = ", ".join(name for name in regions if name != endpoint.region)
        text += f". This was {endpoint.region}; the other regions: {others or 'none'}"
    found.fail("key accepted", text, 3)


def _tell_model(found: Checked, job: Job, endpoint: Endpoint, providers: Providers) -> None:
    name = job.model or endpoint.default_model
    if name is None:
        listed = ", ".join((found.models or [])[:_LISTED]) or "nothing"
        found.add("model", f"none named; give one with -m/--model. Listed: {listed}", ok=None)
        return
    for warning in providers.model(endpoint, name).warnings:
        found.add("model", warning, ok=None)
    if not found.models:
        found.add("model", f"{name}: the endpoint lists no models, so only a row can tell", ok=None)
    elif name in found.models:
        found.add("model", f"{name} is listed, among {len(found.models):,}")
    else:
        listed = ", ".join(found.models[:_LISTED])
        more = f" and {len(found.models) - _LISTED:,} more" if len(found.models) > _LISTED else ""
        text = f"{name} is not listed, which need not mean that it is refused. Listed: "
        found.add("model", f"{text}{listed}{more}", ok=None)
