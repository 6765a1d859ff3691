from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import JobError
from runner.job import Job
from runner.providers import Findings, ParameterTable, Providers, check_params, row_check
from runner.providers.tables import built_in

if TYPE_CHECKING:
    from pathlib import Path

PROVIDERS = Providers.load()
ENDPOINT = PROVIDERS.endpoint(Job())
STUDIO = PROVIDERS.parameters(ENDPOINT, dashscope=True)
PLAIN = PROVIDERS.parameters(ENDPOINT, dashscope=False)

TOOLS = [{"type": "function", "function": {"name": "f"}}]
JSON = {"type": "json_object"}
# The provider's parameter table of 2025-11, and what its newer pages add.
TABLE_OF_2025 = {
    "top_p": 0.8,
    "temperature": 0.7,
    "presence_penalty": 1.5,
    "n": 2,
    "max_tokens": 100,
    "seed": 7,
    "stop": ["你好", "天氣"],
    "tools": TOOLS,
}
NEWER = {
    "max_completion_tokens": 100,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
    "logprobs": True,
    "top_logprobs": 2,
    "enable_thinking": False,
    "thinking_budget": 100,
    "reasoning_effort": "low",
    "preserve_thinking": False,
    "enable_search": True,
    "search_options": {},
    "enable_code_interpreter": False,
    "top_k": 20,
    "repetition_penalty": 1.05,
    "vl_high_resolution_images": False,
}


def check(
    params: dict[str, Any],
    model: str = "qwen-plus",
    table: ParameterTable = STUDIO,
    *,
    streamed: bool = False,
    **known: Any,
) -> Findings:
    facts = PROVIDERS.model(ENDPOINT, model)
    return check_params(params, facts, table, streamed=streamed, **known)


def test_every_parameter_of_the_providers_pages_is_known_and_taken() -> None:
    for name, value in (TABLE_OF_2025 | NEWER).items():
        found = check({name: value, "logprobs": True})
        assert found.refusals == (), name
        assert not [note for note in found.notes if "unknown" in note], name


def test_every_entry_has_a_page_and_a_date() -> None:
    table = built_in()["model-studio"]
    for heading in ("parameters", "rules"):
        for name, entry in table[heading].items():
            source = table["sources"][entry["source"]]
            assert source["page"], name
            assert source["as_of"].startswith(("2025-", "2026-")), name


def test_a_refusal_names_the_parameter_the_rule_and_its_source() -> None:
    (refusal,) = check({"temperature": 2}).refusals
    assert refusal == (
        "temperature: 2 is out of range: 0 or more and below 2 "
        "(help.aliyun.com/zh/model-studio/error-code, 2026-09; parameters.temperature)"
    )


def test_all_refusals_are_told_at_once() -> None:
    params = {"top_p": 0, "stop": ["a", 1], "reasoning_effort": "low", "thinking_budget": 9}
    refusals = " ".join(check(params).refusals)
    for word in ("top_p", "mixes texts", "exclude each other"):
        assert word in refusals


@pytest.mark.parametrize(
    ("params", "streamed", "told"),
    [
        ({"tools": TOOLS}, True, "tools in a stream"),
        ({"n": 3, "enable_thinking": True}, False, "n above 1"),
        ({"seed": 2**40}, False, "seed above"),
        ({"reasoning_effort": "none"}, False, "not one of xhigh"),
    ],
)
def test_where_the_pages_disagree_it_warns_and_passes(
    params: dict[str, Any], streamed: bool, told: str
) -> None:
    found = check(params, streamed=streamed)
    assert found.refusals == ()
    assert [warning for warning in found.warnings if told in warning]


def test_unknown_names_pass_with_one_note_that_proposes_what_was_meant() -> None:
    found = check({"temprature": 1, "frequency_penalty": 1, "shiny": None})
    assert (found.refusals, found.warnings) == ((), ())
    (note,) = found.notes
    assert note == (
        "unknown to Penstock's table for model-studio, sent as it stands: "
        "temprature (did you mean temperature?), frequency_penalty, shiny"
    )


def test_a_null_is_no_value() -> None:
    assert check({"temperature": None, "n": None}) == Findings((), (), ())


def test_a_model_that_thinks_by_default_is_named_with_the_way_out() -> None:
    (note,) = check({}, "qwen3.7-plus").notes
    assert note.startswith("qwen3.7-plus thinks")
    assert "--param enable_thinking=false" in note
    assert check({"enable_thinking": False}, "qwen3.7-plus").notes == ()


def test_what_rows_bring_of_their_own_is_left_to_the_rows() -> None:
    params = {"response_format": JSON}
    assert check(params, "qwen3.5-plus").refusals
    assert not check(params, "qwen3.5-plus", from_columns=["enable_thinking"]).refusals
    assert not check(params, "qwen3.5-plus", from_columns=["model"]).refusals
    assert not check(params, "qwen3.5-plus", whole_requests=True).refusals
    both = {**params, "enable_thinking": True}
    assert check(both, "qwen3.5-plus", whole_requests=True).refusals
    assert not check(both, "qwen3.5-plus", whole_requests=True, from_columns=["model"]).refusals


def test_a_value_for_rows_with_an_empty_cell_is_judged_all_the_same() -> None:
    assert check({"temperature": 9}, from_columns=["temperature"]).refusals
    assert check({}, from_columns=["shiny", "model"]).notes == (
        "unknown to Penstock's table for model-studio, sent as it stands: shiny",
    )


def test_a_row_is_refused_by_the_first_rule_that_it_breaks() -> None:
    def facts_of(model: str) -> Any:
        return PROVIDERS.model(ENDPOINT, model)

    refusal = row_check(STUDIO, facts_of, streamed=False)
    assert refusal("qwen-plus", {"temperature": 1, "seed": 2**40, "shiny": 1}) is None
    assert "temperature: 3" in str(refusal("qwen-plus", {"temperature": 3}))
    assert "--stream" in str(refusal("qwq-plus", {}))
    assert "--param enable_thinking=false" in str(refusal("qwen3-8b", {"temperature": 1}))
    assert row_check(STUDIO, facts_of, streamed=True)("qwq-plus", {}) is None
    assert row_check(PLAIN, facts_of, streamed=False)("qwq-plus", {"temperature": 9}) is None


def test_elsewhere_nothing_is_refused_and_the_protocols_names_pass_silently() -> None:
    odd = {"temperature": 9, "n": 100, "stop": ["a", 1], "user": "me", "response_format": JSON}
    assert check(odd, "qwen3.5-plus", PLAIN, says_json=False) == Findings((), (), ())
    (note,) = check({"top_k": 5, "n": 1}, "llama", PLAIN).notes
    assert note.endswith("openai-compatible, sent as it stands: top_k")


def test_a_users_file_lifts_and_changes_rules(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        "[model-studio.parameters]\n"
        'temperature = { to = 3.5, below = 4, source = "our trial" }\n'
        'n = { level = "warn" }\n'
        'shiny = { kind = "boolean" }\n'
        "[model-studio.rules]\n"
        'effort_with_budget = { level = "off" }\n'
    )
    table = Providers.load(str(own)).parameters(ENDPOINT, dashscope=True)
    params = {"temperature": 3, "reasoning_effort": "low", "thinking_budget": 1, "n": 9}
    found = check({**params, "shiny": True}, table=table)
    assert found.refusals == ()
    assert found.warnings[0].startswith("n: 9 is out of range")
    refusals = check({"temperature": 4, "shiny": "x"}, table=table).refusals
    assert refusals[0].endswith("(our trial; parameters.temperature)")
    assert refusals[1] == 'shiny: "x" is neither true nor false (parameters.shiny)'


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("parameters.n = 5", "parameters.n must be a table"),
        ('parameters.n.level = "never"', "its level is one of"),
        ('parameters.shiny.level = "off"', "needs a kind"),
        ('parameters.shiny = { kind = "choice" }', "of = "),
        ('parameters.n.to = "four"', "must be a number"),
        ('rules.shiny = { level = "off", says = "x" }', "no such rule"),
        ("rules.n_with_tools.level = 1", "its level is one of"),
    ],
)
def test_a_flaw_in_a_users_rules_is_told_before_the_run(
    tmp_path: Path, line: str, told: str
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f"model-studio.{line}\n")
    with pytest.raises(JobError, match=told) as caught:
        Providers.load(str(own))
    assert str(own) in str(caught.value)


def test_a_provider_of_the_users_own_may_have_rules_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[mine.parameters]\ntemperature = { kind = "number", to = 1 }\n')
    providers = Providers.load(str(own))
    endpoint = providers.endpoint(Job(provider="mine", base_url="http://127.0.0.1/v1"))
    table = providers.parameters(endpoint, dashscope=False)
    facts = providers.model(endpoint, "m")
    assert check_params({"temperature": 2}, facts, table, streamed=False).refusals
