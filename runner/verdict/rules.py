"""What each error answer means, a rule a line; `runner.verdict` takes the first that matches.

As of 2026-11. Codes and texts of Model Studio: help.aliyun.com/zh/model-studio/error-code and
alibabacloud.com/help/en/model-studio/error-code; the seed's status table ("狀態代碼說明");
bodies in public issues (cloudwego/eino 994, bytedance/deer-flow 4227, lobehub 8613). What other
servers that speak the protocol send stands with their name.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.records import Action

_AGAIN, _THROTTLED, _FAIL = Action.AGAIN, Action.THROTTLED, Action.FAIL
_CONFIG, _STOP = Action.CONFIG, Action.STOP


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition over status, code and text, and what follows where all of it holds."""

    action: Action
    error_type: str
    status: range | frozenset[int] | None = None  # None: any
    codes: frozenset[str] | None = None  # as `plain_code` writes them; None: any
    texts: tuple[str, ...] | None = None  # one of them is part of the message; lower case
    hint: str | None = None
    mend: str | None = None  # as in the Verdict
    burst: bool = False
    outage: bool = False

    def matches(self, status: int, code: str, text: str) -> bool:
        """Whether the rule holds. `code` is plain, `text` in lower case."""
        return (
            (self.status is None or status in self.status)
            and (self.codes is None or code in self.codes)
            and (self.texts is None or any(part in text for part in self.texts))
        )


def plain_code(code: str) -> str:
    """One spelling for the provider's several: `limit_requests`, `LimitRequests`."""
    return code.lower().replace("_", "").replace(".", "")


def _codes(*names: str) -> frozenset[str]:
    return frozenset(plain_code(name) for name in names)


def _status(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


REGIONS = ("singapore", "beijing", "virginia", "hongkong")  # as --region takes them

_CONSOLE = "see the provider's console, then resume"
_PAY = "settle the account in the provider's console, then resume"
_KEY_FLAG = "--api-key-env NAME"
ADDRESS_FLAG = "--base-url URL"
_KEY = (
    "check the key (--api-key-env, --api-key-file). Model Studio's keys are bound to one region: "
    f"is it another --region? ({', '.join(REGIONS)})"
)
ADDRESS_HINT = "check --base-url; it ends where /chat/completions begins, mostly with /v1"
_STREAM = "--stream"
_THINK_STREAM = "--param enable_thinking=false, or --stream to think"
_THINK_OFF = "--param enable_thinking=false"
_PROXY = "check HTTPS_PROXY and its user and password, or name the endpoint in NO_PROXY"

# OpenAI's own words for an empty account, which Model Studio sends for a minute's tokens used up.
OPENAI_NO_MONEY = Rule(
    _STOP,
    "quota",
    _status(429),
    _codes("insufficient_quota"),
    ("check your plan and billing details",),
    hint="settle the account and resume. Does this address lead to Model Studio, where it means "
    "too many tokens a minute? Then give its --region in place of --base-url",
)
DASHSCOPE_MARKS = ("aliyun.com", "alibabacloud.com", "#token-limit", "#rate-limit")

_ACCOUNT = (
    Rule(_STOP, "connection", None, _codes("proxy_refused"), hint=_PROXY),  # our own code
    Rule(_STOP, "connection", _status(407), hint=_PROXY),
    Rule(_STOP, "key", None, _codes("invalid_api_key"), hint=_KEY, mend=_KEY_FLAG),
    Rule(
        _STOP,
        "bill",
        None,
        _codes(
            "Arrearage",
            "CommodityNotPurchased",
            "PrepaidBillOverdue",
            "PostpaidBillOverdue",
            "billing_not_active",  # OpenAI
            "billing_hard_limit_reached",  # OpenAI
        ),
        hint=_PAY,
    ),
    Rule(_STOP, "bill", _status(402), hint=_PAY),  # DeepSeek, OpenRouter
    Rule(
        _STOP,
        "quota",
        None,
        None,
        ("quota has been exhausted", "free allocated quota exceeded"),
        hint=f"the quota comes back by itself or against payment; {_CONSOLE}",
    ),
    Rule(
        _STOP,
        "quota",
        None,
        _codes("AllocationQuota.FreeTierOnly"),
        hint="switch off 'use free tier only' in the provider's console to go on for money",
    ),
)

_PACE = (
    Rule(
        _THROTTLED,
        "throttled",
        None,
        _codes("limit_burst_rate", "Throttling.BurstRate"),
        burst=True,
    ),
    Rule(_THROTTLED, "throttled", None, None, ("request rate increased too quickly",), burst=True),
    OPENAI_NO_MONEY,
    Rule(
        _THROTTLED,
        "throttled",
        None,
        _codes(
            "insufficient_quota",
            "limit_requests",
            "Throttling",
            "Throttling.RateQuota",
            "Throttling.AllocationQuota",
            "Throttling.Concurrency",
            "Throttling.User",
            "rate_limit_exceeded",  # OpenAI
        ),
    ),
    Rule(_THROTTLED, "throttled", _status(429)),
)

_ROW = (
    Rule(
        _FAIL,
        "content_filter",
        None,
        _codes("data_inspection_failed", "content_filter", "content_policy_violation"),
    ),
    Rule(_FAIL, "content_filter", range(400, 500), None, ("may contain inappropriate content",)),
    Rule(
        _FAIL,
        "context_length",
        None,
        None,
        ("range of input length should be", "maximum context length", "context window"),
    ),
    Rule(_FAIL, "context_length", None, _codes("context_length_exceeded")),
    Rule(_FAIL, "too_large", _status(413)),
)

_WRONG_MODEL = (
    Rule(
        _STOP,
        "model",
        None,
        _codes("model_not_found", "model_not_supported", "ModelNotFound"),
        hint="check --model and --region; `penstock check` lists what the key may use",
    ),
    Rule(
        _STOP,
        "access",
        None,
        _codes(
            "access_denied",
            "AccessDenied.Unpurchased",
            "Model.AccessDenied",
            "Workspace.AccessDenied",
            "Endpoint.AccessDenied",
        ),
        hint="check that the key's workspace may use this --model in this --region, and that the "
        "model has not been retired",
    ),
)

# Refusals of what all requests of a job have in common. Where some rows succeed all the same, as
# with parameters from columns, the refused ones fail alone.
_REFUSED_WORDS = tuple(
    Rule(
        _CONFIG,
        "config",
        range(400, 500),
        None,
        (text,),
        hint=hint,
        mend=_STREAM if hint == _STREAM else None,
    )
    for text, hint in (
        ("only support stream mode", _STREAM),
        ("does not support http call", _STREAM),  # an older wording of the same
        ("enable_thinking must be set to false for non-streaming", _THINK_STREAM),
        ("enable_thinking only support stream", _THINK_STREAM),
        (
            "enable_thinking parameter is restricted to true",
            "--param enable_thinking=true --stream",
        ),
        ("incremental_output parameter must be", "--stream"),
        ("json mode response is not supported when enable_thinking", _THINK_OFF),
        ("in thinking mode", _THINK_OFF),  # a forced tool_choice, for one
        ("must contain the word 'json'", "--system or --prompt must mention JSON"),
        ("thinking_budget parameter must be", "--param thinking_budget=N"),
        ("does not support enable_search", "leave out --param enable_search"),
        ("input content must be a string", "this --model takes text alone, no parts"),
        ("unrecognized request argument", "leave out the --param that it names"),
        ("unsupported parameter", "leave out the --param that it names"),
        ("unknown parameter", "leave out the --param that it names"),
        ("extra inputs are not permitted", "leave out the --param that it names"),  # vLLM
        ("you must provide a model parameter", "--model"),
    )
)
_JOB = (
    *_REFUSED_WORDS,
    # "Range of max_tokens should be [1, 8192]"; input length is the row's own and stands above.
    Rule(
        _CONFIG,
        "bad_request",
        range(400, 500),
        None,
        ("range of ",),
        hint="give the --param that it names a value in that range",
    ),
    Rule(
        _CONFIG,
        "config",
        range(400, 500),
        _codes("unknown_parameter", "unsupported_parameter"),  # OpenAI
        hint="leave out the --param that it names",
    ),
)

_STATUS = (
    Rule(_STOP, "config", range(300, 400), hint=ADDRESS_HINT, mend=ADDRESS_FLAG),
    Rule(_STOP, "key", _status(401), hint=_KEY, mend=_KEY_FLAG),
    # Without one of the provider's codes, 403 may come from a filter that dislikes this row alone.
    Rule(_CONFIG, "access", _status(403), hint=_CONSOLE),
    # vLLM, Ollama and others tell of an unknown model without a code.
    Rule(
        _STOP,
        "model",
        _status(404),
        None,
        ("the model ", "model '", "model `", 'model "'),
        hint="check --model; `penstock check` lists what the key may use",
    ),
    Rule(_CONFIG, "config", _status(404, 405), hint=ADDRESS_HINT, mend=ADDRESS_FLAG),
    Rule(_AGAIN, "server_error", _status(408, 409, 425)),
    Rule(_FAIL, "bad_request", _status(400, 422)),
    Rule(_FAIL, "other", range(400, 500)),
    # 500s that the request itself provokes, every time: the row must end, and it is no outage.
    Rule(
        _AGAIN,
        "bad_request",
        range(500, 600),
        None,
        ("list index out of range", "role must be in"),
    ),
    Rule(_AGAIN, "server_error", range(500, 600), outage=True),
    # An error under HTTP 200, or a status that there is not: ask again, some times.
    Rule(_AGAIN, "server_error", range(200, 300)),
    Rule(_AGAIN, "other"),
)

RULES = _ACCOUNT + _PACE + _ROW + _WRONG_MODEL + _JOB + _STATUS
