"""Spark on the tables of an Iceberg SQL catalog in SQLite: runs statements, prints the rows of each as one JSON array.

Usage: spark.py JARS DATABASE WAREHOUSE STATEMENT...

The catalog's name is `local`, the one that the runner's own catalog has.
"""

import json
import os
import sys
from pathlib import Path

# Nothing of it is to be reached from elsewhere.
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"

from pyspark.sql import SparkSession

jars, database, warehouse, *statements = sys.argv[1:]
settings = {
    "spark.jars": ",".join(str(jar) for jar in Path(jars).glob("*.jar")),
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "600m",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.catalog.local": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.local.type": "jdbc",
    "spark.sql.catalog.local.uri": f"jdbc:sqlite:{database}",
    "spark.sql.catalog.local.warehouse": warehouse,
}
builder = SparkSession.builder.master("local[1]")
for name, value in settings.items():
    builder = builder.config(name, value)
session = builder.getOrCreate()
session.sparkContext.setLogLevel("ERROR")
for statement in statements:
    print(json.dumps([row.asDict(recursive=True) for row in session.sql(statement).collect()], default=str))
session.stop()
