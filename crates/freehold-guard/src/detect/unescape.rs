//! Undoes the escapes of JSON strings, leniently: for looking, not for parsing.

/// The text with `\n`, `\"`, `\u0041` and the like replaced by what they stand for. Whatever is no
/// escape stays as it is.
pub(crate) fn unescaped(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let (char, used) = match tail.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'"') => ('"', 1),
            Some(b'/') => ('/', 1),
            Some(b'\\') => ('\\', 1),
            Some(b'u') => unicode(tail).map_or(('\\', 0), |char| (char, 5)),
            _ => ('\\', 0),
        };
        plain.push(char);
        rest = &tail[used..];
    }
    plain.push_str(rest);
    plain
}

/// The character of `uXXXX`. Halves of a surrogate pair become the replacement character: nothing
/// that is looked for has any.
fn unicode(tail: &str) -> Option<char> {
    let hex = tail.get(1..5)?;
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let code = u32::from_str_radix(hex, 16).ok()?;
    Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
}
