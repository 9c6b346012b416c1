"""Runs SQL with psycopg, for machines without psql: sql.py URL SQL. Prints the last result as psql does unaligned."""

import sys

import psycopg


def text(value):
    return {None: "", True: "t", False: "f"}.get(value, value) if value is None or isinstance(value, bool) else value


with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    cursor = connection.execute(sys.argv[2])
    while cursor.nextset():
        pass
    if cursor.description:
        import json

        for row in cursor.fetchall():
            print("|".join(json.dumps(v) if isinstance(v, (dict, list)) else str(text(v)) for v in row))
