"""A large CSV table as pandas reads it, read by Arrow, which is faster but takes longer to start."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from mammo.tables.memory import give_back

LARGE = 4_000_000  # bytes of a table from which on this pays


def arrow_csv(
    path: Path,
    types: Mapping[str, str | type],
    number: Callable[[str], bool],
    wanted: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return the table of a CSV file, in which an empty cell is a missing value.

    Args:
        path: The file.
        types: The types of columns, words (str) or whole numbers (`Int64`).
        number: Tells by its name if a column that has none of these types holds numbers.
        wanted: The columns that are read, as far as the table has them; None reads all.

    Raises:
        ValueError: It is no such table.
    """
    columns = [one for one in pd.read_csv(path, nrows=0).columns if wanted is None or one in wanted]
    known = {one: pa.int64() if types[one] == "Int64" else pa.large_string() for one in columns if one in types}
    known |= {one: pa.float64() for one in columns if one not in types and number(one)}
    included = {} if wanted is None else {"include_columns": columns}
    how = csv.ConvertOptions(column_types=known, null_values=[""], strings_can_be_null=True, **included)
    as_pandas = {"types_mapper": {pa.int64(): pd.Int64Dtype()}.get, "split_blocks": True, "self_destruct": True}
    found = csv.read_csv(path, convert_options=how).to_pandas(**as_pandas)  # a column is forgotten once it is copied
    found = found.astype({one: types[one] for one in columns if one in types})
    give_back()  # what Arrow had the table in
    return found
