//! Requests on their way to a workload.

use std::collections::{BTreeSet, HashMap};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Value;

use super::ImportOptions;
use super::cells::Cell;
use super::columns::normalised;
use super::names::Format;
use super::report::{BadRow, ImportError, ImportReport, Imported, Place, Trouble};
use super::times::{Clock, Moment};
use crate::{Arrival, FlowIndex, ModelIndex, NO_SESSION, PrefixRange, UNKNOWN_COST, Workload};

/// What requests that nobody gave a flow belong to.
pub(super) const NO_FLOW: &str = "(none)";

/// Turns of one bucket of the ledger that lie further apart are other conversations.
const LEDGER_SESSION_GAP_US: i64 = 30 * 60 * 1_000_000;

/// One request, as a row tells it.
#[derive(Clone, Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) at: Option<Moment>,
    pub(super) input_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) cached_tokens: u32,
    pub(super) flow: Option<&'a str>,
    pub(super) model: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) cost_nano_usd: Option<i64>,
    pub(super) blocks: &'a [u64],
}

/// One request in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) at_us: i64,
    pub(super) arrival: Arrival,
    pub(super) cost_nano_usd: i64,
}

/// Names, numbered in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, u32>,
    pub(super) names: Vec<String>,
}

impl Names {
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// Everything that has been read so far.
#[derive(Debug)]
pub(super) struct Gather {
    pub(super) seed: u64,
    pub(super) share: f64,
    pub(super) requests_max: usize,
    pub(super) input_tokens_assumed: u32,
    bad_rows_kept: usize,
    pub(super) report: ImportReport,
    pub(super) pending: Vec<Pending>,
    pub(super) flows: Names,
    pub(super) models: Names,
    sessions: HashMap<String, u32>,
    pub(super) blocks: Vec<u64>,
    pub(super) block_tokens: u32,
    is_unix: Option<bool>,
    /// The time that was looked at, where the record tells.
    window: Option<(i64, i64)>,
    pub(super) is_generated: bool,
    /// The longest bucket of sums.
    pub(super) bucket_us_max: i64,
    pub(super) spread_requests: u64,
    /// Rows without a number of requests.
    pub(super) assumed_buckets: u64,
    pub(super) export_costs: HashMap<String, i64>,
    files: u32,
    has_ledger_sessions: bool,
    ledger_until_us: Option<i64>,
}

impl Gather {
    pub(super) fn new(options: &ImportOptions) -> Self {
        Self {
            seed: options.seed,
            share: options.share,
            requests_max: options.requests_max,
            input_tokens_assumed: options.input_tokens_assumed.max(1),
            bad_rows_kept: options.bad_rows_kept,
            report: ImportReport::default(),
            pending: Vec::new(),
            flows: Names::default(),
            models: Names::default(),
            sessions: HashMap::new(),
            blocks: Vec::new(),
            block_tokens: 0,
            is_unix: None,
            window: None,
            is_generated: false,
            bucket_us_max: 0,
            spread_requests: 0,
            assumed_buckets: 0,
            export_costs: HashMap::new(),
            files: 0,
            has_ledger_sessions: false,
            ledger_until_us: None,
        }
    }

    pub(super) fn begin_file(&mut self, _name: &str, format: Format) {
        self.files += 1;
        self.has_ledger_sessions |= format == Format::Ledger;
    }

    pub(super) fn requests(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn note(&mut self, note: String) {
        if !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }

    pub(super) fn bad(&mut self, place: Place, file: &str, trouble: Trouble) {
        self.report.rows += 1;
        self.report.bad_rows += 1;
        let reason = match &trouble.column {
            Some(column) => format!("{column} {}", trouble.reason),
            None => trouble.reason.to_string(),
        };
        // Reasons can hold numbers; their list must not grow with a file.
        let counted = if self.report.bad_reasons.len() < 50 {
            reason
        } else {
            "other".to_owned()
        };
        *self.report.bad_reasons.entry(counted).or_default() += 1;
        if self.report.bad.len() < self.bad_rows_kept {
            let (line, row) = match place {
                Place::Line(line) => (Some(line), None),
                Place::Row(row) => (None, Some(row)),
            };
            self.report.bad.push(BadRow {
                file: file.to_owned(),
                line,
                row,
                column: trouble.column,
                reason: trouble.reason.into_owned(),
            });
        }
    }

    pub(super) fn left_out(&mut self, why: &'static str) {
        self.report.rows += 1;
        *self.report.left_out.entry(why.to_owned()).or_default() += 1;
    }

    /// Makes sure that all times are of one kind.
    pub(super) fn agree(&mut self, moment: Moment, file: &str) -> Result<i64, ImportError> {
        if *self.is_unix.get_or_insert(moment.is_unix()) != moment.is_unix() {
            return Err(ImportError::MixedTimes {
                file: file.to_owned(),
            });
        }
        Ok(moment.microseconds())
    }

    /// The record looks at this time, whether or not something came in it.
    pub(super) fn looked(&mut self, from_us: i64, until_us: i64) {
        let (from, until) = self.window.unwrap_or((from_us, until_us));
        self.window = Some((from.min(from_us), until.max(until_us)));
    }

    pub(super) fn looked_until(&mut self, unix_ms: u64) {
        self.ledger_until_us = i64::try_from(unix_ms.saturating_mul(1_000)).ok();
    }

    /// An empty bucket of sums also says that somebody looked.
    pub(super) fn saw_window(&mut self, bucket: &Value, clock: &mut Clock) {
        let Some(bucket) = bucket.as_object() else {
            return;
        };
        let mut ends = [None, None];
        for (key, value) in bucket {
            let place = match normalised(key).as_str() {
                "start_time" | "starting_at" => 0,
                "end_time" | "ending_at" => 1,
                _ => continue,
            };
            ends[place] = clock.read(Cell::Value(value), key).ok();
        }
        if let [Some(Moment::Unix(from)), Some(Moment::Unix(until))] = ends
            && from < until
        {
            self.looked(from, until);
        }
    }

    pub(super) fn push(&mut self, request: &Request<'_>, file: &str) -> Result<(), ImportError> {
        self.report.rows += 1;
        if !self.is_kept(request.session, self.report.rows) {
            return Ok(());
        }
        let Some(at) = request.at else {
            return Ok(());
        };
        let at_us = self.agree(at, file)?;
        self.make_room(1)?;
        let prefix = PrefixRange {
            start: u32::try_from(self.blocks.len()).map_err(|_| self.too_many())?,
            length: u32::try_from(request.blocks.len()).map_err(|_| self.too_many())?,
        };
        self.blocks.extend_from_slice(request.blocks);
        let arrival = Arrival {
            at_us: 0,
            input_tokens: request.input_tokens,
            output_tokens: request.output_tokens,
            cached_tokens: request.cached_tokens,
            flow: FlowIndex(self.flows.number(request.flow.unwrap_or(NO_FLOW))),
            model: match request.model {
                Some(model) => ModelIndex(self.models.number(model)),
                None => ModelIndex::NONE,
            },
            session: self.session(request.session),
            prefix: if request.blocks.is_empty() {
                PrefixRange::default()
            } else {
                prefix
            },
        };
        self.pending.push(Pending {
            at_us,
            arrival,
            cost_nano_usd: request.cost_nano_usd.unwrap_or(UNKNOWN_COST),
        });
        Ok(())
    }

    pub(super) fn make_room(&self, requests: u64) -> Result<(), ImportError> {
        let all = (self.pending.len() as u64).saturating_add(requests);
        if all > self.requests_max as u64 {
            return Err(self.too_many());
        }
        Ok(())
    }

    pub(super) fn too_many(&self) -> ImportError {
        ImportError::TooMany {
            max: self.requests_max,
        }
    }

    fn session(&mut self, name: Option<&str>) -> u32 {
        let Some(name) = name else {
            return NO_SESSION;
        };
        if let Some(number) = self.sessions.get(name) {
            return *number;
        }
        let number = u32::try_from(self.sessions.len()).unwrap_or(NO_SESSION);
        self.sessions.insert(name.to_owned(), number);
        number
    }

    /// Whether a request is in the share to keep: all of a session are, or none.
    fn is_kept(&self, session: Option<&str>, row: u64) -> bool {
        if self.share >= 1.0 {
            return true;
        }
        let key = session.map_or_else(
            || hashed(&row.to_le_bytes()),
            |name| hashed(name.as_bytes()),
        );
        let mut random = random(self.seed, key);
        unit(&mut random) < self.share
    }

    pub(super) fn finish(mut self, formats: BTreeSet<Format>) -> Result<Imported, ImportError> {
        if self.pending.is_empty() {
            return Err(ImportError::NoRequests {
                why: self.why_none(),
            });
        }
        self.report.formats = formats.into_iter().collect();
        self.report.requests = self.pending.len() as u64;
        let in_order = self.pending.is_sorted_by_key(|pending| pending.at_us);
        if !in_order {
            self.pending.sort_by_key(|pending| pending.at_us);
        }
        if self.has_ledger_sessions {
            cut_sessions(&mut self.pending);
        }
        self.tell();
        let first = self.pending.first().map_or(0, |pending| pending.at_us);
        let last = self.pending.last().map_or(0, |pending| pending.at_us);
        let (mut from, mut until) = self.window.unwrap_or((first, last));
        from = from.min(first);
        until = until
            .max(last)
            .max(self.ledger_until_us.unwrap_or(i64::MIN));
        if self.is_unix == Some(false) && self.window.is_none() {
            // A record that counts from its beginning began at nought.
            from = from.min(0);
        }
        if until <= from
            || (first == last && self.window.is_none() && self.ledger_until_us.is_none())
        {
            return Err(ImportError::OneMoment {
                requests: self.report.requests,
            });
        }
        let workload = self.workload(from, until);
        workload.check().map_err(ImportError::Workload)?;
        Ok(Imported {
            workload,
            report: self.report,
        })
    }

    fn workload(&mut self, from_us: i64, until_us: i64) -> Workload {
        let pending = std::mem::take(&mut self.pending);
        let has_costs = pending.iter().any(|one| one.cost_nano_usd != UNKNOWN_COST);
        let costs_nano_usd = if has_costs {
            pending.iter().map(|one| one.cost_nano_usd).collect()
        } else {
            Vec::new()
        };
        let began_us = (self.is_unix == Some(true)).then_some(from_us);
        // Whole milliseconds, so that the beginning can be written down exactly.
        let base_us = began_us.map_or(from_us, |us| us - us.rem_euclid(1_000));
        let since = |us: i64| u64::try_from(us - base_us).unwrap_or(0);
        let arrivals = pending.iter().map(|one| Arrival {
            at_us: since(one.at_us),
            ..one.arrival
        });
        Workload {
            began_unix_ms: began_us.and_then(|_| u64::try_from(base_us / 1_000).ok()),
            duration_us: since(until_us),
            arrivals: arrivals.collect(),
            flows: std::mem::take(&mut self.flows.names),
            models: std::mem::take(&mut self.models.names),
            costs_nano_usd,
            prefix_blocks: std::mem::take(&mut self.blocks),
            prefix_block_tokens: self.block_tokens,
            is_generated: self.is_generated,
        }
    }

    fn why_none(&self) -> String {
        let report = &self.report;
        if let Some(bad) = report.bad.first() {
            return format!(
                "{} of {} rows are bad, the first is {bad}. Look at that row, or say with --format \
                 and --map how to read it",
                report.bad_rows, report.rows
            );
        }
        let left_out: Vec<String> = report
            .left_out
            .iter()
            .map(|(why, count)| format!("{count} {why}"))
            .collect();
        if left_out.is_empty() {
            "it has no rows; export a longer time, or loosen the filters".to_owned()
        } else {
            format!(
                "all rows were left out ({}); export requests that used tokens",
                left_out.join(", ")
            )
        }
    }

    /// Notes of what was assumed.
    fn tell(&mut self) {
        if self.share < 1.0 {
            self.note(format!(
                "Only a share of {} of the requests was kept (--share), whole sessions; volumes are \
                 of that share.",
                self.share
            ));
        }
        if self.spread_requests > 0 {
            let longest = length(self.bucket_us_max);
            self.note(format!(
                "The record has sums over up to {longest}, no single requests: {} requests were \
                 spread at random over their time and share its tokens equally. Peaks within that \
                 time and the spread of lengths are unknown{}.",
                self.spread_requests,
                if self.bucket_us_max > 3_600_000_000 {
                    "; export buckets of an hour or a minute to know more"
                } else {
                    ""
                }
            ));
        }
        if self.assumed_buckets > 0 {
            self.note(format!(
                "{} sums do not say of how many requests they are: {} input tokens a request were \
                 assumed (--input-tokens-assumed).",
                self.assumed_buckets, self.input_tokens_assumed
            ));
        }
        if self.has_ledger_sessions {
            self.note(
                "Conversations of the ledger are told by one of 65,536 buckets and half an hour's \
                 pause; two at once can share a bucket."
                    .to_owned(),
            );
        }
    }
}

/// Numbers sessions anew where a pause is too long for one conversation.
fn cut_sessions(pending: &mut [Pending]) {
    let mut next = 0;
    let mut current: HashMap<u32, (u32, i64)> = HashMap::new();
    for one in pending {
        if one.arrival.session == NO_SESSION {
            continue;
        }
        let known = current.get(&one.arrival.session);
        let number = match known {
            Some((number, last_us)) if one.at_us - last_us <= LEDGER_SESSION_GAP_US => *number,
            _ => {
                next += 1;
                next - 1
            }
        };
        current.insert(one.arrival.session, (number, one.at_us));
        one.arrival.session = number;
    }
}

fn length(us: i64) -> String {
    match us / 1_000_000 {
        seconds if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): the same everywhere and always.
pub(super) fn hashed(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Random numbers of one purpose, the same for the same seed and key.
pub(crate) fn random(seed: u64, key: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(key);
    random
}

/// A number from 0 to less than 1, of 53 bits.
pub(crate) fn unit(random: &mut ChaCha8Rng) -> f64 {
    use rand_chacha::rand_core::RngCore;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    unit
}
