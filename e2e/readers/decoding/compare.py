"""Compares, cell by cell, what the runner loaded with what DuckDB makes of the same bytes."""

import json
import re
import struct
from collections import Counter
from decimal import Decimal
from pathlib import Path

import duckdb

from differences import DIFFERENCES, INVALID, OTHERS

# The type that a kind of the contract has in DuckDB.
TYPES = {
    "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "string": "VARCHAR", "date": "DATE", "date-time": "TIMESTAMP WITH TIME ZONE",
    "time": "TIME", "uuid": "UUID",
}  # fmt: skip
MAX_REPORTED = 20


class Findings:
    def __init__(self):
        self.rows = self.loaded = self.quarantined = self.cells = 0
        self.differences = Counter()
        self.unexpected = []
        self.seed = ""

    def wrong(self, case, text):
        self.unexpected.append(f"seed {self.seed}, {case}: {text}")


def as_json(text):
    """A document's value: its spelling is the API's."""
    return None if text is None else json.loads(text)


def compare(root):
    findings = Findings()
    database = duckdb.connect()
    database.sql("SET TimeZone = 'UTC'")
    for folder in sorted(path.parent for path in Path(root).glob("*/*/case.json")):
        case = json.loads((folder / "case.json").read_text())
        findings.seed = folder.parent.name
        before = len(findings.unexpected)
        {"csv": text_case, "json": text_case, "open": open_case, "parquet": parquet_case}[case["kind"]](database, folder, case, findings)
        cut = findings.unexpected[before + MAX_REPORTED :]
        if cut:
            findings.unexpected[before + MAX_REPORTED :] = [f"{case['name']}: and {len(cut)} more"]
    stated = [*(difference.name for difference in DIFFERENCES), *OTHERS]
    never = [name for name in stated if not findings.differences[name]]
    return {
        "rows": findings.rows, "loaded": findings.loaded, "quarantined": findings.quarantined, "cells": findings.cells,
        "differences": findings.differences, "never_seen": never, "unexpected": findings.unexpected,
    }  # fmt: skip


def plain(column, duckdb_type):
    """A value as Python compares it without loss; the column as an SQL expression."""
    if duckdb_type in ("TIMESTAMP WITH TIME ZONE", "TIME") or duckdb_type.startswith("TIMESTAMP"):
        return f"epoch_us({column})"
    if duckdb_type.startswith(("STRUCT", "MAP")) or duckdb_type.endswith("[]"):
        return f"CAST(to_json({column}) AS VARCHAR)"
    if duckdb_type in ("BIGINT", "DOUBLE", "BOOLEAN"):
        return column
    return f"CAST({column} AS VARCHAR)"


def same(left, right):
    """Doubles by their bits."""
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("d", left) == struct.pack("d", right)
    return left == right and type(left) is type(right)


def loaded(database, folder):
    """Types of the loaded columns, and the rows by their id."""
    source = f"read_parquet('{folder}/table/**/*.parquet')"
    relation = database.sql(f"SELECT * FROM {source}")
    types = {name: str(kind) for name, kind in zip(relation.columns, relation.types)}
    select = ", ".join(plain(f'"{name}"', kind) for name, kind in types.items())
    rows = [dict(zip(types, row)) for row in database.sql(f"SELECT {select} FROM {source}").fetchall()]
    by_id = {row["id"]: row for row in rows}
    assert len(rows) == len(by_id), f"{folder}: rows are loaded twice"
    return types, by_id


def quarantined(folder):
    """Numbers of the rows in quarantine, counted from 0 as they stand in the file."""
    shown = json.loads((folder / "quarantine.json").read_text())
    return {row["row"] for row in shown["rows"]}


def csv_source(folder, case, names):
    """Every cell as text, by DuckDB's reader of CSV."""
    settings = case.get("csv", {})
    delimiter = settings.get("delimiter", "\t" if case["file"].endswith(".tsv") else ",")
    quote = settings.get("quote", '"')
    nulls = ", ".join(f"'{text}'" for text in settings.get("nulls", [""]))
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    quote = quote.replace("'", "''")
    header = str(settings.get("has_header", True)).lower()
    return f"""read_csv('{folder}/{case["file"]}', auto_detect=false, columns={{{types}}}, header={header}, delim='{delimiter}', quote='{quote}',
        escape='{quote}', nullstr=[{nulls}], allow_quoted_nulls=false, parallel=false)"""


def json_source(folder, case, names):
    """Every cell as JSON, by DuckDB's reader of JSON. A row that it can't read is one of nulls."""
    file = f"{folder}/{case['file']}"
    if "response_path" in case:
        return f"(SELECT unnest(data.rows) AS r FROM read_json('{file}', columns={{data: 'STRUCT(\"rows\" JSON[])'}}, maximum_object_size=100000000))"
    types = ", ".join(f"'{name}': 'JSON'" for name in names)
    return f"read_json('{file}', format='newline_delimited', columns={{{types}}}, ignore_errors=true)"


def shape(schema):
    """A schema that nests, as DuckDB's `json_transform` takes it."""
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "array":
        return [shape(schema["items"])]
    if kind == "object":
        return {name: shape(field) for name, field in schema["properties"].items()}
    return TYPES[kind]


def text_case(database, folder, case, findings):
    name, kinds = case["name"], case["kinds"]
    is_json = case["kind"] == "json"
    names = ["id", *kinds]
    select = []
    for column in names:
        cell = f'r->\'$."{column}"\'' if "response_path" in case else f'"{column}"'
        kind = kinds.get(column, "integer")
        if is_json:
            cell = f"(CASE WHEN json_type({cell}) = 'NULL' THEN NULL ELSE {cell} END)"
        if isinstance(kind, dict):
            if kind["type"][0] == "object" and "properties" not in kind:
                select += [f"CAST(json({cell}) AS VARCHAR)", f"CAST(json({cell}) AS VARCHAR)"]
            else:
                select += [f"CAST({cell} AS VARCHAR)", f"CAST(to_json(json_transform({cell}, '{json.dumps(shape(kind))}')) AS VARCHAR)"]
            continue
        text = f"({cell}->>'$')" if is_json else cell
        select += [text, plain(f"TRY_CAST({text} AS {TYPES[kind]})", TYPES[kind])]
    source = (json_source if is_json else csv_source)(folder, case, names)
    rows = database.sql(f"SELECT {', '.join(select)} FROM {source}").fetchall()
    types, ours = loaded(database, folder)
    refused = quarantined(folder)
    documents = {column for column, kind in kinds.items() if isinstance(kind, dict) and "properties" not in kind and kind["type"][0] == "object"}
    tokens = json.loads((folder / "numbers.json").read_text()) if is_json else {}
    for column, kind in kinds.items():
        wanted = TYPES[kind] if isinstance(kind, str) else None
        if wanted and types.get(column) not in (wanted, "VARCHAR" if wanted == "UUID" else wanted):
            findings.wrong(name, f"`{column}` is loaded as {types.get(column)} instead of {wanted}")
    for number, row in enumerate(rows):
        cells = {column: (row[2 * at], row[2 * at + 1]) for at, column in enumerate(names)}
        expected = {}
        used = []
        if cells["id"][0] is None:
            # DuckDB can't read the row: half a surrogate pair stands in it. The runner can't make a text of it either.
            used.append("lone_surrogate")
            expected["id"] = INVALID
        else:
            for column, (text, value) in cells.items():
                kind = kinds.get(column, "integer")
                token = tokens.get(str(number), {}).get(column)
                expected[column], difference = of_token(kind, token, value) if token else expectation(kind, text, value)
                if difference:
                    used.append(difference)
        judge(findings, name, number, expected, ours.get(number), number in refused, {column: cell[0] for column, cell in cells.items()}, documents)
        findings.differences.update(used)
    extra = [number for number in ours if number >= len(rows)]
    if extra or len(ours) + len(refused) != len(rows):
        findings.wrong(name, f"{len(rows)} rows, {len(ours)} loaded, {len(refused)} in quarantine")


def expectation(kind, text, value):
    """What the runner has to make of a cell, and the name of the difference where that isn't what DuckDB makes of it."""
    if text is None:
        return None, None
    if isinstance(kind, str):
        for difference in DIFFERENCES:
            if difference.applies(kind, text):
                wanted = difference.expected(text)
                theirs = INVALID if value is None else value
                return wanted, None if same(wanted, theirs) else difference.name
    return (INVALID if value is None else value), None


def of_token(kind, token, value):
    """The same of a bare JSON number: DuckDB keeps it as a double or an integer, the runner as it is written."""
    if kind == "string":
        return token, None if token == value else "number_as_text"
    if kind == "integer" and re.search("[.eE]", token):
        exact = Decimal(token)
        wanted = int(exact) if exact == exact.to_integral_value() and -(2**63) <= exact < 2**63 else INVALID
        theirs = INVALID if value is None else value
        return wanted, None if same(wanted, theirs) else "integer_through_double"
    if kind == "number" and token == "-0":
        return -0.0, None if same(-0.0, value) else "negative_zero"
    return expectation(kind, token, value)


def judge(findings, case, number, expected, row, is_refused, texts, documents=()):
    findings.rows += 1
    invalid = [column for column, value in expected.items() if value == INVALID]
    if invalid:
        findings.quarantined += 1
        if row is not None or not is_refused:
            what = {column: texts[column] for column in invalid}
            findings.wrong(case, f"row {number} must be in quarantine for {what}, and is {'loaded' if row else 'nowhere'}: {row and {c: row[c] for c in invalid}}")
        return
    findings.loaded += 1
    if row is None:
        findings.wrong(case, f"row {number} is not loaded{', but in quarantine' if is_refused else ''}: {texts}")
        return
    for column, value in expected.items():
        findings.cells += 1
        if not same(as_json(row.get(column)), as_json(value)) if column in documents else not same(row.get(column), value):
            findings.wrong(case, f"row {number}, `{column}`, {texts[column]!r}: {row.get(column)!r} is loaded, DuckDB has {value!r}")


def open_case(database, folder, case, findings):
    """Without a contract nothing is invalid, and a column's type is one that holds each of its texts: as text again they are the same."""
    names = case["columns"]
    types, ours = loaded(database, folder)
    is_json = case["file"].endswith("jsonl")
    source = (json_source if is_json else csv_source)(folder, case, ["id", *names])
    select = ["id"]
    for name in names:
        text = f"(CASE WHEN json_type(\"{name}\") = 'NULL' THEN NULL ELSE \"{name}\"->>'$' END)" if is_json else f'"{name}"'
        kind = types.get(name, "VARCHAR")
        select += [text, plain(f"TRY_CAST({text} AS {kind})", kind)]
    rows = database.sql(f"SELECT {', '.join(select)} FROM {source}").fetchall()
    if len(rows) != len(ours):
        findings.wrong(case["name"], f"{len(rows)} rows, {len(ours)} loaded")
    tokens = json.loads((folder / "numbers.json").read_text()) if is_json else {}
    for number, (_, *cells) in enumerate(rows):
        texts = {name: cells[2 * at] for at, name in enumerate(names)}
        expected = {name: cells[2 * at + 1] for at, name in enumerate(names)}
        for name, token in tokens.get(str(number), {}).items():
            if types.get(name) == "VARCHAR" or types.get(name, "").startswith("DECIMAL"):
                expected[name] = token
        for name, text in texts.items():
            if text is not None and expected[name] is None:
                expected[name] = text
        judge(findings, case["name"], number, expected, ours.get(number), False, texts)


def parquet_case(database, folder, case, findings):
    import parquet_files

    kinds = parquet_files.CONTRACT if case["has_contract"] else {}
    types, ours = loaded(database, folder)
    refused = quarantined(folder)
    source = f"read_parquet('{folder}/{case['file']}')"
    names = ["id", *parquet_files.COLUMNS]
    select = []
    for name in names:
        kind = TYPES[kinds[name]] if name in kinds else types.get(name, "VARCHAR")
        if kind != types.get(name) and not (kind == "UUID" and types.get(name) == "VARCHAR"):
            findings.wrong(case["name"], f"`{name}` is loaded as {types.get(name)} instead of {kind}")
        # Finer than what an instant has here: DuckDB rounds it in a cast.
        is_fine = name in parquet_files.NANOSECONDS
        select += [f'CAST("{name}" AS VARCHAR)', plain(f'TRY_CAST("{name}" AS {kind})', kind), f'epoch_ns("{name}")' if is_fine else "NULL"]
    rows = database.sql(f"SELECT {', '.join(select)} FROM {source}").fetchall()
    for number, row in enumerate(rows):
        texts, expected = {}, {}
        for at, name in enumerate(names):
            texts[name], value, nanoseconds = row[3 * at : 3 * at + 3]
            expected[name], difference = expectation(kinds.get(name, "string"), texts[name], value)
            if nanoseconds is not None:
                expected[name] = nanoseconds // 1000
                difference = "finer_than_microseconds" if expected[name] != value else None
            if difference:
                findings.differences[difference] += 1
        judge(findings, case["name"], number, expected, ours.get(number), number in refused, texts)
    if len(ours) + len(refused) != len(rows):
        findings.wrong(case["name"], f"{len(rows)} rows, {len(ours)} loaded, {len(refused)} in quarantine")
