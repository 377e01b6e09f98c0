//! Which column of a record holds what.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::Value;

use super::ImportOptions;
use super::cells::{Cell, Cells};
use super::names::Format;
use super::report::ImportError;

/// So many different keys of JSON objects are remembered.
const KEYS_MAX: usize = 10_000;

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// When the request came, or the bucket began.
    Time,
    /// When it ended.
    End,
    /// Input tokens, those from a cache included.
    Input,
    /// Output tokens.
    Output,
    /// Input tokens that were read from a cache.
    Cached,
    /// Which workload it belongs to.
    Flow,
    /// Which model served it.
    Model,
    /// Which conversation it belongs to.
    Session,
    /// What it cost, US dollars.
    Cost,
    /// Ids of the blocks that the input begins with.
    Blocks,
    #[doc(hidden)]
    Other(Other),
}

/// What only some formats have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(hidden)]
pub enum Other {
    /// Tokens read from a cache that `Input` does not count.
    CacheRead,
    /// Tokens written to a cache that `Input` does not count.
    CacheWrite,
    CacheWriteHour,
    CacheCreation,
    Backend,
    FlowElse,
    SessionElse,
    Metadata,
    Usage,
    CostDetails,
    Status,
    Kind,
    Requests,
    Final,
    RequestId,
    CacheHit,
    Client,
    Window,
    Rate,
    Pattern,
    Shape,
}

pub(super) const FIELDS: usize = 31;

impl Field {
    /// What can be named with `--map`.
    pub const MAPPABLE: [Self; 10] = [
        Self::Time,
        Self::End,
        Self::Input,
        Self::Output,
        Self::Cached,
        Self::Flow,
        Self::Model,
        Self::Session,
        Self::Cost,
        Self::Blocks,
    ];

    /// The name, as it is typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::End => "end",
            Self::Input => "input",
            Self::Output => "output",
            Self::Cached => "cached",
            Self::Flow => "flow",
            Self::Model => "model",
            Self::Session => "session",
            Self::Cost => "cost",
            Self::Blocks => "blocks",
            Self::Other(_) => "other",
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Time => 0,
            Self::End => 1,
            Self::Input => 2,
            Self::Output => 3,
            Self::Cached => 4,
            Self::Flow => 5,
            Self::Model => 6,
            Self::Session => 7,
            Self::Cost => 8,
            Self::Blocks => 9,
            Self::Other(other) => 10 + other as usize,
        }
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields = Self::MAPPABLE.into_iter();
        fields.find(|field| field.as_str() == text).ok_or_else(|| {
            let names = Self::MAPPABLE.map(Self::as_str).join(", ");
            format!("`{text}` is nothing that a column can be mapped to: write one of {names}")
        })
    }
}

type Names = &'static [(Field, &'static [&'static str])];

const BUCKET_FLOW: (Field, &[&str]) = (
    Field::Flow,
    &["project_id", "project_name", "workspace", "workspace_id"],
);

const OPENAI: Names = &[
    (Field::Time, &["start_time", "start_time_iso"]),
    (Field::End, &["end_time", "end_time_iso"]),
    (Field::Input, &["input_tokens"]),
    (Field::Output, &["output_tokens"]),
    (Field::Cached, &["input_cached_tokens"]),
    (Field::Model, &["model"]),
    BUCKET_FLOW,
    (Field::Other(Other::FlowElse), &["api_key_id", "user_id"]),
    (Field::Other(Other::Requests), &["num_model_requests"]),
];

const ANTHROPIC: Names = &[
    (
        Field::Time,
        &["starting_at", "usage_date_utc", "usage_date"],
    ),
    (Field::End, &["ending_at"]),
    (
        Field::Input,
        &[
            "uncached_input_tokens",
            "usage_input_tokens_no_cache",
            "input_tokens",
        ],
    ),
    (Field::Output, &["output_tokens", "usage_output_tokens"]),
    (Field::Model, &["model", "model_version"]),
    BUCKET_FLOW,
    (Field::Other(Other::FlowElse), &["api_key", "api_key_id"]),
    (
        Field::Other(Other::CacheRead),
        &["cache_read_input_tokens", "usage_input_tokens_cache_read"],
    ),
    (
        Field::Other(Other::CacheWrite),
        &[
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write",
            "cache_creation_input_tokens",
        ],
    ),
    (
        Field::Other(Other::CacheWriteHour),
        &["usage_input_tokens_cache_write_1h"],
    ),
    (Field::Other(Other::CacheCreation), &["cache_creation"]),
];

const LITELLM: Names = &[
    (Field::Time, &["start_time"]),
    (Field::End, &["end_time"]),
    (Field::Input, &["prompt_tokens"]),
    (Field::Output, &["completion_tokens"]),
    (Field::Model, &["model", "model_group"]),
    (Field::Cost, &["spend"]),
    (Field::Session, &["session_id"]),
    (Field::Flow, &["team_alias", "team_id"]),
    (Field::Other(Other::FlowElse), &["end_user", "user"]),
    (Field::Other(Other::Metadata), &["metadata"]),
    (Field::Other(Other::Status), &["status"]),
    (Field::Other(Other::Kind), &["call_type"]),
    (Field::Other(Other::CacheHit), &["cache_hit"]),
];

const LANGFUSE: Names = &[
    (Field::Time, &["start_time", "timestamp"]),
    (Field::End, &["end_time"]),
    (
        Field::Input,
        &[
            "input_usage",
            "prompt_tokens",
            "input_tokens",
            "usage_input",
            "usage.input",
        ],
    ),
    (
        Field::Output,
        &[
            "output_usage",
            "completion_tokens",
            "output_tokens",
            "usage_output",
            "usage.output",
        ],
    ),
    (Field::Other(Other::Usage), &["usage_details", "usage"]),
    (Field::Other(Other::CostDetails), &["cost_details"]),
    (
        Field::Cost,
        &["total_cost", "calculated_total_cost", "cost"],
    ),
    (
        Field::Model,
        &["model", "provided_model_name", "model_name", "model_id"],
    ),
    (Field::Session, &["session_id"]),
    (Field::Other(Other::SessionElse), &["trace_id"]),
    (Field::Flow, &["trace_name", "name"]),
    (Field::Other(Other::FlowElse), &["environment"]),
    (Field::Other(Other::Kind), &["type"]),
];

const HELICONE: Names = &[
    (Field::Time, &["request_created_at", "created_at"]),
    (Field::End, &["response_created_at"]),
    (Field::Input, &["prompt_tokens", "request_tokens"]),
    (Field::Output, &["completion_tokens", "response_tokens"]),
    (
        Field::Cached,
        &[
            "prompt_cache_read_tokens",
            "cache_read_tokens",
            "prompt_cache_read",
        ],
    ),
    (
        Field::Model,
        &["model", "request_model", "response_model", "model_override"],
    ),
    (Field::Cost, &["cost", "cost_usd"]),
    (Field::Session, &["session_id", "helicone_session_id"]),
    (
        Field::Flow,
        &["session_name", "helicone_session_name", "prompt_id"],
    ),
    (
        Field::Other(Other::Metadata),
        &["request_properties", "properties"],
    ),
    (Field::Other(Other::Status), &["response_status", "status"]),
];

const EXPORT: Names = &[
    (Field::Time, &["started_at"]),
    (Field::Input, &["input_tokens"]),
    (Field::Output, &["output_tokens"]),
    (Field::Cached, &["cached_input_tokens"]),
    (Field::Flow, &["flow"]),
    (Field::Model, &["deployment"]),
    (Field::Cost, &["cost_usd"]),
    (Field::Other(Other::Backend), &["backend"]),
    (Field::Other(Other::Status), &["status"]),
    (Field::Other(Other::Final), &["is_final"]),
    (Field::Other(Other::RequestId), &["request_id"]),
];

const AZURE: Names = &[
    (Field::Time, &["timestamp"]),
    (Field::Input, &["context_tokens"]),
    (Field::Output, &["generated_tokens"]),
];

const MOONCAKE: Names = &[
    (Field::Time, &["timestamp"]),
    (Field::Input, &["input_length"]),
    (Field::Output, &["output_length"]),
    (Field::Blocks, &["hash_ids"]),
];

const SERVEGEN: Names = &[
    (Field::Other(Other::Client), &["client"]),
    (Field::Other(Other::Window), &["window_s"]),
    (Field::Other(Other::Rate), &["rate"]),
    (Field::Other(Other::Pattern), &["pattern"]),
    (Field::Other(Other::Shape), &["shape"]),
];

const GENERIC: Names = &[
    (
        Field::Time,
        &[
            "timestamp",
            "time",
            "ts",
            "arrival_time",
            "arrived_at",
            "arrival",
            "request_time",
            "start_time",
            "started_at",
            "start",
            "created_at",
            "created",
            "datetime",
            "date_time",
            "date",
            "timestamp_ms",
            "timestamp_us",
            "timestamp_ns",
            "time_ms",
            "time_s",
            "arrival_time_ms",
            "created_ms",
            "event_time",
            "logged_at",
            "at",
            "at_us",
            "at_ms",
        ],
    ),
    (
        Field::End,
        &["end_time", "ended_at", "finished_at", "completed_at", "end"],
    ),
    (
        Field::Input,
        &[
            "input_tokens",
            "prompt_tokens",
            "context_tokens",
            "input_length",
            "prompt_length",
            "input_len",
            "prompt_len",
            "input_toks",
            "prompt_toks",
            "num_prefill_tokens",
            "num_input_tokens",
            "num_prompt_tokens",
            "n_prompt_tokens",
            "tokens_in",
            "in_tokens",
            "tokens_input",
            "tokens_prompt",
            "request_tokens",
            "usage.prompt_tokens",
            "usage.input_tokens",
            "gen_ai.usage.input_tokens",
            "isl",
        ],
    ),
    (
        Field::Output,
        &[
            "output_tokens",
            "completion_tokens",
            "generated_tokens",
            "output_length",
            "completion_length",
            "output_len",
            "output_toks",
            "num_decode_tokens",
            "num_output_tokens",
            "num_completion_tokens",
            "n_completion_tokens",
            "tokens_out",
            "out_tokens",
            "tokens_output",
            "tokens_completion",
            "response_tokens",
            "usage.completion_tokens",
            "usage.output_tokens",
            "gen_ai.usage.output_tokens",
            "osl",
        ],
    ),
    (
        Field::Cached,
        &[
            "cached_tokens",
            "cached_input_tokens",
            "input_cached_tokens",
            "tokens_cached",
            "prompt_cached_tokens",
            "cached",
            "usage.prompt_tokens_details.cached_tokens",
            "usage.input_tokens_details.cached_tokens",
            "prompt_tokens_details.cached_tokens",
        ],
    ),
    (
        Field::Other(Other::CacheRead),
        &["cache_read_input_tokens", "usage.cache_read_input_tokens"],
    ),
    (
        Field::Other(Other::CacheWrite),
        &[
            "cache_creation_input_tokens",
            "usage.cache_creation_input_tokens",
        ],
    ),
    (
        Field::Flow,
        &[
            "flow",
            "workflow",
            "workload",
            "use_case",
            "usecase",
            "feature",
            "app",
            "app_name",
            "application",
            "service",
            "service_name",
            "project",
            "project_id",
            "project_name",
            "team",
            "tenant",
            "endpoint",
        ],
    ),
    (
        Field::Model,
        &[
            "model",
            "model_name",
            "model_id",
            "deployment",
            "engine",
            "gen_ai.request.model",
        ],
    ),
    (
        Field::Session,
        &[
            "session",
            "session_id",
            "conversation",
            "conversation_id",
            "thread_id",
            "chat_id",
            "dialog_id",
            "trace_id",
        ],
    ),
    (
        Field::Cost,
        &[
            "cost_usd",
            "cost",
            "spend",
            "total_cost",
            "price_usd",
            "usd",
            "amount_usd",
        ],
    ),
    (
        Field::Blocks,
        &["hash_ids", "prefix_hashes", "block_hashes", "prefix_blocks"],
    ),
];

const fn names(format: Format) -> Names {
    match format {
        Format::OpenaiUsage => OPENAI,
        Format::AnthropicUsage => ANTHROPIC,
        Format::Litellm => LITELLM,
        Format::Langfuse => LANGFUSE,
        Format::Helicone => HELICONE,
        Format::FreeholdExport => EXPORT,
        Format::AzureTrace => AZURE,
        Format::Mooncake => MOONCAKE,
        Format::ServegenRates => SERVEGEN,
        Format::Generic => GENERIC,
        Format::Freehold | Format::Ledger | Format::ServegenLengths => &[],
    }
}

/// A name as it is compared: `startTime`, `Start Time` and `start-time` are `start_time`.
pub(super) fn normalised(name: &str) -> String {
    let characters: Vec<char> = name.trim().trim_start_matches('\u{feff}').chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (index, &character) in characters.iter().enumerate() {
        if character == '.' {
            out.push('.');
        } else if !character.is_alphanumeric() {
            if !out.is_empty() && !out.ends_with(['_', '.']) {
                out.push('_');
            }
        } else {
            let before = index.checked_sub(1).map(|before| characters[before]);
            let after = characters.get(index + 1);
            let begins_word = character.is_uppercase()
                && before.is_some_and(|before| {
                    before.is_lowercase()
                        || before.is_numeric()
                        || (before.is_uppercase() && after.is_some_and(|next| next.is_lowercase()))
                });
            if begins_word && !out.ends_with(['_', '.']) {
                out.push('_');
            }
            out.extend(character.to_lowercase());
        }
    }
    while out.ends_with('_') {
        out.pop();
    }
    out
}

/// Which field a name is, and how good a name for it: less is better.
fn field_of(raw: &str, format: Format, map: &[(Field, String)]) -> Option<(Field, usize)> {
    let name = normalised(raw);
    let mapped = map
        .iter()
        .find(|(_, column)| column == raw || normalised(column) == name);
    if let Some((field, _)) = mapped {
        return Some((*field, 0));
    }
    let known = names(format).iter();
    let mut found = known.filter_map(|(field, names)| {
        let rank = names.iter().position(|known| *known == name)?;
        // What is mapped by hand is nowhere else.
        let is_taken = map.iter().any(|(mapped, _)| mapped == field);
        (!is_taken).then_some((*field, rank + 1))
    });
    found.next()
}

/// What a key of a JSON object is.
#[derive(Clone, Copy, Debug)]
struct Known {
    field: Option<(Field, usize)>,
    /// Whether names of ours lie below.
    descend: bool,
}

/// Where each field is.
#[derive(Debug)]
pub(super) struct Columns {
    format: Format,
    map: Vec<(Field, String)>,
    /// The column's index and name, in files with a header.
    pub(super) slots: [Option<(usize, String)>; FIELDS],
    keys: HashMap<String, Known>,
}

impl Columns {
    /// Finds the columns in a header.
    pub(super) fn of_header(
        header: &[String],
        format: Format,
        options: &ImportOptions,
        file: &str,
    ) -> Result<Self, ImportError> {
        let mut slots: [Option<(usize, String)>; FIELDS] = [const { None }; FIELDS];
        let mut ranks = [usize::MAX; FIELDS];
        for (index, raw) in header.iter().enumerate() {
            if let Some((field, rank)) = field_of(raw, format, &options.map)
                && rank < ranks[field.index()]
            {
                ranks[field.index()] = rank;
                slots[field.index()] = Some((index, raw.clone()));
            }
        }
        let columns = Self {
            format,
            map: options.map.clone(),
            slots,
            keys: HashMap::new(),
        };
        columns.check(header, file)?;
        Ok(columns)
    }

    /// Columns of JSON objects, found as they come.
    pub(super) fn of_json(format: Format, options: &ImportOptions) -> Self {
        Self {
            format,
            map: options.map.clone(),
            slots: [const { None }; FIELDS],
            keys: HashMap::new(),
        }
    }

    /// What every record of the format has.
    fn check(&self, header: &[String], file: &str) -> Result<(), ImportError> {
        let found = || {
            let names: Vec<&str> = header.iter().map(String::as_str).take(40).collect();
            names.join(", ")
        };
        for (column_field, column) in &self.map {
            let is_there = self.slots[column_field.index()].is_some();
            if !is_there {
                return Err(ImportError::Unknown {
                    file: file.to_owned(),
                    what: format!(
                        "has no column `{column}`, which --map names; it has {}",
                        found()
                    ),
                });
            }
        }
        let missing = |field: &'static str| {
            Err(ImportError::MissingColumn {
                file: file.to_owned(),
                format: self.format,
                field,
                found: found(),
            })
        };
        let has = |field: Field| self.slots[field.index()].is_some();
        if self.format == Format::ServegenRates {
            for (field, names) in SERVEGEN {
                if !has(*field) {
                    return missing(names[0]);
                }
            }
            return Ok(());
        }
        if !has(Field::Time) {
            return missing(Field::Time.as_str());
        }
        let has_usage = has(Field::Other(Other::Usage));
        if !has(Field::Input) && !has_usage {
            return missing(Field::Input.as_str());
        }
        if !has(Field::Output) && !has_usage {
            return missing(Field::Output.as_str());
        }
        Ok(())
    }

    /// The cells of one object; nothing when it is none.
    pub(super) fn of_object<'a>(&mut self, row: &'a Value) -> Option<Cells<'a>> {
        row.as_object()?;
        let mut cells = Cells::empty();
        let mut ranks = [usize::MAX; FIELDS];
        self.walk(row, "", 0, &mut cells, &mut ranks);
        Some(cells)
    }

    fn walk<'a>(
        &mut self,
        object: &'a Value,
        above: &str,
        depth: usize,
        cells: &mut Cells<'a>,
        ranks: &mut [usize; FIELDS],
    ) {
        let Some(object) = object.as_object() else {
            return;
        };
        for (key, value) in object {
            if value.is_null() {
                continue;
            }
            let joined;
            let path = if above.is_empty() {
                key.as_str()
            } else {
                joined = format!("{above}.{key}");
                &joined
            };
            let known = self.known(path);
            if let Some((field, rank)) = known.field
                && rank < ranks[field.index()]
            {
                ranks[field.index()] = rank;
                cells.set(field, Cell::Value(value), key);
            }
            if known.descend && depth < 3 {
                self.walk(value, path, depth + 1, cells, ranks);
            }
        }
    }

    fn known(&mut self, path: &str) -> Known {
        if let Some(known) = self.keys.get(path) {
            return *known;
        }
        let mut below = normalised(path);
        below.push('.');
        let ours = names(self.format).iter().flat_map(|(_, names)| *names);
        let mapped = self.map.iter().map(|(_, column)| normalised(column));
        let known = Known {
            field: field_of(path, self.format, &self.map),
            descend: ours.into_iter().any(|name| name.starts_with(&below))
                || mapped.into_iter().any(|name| name.starts_with(&below)),
        };
        if self.keys.len() < KEYS_MAX {
            self.keys.insert(path.to_owned(), known);
        }
        known
    }
}
