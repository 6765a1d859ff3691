"""What comes after an estimate: the command that really asks, with the same flags."""

from __future__ import annotations

from jobs.as_given import as_given

# Flags that `generate` does not have, and a yes to the pilot, which is none to all rows.
_ONLY_HERE = frozenset(
    {"output_tokens", "sample", "tokenizer", "price_input", "price_output", "latency", "as_json"}
    | {"pilot", "yes"}
)


def generate_command() -> str:
    """`penstock generate` with the same dataset and flags; of several models with the first."""
    return as_given("generate", leave_out=_ONLY_HERE, first_alone=frozenset({"models"}))
