"""What tests do to an Iceberg table from the outside, with pyiceberg. Prints one JSON value.

Usage: iceberg_table.py CATALOG TABLE CODE

CATALOG is JSON: the properties of a pyiceberg catalog, its name among them. CODE is Python that sees `catalog`, `table`
(none where it doesn't exist), `pa` (pyarrow) and the functions below, and leaves its answer in `answer`.
"""

import json
import random
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, AssertRefSnapshotId, SetSnapshotRefUpdate
from pyiceberg.typedef import Record


def load(name):
    try:
        return catalog.load_table(name)
    except NoSuchTableError:
        return None


def rows(table, **scan):
    """All rows, in an order that doesn't depend on files."""
    return sorted(table.scan(**scan).to_arrow().to_pylist(), key=lambda row: json.dumps(row, default=str, sort_keys=True))


def batch(table, records):
    """Records as an Arrow table with the Iceberg table's own types; what a record lacks is null."""
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    return pa.Table.from_pylist(records, schema=schema)


class DeletesWriter(ManifestWriterV2):
    def content(self):
        return ManifestContent.DELETES

    @property
    def _meta(self):
        return {**super()._meta, "content": "deletes"}


def commit_deletes(table, arrow, content, equality_ids=None):
    """Commits one delete file, which pyiceberg itself doesn't write."""
    location = f"{table.location()}/data/deletes-{uuid.uuid4()}.parquet"
    with table.io.new_output(location).create() as out:
        pq.write_table(arrow, out)
    file = DataFile.from_args(
        content=content,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=arrow.num_rows,
        file_size_in_bytes=len(table.io.new_input(location)),
        column_sizes={},
        value_counts={},
        null_value_counts={},
        nan_value_counts={},
        lower_bounds={},
        upper_bounds={},
        key_metadata=None,
        split_offsets=[4],
        equality_ids=equality_ids,
        sort_order_id=None,
    )
    metadata = table.metadata
    snapshot_id = random.getrandbits(62)
    sequence_number = metadata.last_sequence_number + 1
    output = table.io.new_output(f"{table.location()}/metadata/{uuid.uuid4()}-m0.avro")
    with DeletesWriter(table.spec(), table.schema(), output, snapshot_id, "null") as writer:
        entry = ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED,
            snapshot_id=snapshot_id,
            sequence_number=None,
            file_sequence_number=None,
            data_file=file,
        )
        writer.add_entry(entry)
    manifests = [writer.to_manifest_file(), *table.current_snapshot().manifests(table.io)]
    list_location = f"{table.location()}/metadata/snap-{snapshot_id}-{uuid.uuid4()}.avro"
    parent = table.current_snapshot().snapshot_id
    with write_manifest_list(
        2, table.io.new_output(list_location), snapshot_id, parent, sequence_number, "null"
    ) as writer:
        writer.add_manifests(manifests)
    snapshot = Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent,
        sequence_number=sequence_number,
        timestamp_ms=metadata.last_updated_ms + 1,
        manifest_list=list_location,
        summary=Summary(Operation.DELETE, **{"added-delete-files": "1"}),
        schema_id=metadata.current_schema_id,
    )
    catalog.commit_table(
        table,
        (AssertRefSnapshotId(ref="main", snapshot_id=parent),),
        (
            AddSnapshotUpdate(snapshot=snapshot),
            SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=snapshot_id),
        ),
    )


def delete_positions(table, positions):
    """Position deletes: pairs of a data file's path and the number of a row in it."""
    schema = pa.schema(
        [
            pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": "2147483546"}),
            pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "2147483545"}),
        ]
    )
    records = [{"file_path": path, "pos": position} for path, position in sorted(positions)]
    commit_deletes(table, pa.Table.from_pylist(records, schema=schema), DataFileContent.POSITION_DELETES)


def delete_equal(table, column, value):
    """An equality delete of one value."""
    field = table.schema().find_field(column)
    schema = pa.schema(
        [pa.field(column, pa.int64(), nullable=True, metadata={"PARQUET:field_id": str(field.field_id)})]
    )
    arrow = pa.Table.from_pylist([{column: value}], schema=schema)
    commit_deletes(table, arrow, DataFileContent.EQUALITY_DELETES, [field.field_id])


catalog = load_catalog(**json.loads(sys.argv[1]))
table = load(sys.argv[2])
answer = None
exec(sys.argv[3])
print(json.dumps(answer, default=str))
