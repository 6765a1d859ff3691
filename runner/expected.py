"""What was this run said to cost? The estimate of before, kept to be compared with the bill."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import orjson

from runner.durable import replace_file
from runner.folder import run_folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from runner.estimate import Estimate
    from runner.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Expected:
    """The contents of estimate.json. Written before a run goes, or after its pilot."""

    first: int | None  # how many rows it is for, as -n says; None: all
    low: float  # money for all of these rows, those answered before included
    high: float
    currency: str
    by: str  # what it rests on, in words
    measured: bool  # on answers, not on assumptions
    # Of 1,000,000 tokens, where the person who asked gave prices of their own; None: the table's.
    price_input: float | None = None
    price_output: float | None = None

    @classmethod
    def of(
        cls,
        found: Estimate,
        first: int | None,
        *,
        paid: float = 0.0,
        price_input: float | None = None,
        price_output: float | None = None,
    ) -> Expected | None:
        """What an estimate says of its first model; None where the price is unknown.

        `paid`: for rows that are not part of the estimate, since they have their answer. The prices
        are those that it was made with, unless they are the table's.
        """
        model = found.models[0]
        if model.money is None:
            return None
        total = model.money.total
        return cls(
            first,
            total.low + paid,
            total.high + paid,
            model.money.currency,
            model.output_source,
            found.measured is not None,
            price_input,
            price_output,
        )

    def to_json(self) -> dict[str, Any]:
        """For the summary."""
        own = {"price_input": self.price_input, "price_output": self.price_output}
        return {
            "low": round(self.low, 9),
            "high": round(self.high, 9),
            "currency": self.currency,
            "by": self.by,
            **(own if self.price_input is not None else {}),
        }


def remember(folder: RunFolder, new: Expected | None) -> Expected | None:
    """Keep an estimate in the run folder, unless a better one is there; the one that holds."""
    old = _read(folder.estimate)
    if new is None or (old is not None and not _is_better(new, old)):
        return old
    replace_file(folder.estimate, orjson.dumps(asdict(new), option=orjson.OPT_INDENT_2) + b"\n")
    return new


def keep_estimate(
    name: str,
    found: Estimate,
    *,
    price_input: float | None = None,
    price_output: float | None = None,
) -> None:
    """Keep the estimate that followed from a run's own answers. Raises MachineFault.

    The prices are those that it was made with, unless they are the table's.
    """
    folder, _ = run_folder_of(name)
    first = folder.read_run().job.first
    remember(
        folder,
        Expected.of(found, first, price_input=price_input, price_output=price_output),
    )


def _is_better(new: Expected, old: Expected) -> bool:
    """The first of the same kind holds: a later one has seen part of the bill."""
    return new.first != old.first or (new.measured and not old.measured)


def _read(path: Path) -> Expected | None:
    try:
        data = orjson.loads(path.read_bytes())
        names = [field.name for field in fields(Expected) if field.name in data]
        return Expected(**{name: data[name] for name in names})
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return None
