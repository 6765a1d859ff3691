"""Which address does a job go to, and what is known there? Providers, regions, models.

The figures stand in `providers.toml`. Nothing here is a whitelist: an unknown model only has no
limits and no price.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.errors import JobError
from runner.providers.models import ModelFacts, facts_of, limits_of
from runner.providers.parameters import ParameterTable
from runner.providers.price_list import price_of
from runner.providers.tables import Table, built_in, laid_over, meant, read_own

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.job import Job

_STUDIO = "model-studio"
_PLAIN = "openai-compatible"
_WORKSPACE = "{workspace}"
_HOST_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
_ANY_REGION = "any"  # of a provider without regions, in a user's table of limits and prices


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. Made by `Providers.endpoint`, consumed by `client` and `read_key`."""

    provider: str  # a name in providers.toml
    region: str | None  # None: an address of the user's own that is no known region's
    base_url: str  # up to, but without, /chat/completions
    api_key_env: str  # the variable that holds the key
    default_model: str | None
    key_help: str  # how to get a key
    refused_keys: Mapping[str, str]  # beginning of a key -> why such a key is not taken
    custom: bool  # the address came from the user, so the table's limits do not hold
    facts_region: str | None  # whose limits and prices hold
    currency: str | None  # of that region's prices; None: the only one there is


class Providers:
    """The tables of providers.toml, a user's own laid over them."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables

    @classmethod
    def load(cls, user_file: str | None = None) -> Providers:
        """The built-in tables under `user_file`, or else under the file PENSTOCK_PROVIDERS names.

        Raises JobError naming the file and the place in it that is wrong.
        """
        path = user_file or os.environ.get("PENSTOCK_PROVIDERS")
        if not path:
            return cls(built_in())
        place = f"--providers {path}" if user_file else f"PENSTOCK_PROVIDERS ({path})"
        own = read_own(path, place)
        tables = laid_over(built_in(), own)
        for provider, its_own in own.items():
            _check(tables[provider], its_own, f"{place}: {provider}")
        return cls(tables)

    def names(self) -> list[str]:
        """The providers that there are."""
        return list(self._tables)

    def regions(self, provider: str) -> list[str]:
        """A provider's regions as `--region` takes them; some begin with a workspace's id."""
        return [
            f"WORKSPACE.{name}" if _WORKSPACE in region["base_url"] else name
            for name, region in self._table(provider).get("regions", {}).items()
        ]

    def endpoint(self, job: Job) -> Endpoint:
        """Where the job's requests go.

        Beside a `base_url` of the user's own, `region` says what the address leads to: its prices
        and parameter rules hold then, and its limits do not. Raises
        JobError for a provider or region that does not exist, and for a missing address.
        """
        table = self._table(job.provider)
        usual_env: str = table.get("api_key_env", "OPENAI_API_KEY")
        if not _VARIABLE.fullmatch(job.api_key_env or usual_env):
            # Not repeated in the text: it may be the key itself.
            raise JobError(
                f"--api-key-env takes the name of a variable, such as {usual_env}, never the key"
            )
        region: str | None
        if job.base_url is None:
            region, base_url = self._address(job.provider, job.region)
        elif job.region is None:
            region, base_url = _region_of(job.base_url, table), job.base_url
        else:
            region, base_url = self._address(job.provider, job.region)[0], job.base_url
        regions: Table = table.get("regions", {})
        facts: Table = regions.get(region or "", {})
        return Endpoint(
            provider=job.provider,
            region=region,
            base_url=base_url,
            api_key_env=job.api_key_env or usual_env,
            default_model=table.get("default_model"),
            key_help=table.get("key_help", "ask whoever runs the server"),
            refused_keys=table.get("refused_keys", {}),
            custom=job.base_url is not None,
            facts_region=facts.get("facts", region) if regions else _ANY_REGION,
            currency=facts.get("currency"),
        )

    def model(self, endpoint: Endpoint, name: str) -> ModelFacts:
        """What is known of a model at this endpoint. Refuses nothing; see `warnings`."""
        table = self._table(endpoint.provider)
        # A provider without regions has no limits but the user's own, which hold at any address.
        limits_hold = not endpoint.custom or "regions" not in table
        return facts_of(table, endpoint.facts_region, endpoint.currency, name, limits=limits_hold)

    def parameters(self, endpoint: Endpoint, *, dashscope: bool) -> ParameterTable:
        """What may be sent to this endpoint.

        `dashscope` says that it is Model Studio, by whatever provider's name; elsewhere nothing is
        refused that Model Studio alone refuses.
        """
        named = endpoint.provider
        if dashscope:
            named = _STUDIO
        elif named == _STUDIO or "parameters" not in self._table(named):
            named = _PLAIN
        return ParameterTable(named, self._table(named))

    def _table(self, provider: str) -> Table:
        if provider not in self._tables:
            raise JobError(
                f"--provider {provider}: there is no such provider{meant(provider, self._tables)} "
                f"There are: {', '.join(self._tables)}. A file for --providers can add one"
            )
        return self._tables[provider]

    def _address(self, provider: str, wanted: str | None) -> tuple[str, str]:
        """A region's name and address; `wanted` may be WORKSPACE.NAME, None is the default."""
        table = self._table(provider)
        regions: Table = table.get("regions", {})
        if not regions:
            raise JobError(
                f"--provider {provider}: it has no regions and no address of its own; "
                "give the server's with --base-url https://HOST/v1"
            )
        wanted = wanted or table.get("default_region") or next(iter(regions))
        workspace, _, name = wanted.rpartition(".")
        base_url: str = regions.get(name, {}).get("base_url", "")
        if not base_url or (workspace and _WORKSPACE not in base_url):
            names = self.regions(provider)
            raise JobError(
                f"--region {wanted}: {provider} has no such region{meant(wanted, names)} "
                f"There are: {', '.join(names)}"
            )
        if _WORKSPACE in base_url and not _HOST_LABEL.fullmatch(workspace):
            raise JobError(
                f"--region {wanted}: this region is addressed by workspace: write "
                f"--region WORKSPACE.{name}, with the id that the console shows for yours"
            )
        return name, base_url.replace(_WORKSPACE, workspace)


def _region_of(base_url: str, table: Table) -> str | None:
    """The region that a user's own address belongs to, by its host."""
    host = urlsplit(base_url).hostname or ""
    for name, region in table.get("regions", {}).items():
        before, workspace, after = str(urlsplit(region["base_url"]).hostname).partition(_WORKSPACE)
        if host == before or (workspace and host.endswith(after)):
            return str(name)
    return None


def _check(table: Table, own: Table, place: str) -> None:
    """Look up all that a user's table says, so that its flaws are told before the run."""
    where = ""
    try:
        for where in own.get("regions", {}):
            _check_region(table["regions"][where])
        for region, limits in own.get("limits", {}).items():
            for where in limits:
                limits_of(table, region, where)
        for region, by_currency in own.get("prices", {}).items():
            for currency, prices in by_currency.items():
                for where in prices:
                    price_of(table, region, currency, where)
        for where in own.get("models", {}):
            facts_of(table, None, None, where, limits=False)
        where = "its parameters and rules"
        ParameterTable("", table)
    except (JobError, TypeError, ValueError, AttributeError) as error:
        raise JobError(f"{place}, {where}: {error}") from None


def _check_region(region: Table) -> None:
    if not str(region.get("base_url", "")).startswith(("https://", "http://")):
        raise JobError("a region needs a base_url that begins with https://")
