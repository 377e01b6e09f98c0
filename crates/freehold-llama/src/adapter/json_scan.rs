//! Looks at JSON text that is not complete yet.

use serde_json::Value;

/// Longest beginning of a call that is looked at before it counts as text.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// First keys that a call's object may have.
const CALL_KEYS: [&str; 6] = ["name", "type", "function", "arguments", "parameters", "id"];

/// Follows a JSON object to its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    depth: u32,
    is_in_text: bool,
    is_escaped: bool,
}

impl Scanner {
    /// Reads on. The number of bytes up to the object's end, once it is reached.
    pub(crate) fn push(&mut self, text: &str) -> Option<usize> {
        for (place, byte) in text.bytes().enumerate() {
            if self.is_in_text {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.is_in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.is_in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(place + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// What the beginning of a call's object tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Too little to tell.
    NeedsMore,
    /// The name is known and the arguments begin at this place, as an object.
    Streams {
        /// The function's name.
        name: String,
        /// Where the arguments begin, in bytes.
        arguments: usize,
    },
    /// An object of another form, complete up to here.
    Object {
        /// Where it ends, in bytes.
        end: usize,
    },
    /// No call.
    NoCall,
}

/// Looks at what may be a call: `{"name": "...", "arguments": {...}}` or another form.
pub(crate) fn head(text: &str) -> Head {
    if text.len() > HEAD_BYTES_MAX {
        return Head::NoCall;
    }
    match streaming_head(text) {
        Some(head) => head,
        None if !may_be_call(text) => Head::NoCall,
        None => match Scanner::default().push(text) {
            Some(end) => Head::Object { end },
            None => Head::NeedsMore,
        },
    }
}

/// The usual form; `None` when it is another one.
fn streaming_head(text: &str) -> Option<Head> {
    let mut cursor = Cursor { text, place: 0 };
    let steps = (|| {
        cursor.symbol(b'{')?;
        let key = cursor.string()?;
        cursor.symbol(b':')?;
        let name = cursor.string()?;
        cursor.symbol(b',')?;
        let second = cursor.string()?;
        cursor.symbol(b':')?;
        cursor.peek(b'{')?;
        Ok((key, name, second))
    })();
    match steps {
        Ok((key, name, second))
            if key == "name" && (second == "arguments" || second == "parameters") =>
        {
            Some(Head::Streams {
                name,
                arguments: cursor.place,
            })
        }
        Ok(_) | Err(Miss::Other) => None,
        Err(Miss::TooShort) => may_be_call(text).then_some(Head::NeedsMore),
    }
}

/// Whether the object's first key, as far as it is there, fits a call. Also an array of calls.
fn may_be_call(text: &str) -> bool {
    let mut rest = text.trim_start();
    if let Some(inner) = rest.strip_prefix('[') {
        rest = inner.trim_start();
    }
    let Some(rest) = rest.strip_prefix('{') else {
        return rest.is_empty();
    };
    let Some(rest) = rest.trim_start().strip_prefix('"') else {
        return rest.trim_start().is_empty();
    };
    CALL_KEYS.iter().any(|key| match rest.split_once('"') {
        Some((found, _)) => found == *key,
        None => key.starts_with(rest),
    })
}

enum Miss {
    TooShort,
    Other,
}

struct Cursor<'text> {
    text: &'text str,
    place: usize,
}

impl Cursor<'_> {
    fn peek(&mut self, wanted: u8) -> Result<(), Miss> {
        let rest = &self.text[self.place..];
        self.place += rest.len() - rest.trim_start().len();
        match self.text.as_bytes().get(self.place) {
            None => Err(Miss::TooShort),
            Some(byte) if *byte == wanted => Ok(()),
            Some(_) => Err(Miss::Other),
        }
    }

    fn symbol(&mut self, wanted: u8) -> Result<(), Miss> {
        self.peek(wanted)?;
        self.place += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<String, Miss> {
        self.peek(b'"')?;
        let rest = &self.text[self.place..];
        let mut is_escaped = false;
        for (offset, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    self.place += offset + 1;
                    return match serde_json::from_str(&rest[..=offset]) {
                        Ok(Value::String(text)) => Ok(text),
                        _ => Err(Miss::Other),
                    };
                }
                _ => {}
            }
        }
        Err(Miss::TooShort)
    }
}
