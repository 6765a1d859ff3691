"""Is it this row, or is it everybody? Outages, dead silence and closed doors, told from bad rows.

An outage: connection failures or 5xx answers from OUTAGE_ROWS distinct rows without an answer
between; where fewer are left, from all of them, if they are as many as the caller asks for.
Everybody waits, one row probes, nobody's attempts are used up. Timeouts are no outage, since each
may be billed: when nothing else comes from SILENT_ROWS distinct rows, the run stops. Likewise when
the first answers, of as many rows, all break off.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.counted import counted
from runner.errors import ProviderStopped

if TYPE_CHECKING:
    from runner.records import Verdict

OUTAGE_ROWS = 8  # distinct rows; fewer could all be poison
SILENT_ROWS = 20  # distinct rows; each may be billed, but some answers just take long
PROBE_FIRST_S = 1.0
PROBE_MOST_S = 10.0  # what a long outage's end may be late by; one request, of all that wait


class Health:
    """What the attempts of all rows together say about the endpoint."""

    def __init__(self, *, max_outage_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_outage_s = max_outage_s
        self._failed_rows: set[int] = set()  # since the last answer
        self._failing_since_s = 0.0
        self._silent_rows: set[int] = set()  # timed out since the last answer
        self._cut_rows: set[int] = set()  # before the first success, not answered whole
        self._throttled_since_s: float | None = None
        self._news = asyncio.Event()  # replaced each time it is set: it wakes who waits now
        self._probing = False
        self._probe_wait_s = PROBE_FIRST_S
        self._opened = False
        self._still_since_s: float | None = None  # paused since
        self._still_s = 0.0  # in earlier pauses
        self.is_outage = False  # everybody waits for the endpoint to come back
        self.succeeded_once = False

    @property
    def is_probing(self) -> bool:
        """Whether, in an outage, a row has been found that probes."""
        return self._probing

    @property
    def outage_s(self) -> float:
        """How long the endpoint has not answered anyone."""
        return self._now_s() - self._failing_since_s if self._failed_rows else 0.0

    @property
    def is_well(self) -> bool:
        """Whether another reply would tell nothing new."""
        troubled = self._failed_rows or self._silent_rows or self.is_outage
        return self.succeeded_once and not troubled and self._throttled_since_s is None

    def success(self) -> None:
        """A reply came: the endpoint is well."""
        self.succeeded_once = True
        self.answered()

    def answered(self) -> None:
        """A reply came, or an error that only a working endpoint sends; an outage is over."""
        self._throttled_since_s = None
        self._end_outage()

    def _end_outage(self) -> None:
        self._silent_rows.clear()
        self._failed_rows.clear()
        if self.is_outage:
            self.is_outage = False
            self._probe_wait_s = PROBE_FIRST_S
            self._tell()

    def failure(self, row: int, *, rows_left: int | None, least: int = 2) -> bool:
        """Note a failure that may be an outage's; true when an outage has just been declared.

        `rows_left`: rows without a result once all have been read, None before. `least`: how many
        distinct rows it takes at the least, where fewer than OUTAGE_ROWS are left.
        """
        if not self._failed_rows:
            self._failing_since_s = self._now_s()
        self._failed_rows.add(row)
        if self.is_outage or self._opened:
            return False
        self.is_outage = len(self._failed_rows) >= _enough(OUTAGE_ROWS, rows_left, least)
        return self.is_outage

    def timed_out(self, row: int, *, rows_left: int | None) -> ProviderStopped | None:
        """Note a timeout; the stop, when nothing else has come from so many rows.

        While an answer has been seen, a few last rows that take too long are only that.
        """
        self._silent_rows.add(row)
        enough = SILENT_ROWS if self.succeeded_once else _enough(SILENT_ROWS, rows_left)
        if len(self._silent_rows) < enough:
            return None
        return ProviderStopped(
            f"{len(self._silent_rows)} rows in a row got no answer in time, and each may have been "
            f"billed; raise --timeout, or lower --concurrency, then resume",
            mend="--timeout SECONDS",
        )

    def cut_short(self, row: int, verdict: Verdict) -> ProviderStopped | None:
        """Note an answer that did not come whole; the stop, when none has, of so many rows."""
        if self.succeeded_once:
            return None
        self._cut_rows.add(row)
        return none_whole(SILENT_ROWS, verdict) if len(self._cut_rows) >= SILENT_ROWS else None

    def throttled(self) -> ProviderStopped | None:
        """Note a throttle answer; the stop, when there has been nothing else for too long."""
        self._end_outage()
        now_s = self._now_s()
        if self._throttled_since_s is None:
            self._throttled_since_s = now_s
        if now_s - self._throttled_since_s <= self._max_outage_s:
            return None
        return ProviderStopped(
            f"the provider has answered nothing but 'too many requests' for "
            f"{self._max_outage_s:.0f} s; lower --qps or --tpm, or ask it for a higher limit, then "
            f"resume (--max-outage sets how long to try)"
        )

    def stand_still(self) -> None:
        """The run is paused: from here on time does not count against the endpoint."""
        self._still_since_s = self._loop.time()

    def move_on(self) -> None:
        """The pause is over."""
        if self._still_since_s is not None:
            self._still_s += self._loop.time() - self._still_since_s
            self._still_since_s = None

    def _now_s(self) -> float:
        """Time on a clock that stands still while the run is paused."""
        now_s = self._loop.time() if self._still_since_s is None else self._still_since_s
        return now_s - self._still_s

    def give_up(self, *, last: str) -> ProviderStopped | None:
        """The stop, when the outage has lasted longer than allowed. `last`: what came last."""
        if not self.is_outage or self.outage_s <= self._max_outage_s:
            return None
        return ProviderStopped(
            f"the endpoint has not answered for {self.outage_s:.0f} s (--max-outage "
            f"{self._max_outage_s:.0f}), last: {last}. Check it, then resume the run"
        )

    async def admit(self) -> bool:
        """Return at once while all is well; in an outage, when it is over or as its next probe.

        True for a probe, which must be followed by `probed`.
        """
        while self.is_outage and not self._opened:
            if self._probing:
                await self._news.wait()
            elif await self._take_probe():
                return True
        return False

    async def _take_probe(self) -> bool:
        """Wait until the next probe is due; false when the outage has ended before."""
        self._probing = True
        # The last probe comes when the outage has lasted as long as it may.
        left_s = max(0.0, self._max_outage_s - self.outage_s) + 0.001
        try:
            async with asyncio.timeout(min(self._probe_wait_s, left_s)):
                await self._news.wait()
        except TimeoutError:
            return True
        except asyncio.CancelledError:
            self._let_next_probe()
            raise
        self._probing = False
        return False

    def probed(self) -> None:
        """The probe has ended, whatever it brought; if the outage goes on, the next one may."""
        if self.is_outage:
            self._probe_wait_s = min(self._probe_wait_s * 2, PROBE_MOST_S)
        self._let_next_probe()

    def _let_next_probe(self) -> None:
        self._probing = False
        # Somebody else takes over: the prober may have no further turn.
        self._tell()

    def _tell(self) -> None:
        """Wake everyone who waits, to look again."""
        self._news.set()
        self._news = asyncio.Event()

    def open(self) -> None:
        """Stop holding anyone back: the run is stopping and they will not send."""
        self._opened = True
        self._tell()


def none_whole(rows: int, verdict: Verdict) -> ProviderStopped:
    """The stop when not one of so many rows was answered whole; `verdict` on one of them."""
    return ProviderStopped(
        f"no answer came whole, in {counted(rows, 'row')}: {verdict.with_hint}. Each may have been "
        f"billed, and the rows stay pending; resume the run when that is mended",
        mend=verdict.mend,
    )


def _enough(most: int, rows_left: int | None, least: int = 2) -> int:
    """So many distinct rows, or all that are left, if they are not fewer than `least`."""
    return most if rows_left is None else min(most, max(least, rows_left))
