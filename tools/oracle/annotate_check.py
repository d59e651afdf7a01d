"""What pyarrow finds different between metadata and its annotated copy, but for the added columns.

    python tools/oracle/annotate_check.py FOREIGN COPY

Prints one JSON object a parquet: rows, added columns, parquet types and statistics that changed, Arrow types that
changed (their values are compared all the same) and columns whose values differ.
"""
import json
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def plain(column):
    # A dictionary's type is Arrow's own; as strings the values can be compared.
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def statistics(chunk):
    return chunk.statistics.to_dict() if chunk.statistics is not None else None


def compare(before, after):
    x, y = pq.read_table(before), pq.read_table(after)
    fx, fy = pq.ParquetFile(before), pq.ParquetFile(after)
    sx, sy = fx.schema, fy.schema
    groups = [g for g in range(fx.num_row_groups) if fx.metadata.row_group(g).num_rows > 0]
    return {
        "rows": [x.num_rows, y.num_rows],
        "added": [name for name in y.column_names if name not in x.column_names],
        "types": [sx.column(i).path for i in range(len(sx)) if str(sx.column(i)) != str(sy.column(i))],
        "statistics": [
            sx.column(i).path
            for i in range(len(sx))
            for g in groups
            if statistics(fx.metadata.row_group(g).column(i)) != statistics(fy.metadata.row_group(g).column(i))
        ],
        "arrow_types": [name for name in x.column_names if x[name].type != y[name].type],
        "values": [name for name in x.column_names if plain(x[name]).to_pylist() != plain(y[name]).to_pylist()],
    }


before, after = map(pathlib.Path, sys.argv[1:3])
print(json.dumps({path.stem: compare(path, after / path.name) for path in sorted(before.glob("*.parquet"))}))
