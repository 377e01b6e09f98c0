//! The reports: what they say, and that nothing from outside gets into them as code.

use freehold_planner::{Answers, report};

use crate::world::World;

fn world() -> World {
    World::new(&[
        ("chat <script>alert(1)</script>", 900, 300),
        ("sum\u{1b}[2J", 4_000, 120),
    ])
    .hosted_at(0.2, 0.6)
}

#[test]
fn the_screen_has_the_verdict_first_and_no_control_characters() {
    let told = report::text(&world().real().unwrap());
    assert!(told.starts_with("RENT. ") || told.starts_with("OWN. ") || told.starts_with("SPLIT. "));
    assert!(
        !told.chars().any(|c| c.is_control() && c != '\n'),
        "{told:?}"
    );
    for part in [
        "unproven",
        "vendor/big",
        "host/open-8b",
        "Pays back",
        "Next",
        "hangs on",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    assert!(told.lines().count() <= 50, "{} lines", told.lines().count());
}

#[test]
fn the_page_needs_nothing_and_runs_nothing() {
    let mut answers = Answers::default();
    answers.give("core", "yes").unwrap();
    let mut world = world();
    world.answers = answers.clone();
    let page = report::html(&world.real().unwrap(), &answers, "a <b>trace</b>").unwrap();
    if let Some(path) = std::env::var_os("FREEHOLD_SHOW_REPORT") {
        std::fs::write(path, &page).unwrap();
    }
    for forbidden in [
        "<script", "http://", "https://", "src=", "<link", "@import", "url(", "\u{1b}",
    ] {
        assert!(!page.contains(forbidden), "{forbidden} in the page");
    }
    assert_eq!(page.matches("<svg").count(), 3);
    assert_eq!(page.matches("</svg>").count(), 3);
    assert!(!page.contains("NaN") && !page.contains("inf\""));
    for part in [
        "unproven",
        "Assumptions and sources",
        "What was not modelled",
        "Flow by flow",
        "run_fte",
        "a &lt;b&gt;",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert!(page.contains("yes: control over models"));
}
