//! Undoes escapes in place: `%41`, `&#65;`, `\u0041`, `\x41`, and JSON's `\n` and `\"`.
//!
//! For looking, not for parsing: what is no escape stays as it is.

use std::ops::Range;

use memchr::memchr3_iter;

use super::map::View;

/// Named references of HTML for what can stand in an identifier or next to one (WHATWG, HTML, named
/// character references). Letters and digits have no names.
const NAMED: &[(&str, &str)] = &[
    ("amp", "&"),
    ("AMP", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("ensp", " "),
    ("emsp", " "),
    ("thinsp", " "),
    ("commat", "@"),
    ("period", "."),
    ("comma", ","),
    ("colon", ":"),
    ("semi", ";"),
    ("sol", "/"),
    ("bsol", "\\"),
    ("lowbar", "_"),
    ("hyphen", "-"),
    ("dash", "-"),
    ("ndash", "-"),
    ("mdash", "-"),
    ("minus", "-"),
    ("plus", "+"),
    ("equals", "="),
    ("percnt", "%"),
    ("num", "#"),
    ("lpar", "("),
    ("rpar", ")"),
    ("excl", "!"),
    ("quest", "?"),
    ("ast", "*"),
    ("verbar", "|"),
    ("vert", "|"),
    ("Tab", "\t"),
    ("NewLine", "\n"),
    ("shy", ""),
    ("zwj", ""),
    ("zwnj", ""),
    ("ZeroWidthSpace", ""),
    ("NoBreak", ""),
    ("lrm", ""),
    ("rlm", ""),
];

/// Longest reference, `&` and `;` not counted.
const REFERENCE_BYTES_MAX: usize = 16;

/// What one escape stands for, and where it ends.
struct Escape {
    plain: String,
    end: usize,
    /// Whether only a parser of JSON would take it as one.
    is_json_only: bool,
}

/// The text without escapes; `None` when none is worth undoing. In text that is JSON (`is_json`) each
/// is: elsewhere a `\n` is as good as a space.
pub(super) fn unescape(text: &str, is_json: bool) -> Option<View> {
    let mut view = View::default();
    let mut done = 0;
    let mut is_worth = false;
    for at in memchr3_iter(b'%', b'&', b'\\', text.as_bytes()) {
        if at < done {
            continue;
        }
        let Some(escape) = escape(text, at) else {
            continue;
        };
        if escape.is_json_only && !is_json {
            continue;
        }
        is_worth |= is_json || matters(text, at, &escape);
        view.copy(text, done..at);
        put(&mut view, &escape.plain, at..escape.end);
        done = escape.end;
    }
    if !is_worth {
        return None;
    }
    view.copy(text, done..text.len());
    Some(view)
}

/// Whether an escape can hide a part of something, or another escape.
fn matters(text: &str, at: usize, escape: &Escape) -> bool {
    let hides = |char: char| !char.is_ascii() || char.is_alphanumeric() || "@%&\\".contains(char);
    let is_near =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'@');
    let bytes = text.as_bytes();
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    match escape.plain.as_str() {
        // `&amp;` is everywhere; an escape behind it is not.
        "&" => {
            matches!(bytes.get(escape.end), Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'#')
        }
        plain => plain.chars().any(hides) || is_near(before) || is_near(bytes.get(escape.end)),
    }
}

fn put(view: &mut View, plain: &str, range: Range<usize>) {
    // Character by character, so that a finding within covers no more than it must; `%XX` takes three
    // bytes for each of the plain ones.
    let is_percent = range.len() == 3 * plain.len();
    if !is_percent {
        view.put(plain, range);
        return;
    }
    for (place, char) in plain.char_indices() {
        let start = range.start + 3 * place;
        view.put_char(char, start..start + 3 * char.len_utf8());
    }
}

fn escape(text: &str, at: usize) -> Option<Escape> {
    match text.as_bytes()[at] {
        b'%' => percent(text.as_bytes(), at),
        b'&' => reference(text, at),
        _ => backslash(text.as_bytes(), at),
    }
}

/// A run of `%XX`, together so that characters of several bytes come out whole.
fn percent(bytes: &[u8], at: usize) -> Option<Escape> {
    let mut plain = Vec::new();
    let mut end = at;
    while bytes.get(end) == Some(&b'%') {
        let Some(byte) = bytes.get(end + 1..end + 3).and_then(hex) else {
            break;
        };
        plain.push(u8::try_from(byte).ok()?);
        end += 3;
    }
    if plain.is_empty() {
        return None;
    }
    // Bytes that are no text are taken one by one, so that they hide nothing after them.
    let plain = String::from_utf8(plain)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|byte| latin(*byte)).collect());
    Some(Escape {
        plain,
        end,
        is_json_only: false,
    })
}

/// ASCII as it is, anything else as something that hides nothing.
fn latin(byte: u8) -> char {
    if byte.is_ascii() {
        char::from(byte)
    } else {
        '?'
    }
}

fn reference(text: &str, at: usize) -> Option<Escape> {
    let bytes = text.as_bytes();
    let limit = bytes.len().min(at + 1 + REFERENCE_BYTES_MAX);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'#';
    let length = bytes[at + 1..limit]
        .iter()
        .take_while(|byte| is_part(byte))
        .count();
    let name = &text[at + 1..at + 1 + length];
    let has_end = bytes.get(at + 1 + length) == Some(&b';');
    let end = at + 1 + length + usize::from(has_end);
    let plain = if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        char::from_u32(code)?.to_string()
    } else if has_end {
        let (_, plain) = NAMED.iter().find(|(known, _)| *known == name)?;
        (*plain).to_owned()
    } else {
        return None;
    };
    Some(Escape {
        plain,
        end,
        is_json_only: false,
    })
}

fn backslash(bytes: &[u8], at: usize) -> Option<Escape> {
    let one = |char: char, length: usize, is_json_only: bool| {
        Some(Escape {
            plain: char.to_string(),
            end: at + length,
            is_json_only,
        })
    };
    match bytes.get(at + 1)? {
        b'u' if bytes.get(at + 2) == Some(&b'{') => {
            let close = bytes[at + 3..]
                .iter()
                .take(8)
                .position(|byte| *byte == b'}')?;
            let code = hex(&bytes[at + 3..at + 3 + close])?;
            one(char::from_u32(code)?, close + 4, false)
        }
        b'u' => unicode(bytes, at),
        b'U' => one(
            char::from_u32(hex(bytes.get(at + 2..at + 10)?)?)?,
            10,
            false,
        ),
        b'x' => one(char::from_u32(hex(bytes.get(at + 2..at + 4)?)?)?, 4, false),
        byte @ b'0'..=b'3' => {
            let digits = bytes.get(at + 2..at + 4)?;
            let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
            let value = |digit: u8| u32::from(digit - b'0');
            if !is_octal {
                return None;
            }
            let code = value(*byte) * 64 + value(digits[0]) * 8 + value(digits[1]);
            one(char::from_u32(code)?, 4, false)
        }
        b'n' => one('\n', 2, true),
        b'r' => one('\r', 2, true),
        b't' => one('\t', 2, true),
        b'"' => one('"', 2, true),
        b'/' => one('/', 2, true),
        b'\\' => one('\\', 2, true),
        _ => None,
    }
}

/// `\uXXXX`, or two of them that are the halves of one character.
fn unicode(bytes: &[u8], at: usize) -> Option<Escape> {
    let first = hex(bytes.get(at + 2..at + 6)?)?;
    let (code, length) = match first {
        0xd800..=0xdbff => {
            let second = bytes
                .get(at + 6..at + 12)
                .filter(|next| next.starts_with(b"\\u"));
            match second.and_then(|next| hex(&next[2..])) {
                Some(low @ 0xdc00..=0xdfff) => {
                    (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
                }
                _ => (0xfffd, 6),
            }
        }
        0xdc00..=0xdfff => (0xfffd, 6),
        code => (code, 6),
    };
    Some(Escape {
        plain: char::from_u32(code)?.to_string(),
        end: at + length,
        is_json_only: false,
    })
}

/// The value of up to eight hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_json: bool, expected: Option<&str>) {
        let view = unescape(text, is_json);
        assert_eq!(view.map(|view| view.text).as_deref(), expected, "{text}");
    }

    #[test]
    fn escapes_are_undone() {
        for (text, expected) in [
            ("%34%31%31%31", "4111"),
            ("a%40b%2Ec%C3%A9", "a@b.cé"),
            ("%ff%34", "?4"),
            ("&#52;&#x31;&#X31;1", "4111"),
            ("a&commat;b", "a@b"),
            ("4&#49 1", "41 1"),
            ("4111&nbsp;1111", "4111 1111"),
            ("4&ZeroWidthSpace;1", "41"),
            (r"\u0034\x31\u{31}\U00000031\061", "41111"),
            (r"\ud83d\ude00 4\u0031", "😀 41"),
            ("&amp;#52;", "&#52;"),
            ("%2534", "%34"),
        ] {
            check(text, false, Some(expected));
        }
    }

    #[test]
    fn what_hides_nothing_stays() {
        for text in [
            "plain",
            "100 % of 5%",
            "R&D, AT&T; a &amp; b &lt;p&gt;",
            "&amp; &nbsp;",
            r"C:\new\table \d+\. \x \u12 \ud83",
            "%zz %4",
            "&#; &#x; &#99999999;",
        ] {
            check(text, false, None);
        }
        check(r#"a\n\"b\" \\ \/"#, true, Some("a\n\"b\" \\ /"));
        check(r"a\n4", false, None);
        check(r"\ud83d! \udc00", true, Some("\u{fffd}! \u{fffd}"));
    }

    #[test]
    fn ranges_lead_back() {
        let text = "x %34%31%C3%A9 y&#52;z";
        let view = unescape(text, false).unwrap();
        let source = |what: &str| {
            let at = view.text.find(what).unwrap();
            &text[view.source(&(at..at + what.len()))]
        };
        assert_eq!(source("1"), "%31");
        assert_eq!(source("41é"), "%34%31%C3%A9");
        assert_eq!(source("y4z"), "y&#52;z");
    }
}
