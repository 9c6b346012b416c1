"""How values of each type are written in the generated files: as exports write them, at the bounds, and wrongly on purpose."""

import datetime
import json
import re
import uuid

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

WORDS = [
    "a", "b c", "1.10", "x,y", "semi;colon", "tab\there", "pipe|d", "line\nbreak", "carriage\r\nreturn", '"quoted"', '""', "'", "é", "e\u0301",
    "日本語", "😀", "👩‍👩‍👧", "\\n", "back\\slash", "\\", "NULL", "null", "NA", " leading", "trailing ", "-0", "007", "true", "2024-01-01", "{}", "[1]",
    "#no comment", "\u2028", "\u00a0", "\x7f", "ﬀ", "\U0010ffff", "/",
]  # fmt: skip

# Wrong on purpose; what DuckDB makes of one that it takes stands in `differences.py`.
WRONG = {
    "integer": ["12x", "1.5", "-0.1", "9223372036854775808", "-9223372036854775809", "1e19", "1e-1", "abc", "1 2", "--1", "1_000", "0x1F", "12,5", "١٢", "1e", "NaN"],
    "number": ["1.2.3", "abc", "1e400", "-1e400", "9007199254740993", "1,5", "inf", "-Infinity", "nan", "1_0.5", "0x1p3", "1e", ".", "-"],
    "boolean": ["yes", "no", "t", "f", "y", "N", "on", "2", "-1", "tru", "0.5"],
    "date": ["2023-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "2024-1-5", "2024/01/05", "05.01.2024", "20240105", "2024-01-05T12:30:00Z", "infinity", "epoch", "tomorrow", "2024-01-05x"],
    "date-time": ["2023-02-30T00:00:00Z", "2024-01-01T25:00:00Z", "2024-01-01T23:60:00Z", "2024-01-01T12", "2024-01-01T1:02:03Z", "infinity", "epoch", "2024-01-01T00:00:00Zulu", "2024-01-01T00:00:00+25:00",
                  "2024-01-01T12:00:00 America/New_York", "01/02/2024 00:00", "2024-01-01T23:59:60Z"],
    "time": ["25:00:00", "12:60", "12:00:60", "1:02:03", "noon", "12", "12:30:00x", "12:30 PM", "24:00:00"],
    "uuid": ["a0eebc99", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111", "not-a-uuid"],
    "string": [],
}  # fmt: skip


def integer(random):
    value = random.choice([0, 1, -1, 12, 2**31, -(2**53) - 1, 2**63 - 1, -(2**63), random.randrange(-(10**6), 10**6), random.randrange(-(2**63), 2**63)])
    spelled = random.choices(range(6), [12, 1, 1, 1, 1, 1])[0]
    if spelled == 1:
        return f"{value}.0"
    if spelled == 2:
        return random.choice(["-0", "1e5", "1E2", "12.50e1", "100e-2", "0e9", "3.0000", "-7E+3"])
    if spelled == 3:
        return f"+{abs(value)}"
    if spelled == 4:
        return f"00{abs(value)}"
    if spelled == 5:
        return f" {value} "
    return str(value)


def number(random):
    spelled = random.randrange(10)
    if spelled == 0:
        return random.choice(["-0", "-0.0", "0", "1e5", "1E-7", "5e-324", "2.2250738585072011e-308", "1.7976931348623157e308", "9007199254740992", "0.1e1", "1E+2", "-1.0e-0"])
    if spelled == 1:
        return random.choice([".5", "5.", "+1.25", "00.5", " 1.5 ", "-.5", "1e-400"])
    if spelled < 4:
        return repr(random.uniform(-1, 1) * 10 ** random.randrange(-300, 300))
    if spelled < 6:
        return f"{random.randrange(10**15)}.{random.randrange(10**20):020}"
    if spelled == 6:
        return f"0.{random.randrange(10**30):030}"
    if spelled == 7:
        return f"{random.randrange(10**18)}{random.randrange(10**6):06}.5e-{random.randrange(30)}"
    return f"{random.randrange(-(10**6), 10**6)}.{random.randrange(100):02}"


def boolean(random):
    return random.choice(["true", "false", "true", "false", "TRUE", "False", "1", "0", " true "])


def day(random):
    # Years of four digits: what DuckDB prints of them is ISO as well.
    return datetime.date.fromordinal(random.randrange(datetime.date(1000, 1, 1).toordinal(), datetime.date(9999, 12, 30).toordinal()))


def date(random):
    return random.choices([day(random).isoformat(), "2024-02-29", "1970-01-01", " 2000-02-29 ", "1582-10-10"], [20, 1, 1, 1, 1])[0]


def clock(random):
    text = f"{random.randrange(24):02}:{random.randrange(60):02}"
    if random.randrange(8):
        text += f":{random.randrange(60):02}"
        digits = random.choice([0, 0, 1, 3, 6, 6])
        if digits:
            text += f".{random.randrange(10**digits):0{digits}}"
    return text


def date_time(random):
    if random.randrange(12) == 0:
        return date(random)
    if random.randrange(8) == 0:
        instant = random.randrange(10**9, 4 * 10**9)
        return str(random.choice([instant, instant * 1000 + 7, instant * 10**6 + 7, instant * 10**9 + 7_001, -instant, f"{instant}.25"]))
    text = f"{day(random)}{random.choice('T TtT')}{clock(random)}"
    if text.count(":") == 2 and random.randrange(10) == 0:
        text = text.split(".")[0] + f".{random.randrange(10**9):09}"
    return text + random.choice(["", "Z", "Z", "Z", "+00:00", "+05:30", "-08", "-0130", "+14:00"])


def time(random):
    text = clock(random)
    return text + random.choice(["+01:00", "Z", "-0530"]) if random.randrange(15) == 0 else text


def unique(random):
    value = str(uuid.UUID(int=random.getrandbits(128)))
    return random.choices([value, value.upper(), value.replace("-", ""), "{" + value + "}", "urn:uuid:" + value], [20, 2, 2, 1, 1])[0]


def string(random):
    return "".join(random.choice(WORDS) for _ in range(random.choice([0, 1, 1, 1, 2, 3])))


VALID = {
    "integer": integer, "number": number, "boolean": boolean, "date": date, "date-time": date_time, "time": time, "uuid": unique, "string": string,
}  # fmt: skip


def text(kind, random, wrong_share):
    """A value's text; wrong in a share of the cases."""
    if WRONG[kind] and random.random() < wrong_share:
        return random.choice(WRONG[kind])
    return VALID[kind](random)


def json_text(value, random):
    """A JSON string in one of the ways that it can be written."""
    if random.randrange(3):
        return json.dumps(value, ensure_ascii=bool(random.randrange(2)))
    out = []
    for character in value:
        if random.randrange(3) == 0:
            units = character.encode("utf-16-be")
            for at in range(0, len(units), 2):
                hexadecimal = f"{units[at]:02x}{units[at + 1]:02x}"
                out.append("\\u" + (hexadecimal.upper() if random.randrange(2) else hexadecimal))
        elif character == "/":
            out.append("\\/")
        else:
            out.append(json.dumps(character, ensure_ascii=False)[1:-1])
    return '"' + "".join(out) + '"'


def json_value(kind, value, random):
    """A scalar's text as JSON: a number or a truth value where it is written as one, mostly."""
    if kind in ("integer", "number", "boolean", "date-time") and JSON_NUMBER.fullmatch(value) and random.randrange(4):
        return value
    if kind == "boolean" and value in ("true", "false") and random.randrange(4):
        return value
    return json_text(value, random)
