//! Reads somebody's record of traffic into a [`Workload`].
//!
//! [`Importer`] takes one file after the other, whatever their formats, and makes one workload of
//! them. What a row says wrongly is counted and located; what was assumed is a note. Nothing is
//! dropped in silence: `rows = requests + bad + left out` for records of single requests.

mod buckets;
pub(crate) mod canonical;
mod cells;
mod columns;
mod detect;
pub(crate) mod gather;
mod input;
mod json;
mod ledger;
mod names;
mod report;
mod request;
mod servegen;
mod times;

use std::collections::BTreeSet;
use std::io::Read;

use freehold_types::Outcome;
use serde_json::Value;

pub use columns::Field;
pub use names::{Format, TimeUnit};
pub use report::{BadRow, ImportError, ImportReport, Imported};

use self::cells::{Cells, Columns};
use self::detect::{Container, Detected};
use self::gather::Gather;
use self::report::{Place, Trouble};
use self::request::Taken;
use self::times::Clock;

/// How to read.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The format; found out from the content when nothing is said.
    pub format: Option<Format>,
    /// Which column holds what, where the names are not among the known ones.
    pub map: Vec<(Field, String)>,
    /// What numbers in the column of times count; found out when nothing is said.
    pub time_unit: Option<TimeUnit>,
    /// Draws what a record does not tell.
    pub seed: u64,
    /// Keeps this share of the requests, whole sessions of them; 1 keeps all.
    pub share: f64,
    /// More requests than these are an error: memory has an end.
    pub requests_max: usize,
    /// So many bad rows are described one by one.
    pub bad_rows_kept: usize,
    /// Input tokens of one request, where a record has sums but no number of requests.
    pub input_tokens_assumed: u32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            format: None,
            map: Vec::new(),
            time_unit: None,
            seed: 1,
            share: 1.0,
            requests_max: 20_000_000,
            bad_rows_kept: 20,
            input_tokens_assumed: 2_000,
        }
    }
}

/// Reads one file, plain or gzip.
///
/// # Errors
/// When nothing can be made of it; the message says what to change.
pub fn import(reader: impl Read, options: &ImportOptions) -> Result<Imported, ImportError> {
    let mut importer = Importer::new(options.clone())?;
    importer.add(reader, "input")?;
    importer.finish()
}

/// Takes files and outcomes, and makes one workload of them.
#[derive(Debug)]
pub struct Importer {
    options: ImportOptions,
    gather: Gather,
    servegen: servegen::ServeGen,
    formats: BTreeSet<Format>,
}

impl Importer {
    /// An importer that has read nothing yet.
    ///
    /// # Errors
    /// When the options make no sense.
    pub fn new(options: ImportOptions) -> Result<Self, ImportError> {
        if !(options.share > 0.0 && options.share <= 1.0) {
            return Err(ImportError::Options(
                "the share to keep must be more than 0 and at most 1".to_owned(),
            ));
        }
        let gather = Gather::new(&options);
        Ok(Self {
            options,
            gather,
            servegen: servegen::ServeGen::default(),
            formats: BTreeSet::new(),
        })
    }

    /// Reads one file, plain or gzip. The name is what it is called in messages.
    ///
    /// # Errors
    /// When nothing can be made of it; the message says what to change.
    pub fn add(&mut self, reader: impl Read, name: &str) -> Result<(), ImportError> {
        let (head, mut input) = input::open(reader, name)?;
        let Detected { container, format } = detect::detect(&head, name, &self.options)?;
        self.formats.insert(format);
        self.gather.begin_file(name, format);
        match (format, &container) {
            (Format::Freehold, _) => {
                canonical::read(&mut input, &container, name, &mut self.gather)
            }
            (_, Container::Csv { delimiter }) => self.add_csv(&mut input, *delimiter, format, name),
            (_, Container::JsonLines | Container::JsonDocument) => {
                let lines = matches!(container, Container::JsonLines);
                let mut rows = JsonRows::new(format, &self.options, name);
                let servegen = &mut self.servegen;
                let gather = &mut self.gather;
                let told = json::each_row(&mut input, lines, name, &mut |place, row| {
                    rows.take(place, row, gather, servegen)
                })?;
                for note in told {
                    self.gather.note(note);
                }
                Ok(())
            }
        }
    }

    /// Takes a table that somebody else has read, such as a Parquet file: the names of the columns,
    /// and one cell for each in every row.
    ///
    /// # Errors
    /// When a row cannot be read, or the columns are not those of requests.
    pub fn add_table<E: std::fmt::Display>(
        &mut self,
        columns: &[String],
        rows: impl Iterator<Item = Result<Vec<Value>, E>>,
        name: &str,
    ) -> Result<(), ImportError> {
        let format = detect::of_columns(columns, name, &self.options)?;
        self.formats.insert(format);
        self.gather.begin_file(name, format);
        let columns = Columns::of_header(columns, format, &self.options, name)?;
        let mut clock = Clock::new(format, &columns, &self.options);
        for (row, number) in rows.zip(1..) {
            let row = row.map_err(|error| ImportError::Unreadable {
                file: name.to_owned(),
                place: format!("row {number}"),
                error: error.to_string(),
            })?;
            let cells = Cells::of_values(&columns, &row);
            let taken = request::take(format, &cells, &mut clock, &mut self.gather);
            self.settle(taken, Place::Row(number), name)?;
        }
        Ok(())
    }

    /// Which columns of a table [`Self::add_table`] will look at, by index: the others need not be
    /// read.
    ///
    /// # Errors
    /// When the columns are not those of requests.
    pub fn wanted(&self, columns: &[String], name: &str) -> Result<Vec<usize>, ImportError> {
        let format = detect::of_columns(columns, name, &self.options)?;
        let columns = Columns::of_header(columns, format, &self.options, name)?;
        let slots = columns.slots.iter().flatten();
        Ok(slots.map(|(index, _)| *index).collect())
    }

    /// Takes one outcome of the gateway's own ledger. Any order will do.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add_outcome(&mut self, outcome: &Outcome) -> Result<(), ImportError> {
        if self.formats.insert(Format::Ledger) {
            self.gather.begin_file("the ledger", Format::Ledger);
        }
        let taken = ledger::take(outcome, &mut self.gather);
        let place = Place::Row(self.gather.report.rows + 1);
        self.settle(taken, place, "the ledger")
    }

    /// Says until when the record looks, Unix milliseconds, so that a quiet end counts.
    pub fn looked_until(&mut self, unix_ms: u64) {
        self.gather.looked_until(unix_ms);
    }

    /// How many requests there are so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.gather.requests()
    }

    /// The workload, and what there is to say about how it was read.
    ///
    /// # Errors
    /// When there is no request, or nothing that has a length in time.
    pub fn finish(mut self) -> Result<Imported, ImportError> {
        self.servegen.generate(&self.options, &mut self.gather)?;
        self.gather.finish(self.formats)
    }

    fn add_csv(
        &mut self,
        input: &mut input::Input<'_>,
        delimiter: u8,
        format: Format,
        name: &str,
    ) -> Result<(), ImportError> {
        let mut rows = input::CsvRows::new(input, delimiter, name)?;
        let columns = Columns::of_header(&rows.header, format, &self.options, name)?;
        let mut clock = Clock::new(format, &columns, &self.options);
        while let Some((line, record)) = rows.next_row()? {
            let place = Place::Line(line);
            let record = match record {
                Ok(record) => record,
                Err(trouble) => {
                    self.gather.bad(place, name, trouble);
                    continue;
                }
            };
            let cells = Cells::of_csv(&columns, record);
            if format == Format::ServegenRates {
                let taken = self.servegen.rate(&cells, name);
                self.settle(taken, place, name)?;
                continue;
            }
            let taken = request::take(format, &cells, &mut clock, &mut self.gather);
            self.settle(taken, place, name)?;
        }
        Ok(())
    }

    fn settle(
        &mut self,
        taken: Result<Taken, Trouble>,
        place: Place,
        name: &str,
    ) -> Result<(), ImportError> {
        settle(taken, place, name, &mut self.gather)
    }
}

/// Counts what came of a row.
fn settle(
    taken: Result<Taken, Trouble>,
    place: Place,
    name: &str,
    gather: &mut Gather,
) -> Result<(), ImportError> {
    match taken {
        Ok(Taken::Request(request)) => gather.push(&request.borrowed(), name),
        Ok(Taken::Bucket(bucket)) => buckets::spread(&bucket, name, gather),
        Ok(Taken::Parameters) => {
            gather.report.rows += 1;
            Ok(())
        }
        Ok(Taken::LeftOut(why)) => {
            gather.left_out(why);
            Ok(())
        }
        Err(trouble) => {
            gather.bad(place, name, trouble);
            Ok(())
        }
    }
}

/// Rows of a JSON file, which need not have the same keys.
struct JsonRows {
    format: Format,
    columns: Columns,
    clock: Clock,
    name: String,
}

impl JsonRows {
    fn new(format: Format, options: &ImportOptions, name: &str) -> Self {
        let columns = Columns::of_json(format, options);
        let clock = Clock::new(format, &columns, options);
        Self {
            format,
            columns,
            clock,
            name: name.to_owned(),
        }
    }

    fn take(
        &mut self,
        place: Place,
        row: Result<Value, Trouble>,
        gather: &mut Gather,
        servegen: &mut servegen::ServeGen,
    ) -> Result<(), ImportError> {
        let row = match row {
            Ok(row) => row,
            Err(trouble) => {
                gather.bad(place, &self.name, trouble);
                return Ok(());
            }
        };
        if self.format == Format::ServegenLengths {
            let taken = servegen.lengths(&row, &self.name);
            return settle(taken, place, &self.name, gather);
        }
        if matches!(self.format, Format::OpenaiUsage | Format::AnthropicUsage)
            && let Some(results) = row.get("results").and_then(Value::as_array)
        {
            gather.saw_window(&row, &mut self.clock);
            for result in results {
                let merged = buckets::merged(&row, result);
                self.one(place, &merged, gather)?;
            }
            return Ok(());
        }
        self.one(place, &row, gather)
    }

    fn one(&mut self, place: Place, row: &Value, gather: &mut Gather) -> Result<(), ImportError> {
        let cells = self.columns.of_object(row);
        let taken = match cells {
            Some(cells) => request::take(self.format, &cells, &mut self.clock, gather),
            None => Err(Trouble::whole("is no JSON object")),
        };
        settle(taken, place, &self.name, gather)
    }
}
