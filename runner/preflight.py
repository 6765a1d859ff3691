"""What is checked before anything is sent: whatever can be refused is refused here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from runner.dataset import open_dataset
from runner.errors import JobError
from runner.notation import parse_money
from runner.output import output_schema
from runner.pacing import choose_limits
from runner.prices import cost_pico
from runner.providers import Providers, check_params, read_key, row_check
from runner.template import compile_template
from runner.verdict import is_dashscope
from runner.worst_case import check_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.dataset import Dataset
    from runner.job import Job
    from runner.pacing import ChosenLimits
    from runner.providers import Endpoint, Findings, Key, ModelFacts, ParameterTable
    from runner.records import Request, Usage
    from runner.template import Template

_STUDIO = "model-studio"
_SAYS_THINKING = b'"enable_thinking":'


class Prices:
    """Money for usage at one endpoint, whatever models the rows name."""

    def __init__(
        self, facts_of: Callable[[str], ModelFacts], model: str, params: Mapping[str, Any]
    ) -> None:
        self._facts_of = facts_of
        self._params = params
        own = "enable_thinking" in params.get("from_columns", {})
        self._rows_may_say = own or "enable_thinking" not in params
        price = facts_of(model).price
        self.currency = price.currency if price is not None else None

    def cost_pico(self, request: Request, usage: Usage, *, reasoned: bool) -> int | None:
        """What one attempt cost, in 1e-12 of `currency`; None where the price is unknown."""
        facts = self._facts_of(request.model)
        if facts.price is None or facts.price.currency != self.currency:
            return None
        thinking = reasoned or facts.thinks(self._params_of(request))
        return cost_pico(usage, facts.price, thinking=thinking)

    def _params_of(self, request: Request) -> Mapping[str, Any]:
        """The job's parameters, or the row's own where they say whether the model thinks."""
        if self._rows_may_say and _SAYS_THINKING in request.body:
            own: dict[str, Any] = orjson.loads(request.body)
            return own
        return self._params


@dataclass(frozen=True, slots=True)
class Preflight:
    """A job that may begin. Made by `prepare`, consumed by `run` and `estimate`."""

    job: Job  # its model and, where it matters, its streaming now explicit
    dataset: Dataset
    inputs: pa.Schema  # the input columns that the output keeps
    template: Template
    endpoint: Endpoint
    facts: ModelFacts  # of the job's model
    facts_of: Callable[[str], ModelFacts]  # of any model a row may name
    limits: ChosenLimits
    stream: bool
    total_rows: int | None  # of the dataset; None until it has been read to its end
    parameters: ParameterTable  # what may be sent to the endpoint
    warnings: tuple[str, ...] = ()  # of the parameters, for the person who starts the run
    notes: tuple[str, ...] = ()  # likewise, worth knowing

    @property
    def end(self) -> int | None:
        """Where reading ends at the latest; None: wherever the dataset does."""
        ends = [end for end in (self.total_rows, self.job.first) if end is not None]
        return min(ends, default=None)

    @property
    def rows(self) -> int | None:
        """Rows in scope; None while the dataset's length is unknown."""
        return self.end if self.total_rows is not None else None

    @property
    def dashscope(self) -> bool:
        """Whether the endpoint is Model Studio, whatever stands in between."""
        return _is_dashscope(self.endpoint)

    @property
    def names_models(self) -> bool:
        """Whether rows may name models of their own."""
        by_body = self.template.whole_requests and self.job.model is None
        return by_body or "model" in self.job.column_params

    def own_limits(self, model: str) -> ChosenLimits | None:
        """The limits that a model has by itself; None where they are those of the job's model.

        Models of which nothing is known share those too: together they offend no one.
        """
        facts = self.facts_of(model)
        if model == self.facts.name or (facts.rpm is None and facts.tpm is None):
            return None
        return choose_limits(self.job.limits, facts)

    def read_key(self) -> Key:
        """The API key, from where the job says. Raises JobError."""
        return read_key(self.job, self.endpoint, os.environ)

    def template_for(self, job: Job) -> Template:
        """The template of a job that differs in what it asks. Raises JobError."""
        columns, default = self.dataset.schema.names, self.endpoint.default_model
        check = row_check(self.parameters, self.facts_of, streamed=self.stream)
        template = compile_template(job, columns, default_model=default, check=check)
        facts = self.facts_of(job.model or default or "")
        _check(job, template, facts, self.parameters, streamed=self.stream)
        return template


def prepare(job: Job, paths: Sequence[str], *, providers_file: str | None = None) -> Preflight:
    """Open the dataset and check the job against it. Raises JobError or DatasetError."""
    providers = Providers.load(providers_file)
    endpoint = providers.endpoint(job)
    dataset = open_dataset(paths, csv_delimiter=job.csv_delimiter, csv_encoding=job.csv_encoding)
    names = dataset.schema.names
    job = job.model_copy(update={"id_column": _id_column(job, names)})
    inputs = _kept(job, dataset.schema)
    output_schema(inputs, job.prefix)  # raises on a clash of names

    @cache
    def facts_of(model: str) -> ModelFacts:
        return providers.model(endpoint, model)

    facts = facts_of(job.model or endpoint.default_model or "")
    stream = facts.must_stream(job.fixed_params) if job.stream is None else job.stream
    parameters = providers.parameters(endpoint, dashscope=_is_dashscope(endpoint))
    check = row_check(parameters, facts_of, streamed=stream)
    template = compile_template(job, names, default_model=endpoint.default_model, check=check)
    found = _check(job, template, facts, parameters, streamed=stream)
    if not template.whole_requests:
        # Written into run.json, so that another default of a later version mixes no models.
        job = job.model_copy(update={"model": facts.name})
    return Preflight(
        job,
        dataset,
        inputs,
        template,
        endpoint,
        facts,
        facts_of,
        choose_limits(job.limits, facts),
        stream,
        dataset.total_rows,
        parameters,
        warnings=found.warnings,
        notes=found.notes + _models_from_column(job, facts),
    )


def _models_from_column(job: Job, facts: ModelFacts) -> tuple[str, ...]:
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


def _is_dashscope(endpoint: Endpoint) -> bool:
    # A region named beside an address of one's own says what the address leads to.
    by_region = endpoint.provider == _STUDIO and endpoint.region is not None
    return by_region or is_dashscope(endpoint.base_url)


def _check(
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


def _id_column(job: Job, names: Sequence[str]) -> str | None:
    if job.id_column is None:
        return "custom_id" if "custom_id" in names and "body" in names else None
    if job.id_column not in names:
        raise JobError(
            f"--id-column {job.id_column}: the dataset has no such column; it has: "
            f"{', '.join(names)}"
        )
    return job.id_column


def _kept(job: Job, schema: pa.Schema) -> pa.Schema:
    if job.keep is None:
        return schema
    missing = [name for name in job.keep if name not in schema.names]
    if missing:
        raise JobError(
            f"--keep {','.join(missing)}: the dataset has no such column; it has: "
            f"{', '.join(schema.names)}"
        )
    return pa.schema([schema.field(name) for name in dict.fromkeys(job.keep)])
