"""Where the runner and DuckDB part on purpose: what each does with a spelling, and why.

The runner converts where nothing is lost, and takes the spellings of ISO 8601 and of JSON's numbers beside the few that exports have. A value
that it can't convert makes its row invalid. DuckDB's casts round, cut and guess.
"""

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Callable

INVALID = "<invalid>"
EPOCH = datetime.datetime(1970, 1, 1)


@dataclass(frozen=True)
class Difference:
    name: str
    kind: str
    pattern: str
    reason: str
    # What the runner makes of the text; the row is invalid where it is `INVALID`.
    value: Callable[[str], Any] | str = INVALID

    def applies(self, kind, text):
        return self.kind == kind and re.fullmatch(self.pattern, text) is not None

    def expected(self, text):
        return INVALID if self.value == INVALID else self.value(text.strip())


def epoch(text):
    value = Decimal(text)
    scale = next((scale for limit, scale in ((10**11, 10**6), (10**14, 10**3), (10**17, 1)) if abs(value) < limit), Decimal("0.001"))
    return int((value * scale).to_integral_value(rounding="ROUND_FLOOR"))


def instant(text):
    """Microseconds of an ISO instant, finer digits cut."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?\s*(Z|[+-]\d\d(?::?\d\d)?)?", text)
    day, clock, fraction, zone = found.groups()
    moment = datetime.datetime.fromisoformat(f"{day}T{clock}")
    micros = (moment - EPOCH) // datetime.timedelta(microseconds=1) + int(((fraction or "") + "000000")[:6])
    if zone and zone != "Z":
        sign = -1 if zone[0] == "-" else 1
        digits = zone[1:].replace(":", "").ljust(4, "0")
        micros -= sign * (int(digits[:2]) * 3600 + int(digits[2:]) * 60) * 10**6
    return micros


def clock(text):
    """Microseconds since midnight in UTC."""
    return instant(f"1970-01-01T{text}") % (86_400 * 10**6)


DIFFERENCES = [
    Difference("fraction_as_integer", "integer", r"-?(0|[1-9]\d*)\.\d*[1-9]\d*|1e-1", "DuckDB rounds; a fraction is not cut in silence"),
    Difference("programmer_integer", "integer", r"1_000|0x1F", "separators and hexadecimal digits are a programmer's, not an export's"),
    Difference("infinite_number", "number", r"-?1e400|inf|-Infinity|nan", "DuckDB has infinities and NaN; JSON has none, and 1e400 is none either"),
    Difference("inexact_integer", "number", r"9007199254740993", "DuckDB takes the nearest double; an integer that is no double would become another"),
    Difference("separated_number", "number", r"1_0\.5", "separators are a programmer's, not an export's"),
    Difference("word_as_boolean", "boolean", r"yes|no|t|f|y|N", "DuckDB takes words and letters; only true, false, 1 and 0 say it in every export"),
    Difference("padded_boolean", "boolean", r" true ", "blanks around a value have no meaning, for each type but text", lambda text: text == "true"),
    Difference("loose_date", "date", r"2024-1-5|2024/01/05|infinity|epoch", "DuckDB guesses; only ISO dates are meant by format date"),
    Difference("instant_as_date", "date", r"2024-01-05T12:30:00Z", "DuckDB cuts the time; an instant is a date only at midnight"),
    Difference("loose_instant", "date-time", r"2024-01-01T1:02:03Z|infinity|epoch|2024-01-01T00:00:00\+25:00|.* America/New_York", "only ISO instants with an offset that exists are meant by format date-time"),
    Difference("epoch_number", "date-time", r"-?\d{8,}(\.\d+)?", "an epoch number is an instant by its magnitude: s, ms, µs, ns", epoch),
    Difference("small_t", "date-time", r"\d{4}-\d\d-\d\dt.*", "RFC 3339 allows a small `t`", instant),
    Difference("padded_instant", "date-time", r" \d{4}-\d\d-\d\d ", "blanks around a value have no meaning, for each type but text", lambda text: instant(text + "T00:00")),
    Difference("loose_time", "time", r"1:02:03|12:30:00x|24:00:00", "only ISO times of a day are meant by format time"),
    Difference("offset_of_time", "time", r"\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)", "DuckDB drops the offset; a time with one is brought to UTC", clock),
    Difference("urn_of_uuid", "uuid", r"urn:uuid:.*", "a UUID's URN names the same UUID", lambda text: text.removeprefix("urn:uuid:").lower()),
]

# The same of whole values, told apart in `compare.py`.
OTHERS = {
    "lone_surrogate": "half a surrogate pair is no character: DuckDB gives up the row or file, the runner puts the row into quarantine",
    "number_as_text": "a number in a column of text stays as it is written; DuckDB prints its double",
    "negative_zero": "-0 is a double of its own; DuckDB's reader makes it an integer first",
    "integer_through_double": "1e3 and 2.0 are taken exactly; DuckDB's reader makes them doubles first",
    "finer_than_microseconds": "digits finer than microseconds are cut, in each format; DuckDB's cast rounds them",
}
