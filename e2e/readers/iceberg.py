"""Counts an Iceberg table with pyiceberg and prints one JSON object.

Usage:
  iceberg.py sql DATABASE TABLE [--sum COLUMN]... [--distinct COLUMN] [--rows N]
  iceberg.py rest URI S3_ENDPOINT ACCESS_KEY SECRET_KEY WAREHOUSE TABLE [--sum COLUMN]... [--distinct COLUMN] [--rows N]
  iceberg.py metadata FILE [--sum COLUMN]... [--distinct COLUMN] [--rows N]

DATABASE is the SQLite file of a SQL catalog; the catalog's name is read from it.
"""

import argparse
import json
import sqlite3

import pyarrow.compute as compute
from pyiceberg.table import StaticTable


def sql_catalog(database):
    from pyiceberg.catalog.sql import SqlCatalog

    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        names = [name for (name,) in connection.execute("SELECT DISTINCT catalog_name FROM iceberg_tables")]
    if len(names) != 1:
        raise SystemExit(f"expected the tables of one catalog in {database}, found {names}")
    return SqlCatalog(names[0], uri=f"sqlite:///{database}", init_catalog_tables="false")


def rest_catalog(uri, endpoint, access_key, secret_key, warehouse):
    import os

    from pyiceberg.catalog.rest import RestCatalog

    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = access_key, secret_key
    return RestCatalog(
        "rest",
        **{
            "uri": uri,
            "warehouse": warehouse,
            "s3.endpoint": endpoint,
            "s3.access-key-id": access_key,
            "s3.secret-access-key": secret_key,
            "s3.region": "us-east-1",
            "rest.sigv4-enabled": "true",
            "rest.signing-region": "us-east-1",
            "rest.signing-name": "s3tables",
        },
    )


def main():
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="kind", required=True)
    sql = kinds.add_parser("sql")
    sql.add_argument("database")
    rest = kinds.add_parser("rest")
    for name in ("uri", "endpoint", "access_key", "secret_key", "warehouse"):
        rest.add_argument(name)
    metadata = kinds.add_parser("metadata")
    metadata.add_argument("file")
    for kind in (sql, rest):
        kind.add_argument("table")
    for kind in (sql, rest, metadata):
        kind.add_argument("--sum", action="append", default=[])
        kind.add_argument("--distinct")
        kind.add_argument("--rows", type=int, default=0)
    options = parser.parse_args()

    if options.kind == "metadata":
        table = StaticTable.from_metadata(options.file)
    elif options.kind == "sql":
        table = sql_catalog(options.database).load_table(options.table)
    else:
        catalog = rest_catalog(options.uri, options.endpoint, options.access_key, options.secret_key, options.warehouse)
        table = catalog.load_table(options.table)
    rows = table.scan().to_arrow()
    print(
        json.dumps(
            {
                "rows": rows.num_rows,
                "sums": {column: compute.sum(rows[column]).as_py() for column in options.sum},
                "distinct": compute.count_distinct(rows[options.distinct]).as_py() if options.distinct else None,
                "columns": {field.name: str(field.field_type) for field in table.schema().fields},
                "snapshots": len(table.snapshots()),
                "files": len(table.inspect.files()),
                "properties": table.properties,
                "first_rows": rows.slice(0, options.rows).to_pylist(),
            },
            default=str,
        )
    )


main()
