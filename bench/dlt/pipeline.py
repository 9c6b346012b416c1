"""dlt: pipeline.py SOURCE DESTINATION, with SOURCE http, csv or jsonl and DESTINATION parquet, iceberg or postgres.

Reads BENCH_INPUT (a URL or a file) and writes BENCH_OUTPUT (a folder or a PostgreSQL URL). Settings are those of dlt's
own page on performance: Arrow tables from files, large buffers, file rotation so that normalisation and load run in
parallel, and the quick parser that ships with it. dlt infers the types and checks nothing else.
"""

import os
import sys

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")
os.environ.setdefault("DATA_WRITER__BUFFER_MAX_ITEMS", "20000")
os.environ.setdefault("DATA_WRITER__FILE_MAX_ITEMS", "100000")
os.environ.setdefault("NORMALIZE__WORKERS", "2")
os.environ.setdefault("LOAD__WORKERS", "4")

import dlt  # noqa: E402  (settings are read at import)


def pages(url):
    from dlt.sources.rest_api import rest_api_source

    base, path = url.split("/pages/")
    return rest_api_source(
        {
            "client": {"base_url": base, "paginator": {"type": "json_link", "next_url_path": "next_url"}},
            "resources": [{"name": "flights", "endpoint": {"path": f"pages/{path}", "data_selector": "rows"}}],
        }
    )


@dlt.resource(name="flights")
def csv_rows(path):
    import pyarrow.csv

    for batch in pyarrow.csv.open_csv(path):
        yield batch


@dlt.resource(name="flights")
def json_lines(path):
    import pyarrow.json

    yield pyarrow.json.read_json(path)


def destination(kind, place):
    if kind == "postgres":
        return dlt.destinations.postgres(credentials=place)
    return dlt.destinations.filesystem(bucket_url=f"file://{place}")


def main():
    source_kind, kind = sys.argv[1:]
    place = os.environ["BENCH_OUTPUT"]
    readers = {"http": pages, "csv": csv_rows, "jsonl": json_lines}
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=os.environ["BENCH_SCRATCH"],
        destination=destination(kind, place),
        dataset_name="bench",
    )
    options = {"write_disposition": "append"}
    if kind == "parquet":
        options["loader_file_format"] = "parquet"
    if kind == "iceberg":
        options["table_format"] = "iceberg"
    print(pipeline.run(readers[source_kind](os.environ["BENCH_INPUT"]), **options))


if __name__ == "__main__":
    main()
