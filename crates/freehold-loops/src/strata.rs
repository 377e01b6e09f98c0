//! What a request is like, in the words that strata of proofs and of data sets have.

/// How much of a text tells its language.
const LOOKED_AT_CHARS: usize = 2_000;
/// Fewer letters tell no language.
const LETTERS_MIN: usize = 12;

/// The language of a text as ISO 639-3 has it (`deu`); `None` when it cannot be told.
pub fn language(text: &str) -> Option<&'static str> {
    let end = text.char_indices().nth(LOOKED_AT_CHARS);
    let text = &text[..end.map_or(text.len(), |(at, _)| at)];
    let letters = text.chars().filter(|letter| letter.is_alphabetic());
    if letters.take(LETTERS_MIN).count() < LETTERS_MIN {
        return None;
    }
    let told = whatlang::detect(text).filter(whatlang::Info::is_reliable);
    told.map(|told| told.lang().code())
}

/// A difficulty from 0 to 1 as one of three words.
pub fn difficulty(difficulty: f64) -> &'static str {
    match difficulty {
        easy if easy < 1.0 / 3.0 => "easy",
        medium if medium < 2.0 / 3.0 => "medium",
        _ => "hard",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_told_by_enough_letters_or_not_at_all() {
        let german = "Fasse den folgenden Bericht bitte in drei kurzen Sätzen zusammen.";
        assert_eq!(language(german), Some("deu"));
        let english = "Please summarise the following report in three short sentences.";
        assert_eq!(language(english), Some("eng"));
        for short in ["", "ja", "12 + 30 = 42?", "Bitte sehr."] {
            assert_eq!(language(short), None, "{short}");
        }
        // Only the beginning counts, and it is cut between characters.
        let long = format!("{}{}", german.repeat(40), english.repeat(400));
        assert_eq!(language(&long), Some("deu"));
    }

    #[test]
    fn difficulties_have_three_words() {
        let words = [0.0, 0.33, 0.34, 0.66, 0.67, 1.0].map(difficulty);
        assert_eq!(words, ["easy", "easy", "medium", "medium", "hard", "hard"]);
    }
}
