//! Apache Parquet, a row group at a time: of a file of any size, one group is in memory.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Result, ensure};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::cells::{Cell, Column, Kind, Sink};

/// Rows of one group: some forty megabytes while it is gathered.
pub(super) const GROUP_ROWS: usize = 20_000;

/// A Parquet file being written.
pub(super) struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: &'static [Column],
    /// The cells of the group, column by column.
    group: Vec<Vec<Cell>>,
    group_rows: usize,
}

impl<W: Write + Send> Parquet<W> {
    /// # Errors
    /// When the file's head cannot be written.
    pub(super) fn new(out: W, columns: &'static [Column], group_rows: usize) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("freehold ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(out, schema(columns)?, Arc::new(properties))?;
        Ok(Self {
            writer,
            columns,
            group: columns.iter().map(|_| Vec::new()).collect(),
            group_rows,
        })
    }

    fn rows(&self) -> usize {
        self.group.first().map_or(0, Vec::len)
    }

    fn write_group(&mut self) -> Result<()> {
        if self.rows() == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (column, cells) in self.columns.iter().zip(&mut self.group) {
            write_column(&mut group, *column, cells)?;
            cells.clear();
        }
        group.close()?;
        Ok(())
    }
}

impl<W: Write + Send> Sink for Parquet<W> {
    fn row(&mut self, cells: &[Cell]) -> Result<()> {
        for (column, cell) in self.group.iter_mut().zip(cells) {
            column.push(cell.clone());
        }
        if self.rows() >= self.group_rows {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.write_group()?;
        self.writer.finish()?;
        self.writer.inner_mut().flush()?;
        Ok(())
    }
}

fn schema(columns: &[Column]) -> Result<TypePtr> {
    let fields: Result<Vec<TypePtr>> = columns.iter().map(field).collect();
    let schema = Type::group_type_builder("freehold")
        .with_fields(fields?)
        .build()?;
    Ok(Arc::new(schema))
}

fn field(column: &Column) -> Result<TypePtr> {
    let (physical, logical) = match column.kind {
        Kind::Text | Kind::Decimal => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Integer => (Physical::INT64, None),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Moment => (
            Physical::INT64,
            Some(LogicalType::timestamp(true, TimeUnit::MILLIS)),
        ),
        // Nano-dollars as they are, read as dollars: exact.
        Kind::Money => (Physical::INT64, Some(LogicalType::decimal(9, 18))),
    };
    let mut builder = Type::primitive_type_builder(column.name, physical)
        .with_repetition(if column.optional {
            Repetition::OPTIONAL
        } else {
            Repetition::REQUIRED
        })
        .with_logical_type(logical);
    if column.kind == Kind::Money {
        builder = builder.with_precision(18).with_scale(9);
    }
    Ok(Arc::new(builder.build()?))
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: Column,
    cells: &[Cell],
) -> Result<()> {
    match column.kind {
        Kind::Text | Kind::Decimal => {
            write_values::<ByteArrayType, W>(group, column, cells, |cell| match cell {
                Cell::Text(text) | Cell::Decimal(text) => Some(ByteArray::from(text.as_str())),
                _ => None,
            })
        }
        Kind::Flag => write_values::<BoolType, W>(group, column, cells, |cell| match cell {
            Cell::Flag(flag) => Some(*flag),
            _ => None,
        }),
        Kind::Integer | Kind::Moment | Kind::Money => {
            write_values::<Int64Type, W>(group, column, cells, |cell| match cell {
                Cell::Integer(number) => Some(*number),
                Cell::Moment(unix_ms) => i64::try_from(*unix_ms).ok(),
                Cell::Money(money) => Some(money.nanos()),
                _ => None,
            })
        }
    }
}

fn write_values<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: Column,
    cells: &[Cell],
    value: impl Fn(&Cell) -> Option<T::T>,
) -> Result<()> {
    let values: Vec<T::T> = cells.iter().filter_map(&value).collect();
    let levels: Vec<i16> = cells
        .iter()
        .map(|cell| i16::from(value(cell).is_some()))
        .collect();
    let whole = column.optional || values.len() == cells.len();
    ensure!(whole, "a row has no {}", column.name);
    let writer = group.next_column()?;
    ensure!(writer.is_some(), "no column for {}", column.name);
    if let Some(mut writer) = writer {
        let levels = column.optional.then_some(levels.as_slice());
        writer.typed::<T>().write_batch(&values, levels, None)?;
        writer.close()?;
    }
    Ok(())
}
