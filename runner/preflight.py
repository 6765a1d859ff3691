"""What is checked before anything is sent: whatever can be refused is refused here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from runner.dataset import open_dataset
from runner.errors import JobError
from runner.output import output_schema
from runner.pacing import choose_limits
from runner.prices import cost_pico
from runner.providers import Providers, read_key
from runner.template import compile_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.dataset import Dataset
    from runner.job import Job
    from runner.pacing import ChosenLimits
    from runner.providers import Endpoint, Key, ModelFacts
    from runner.records import Request, Usage
    from runner.template import Template

# A rehearsal's key: the stand-in server takes any.
REHEARSAL_KEY = "sk-rehearsal"


class Prices:
    """Money for usage at one endpoint, whatever models the rows name."""

    def __init__(
        self, facts_of: Callable[[str], ModelFacts], model: str, params: Mapping[str, Any]
    ) -> None:
        self._facts_of = facts_of
        self._params = params
        price = facts_of(model).price
        self.currency = price.currency if price is not None else None

    def cost_pico(self, request: Request, usage: Usage, *, reasoned: bool) -> int | None:
        """What one attempt cost, in 1e-12 of `currency`; None where the price is unknown."""
        facts = self._facts_of(request.model)
        if facts.price is None or facts.price.currency != self.currency:
            return None
        return cost_pico(usage, facts.price, thinking=reasoned or facts.thinks(self._params))


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

    @property
    def end(self) -> int | None:
        """Where reading ends at the latest; None: wherever the dataset does."""
        ends = [end for end in (self.total_rows, self.job.first) if end is not None]
        return min(ends, default=None)

    @property
    def rows(self) -> int | None:
        """Rows in scope; None while the dataset's length is unknown."""
        return self.end if self.total_rows is not None else None

    def read_key(self) -> Key:
        """The API key, from where the job says. Raises JobError."""
        return read_key(self.job, self.endpoint, os.environ)


def prepare(job: Job, paths: Sequence[str], *, providers_file: str | None = None) -> Preflight:
    """Open the dataset and check the job against it. Raises JobError or DatasetError."""
    providers = Providers.load(providers_file)
    endpoint = providers.endpoint(job)
    dataset = open_dataset(paths, csv_delimiter=job.csv_delimiter, csv_encoding=job.csv_encoding)
    names = dataset.schema.names
    job = job.model_copy(update={"id_column": _id_column(job, names)})
    template = compile_template(job, names, default_model=endpoint.default_model)
    inputs = _kept(job, dataset.schema)
    output_schema(inputs, job.prefix)  # raises on a clash of names

    @cache
    def facts_of(model: str) -> ModelFacts:
        return providers.model(endpoint, model)

    facts = facts_of(job.model or endpoint.default_model or "")
    stream = facts.must_stream(job.params) if job.stream is None else job.stream
    limits = choose_limits(job.limits, facts)
    total_rows = dataset.total_rows
    return Preflight(
        job, dataset, inputs, template, endpoint, facts, facts_of, limits, stream, total_rows
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
    return pa.schema([schema.field(name) for name in job.keep])
