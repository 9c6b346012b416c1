"""Counts the Parquet files below each folder of ROOT with DuckDB: parquet_folders.py ROOT COLUMN.

Prints {folder: {"rows", "distinct", "sums": {COLUMN}, "files"}}; a folder without a file has no rows.
"""

import json
import os
import sys

import duckdb

root, column = sys.argv[1:]
answer = {}
for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
    files = [
        os.path.join(folder, file)
        for folder, _, found in os.walk(os.path.join(root, name))
        for file in found
        if file.endswith(".parquet")
    ]
    tally = {"rows": 0, "distinct": 0, "sums": {column: 0}, "files": len(files)}
    if files:
        source = duckdb.read_parquet(files)
        counted = duckdb.sql(f'SELECT count(*), count(DISTINCT "{column}"), sum("{column}") FROM source').fetchall()[0]
        tally |= {"rows": counted[0], "distinct": counted[1], "sums": {column: int(counted[2] or 0)}}
    answer[name] = tally
print(json.dumps(answer))
