//! Which workload a request belongs to, when nobody says.
//!
//! Requests of one program carry the same standing instructions, but for what is filled in: a name,
//! a date, a customer's data, a piece of a document. [`discover_flow`] takes what can vary out, and
//! names the flow after a hash of what is left (its *skeleton*). The same skeleton gives the same name
//! in every release, on every machine, after every restart; the name tells nothing of the text.
//!
//! What is left out of the skeleton, and why:
//! - fenced code, the contents of `<tags>`, and texts in double quotes: what is handed in is put there;
//! - the short value of a line such as `Tone: friendly`, and everything behind a line that ends with a
//!   colon and begins with a capital (`Context:`) up to the next blank line;
//! - words with digits, `@`, `/` or `_`: numbers, dates, addresses, ids;
//! - words with a capital that do not begin a sentence, and those that begin an item of a list: names;
//! - everything behind the first [`WORDS_MAX`] words that are left: documents come after instructions.
//!
//! The names of the tools take part, in whatever order they are sent; their descriptions do not.
//!
//! Limits: a variable word in small letters ("the basic plan", "the premium plan") makes two flows of
//! one; scripts without capitals and spaces keep their names. Programs that share their beginning and
//! their tools are one flow. A flow that must be exact is named: `x-freehold-flow`, or the key's flow.

use freehold_types::request::Tool;
use freehold_types::{FlowName, Message, Part, Request, Role};

use crate::hash::Fnv;

/// What the names of discovered flows begin with.
pub const DISCOVERED: &str = "auto-";

/// So many words of the skeleton count.
const WORDS_MAX: usize = 96;
/// A skeleton of fewer words tells no workload ("You are a helpful assistant." has five).
const WORDS_MIN: usize = 3;
/// How much of the standing instructions is read.
const READ_BYTES_MAX: usize = 16 * 1024;
/// So many inserts are looked for: each may be as long as the text.
const INSERTS_MAX: usize = 128;
/// A value behind a colon is short when it has no more words than this.
const VALUE_WORDS_MAX: usize = 4;

/// The flow of a request's standing instructions and tools; `None` when it has neither, or they say
/// too little.
pub fn discover_flow(request: &Request) -> Option<FlowName> {
    let mut hash = Fnv::default();
    let mut words = 0;
    let texts = standing(&request.messages);
    for text in texts {
        for word in skeleton(text).take(WORDS_MAX - words) {
            hash.bytes(word.to_lowercase().as_bytes());
            hash.bytes(&[0xff]);
            words += 1;
        }
    }
    let mut tools: Vec<&str> = request.tools.iter().filter_map(tool_name).collect();
    if words < WORDS_MIN && tools.is_empty() {
        return None;
    }
    tools.sort_unstable();
    for tool in tools {
        hash.bytes(&[0xfe]);
        hash.bytes(tool.as_bytes());
    }
    // Forty bits: among ten thousand flows, two fall together with a chance of one in twenty thousand.
    let name = hash.mixed() >> 24;
    Some(FlowName::from(format!("{DISCOVERED}{name:010x}")))
}

/// What a tool is called; a vendor's own is known by its type (Anthropic's `web_search_20260209`).
fn tool_name(tool: &Tool) -> Option<&str> {
    match tool {
        Tool::Function { name, .. } => Some(name),
        Tool::Unknown { value, .. } => value.get("type").and_then(serde_json::Value::as_str),
    }
}

/// The texts of the instructions that the conversation begins with.
fn standing(messages: &[Message]) -> impl Iterator<Item = &str> {
    let leading = messages
        .iter()
        .take_while(|message| matches!(message.role, Role::System | Role::Developer));
    leading
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
}

/// The words of a text that stay when what is filled in changes, in their order.
fn skeleton(text: &str) -> impl Iterator<Item = String> {
    let text = &text[..text.floor_char_boundary(READ_BYTES_MAX)];
    let plain = without_inserts(text);
    let mut words = Vec::new();
    let mut skipping = false;
    for line in plain.lines().map(str::trim) {
        if line.is_empty() {
            skipping = false;
        } else if !skipping {
            skipping = heads_a_block(line);
            push_words(without_value(line), &mut words);
        }
        if words.len() >= WORDS_MAX {
            break;
        }
    }
    words.into_iter()
}

/// The text without fenced code, the contents of tags, and texts in double quotes.
fn without_inserts(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    for _ in 0..INSERTS_MAX {
        let Some(at) = rest.find(['`', '<', '"', '\u{201c}', '\u{ab}']) else {
            break;
        };
        plain.push_str(&rest[..at]);
        let from = &rest[at..];
        let length = fence(from)
            .or_else(|| tag(from))
            .or_else(|| quote(from))
            .unwrap_or_else(|| from.chars().next().map_or(1, char::len_utf8));
        plain.push(' ');
        rest = &from[length..];
    }
    plain.push_str(rest);
    plain
}

/// The length of a fenced block that begins a text; one without an end goes to the text's.
fn fence(text: &str) -> Option<usize> {
    const FENCE: &str = "```";
    let body = text.strip_prefix(FENCE)?;
    let end = body.find(FENCE).map(|end| end + 2 * FENCE.len());
    Some(end.unwrap_or(text.len()))
}

/// The length of an element that begins a text, with its contents.
fn tag(text: &str) -> Option<usize> {
    let head = text.strip_prefix('<')?;
    let name_bytes = head
        .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '-')?;
    if !head.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let (name, after) = head.split_at(name_bytes);
    if !after.starts_with(['>', ' ']) {
        return None;
    }
    let close = format!("</{name}>");
    text.find(&close).map(|at| at + close.len())
}

/// The length of a text in double quotes that begins a text and ends in its line.
fn quote(text: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    let close = match letters.next()?.1 {
        '"' => '"',
        '\u{201c}' => '\u{201d}',
        '\u{ab}' => '\u{bb}',
        _ => return None,
    };
    letters
        .take_while(|(_, letter)| *letter != '\n')
        .find(|(_, letter)| *letter == close)
        .map(|(at, letter)| at + letter.len_utf8())
}

/// Whether a line announces something that is filled in below it.
fn heads_a_block(line: &str) -> bool {
    let head = line.trim_start_matches(['#', '*', '=', '-', ' ']);
    line.trim_end_matches(['*', '=', ' ']).ends_with(':')
        && head.starts_with(char::is_uppercase)
        && head.split_whitespace().count() <= VALUE_WORDS_MAX
}

/// A line without a short value behind its first colon.
fn without_value(line: &str) -> &str {
    match line.split_once(": ") {
        Some((key, value)) if value.split_whitespace().count() <= VALUE_WORDS_MAX => key,
        _ => line,
    }
}

/// Adds the words of a line that name nothing.
fn push_words(line: &str, words: &mut Vec<String>) {
    // Who comes first in a list may be anybody.
    let mut begins = !line.starts_with(['-', '*', '\u{2022}'])
        && !line.starts_with(|first: char| first.is_ascii_digit());
    for word in line.split_whitespace() {
        let plain = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        let varies = plain
            .chars()
            .any(|letter| letter.is_numeric() || matches!(letter, '@' | '/' | '_'));
        let named = !begins && plain.starts_with(char::is_uppercase);
        if !plain.is_empty() && !varies && !named {
            words.push(plain.to_owned());
        }
        begins = word.ends_with(['.', '!', '?', '\u{3002}']) && !plain.is_empty();
    }
}

#[cfg(test)]
mod tests;
