"""Vectorised answers about rows and groups of rows, which the suites' frames are made of.

What belongs here: functions of Arrow columns that return one value a row or a group. What does not: what must hold of
those values (the suites), or anything that loops over rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.study import Provenance

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def bools(values: pa.ChunkedArray | pa.Array) -> Bools:
    """A boolean column as numpy; null becomes false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool).reshape(-1)


def codes(column: pa.ChunkedArray | pa.Array) -> tuple[Ints, int]:
    """A dense code for each row (equal values, equal codes; null is a value too), and how many codes there are."""
    values = pc.unique(column)
    found = pc.index_in(column, value_set=values).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.int64).reshape(-1), len(values)


def keys(table: pa.Table, columns: Sequence[str]) -> Ints:
    """One code for each row over several columns together."""
    joint = np.zeros(table.num_rows, dtype=np.int64)
    span = 1
    for name in columns:
        each, size = codes(table.column(name))
        if span * max(size, 1) >= 2**62:
            _, joint = np.unique(joint, return_inverse=True)
            span = int(joint.max(initial=0)) + 1
        joint = joint * max(size, 1) + each
        span *= max(size, 1)
    return joint


def alone(table: pa.Table, columns: Sequence[str]) -> Bools:
    """Whether no other row has the same values in the columns."""
    _, inverse, counts = np.unique(keys(table, columns), return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] == 1, dtype=bool)


def present(table: pa.Table, columns: Sequence[str]) -> Bools:
    """Whether none of the columns is null, NaN or (for text) empty in the row."""
    whole = np.ones(table.num_rows, dtype=bool)
    for name in columns:
        column = table.column(name)
        whole &= bools(pc.is_valid(column))
        if pa.types.is_floating(column.type):
            whole &= ~bools(pc.is_nan(column))
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            whole &= bools(pc.not_equal(pc.binary_length(column), 0)) | bools(pc.is_null(column))
    return whole


def within(column: pa.ChunkedArray | pa.Array, allowed: pa.ChunkedArray | pa.Array | Sequence[str]) -> Bools:
    """Whether the value is one of those allowed; null is never."""
    values = allowed if isinstance(allowed, pa.ChunkedArray | pa.Array) else pa.array(allowed, column.type)
    if isinstance(values, pa.ChunkedArray):
        values = pc.unique(values)
    return bools(pc.is_in(column, value_set=values, skip_nulls=True)) & bools(pc.is_valid(column))


def grades(provenance: pa.ChunkedArray | pa.Array) -> Ints:
    """Grade on the provenance scale, 0-5; -1 for a value that is not on it."""
    found = pc.index_in(provenance, value_set=pa.array([one.value for one in Provenance]), skip_nulls=True)
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64).reshape(-1)


def looked_up(column: pa.ChunkedArray, keys_of: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The value that belongs to each key: `values` where `keys_of` equals `column`; null where it is nowhere."""
    return values.take(pc.index_in(column, value_set=keys_of.combine_chunks(), skip_nulls=True))


def numbers(column: pa.ChunkedArray | pa.Array, missing: float = np.nan) -> npt.NDArray[np.float64]:
    """A numeric or boolean column as float64, null as `missing`."""
    filled = pc.fill_null(pc.cast(column, pa.float64()), missing)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64).reshape(-1)


def trimmed_length(text: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Characters of the text without white space at its ends; 0 for null."""
    return pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)


def size(table: pa.Table) -> pa.Table:
    """The number of rows, as a frame of one row: an empty table passes every other check."""
    return pa.table({"rows": [table.num_rows]})


def counted(column: pa.ChunkedArray, name: str, values: Sequence[str]) -> pa.Table:
    """One row a value: how many rows of the column hold it; the columns are `name` and `rows`."""
    held = [int(within(column, [one]).sum()) for one in values]
    return pa.table({name: pa.array(values, pa.string()), "rows": pa.array(held, pa.int64())})


def distinct(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The different values of the columns together, without those that hold a null."""
    return table.select(list(columns)).drop_null().group_by(list(columns)).aggregate([])


def crossed(left: pa.Table, right: pa.Table) -> pa.Table:
    """Every row of the one beside every row of the other; their columns have different names."""
    first = left.take(pa.array(np.repeat(np.arange(left.num_rows), right.num_rows)))
    second = right.take(pa.array(np.tile(np.arange(right.num_rows), left.num_rows)))
    for name in second.column_names:
        first = first.append_column(name, second.column(name))
    return first


def replicates(table: pa.Table) -> pa.Table:
    """One row an arm: how many replicates it has."""
    found = table.group_by("arm").aggregate([("replicate", "count_distinct")])
    return found.select(["arm", "replicate_count_distinct"]).rename_columns(["arm", "replicates"])
