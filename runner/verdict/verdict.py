"""What does this failed attempt mean: try again, fail the row, or stop the run?

The one place that knows status codes and the provider's error codes. `judge` is a pure function;
the rules are in `rules.py`. Words of the `error_type` output column:

throttled       429 and its kin: too much, too fast; back to normal within a minute
server_error    5xx, 408, 409, 425: the server could not, and may be able to later
timeout         no answer in the time allowed here
connection      no connection, or it broke before an answer
incomplete      an answer that broke off, came partial, or cannot be read
content_filter  the provider will not answer this text
context_length  the input is longer than the model takes
bad_request     the provider does not accept this row's request
too_large       the body is larger than the provider takes
config          the provider does not accept what all requests have in common
key, bill, quota, model, access
                the account: key refused, bill unpaid, quota used up, no such model, no right to it
other           none of these
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.errors import AnsweredError, IncompleteReply, TimedOut, Unreachable, Untrusted
from runner.records import Action, Verdict
from runner.verdict.rules import (
    ADDRESS_FLAG,
    ADDRESS_HINT,
    DASHSCOPE_MARKS,
    OPENAI_NO_MONEY,
    RULES,
    Rule,
    plain_code,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.errors import AttemptFailed

# Model Studio's limits recover within a minute (help.aliyun.com/zh/model-studio/
# rate-limiting-best-practices), other servers' within some; who asks for more than ten is not
# throttling but closed, and a person should know. Seen in the wild: 21 days.
LONGEST_WAIT_S = 600.0

_STATUSES = frozenset(str(status) for status in range(400, 600))
_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_STREAM_HINT = "--stream brings long answers whole, since the server's time limit is for plain ones"
_CUT_HINT = "the network or a proxy between cuts them: check those"


def judge(error: AttemptFailed, *, dashscope: bool = True) -> Verdict:
    """What follows from `error`.

    `dashscope` says that the endpoint is Model Studio, or may be a gateway to it. There
    `insufficient_quota` is token throttling; elsewhere the same words mean that there is no money,
    unless the answer bears Model Studio's marks.
    """
    match error:
        case AnsweredError():
            return _judge_answer(error, dashscope=dashscope)
        case Untrusted():
            # Waiting does not change a certificate, and its text names the flag already.
            return Verdict(Action.STOP, "connection", str(error))
        case Unreachable():
            return Verdict(Action.AGAIN, "connection", str(error), outage=True)
        case TimedOut():
            hint = "--timeout SECONDS allows a whole answer more time"
            return Verdict(Action.AGAIN, "timeout", str(error), hint=hint)
        case IncompleteReply():
            return _judge_incomplete(error)
        case _:
            return Verdict(Action.AGAIN, "other", str(error))


def is_dashscope(base_url: str) -> bool:
    """Whether an address is one of Model Studio's own."""
    host = urlsplit(base_url).hostname or ""
    return host.endswith((".aliyuncs.com", ".aliyun.com"))


def _judge_answer(error: AnsweredError, *, dashscope: bool) -> Verdict:
    code, text = plain_code(error.code), error.message.lower()
    status = error.status
    if status < 300 and code in _STATUSES:
        status = int(code)  # some servers put the status into an error under HTTP 200
    matching = (rule for rule in RULES if rule.matches(status, code, text))
    rule = next(matching)
    if rule is OPENAI_NO_MONEY and (dashscope or _has_marks(error)):
        rule = next(matching)
    wait_s = None
    if rule.action in (Action.AGAIN, Action.THROTTLED):
        wait_s = _retry_after_s(error.headers)
    if wait_s is not None and wait_s > LONGEST_WAIT_S:
        return _too_long(error, rule, wait_s)
    return Verdict(
        rule.action,
        rule.error_type,
        error.message or f"HTTP {error.status}",
        code=error.code or str(error.status),
        retry_after_s=wait_s,
        burst=rule.burst,
        hint=rule.hint,
        mend=rule.mend,
        outage=rule.outage,
    )


def _judge_incomplete(error: IncompleteReply) -> Verdict:
    if error.partial is None and error.text.lstrip().startswith("<"):
        # A web page under HTTP 200: the address is a site's, or a network wants a sign-in.
        return Verdict(
            Action.CONFIG, "incomplete", str(error), hint=ADDRESS_HINT, mend=ADDRESS_FLAG
        )
    hint, mend = _STREAM_HINT if error.partial is not None else None, None
    if error.broke_off:
        hint = _CUT_HINT
        if error.partial is None:  # a plain one: nothing of it can be read before its end
            hint, mend = f"{hint}; --stream may bring them whole", "--stream"
    return Verdict(Action.AGAIN, "incomplete", str(error), hint=hint, mend=mend)


def _too_long(error: AnsweredError, rule: Rule, wait_s: float) -> Verdict:
    if wait_s >= _DAY_S:
        span = f"{wait_s / _DAY_S:.1f} days"
    elif wait_s >= _HOUR_S:
        span = f"{wait_s / _HOUR_S:.1f} hours"
    else:
        span = f"{wait_s:.0f} s"
    return Verdict(
        Action.STOP,
        "quota" if rule.action is Action.THROTTLED else rule.error_type,
        f"{error.message or f'HTTP {error.status}'} (asked to wait {span})",
        code=error.code or str(error.status),
        retry_after_s=wait_s,
        hint=f"resume after {span}, or ask for a higher quota",
    )


def _has_marks(error: AnsweredError) -> bool:
    text = error.message.lower()
    return any(mark in text for mark in DASHSCOPE_MARKS) or any(
        name.startswith("x-dashscope") or name == "req-cost-time" for name in error.headers
    )


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, or `retry-after` in both its forms.

    A date is measured by the server's own clock where it tells that (RFC 9110, 10.2.3 and 6.6.1).
    """
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        if name not in headers:
            continue
        try:
            wait_s = float(headers[name]) * scale
        except ValueError:
            continue
        if wait_s >= 0:  # false for NaN too
            return wait_s
    until_s = _date_s(headers.get("retry-after", ""))
    if until_s is None:
        return None
    return max(0.0, until_s - (_date_s(headers.get("date", "")) or time.time()))


def _date_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):
        return None
