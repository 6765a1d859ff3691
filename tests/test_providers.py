from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import JobError
from runner.job import Job
from runner.providers import Providers


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Providers:
    monkeypatch.delenv("PENSTOCK_PROVIDERS", raising=False)
    return Providers.load()


def own_file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_a_plain_job_goes_to_singapore_as_in_the_providers_documents(providers: Providers) -> None:
    endpoint = providers.endpoint(Job())
    assert endpoint.region == "singapore"
    assert endpoint.base_url == "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
    assert endpoint.api_key_env == "DASHSCOPE_API_KEY"
    assert endpoint.default_model == "qwen-plus"
    assert not endpoint.custom


@pytest.mark.parametrize(
    ("region", "host", "currency"),
    [
        ("beijing", "dashscope.aliyuncs.com", "CNY"),
        ("virginia", "dashscope-us.aliyuncs.com", "USD"),
        ("hongkong", "cn-hongkong.dashscope.aliyuncs.com", "USD"),
        ("ws-7.cn-beijing", "ws-7.cn-beijing.maas.aliyuncs.com", "CNY"),
        ("ws-7.ap-southeast-1", "ws-7.ap-southeast-1.maas.aliyuncs.com", "USD"),
        ("ws-7.eu-central-1", "ws-7.eu-central-1.maas.aliyuncs.com", "USD"),
    ],
)
def test_regions_have_their_address_and_currency(
    providers: Providers, region: str, host: str, currency: str
) -> None:
    endpoint = providers.endpoint(Job(region=region))
    assert endpoint.base_url == f"https://{host}/compatible-mode/v1"
    assert endpoint.currency == currency


def test_a_workspace_region_has_the_facts_of_its_place(providers: Providers) -> None:
    workspace = providers.model(providers.endpoint(Job(region="ws-7.cn-beijing")), "qwen-plus")
    shared = providers.model(providers.endpoint(Job(region="beijing")), "qwen-plus")
    assert workspace == shared
    assert (shared.rpm, shared.tpm) == (30_000, 5_000_000)


@pytest.mark.parametrize("region", ["ap-southeast-1", "evil.example/.ap-southeast-1", "a.b.x"])
def test_a_workspace_id_is_wanted_and_cannot_change_the_host(
    providers: Providers, region: str
) -> None:
    with pytest.raises(JobError, match="WORKSPACE"):
        providers.endpoint(Job(region=region))


def test_a_misspelt_region_names_the_near_one_and_all(providers: Providers) -> None:
    with pytest.raises(JobError, match="did you mean 'beijing'") as caught:
        providers.endpoint(Job(region="bejing"))
    for region in ("singapore", "beijing", "virginia", "hongkong", "WORKSPACE.eu-central-1"):
        assert region in str(caught.value)


def test_a_misspelt_provider_names_the_near_one_and_all(providers: Providers) -> None:
    with pytest.raises(JobError, match=r"did you mean 'model-studio'.*openai-compatible"):
        providers.endpoint(Job(provider="modelstudio"))


def test_a_plain_server_needs_an_address_and_has_its_own_key_variable(providers: Providers) -> None:
    with pytest.raises(JobError, match="--base-url"):
        providers.endpoint(Job(provider="openai-compatible"))
    endpoint = providers.endpoint(
        Job(provider="openai-compatible", base_url="http://127.0.0.1:8000/v1")
    )
    assert endpoint.api_key_env == "OPENAI_API_KEY"
    facts = providers.model(endpoint, "llama")
    assert (facts.rpm, facts.tpm, facts.price, facts.warnings) == (None, None, None, ())


def test_an_address_of_ones_own_has_no_limits_and_a_price_only_at_a_known_host(
    providers: Providers,
) -> None:
    elsewhere = providers.endpoint(Job(base_url="http://127.0.0.1:9/v1"))
    facts = providers.model(elsewhere, "qwen-plus")
    assert (facts.known, facts.rpm, facts.tpm, facts.price) == (True, None, None, None)

    host = "https://ws-1.cn-beijing.maas.aliyuncs.com/compatible-mode/v1"
    endpoint = providers.endpoint(Job(base_url=host))
    facts = providers.model(endpoint, "qwen-plus")
    assert endpoint.region == "cn-beijing"
    assert (facts.rpm, facts.tpm) == (None, None)
    assert facts.price is not None
    assert facts.price.currency == "CNY"


def test_a_host_that_only_ends_like_a_known_one_has_no_price(providers: Providers) -> None:
    endpoint = providers.endpoint(Job(base_url="https://notdashscope.aliyuncs.com/v1"))
    assert endpoint.region is None


def test_beside_an_address_the_region_says_whose_prices_hold(providers: Providers) -> None:
    endpoint = providers.endpoint(Job(base_url="http://gateway.local/v1", region="beijing"))
    facts = providers.model(endpoint, "qwen-plus")
    assert endpoint.base_url == "http://gateway.local/v1"
    assert facts.price is not None
    assert facts.price.currency == "CNY"
    assert facts.rpm is None


def test_a_key_given_as_the_name_of_a_variable_is_refused_without_repeating_it(
    providers: Providers,
) -> None:
    with pytest.raises(JobError, match="name of a variable") as caught:
        providers.endpoint(Job(api_key_env="sk-0123456789"))
    assert "0123456789" not in str(caught.value)


def test_a_users_file_lies_over_the_tables_and_its_figures_are_named_as_theirs(
    tmp_path: Path,
) -> None:
    path = own_file(
        tmp_path,
        """
        [model-studio.limits.singapore]
        qwen-plus = [1200, 2_000_000]
        [model-studio.prices.singapore.USD]
        as_of = "2026-11"
        source = "our contract"
        qwen-plus = [0.35, 1.0, 3.5]
        """,
    )
    providers = Providers.load(path)
    endpoint = providers.endpoint(Job())
    mine, theirs = providers.model(endpoint, "qwen-plus"), providers.model(endpoint, "qwen-flash")
    assert (mine.rpm, mine.tpm) == (1200, 2_000_000)
    assert path in mine.source
    assert mine.price is not None
    assert theirs.price is not None
    assert (mine.price.as_of, mine.price.source) == ("2026-11", "our contract")
    assert (theirs.rpm, theirs.price.as_of) == (600, "2026-04")
    assert "our contract" not in theirs.price.source


def test_the_environment_names_a_users_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_file(tmp_path, "[model-studio]\ndefault_region = 'beijing'\n")
    monkeypatch.setenv("PENSTOCK_PROVIDERS", path)
    assert Providers.load().endpoint(Job()).region == "beijing"
    assert "--providers" not in _refusal(path, "[model-studio.limitz]\n", env=monkeypatch)


def test_a_users_file_does_not_change_what_the_next_load_finds(tmp_path: Path) -> None:
    path = own_file(tmp_path, "[model-studio.limits.singapore]\nqwen-plus = [1, 1]\n")
    Providers.load(path)
    providers = Providers.load()
    assert providers.model(providers.endpoint(Job()), "qwen-plus").rpm == 600


def test_a_users_own_provider_with_prices_and_limits_at_any_address(tmp_path: Path) -> None:
    path = own_file(
        tmp_path,
        """
        [openai-compatible.limits.any]
        llama = [300, 0]
        [openai-compatible.prices.any.EUR]
        llama = [0.1, 0.2]
        [in-house]
        api_key_env = "HOUSE_KEY"
        [in-house.regions.main]
        base_url = "https://llm.house/v1"
        """,
    )
    providers = Providers.load(path)
    assert providers.names() == ["model-studio", "openai-compatible", "in-house"]
    plain = providers.endpoint(Job(provider="openai-compatible", base_url="http://h/v1"))
    facts = providers.model(plain, "llama")
    assert (facts.rpm, facts.tpm) == (300, None)
    assert facts.price is not None
    assert facts.price.currency == "EUR"
    house = providers.endpoint(Job(provider="in-house"))
    assert (house.region, house.base_url) == ("main", "https://llm.house/v1")
    assert house.api_key_env == "HOUSE_KEY"


def _refusal(path: str, text: str, *, env: pytest.MonkeyPatch | None = None) -> str:
    Path(path).write_text(text, "utf-8")
    with pytest.raises(JobError) as caught:
        Providers.load(None if env else path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[model-studio", "not a TOML file"),
        ("model-studio = 3", "must be a table"),
        ("[model-studio.limitz.x]", "did you mean 'limits'"),
        ("[model-studio]\nlimits = 3", "holds no table"),
        ("[model-studio.limits.singapore]\nqwen-plus = [-1, 5]", "qwen-plus: limits are written"),
        ("[model-studio.limits.singapore]\nqwen-plus = 600", "qwen-plus: limits are written"),
        ("[model-studio.prices.singapore.USD]\nqwen-plus = [1]", "qwen-plus: a tier is written"),
        ("[model-studio.prices.singapore.USD]\nqwen-plus = ['a', 1]", "'a' is no number"),
        ("[model-studio.prices.singapore.USD]\nqwen-plus = [-1, 1]", "-1 is no price"),
        ("[model-studio.prices.singapore.USD]\nm = { cost = [1, 2] }", "m has no 'price'"),
        ("[model-studio.prices.singapore.USD]\nm = [[9, 1, 2], [5, 1, 2]]", "longer prompts"),
        ("[model-studio.regions.mars]\ncurrency = 'USD'", "mars: a region needs a base_url"),
        ("[model-studio.models]\nqwen-plus = 3", "qwen-plus must be a table"),
    ],
)
def test_a_flaw_in_a_users_file_is_told_with_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    path = str(tmp_path / "mine.toml")
    message = _refusal(path, text)
    assert message.startswith(f"--providers {path}: ")
    assert told in message


def test_a_missing_users_file_is_refused() -> None:
    with pytest.raises(JobError, match="No such file"):
        Providers.load("/nowhere/mine.toml")
