"""Does the job fit the dataset's columns, and what the provider takes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from runner.errors import JobError
from runner.notation import parse_money
from runner.providers import check_params
from runner.worst_case import check_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.job import Job
    from runner.providers import Findings, ModelFacts, ParameterTable
    from runner.template import Template


def check_job(
    job: Job, template: Template, facts: ModelFacts, table: ParameterTable, *, streamed: bool
) -> Findings:
    """What is to be said of the job's parameters. Raises JobError if they would be refused."""
    _check_budget(job, template, facts, table)
    columns = list(job.column_params)
    if template.whole_requests and job.model is None:
        columns.append("model")
    found = check_params(
        job.fixed_params,
        facts,
        table,
        streamed=streamed,
        says_json=template.says_json,
        from_columns=columns,
        whole_requests=template.whole_requests,
    )
    if found.refusals:
        raise JobError(
            "the provider would refuse this job (--param; job file: params):\n  "
            + "\n  ".join(found.refusals)
            + "\nWhere such a rule no longer holds, a file for --providers lifts it: "
            f'[{table.name}.parameters] NAME = {{ level = "off" }}, or [{table.name}.rules]'
        )
    return found


def _check_budget(job: Job, template: Template, facts: ModelFacts, table: ParameterTable) -> None:
    """Raise JobError for a budget that could not be kept."""
    cost = job.limits.max_cost
    if cost is None and job.limits.max_total_tokens is None:
        return
    if cost is not None and facts.price is not None:
        currency = parse_money(cost)[1]
        if currency not in {None, facts.price.currency}:
            raise JobError(
                f"--max-cost {cost}: the prices of {facts.name} are in {facts.price.currency} here,"
                f" and nothing is converted; give the budget in {facts.price.currency}"
            )
    check_bounds(
        job.fixed_params,
        job.column_params,
        facts,
        table,
        flag=f"--max-cost {cost}" if cost else f"--max-total-tokens {job.limits.max_total_tokens}",
        money=cost is not None,
        whole_requests=template.whole_requests,
    )


def id_column_of(job: Job, names: Sequence[str]) -> str | None:
    """The column that identifies a row, if there is one. Raises JobError."""
    if job.id_column is None:
        return "custom_id" if "custom_id" in names and "body" in names else None
    if job.id_column not in names:
        raise JobError(
            f"--id-column {job.id_column}: the dataset has no such column; it has: "
            f"{', '.join(names)}"
        )
    return job.id_column


def kept_columns(job: Job, schema: pa.Schema) -> pa.Schema:
    """The input columns that the output keeps. Raises JobError."""
    if job.keep is None:
        return schema
    missing = [name for name in job.keep if name not in schema.names]
    if missing:
        raise JobError(
            f"--keep {','.join(missing)}: the dataset has no such column; it has: "
            f"{', '.join(schema.names)}"
        )
    return pa.schema([schema.field(name) for name in dict.fromkeys(job.keep)])


def models_from_column(job: Job, facts: ModelFacts) -> tuple[str, ...]:
    """What to know where each row names its model."""
    column = job.column_params.get("model")
    if column is None:
        return ()
    usual = f"{facts.name} where it is empty" if facts.name else "a row without one fails"
    note = f"each row's model is in the column {column} ({usual}); {_whose_limits(job)}"
    return (note,)


def _whose_limits(job: Job) -> str:
    settings = job.limits
    if settings.tpm is not None and (settings.qps is not None or settings.rpm is not None):
        return "all share the limits that were set"
    return (
        "each keeps to its own limits in the provider tables; --qps, --rpm and --tpm are for all "
        "together"
    )
