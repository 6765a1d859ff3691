"""Where does a CSV record begin and end, and what when its quotes say nonsense?"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from runner.counted import counted
from runner.dataset.batches import MAX_LINE_BYTES, shown
from runner.dataset.sources import told
from runner.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.dataset.sources import Source
    from runner.errors import StopsRun

# Cells (None: no row, and the text says why), the record's text, the number of its first line.
Record = tuple[list[str] | None, str, int]


class _RowTooLong(Exception):  # noqa: N818 - a signal from the feed to the loop around the parser
    pass


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How the bytes of CSV files are read. Made by `dataset`, used wherever one is opened."""

    delimiter: str  # of .csv; .tsv has tabs unless this is something else than a comma
    encoding: str  # as Python spells it

    @classmethod
    def of(cls, delimiter: str, encoding: str) -> CsvFormat:
        """Raises DatasetError where Python knows no such text encoding."""
        try:
            known = codecs.lookup(encoding).name
            " ".encode(known)  # some codecs are not of text
        except (LookupError, UnicodeError, ValueError):
            raise DatasetError(
                f"--csv-encoding {encoding}: there is no such encoding; usual ones are utf-8, "
                "gb18030, utf-16, big5, shift_jis and cp1252"
            ) from None
        return cls(delimiter, "utf-8" if known == "utf-8-sig" else known)

    def delimiter_of(self, source: Source) -> str:
        """The file's own delimiter."""
        return "\t" if source.ending == ".tsv" and self.delimiter == "," else self.delimiter

    @contextmanager
    def opened(self, source: Source, error: type[StopsRun]) -> Iterator[CsvRecords]:
        """The file's records from its beginning; undecodable bytes are kept as surrogates."""
        with told(source, error):
            file = source.open_bytes()
        errors = "surrogateescape" if self.encoding == "utf-8" else "penstock-bytes"
        with io.TextIOWrapper(file, self.encoding, errors, newline="") as text:
            yield CsvRecords(text, delimiter=self.delimiter_of(source), path=source.path)

    def undecodable(self, source: Source, raw: str, line: int) -> str | None:
        """The flaw of a row whose text holds an undecodable byte; None for a sound one."""
        try:
            raw.encode()
        except UnicodeEncodeError as error:
            byte = ord(raw[error.start]) - 0xDC00
            return (
                f"line {line} of {source.path} is not {self.encoding} (byte 0x{byte:02x} at "
                f"character {error.start + 1}): {shown(raw)}"
            )
        return None


class CsvRecords:
    """The records of one text stream that was opened with `newline=""`.

    Blank lines (nothing but spaces and tabs) are skipped, as pandas does. The parser is strict, so
    that a quote that is opened by mistake and ends at the next quote, rows later, is seen and does
    not swallow those rows into one cell unnoticed, and that no text is sent which has lost a quote
    that somebody forgot to double (`"wor"ld"`). Spaces after a closing quote do no harm: they are
    kept in the cell, as pandas and Excel do.
    """

    def __init__(self, text: TextIO, *, delimiter: str, path: str) -> None:
        self._text = text
        self._delimiter = delimiter
        self._path = path
        quoted, plain = r'"(?:[^"]++|"")*+" *', rf'(?!")[^{re.escape(delimiter)}]*+'
        cell = f"(?:{quoted}|{plain})"
        self._padded = re.compile(rf"{cell}(?:{re.escape(delimiter)}{cell})*+[\r\n]*")
        self._lines: list[str] = []  # of the record being read
        self._chars = 0  # in them
        self._line_number = 0  # of the last line read
        self._again: deque[str] = deque()  # lines to read once more
        self._ended = False
        csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
        self._header: list[str] = []

    def read_header(self) -> list[str]:
        """The first record that is not blank; [] where there is none. Raises DatasetError."""
        cells, flaw, _ = next(self._records(), ([], "", 0))
        if cells is None:
            raise DatasetError(flaw)
        self._header = cells
        return cells

    def __iter__(self) -> Iterator[Record]:
        """The records after the header, each with as many cells or a flaw."""
        width = len(self._header)
        for record in self._records():
            cells, raw, line = record
            if cells is None or len(cells) == width:
                yield record
            else:
                flaw = (
                    f"line {line} of {self._path}: expected {_fields(width)} as in the header, "
                    f"found {len(cells):,}: {shown(raw)}"
                )
                yield None, flaw, line

    def _records(self) -> Iterator[Record]:
        """Every record that is not blank, however many cells it has."""
        lines = self._lines
        while True:
            # a parser that has raised, or whose feed has, starts anew
            parser = csv.reader(self._feed(), delimiter=self._delimiter, strict=True)
            try:
                for cells in parser:
                    raw = lines[0] if len(lines) == 1 else "".join(lines)
                    line = self._line_number - len(lines) + 1
                    lines.clear()
                    if len(cells) > 1 or raw.strip(" \t\r\n"):
                        yield cells, raw, line
            except (csv.Error, _RowTooLong) as error:
                record = self._recover(error)
                lines.clear()
                yield record
            else:
                return

    def _feed(self) -> Iterator[str]:
        lines, again, readline = self._lines, self._again, self._text.readline
        self._ended = False
        while line := again.popleft() if again else readline(MAX_LINE_BYTES):
            if not self._line_number:
                line = line.removeprefix("\ufeff")  # of encodings whose decoder leaves the mark in
            self._line_number += 1
            self._chars = self._chars + len(line) if lines else len(line)
            lines.append(line)
            if self._chars >= MAX_LINE_BYTES:
                raise _RowTooLong
            yield line
        self._ended = True

    def _recover(self, error: Exception) -> Record:
        """The record for lines that make none; decides where reading goes on."""
        lines = self._lines
        raw = lines[0]
        first = self._line_number - len(lines) + 1
        if isinstance(error, _RowTooLong) and len(lines) == 1:
            self._skip_line()
            why = f"is longer than {MAX_LINE_BYTES >> 20} MB"
        elif isinstance(error, _RowTooLong) or self._ended:
            # rows follow that are sound: only the line where the quote was opened is given up
            self._again.extendleft(reversed(lines[1:]))
            self._line_number = first
            within = "" if self._ended else f" within {MAX_LINE_BYTES >> 20} MB"
            why = f'opens a quote (") that is not closed{within}'
        else:
            raw = "".join(lines)
            if len(lines) == 1 and self._padded.fullmatch(raw):
                return next(csv.reader(lines, delimiter=self._delimiter)), raw, first
            why = 'has text after a closing quote ("); a quote inside a quoted cell is written ""'
            if len(lines) > 1:
                why += f"; the row runs on to line {self._line_number}"
        return None, f"line {first} of {self._path} {why}: {shown(raw)}", first

    def _skip_line(self) -> None:
        """Go to the end of a line of which only the beginning has been read."""
        piece = self._lines[0]
        while piece and not piece.endswith(("\n", "\r")):
            piece = self._text.readline(MAX_LINE_BYTES)


def _fields(count: int) -> str:
    return counted(count, "field")


def _bytes_as_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Each byte b that cannot be decoded becomes U+DC00 + b.

    `surrogateescape` does the same and is much faster, but refuses the bytes below 0x80 that UTF-16
    and ISO-2022 may fail on.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


codecs.register_error("penstock-bytes", _bytes_as_surrogates)
