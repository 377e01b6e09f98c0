//! A stored record: what stands in the clear beside it, and how its text is packed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use freehold_ports::{SampleFacts, Text};
use freehold_types::{Dialect, Request};
use freehold_wire::{AnswerContext, EncodeOptions, Quirks, ReasoningField, ThinkingStyle};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::PromptError;
use super::keys::{KeyId, put};

/// The packing's version, the first byte.
const VERSION: u8 = 1;
/// No record unpacks to more, in bytes: requests are bounded far below.
const TEXT_BYTES_MAX: u64 = 512 << 20;

/// What stands in the clear beside a record. All of it is bound to the record's text: rows cannot be
/// swapped, nor a column changed, unseen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) request: [u8; 16],
    pub(crate) tenant: String,
    pub(crate) expiry_key: KeyId,
    pub(crate) subject_key: Option<KeyId>,
    pub(crate) conversation_key: Option<KeyId>,
    pub(crate) flow: Option<String>,
    pub(crate) deployment: Option<String>,
    pub(crate) dialect: String,
    pub(crate) what: String,
    pub(crate) sensitivity: String,
    pub(crate) answer: String,
    pub(crate) started_unix_ms: u64,
    pub(crate) expires_unix_ms: u64,
}

impl Row {
    pub(crate) fn about(&self) -> Vec<u8> {
        let mut about = b"freehold prompt 1".to_vec();
        put(&mut about, &self.request);
        put(&mut about, self.tenant.as_bytes());
        put(&mut about, &self.expiry_key.0);
        for key in [self.subject_key, self.conversation_key] {
            put(&mut about, key.as_ref().map_or(&[], |key| &key.0));
        }
        for text in [&self.flow, &self.deployment] {
            about.push(u8::from(text.is_some()));
            put(&mut about, text.as_deref().unwrap_or_default().as_bytes());
        }
        for text in [&self.dialect, &self.what, &self.sensitivity, &self.answer] {
            put(&mut about, text.as_bytes());
        }
        for time in [self.started_unix_ms, self.expires_unix_ms] {
            put(&mut about, &time.to_be_bytes());
        }
        about
    }
}

/// A record's text.
#[derive(Serialize)]
struct Written<'a> {
    request: &'a RawValue,
    answer: Option<&'a RawValue>,
    rules: &'a [String],
}

/// A record's text, read.
#[derive(Deserialize)]
pub(crate) struct Unpacked {
    pub(crate) request: Box<RawValue>,
    pub(crate) answer: Option<Box<RawValue>>,
    /// The names of the rules that matched; `None` in records of earlier versions.
    #[serde(default)]
    pub(crate) rules: Option<Vec<String>>,
}

/// Writes request and answer in the client's dialect, and compresses them.
pub(crate) fn pack(facts: &SampleFacts, text: &Text) -> Result<Zeroizing<Vec<u8>>, PromptError> {
    let unwritable = |why: String| PromptError::Unreadable {
        action: "written",
        why,
    };
    let request = body(facts.dialect, text.request()).map_err(|error| unwritable(error.message))?;
    let answer = text.answer().map(|answer| {
        let context = AnswerContext {
            created_s: facts.started_unix_ms / 1_000,
            ..AnswerContext::default()
        };
        freehold_wire::encode_response(facts.dialect, answer, &context)
    });
    let raw = |bytes: &[u8]| -> Result<Box<RawValue>, PromptError> {
        let text = std::str::from_utf8(bytes).map_err(|error| unwritable(error.to_string()))?;
        RawValue::from_string(text.to_owned()).map_err(|error| unwritable(error.to_string()))
    };
    let request = raw(&request)?;
    let answer = answer.as_deref().map(raw).transpose()?;
    let written = Written {
        request: &request,
        answer: answer.as_deref(),
        rules: text.pass().rules(),
    };
    compress(&written)
}

/// As JSON, compressed.
pub(crate) fn compress(written: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, PromptError> {
    let unwritable = |why: String| PromptError::Unreadable {
        action: "written",
        why,
    };
    let json = serde_json::to_vec(written).map_err(|error| unwritable(error.to_string()))?;
    let json = Zeroizing::new(json);
    let mut packer = DeflateEncoder::new(vec![VERSION], Compression::default());
    let packed = packer.write_all(&json).and_then(|()| packer.finish());
    packed
        .map(Zeroizing::new)
        .map_err(|error| unwritable(error.to_string()))
}

/// The request's body: the client's own where it may be stored, else written anew.
fn body(dialect: Dialect, request: &Request) -> Result<bytes::Bytes, freehold_types::Error> {
    // Text that must be masked comes without: see `Text::new`.
    if let Some(raw) = &request.raw {
        return Ok(raw.bytes.clone());
    }
    let budget = request.reasoning.as_ref();
    let budget = budget.is_some_and(|reasoning| reasoning.budget_tokens.is_some());
    let quirks = Quirks {
        extended_sampling: true,
        reasoning_field: ReasoningField::ReasoningContent,
        thinking: if budget {
            ThinkingStyle::Budget
        } else {
            ThinkingStyle::Adaptive
        },
        ..Quirks::default()
    };
    let options = EncodeOptions {
        model: &request.model,
        request_usage: false,
        quirks: &quirks,
    };
    freehold_wire::encode_request(dialect, request, &options).map(|encoded| encoded.body)
}

/// Reads what [`compress`] wrote.
pub(crate) fn unpack<T: DeserializeOwned>(packed: &[u8]) -> Result<T, PromptError> {
    let unreadable = |why: String| PromptError::Unreadable {
        action: "read",
        why,
    };
    let packed = match packed.split_first() {
        Some((&VERSION, packed)) => packed,
        _ => {
            let why = "it is of a newer version of this program";
            return Err(unreadable(why.to_owned()));
        }
    };
    let mut json = Zeroizing::new(Vec::new());
    DeflateDecoder::new(packed)
        .take(TEXT_BYTES_MAX)
        .read_to_end(&mut json)
        .map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))
}
