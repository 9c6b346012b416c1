"""Parquet as pyarrow writes it: every type that exports have."""

import datetime
import uuid
from decimal import Decimal

import pyarrow
import pyarrow.parquet

import spellings

NULL_SHARE = 0.1
EPOCH = datetime.date(1970, 1, 1)


def integers(bits, is_signed=True):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    return lambda random: random.choice([low, high, random.randrange(low, high + 1), random.randrange(100)])


def unscaled(precision, scale):
    def draw(random):
        value = random.choice([10**precision - 1, random.randrange(10**precision), random.randrange(1000)])
        return Decimal((random.randrange(2), tuple(map(int, str(value))), -scale))

    return draw


def ticks(per_second):
    return lambda random: random.randrange(-(10**9), 4 * 10**9) * per_second + random.randrange(per_second)


COLUMNS = {
    "i8": (pyarrow.int8(), integers(8)),
    "i16": (pyarrow.int16(), integers(16)),
    "i32": (pyarrow.int32(), integers(32)),
    "i64": (pyarrow.int64(), integers(64)),
    "u8": (pyarrow.uint8(), integers(8, False)),
    "u16": (pyarrow.uint16(), integers(16, False)),
    "u32": (pyarrow.uint32(), integers(32, False)),
    "u64": (pyarrow.uint64(), integers(64, False)),
    "f32": (pyarrow.float32(), lambda random: random.uniform(-1e6, 1e6)),
    "f64": (pyarrow.float64(), lambda random: random.choice([-0.0, 5e-324, 0.1, random.uniform(-1e300, 1e300)])),
    "flag": (pyarrow.bool_(), lambda random: bool(random.randrange(2))),
    "money": (pyarrow.decimal128(10, 2), unscaled(10, 2)),
    "wide": (pyarrow.decimal128(38, 9), unscaled(38, 9)),
    "day": (pyarrow.date32(), spellings.day),
    "day64": (pyarrow.date64(), spellings.day),
    "ts_s": (pyarrow.timestamp("s"), ticks(1)),
    "ts_ms": (pyarrow.timestamp("ms"), ticks(10**3)),
    "ts_us": (pyarrow.timestamp("us"), ticks(10**6)),
    "ts_ns": (pyarrow.timestamp("ns"), ticks(10**9)),
    "tz_ms": (pyarrow.timestamp("ms", "UTC"), ticks(10**3)),
    "tz_us": (pyarrow.timestamp("us", "Europe/Berlin"), ticks(10**6)),
    "tz_ns": (pyarrow.timestamp("ns", "UTC"), ticks(10**9)),
    "t_ms": (pyarrow.time32("ms"), lambda random: random.randrange(86_400 * 10**3)),
    "t_us": (pyarrow.time64("us"), lambda random: random.randrange(86_400 * 10**6)),
    "text": (pyarrow.string(), spellings.string),
    "large_text": (pyarrow.large_string(), spellings.string),
    "word": (pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), lambda random: random.choice(spellings.WORDS)),
    "key": (pyarrow.uuid(), lambda random: uuid.UUID(int=random.getrandbits(128)).bytes),
    "list": (pyarrow.list_(pyarrow.int32()), lambda random: [random.choice([None, 1, -(2**31)]) for _ in range(random.randrange(4))]),
    "nested": (
        pyarrow.struct([("a", pyarrow.int16()), ("b", pyarrow.list_(pyarrow.struct([("c", pyarrow.string())])))]),
        lambda random: {"a": random.choice([None, 7]), "b": [{"c": random.choice([None, spellings.string(random)])} for _ in range(random.randrange(3))]},
    ),
    # Texts that a contract calls otherwise, wrong ones among them.
    "written_integer": (pyarrow.string(), lambda random: spellings.text("integer", random, 0.02)),
    "written_number": (pyarrow.string(), lambda random: spellings.text("number", random, 0.02)),
    "written_date_time": (pyarrow.string(), lambda random: spellings.text("date-time", random, 0.02)),
}  # fmt: skip

NANOSECONDS = {"ts_ns", "tz_ns"}

# What the contract calls them; the others keep their type.
CONTRACT = {
    "i8": "integer", "u32": "number", "i64": "string", "u64": "integer", "flag": "boolean", "money": "number", "f32": "number",
    "day": "date-time", "day64": "date", "ts_s": "date-time", "ts_ns": "date-time", "tz_ms": "date-time", "t_ms": "time", "word": "string", "key": "uuid",
    "written_integer": "integer", "written_number": "number", "written_date_time": "date-time",
}  # fmt: skip


def write(path, count, random):
    arrays = [pyarrow.array(range(count), pyarrow.int64())]
    names = ["id"]
    for name, (kind, draw) in COLUMNS.items():
        values = [None if random.random() < NULL_SHARE else draw(random) for _ in range(count)]
        storage = kind.storage_type if isinstance(kind, pyarrow.BaseExtensionType) else kind
        array = pyarrow.array(values, storage.value_type).dictionary_encode() if pyarrow.types.is_dictionary(storage) else pyarrow.array(values, storage)
        arrays.append(pyarrow.ExtensionArray.from_storage(kind, array) if storage is not kind else array)
        names.append(name)
    pyarrow.parquet.write_table(pyarrow.table(arrays, names), path, row_group_size=count // 3, compression="zstd")
