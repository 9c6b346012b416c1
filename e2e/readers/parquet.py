"""Counts Parquet files with DuckDB and prints one JSON object.

Usage: parquet.py GLOB [--sum COLUMN]... [--distinct COLUMN] [--rows N]

Names below the pattern's fixed part that begin with `_` or `.` and are no partition are hidden, as they are to Spark.
"""

import argparse
import glob
import json

import duckdb

parser = argparse.ArgumentParser()
parser.add_argument("glob")
parser.add_argument("--sum", action="append", default=[])
parser.add_argument("--distinct")
parser.add_argument("--rows", type=int, default=0)
options = parser.parse_args()

root = options.glob.split("*")[0]
files = [
    file
    for file in sorted(glob.glob(options.glob, recursive=True))
    if not any(part.startswith(("_", ".")) and "=" not in part for part in file[len(root) :].split("/"))
]
answer = {"rows": 0, "sums": {}, "distinct": 0, "columns": {}, "files": len(files), "first_rows": []}
if files:
    # What the names of folders say (`year=2024`) stands in no file.
    source = duckdb.read_parquet(files, union_by_name=True, hive_partitioning=True)
    sums = "".join(f', sum("{column}")' for column in options.sum)
    distinct = f', count(DISTINCT "{options.distinct}")' if options.distinct else ", 0"
    counted = duckdb.sql(f"SELECT count(*){distinct}{sums} FROM source").fetchall()[0]
    answer["rows"], answer["distinct"] = counted[0], counted[1]
    answer["sums"] = dict(zip(options.sum, counted[2:]))
    answer["columns"] = {name: str(kind) for name, kind in zip(source.columns, source.types)}
    first = source.limit(options.rows)
    answer["first_rows"] = [dict(zip(first.columns, row)) for row in first.fetchall()]


def plain(value):
    """DuckDB sums integers as 128-bit ones, which arrive as Python integers or decimals."""
    return int(value) if value == value.to_integral_value() else float(value)


print(json.dumps(answer, default=lambda value: plain(value) if hasattr(value, "to_integral_value") else str(value)))
