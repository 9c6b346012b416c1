//! Rows of a data file in the columns that the table has now: fields are found by their ids, whatever they were called when
//! the file was written; what the file lacks is null, and types are widened.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use serde::Deserialize;

use super::arrays::conform_array;
use super::error::{IcebergError, Result};

/// Names under which fields without ids are known (`schema.name-mapping.default`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct NameMapping(Vec<MappedField>);

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MappedField {
    field_id: Option<i32>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    fields: Vec<Self>,
}

/// Which columns of a file are read, and what becomes of them.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    /// Positions in the file.
    pub columns: Vec<usize>,
    /// The file's columns that are read, with ids.
    read: SchemaRef,
    target: SchemaRef,
}

impl Projection {
    /// From a file's schema to the fields of `target`, which carry ids.
    pub(super) fn new(
        file: &Schema,
        target: SchemaRef,
        names: Option<&NameMapping>,
        location: &str,
    ) -> Result<Self> {
        let fields = with_ids(file.fields(), names, location)?;
        let columns: Vec<usize> = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| {
                id(field).is_some_and(|found| {
                    target
                        .fields()
                        .iter()
                        .any(|wanted| id(wanted) == Some(found))
                })
            })
            .map(|(position, _)| position)
            .collect();
        let read: Vec<FieldRef> = columns
            .iter()
            .map(|position| Arc::clone(&fields[*position]))
            .collect();
        Ok(Self {
            columns,
            read: Arc::new(Schema::new(read)),
            target,
        })
    }

    /// Whether the file has a column of this name and id.
    pub(super) fn has(&self, name: &str, wanted: i32) -> bool {
        self.read
            .field_with_name(name)
            .is_ok_and(|field| id(field) == Some(wanted))
    }

    /// Whether a top-level field with this id is asked for.
    pub(super) fn wants(&self, wanted: i32) -> bool {
        self.target
            .fields()
            .iter()
            .any(|field| id(field) == Some(wanted))
    }

    /// Whether the file has it.
    pub(super) fn reads(&self, wanted: i32) -> bool {
        self.read
            .fields()
            .iter()
            .any(|field| id(field) == Some(wanted))
    }

    pub(super) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns = project_fields(
            self.read.fields(),
            batch.columns(),
            self.target.fields(),
            rows,
        )
        .and_then(|columns| {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::clone(&self.target), columns, &options)
        });
        columns.map_err(IcebergError::arrow(
            "bring rows of a data file into the table's columns",
        ))
    }
}

fn project_fields(
    read: &Fields,
    columns: &[ArrayRef],
    target: &Fields,
    rows: usize,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let by_id: HashMap<i32, (&FieldRef, &ArrayRef)> = read
        .iter()
        .zip(columns)
        .filter_map(|(field, column)| Some((id(field)?, (field, column))))
        .collect();
    target
        .iter()
        .map(|wanted| match id(wanted).and_then(|id| by_id.get(&id)) {
            Some((field, column)) => project(field, column, wanted.data_type()),
            None => Ok(new_null_array(wanted.data_type(), rows)),
        })
        .collect()
}

fn project(read: &Field, array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    match (read.data_type(), target) {
        (DataType::Struct(fields), DataType::Struct(wanted)) => {
            let rows = array.as_struct();
            let columns = project_fields(fields, rows.columns(), wanted, rows.len())?;
            Ok(Arc::new(StructArray::try_new(
                wanted.clone(),
                columns,
                rows.nulls().cloned(),
            )?))
        }
        (DataType::List(item), DataType::List(wanted)) => {
            let list = array.as_list::<i32>();
            let values = project(item, list.values(), wanted.data_type())?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(wanted),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (DataType::LargeList(item), DataType::List(wanted)) => {
            let plain = DataType::List(Arc::clone(item));
            let list = cast(array, &plain)?;
            project(
                &Field::new(read.name(), plain, true),
                &list,
                &DataType::List(Arc::clone(wanted)),
            )
        }
        (DataType::Map(entries, _), DataType::Map(wanted, sorted)) => {
            let map = array.as_map();
            let columns: ArrayRef = Arc::new(map.entries().clone());
            let entries = project(entries, &columns, wanted.data_type())?;
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(wanted),
                map.offsets().clone(),
                entries.as_struct().clone(),
                map.nulls().cloned(),
                *sorted,
            )?))
        }
        _ => conform_array(array, target),
    }
}

fn id(field: &Field) -> Option<i32> {
    field
        .metadata()
        .get(PARQUET_FIELD_ID_META_KEY)
        .and_then(|text| text.parse().ok())
}

/// The fields with ids: their own, or, where no field has one, those that the table knows them by.
fn with_ids(fields: &Fields, names: Option<&NameMapping>, location: &str) -> Result<Fields> {
    if fields.iter().any(|field| id(field).is_some()) {
        return Ok(fields.clone());
    }
    match names {
        Some(names) => Ok(named_fields(fields, &names.0)),
        None => Err(IcebergError::unsupported(
            format!("the file `{location}` has no field ids, and the table maps no names to them"),
            "set the table's property `schema.name-mapping.default`, or rewrite its data files",
        )),
    }
}

fn named_fields(fields: &Fields, names: &[MappedField]) -> Fields {
    fields
        .iter()
        .map(|field| named(field, field.name(), names))
        .collect()
}

/// The field with the id that `names` gives to `name`, and what is below it likewise.
fn named(field: &FieldRef, name: &str, names: &[MappedField]) -> FieldRef {
    let Some(mapped) = names
        .iter()
        .find(|mapped| mapped.names.iter().any(|known| known == name))
    else {
        return Arc::clone(field);
    };
    let below = &mapped.fields;
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(named_fields(fields, below)),
        // Writers call the items of lists by different names; the mapping calls them `element`.
        DataType::List(item) => DataType::List(named(item, "element", below)),
        DataType::LargeList(item) => DataType::LargeList(named(item, "element", below)),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) => {
                let pair: Fields = pair
                    .iter()
                    .zip(["key", "value"])
                    .map(|(field, name)| named(field, name, below))
                    .collect();
                let entries = entries
                    .as_ref()
                    .clone()
                    .with_data_type(DataType::Struct(pair));
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => field.data_type().clone(),
        },
        other => other.clone(),
    };
    let mut metadata = field.metadata().clone();
    if let Some(id) = mapped.field_id {
        metadata.insert(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string());
    }
    Arc::new(
        field
            .as_ref()
            .clone()
            .with_data_type(data_type)
            .with_metadata(metadata),
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array, StringArray};

    use super::*;

    fn field(name: &str, data_type: DataType, id: i32) -> Field {
        Field::new(name, data_type, true).with_metadata(HashMap::from([(
            PARQUET_FIELD_ID_META_KEY.to_owned(),
            id.to_string(),
        )]))
    }

    fn batch(fields: Vec<Field>, columns: Vec<ArrayRef>) -> RecordBatch {
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    #[test]
    fn fields_are_found_by_id_at_every_depth() {
        let inner = Fields::from(vec![field("old_x", DataType::Int32, 3)]);
        let person = StructArray::new(
            inner.clone(),
            vec![Arc::new(Int32Array::from(vec![7, 8])) as ArrayRef],
            None,
        );
        let rows = batch(
            vec![
                field("gone", DataType::Utf8, 1),
                field("old", DataType::Struct(inner), 2),
            ],
            vec![
                Arc::new(StringArray::from(vec!["a", "b"])),
                Arc::new(person),
            ],
        );
        let wanted = Fields::from(vec![
            field("y", DataType::Utf8, 9),
            field("x", DataType::Int64, 3),
        ]);
        let target = Arc::new(Schema::new(vec![
            field("gone", DataType::Int64, 5),
            field("new", DataType::Struct(wanted), 2),
        ]));
        let projection = Projection::new(&rows.schema(), target, None, "f").unwrap();
        assert_eq!(projection.columns, [1]);
        assert!(!projection.has("gone", 1) && projection.has("old", 2));
        let projected = projection.apply(&rows.project(&[1]).unwrap()).unwrap();
        assert_eq!(
            projected.column(0).null_count(),
            2,
            "another column of that name"
        );
        let new = projected.column(1).as_struct();
        assert_eq!(new.column(0).null_count(), 2);
        let x: &Int64Array = new.column(1).as_primitive();
        assert_eq!(x.values(), &[7, 8]);
    }

    #[test]
    fn fields_without_ids_are_found_by_the_names_that_the_table_maps() {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let list =
            ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some(vec![
                Some(1),
            ])]);
        let rows = batch(
            vec![
                Field::new("ID", DataType::Int64, true),
                Field::new("tags", DataType::List(item), true),
            ],
            vec![Arc::new(Int64Array::from(vec![4])), Arc::new(list)],
        );
        let names: NameMapping = serde_json::from_str(
            r#"[{"field-id": 1, "names": ["id", "ID"]},
                {"field-id": 2, "names": ["tags"], "fields": [{"field-id": 3, "names": ["element"]}]}]"#,
        )
        .unwrap();
        let element = Arc::new(field("element", DataType::Int64, 3));
        let target = Arc::new(Schema::new(vec![
            field("tags", DataType::List(element), 2),
            field("id", DataType::Int64, 1),
        ]));
        let projection =
            Projection::new(&rows.schema(), Arc::clone(&target), Some(&names), "f").unwrap();
        let projected = projection.apply(&rows).unwrap();
        assert_eq!(
            projected.column(0).null_count() + projected.column(1).null_count(),
            0
        );
        let error = Projection::new(&rows.schema(), target, None, "f").unwrap_err();
        assert!(error.to_string().contains("has no field ids"));
    }
}
