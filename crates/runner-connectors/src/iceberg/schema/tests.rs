use runner_plan::model::{ColumnField, ColumnType as T};

use super::ids::FieldIds;
use super::*;

fn column(name: &str, column_type: T) -> ColumnField {
    ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: true,
    }
}

fn list(item: T) -> T {
    T::List(Box::new(column("item", item)))
}

fn schema(columns: &[ColumnField]) -> Schema {
    let mut ids = FieldIds::default();
    ids.assign(columns, &mut 0);
    new_schema(columns, &ids).unwrap()
}

fn evolve(table: &Schema, columns: &[ColumnField]) -> Result<Option<Schema>> {
    Evolution {
        table: "ns.t",
        schema: table,
        last_column_id: table.highest_field_id(),
        preferred: &FieldIds::default(),
        has_nulls: &|_| false,
    }
    .for_columns(columns)
}

/// `name id type` of every field.
fn fields(schema: &Schema) -> Vec<String> {
    let mut fields: Vec<(i32, String)> = schema
        .field_id_to_fields()
        .iter()
        .map(|(id, field)| {
            let name = schema.name_by_field_id(*id).unwrap();
            let required = if field.required { " required" } else { "" };
            (
                *id,
                format!("{id} {name} {}{required}", type_text(&field.field_type)),
            )
        })
        .collect();
    fields.sort();
    fields.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn ids_are_those_that_a_catalog_gives_to_a_new_table() {
    let columns = [
        column("id", T::Integer),
        column(
            "person",
            T::Struct(vec![
                column("name", T::String),
                column("tags", list(T::String)),
            ]),
        ),
        column(
            "amount",
            T::Decimal {
                precision: 10,
                scale: 2,
            },
        ),
    ];
    let ours = schema(&columns);
    let metadata = iceberg::spec::TableMetadataBuilder::new(
        ours.clone(),
        iceberg::spec::UnboundPartitionSpec::default(),
        iceberg::spec::SortOrder::unsorted_order(),
        "file:///t".to_owned(),
        iceberg::spec::FormatVersion::V2,
        std::collections::HashMap::new(),
    )
    .unwrap()
    .build()
    .unwrap()
    .metadata;
    assert_eq!(fields(metadata.current_schema()), fields(&ours));
}

#[test]
fn names_with_dots_are_not_paths() {
    let mut ids = FieldIds::default();
    let columns = [
        column("a.b", T::Integer),
        column("a", T::Struct(vec![column("b", T::Integer)])),
    ];
    ids.assign(&columns, &mut 0);
    assert_eq!(ids.highest(), 3);
}

#[test]
fn new_columns_and_wider_types_are_taken() {
    let table = Schema::builder()
        .with_fields([
            NestedField::required(1, "id", Type::Primitive(PrimitiveType::Int)).into(),
            NestedField::optional(2, "ratio", Type::Primitive(PrimitiveType::Float)).into(),
            NestedField::optional(
                3,
                "amount",
                Type::Primitive(PrimitiveType::Decimal {
                    precision: 8,
                    scale: 2,
                }),
            )
            .into(),
            NestedField::optional(4, "other", Type::Primitive(PrimitiveType::String)).into(),
        ])
        .build()
        .unwrap();
    let columns = [
        column("id", T::Integer),
        column("ratio", T::Number),
        column(
            "amount",
            T::Decimal {
                precision: 12,
                scale: 2,
            },
        ),
        column("extra", T::Struct(vec![column("at", T::Timestamp)])),
    ];
    let evolved = evolve(&table, &columns).unwrap().unwrap();
    assert_eq!(
        fields(&evolved),
        [
            "1 id long required",
            "2 ratio double",
            "3 amount decimal(12,2)",
            "4 other string",
            "5 extra struct<at: timestamptz>",
            "6 extra.at timestamptz",
        ]
    );
    assert!(evolve(&evolved, &columns).unwrap().is_none());
}

#[test]
fn a_table_takes_narrower_decimals_as_it_is() {
    let table = schema(&[column(
        "a",
        T::Decimal {
            precision: 12,
            scale: 2,
        },
    )]);
    let narrow = [column(
        "a",
        T::Decimal {
            precision: 8,
            scale: 2,
        },
    )];
    assert!(evolve(&table, &narrow).unwrap().is_none());
}

#[test]
fn what_iceberg_cannot_change_is_a_conflict_that_names_table_column_and_types() {
    for (have, wanted, text) in [
        (
            T::Number,
            T::String,
            "double, which can't take values of type string",
        ),
        (
            T::Integer,
            T::Number,
            "long, which can't take values of type number",
        ),
        (
            T::String,
            T::Integer,
            "string, which can't take values of type integer",
        ),
        (
            T::Decimal {
                precision: 8,
                scale: 2,
            },
            T::Decimal {
                precision: 8,
                scale: 3,
            },
            "decimal(8,2), which can't take values of type decimal(8,3)",
        ),
        (
            list(T::Integer),
            list(T::String),
            "long, which can't take values of type string",
        ),
        (
            T::Struct(vec![column("x", T::Integer)]),
            T::String,
            "struct<x: long>, which can't take values of type string",
        ),
    ] {
        let error = evolve(&schema(&[column("a", have)]), &[column("a", wanted)]).unwrap_err();
        let error = runner_core::Error::from(error);
        assert_eq!(error.kind(), runner_core::ErrorKind::Conflict);
        let message = error.message();
        assert!(message.contains(text), "{message}");
        assert!(message.contains("`ns.t`"), "{message}");
    }
}

#[test]
fn a_required_column_becomes_optional_only_for_nulls() {
    let table = Schema::builder()
        .with_fields([
            NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long)).into(),
            NestedField::required(2, "name", Type::Primitive(PrimitiveType::String)).into(),
        ])
        .build()
        .unwrap();
    let evolved = Evolution {
        table: "t",
        schema: &table,
        last_column_id: 2,
        preferred: &FieldIds::default(),
        has_nulls: &|name| name == "name",
    }
    .for_columns(&[column("id", T::Integer), column("name", T::String)])
    .unwrap()
    .unwrap();
    assert_eq!(fields(&evolved), ["1 id long required", "2 name string"]);
}

#[test]
fn ids_in_files_are_kept_unless_the_table_has_given_them_away() {
    let table = schema(&[column("a", T::Integer)]);
    let columns = [
        column("a", T::Integer),
        column("b", T::String),
        column("c", T::String),
    ];
    let mut preferred = FieldIds::of(&table);
    preferred.assign(&[column("c", T::String), column("b", T::String)], &mut 1);
    let with = |last_column_id| {
        let evolved = Evolution {
            table: "t",
            schema: &table,
            last_column_id,
            preferred: &preferred,
            has_nulls: &|_| false,
        }
        .for_columns(&columns)
        .unwrap()
        .unwrap();
        fields(&evolved)
    };
    assert_eq!(with(1), ["1 a long", "2 c string", "3 b string"]);
    assert_eq!(with(2), ["1 a long", "3 b string", "4 c string"]);
}

#[test]
fn the_first_schema_of_a_new_table_has_the_ids_of_the_first_files() {
    let first = [
        column("a", T::Struct(vec![column("x", T::Integer)])),
        column("load", T::String),
    ];
    let later = [
        column(
            "a",
            T::Struct(vec![column("x", T::Integer), column("y", T::Integer)]),
        ),
        column("b", T::String),
        column("load", T::String),
    ];
    let mut ids = FieldIds::default();
    let mut last = 0;
    ids.assign(&first, &mut last);
    let first_ids = last;
    ids.assign(&later, &mut last);
    let kept = columns_up_to(&later, &ids, first_ids);
    assert_eq!(kept, first);
    let table = schema(&kept);
    let evolved = Evolution {
        table: "t",
        schema: &table,
        last_column_id: table.highest_field_id(),
        preferred: &ids,
        has_nulls: &|_| false,
    }
    .for_columns(&later)
    .unwrap()
    .unwrap();
    assert!(is_readable_as(
        new_schema(&later, &ids).unwrap().as_struct(),
        evolved.as_struct()
    ));
}

#[test]
fn a_column_without_fields_is_refused() {
    let columns = [column("a", T::Struct(vec![]))];
    let mut ids = FieldIds::default();
    ids.assign(&columns, &mut 0);
    let error = new_schema(&columns, &ids).unwrap_err().to_string();
    assert!(error.contains("`a` is an object without fields"), "{error}");
}

#[test]
fn files_are_read_as_meant_only_with_the_same_ids_and_types_that_widen() {
    let table = schema(&[column("a", T::Integer), column("b", T::Number)]);
    let file =
        |fields: Vec<NestedField>| StructType::new(fields.into_iter().map(Arc::new).collect());
    let long = || Type::Primitive(PrimitiveType::Long);
    for (fields, expected) in [
        (vec![NestedField::optional(1, "a", long())], true),
        (
            vec![NestedField::optional(
                1,
                "a",
                Type::Primitive(PrimitiveType::Int),
            )],
            true,
        ),
        (vec![NestedField::optional(2, "a", long())], false),
        (vec![NestedField::optional(2, "b", long())], false),
        (vec![NestedField::optional(3, "c", long())], false),
    ] {
        let shown = format!("{fields:?}");
        assert_eq!(
            is_readable_as(&file(fields), table.as_struct()),
            expected,
            "{shown}"
        );
    }
}
