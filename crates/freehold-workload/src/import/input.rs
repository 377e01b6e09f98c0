//! Bytes of a file: plain or gzip, bounded row by row.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;

use super::report::{ImportError, Trouble};

/// So much of a file is looked at to find out what it is.
pub(super) const HEAD_BYTES: u64 = 1 << 20;
/// A row longer than this is a mistake, such as a quote that is never closed.
const ROW_BYTES_MAX: u64 = 64 << 20;

/// The beginning of a file.
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    /// Whether that is all there is.
    pub(super) is_whole: bool,
}

/// A file's bytes, at most so many of them for one row.
pub(super) struct Input<'a> {
    reader: Box<dyn Read + 'a>,
    row_bytes: u64,
}

impl Input<'_> {
    /// A row has ended: the next one may be as long again.
    pub(super) fn row_done(&mut self) {
        self.row_bytes = 0;
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.row_bytes > ROW_BYTES_MAX {
            return Err(io::Error::other(
                "a row is longer than 64 MiB: is a quote or a bracket never closed?",
            ));
        }
        let count = self.reader.read(buffer)?;
        self.row_bytes += count as u64;
        Ok(count)
    }
}

/// Opens a file and looks at its beginning.
pub(super) fn open<'a>(
    reader: impl Read + 'a,
    name: &str,
) -> Result<(Head, Input<'a>), ImportError> {
    let unreadable = |error: io::Error| ImportError::Unreadable {
        file: name.to_owned(),
        place: "its beginning".to_owned(),
        error: error.to_string(),
    };
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let is_gzip = reader
        .fill_buf()
        .map_err(unreadable)?
        .starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn Read + 'a> = if is_gzip {
        Box::new(MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    };
    let mut bytes = Vec::new();
    let count = reader.by_ref().take(HEAD_BYTES).read_to_end(&mut bytes);
    let is_whole = (count.map_err(unreadable)? as u64) < HEAD_BYTES;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    let input = Input {
        reader: Box::new(Cursor::new(bytes.clone()).chain(reader)),
        row_bytes: 0,
    };
    Ok((Head { bytes, is_whole }, input))
}

/// What comes of one row of a table: its line, and its cells or what is wrong with them.
type Row<'a> = (u64, Result<&'a StringRecord, Trouble>);

/// The rows of a CSV file.
pub(super) struct CsvRows<'r, 'a> {
    reader: csv::Reader<&'r mut Input<'a>>,
    pub(super) header: Vec<String>,
    record: StringRecord,
    name: String,
}

impl<'r, 'a> CsvRows<'r, 'a> {
    pub(super) fn new(
        input: &'r mut Input<'a>,
        delimiter: u8,
        name: &str,
    ) -> Result<Self, ImportError> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .comment(Some(b'#'))
            .from_reader(input);
        let header = reader.headers().map_err(|error| unreadable(&error, name))?;
        let header = header.iter().map(|name| name.trim().to_owned()).collect();
        Ok(Self {
            reader,
            header,
            record: StringRecord::new(),
            name: name.to_owned(),
        })
    }

    /// The next row; nothing after the last.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'_>>, ImportError> {
        let read = self.reader.read_record(&mut self.record);
        self.reader.get_mut().row_done();
        let error = match read {
            Ok(false) => return Ok(None),
            Ok(true) => {
                let line = self.record.position().map_or(0, csv::Position::line);
                return Ok(Some((line, Ok(&self.record))));
            }
            Err(error) => error,
        };
        let line = error.position().map_or(0, csv::Position::line);
        let trouble = match error.kind() {
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => Trouble::whole(format!(
                "has {len} fields where the header has {expected_len}"
            )),
            csv::ErrorKind::Utf8 { .. } => Trouble::whole("is not UTF-8: save the file as UTF-8"),
            _ => return Err(unreadable(&error, &self.name)),
        };
        Ok(Some((line, Err(trouble))))
    }
}

fn unreadable(error: &csv::Error, name: &str) -> ImportError {
    let place = error.position().map_or_else(
        || "some line".to_owned(),
        |position| format!("line {}", position.line()),
    );
    ImportError::Unreadable {
        file: name.to_owned(),
        place,
        error: error.to_string(),
    }
}
