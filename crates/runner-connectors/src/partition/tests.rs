use arrow::array::{BooleanArray, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::Field;
use proptest::prelude::*;

use super::*;

fn partition(column: &str, transform: PartitionTransform) -> Partition {
    Partition {
        column: column.to_owned(),
        transform,
        name: format!("{column}_p"),
    }
}

fn batch(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap()
}

/// Folder of each row of a column.
fn folders(array: ArrayRef, transform: PartitionTransform) -> Vec<String> {
    let batch = batch(array);
    let mut splitter = Splitter::new(&[partition("c", transform)], &batch.schema()).unwrap();
    (0..batch.num_rows())
        .map(|row| {
            let splits = splitter.split(&batch.slice(row, 1)).unwrap();
            splits[0].key.folder().to_owned()
        })
        .collect()
}

type Values = (Option<i64>, Option<String>);

const DAY: i64 = 86_400_000_000;

#[test]
fn folders_say_what_the_transform_made() {
    use PartitionTransform as P;
    let times: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from(vec![Some(-1), Some(DAY + 3_600_000_000), None])
            .with_timezone("UTC"),
    );
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![-1, 31]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![-7, 34]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["iceberg", "a/b"]));
    for (array, transform, expected) in [
        (
            &times,
            P::Year,
            vec!["c_p=1969", "c_p=1970", "c_p=__HIVE_DEFAULT_PARTITION__"],
        ),
        (
            &times,
            P::Month,
            vec![
                "c_p=1969-12",
                "c_p=1970-01",
                "c_p=__HIVE_DEFAULT_PARTITION__",
            ],
        ),
        (
            &times,
            P::Day,
            vec![
                "c_p=1969-12-31",
                "c_p=1970-01-02",
                "c_p=__HIVE_DEFAULT_PARTITION__",
            ],
        ),
        (
            &times,
            P::Hour,
            vec![
                "c_p=1969-12-31-23",
                "c_p=1970-01-02-01",
                "c_p=__HIVE_DEFAULT_PARTITION__",
            ],
        ),
        (
            &dates,
            P::Identity,
            vec!["c_p=1969-12-31", "c_p=1970-02-01"],
        ),
        (&dates, P::Month, vec!["c_p=1969-12", "c_p=1970-02"]),
        (&numbers, P::Truncate(10), vec!["c_p=-10", "c_p=30"]),
        // Values of the specification: 34 hashes to 2017239379.
        (&numbers, P::Bucket(16), vec!["c_p=10", "c_p=3"]),
        (&texts, P::Truncate(3), vec!["c_p=ice", "c_p=a%2Fb"]),
        (&texts, P::Identity, vec!["c_p=iceberg", "c_p=a%2Fb"]),
    ] {
        let found = folders(Arc::clone(array), transform);
        if matches!(transform, P::Bucket(_)) {
            assert_eq!(found[1], expected[1], "{transform:?}");
        } else {
            assert_eq!(found, expected, "{transform:?}");
        }
    }
}

#[test]
fn a_text_that_means_null_to_hive_stays_a_text() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(NULL_FOLDER), None]));
    let found = folders(texts, PartitionTransform::Identity);
    assert_ne!(found[0], found[1]);
    let name = found[0].strip_prefix("c_p=").unwrap();
    let value = folder_value(name, &DataType::Utf8).unwrap();
    assert_eq!(value.as_ref(), &StringArray::from(vec![NULL_FOLDER]));
}

#[test]
fn a_column_that_is_none_or_of_a_wrong_type_is_an_error_of_the_document() {
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let batch = batch(flags);
    let error = Splitter::new(
        &[partition("absent", PartitionTransform::Day)],
        &batch.schema(),
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Spec);
    let mut splitter =
        Splitter::new(&[partition("c", PartitionTransform::Day)], &batch.schema()).unwrap();
    assert_eq!(splitter.split(&batch).unwrap_err().kind(), ErrorKind::Spec);
}

#[test]
fn without_partitions_rows_stay_together() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = batch(numbers);
    let mut splitter = Splitter::new(&[], &batch.schema()).unwrap();
    let splits = splitter.split(&batch).unwrap();
    assert_eq!((splits.len(), &splits[0].batch), (1, &batch));
    assert_eq!(splits[0].key, PartitionKey::whole());
    assert!(splitter.split(&batch.slice(0, 0)).unwrap().is_empty());
}

proptest! {
    /// Every row is in one split, with the others of its values and in their order.
    #[test]
    fn rows_of_a_partition_come_together_in_their_order(
        rows in prop::collection::vec((prop::option::of(0_i64..4), prop::option::of("[ab=/%]{0,2}")), 0..60)
    ) {
        let numbers: Int64Array = rows.iter().map(|(number, _)| *number).collect();
        let texts: StringArray = rows.iter().map(|(_, text)| text.clone()).collect();
        let order: Int64Array = (0_i64..).take(rows.len()).map(Some).collect();
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("order", DataType::Int64, true),
        ]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(numbers), Arc::new(texts), Arc::new(order)],
        ).unwrap();
        let partitions = [
            partition("n", PartitionTransform::Identity),
            partition("t", PartitionTransform::Identity),
        ];
        let mut splitter = Splitter::new(&partitions, &schema).unwrap();
        prop_assert_eq!(splitter.identity_columns(), vec![0, 1]);
        let mut found: Vec<(Vec<usize>, String)> = Vec::new();
        for split in splitter.split(&batch).unwrap() {
            let order = split.batch.column(2).as_primitive::<arrow::datatypes::Int64Type>();
            let order = order.values().iter().map(|row| usize::try_from(*row).unwrap()).collect();
            found.push((order, split.key.folder().to_owned()));
        }
        let mut expected: Vec<(Values, Vec<usize>)> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            match expected.iter_mut().find(|(values, _)| values == row) {
                Some((_, order)) => order.push(index),
                None => expected.push((row.clone(), vec![index])),
            }
        }
        prop_assert_eq!(found.len(), expected.len());
        for ((order, folder), (values, expected)) in found.iter().zip(&expected) {
            prop_assert_eq!(order, expected);
            let (number, text) = folder.split_once('/').unwrap();
            let number = folder_value(number.strip_prefix("n_p=").unwrap(), &DataType::Int64).unwrap();
            prop_assert_eq!(number.as_ref(), &Int64Array::from(vec![values.0]));
            let text = folder_value(text.strip_prefix("t_p=").unwrap(), &DataType::Utf8).unwrap();
            prop_assert_eq!(text.as_ref(), &StringArray::from(vec![values.1.clone()]));
        }
    }

    #[test]
    fn any_text_is_one_name_and_comes_back(text in ".*") {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text.clone()]));
        let folder = folders(texts, PartitionTransform::Identity).remove(0);
        let name = folder.strip_prefix("c_p=").unwrap();
        prop_assert!(!name.contains(['/', '=']), "{}", name);
        let value = folder_value(name, &DataType::Utf8).unwrap();
        prop_assert_eq!(value.as_ref(), &StringArray::from(vec![text]));
    }

    #[test]
    fn instants_come_back_from_their_names(micros in -60_000_000_000_000_000_i64..250_000_000_000_000_000) {
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"));
        let folder = folders(Arc::clone(&times), PartitionTransform::Identity).remove(0);
        let name = folder.strip_prefix("c_p=").unwrap();
        let value = folder_value(name, times.data_type()).unwrap();
        prop_assert_eq!(value.as_ref(), times.as_ref());
    }
}
