//! Normalises a text: what looks alike becomes alike, what cannot be seen disappears.

use unicode_normalization::char::compose;

use super::fold::{Fold, fold};
use super::map::View;

/// How far disguises are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// So that texts in any language stay texts: letters keep their marks, words of other scripts
    /// their letters.
    Gentle,
    /// All that resembles ASCII becomes ASCII; invisible tags disappear.
    Hard,
}

/// A normalised text.
#[derive(Debug)]
pub(super) struct Normal {
    pub(super) view: View,
    /// Whether the hard way would show more that could matter.
    pub(super) hides_more: bool,
    /// Whether an override turns the direction of writing.
    pub(super) turns: bool,
}

/// True for ASCII without control characters other than tabs and line ends.
pub(super) fn is_plain(text: &str) -> bool {
    let is_odd =
        |byte: u8| !(b' '..=b'~').contains(&byte) && !matches!(byte, b'\t' | b'\n' | b'\r');
    // In chunks, so that the compiler can look at many bytes at once.
    text.as_bytes()
        .chunks(64)
        .all(|chunk| !chunk.iter().fold(false, |odd, byte| odd | is_odd(*byte)))
}

/// The normalised text; `None` when it is normal as it stands.
pub(super) fn normalise(text: &str, depth: Depth) -> Option<Normal> {
    if is_plain(text) {
        return None;
    }
    let mut maker = Maker {
        text,
        depth,
        view: View::with_capacity(text.len()),
        foreign: None,
        hides_more: false,
        turns: false,
    };
    maker.run();
    Some(Normal {
        view: maker.view,
        hides_more: maker.hides_more,
        turns: maker.turns,
    })
}

struct Maker<'a> {
    text: &'a str,
    depth: Depth,
    view: View,
    /// Whether letters of other scripts stand in the text that look like nothing in ASCII; worked
    /// out when it is first asked.
    foreign: Option<bool>,
    hides_more: bool,
    turns: bool,
}

/// What stands in one word, from its first unusual character on.
#[derive(Default)]
struct Word {
    end: usize,
    has_ascii_letter: bool,
    has_digit: bool,
    has_lookalike: bool,
    has_foreign: bool,
    has_marked: bool,
    /// Whether all of it could be digits.
    is_number_like: bool,
    letters: usize,
}

/// Shorter words that could as well be Latin are common in Greek and Cyrillic, and name nothing.
const HIDDEN_LETTERS_MIN: usize = 3;

impl Maker<'_> {
    fn run(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let plain = bytes[at..]
                .iter()
                .position(|byte| !byte.is_ascii() || is_control(*byte))
                .map_or(bytes.len(), |length| at + length);
            self.view.copy(self.text, at..plain);
            at = plain;
            if at < bytes.len() {
                at = if bytes[at].is_ascii() {
                    at + 1
                } else {
                    self.word(at)
                };
            }
        }
    }

    /// Makes the word around the unusual character at `start`, from there on; returns its end.
    fn word(&mut self, start: usize) -> usize {
        let word = self.survey(start);
        let folds = word.has_lookalike && self.pretends(&word);
        if word.has_lookalike && !folds && !word.has_foreign && word.letters >= HIDDEN_LETTERS_MIN {
            self.hides_more = true;
        }
        let next = self.text.as_bytes().get(word.end);
        if word.has_marked && (word.has_digit || next == Some(&b'@')) {
            self.hides_more = true;
        }
        let mut at = start;
        while let Some(char) = self.text[at..word.end].chars().next() {
            let end = at + char.len_utf8();
            if char.is_ascii() {
                if !is_control(self.text.as_bytes()[at]) {
                    self.view.copy(self.text, at..end);
                }
            } else {
                self.char(char, at, end, folds, word.is_number_like);
            }
            at = end;
        }
        word.end
    }

    /// Whether the lookalikes of a word stand for what they look like.
    fn pretends(&mut self, word: &Word) -> bool {
        if self.depth == Depth::Hard || word.has_ascii_letter || word.has_digit {
            return true;
        }
        !word.has_foreign && !self.is_foreign()
    }

    fn is_foreign(&mut self) -> bool {
        let text = self.text;
        *self.foreign.get_or_insert_with(|| {
            // Ideographs say nothing about a word of Greek or Cyrillic.
            let is_foreign = |char: char| {
                !char.is_ascii() && u32::from(char) < 0x2e80 && *fold(char) == Fold::Letter
            };
            text.chars().any(is_foreign)
        })
    }

    fn survey(&self, start: usize) -> Word {
        let bytes = self.text.as_bytes();
        let before = bytes[..start].iter().rev();
        let prefix = before.take_while(|byte| byte.is_ascii_alphanumeric());
        let mut word = Word {
            is_number_like: true,
            ..Word::default()
        };
        // No number is longer, and words are looked back at only so far.
        for byte in prefix.take(40) {
            word.ascii(*byte);
        }
        let mut end = start;
        for char in self.text[start..].chars() {
            if let Ok(byte) = u8::try_from(char)
                && byte.is_ascii()
            {
                if is_control(byte) {
                } else if byte.is_ascii_alphanumeric() {
                    word.ascii(byte);
                } else {
                    break;
                }
            } else if !word.other(fold(char)) {
                // What ends a word is made with it when it is its first character.
                if end == start {
                    end += char.len_utf8();
                }
                break;
            }
            end += char.len_utf8();
        }
        word.end = end;
        word.is_number_like &= word.has_digit;
        word
    }

    fn char(&mut self, char: char, at: usize, end: usize, folds: bool, is_number: bool) {
        let range = at..end;
        let hard = self.depth == Depth::Hard;
        match fold(char) {
            Fold::Letter | Fold::Other => self.view.copy(self.text, range),
            Fold::Nothing => self.turns |= char == '\u{202e}',
            Fold::Always(plain) => self.view.put_char(*plain, range),
            Fold::Many(plain) => self.view.put(plain, range),
            Fold::Lookalike(plain) if folds => {
                let plain = match plain {
                    'O' | 'o' if is_number => '0',
                    'l' | 'I' if is_number => '1',
                    _ => *plain,
                };
                self.view.put_char(plain, range);
            }
            Fold::Marked(plain) if hard => self.view.put_char(*plain, range),
            Fold::Lookalike(_) | Fold::Marked(_) => self.view.copy(self.text, range),
            Fold::Mark => self.mark(char, at, end),
            Fold::Tag(_) if hard => {}
            Fold::Tag(plain) => {
                self.hides_more = true;
                self.view.put_char(*plain, range);
            }
        }
    }

    /// A mark joins the letter before it where Unicode has the two as one, and else disappears.
    fn mark(&mut self, mark: char, at: usize, end: usize) {
        if self.depth == Depth::Hard {
            return;
        }
        let Some(base) = self.view.text.chars().next_back() else {
            return;
        };
        if let Some(both) = compose(base, mark) {
            self.hides_more = true;
            self.view.replace_last(both, end);
        } else if !base.is_ascii() && !matches!(fold(base), Fold::Marked(_) | Fold::Other) {
            self.view.copy(self.text, at..end);
        }
    }
}

impl Word {
    fn ascii(&mut self, byte: u8) {
        if byte.is_ascii_digit() {
            self.has_digit = true;
        } else {
            self.has_ascii_letter = true;
            self.is_number_like = false;
        }
    }

    /// Takes in one character; false when it ends the word.
    fn other(&mut self, fold: &Fold) -> bool {
        self.letters += 1;
        match fold {
            Fold::Letter => {
                self.has_foreign = true;
                self.is_number_like = false;
            }
            Fold::Lookalike(plain) => {
                self.has_lookalike = true;
                self.is_number_like &= matches!(plain, 'O' | 'o' | 'l' | 'I' | '0'..='9');
            }
            Fold::Marked(_) => {
                self.has_marked = true;
                self.is_number_like = false;
            }
            Fold::Many(_) => self.is_number_like = false,
            Fold::Always(plain) | Fold::Tag(plain) => match u8::try_from(*plain) {
                Ok(byte) if byte.is_ascii_alphanumeric() => self.ascii(byte),
                _ => return plain.is_alphanumeric(),
            },
            Fold::Mark | Fold::Nothing => {}
            Fold::Other => return false,
        }
        true
    }
}

/// Control characters that show nothing.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gentle(text: &str) -> String {
        normalise(text, Depth::Gentle).map_or_else(|| text.to_owned(), |normal| normal.view.text)
    }

    fn hard(text: &str) -> String {
        normalise(text, Depth::Hard).map_or_else(|| text.to_owned(), |normal| normal.view.text)
    }

    #[test]
    fn texts_in_any_language_stay_texts() {
        for text in [
            "plain, with tab\t and line\r\n",
            "José Müller à Besançon, naïve",
            "Анна купила хлеб и сок в Москве",
            "Η Άννα μένει στην Αθήνα",
            "我的名字是王小明",
            "私の名前は田中です",
            "안녕하세요 김철수입니다",
            "मेरा नाम राम है",
            "kırmızı ışık",
            "😀 emoji 🎉",
        ] {
            assert_eq!(gentle(text), text);
        }
        assert!(normalise("plain", Depth::Hard).is_none());
    }

    #[test]
    fn disguises_come_off() {
        for (text, expected) in [
            ("４１１１ 1111", "4111 1111"),
            ("4\u{200b}1\u{200d}1\u{2060}1", "4111"),
            ("4\0 1\u{7f}1", "4 11"),
            ("4\u{336}1\u{336}1", "411"),
            ("4️⃣1️⃣", "41"),
            ("pаypal аnd ЅЅN", "paypal and SSN"),
            ("ЅЅ\u{39d}", "SSN"),
            ("4О12 4l1І", "4012 4l1I"),
            ("ivan＠exаmple．com", "ivan@example.com"),
            ("\u{e0034}\u{e0031}", "41"),
            ("4111–1111—1111\u{a0}1111", "4111-1111-1111 1111"),
            ("٤١١١", "4111"),
            ("e\u{301}", "é"),
            ("ﬁle №5", "file No5"),
        ] {
            assert_eq!(gentle(text), expected, "{text:?}");
        }
        assert_eq!(hard("Сара — ÁKÍÁ é"), "Capa - AKIA e");
        assert_eq!(hard("4\u{e0041}1"), "41");
    }

    #[test]
    fn what_the_gentle_way_leaves_is_told() {
        let hides = |text: &str| normalise(text, Depth::Gentle).is_some_and(|n| n.hides_more);
        assert!(!hides("José Müller, 4 é"));
        assert!(!hides("Жуки ждут"));
        assert!(hides("жук и сор"));
        assert!(hides("ghp_á1"));
        assert!(hides("josé@example.com"));
        assert!(hides("x\u{e0041}"));
    }

    #[test]
    fn ranges_lead_back() {
        let text = "é４\u{200b}１ x";
        let view = normalise(text, Depth::Gentle).unwrap().view;
        let at = view.text.find("41").unwrap();
        assert_eq!(&text[view.source(&(at..at + 2))], "４\u{200b}１");
        let text = "a e\u{301} b";
        let view = normalise(text, Depth::Gentle).unwrap().view;
        assert_eq!(view.text, "a é b");
        assert_eq!(&text[view.source(&(2..4))], "e\u{301}");
    }
}
