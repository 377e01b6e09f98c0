//! docs/claims.md is what its command prints, and what a pocket calculator says.

use crate::page;

/// The figures of one row of a table.
fn row<'a>(page: &'a str, section: &str, begins: &str) -> Vec<&'a str> {
    let section = &page[page.find(section).unwrap()..];
    let line = section.lines().find(|line| line.starts_with(begins));
    line.unwrap()
        .split(" | ")
        .map(|cell| cell.trim_matches(['|', ' ']))
        .collect()
}

#[test]
fn the_page_is_what_the_command_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/claims.md");
    let committed = std::fs::read_to_string(path).unwrap();
    let printed = page::page().unwrap();
    let differs = committed
        .lines()
        .zip(printed.lines())
        .find(|(old, new)| old != new);
    assert!(
        committed == printed,
        "docs/claims.md is out of date, first at {differs:?}: \
         run `cargo run --quiet -p freehold-planner --example claims > docs/claims.md`"
    );
    // The closed form by hand, at 2.60 dollars an hour and 3:1: 62.40 a day over the blended price.
    // Opus 4.7: (3 x 5 + 25) / 4 = 10: 6.24 million. GPT-5: (3 x 1.25 + 10) / 4 = 3.4375: 18.15 million.
    // GPT-3.5 turbo: (3 x 0.5 + 1.5) / 4 = 0.75: 83.2 million.
    for (name, price, tokens) in [
        ("| Claude Opus 4.7", "$10.00", "6.24 million"),
        ("| GPT-5 ->", "$3.44", "18.2 million"),
        ("| GPT-3.5 turbo", "$0.750", "83.2 million"),
    ] {
        assert_eq!(
            row(&printed, "## Break-even volumes", name)[1..3],
            [price, tokens]
        );
    }
    let words = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    // A year's salary of 200,000 over 24 months.
    assert!(words.contains("the rent exceeds GPUs by $8,330 a month"));
    // 6 / 52 of it.
    assert!(words.contains("Six of them cost $23,100"));
    // Ten million tokens on each of 30.4375 days, at 10 dollars a million: 3,043.75, give or take the sample.
    let rent = row(&printed, "### E2.", "| Claude Opus 4.7")[3].replace(['$', ','], "");
    assert!(
        (rent.parse::<f64>().unwrap() / 3_043.75 - 1.0).abs() < 0.02,
        "{rent}"
    );
    // An agent's prompt of 2,000 tokens and 200 written: 0.01 + 0.005. Twenty steps read
    // 20 x 2,000 + 700 x 190 = 173,000 and write 4,000: 0.865 + 0.1.
    let agent = row(&printed, "### E3.", "| Claude Opus 4.7");
    assert_eq!((agent[1], agent[3]), ("$0.015", "$0.965"));
    assert!(
        printed.lines().all(|line| line.starts_with('|')
            || line.starts_with('#')
            || line.chars().count() <= 120)
    );
}

#[test]
fn closed_forms_are_those_worked_out_before_there_was_a_planner() {
    // One H100 at 2.95 an hour is 70.80 a day; million tokens a day at blended prices of 3:1.
    for (blended, tokens) in [(10.0, 7.08e6), (3.4375, 20.596e6), (0.75, 94.4e6)] {
        let told = page::evens::closed_form(2.95, blended);
        assert!((told / tokens - 1.0).abs() < 1e-3, "{told}");
    }
    // With a quarter of 200,000 a year, 50,000 / 365.25 = 136.89 a day more: 20.8 and 60.4 million.
    let hour = 2.95 + 50_000.0 / 8_766.0;
    for (blended, tokens) in [(10.0, 20.77e6), (3.4375, 60.42e6)] {
        let told = page::evens::closed_form(hour, blended);
        assert!((told / tokens - 1.0).abs() < 1e-3, "{told}");
    }
    // The hosted Llama-3.1-8B of the book: 1,232 million at 0.0575.
    let book = freehold_cost::PriceBook::bundled();
    let at = page::world::PRICES_AT_UNIX_MS;
    let card =
        freehold_planner::find(&book, "openrouter/meta-llama/llama-3.1-8b-instruct", at).unwrap();
    let blended = (3.0 * card.tiers[0].input + card.tiers[0].output) / 4.0;
    let told = page::evens::closed_form(2.95, blended);
    assert!((told / (70.8 / blended * 1e6) - 1.0).abs() < 1e-9);
    assert!((1_000e6..1_500e6).contains(&told), "{told}");
}
