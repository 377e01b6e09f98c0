//! Walks every string and every key of a request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use freehold_types::request::{
    MediaSource, Prompt, Reasoning, ResponseFormat, Sampling, Tool, ToolChoice,
};
use freehold_types::{Extra, Message, Part, Request, Role};
use serde_json::Value;

use crate::detect::{self, Hit};
use crate::guard::{Unread, merge};
use crate::path::{Step, render};
use crate::view::Looking;
use crate::view::joined::{Lane, Piece, cut, literals};
use crate::{Finding, Guard, Limits, Scan};

/// Looks for secrets and identifiers in every string and key of a request, with the guard's own
/// detectors and labels. [`Guard`] does the same by the operator's settings.
pub fn scan(request: &Request, limits: &Limits) -> Scan {
    Guard::with_limits(*limits).scan(request)
}

/// Who speaks in system and developer messages; see [`Walk::speaker`].
const APPLICATION: u8 = 1;

/// One walk through one request.
pub(crate) struct Walk<'a> {
    guard: &'a Guard,
    left_bytes: usize,
    steps: Vec<Step<'a>>,
    scan: Scan,
    /// Every string so far, for what is cut over several of them.
    pieces: Vec<Piece<'a>>,
    /// How many strings were walked over.
    strings: usize,
    /// What the strings being walked over are.
    lane: Lane,
    speaker: u8,
    /// In a second walk: what was found in which string, to be told with its path.
    told: Option<BTreeMap<usize, Vec<Hit>>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(guard: &'a Guard) -> Self {
        Self {
            guard,
            left_bytes: guard.limits.max_bytes,
            steps: Vec::with_capacity(16),
            scan: Scan::default(),
            pieces: Vec::new(),
            strings: 0,
            lane: Lane::Other,
            speaker: 0,
            told: None,
        }
    }

    /// Looks at the whole request.
    pub(crate) fn run(mut self, request: &'a Request) -> Scan {
        self.request(request);
        let mut fragments: BTreeMap<usize, Vec<Hit>> = BTreeMap::new();
        cut(self.guard, &self.pieces, &mut |fragment| {
            fragments
                .entry(fragment.string)
                .or_default()
                .push(fragment.hit);
        });
        if !fragments.is_empty() {
            // Paths are not kept: they are worked out again, only for what was found.
            fragments.values_mut().for_each(merge);
            self.told = Some(fragments);
            self.strings = 0;
            self.request(request);
        }
        self.scan
    }

    fn request(&mut self, request: &'a Request) {
        self.field("model", |walk| walk.model(&request.model));
        self.field("messages", |walk| {
            walk.each(&request.messages, Self::message);
        });
        if let Some(prompt) = &request.prompt {
            self.field("prompt", |walk| walk.prompt(prompt));
        }
        self.field("tools", |walk| walk.each(&request.tools, Self::tool));
        self.field("tool_choice", |walk| match &request.tool_choice {
            Some(ToolChoice::Function(name)) => walk.text(name),
            Some(ToolChoice::Unknown { value, .. }) => walk.value(value),
            Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required) | None => {}
        });
        self.field("response_format", |walk| {
            walk.response_format(&request.response_format);
        });
        self.sampling(&request.sampling);
        if let Some(reasoning) = &request.reasoning {
            self.field("reasoning", |walk| walk.reasoning(reasoning));
        }
        self.optional("user", request.user.as_deref());
        self.field("metadata", |walk| walk.object(&request.metadata));
        // Unknown top-level fields stand where they stood in the body.
        self.object(&request.extra);
    }

    /// A model's name is no prose: what finds names of people by their look finds them in `claude` and
    /// `luna`. What is verified by a checksum or a telling shape is found here as everywhere.
    fn model(&mut self, name: &'a str) {
        self.begin();
        if self.told.is_none() && self.spend(name.len()) {
            self.look(name, Looking::name());
        }
    }

    fn message(&mut self, message: &'a Message) {
        self.speaker = match message.role {
            Role::System | Role::Developer => APPLICATION,
            Role::User => 2,
            Role::Assistant => 3,
            Role::Tool => 4,
        };
        self.optional("name", message.name.as_deref());
        self.field("content", |walk| walk.each(&message.parts, Self::part));
        self.object(&message.extra);
        self.speaker = 0;
    }

    fn part(&mut self, part: &'a Part) {
        if self.too_deep() {
            return;
        }
        match part {
            Part::Text { text, extra } => {
                self.field("text", |walk| walk.said(text));
                self.object(extra);
            }
            Part::Image {
                source,
                detail,
                extra,
            } => {
                self.media(source);
                self.optional("detail", detail.as_deref());
                self.object(extra);
            }
            Part::Audio { source, extra } => {
                self.media(source);
                self.object(extra);
            }
            Part::File {
                source,
                name,
                extra,
            } => {
                self.media(source);
                self.optional("name", name.as_deref());
                self.object(extra);
            }
            Part::ToolCall {
                id,
                name,
                arguments,
                extra,
            } => {
                self.field("id", |walk| walk.text(id));
                self.field("name", |walk| walk.text(name));
                self.field("arguments", |walk| walk.json_text(arguments));
                self.object(extra);
            }
            Part::ToolResult {
                call_id,
                parts,
                extra,
                is_error: _,
            } => {
                self.field("tool_call_id", |walk| walk.text(call_id));
                self.field("content", |walk| walk.each(parts, Self::part));
                self.object(extra);
            }
            Part::Thinking {
                text,
                signature,
                extra,
            } => {
                self.field("thinking", |walk| walk.content(text));
                let signature = signature.iter();
                signature.for_each(|text| self.field("signature", |walk| walk.signature(text)));
                self.object(extra);
            }
            Part::RedactedThinking { data } => self.field("data", |walk| {
                walk.opaque();
                walk.signature(data);
            }),
            Part::Refusal { text } => self.field("refusal", |walk| walk.content(text)),
            Part::Unknown { value, .. } => self.value(value),
        }
    }

    fn media(&mut self, source: &'a MediaSource) {
        self.field("source", |walk| match source {
            MediaSource::Url(url) => walk.url(url),
            MediaSource::Base64 { media_type, data } => {
                walk.field("media_type", |walk| walk.text(media_type));
                walk.field("data", |walk| walk.base64(data));
            }
            MediaSource::FileId(id) => {
                walk.opaque();
                walk.text(id);
            }
            MediaSource::Text(text) => walk.content(text),
        });
    }

    fn url(&mut self, url: &'a str) {
        match url
            .strip_prefix("data:")
            .and_then(|rest| rest.split_once(','))
        {
            Some((head, data)) => {
                self.text(head);
                self.base64(data);
            }
            None => {
                self.opaque();
                self.text(url);
            }
        }
    }

    /// Encoded bytes cannot be read, unless they are text; what only pretends to be encoded is read as
    /// text.
    fn base64(&mut self, data: &'a str) {
        let is_encoded = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\r' | b'\n')
        };
        if !data.bytes().all(is_encoded) {
            self.opaque();
            self.text(data);
        } else if Guard::holds_text(data) {
            self.text(data);
        } else {
            self.opaque();
            self.strings += 1;
        }
    }

    fn prompt(&mut self, prompt: &'a Prompt) {
        match prompt {
            Prompt::Text(text) => self.content(text),
            Prompt::Texts(texts) => self.each(texts, |walk, text| walk.content(text)),
            // Token ids are the text in a form that nothing here can read.
            Prompt::Tokens(_) | Prompt::TokenLists(_) => self.opaque(),
        }
    }

    fn tool(&mut self, tool: &'a Tool) {
        match tool {
            Tool::Function {
                name,
                description,
                parameters,
                strict: _,
                extra,
            } => {
                self.field("name", |walk| walk.text(name));
                self.optional("description", description.as_deref());
                if let Some(schema) = parameters {
                    self.field("parameters", |walk| walk.value(schema));
                }
                self.object(extra);
            }
            Tool::Unknown { value, .. } => self.value(value),
        }
    }

    fn response_format(&mut self, format: &'a ResponseFormat) {
        if let ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict: _,
        } = format
        {
            self.field("name", |walk| walk.text(name));
            self.optional("description", description.as_deref());
            self.field("schema", |walk| walk.value(schema));
        }
    }

    fn sampling(&mut self, sampling: &'a Sampling) {
        self.field("stop", |walk| {
            walk.each(&sampling.stop, |walk, text| walk.text(text));
        });
        if let Some(bias) = &sampling.logit_bias {
            self.field("logit_bias", |walk| walk.object(bias));
        }
    }

    fn reasoning(&mut self, reasoning: &'a Reasoning) {
        self.optional("effort", reasoning.effort.as_deref());
        self.optional("mode", reasoning.mode.as_deref());
        self.object(&reasoning.extra);
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            // A card's number is one without quotes, too.
            Value::Number(number) => self.number(number.to_string()),
            Value::String(text) => self.within(Lane::Value, |walk| walk.text(text)),
            Value::Array(items) => {
                if !self.too_deep() {
                    self.each(items, Self::value);
                }
            }
            Value::Object(fields) => {
                if !self.too_deep() {
                    self.object(fields);
                }
            }
        }
    }

    fn object(&mut self, fields: &'a Extra) {
        for (key, value) in fields {
            self.steps.push(Step::Key(key));
            self.within(Lane::Key, |walk| walk.text(key));
            self.value(value);
            self.steps.pop();
        }
    }

    fn number(&mut self, digits: String) {
        let string = self.begin();
        // No identifier is shorter.
        if digits.len() >= detect::SHORTEST_BYTES && self.spend(digits.len()) && self.told.is_none()
        {
            self.look(&digits, Looking::text());
        }
        if self.told.is_none() {
            self.pieces.push(Piece {
                text: Cow::Owned(digits),
                lane: Lane::Number,
                speaker: 0,
                string,
                base: 0,
            });
        }
    }

    /// JSON in a string, as a model wrote it: escapes can hide what the plain bytes do not show, and
    /// its strings can be the pieces of something.
    fn json_text(&mut self, json: &'a str) {
        let string = self.begin();
        if self.told.is_some() || !self.spend(json.len()) {
            return;
        }
        let looking = Looking {
            is_json: true,
            ..Looking::text()
        };
        self.look(json, looking);
        for literal in literals(json) {
            self.pieces.push(Piece {
                text: Cow::Borrowed(&json[literal.range.clone()]),
                lane: if literal.is_key {
                    Lane::Key
                } else {
                    Lane::Value
                },
                speaker: 0,
                string,
                base: literal.range.start,
            });
        }
    }

    /// A vendor's signature or encrypted thoughts, sent back as they came: long, random, and known to
    /// be so.
    fn signature(&mut self, text: &'a str) {
        self.begin();
        if self.told.is_none() && self.spend(text.len()) {
            let looking = Looking {
                tells_blobs: false,
                ..Looking::text()
            };
            self.look(text, looking);
        }
    }

    fn content(&mut self, text: &'a str) {
        self.within(Lane::Content, |walk| walk.text(text));
    }

    /// What somebody says. The application's own instructions are instructions to a model by nature.
    fn said(&mut self, text: &'a str) {
        if self.speaker == APPLICATION {
            let looking = Looking::instructions();
            self.within(Lane::Content, |walk| walk.text_as(text, looking));
        } else {
            self.content(text);
        }
    }

    fn text(&mut self, text: &'a str) {
        self.text_as(text, Looking::text());
    }

    fn text_as(&mut self, text: &'a str, looking: Looking) {
        let string = self.begin();
        if self.told.is_some() || !self.spend(text.len()) {
            return;
        }
        if self.lane != Lane::Other {
            self.pieces.push(Piece {
                text: Cow::Borrowed(text),
                lane: self.lane,
                speaker: self.speaker,
                string,
                base: 0,
            });
        }
        self.look(text, looking);
    }

    /// Counts a string; in the second walk, tells what was found in it.
    fn begin(&mut self) -> usize {
        let string = self.strings;
        self.strings += 1;
        if let Some(told) = &mut self.told {
            let hits = told.remove(&string).unwrap_or_default();
            if self.lane == Lane::Key
                && !hits.is_empty()
                && let Some(step) = self.steps.last_mut()
            {
                *step = Step::Hidden;
            }
            self.found(hits);
        }
        string
    }

    fn look(&mut self, text: &str, looking: Looking) {
        if text.len() < detect::SHORTEST_BYTES {
            return;
        }
        let mut hits = Vec::new();
        let guard = self.guard;
        let unread = guard.look(text, looking, &mut |hit| hits.push(hit));
        match unread {
            // A blob in a text is as opaque as a picture beside it.
            Some(Unread::Blob) => self.opaque(),
            Some(unread) => self.incomplete(&unread.to_string()),
            None => {}
        }
        merge(&mut hits);
        self.found(hits);
    }

    fn within(&mut self, lane: Lane, look: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.lane, lane);
        look(self);
        self.lane = before;
    }

    /// What was found in the string that the walk is at.
    fn found(&mut self, mut hits: Vec<Hit>) {
        if hits.is_empty() {
            return;
        }
        let most = self.guard.limits.max_findings;
        let room = most.saturating_sub(self.scan.findings.len());
        if hits.len() > room {
            hits.truncate(room);
            self.incomplete("more findings than the limit");
        }
        let path = render(&self.steps, &|key| self.guard.is_clean(key));
        let findings = hits.into_iter().map(|hit| Finding {
            path: path.clone(),
            range: hit.range,
            confidence: hit.confidence,
            sensitivity: self.guard.labels.of(hit.entity.as_str()),
            entity: hit.entity,
        });
        self.scan.findings.extend(findings);
    }

    fn optional(&mut self, name: &'static str, text: Option<&'a str>) {
        if let Some(text) = text {
            self.field(name, |walk| walk.text(text));
        }
    }

    fn field(&mut self, name: &'static str, look: impl FnOnce(&mut Self)) {
        self.steps.push(Step::Field(name));
        look(self);
        self.steps.pop();
    }

    fn each<T>(&mut self, items: &'a [T], look: impl Fn(&mut Self, &'a T)) {
        for (index, item) in items.iter().enumerate() {
            self.steps.push(Step::Index(index));
            look(self, item);
            self.steps.pop();
        }
    }

    fn opaque(&mut self) {
        if self.guard.opaque_is_restricted {
            self.incomplete(
                "a picture, sound, document, token list or encrypted blob cannot be read",
            );
        }
    }

    /// Two steps per level: a field and an index, or a key.
    fn too_deep(&mut self) -> bool {
        let too_deep = self.steps.len() > 2 * self.guard.limits.max_depth;
        if too_deep {
            self.incomplete("nested deeper than the limit");
        }
        too_deep
    }

    /// Whether so many more bytes may be looked at.
    fn spend(&mut self, bytes: usize) -> bool {
        if self.told.is_some() {
            return true;
        }
        match self.left_bytes.checked_sub(bytes) {
            Some(left) => {
                self.left_bytes = left;
                true
            }
            None => {
                self.incomplete("longer than the limit");
                false
            }
        }
    }

    fn incomplete(&mut self, why: &str) {
        self.scan.incomplete.get_or_insert_with(|| why.to_owned());
    }
}
