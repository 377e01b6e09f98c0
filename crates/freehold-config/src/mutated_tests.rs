//! Whatever stands in the file, it means something or is refused with words that can be shown. These mutants are drawn
//! from a seed with every run of the tests, `FREEHOLD_MUTANTS` sets how many; `fuzz/fuzz_targets/config.rs` looks where
//! they do not get.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

const MUTANTS: u64 = 2_000;

/// A bit of everything: what mutants are made of, and what the fuzzer begins with.
const TEXT: &str = include_str!("../../../fuzz/seeds/config/a_bit_of_everything.yaml");

/// What else it begins with.
const SEEDS: [&str; 2] = [
    include_str!("../../../fuzz/seeds/config/bench.yaml"),
    include_str!("../../../fuzz/seeds/config/operators.yaml"),
];

/// What may stand anywhere.
const BITS: [&str; 24] = [
    "-1",
    "0",
    "1e308",
    ".nan",
    "18446744073709551616",
    "\"\"",
    "null",
    "~",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "\t",
    "\n",
    "&a ",
    "*a",
    "!!binary ",
    "|\n",
    "${HOME}",
    "${",
    "ü\u{200d}🦀",
    "\u{feff}",
];

fn mutant(random: &mut fastrand::Rng) -> String {
    let mut text = TEXT.to_owned();
    for _ in 0..random.usize(1..4) {
        let from = text.floor_char_boundary(random.usize(0..=text.len()));
        let to =
            text.floor_char_boundary((from + [0, 1, 4, 30][random.usize(0..4)]).min(text.len()));
        match random.u8(0..5) {
            0 => text.replace_range(from..to, ""),
            1 => text.insert_str(from, BITS[random.usize(0..BITS.len())]),
            2 => text.replace_range(from..to, BITS[random.usize(0..BITS.len())]),
            3 => {
                let copied = text[from..to].repeat(random.usize(1..4));
                text.insert_str(to, &copied);
            }
            _ => {
                let mut lines: Vec<_> = text.lines().collect();
                if !lines.is_empty() {
                    let at = random.usize(0..lines.len());
                    let line = lines.remove(at);
                    lines.insert(random.usize(0..=lines.len()), line);
                }
                text = lines.join("\n");
            }
        }
    }
    text
}

fn settings(text: String) -> Result<Settings, ConfigError> {
    let source = Source { path: None, text };
    source.settings(&Overrides::default(), &Environment::bare("/nonexistent"))
}

#[test]
fn what_the_fuzzer_begins_with_can_be_run() {
    for text in SEEDS.into_iter().chain([TEXT]) {
        let error = settings(text.to_owned()).err();
        assert!(error.is_none(), "{error:?}");
    }
}

#[test]
fn whatever_stands_in_the_file_means_something_or_is_refused_in_words() {
    let many = std::env::var("FREEHOLD_MUTANTS").map_or(MUTANTS, |many| many.parse().unwrap());
    let shown = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    let (mut meant, mut refused) = (0, 0);
    for seed in 0..many {
        let text = mutant(&mut fastrand::Rng::with_seed(seed));
        match settings(text.clone()) {
            Ok(_) => meant += 1,
            Err(error) => {
                refused += 1;
                let mut words = String::new();
                let rendered = shown.render_report(&mut words, &error);
                assert!(
                    rendered.is_ok() && words.len() > 10,
                    "seed {seed}: {error:?}\n{text}"
                );
            }
        }
    }
    // Both happen, or the mutants are too tame or too wild.
    assert!(
        meant > many / 100 && refused > many / 4,
        "{meant} meant something, {refused} did not"
    );
}
