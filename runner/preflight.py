"""What is checked before anything is sent: whatever can be refused is refused here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from runner.dataset import open_dataset
from runner.job_checks import check_job, id_column_of, kept_columns, models_from_column
from runner.output import output_schema
from runner.pacing import choose_limits
from runner.providers import Providers, read_key, row_check
from runner.template import compile_template
from runner.verdict import is_dashscope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from runner.dataset import Dataset
    from runner.job import Job
    from runner.pacing import ChosenLimits
    from runner.providers import Endpoint, Key, ModelFacts, ParameterTable
    from runner.template import Template

_STUDIO = "model-studio"


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
        check_job(job, template, facts, self.parameters, streamed=self.stream)
        return template


def prepare(job: Job, paths: Sequence[str], *, providers_file: str | None = None) -> Preflight:
    """Open the dataset and check the job against it. Raises JobError or DatasetError."""
    providers = Providers.load(providers_file)
    endpoint = providers.endpoint(job)
    dataset = open_dataset(paths, csv_delimiter=job.csv_delimiter, csv_encoding=job.csv_encoding)
    names = dataset.schema.names
    job = job.model_copy(update={"id_column": id_column_of(job, names)})
    inputs = kept_columns(job, dataset.schema)
    output_schema(inputs, job.prefix)  # raises on a clash of names

    @cache
    def facts_of(model: str) -> ModelFacts:
        return providers.model(endpoint, model)

    facts = facts_of(job.model or endpoint.default_model or "")
    stream = facts.must_stream(job.fixed_params) if job.stream is None else job.stream
    parameters = providers.parameters(endpoint, dashscope=_is_dashscope(endpoint))
    check = row_check(parameters, facts_of, streamed=stream)
    template = compile_template(job, names, default_model=endpoint.default_model, check=check)
    found = check_job(job, template, facts, parameters, streamed=stream)
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
        notes=found.notes + models_from_column(job, facts),
    )


def _is_dashscope(endpoint: Endpoint) -> bool:
    # A region named beside an address of one's own says what the address leads to.
    by_region = endpoint.provider == _STUDIO and endpoint.region is not None
    return by_region or is_dashscope(endpoint.base_url)
