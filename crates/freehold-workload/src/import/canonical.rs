//! Our own form of a workload: what [`crate::write_jsonl`] and [`crate::write_csv`] write, read back
//! exactly. A head says what holds for all requests, then each request is a line.

use std::io::{BufRead, BufReader};

use serde::{Deserialize, Serialize};

use super::detect::Container;
use super::gather::{Gather, Pending};
use super::input::Input;
use super::report::{ImportError, Place, Trouble};
use super::times::Moment;
use crate::{Arrival, FlowIndex, ModelIndex, NO_SESSION, PrefixRange, UNKNOWN_COST};

/// How a CSV file of ours begins; the head follows on the same line.
pub(crate) const CSV_MARK: &str = "# freehold-workload ";

/// The only version so far.
pub(crate) const VERSION: u32 = 1;

/// What holds for all requests.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) freehold_workload: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) began_unix_ms: Option<u64>,
    pub(crate) duration_us: u64,
    #[serde(default)]
    pub(crate) prefix_block_tokens: u32,
    #[serde(default)]
    pub(crate) is_generated: bool,
    pub(crate) flows: Vec<String>,
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// What was assumed when it was made.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// One request.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) at_us: u64,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) cached_tokens: u32,
    pub(crate) flow: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) session: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) cost_nano_usd: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) prefix: Vec<u64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One request as CSV has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CsvLine {
    pub(crate) at_us: u64,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) flow: String,
    pub(crate) model: Option<String>,
    pub(crate) session: Option<u32>,
    pub(crate) cost_nano_usd: Option<i64>,
    /// Ids with spaces between.
    pub(crate) prefix: String,
}

/// Names are clients' words: a spreadsheet must not take one for a formula (OWASP, CSV injection).
/// A `'` in front is taken off again when it is read, so one that is there gets another.
pub(crate) fn unformulaic(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

fn plain(name: String) -> String {
    match name.strip_prefix('\'') {
        Some(rest) => rest.to_owned(),
        None => name,
    }
}

struct Reading<'g> {
    gather: &'g mut Gather,
    name: String,
    began_us: Option<i64>,
    duration_us: u64,
    session_base: u32,
}

pub(super) fn read(
    input: &mut Input<'_>,
    container: &Container,
    name: &str,
    gather: &mut Gather,
) -> Result<(), ImportError> {
    let unreadable = |place: &str, error: String| ImportError::Unreadable {
        file: name.to_owned(),
        place: place.to_owned(),
        error,
    };
    let mut reader = BufReader::with_capacity(1 << 16, input);
    let mut first = String::new();
    reader
        .read_line(&mut first)
        .map_err(|error| unreadable("line 1", error.to_string()))?;
    let head = first.trim().trim_start_matches(CSV_MARK);
    let head: Head = serde_json::from_str(head)
        .map_err(|error| unreadable("line 1", format!("no head of a workload: {error}")))?;
    let mut reading = begin(head, name, gather)?;
    if matches!(container, Container::Csv { .. }) {
        reading.csv(reader)
    } else {
        reading.lines(reader)
    }
}

fn begin<'g>(head: Head, name: &str, gather: &'g mut Gather) -> Result<Reading<'g>, ImportError> {
    if head.freehold_workload != VERSION {
        return Err(ImportError::Unknown {
            file: name.to_owned(),
            what: format!(
                "is a workload of version {}, and this program reads version {VERSION}: update it",
                head.freehold_workload
            ),
        });
    }
    if head.prefix_block_tokens != 0 {
        if gather.block_tokens != 0 && gather.block_tokens != head.prefix_block_tokens {
            return Err(ImportError::MixedBlocks {
                file: name.to_owned(),
                found: head.prefix_block_tokens,
                known: gather.block_tokens,
            });
        }
        gather.block_tokens = head.prefix_block_tokens;
    }
    gather.is_generated |= head.is_generated;
    for flow in &head.flows {
        gather.flows.number(flow);
    }
    for model in &head.models {
        gather.models.number(model);
    }
    for note in head.notes {
        gather.note(note);
    }
    let absurd = || ImportError::Unknown {
        file: name.to_owned(),
        what: "says that it began or lasted beyond all sense: write it again".to_owned(),
    };
    let began_us = match head.began_unix_ms {
        Some(began) if began > 4_102_444_800_000 => return Err(absurd()),
        Some(began) => Some(i64::try_from(began * 1_000).map_err(|_| absurd())?),
        None => None,
    };
    // A thousand years.
    if head.duration_us > 31_557_600_000_000_000 {
        return Err(absurd());
    }
    let duration = i64::try_from(head.duration_us).map_err(|_| absurd())?;
    let from = began_us.unwrap_or(0);
    let moment = began_us.map_or(Moment::Relative(0), Moment::Unix);
    gather.agree(moment, name)?;
    gather.looked(from, from + duration);
    let sessions = gather.pending.iter().map(|one| one.arrival.session);
    let last = sessions.filter(|session| *session != NO_SESSION).max();
    let session_base = last.map_or(0, |last| last.saturating_add(1));
    Ok(Reading {
        gather,
        name: name.to_owned(),
        began_us,
        duration_us: head.duration_us,
        session_base,
    })
}

impl Reading<'_> {
    fn lines(&mut self, mut reader: BufReader<&mut Input<'_>>) -> Result<(), ImportError> {
        let mut line = Vec::new();
        let mut number = 1;
        loop {
            line.clear();
            number += 1;
            let count = reader.read_until(b'\n', &mut line);
            let count = count.map_err(|error| self.unreadable(number, error.to_string()))?;
            reader.get_mut().row_done();
            if count == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Line>(&line) {
                Ok(line) => self.take(line, number)?,
                Err(error) => {
                    let reason = format!("is no request: wrong at column {}", error.column());
                    self.gather
                        .bad(Place::Line(number), &self.name, Trouble::whole(reason));
                }
            }
        }
    }

    fn csv(&mut self, reader: BufReader<&mut Input<'_>>) -> Result<(), ImportError> {
        let mut csv = csv::Reader::from_reader(reader);
        let header = csv.headers().cloned();
        let header = header.map_err(|error| self.unreadable(2, error.to_string()))?;
        let mut record = csv::StringRecord::new();
        loop {
            let read = csv.read_record(&mut record);
            csv.get_mut().get_mut().row_done();
            let number = csv.position().line();
            let row = match read {
                Ok(false) => return Ok(()),
                Ok(true) => record.deserialize::<CsvLine>(Some(&header)),
                Err(error) if error.is_io_error() => {
                    return Err(self.unreadable(number, error.to_string()));
                }
                Err(error) => Err(error),
            };
            // The head is the line before the header.
            let line = record.position().map_or(number, csv::Position::line) + 1;
            let taken = row.ok().and_then(|row| {
                let ids = row.prefix.split_ascii_whitespace();
                let prefix: Result<Vec<u64>, _> = ids.map(str::parse).collect();
                Some((prefix.ok()?, row))
            });
            match taken {
                Some((prefix, row)) => self.take(
                    Line {
                        at_us: row.at_us,
                        input_tokens: row.input_tokens,
                        output_tokens: row.output_tokens,
                        cached_tokens: row.cached_tokens,
                        flow: plain(row.flow),
                        model: row.model.map(plain),
                        session: row.session,
                        cost_nano_usd: row.cost_nano_usd,
                        prefix,
                    },
                    line,
                )?,
                None => {
                    let trouble = Trouble::whole("is no request: a cell is missing or no number");
                    self.gather.bad(Place::Line(line), &self.name, trouble);
                }
            }
        }
    }

    fn unreadable(&self, line: u64, error: String) -> ImportError {
        ImportError::Unreadable {
            file: self.name.clone(),
            place: format!("line {line}"),
            error,
        }
    }

    fn take(&mut self, line: Line, number: u64) -> Result<(), ImportError> {
        let trouble = if line.at_us > self.duration_us {
            Some(Trouble::at("at_us", "lies after the workload's end"))
        } else if line.cached_tokens > line.input_tokens {
            Some(Trouble::at("cached_tokens", "is more than the whole input"))
        } else if !line.prefix.is_empty() && self.gather.block_tokens == 0 {
            Some(Trouble::at(
                "prefix",
                "has blocks, and the head has no length of them",
            ))
        } else {
            None
        };
        if let Some(trouble) = trouble {
            self.gather.bad(Place::Line(number), &self.name, trouble);
            return Ok(());
        }
        self.gather.report.rows += 1;
        self.gather.make_room(1)?;
        let gather = &mut *self.gather;
        let too_many = gather.too_many();
        let start = u32::try_from(gather.blocks.len()).map_err(|_| too_many.clone())?;
        let length = u32::try_from(line.prefix.len()).map_err(|_| too_many)?;
        gather.blocks.extend(&line.prefix);
        let session = line.session.filter(|session| *session != NO_SESSION);
        let session = session.map_or(NO_SESSION, |session| {
            self.session_base.saturating_add(session)
        });
        let at = i64::try_from(line.at_us).unwrap_or(i64::MAX);
        gather.pending.push(Pending {
            at_us: self.began_us.unwrap_or(0).saturating_add(at),
            arrival: Arrival {
                at_us: 0,
                input_tokens: line.input_tokens,
                output_tokens: line.output_tokens,
                cached_tokens: line.cached_tokens,
                flow: FlowIndex(gather.flows.number(&line.flow)),
                model: match &line.model {
                    Some(model) => ModelIndex(gather.models.number(model)),
                    None => ModelIndex::NONE,
                },
                session,
                prefix: if length == 0 {
                    PrefixRange::default()
                } else {
                    PrefixRange { start, length }
                },
            },
            cost_nano_usd: line.cost_nano_usd.unwrap_or(UNKNOWN_COST),
        });
        Ok(())
    }
}
