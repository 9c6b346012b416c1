"""The runner's decoding and conversion beside DuckDB's, on the same bytes.

Usage: decoding generate ROOT SEED ROWS    writes a folder per case: its file, its document and what to compare
       decoding compare ROOT               reads what the runner made of them, and prints what differs as one JSON object
"""

import json
import sys

from compare import compare
from generate import generate

command, root, *numbers = sys.argv[1:]
if command == "generate":
    generate(root, *map(int, numbers))
else:
    print(json.dumps(compare(root)))
