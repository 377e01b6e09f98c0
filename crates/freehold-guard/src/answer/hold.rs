//! How much of a text that is still being written can be looked at for good.

/// A word without an end is looked at in pieces of this many bytes.
pub(super) const WORD_BYTES_MAX: usize = 4 * 1024;
/// Words that may belong together are held until there are this many bytes of them.
const RUN_BYTES_MAX: usize = 512;
/// Between the words of a name, a number or an address stand at most so many short ones ("de la").
const LINKS_MAX: usize = 2;
/// Words up to this many bytes link others.
const LINK_BYTES_MAX: usize = 3;

/// The end of what no further text can change: behind it stand the last word, which may grow, and
/// the words before it that may belong to it (parts of numbers, names, addresses).
///
/// Never further than [`WORD_BYTES_MAX`] from the end.
pub(super) fn settled(text: &str) -> usize {
    let last_word = words_from_end(text).next().map_or(0, |(start, _)| start);
    if text.len() - last_word > WORD_BYTES_MAX {
        return text.len();
    }
    let mut settled = last_word;
    let mut links = 0;
    for (start, word) in words_from_end(&text[..last_word]) {
        if text.len() - start > RUN_BYTES_MAX {
            break;
        }
        if belongs(word) {
            settled = start;
            links = 0;
        } else if word.len() <= LINK_BYTES_MAX && links < LINKS_MAX {
            links += 1;
        } else {
            break;
        }
    }
    settled
}

/// The words of a text from its end, each with where it begins. The last one is empty when the text
/// ends with a space.
fn words_from_end(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let before = rest?;
        let mut ends = before.char_indices().rev();
        let start = match ends.find(|(_, letter)| is_end(*letter)) {
            None => 0,
            // Where words are not spaced, each letter is one.
            Some((at, letter))
                if !letter.is_whitespace() && at + letter.len_utf8() == before.len() =>
            {
                at
            }
            Some((at, letter)) => at + letter.len_utf8(),
        };
        rest = (start > 0).then(|| before[..start].trim_end_matches(char::is_whitespace));
        Some((start, &before[start..]))
    })
}

/// Whether a word ends with this letter: with spaces, and where words are not spaced at all.
fn is_end(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(letter,
            '\u{0e00}'..='\u{0e7f}'       // Thai
            | '\u{2e80}'..='\u{9fff}'     // Chinese and Japanese
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}')
}

/// Whether what is told in several words may begin or go on with this one.
fn belongs(word: &str) -> bool {
    word.chars().all(|letter| !letter.is_alphabetic())
        || word
            .chars()
            .any(|letter| letter.is_numeric() || letter.is_uppercase() || letter == '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_on_is_held() {
        for (text, held) in [
            ("plain words and mo", "mo"),
            ("plain words ", ""),
            ("call +1 (415) 555", "+1 (415) 555"),
            ("call +1 (415) 555 ", "+1 (415) 555 "),
            ("IBAN GB82 WEST 1234 ", "IBAN GB82 WEST 1234 "),
            ("met Maria de la ", "Maria de la "),
            ("met Maria de la Cruz y", "Maria de la Cruz y"),
            ("so it is on us ", ""),
            ("電話は 03", "03"),
        ] {
            assert_eq!(&text[settled(text)..], held, "{text}");
        }
    }

    #[test]
    fn not_everything_is_held() {
        let numbers = "1234 ".repeat(1_000);
        assert!(numbers.len() - settled(&numbers) <= RUN_BYTES_MAX + 5);
        let word = "x".repeat(WORD_BYTES_MAX + 1);
        assert_eq!(settled(&word), word.len());
    }
}
