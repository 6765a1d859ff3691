"""Which results are not good enough, so that their rows are asked again?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.job import Job
    from runner.records import Result
    from runner.tally import Tally


class Retry:
    """Failed or poor answers to ask again, by kind, perhaps with other settings."""

    def __init__(self, kinds: Sequence[str], job: Job | None) -> None:
        self.kinds = tuple(kinds)
        self.job = job  # None: as the first time

    def may_take_from(self, tally: Tally) -> bool:
        """Whether any of the results that were added up there is asked again."""
        counts = {"failed": tally.failed, "length": tally.truncated, "empty": tally.empty}
        return any(counts.get(kind) or kind in tally.failures for kind in self.kinds)

    def missing_in(self, tally: Tally) -> list[str]:
        """The kinds that none of the results added up there is of."""
        return [kind for kind in self.kinds if not Retry([kind], None).may_take_from(tally)]

    def takes(self, result: Result) -> bool:
        """Whether a row with this result is asked again."""
        if result.error_type is not None:
            return "failed" in self.kinds or result.error_type in self.kinds
        if result.finish_reason == "length" and "length" in self.kinds:
            return True
        empty = not (result.completion or result.tool_calls)
        return empty and "empty" in self.kinds
