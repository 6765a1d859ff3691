"""What each failed attempt means: every line of the provider's tables, and what is unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import (
    AnsweredError,
    AttemptFailed,
    IncompleteReply,
    TimedOut,
    Unreachable,
    Untrusted,
)
from runner.records import Action, Reply, Verdict
from runner.simulator import error_lines
from runner.verdict import is_dashscope, judge
from runner.verdict.verdict import LONGEST_WAIT_S

AGAIN, THROTTLED, FAIL = Action.AGAIN, Action.THROTTLED, Action.FAIL
CONFIG, STOP = Action.CONFIG, Action.STOP
HELP = "For details, see: https://help.aliyun.com/zh/model-studio/error-code"
NO_MONEY = "You exceeded your current quota, please check your plan and billing details"
BURST = (
    "Request rate increased too quickly. To ensure system stability, please adjust your client "
    "logic to scale requests more smoothly over time."
)
STREAM_ONLY = (
    "This model only support stream mode, please enable the stream parameter to access the model. "
)
FORCED_TOOL = (
    "<400> InternalError.Algo.InvalidParameter: The tool_choice parameter does not support being "
    "set to required or object in thinking mode"
)
PARTIAL = Reply("half", None, None, None, None, None, None, None, None, None, 1.0)


def answered(status: int, code: str = "", message: str = "", **headers: str) -> AnsweredError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return AnsweredError(status, code, message, headers=named)


# status, code, message; what follows, and the row's error_type if it comes to that
TABLE: list[tuple[int, str, str, Action, str]] = [
    # PROVIDER.md, section 1
    (
        429,
        "limit_requests",
        f"You have exceeded your current request limit. {HELP}#rate-limit",
        THROTTLED,
        "throttled",
    ),
    (429, "Throttling.RateQuota", "Requests rate limit exceeded", THROTTLED, "throttled"),
    (429, "LimitRequests", "", THROTTLED, "throttled"),
    (
        429,
        "limit_burst_rate",
        BURST,
        THROTTLED,
        "throttled",
    ),
    (429, "Throttling.BurstRate", "", THROTTLED, "throttled"),
    (429, "insufficient_quota", f"{NO_MONEY}. {HELP}#token-limit", THROTTLED, "throttled"),
    (
        429,
        "insufficient_quota",
        "Allocated quota exceeded, please increase your quota limit.",
        THROTTLED,
        "throttled",
    ),
    (
        429,
        "insufficient_quota",
        "Batch requests are being throttled due to system capacity limits.",
        THROTTLED,
        "throttled",
    ),
    (429, "Throttling.AllocationQuota", "", THROTTLED, "throttled"),
    (
        429,
        "insufficient_quota",
        "Your token-plan 1-month quota has been exhausted. The quota will reset at 2026-12-01",
        STOP,
        "quota",
    ),
    (429, "insufficient_quota", "Free allocated quota exceeded.", STOP, "quota"),
    (429, "Throttling", "Requests throttling triggered.", THROTTLED, "throttled"),
    (429, "Throttling.Concurrency", "too many concurrent requests", THROTTLED, "throttled"),
    (429, "CommodityNotPurchased", "Commodity has not purchased yet.", STOP, "bill"),
    (429, "PrepaidBillOverdue", "The prepaid bill is overdue.", STOP, "bill"),
    (429, "PostpaidBillOverdue", "The postpaid bill is overdue.", STOP, "bill"),
    (
        400,
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
        STOP,
        "bill",
    ),
    (
        400,
        "data_inspection_failed",
        "Input data may contain inappropriate content.",
        FAIL,
        "content_filter",
    ),
    (
        400,
        "data_inspection_failed",
        "Output text data may contain inappropriate content.",
        FAIL,
        "content_filter",
    ),
    (200, "data_inspection_failed", "Output data may contain", FAIL, "content_filter"),
    (
        400,
        "invalid_parameter_error",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 3072]",
        FAIL,
        "context_length",
    ),
    (
        400,
        "invalid_parameter_error",
        "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]",
        CONFIG,
        "bad_request",
    ),
    (400, "invalid_parameter_error", "Something about this very row", FAIL, "bad_request"),
    (
        400,
        "invalid_parameter_error",
        STREAM_ONLY,
        CONFIG,
        "config",
    ),
    (
        400,
        "invalid_parameter_error",
        "parameter.enable_thinking must be set to false for non-streaming calls",
        CONFIG,
        "config",
    ),
    (
        400,
        "invalid_parameter_error",
        "parameter.enable_thinking only support stream call",
        CONFIG,
        "config",
    ),
    (
        400,
        "invalid_parameter_error",
        "The value of the enable_thinking parameter is restricted to True.",
        CONFIG,
        "config",
    ),
    (
        400,
        "invalid_parameter_error",
        "Json mode response is not supported when enable_thinking is true",
        CONFIG,
        "config",
    ),
    (
        400,
        "invalid_parameter_error",
        "'messages' must contain the word 'json' in some form, to use 'response_format'",
        CONFIG,
        "config",
    ),
    (
        400,
        "invalid_parameter_error",
        FORCED_TOOL,
        CONFIG,
        "config",
    ),
    (401, "invalid_api_key", "Incorrect API key provided. ", STOP, "key"),
    (403, "access_denied", "Access denied.", STOP, "access"),
    (403, "AccessDenied.Unpurchased", "Access to model denied.", STOP, "access"),
    (403, "Model.AccessDenied", "Model access denied.", STOP, "access"),
    (403, "Workspace.AccessDenied", "Workspace access denied.", STOP, "access"),
    (403, "Endpoint.AccessDenied", "Workspace endpoint access denied.", STOP, "access"),
    (403, "AllocationQuota.FreeTierOnly", "The free tier has been exhausted.", STOP, "quota"),
    (
        404,
        "model_not_found",
        "The model `qwen-x` does not exist or you do not have access to it.",
        STOP,
        "model",
    ),
    (413, "", "Request entity too large", FAIL, "too_large"),
    (500, "internal_error", "An internal error has occurred", AGAIN, "server_error"),
    (500, "InternalError.Algo", "An error in the algorithm", AGAIN, "server_error"),
    (500, "SystemError", "An system error has occurred", AGAIN, "server_error"),
    (500, "ModelServiceFailed", "Failed to request model service.", AGAIN, "server_error"),
    (500, "RequestTimeOut", "Request timed out", AGAIN, "server_error"),
    (503, "ModelUnavailable", "Model is unavailable", AGAIN, "server_error"),
    (504, "RequestTimeOut", "Response timeout!", AGAIN, "server_error"),
    (500, "internal_error", "list index out of range", AGAIN, "bad_request"),
    (500, "internal_error", "Role must be in [user, assistant]", AGAIN, "bad_request"),
    # the seed's status table
    (400, "", "Invalid Request Error", FAIL, "bad_request"),
    (401, "", "Incorrect API key provided", STOP, "key"),
    (429, "", "Rate limit reached for requests", THROTTLED, "throttled"),
    (429, "", NO_MONEY, THROTTLED, "throttled"),
    (500, "", "The server had an error while processing your request", AGAIN, "server_error"),
    (503, "", "The engine is currently overloaded, please try again later", AGAIN, "server_error"),
    # statuses alone
    (307, "", "redirected to https://elsewhere", STOP, "config"),
    (402, "", "Insufficient Balance", STOP, "bill"),
    (403, "", "Request blocked", CONFIG, "access"),
    (404, "", "no such path", CONFIG, "config"),
    (404, "", 'model "qwen3:8b" not found, try pulling it first', STOP, "model"),
    (405, "", "Method Not Allowed", CONFIG, "config"),
    (407, "", "Proxy Authentication Required", STOP, "connection"),
    (403, "proxy_refused", "the proxy does not let us through", STOP, "connection"),
    (408, "", "", AGAIN, "server_error"),
    (409, "", "", AGAIN, "server_error"),
    (425, "", "", AGAIN, "server_error"),
    (502, "", "502 Bad Gateway", AGAIN, "server_error"),
    (529, "", "overloaded", AGAIN, "server_error"),
    # other servers that speak the protocol
    (400, "context_length_exceeded", "", FAIL, "context_length"),
    (400, "", "This model's maximum context length is 4096 tokens", FAIL, "context_length"),
    (400, "unsupported_parameter", "", CONFIG, "config"),
    (400, "", "Unrecognized request argument supplied: foo", CONFIG, "config"),
    (422, "", '[{"msg":"Extra inputs are not permitted"}]', CONFIG, "config"),
    (200, "400", "This model's maximum context length is 4096 tokens", FAIL, "context_length"),
    (200, "503", "no healthy upstream", AGAIN, "server_error"),
    # unknown: the row is kept as long as there is hope
    (418, "", "I'm a teapot", FAIL, "other"),
    (200, "odd", "some error", AGAIN, "server_error"),
    (200, "20015", "an error number of their own", AGAIN, "server_error"),
    (599, "", "", AGAIN, "server_error"),
    (999, "", "", AGAIN, "other"),
    (101, "", "", AGAIN, "other"),
]


@pytest.mark.parametrize(("status", "code", "message", "action", "error_type"), TABLE)
def test_each_line_of_the_tables(
    status: int, code: str, message: str, action: Action, error_type: str
) -> None:
    verdict = judge(answered(status, code, message))
    assert (verdict.action, verdict.error_type) == (action, error_type)
    assert verdict.message == (message or f"HTTP {status}")
    assert verdict.code == (code or str(status))


@pytest.mark.parametrize(("status", "code", "message", "action", "error_type"), TABLE)
def test_every_stop_and_every_refused_configuration_says_what_to_do(
    status: int, code: str, message: str, action: Action, error_type: str
) -> None:
    verdict = judge(answered(status, code, message))
    assert error_type == verdict.error_type
    assert bool(verdict.hint) == (action in {STOP, CONFIG})


@pytest.mark.parametrize("name", [line.name for line in error_lines().values() if line.code])
def test_no_error_that_the_stand_in_server_can_send_is_unknown(name: str) -> None:
    line = error_lines()[name]
    assert judge(answered(line.status, line.code, line.message)).error_type != "other"


@pytest.mark.parametrize(
    ("code", "message", "burst"),
    [
        ("limit_burst_rate", "", True),
        ("", "Request rate increased too quickly.", True),
        ("limit_requests", "", False),
        ("insufficient_quota", "", False),
    ],
)
def test_a_burst_is_told_apart_from_other_throttling(code: str, message: str, burst: bool) -> None:
    assert judge(answered(429, code, message)).burst is burst


@pytest.mark.parametrize(
    ("status", "message", "outage"),
    [
        (500, "", True),
        (502, "", True),
        (503, "", True),
        (504, "", True),
        (500, "list index out of range", False),
        (408, "", False),
        (429, "", False),
        (400, "", False),
        (200, "some error", False),
    ],
)
def test_5xx_counts_towards_an_outage_unless_the_request_provoked_it(
    status: int, message: str, outage: bool
) -> None:
    assert judge(answered(status, "", message)).outage is outage


def test_a_401_names_the_other_regions() -> None:
    hint = judge(answered(401, "invalid_api_key", "Incorrect API key provided. ")).hint
    assert hint is not None
    assert "--region" in hint
    for region in ("singapore", "beijing", "virginia", "hongkong"):
        assert region in hint


@pytest.mark.parametrize(
    ("dashscope", "error", "action"),
    [
        (True, answered(429, "insufficient_quota", NO_MONEY), THROTTLED),
        (False, answered(429, "insufficient_quota", NO_MONEY), STOP),
        (False, answered(429, "insufficient_quota", f"{NO_MONEY}. {HELP}#token-limit"), THROTTLED),
        (False, answered(429, "insufficient_quota", NO_MONEY, x_dashscope_timeout="1"), THROTTLED),
        (False, answered(429, "insufficient_quota", NO_MONEY, req_cost_time="12"), THROTTLED),
        (False, answered(429, "insufficient_quota", "Allocated quota exceeded"), THROTTLED),
        (False, answered(429, "rate_limit_exceeded", "Rate limit reached"), THROTTLED),
    ],
)
def test_the_words_for_no_money_mean_tokens_a_minute_at_model_studio(
    dashscope: bool, error: AnsweredError, action: Action
) -> None:
    assert judge(error, dashscope=dashscope).action is action


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", True),
        ("https://w-1.cn-beijing.maas.aliyuncs.com/compatible-mode/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://127.0.0.1:8000/v1", False),
        ("https://aliyuncs.com.example/v1", False),
    ],
)
def test_knows_model_studios_own_addresses(base_url: str, expected: bool) -> None:
    assert is_dashscope(base_url) is expected


NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        (
            {"retry_after": format_datetime(NOW + timedelta(seconds=30), usegmt=True)},
            30.0,
        ),
        ({"retry_after": format_datetime(NOW - timedelta(days=1), usegmt=True)}, 0.0),
    ],
)
def test_honours_retry_after_in_all_its_forms(
    headers: dict[str, str], wait_s: float | None
) -> None:
    date = format_datetime(NOW, usegmt=True)
    for status in (429, 503):
        verdict = judge(answered(status, date=date, **headers))
        assert verdict.retry_after_s == wait_s
        assert verdict.action in {AGAIN, THROTTLED}


def test_a_date_is_measured_by_this_machines_clock_where_the_server_tells_no_time() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    wait_s = judge(answered(429, retry_after=soon)).retry_after_s
    assert wait_s == pytest.approx(60, abs=5)


@pytest.mark.parametrize(
    ("status", "retry_after", "error_type", "span"),
    [
        (429, "1849295", "quota", "21.4 days"),
        (429, "7200", "quota", "2.0 hours"),
        (503, str(LONGEST_WAIT_S + 1), "server_error", "601 s"),
        (429, "inf", "quota", "inf days"),
        (429, "Wed, 24 Nov 2027 12:00:00 GMT", "quota", "365.0 days"),
    ],
)
def test_an_absurd_wait_stops_the_run_rather_than_sleeps(
    status: int, retry_after: str, error_type: str, span: str
) -> None:
    date = format_datetime(NOW, usegmt=True)
    verdict = judge(answered(status, "c", "m", retry_after=retry_after, date=date))
    assert (verdict.action, verdict.error_type) == (STOP, error_type)
    assert verdict.message == f"m (asked to wait {span})"
    assert verdict.hint is not None
    assert span in verdict.hint


def test_the_longest_wait_is_still_waited_for() -> None:
    verdict = judge(answered(429, retry_after=str(LONGEST_WAIT_S)))
    assert (verdict.action, verdict.retry_after_s) == (THROTTLED, LONGEST_WAIT_S)


@pytest.mark.parametrize(
    ("error", "action", "error_type", "outage"),
    [
        (Unreachable("no connection"), AGAIN, "connection", True),
        (Untrusted("not trusted, see --ca-file"), STOP, "connection", False),
        (TimedOut("too slow"), AGAIN, "timeout", False),
        (IncompleteReply("broke off", partial=PARTIAL), AGAIN, "incomplete", False),
        (IncompleteReply("no JSON", text="upstream connect error"), AGAIN, "incomplete", False),
        (IncompleteReply("a page", text="\n<!DOCTYPE html>"), CONFIG, "incomplete", False),
        (AttemptFailed("of a kind not known yet"), AGAIN, "other", False),
    ],
)
def test_each_failure_without_an_error_answer(
    error: AttemptFailed, action: Action, error_type: str, outage: bool
) -> None:
    verdict = judge(error)
    assert (verdict.action, verdict.error_type, verdict.outage) == (action, error_type, outage)
    assert verdict.message == str(error)


@pytest.mark.parametrize(
    ("error", "flag"),
    [
        (TimedOut("too slow"), "--timeout"),
        (IncompleteReply("partial", partial=PARTIAL), "--stream"),
        (IncompleteReply("a page", text="<html>"), "--base-url"),
        (answered(404, "", "no such path"), "--base-url"),
        (answered(302), "--base-url"),
        (answered(404, "model_not_found", ""), "--model"),
        (answered(400, "", "This model only support stream mode"), "--stream"),
        (answered(400, "", "Range of max_tokens should be [1, 8192]"), "--param"),
        (answered(407), "HTTPS_PROXY"),
    ],
)
def test_the_hint_names_the_flag(error: AttemptFailed, flag: str) -> None:
    hint = judge(error).hint
    assert hint is not None
    assert flag in hint


@pytest.mark.parametrize(
    ("error", "flag"),
    [
        (answered(404, "", "no such path"), "--base-url URL"),
        (IncompleteReply("a page", text="<html>"), "--base-url URL"),
        (answered(401), "--api-key-env NAME"),
        (answered(400, "", "This model only support stream mode"), "--stream"),
        (answered(404, "model_not_found", ""), None),
        (answered(500), None),
    ],
)
def test_the_flag_that_mends_it_is_one_that_a_resume_takes(
    error: AttemptFailed, flag: str | None
) -> None:
    assert judge(error).mend == flag


@pytest.mark.parametrize(("partial", "advised"), [(None, True), (PARTIAL, False)])
def test_an_answer_cut_on_its_way_blames_the_network_and_only_a_plain_one_the_lack_of_streaming(
    partial: Reply | None, *, advised: bool
) -> None:
    cut = IncompleteReply("broke off", partial=partial)
    cut.broke_off = True
    verdict = judge(cut)
    assert verdict.hint is not None
    assert "proxy" in verdict.hint
    assert ("--stream" in verdict.hint) == (verdict.mend == "--stream") == advised


@given(
    status=st.integers(-1, 1000),
    code=st.text(max_size=30),
    message=st.text(max_size=60),
    wait=st.text(max_size=20),
)
def test_there_is_a_verdict_for_whatever_comes(
    status: int, code: str, message: str, wait: str
) -> None:
    verdict = judge(answered(status, code, message, retry_after=wait, date=wait))
    assert isinstance(verdict, Verdict)
    assert verdict.message
