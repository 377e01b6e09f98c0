//! Wildcards in route names: `*` stands for any text, the empty one included.

/// True when `name` fits `pattern`. Linear in practice: the pattern's pieces are found left to right.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    captured(pattern, name).is_some()
}

/// What the pattern's first `*` stood for; the whole fit is checked. `Some("")` for a pattern
/// without a star that equals the name.
pub(crate) fn captured<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let mut pieces = pattern.split('*');
    let head = pieces.next().unwrap_or_default();
    let rest = name.strip_prefix(head)?;
    let pieces: Vec<&str> = pieces.collect();
    let Some((tail, middle)) = pieces.split_last() else {
        return rest.is_empty().then_some("");
    };
    let body = rest.strip_suffix(tail)?;
    let mut from = 0;
    let mut first_end = None;
    for piece in middle {
        let at = body[from..].find(piece)?;
        first_end.get_or_insert(from + at);
        from += at + piece.len();
    }
    Some(&body[..first_end.unwrap_or(body.len())])
}

/// How specific a pattern is: the letters it fixes.
pub(crate) fn literal_length(pattern: &str) -> usize {
    pattern.bytes().filter(|byte| *byte != b'*').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, star) in [
            ("openai/*", "openai/gpt-5", Some("gpt-5")),
            ("openai/*", "openai/", Some("")),
            ("openai/*", "azure/gpt-5", None),
            ("claude-*", "claude-opus-4", Some("opus-4")),
            ("*", "anything", Some("anything")),
            ("*-mini", "gpt-4o-mini", Some("gpt-4o")),
            ("a*b*c", "a1b2c", Some("1")),
            ("a*b*c", "a1c2b", None),
            ("a*a", "a", None),
            ("exact", "exact", Some("")),
            ("exact", "exactly", None),
            ("é*ü", "éñü", Some("ñ")),
        ] {
            assert_eq!(captured(pattern, name), star, "{pattern} {name}");
        }
    }
}
