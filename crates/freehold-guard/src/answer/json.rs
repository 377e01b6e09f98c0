//! Removes findings from a JSON text: what is left is still JSON.

use serde_json::Value;

use super::redact::Looking;
use crate::mask::json_text::{Token, TokenKind, tokens};

/// The text with findings in its strings, keys and numbers removed; `None` when it is no JSON.
///
/// Everything else stays as the model wrote it.
pub(super) fn redact(text: &str, looking: &mut Looking) -> Option<String> {
    let tokens = tokens(text)?;
    let mut written = String::with_capacity(text.len());
    let mut at = 0;
    let mut key = String::new();
    for Token { range, kind } in tokens {
        let token = &text[range.clone()];
        let plain = match kind {
            TokenKind::Number => token.to_owned(),
            TokenKind::Key | TokenKind::Text => serde_json::from_str(token).ok()?,
        };
        let redacted = looking.whole(if kind == TokenKind::Key { "" } else { &key }, &plain);
        if let Some(redacted) = redacted {
            written.push_str(&text[at..range.start]);
            written.push_str(&Value::from(redacted).to_string());
            at = range.end;
        }
        match kind {
            TokenKind::Key => key = plain,
            // A list's items all belong to its key.
            TokenKind::Text | TokenKind::Number => {}
        }
    }
    written.push_str(&text[at..]);
    Some(written)
}
