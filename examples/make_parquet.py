# noqa: INP001 - a script, no package
"""Makes prompts.parquet from prompts.csv: the same rows, with types instead of text."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

HERE = Path(__file__).parent
TYPES = {"id": pa.int64(), "price": pa.decimal128(10, 2), "asked_at": pa.timestamp("s")}


def read_typed(path: Path) -> pa.Table:
    """The rows of the CSV with numbers, times, lists and nulls; `code` stays text, as in 007."""
    names = ("id", "category", "lang", "code", "text", "tags", "price", "asked_at")
    table = pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: TYPES.get(name, pa.string()) for name in names},
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    at = table.schema.get_field_index("tags")
    return table.set_column(at, "tags", pc.split_pattern(table["tags"], ";"))


if __name__ == "__main__":
    # row groups smaller than the table, as large files have them
    pq.write_table(read_typed(HERE / "prompts.csv"), HERE / "prompts.parquet", row_group_size=16)
