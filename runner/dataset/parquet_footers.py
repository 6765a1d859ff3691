"""What do the footers of Parquet files say, and do the files go together?"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from runner.dataset.sources import told
from runner.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.dataset.sources import Source
    from runner.errors import MachineFault

_BUFFER_BYTES = 1 << 17  # read ahead in each column; unbounded, a whole row group is held
_MAGIC = b"PAR1"
_MAGIC_ENCRYPTED = b"PARE"
_MIN_BYTES = 12  # two magic words and the footer's length


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """One file and what its footer says. Made by `read_footer`, consumed by `parquet_rows`."""

    source: Source
    start: int  # position of its first row
    group_rows: tuple[int, ...]  # rows in each row group
    group_bytes: tuple[int, ...]  # of each, not compressed
    schema: pa.Schema

    @property
    def stop(self) -> int:
        """The position after its last row."""
        return self.start + sum(self.group_rows)

    @property
    def groups(self) -> tuple[range, ...]:
        """The positions of each row group's rows."""
        ends = list(accumulate(self.group_rows, initial=self.start))
        return tuple(range(*ends_of) for ends_of in pairwise(ends))


def read_footer(source: Source, start: int) -> ParquetFile:
    """The file whose rows begin at position `start`. Raises DatasetError where it is none."""
    _check_magic(source)
    with opened(source, DatasetError) as parquet:
        metadata, schema = parquet.metadata, parquet.schema_arrow
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    rows = tuple(group.num_rows for group in groups)
    sizes = tuple(group.total_byte_size for group in groups)
    double = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if double:
        raise DatasetError(
            f"{source.path} has more than one column named '{double[0]}'; rename all but one"
        )
    return ParquetFile(source, start, rows, sizes, schema.remove_metadata())


def _check_magic(source: Source) -> None:
    with told(source, DatasetError), source.open_arrow() as file:
        size = source.size
        head = file.read(4)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if size == 0:
        raise DatasetError(f"{source.path} is empty (0 bytes)")
    if _MAGIC_ENCRYPTED in (head, tail):
        raise DatasetError(f"{source.path} is encrypted Parquet; write it out unencrypted")
    if head != _MAGIC:
        raise DatasetError(
            f"{source.path} is not a Parquet file: it begins with {head!r}, not b'PAR1'. "
            "Name it after what it holds (.csv, .jsonl), or write it again."
        )
    if tail != _MAGIC or size < _MIN_BYTES:
        raise DatasetError(
            f"{source.path} is a truncated Parquet file: its footer is missing after {size:,} "
            "bytes. Its copying or writing was cut short; do it again."
        )


@contextmanager
def opened(source: Source, error: type[DatasetError | MachineFault]) -> Iterator[pq.ParquetFile]:
    """The file, ready to be read with little memory; `error` is raised where it cannot be."""
    with told(source, error):
        file = source.open_arrow()
    with file:
        with told(source, error, ": the Parquet footer"):
            parquet = pq.ParquetFile(
                file,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,  # it would hold a whole row group
                page_checksum_verification=True,
            )
        with parquet:
            yield parquet


def unify(files: Sequence[ParquetFile]) -> pa.Schema:
    """All columns of all files, folders' ones too. Raises DatasetError where types clash."""
    types: dict[str, tuple[pa.DataType, str]] = {}  # and the file that first had the column
    for file in files:
        folders = [key for key, _ in file.source.parts if key not in file.schema.names]
        for field in [*file.schema, *(pa.field(key, pa.string()) for key in folders)]:
            known, path = types.get(field.name, (field.type, file.source.path))
            merged = _merge(known, field.type)
            if merged is None:
                raise DatasetError(
                    f"column '{field.name}' is {known} in {path} and {field.type} in "
                    f"{file.source.path}: convert one of the files, or run them separately"
                )
            types[field.name] = (merged, path)
    return pa.schema([pa.field(name, kind) for name, (kind, _) in types.items()])


def _merge(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds both without loss of meaning; None where there is none."""
    if one.equals(other):
        return one
    plain = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (one, other)]
    try:
        unified = pa.unify_schemas(
            [pa.schema([pa.field("column", kind)]) for kind in plain], promote_options="permissive"
        )
    except pa.ArrowException:
        return None
    merged: pa.DataType = unified.field(0).type
    return merged
