use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::table::json::decimal_text;

/// Reads a numeric as the server does: groups, weight, sign, scale.
fn read_numeric(bytes: &[u8]) -> String {
    let word = |index: usize| i16::from_be_bytes([bytes[4 + index * 2], bytes[5 + index * 2]]);
    let (count, weight, sign, scale) = (word(0), word(1), word(2), word(3));
    let digit = |position: i16| {
        let index = weight - position;
        if index < 0 || index >= count {
            0
        } else {
            word(4 + usize::try_from(index).unwrap())
        }
    };
    let mut whole = String::new();
    for position in (0..=weight.max(0)).rev() {
        write!(whole, "{:04}", digit(position)).unwrap();
    }
    let whole = whole.trim_start_matches('0');
    let mut fraction = String::new();
    let mut position = -1;
    while fraction.len() < usize::try_from(scale).unwrap() {
        write!(fraction, "{:04}", digit(position)).unwrap();
        position -= 1;
    }
    assert!(
        fraction[usize::try_from(scale).unwrap()..]
            .chars()
            .all(|c| c == '0')
    );
    fraction.truncate(usize::try_from(scale).unwrap());
    let sign = if sign == 0x4000 { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

proptest! {
    #[test]
    fn numerics_keep_every_digit(value in any::<i128>(), scale in 0_i8..=38) {
        let value = value % 10_i128.pow(38);
        let mut buffer = Vec::new();
        put_numeric(&mut buffer, value, scale);
        prop_assert_eq!(read_numeric(&buffer), decimal_text(value, scale));
    }
}

#[test]
fn rows_have_their_tags_before_their_columns() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let mut buffer = Vec::new();
    let tags = RowTags {
        part: 3,
        rank: Some((2, 100)),
    };
    rows(&mut buffer, &batch, &[Form::Integer], tags).unwrap();
    let mut expected = Vec::new();
    for (row, id) in [(100_i64, Some(7_i64)), (101, None)] {
        expected.extend_from_slice(&4_i16.to_be_bytes());
        expected.extend_from_slice(&4_i32.to_be_bytes());
        expected.extend_from_slice(&3_i32.to_be_bytes());
        for value in [Some(2), Some(row), id] {
            match value {
                None => expected.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(value) => {
                    expected.extend_from_slice(&8_i32.to_be_bytes());
                    expected.extend_from_slice(&value.to_be_bytes());
                }
            }
        }
    }
    assert_eq!(buffer, expected);
}

#[test]
fn what_the_server_cannot_hold_names_its_column_and_row() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["fine", "with \0 in it"]));
    let batch = RecordBatch::try_from_iter([("note", texts)]).unwrap();
    let tags = RowTags {
        part: 0,
        rank: None,
    };
    let error = rows(&mut Vec::new(), &batch, &[Form::Text], tags).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert!(error.to_string().contains("`note`"), "{error}");
    assert!(error.to_string().contains("row: 1"), "{error}");
}
