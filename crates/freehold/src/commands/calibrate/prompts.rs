//! Prompts and lengths by a seed: all different from their first word on, so that no prefix cache helps.

/// Words that most tokenisers have whole.
const WORDS: [&str; 64] = [
    "water", "stone", "green", "house", "river", "night", "paper", "table", "light", "north",
    "sound", "horse", "glass", "field", "cloud", "bread", "chair", "music", "train", "plant",
    "metal", "ocean", "smoke", "wheel", "sugar", "tower", "voice", "winter", "summer", "garden",
    "market", "silver", "yellow", "bridge", "forest", "island", "letter", "mirror", "number",
    "orange", "pencil", "planet", "rabbit", "school", "shadow", "street", "valley", "window",
    "answer", "basket", "butter", "candle", "circle", "corner", "desert", "engine", "farmer",
    "finger", "flower", "friend", "hammer", "height", "ladder", "travel",
];

/// Keeps models writing until they are stopped.
const TASK: &str = "\n\nWrite a very long story in which each of these words occurs. Do not stop.";

/// Fewer words could be the same twice.
const WORDS_MIN: f64 = 4.0;

/// Of the shortest prompt (or answer) against the longest.
const SHORTEST: f64 = 1.0 / 16.0;

/// Prompt number `index` with `words` words.
pub(super) fn prompt(seed: u64, index: u64, words: u32) -> String {
    let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index);
    let words = words.max(1) as usize;
    let mut text = String::with_capacity(words * 7 + TASK.len());
    for place in 0..words {
        if place > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[random.usize(..WORDS.len())]);
    }
    text.push_str(TASK);
    text
}

/// Tokens of prompt and answer number `index`: even on a logarithmic scale up to the longest, and independent of
/// each other (Halton's sequence of bases 2 and 3).
pub(super) fn lengths(index: u32, input_max: u32, output_max: u32) -> (u32, u32) {
    let between = |longest: u32, place: f64| {
        let longest = f64::from(longest);
        (longest * SHORTEST.powf(1.0 - place)).round().max(1.0) as u32
    };
    (
        between(input_max, halton(index + 1, 2)),
        between(output_max, halton(index + 1, 3)),
    )
}

fn halton(mut index: u32, base: u32) -> f64 {
    let (mut sum, mut digit) = (0.0, 1.0);
    while index > 0 {
        digit /= f64::from(base);
        sum += digit * f64::from(index % base);
        index /= base;
    }
    sum
}

/// How many tokens words make, from two prompts that the server counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tokens {
    per_word: f64,
    beside: f64,
}

impl Tokens {
    /// From (words, tokens) of a short and a long prompt; nothing when the server counts no words.
    pub(super) fn from(short: (u32, u32), long: (u32, u32)) -> Option<Self> {
        let words = f64::from(long.0) - f64::from(short.0);
        let per_word = (f64::from(long.1) - f64::from(short.1)) / words;
        let is_sound = per_word.is_finite() && (0.1..100.0).contains(&per_word);
        is_sound.then(|| Self {
            per_word,
            beside: f64::from(short.1) - per_word * f64::from(short.0),
        })
    }

    /// Words of a prompt with about so many tokens.
    pub(super) fn words(&self, tokens: u32) -> u32 {
        ((f64::from(tokens) - self.beside) / self.per_word)
            .round()
            .max(WORDS_MIN) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_the_same_by_seed_and_begin_differently() {
        assert_eq!(prompt(1, 2, 30), prompt(1, 2, 30));
        let mut openings: Vec<String> = (0..500)
            .map(|index| prompt(1, index, 30).split(' ').take(8).collect())
            .collect();
        openings.sort();
        openings.dedup();
        assert_eq!(openings.len(), 500);
        assert_ne!(prompt(1, 2, 30), prompt(2, 2, 30));
    }

    #[test]
    fn lengths_are_spread_and_bounded() {
        let told: Vec<(u32, u32)> = (0..24).map(|index| lengths(index, 1_024, 128)).collect();
        assert!(
            told.iter().all(|(input, output)| {
                (64..=1_024).contains(input) && (8..=128).contains(output)
            })
        );
        let short = told.iter().filter(|(input, _)| *input < 256).count();
        assert!((10..=14).contains(&short), "{told:?}");
    }

    #[test]
    fn words_are_reckoned_from_two_counts() {
        let tokens = Tokens::from((10, 45), (110, 165)).unwrap();
        assert_eq!(tokens.words(45), 10);
        assert_eq!(tokens.words(645), 510);
        assert_eq!(tokens.words(1), 4);
        // A server that counts nothing, or backwards.
        assert_eq!(Tokens::from((10, 7), (110, 7)), None);
        assert_eq!(Tokens::from((10, 70), (110, 7)), None);
    }
}
