"""Is it this row, or is it everybody? Outages and wrong configurations, told from bad rows.

An outage: connection failures or 5xx answers from OUTAGE_ROWS distinct rows, or from all that are
left if more than one, without a success between. Everybody waits, one row probes, nobody's
attempts are used up. A wrong configuration: the first CONFIG_ROWS distinct rows, or all of them,
refused for the configuration's sake before any success.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from runner.errors import ProviderStopped

OUTAGE_ROWS = 8  # distinct rows; fewer could all be poison
CONFIG_ROWS = 20  # distinct rows; enough to know that it is not the data
PROBE_FIRST_S = 1.0
PROBE_MOST_S = 30.0  # an outage of hours is probed twice a minute


@dataclass(slots=True)
class _Trouble:
    since: float  # loop time of the first failure
    rows: set[int] = field(default_factory=set)


class Health:
    """What the attempts of all rows together say about the endpoint."""

    def __init__(self, *, max_outage_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_outage_s = max_outage_s
        self._trouble: _Trouble | None = None
        self._throttled_since: float | None = None
        self._clear = asyncio.Event()
        self._clear.set()
        self._probing = False
        self._probe_wait_s = PROBE_FIRST_S
        self.succeeded_once = False

    @property
    def is_outage(self) -> bool:
        """Whether everybody waits for the endpoint to come back."""
        return not self._clear.is_set()

    @property
    def outage_s(self) -> float:
        """How long the endpoint has not answered anyone."""
        return self._loop.time() - self._trouble.since if self._trouble else 0.0

    def success(self) -> None:
        """An answer came: the endpoint is well."""
        self.succeeded_once = True
        self._throttled_since = None
        if self._trouble is not None:
            self._trouble = None
            self._probe_wait_s = PROBE_FIRST_S
            self._clear.set()

    def answered(self) -> None:
        """An error came that only a working endpoint sends; an outage is over, if there was one."""
        if self._trouble is not None:
            self._trouble = None
            self._probe_wait_s = PROBE_FIRST_S
            self._clear.set()

    def failure(self, row: int, *, rows_left: int | None) -> bool:
        """Note a failure that may be an outage's; true when an outage has just been declared.

        `rows_left`: rows without a result once all have been read, None before.
        """
        if self._trouble is None:
            self._trouble = _Trouble(self._loop.time())
        self._trouble.rows.add(row)
        if self.is_outage:
            self._probe_wait_s = min(self._probe_wait_s * 2, PROBE_MOST_S)
            return False
        needed = OUTAGE_ROWS if rows_left is None else min(OUTAGE_ROWS, max(2, rows_left))
        if len(self._trouble.rows) >= needed:
            self._clear.clear()
            return True
        return False

    def throttled(self) -> ProviderStopped | None:
        """Note a throttle answer; the stop, when there has been nothing else for too long."""
        now = self._loop.time()
        if self._throttled_since is None:
            self._throttled_since = now
        if now - self._throttled_since <= self._max_outage_s:
            return None
        return ProviderStopped(
            f"the provider has answered nothing but 'too many requests' for "
            f"{self._max_outage_s:.0f} s; lower --qps or --tpm, or ask it for a higher limit, then "
            f"resume (--max-outage sets how long to try)"
        )

    def give_up(self) -> ProviderStopped | None:
        """The stop, when the outage has lasted longer than allowed."""
        if not self.is_outage or self.outage_s <= self._max_outage_s:
            return None
        return ProviderStopped(
            f"the endpoint has not answered for {self.outage_s:.0f} s (--max-outage "
            f"{self._max_outage_s:.0f}); check it, then resume the run"
        )

    async def admit(self) -> bool:
        """Return at once while all is well; in an outage, when it is over or as its next probe.

        True for a probe, which must be followed by `probed`.
        """
        while self.is_outage:
            if not self._probing:
                self._probing = True
                try:
                    async with asyncio.timeout(self._probe_wait_s):
                        await self._clear.wait()
                except TimeoutError:
                    return True
                except asyncio.CancelledError:
                    self._probing = False
                    raise
                self._probing = False
            else:
                await self._clear.wait()
        return False

    def probed(self) -> None:
        """The probe has ended, whatever it brought."""
        self._probing = False

    def open(self) -> None:
        """Stop holding anyone back: the run is stopping and they will not send."""
        self._clear.set()
