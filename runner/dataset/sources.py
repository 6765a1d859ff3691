"""Which files is the dataset, in which order, and how is one opened?

The only place that touches the file system for a dataset, so that other file systems can be added
here.
"""

from __future__ import annotations

import difflib
import glob
import hashlib
import io
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast
from urllib.parse import unquote

import pyarrow as pa

from runner.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.errors import StopsRun

Kind = Literal["parquet", "csv", "jsonl"]
_Compression = Literal["gzip", "zstd", "bz2"]

_KINDS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_COMPRESSIONS: dict[str, _Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_ADVICE = {
    ".json": "Write one JSON object a line and name it .jsonl.",
    ".xlsx": "Save it as CSV (UTF-8).",
    ".xls": "Save it as CSV (UTF-8).",
    ".txt": "If it is delimited text, name it .csv (and see --csv-delimiter).",
}
_MAGIC = {
    b"PAR1": "a Parquet file; name it .parquet",
    b"\x1f\x8b": "gzip-compressed; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "zstd-compressed; add .zst to its name",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; unpack it, or save it as CSV (UTF-8)",
}
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # how Hive and Spark write a null into a folder's name
_SKIPPED = ("_", ".")  # marks of writers (_SUCCESS, .crc) and hidden files
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the dataset. Made by `find_sources`, consumed by the readers of each format."""

    path: str  # as the user named it or as it was found
    kind: Kind
    ending: str  # lower case, compression aside: ".tsv"
    compression: _Compression | None  # as pyarrow names it; None: plain
    size: int  # bytes on disk
    mtime_ns: int
    parts: tuple[tuple[str, str | None], ...] = ()  # key=value folders on the way to it

    def open_arrow(self) -> pa.NativeFile:
        """The file for random access, as Parquet wants it."""
        return pa.OSFile(self.path, "r")

    def open_bytes(self) -> BinaryIO:
        """The file's bytes from its beginning, decompressed."""
        if self.compression is None:
            return Path(self.path).open("rb")
        stream = pa.input_stream(self.path, compression=self.compression)
        return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", stream), _BLOCK_BYTES))

    def read_blocks(self) -> Iterator[bytes]:
        """The bytes on disk, a megabyte at a time."""
        with Path(self.path).open("rb", buffering=0) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    def check_unchanged(self, error: type[StopsRun]) -> None:
        """Raise `error` if the file is no longer the one that was found."""
        with told(self, error):
            found = Path(self.path).stat()
        if (found.st_size, found.st_mtime_ns) != (self.size, self.mtime_ns):
            raise error(
                f"{self.path} has changed since this run began reading it. Nothing is lost: "
                "'penstock plan RUN' shows what a resume would reuse and ask anew."
            )

    def check_text(self) -> None:
        """Raise DatasetError if the bytes are of another format than the name says."""
        with told(self, DatasetError), self.open_bytes() as file:
            head = file.read(4)
        for magic, meaning in _MAGIC.items():
            if head.startswith(magic):
                raise DatasetError(f"{self.path} is {meaning}")


@contextmanager
def told(source: Source, error: type[StopsRun], where: str = "") -> Iterator[None]:
    """Turn what the file system, a decompressor or Arrow raises into `error`, naming the file."""
    try:
        yield
    except FileNotFoundError:
        raise error(f"{source.path}: there is no such file any more") from None
    except (OSError, EOFError, pa.ArrowException) as cause:
        said = getattr(cause, "strerror", None) or str(cause)
        raise error(
            f"{source.path}{where} cannot be read: {said}. Check the disk, or copy the file again."
        ) from cause


def find_sources(paths: Sequence[str]) -> list[Source]:
    """The files behind `paths` (files, folders, glob patterns), in reading order.

    A folder is walked in order of names, a pattern's matches likewise; names that start with _ or .
    are skipped in both. Folders called key=value below a named folder, or matched by a pattern,
    become text columns. Raises DatasetError.
    """
    if not paths:
        raise DatasetError("no dataset given; name a .parquet, .csv or .jsonl file, or a folder")
    sources = [_source(found, fixed) for path in paths for found, fixed in _expand(path)]
    first = sources[0]
    seen: set[str] = set()
    for source in sources:
        if source.kind != first.kind:
            raise DatasetError(
                f"{first.path} is {first.kind} and {source.path} is {source.kind}: "
                "one dataset holds files of one kind. Name the files, or a pattern like '*.csv'."
            )
        real = os.path.realpath(source.path)
        if real in seen:
            raise DatasetError(f"{source.path} is named twice; its rows would be paid twice")
        seen.add(real)
    return sources


def digest(sources: Sequence[Source]) -> str:
    """SHA-256 of the contents in order, as hex digits; of one plain file it is `sha256sum`'s.

    Where there are several files each one's size, and where there are key=value folders those too,
    go in before its contents: rows then cannot move between files unseen.
    """
    sha = hashlib.sha256()
    for source in sources:
        if len(sources) > 1 or source.parts:
            sha.update(repr((source.size, source.parts)).encode())
        for block in source.read_blocks():
            sha.update(block)
    return sha.hexdigest()


def _expand(path: str) -> Iterator[tuple[Path, int]]:
    """Files, each with how many components of its path the user had fixed."""
    if "://" in path:
        raise DatasetError(f"{path} is an address; copy the files to this machine first")
    named = Path(path)
    fixed = len(named.parts)
    if named.is_dir():
        found = _walk(path)
    elif named.exists():
        found = [named]
    elif glob.has_magic(path):
        found = _matches(path)
        fixed = next(at for at, part in enumerate(named.parts) if glob.has_magic(part))
    else:
        raise DatasetError(f"{path}: there is no such file or folder{_resembling(named)}")
    if not found:
        raise DatasetError(f"{path}: no file found (names starting with _ or . are skipped)")
    for file in found:
        yield file, fixed


def _walk(folder: str) -> list[Path]:
    """The files below a folder, ordered by the names on their way."""
    found: list[Path] = []
    walked: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in walked:  # a link back to a folder above would be walked for ever
            folders.clear()
            continue
        walked.add(real)
        folders[:] = [name for name in folders if not name.startswith(_SKIPPED)]
        found += [Path(parent, name) for name in files if not name.startswith(_SKIPPED)]
    return sorted(found, key=lambda path: path.parts)


def _matches(pattern: str) -> list[Path]:
    found: list[Path] = []
    # Path.glob takes no absolute pattern
    for path in sorted(map(Path, glob.glob(pattern, recursive=True)), key=lambda path: path.parts):  # noqa: PTH207
        if not path.name.startswith(_SKIPPED):
            found += _walk(str(path)) if path.is_dir() else [path]
    # `**` matches a folder and again each file in it
    return list(dict.fromkeys(found))


def _source(path: Path, fixed: int) -> Source:
    ending = path.suffix.lower()
    compression = _COMPRESSIONS.get(ending)
    if compression:
        ending = Path(path.stem).suffix.lower()
    kind = _KINDS.get(ending)
    if kind is None or (kind == "parquet" and compression):
        advice = _ADVICE.get(ending, "In a folder, leave it out with a pattern like 'data/*.csv'.")
        raise DatasetError(
            f"{path}: its name must end in .parquet, .csv, .tsv or .jsonl "
            f"(text also with .gz, .zst or .bz2). {advice}"
        )
    if not path.is_file():
        raise DatasetError(f"{path} is no regular file; a dataset is read more than once")
    try:
        found = path.stat()
        path.open("rb").close()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    parts = tuple(
        (key, None if value == _NO_VALUE else unquote(value))
        for key, equals, value in (name.partition("=") for name in path.parts[fixed:-1])
        if key and equals
    )
    return Source(str(path), kind, ending, compression, found.st_size, found.st_mtime_ns, parts)


def _resembling(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist either"
    close = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)  # noqa: PTH208
    return f"; did you mean {path.parent / close[0]}?" if close else ""
