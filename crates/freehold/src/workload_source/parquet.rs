//! Requests from Apache Parquet: only the columns that say something about them are read.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use freehold_workload::Importer;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::Value;

pub(super) fn add(file: File, name: &str, importer: &mut Importer) -> Result<()> {
    let broken = || {
        format!(
            "cannot read {name} as Parquet; it may be cut, or compressed in another way than Snappy: \
             write it again with compression = snappy or none"
        )
    };
    let reader = SerializedFileReader::new(file).with_context(broken)?;
    let root = reader.metadata().file_metadata().schema().clone();
    let fields = root.get_fields();
    let columns: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut wanted = importer.wanted(&columns, name)?;
    wanted.sort_unstable();
    let projection = Type::group_type_builder(root.name())
        .with_fields(
            wanted
                .iter()
                .map(|index| Arc::clone(&fields[*index]))
                .collect(),
        )
        .build()
        .with_context(broken)?;
    let rows = reader.get_row_iter(Some(projection)).with_context(broken)?;
    let width = columns.len();
    let rows = rows.map(|row| row.map(|row| cells(&row, &wanted, width)));
    importer
        .add_table(&columns, rows, name)
        .with_context(broken)
}

fn cells(row: &Row, wanted: &[usize], width: usize) -> Vec<Value> {
    let mut cells = vec![Value::Null; width];
    for ((_, field), index) in row.get_column_iter().zip(wanted) {
        cells[*index] = value(field);
    }
    cells
}

/// A cell as JSON has it. Moments become their number: its size tells the unit.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::from(*flag),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) | Field::TimestampMillis(number) | Field::TimestampMicros(number) => {
            Value::from(*number)
        }
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float(number) => Value::from(*number),
        Field::Double(number) => Value::from(*number),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Date(days) => Value::from(i64::from(*days) * 86_400),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::Group(group) => group
            .get_column_iter()
            .map(|(name, field)| (name.clone(), value(field)))
            .collect(),
        // Texts without a declared kind, decimals and the rest: as they are printed.
        Field::Bytes(bytes) => Value::from(String::from_utf8_lossy(bytes.data())),
        other => Value::from(other.to_string()),
    }
}
