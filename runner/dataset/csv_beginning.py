"""Is the beginning of a CSV file sound? If not, what should its owner do?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.counted import counted
from runner.dataset.batches import SAMPLE_BYTES, shown
from runner.dataset.encoding_guess import decoded, guess_encoding
from runner.dataset.sources import told
from runner.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.dataset.csv_records import CsvFormat
    from runner.dataset.sources import Source


def read_beginning(
    source: Source, csv_format: CsvFormat, sample_bytes: int
) -> tuple[list[str], int, bool]:
    """The header, how many rows the sample has, and whether it is the whole file.

    Raises DatasetError for what is wrong within the sample.
    """
    source.check_text()
    with told(source, DatasetError), csv_format.opened(source, DatasetError) as records:
        header = records.read_header()
        _check_header(source, csv_format, header)
        rows = size = undecodable = foreign = 0
        flaws: list[str] = []
        for cells, raw, line in records:
            rows += 1
            size += len(raw)
            foreign += not raw.isascii()
            if cells is None:
                flaws.append(raw)
            elif not raw.isascii() and (bad := csv_format.undecodable(source, raw, line)):
                undecodable += 1
                flaws.append(bad)
            if size >= sample_bytes:
                break
    if flaws:
        more = ""
        if len(flaws) > 1:
            follow = counted(len(flaws) - 1, "more such line follows", "more such lines follow")
            more = f" ({follow} soon)"
        advice = "Repair it, or see --csv-delimiter."
        if undecodable:
            advice = _encoding_advice(source, csv_format, undecodable, foreign)
        raise DatasetError(f"{flaws[0]}{more}\n{advice}")
    return header, rows, size < sample_bytes


def check_same_header(
    first: Source, header: Sequence[str], source: Source, found: Sequence[str]
) -> None:
    """Raises DatasetError where a later file has other columns than the first one."""
    if found != header:
        raise DatasetError(
            f"{source.path} has the columns {', '.join(found)}, but {first.path} has "
            f"{', '.join(header)}: the files of one dataset share one header"
        )


def _check_header(source: Source, csv_format: CsvFormat, header: list[str]) -> None:
    if not header:
        raise DatasetError(f"{source.path} is empty; its first line must name the columns")
    text = ",".join(header)
    if csv_format.undecodable(source, text, 1) or "\0" in text:
        advice = _encoding_advice(source, csv_format, 1, 1)
        raise DatasetError(
            f"the header of {source.path} is not {csv_format.encoding}: {shown(text)}\n{advice}"
        )
    for at, name in enumerate(header, 1):
        if not name.strip():
            raise DatasetError(
                f"the header of {source.path} has no name for column {at}; give it one "
                "(pandas: to_csv(..., index=False) leaves its nameless index out)"
            )
        if name in header[: at - 1]:
            raise DatasetError(
                f"the header of {source.path} names column '{name}' twice; rename one of them"
            )
    if len(header) == 1:
        _check_lone_column(source, header[0], csv_format.delimiter_of(source))


def _check_lone_column(source: Source, name: str, delimiter: str) -> None:
    advice = {
        ";": "add --csv-delimiter ';'",
        "\t": "add --csv-delimiter tab",
        "|": "add --csv-delimiter '|'",
        ",": "its name should end in .csv, or leave --csv-delimiter out",
    }
    for other, what_to_do in advice.items():
        if other in name and other != delimiter:
            raise DatasetError(f"{source.path} has one column, called '{name}': {what_to_do}")


def _encoding_advice(source: Source, csv_format: CsvFormat, undecodable: int, foreign: int) -> str:
    if undecodable * 2 < foreign:
        return (
            f"Most other lines beyond ASCII are sound {csv_format.encoding}: repair this one, or "
            "take it out."
        )
    with source.open_bytes() as file:
        data = file.read(SAMPLE_BYTES)
    guess = guess_encoding(data, but=csv_format.encoding)
    if guess is None and b"\0" in data:
        return "It holds no text. Name it after what it is (.parquet), or save it as CSV in UTF-8."
    if guess is None:
        return "Save the file as UTF-8, or name its encoding with --csv-encoding."
    text = decoded(data, guess) or ""
    sample = next((line for line in text.splitlines() if not line.isascii()), text)
    return f"Try --csv-encoding {guess}, which reads it as: {sample[:80]}"
