"""Writes the flights in the shapes that the benchmark reads.

Usage: prepare.py FLIGHTS_CSV FOLDER BASE_URL [ROWS]

FOLDER/flights.csv    the package's file, with missing values empty instead of `NA`
FOLDER/flights.jsonl  one object a line
FOLDER/pages/N.json   {"rows": [1,000 objects], "next_url": BASE_URL/pages/N+1.json or null}
"""

import csv
import json
import pathlib
import sys

PAGE = 1000
TEXT_COLUMNS = {"carrier", "tailnum", "origin", "dest", "time_hour"}

source, folder, base_url = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
limit = int(sys.argv[4]) if len(sys.argv) > 4 else None
(folder / "pages").mkdir(parents=True, exist_ok=True)

lines = []
with open(source, newline="", encoding="utf-8") as opened, open(folder / "flights.csv", "w", newline="", encoding="utf-8") as plain:
    rows = csv.reader(opened)
    columns = next(rows)
    writer = csv.writer(plain, lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows):
        if number == limit:
            break
        row = ["" if value == "NA" else value for value in row]
        writer.writerow(row)
        typed = {
            name: None if value == "" else value if name in TEXT_COLUMNS else int(value)
            for name, value in zip(columns, row)
        }
        lines.append(json.dumps(typed, separators=(",", ":")))

(folder / "flights.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
pages = [lines[start : start + PAGE] for start in range(0, len(lines), PAGE)]
for number, page in enumerate(pages, start=1):
    following = json.dumps(f"{base_url}/pages/{number + 1}.json" if number < len(pages) else None)
    text = f'{{"rows":[{",".join(page)}],"next_url":{following}}}'
    (folder / "pages" / f"{number}.json").write_text(text, encoding="utf-8")
print(len(lines))
