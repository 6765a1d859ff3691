"""How an estimate reads to a person: a report in plain lines, and a few before a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jobs.words import counted, double_ids_line, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner import Estimate, Measured, ModelEstimate, Range

_EXAMPLE = 120  # characters of a failure's message


def report_lines(found: Estimate, next_command: str) -> list[str]:
    """The whole report; the last line is the next command."""
    lines = [*_dataset_lines(found), ""]
    lines += _table(
        ["model", "tokens in", "tokens out", "cost", "time"],
        [_overview(model) for model in found.models],
    )
    for model in found.models:
        lines += ["", *_model_lines(found, model)]
    return [*lines, "", f"next      {next_command}"]


def about_lines(found: Estimate) -> list[str]:
    """The short form before a run: some lines, and every figure in them is `about`."""
    model = found.models[0]
    rows = counted(found.rows, "row")
    if not found.rows_exact:
        rows = f"about {_rounded(found.rows)} rows"
    cost = "unknown, since no price is known for this model and address"
    if model.money is not None:
        cost = f"{about(model.money.total, model.money.currency)} (prices of {model.money.as_of})"
    tokens, answers = model.prompt_tokens, model.output_per_request
    return [
        f"to ask: {rows}, about {_span(tokens, _rounded)} tokens in, going by {found.sample}",
        f"answers: {_span(answers, _mean)} tokens each: {model.output_source}",
        f"time: about {_span(model.time.seconds, duration)}",
        f"cost: {cost}; `penstock estimate` tells more",
    ]


def about(amount: Range, currency: str) -> str:
    """`about 12 to 340 USD`: two digits, since there are no more in it."""
    return f"about {_span(amount, _rounded)} {currency}".rstrip()


def _dataset_lines(found: Estimate) -> list[str]:
    files = found.dataset[0] if len(found.dataset) == 1 else f"{len(found.dataset)} files"
    requests = round(found.requests)
    lines = [f"dataset   {files}: {counted(found.rows, 'row')}, {counted(requests, 'request')}"]
    if found.sample is not None:
        lines.append(f"sample    {found.sample}; ranges hold its error in 95 of 100 cases")
    if found.sample_small:
        lines.append("          so few rows tell little of how rows differ; --sample 1000 does")
    if found.measured is not None:
        lines.append(_measured_line(found.measured))
    where = "" if found.sample is None else " of the sample"
    for kind, one in sorted(found.unsent.items()):
        text = " ".join(one.message.split())
        text = text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 1] + "…"
        lines.append(
            f"unsent    {counted(one.count, 'row')}{where} fail{'s' if one.count == 1 else ''} "
            f"unsent, {kind}, as row {one.row}: {text}"
        )
    if found.double_ids is not None:
        lines.append(f"ids       {double_ids_line(found.double_ids)}")
    lines.append(
        f"tokens    counted with {found.tokenizer}; the longest prompt has {found.longest_prompt:,}"
    )
    parts = {
        "images": "with images or sound, which are not counted",
        "tools": "with tools; the provider's wording around them is not published",
        "name": "with names in messages; whether these count is not published",
    }
    lines += [
        f"          {counted(requests, 'request')} {parts.get(part, part)}"
        for part, requests in sorted(found.inexact.items())
    ]
    return lines


def _measured_line(measured: Measured) -> str:
    kind = "pilot row" if measured.pilot else "finished row"
    line = f"measured  {counted(measured.tally.rows, kind)} in {measured.run}"
    if not measured.of_dataset:
        return line + ", over another dataset"
    if measured.rehearsal:
        return line + ", made up by the stand-in server: lengths and times are no model's"
    paid = (
        "what they cost is unknown"
        if measured.tally.cost is None
        else f"{_amount(measured.tally.cost)} {measured.tally.currency or ''} paid".replace(
            "  ", " "
        )
    )
    return f"{line}, {paid}, part of all figures below"


def _overview(model: ModelEstimate) -> list[str]:
    money = model.money
    return [
        model.model,
        _span(model.prompt_tokens, _whole),
        _span(model.completion_tokens, _whole),
        "unknown" if money is None else f"{_span(money.total, _amount)} {money.currency}".rstrip(),
        _span(model.time.seconds, duration),
    ]


def _model_lines(found: Estimate, model: ModelEstimate) -> list[str]:
    place = f" ({model.region})" if model.region else ""
    lines = [f"{model.model}{place}"]
    lines += [f"  warning   {warning}" for warning in model.warnings]
    lines.append(f"  in        {_span(model.prompt_tokens, _whole)} tokens, {_trust(found, model)}")
    if model.too_long:
        lines.append(
            f"  too long  {counted(model.too_long, 'request')} longer than the model takes, which "
            f"will fail"
        )
    lines.append(
        f"  out       {_span(model.output_per_request, _mean)} tokens a request: "
        f"{model.output_source}"
    )
    if model.wider_pilot is not None:
        lines.append(
            f"  wide      answers differ much; a pilot of {model.wider_pilot:,} "
            f"(--pilot {model.wider_pilot}) would narrow the cost to about 1.5 to 1"
        )
    if model.reasoning_tokens is not None:
        lines.append(
            f"  thinking  {_span(model.reasoning_tokens, _whole)} of the "
            f"{_span(model.completion_tokens, _whole)} tokens out"
        )
    return lines + _money_lines(model) + _time_lines(model)


def _trust(found: Estimate, model: ModelEstimate) -> str:
    if model.put_right:
        return f"counted with {found.tokenizer}, put right by what the measured rows were billed"
    if model.exact:
        is_file = found.tokenizer.endswith(".json")
        own = f" if {found.tokenizer} is the model's own" if is_file else ""
        return f"exact{own}" if found.sample is None else f"exact{own} but for the sample"
    if not model.error_share:
        return "estimated, for what is not published"
    return f"estimated with {found.tokenizer}, may err by {model.error_share:.0%} either way"


def _money_lines(model: ModelEstimate) -> list[str]:
    money = model.money
    if money is None:
        return [
            "  cost      unknown, no price is known for this model at this address",
            (
                "            (a file for --providers gives one, to generate and resume as well; "
                "--price-input and --price-output do for this estimate alone)"
            ),
        ]
    currency = money.currency
    lines = [
        f"  cost      {_span(money.total, _amount)} {currency}".rstrip()
        + f": input {_span(money.input, _amount)}, output {_span(money.output, _amount)}"
    ]
    for tier in money.tiers:
        upto = f"up to {tier.up_to:,} tokens" if tier.up_to is not None else "of any length"
        of = f" {tier.model}," if tier.model != model.model else ""
        thinking = " when thinking" if tier.thinking else ""
        lines.append(
            f"  tier     {of} prompts {upto}: {counted(round(tier.requests), 'request')}, "
            f"{tier.prompt_tokens:,.0f} tokens in, at {tier.input_price:g} in and "
            f"{tier.output_price:g} out{thinking} ({currency} per 1,000,000)".replace("( ", "(")
        )
    if model.to_pay is not None:
        lines.append(f"  to pay    {_span(model.to_pay, _amount)} {currency} for the rest".rstrip())
    if money.cached_found:
        lines.append(
            f"  cache     {money.cached_found:.0%} of the prompt tokens measured were found there, "
            f"at {money.cached_share or 1:.0%} of the input price; the rest is taken to be so"
        )
    elif money.cached_share is not None and money.cached_share < 1:
        lines.append(
            "  cache     not assumed; prompt tokens found there cost "
            f"{money.cached_share:.0%} of the input price"
        )
    if money.batch is not None:
        lines.append(
            f"  batch     {_span(money.batch, _amount)} {currency} over the provider's batch "
            f"interface, at {money.batch_share:.0%} of the price"
        )
    lines.append(f"  prices    of {money.as_of}, {money.source}")
    return lines


def _time_lines(model: ModelEstimate) -> list[str]:
    time = model.time
    rest = " for the rest" if model.done else ""
    binding = " or ".join(f"{name}" for name in time.binding)
    lines = [
        f"  time      {_span(time.seconds, duration)}{rest}; what binds: {binding}"
        + ("; the pace climbs for the first minute, unless --qps sets it" if time.climbs else ""),
        f"  latency   {_span(time.latency, _seconds)} an answer, {time.latency_source}",
    ]
    if time.in_flight.high:
        lines.append(
            f"  in flight {_span(time.in_flight, _whole)} requests at this pace, "
            f"{time.workers:,} workers"
        )
    lines += [f"  limit     {note}" for note in time.notes]
    rows = [
        [
            f"{pace.per_second:g}",
            _span(pace.seconds, duration),
            " or ".join(pace.binding),
            _span(pace.in_flight, _whole),
            "above the account's limit" if pace.above_limit else pace.label,
        ]
        for pace in time.paces
    ]
    table = _table(["--qps", "time", "binds", "in flight", ""], rows)
    return lines + [f"  {line}" for line in table]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    everything = [head, *rows]
    widths = [max(len(row[at]) for row in everything) for at in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in everything
    ]


def _span(figure: Range, write: Callable[[float], str]) -> str:
    low, high = write(figure.low), write(figure.high)
    return low if low == high else f"{low} to {high}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _seconds(value: float) -> str:
    return duration(value) if value >= 1 else f"{value:.2g} s"


def _mean(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")


def _amount(value: float) -> str:
    """With enough digits to see a cent's thousandth in a small sum."""
    digits = 2 if value >= 100 else 4 if value >= 1 else 6
    return f"{value:,.{digits}f}"


def _rounded(value: float) -> str:
    """Two digits: 1,234,567 is 1,200,000 and 0.01234 is 0.012."""
    if value <= 0:
        return "0"
    value = float(f"{value:.1e}")
    return f"{value:,.{max(0, 1 - math.floor(math.log10(value)))}f}"
