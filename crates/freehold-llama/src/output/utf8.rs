//! Holds back incomplete characters.

/// Turns bytes into text; a character that is split over tokens waits until it is whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Utf8Buffer {
    pending: Vec<u8>,
}

impl Utf8Buffer {
    /// Adds bytes and returns the characters that are whole. Impossible bytes become U+FFFD.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(invalid) = error.error_len() else {
                        rest = after;
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[invalid..];
                }
            }
        }
        let kept = rest.len();
        self.pending.drain(..self.pending.len() - kept);
        text
    }

    /// What is left at the end, made into text.
    pub(crate) fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_text() {
        let text = "aä€𝄞 👩‍👩‍👧 z";
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut buffer = Utf8Buffer::default();
                let mut joined = String::new();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    joined.push_str(&buffer.push(piece));
                }
                joined.push_str(&buffer.finish());
                assert_eq!(joined, text);
            }
        }
    }

    #[test]
    fn impossible_bytes_do_not_block_the_rest() {
        let mut buffer = Utf8Buffer::default();
        assert_eq!(buffer.push(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
        assert_eq!(buffer.push(b"\xe2\x82"), "");
        assert_eq!(buffer.push(b"x"), "\u{fffd}x");
        assert_eq!(buffer.push(b"\xf0\x9f"), "");
        assert_eq!(buffer.finish(), "\u{fffd}");
        assert_eq!(buffer.finish(), "");
    }
}
