"""Writes the files of one seed, a document for each, and what stands in their cells."""

import gzip
import json
import random as randomness
import zlib
from pathlib import Path

import zstandard

import parquet_files
import spellings

TEXT_KINDS = {
    "i": "integer", "n": "number", "b": "boolean", "s": "string", "d": "date", "ts": "date-time", "t": "time", "u": "uuid",
}  # fmt: skip
NULL_SHARE = 0.08
WRONG_SHARE = 0.02
LONE_SURROGATES = [r'"\ud83d"', r'"\ude00\ud83d"', r'"x\uD800y"', r'"\udc00"']

CSV_CASES = [
    {"name": "csv_plain", "file": "in.csv", "csv": {}},
    {"name": "csv_semicolon_crlf_bom", "file": "in.csv.gz", "csv": {"delimiter": ";", "nulls": ["", "NA"]}, "end": "\r\n", "bom": True},
    {"name": "csv_no_header", "file": "in.csv.zst", "csv": {"delimiter": "|", "quote": "'", "has_header": False}},
    {"name": "csv_tabs", "file": "in.tsv", "csv": {"nulls": ["NULL"]}},
]
JSON_CASES = [
    {"name": "jsonl_plain", "file": "in.jsonl", "lone": True},
    {"name": "jsonl_zstd", "file": "in.ndjson.zst", "lone": True, "end": "\r\n"},
    {"name": "json_document", "file": "in.json", "response_path": "$.data.rows", "bom": True},
    {"name": "json_gzip", "file": "in.json.gz", "response_path": "$.data.rows[*]"},
]


def schema_type(kind):
    if kind in ("date", "date-time", "time", "uuid"):
        return {"type": ["string", "null"], "format": kind}
    return {"type": [kind, "null"]}


def contract(kinds):
    properties = {"id": {"type": "integer"}}
    properties |= {name: kind if isinstance(kind, dict) else schema_type(kind) for name, kind in kinds.items()}
    return {"type": "object", "properties": properties, "required": ["id"]}


def document(folder, name, file, kinds=None, config=None, response_path=None, field_mapping=None):
    endpoint = {"name": "rows", "path": f"/{file}"}
    if response_path:
        endpoint["response_path"] = response_path
    if field_mapping:
        endpoint["field_mapping"] = field_mapping
    provider = {
        "name": "oracle", "display_name": "Oracle", "description": name, "owner": "tests", "provider_type": "file_ftp",
        "base_url": f"file://{folder}", "tenant_id": "acme", "parallelism": 2, "config": config or {}, "endpoints": [endpoint],
        "sinks": [{"type": "parquet", "table_name": "rows", "config": {"path": str(folder / "table")}}],
    }  # fmt: skip
    if kinds:
        provider["schema_contract"] = contract(kinds)
    whole = {"version": "1.2", "name": name.replace("_", "-"), "created_by": "tests", "provider": provider}
    (folder / "document.json").write_text(json.dumps(whole))


def packed(file, content):
    if file.endswith(".gz"):
        return gzip.compress(content, 1)
    return zstandard.compress(content, 1) if file.endswith(".zst") else content


def place(root, case, content):
    folder = root / case["name"]
    folder.mkdir(parents=True)
    (folder / case["file"]).write_bytes(packed(case["file"], content))
    return folder


def describe(folder, kind, case, **more):
    (folder / "case.json").write_text(json.dumps({"kind": kind, **case, **more}))


def csv_cell(text, quote, delimiter, nulls, random):
    if text is None:
        return random.choice(nulls)
    must = text in nulls or any(character in text for character in (quote, delimiter, "\n", "\r")) or text != text.strip(" ")
    if must or random.randrange(6) == 0:
        return quote + text.replace(quote, quote * 2) + quote
    return text


def csv_content(case, rows, random):
    settings = case["csv"]
    delimiter = settings.get("delimiter", "\t" if case["file"].endswith(".tsv") else ",")
    quote, nulls, end = settings.get("quote", '"'), settings.get("nulls", [""]), case.get("end", "\n")
    lines = [delimiter.join(["id", *TEXT_KINDS])] if settings.get("has_header", True) else []
    for row in rows:
        lines.append(delimiter.join(csv_cell(text, quote, delimiter, nulls, random) for text in row))
    content = end.join(lines) + (end if random.randrange(2) else "")
    return (b"\xef\xbb\xbf" if case.get("bom") else b"") + content.encode()


def text_rows(count, random, wrong_share):
    for row in range(count):
        texts = [None if random.random() < NULL_SHARE else spellings.text(kind, random, wrong_share) for kind in TEXT_KINDS.values()]
        yield [str(row), *texts]


def csv_case(root, case, count, random):
    rows = list(text_rows(count, random, WRONG_SHARE))
    folder = place(root, case, csv_content(case, rows, random))
    names = ["id", *TEXT_KINDS]
    mapping = None if case["csv"].get("has_header", True) else {f"column_{at}": name for at, name in enumerate(names, 1)}
    document(folder, case["name"], case["file"], TEXT_KINDS, {"csv": case["csv"]} if case["csv"] else {}, field_mapping=mapping)
    describe(folder, "csv", case, kinds=TEXT_KINDS)


LIST = {"type": ["array", "null"], "items": {"type": ["integer", "null"]}}
STRUCT = {
    "type": ["object", "null"],
    "properties": {
        "a": {"type": ["integer", "null"]},
        "b": {"type": ["string", "null"]},
        "c": {"type": ["object", "null"], "properties": {"d": {"type": ["number", "null"]}, "e": {"type": ["array", "null"], "items": {"type": "string"}}}},
    },
}
JSON_KINDS = TEXT_KINDS | {"l": LIST, "o": STRUCT, "j": {"type": ["object", "null"]}}


def spaced(parts, brackets, random):
    space = random.choice(["", "", " ", "\t "])
    return brackets[0] + space + f",{space}".join(parts) + space + brackets[1]


def nested_list(random):
    return spaced([random.choice(["null", str(random.randrange(-99, 99)), str(2**63 - 1)]) for _ in range(random.randrange(5))], "[]", random)


def nested_object(random):
    fields = []
    if random.randrange(4):
        fields.append(f'"a": {random.choice(["null", str(random.randrange(10**6))])}')
    if random.randrange(4):
        fields.append(f'"b": {spellings.json_text(spellings.string(random), random)}')
    if random.randrange(3):
        inner = [f'"d": {random.choice(["null", repr(random.uniform(-1e9, 1e9)), "2.5"])}']
        if random.randrange(2):
            inner.append('"e": ' + spaced([spellings.json_text(spellings.string(random), random) for _ in range(random.randrange(3))], "[]", random))
        fields.append('"c": ' + spaced(inner, "{}", random))
    if random.randrange(5) == 0:
        fields.append('"unknown": {"a": [1, {"b": null}]}')
    random.shuffle(fields)
    return spaced(fields, "{}", random)


def json_row(row, random, lone, numbers):
    """One row; a number that stands bare in it is kept as it is written, which DuckDB doesn't."""
    fields = [f'"id": {row}']
    for name, kind in TEXT_KINDS.items():
        drawn = random.random()
        if drawn < NULL_SHARE / 2:
            continue
        if drawn < NULL_SHARE:
            value = "null"
        elif kind == "string" and lone and random.random() < WRONG_SHARE:
            value = random.choice(LONE_SURROGATES)
        else:
            text = spellings.text(kind, random, WRONG_SHARE)
            if kind == "string" and random.randrange(8) == 0:
                text = spellings.number(random)
                value = text if spellings.JSON_NUMBER.fullmatch(text) else "true"
            else:
                value = spellings.json_value(kind, text, random)
        fields.append(f'"{name}": {value}')
        if spellings.JSON_NUMBER.fullmatch(value):
            numbers.setdefault(row, {})[name] = value
    for name, draw in (("l", nested_list), ("o", nested_object), ("j", nested_object)):
        if random.randrange(4):
            fields.append(f'"{name}": {"null" if random.randrange(9) == 0 else draw(random)}')
    random.shuffle(fields)
    return spaced(fields, "{}", random)


def json_case(root, case, count, random):
    numbers = {}
    rows = [json_row(row, random, case.get("lone"), numbers) for row in range(count)]
    if "response_path" in case:
        separator = random.choice([",", ", ", ",\n"])
        content = '{"total": %d, "data": {"skipped": [1, {"rows": []}], "rows": [%s], "next": null}}' % (count, separator.join(rows))
    else:
        content = case.get("end", "\n").join(rows) + "\n"
    content = (b"\xef\xbb\xbf" if case.get("bom") else b"") + content.encode()
    folder = place(root, case, content)
    document(folder, case["name"], case["file"], JSON_KINDS, response_path=case.get("response_path"))
    (folder / "numbers.json").write_text(json.dumps(numbers))
    describe(folder, "json", case, kinds=JSON_KINDS)


def open_value(at, count, random):
    """A text of a column that nothing fixes: whole numbers first, then a decimal, then a text, each first met somewhere in the file."""
    if at < count * 0.3:
        return str(random.randrange(-(10**6), 10**6))
    if at < count * 0.6:
        return random.choice(["1.10", "0.5", f"{random.randrange(100)}.{random.randrange(10)}0", str(random.randrange(100))])
    return random.choice(["1.10", "x", "007", "-0", "1e5", "0.1", str(random.randrange(10**20))])


OPEN_COLUMNS = {
    # Where the parts of `open_value` begin, as shares of the file: within the sample, behind it, much later, not at all.
    "early": lambda at, count, random: open_value(at * 20, count, random),
    "late": open_value,
    "decimals": lambda at, count, random: open_value(min(at, int(count * 0.59)), count, random),
    "big": lambda at, count, random: str(random.randrange(10**9) if at < count / 2 else random.randrange(2**62, 2**66)),
    "doubles": lambda at, count, random: repr(random.uniform(-1e6, 1e6)),
    "flags": lambda at, count, random: random.choice(["true", "false"]),
    "days": lambda at, count, random: spellings.day(random).isoformat(),
    "instants": lambda at, count, random: f"{spellings.day(random)}T12:30:{random.randrange(60):02}Z",
    "mixed": lambda at, count, random: spellings.day(random).isoformat() if at < count * 0.7 else "someday",
    "texts": lambda at, count, random: spellings.string(random),
}


def open_case(root, file, count, random):
    """A file that no contract describes."""
    case = {"name": "open_" + file.split(".")[1], "file": file}
    columns_of_row = [[None if random.random() < NULL_SHARE else draw(at, count, random) for draw in OPEN_COLUMNS.values()] for at in range(count)]
    names = list(OPEN_COLUMNS)
    numbers = {}
    if file.endswith("csv"):
        lines = [",".join(["id", *names])]
        lines += [",".join([str(at), *(csv_cell(text, '"', ",", [""], random) for text in row)]) for at, row in enumerate(columns_of_row)]
    else:
        lines = []
        for at, row in enumerate(columns_of_row):
            cells = [f'"id": {at}']
            for name, text in zip(names, row):
                if text is None or name == "flags":
                    cells.append(f'"{name}": {text or "null"}')
                elif name != "texts" and spellings.JSON_NUMBER.fullmatch(text):
                    cells.append(f'"{name}": {text}')
                    numbers.setdefault(at, {})[name] = text
                else:
                    cells.append(f'"{name}": {spellings.json_text(text, random)}')
            lines.append("{" + ", ".join(cells) + "}")
    folder = place(root, case, ("\n".join(lines) + "\n").encode())
    (folder / "numbers.json").write_text(json.dumps(numbers))
    document(folder, case["name"], file)
    describe(folder, "open", case, columns=names)


def generate(root, seed, count):
    root = Path(root) / str(seed)
    # Each case has numbers of its own, so that a change of one leaves the others as they are.
    def random_of(name):
        return randomness.Random(seed * 1_000_003 + zlib.crc32(name.encode()))

    for case in CSV_CASES:
        csv_case(root, case, count, random_of(case["name"]))
    for case in JSON_CASES:
        json_case(root, case, count, random_of(case["name"]))
    for file in ("in.csv", "in.jsonl"):
        open_case(root, file, count, random_of("open " + file))
    for name, kinds in (("parquet_open", None), ("parquet_contract", parquet_files.CONTRACT)):
        folder = root / name
        folder.mkdir()
        parquet_files.write(folder / "in.parquet", count, random_of("parquet"))
        document(folder, name, "in.parquet", kinds)
        describe(folder, "parquet", {"name": name, "file": "in.parquet", "has_contract": kinds is not None})
