"""DuckDB: load.py csv|jsonl. Reads BENCH_INPUT and writes BENCH_OUTPUT/flights.parquet with zstd.

Types are found by its sampling, as by default; it checks nothing else. It uses every core.
"""

import os
import sys

import duckdb

reader = {"csv": "read_csv", "jsonl": "read_json"}[sys.argv[1]]
source, target = os.environ["BENCH_INPUT"], os.environ["BENCH_OUTPUT"]
options = ", format = 'newline_delimited'" if sys.argv[1] == "jsonl" else ""
duckdb.sql(f"COPY (SELECT * FROM {reader}('{source}'{options})) TO '{target}/flights.parquet' (FORMAT parquet, COMPRESSION zstd)")
