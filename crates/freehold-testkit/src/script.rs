//! What a test can ask the fake to do for one request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How one request is answered. `Script::default()` is a well-behaved echo of the last user message.
///
/// As JSON (header `x-fake-script`, `POST /__script`, `[[fake:{...}]]` in the message) every field is optional and
/// unknown fields are refused.
///
/// Positions (`gates`, `at` of the faults) count **chunks**: chunk 0 opens the answer (OpenAI's role chunk, Anthropic's
/// `message_start`), chunks 1 to N carry one token each, chunk N + 1 closes it (finish reason, usage, `[DONE]` or
/// `message_stop`). "At k" means: chunks 0 to k - 1 have been written whole. A non-streamed body has two chunks, its
/// halves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Only for requests to this model; a queued script waits for one.
    pub for_model: Option<String>,
    /// Number of text tokens; the words of the last user message are repeated as needed. Default: as many as it has.
    pub tokens: Option<usize>,
    /// The answer's text, instead of the echo; each whitespace-separated word is a token.
    pub text: Option<String>,
    /// The answer is this JSON value, instead of one made up from the requested schema.
    pub json: Option<Value>,
    /// A thinking block before the answer (Anthropic), or reasoning in the field `thinking_field` (OpenAI).
    pub thinking: Option<String>,
    /// OpenAI only: delta and message field for `thinking`; `reasoning_content` unless given.
    pub thinking_field: Option<String>,
    /// The model refuses with this text.
    pub refusal: Option<String>,
    /// Tool calls to make, in order; several are parallel calls.
    pub tool_calls: Vec<ScriptedCall>,
    /// Characters per streamed fragment of tool arguments; 8 unless given.
    pub fragment_chars: Option<usize>,
    /// Overrides the finish reason, written as given.
    pub finish: Option<String>,
    /// Overrides of counted and of reported usage.
    pub usage: UsageScript,
    /// Delays.
    pub pace: Pace,
    /// Writes bodies in pieces of so many bytes, across chunk and character boundaries.
    pub write_bytes: Option<usize>,
    /// Wait before these chunks until released, one release for each.
    pub gates: Vec<usize>,
    /// Wait before the response headers until released.
    pub gate_headers: bool,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Further response headers; they replace those of the same name.
    pub headers: BTreeMap<String, String>,
}

/// A tool call of a script.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedCall {
    /// The tool's name; by default the request's tool of the same position.
    pub name: Option<String>,
    /// The arguments; by default a value that fits the tool's schema.
    pub arguments: Option<Value>,
    /// Arguments as raw text (for invalid JSON); wins over `arguments`.
    pub raw_arguments: Option<String>,
    /// The call's id; by default one in the vendor's style.
    pub id: Option<String>,
}

/// Overrides of what is counted, and what of it is reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageScript {
    /// Prompt tokens in all, cached ones included. Default: the words of all texts of the request.
    pub prompt_tokens: Option<u64>,
    /// Of these, read from the vendor's cache.
    pub cached_tokens: u64,
    /// Of these, written to the vendor's cache (Anthropic).
    pub cache_write_tokens: u64,
    /// Hidden reasoning tokens, counted as output on top of what is sent.
    pub reasoning_tokens: u64,
    /// What the answer says about it.
    pub report: ReportedUsage,
}

/// What the answer says about usage; the record always has the true count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ReportedUsage {
    /// The true count.
    #[default]
    Counted,
    /// No usage, even where the vendor always sends it.
    Missing,
    /// All zero.
    Zero,
    /// Wrong numbers.
    Wrong {
        /// Prompt tokens to report.
        prompt_tokens: u64,
        /// Completion tokens to report.
        completion_tokens: u64,
    },
}

/// Delays in milliseconds; all 0 by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Before the response headers.
    pub headers_ms: u64,
    /// Between the headers and the first chunk.
    pub first_token_ms: u64,
    /// Before every later token, and between the pieces of `write_bytes`.
    pub inter_token_ms: u64,
}

/// `Retry-After` of a status fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u64),
    /// The HTTP date so many seconds from now.
    DateSeconds(u64),
    /// Any text, for malformed values.
    Raw(String),
}

/// What goes wrong. Positions count chunks, see [`Script`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// An error status with the vendor's error body, before anything else.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
        /// A body to send instead of the vendor's (sent as JSON if it parses, as `text/html` otherwise).
        #[serde(default)]
        body: Option<String>,
    },
    /// TCP reset before the response headers.
    ResetBeforeHeaders,
    /// The connection is closed (FIN) before the response headers.
    CloseBeforeHeaders,
    /// The headers never come.
    StallHeaders,
    /// TCP reset at a chunk.
    Reset {
        /// The chunk.
        at: usize,
    },
    /// The connection is closed without ending the HTTP message.
    Close {
        /// The chunk.
        at: usize,
    },
    /// The HTTP message ends cleanly, but early.
    End {
        /// The chunk.
        at: usize,
    },
    /// Half of a chunk, then as [`Fault::Close`], or as [`Fault::End`] if `clean`.
    HalfChunk {
        /// The chunk.
        at: usize,
        /// Whether the HTTP message ends cleanly.
        #[serde(default)]
        clean: bool,
    },
    /// Nothing more is sent, and the connection stays open.
    Stall {
        /// The chunk.
        at: usize,
    },
    /// An event that is no valid UTF-8 in place of a chunk; the rest follows.
    MalformedSse {
        /// The chunk.
        at: usize,
    },
    /// An event with broken JSON in place of a chunk; the rest follows.
    MalformedJson {
        /// The chunk.
        at: usize,
    },
    /// The vendor's error inside the stream, then the end. Without a stream: status 200 with an error body.
    ErrorEvent {
        /// The chunk.
        at: usize,
        /// The vendor's error type, e.g. `overloaded_error`.
        #[serde(default)]
        error_type: Option<String>,
    },
    /// One event with so many bytes of text in place of a chunk; the rest follows.
    HugeChunk {
        /// The chunk.
        at: usize,
        /// Bytes of text.
        bytes: usize,
    },
    /// The whole answer without its end marker (`[DONE]`, `message_stop`).
    MissingDone,
    /// A good answer labelled `text/html`.
    WrongContentType,
    /// A non-streamed body that ends in the middle of what `Content-Length` promised; a stream cut at its middle.
    TruncatedBody,
}

impl Script {
    /// An answer of `tokens` tokens.
    #[must_use]
    pub fn tokens(tokens: usize) -> Self {
        Self {
            tokens: Some(tokens),
            ..Self::default()
        }
    }

    /// An answer with this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// An answer that fails in this way.
    #[must_use]
    pub fn fault(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }

    /// An error status with the vendor's body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::fault(Fault::Status {
            status,
            retry_after: None,
            body: None,
        })
    }

    /// Status 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn rate_limited(retry_after_s: u64) -> Self {
        let retry_after = Some(RetryAfter::Seconds(retry_after_s));
        Self::fault(Fault::Status {
            status: 429,
            retry_after,
            body: None,
        })
    }

    /// An answer of one tool call.
    #[must_use]
    pub fn tool_call(name: impl Into<String>, arguments: Value) -> Self {
        Self::default().with_tool_call(name, arguments)
    }

    /// Adds a tool call; several are parallel calls.
    #[must_use]
    pub fn with_tool_call(mut self, name: impl Into<String>, arguments: Value) -> Self {
        self.tool_calls.push(ScriptedCall {
            name: Some(name.into()),
            arguments: Some(arguments),
            ..ScriptedCall::default()
        });
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Waits before chunk `at` until released.
    #[must_use]
    pub fn with_gate(mut self, at: usize) -> Self {
        self.gates.push(at);
        self
    }

    /// Waits before the response headers until released.
    #[must_use]
    pub fn with_gated_headers(mut self) -> Self {
        self.gate_headers = true;
        self
    }

    /// Sets the delays.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Sets the usage overrides.
    #[must_use]
    pub fn with_usage(mut self, usage: UsageScript) -> Self {
        self.usage = usage;
        self
    }

    /// Only for requests to this model.
    #[must_use]
    pub fn for_model(mut self, model: impl Into<String>) -> Self {
        self.for_model = Some(model.into());
        self
    }
}
