"""What comes after an estimate: the command that really asks, with the same flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.as_given import as_given

if TYPE_CHECKING:
    from runner import Measured

# Flags that `generate` does not have, and a yes to the pilot, which is none to all rows.
_ONLY_HERE = frozenset(
    {"output_tokens", "sample", "tokenizer", "price_input", "price_output", "latency", "as_json"}
    | {"pilot", "yes"}
)


def generate_command(measured: Measured | None, *, rehearse: bool) -> str:
    """`penstock generate` with the same dataset and flags; of several models with the first.

    It goes on with the run that was measured where it can, and else begins another.
    """
    other = measured is not None and not (measured.of_dataset and measured.rehearsal == rehearse)
    leave_out = _ONLY_HERE | ({"output"} if other else set())
    return as_given("generate", leave_out=leave_out, first_alone=frozenset({"models"}))
