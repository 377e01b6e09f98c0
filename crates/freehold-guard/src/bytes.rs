//! Classes of bytes, looked up: one load says of a byte what several comparisons would.

/// A set of classes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(u8);

/// `0` to `9`.
pub(crate) const DIGIT: Class = Class(1);
/// `a` to `z`.
pub(crate) const LOWER: Class = Class(1 << 1);
/// `A` to `Z`.
pub(crate) const UPPER: Class = Class(1 << 2);
/// Space, tabulator, line end.
pub(crate) const BLANK: Class = Class(1 << 3);
/// `-` and `_`.
pub(crate) const DASH: Class = Class(1 << 4);
/// `.` and `@`.
pub(crate) const DOT_OR_AT: Class = Class(1 << 5);
/// `+` and `/`, which base64 has beside letters and digits.
pub(crate) const PLUS_OR_SLASH: Class = Class(1 << 6);
/// The bytes of characters beyond ASCII.
pub(crate) const WIDE: Class = Class(1 << 7);

pub(crate) const LETTER: Class = LOWER.or(UPPER);
pub(crate) const ALPHANUMERIC: Class = LETTER.or(DIGIT);

static CLASSES: [Class; 256] = {
    let mut classes = [Class(0); 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let class = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b' ' | b'\t' | b'\n' | b'\r' => BLANK,
            b'-' | b'_' => DASH,
            b'.' | b'@' => DOT_OR_AT,
            b'+' | b'/' => PLUS_OR_SLASH,
            0x80.. => WIDE,
            _ => Class(0),
        };
        classes[byte] = class;
        byte += 1;
    }
    classes
};

impl Class {
    pub(crate) const fn of(byte: u8) -> Self {
        CLASSES[byte as usize]
    }

    /// Either.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of these classes is another's, too.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a byte is of one of these classes.
    pub(crate) const fn has(self, byte: u8) -> bool {
        Self::of(byte).meets(self)
    }

    /// Where the run of such bytes ends that begins at a place.
    pub(crate) fn run_end(self, bytes: &[u8], from: usize) -> usize {
        let mut at = from;
        while at < bytes.len() && self.has(bytes[at]) {
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_standard_library() {
        for byte in 0..=u8::MAX {
            assert_eq!(DIGIT.has(byte), byte.is_ascii_digit());
            assert_eq!(LOWER.has(byte), byte.is_ascii_lowercase());
            assert_eq!(UPPER.has(byte), byte.is_ascii_uppercase());
            assert_eq!(LETTER.has(byte), byte.is_ascii_alphabetic());
            assert_eq!(ALPHANUMERIC.has(byte), byte.is_ascii_alphanumeric());
            assert_eq!(BLANK.has(byte), b" \t\n\r".contains(&byte));
            assert_eq!(WIDE.has(byte), !byte.is_ascii());
        }
    }

    #[test]
    fn a_run_ends_where_another_class_begins() {
        assert_eq!(ALPHANUMERIC.run_end(b"ab1-c", 0), 3);
        assert_eq!(ALPHANUMERIC.run_end(b"ab1-c", 4), 5);
        assert_eq!(ALPHANUMERIC.run_end(b"ab1-c", 5), 5);
        assert_eq!(BLANK.run_end(b"ab", 0), 0);
    }
}
