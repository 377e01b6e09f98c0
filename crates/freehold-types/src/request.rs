//! The canonical request: the meaning of a chat request, whatever dialect it came in.
//!
//! Fields that a dialect has and this shape does not know are kept in `extra` maps at the place
//! where they stood. The original bytes travel along in [`Request::raw`] so that a request can pass
//! through to an upstream of the same dialect with only the model's name changed.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::Dialect;

/// Unknown fields of a JSON object, in their original order.
pub type Extra = Map<String, Value>;

/// A chat or completion request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The dialect the client spoke.
    pub dialect: Dialect,
    /// What the client named in `model`: a route, not yet a deployment.
    pub model: String,
    /// The conversation. Empty when `prompt` is set.
    pub messages: Vec<Message>,
    /// The raw prompt of a legacy completion request.
    pub prompt: Option<Prompt>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether and which tool must be called; `None` when the client did not say.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called in one turn; `None` when the client did not say.
    pub parallel_tool_calls: Option<bool>,
    /// The form the answer's text must have.
    pub response_format: ResponseFormat,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How much the model may think before it answers.
    pub reasoning: Option<Reasoning>,
    /// True when the answer is to be streamed.
    pub stream: bool,
    /// True when a streaming OpenAI client asked for the usage chunk.
    pub include_usage: bool,
    /// The end user's id, as the client sent it (`user`, `metadata.user_id`).
    pub user: Option<String>,
    /// The client's own labels (`metadata`), without `user_id`.
    pub metadata: Extra,
    /// Top-level fields this shape does not know.
    pub extra: Extra,
    /// The body as received. `None` once the request was changed (masking), so that the stale
    /// bytes can never be sent.
    pub raw: Option<RawBody>,
}

impl Request {
    /// A request of these messages that says nothing else.
    pub fn new(dialect: Dialect, model: impl Into<String>, messages: Vec<Message>) -> Self {
        Self {
            dialect,
            model: model.into(),
            messages,
            prompt: None,
            tools: vec![],
            tool_choice: None,
            parallel_tool_calls: None,
            response_format: ResponseFormat::Text,
            sampling: Sampling::default(),
            reasoning: None,
            stream: false,
            include_usage: false,
            user: None,
            metadata: Extra::new(),
            extra: Extra::new(),
            raw: None,
        }
    }
}

/// The body as the client sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawBody {
    /// The JSON text.
    pub bytes: Bytes,
    /// Where in `bytes` the value of the top-level `model` stands, quotes included.
    pub model_span: Range<usize>,
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The speaker's name (OpenAI `name`).
    pub name: Option<String>,
    /// Unknown fields of the message.
    pub extra: Extra,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            parts: vec![Part::text(text)],
            name: None,
            extra: Extra::new(),
        }
    }
}

/// Who speaks. Tool results of an Anthropic user turn stay [`Part::ToolResult`]s of that turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Standing instructions.
    System,
    /// Standing instructions, in OpenAI's newer word.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool's answer (OpenAI).
    Tool,
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
        /// Unknown fields, `cache_control` and citations among them.
        extra: Extra,
    },
    /// A picture.
    Image {
        /// Where the picture is.
        source: MediaSource,
        /// OpenAI's `detail`.
        detail: Option<String>,
        /// Unknown fields.
        extra: Extra,
    },
    /// A sound.
    Audio {
        /// Where the sound is.
        source: MediaSource,
        /// Unknown fields.
        extra: Extra,
    },
    /// A document (PDF, text file).
    File {
        /// Where the document is.
        source: MediaSource,
        /// The file's name or title.
        name: Option<String>,
        /// Unknown fields.
        extra: Extra,
    },
    /// The model asks for a tool to be run.
    ToolCall {
        /// Joins the call with its result.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments as JSON text, exactly as the model wrote them (may be invalid JSON).
        arguments: String,
        /// Unknown fields.
        extra: Extra,
    },
    /// What the tool answered.
    ToolResult {
        /// The call's id.
        call_id: String,
        /// The answer.
        parts: Vec<Part>,
        /// True when the tool failed.
        is_error: bool,
        /// Unknown fields.
        extra: Extra,
    },
    /// The model's visible reasoning.
    Thinking {
        /// The reasoning.
        text: String,
        /// The vendor's signature over it, to be sent back unchanged.
        signature: Option<String>,
        /// Unknown fields.
        extra: Extra,
    },
    /// Reasoning that the vendor encrypted.
    RedactedThinking {
        /// The opaque bytes, to be sent back unchanged.
        data: String,
    },
    /// The model's refusal (OpenAI `refusal`).
    Refusal {
        /// The refusal's text.
        text: String,
    },
    /// A part that this shape does not know: sent on only in the dialect it came in.
    Unknown {
        /// The dialect it came in.
        dialect: Dialect,
        /// The part, whole.
        value: Value,
    },
}

impl Part {
    /// A plain text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            extra: Extra::new(),
        }
    }
}

/// Where the bytes of a picture, sound or document are.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaSource {
    /// At an address. Freehold never fetches it.
    Url(String),
    /// In the request.
    Base64 {
        /// The MIME type, e.g. `image/png`.
        media_type: String,
        /// Base64, as received.
        data: String,
    },
    /// In the vendor's file store.
    FileId(String),
    /// Plain text (Anthropic documents).
    Text(String),
}

/// The prompt of a legacy completion.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// One text.
    Text(String),
    /// Several texts, each answered by its own choices.
    Texts(Vec<String>),
    /// One list of token ids.
    Tokens(Vec<u32>),
    /// Several lists of token ids.
    TokenLists(Vec<Vec<u32>>),
}

/// A tool.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// A function that the client runs.
    Function {
        /// The function's name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// JSON Schema of its arguments; `None` when it takes none.
        parameters: Option<Value>,
        /// OpenAI's strict mode: arguments always fit the schema.
        strict: Option<bool>,
        /// Unknown fields, `cache_control` among them.
        extra: Extra,
    },
    /// A vendor's hosted tool or a tool of a kind this shape does not know: sent on only in the
    /// dialect it came in.
    Unknown {
        /// The dialect it came in.
        dialect: Dialect,
        /// The tool, whole.
        value: Value,
    },
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No tool may be called.
    None,
    /// Some tool must be called (OpenAI `required`, Anthropic `any`).
    Required,
    /// This function must be called.
    Function(String),
    /// A choice this shape does not know (e.g. OpenAI `allowed_tools`).
    Unknown {
        /// The dialect it came in.
        dialect: Dialect,
        /// The choice, whole.
        value: Value,
    },
}

/// The form the answer's text must have.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ResponseFormat {
    /// Any text.
    #[default]
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The schema's name (OpenAI requires one).
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The JSON Schema.
        schema: Value,
        /// OpenAI's strict mode; `None` when the client did not say.
        strict: Option<bool>,
    },
}

/// How tokens are drawn. `None` means that the client did not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Upper bound on generated tokens (`max_tokens`, `max_completion_tokens`).
    pub max_output_tokens: Option<u64>,
    /// 0 is greedy.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Only the k likeliest tokens.
    pub top_k: Option<u32>,
    /// Only tokens at least this likely relative to the likeliest (llama.cpp, vLLM).
    pub min_p: Option<f64>,
    /// Penalty per earlier occurrence.
    pub frequency_penalty: Option<f64>,
    /// Penalty for any earlier occurrence.
    pub presence_penalty: Option<f64>,
    /// Multiplicative penalty (llama.cpp, vLLM, TGI).
    pub repetition_penalty: Option<f64>,
    /// For repeatable draws.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers; `None` means one.
    pub n: Option<u32>,
    /// Whether log-probabilities of the chosen tokens are wanted.
    pub logprobs: Option<bool>,
    /// How many alternatives per token.
    pub top_logprobs: Option<u32>,
    /// Token id (as text) to bias.
    pub logit_bias: Option<Map<String, Value>>,
}

/// How much the model may think.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// OpenAI's `reasoning_effort`: `minimal`, `low`, `medium`, `high`, ...
    pub effort: Option<String>,
    /// Anthropic's `thinking.type`: `enabled`, `disabled`, `adaptive`.
    pub mode: Option<String>,
    /// Anthropic's `thinking.budget_tokens`.
    pub budget_tokens: Option<u64>,
    /// Unknown fields of Anthropic's `thinking`.
    pub extra: Extra,
}
