//! The gateway's configuration file. Whatever stands in it, it means something that can be run, or is refused in words
//! that point into the text.
#![no_main]

use std::collections::HashSet;

use freehold_config::{ConfigError, Environment, Overrides, Settings, Source};
use freehold_types::Perimeter;
use libfuzzer_sys::fuzz_target;
use miette::{GraphicalReportHandler, GraphicalTheme};

fuzz_target!(|text: &str| {
    // Files that it names are read: none of them may be a terminal or a pipe that waits for somebody.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let source = Source {
        path: None,
        text: text.to_owned(),
    };
    let environment = Environment::bare("/nonexistent");
    for sealed in [false, true] {
        let overrides = Overrides {
            sealed,
            ..Overrides::default()
        };
        match source.settings(&overrides, &environment) {
            Ok(settings) => sound(&settings, sealed),
            Err(error) => told(&error, text),
        }
    }
});

/// What the rest of the program relies on.
fn sound(settings: &Settings, sealed: bool) {
    let exposed = !settings.listen.ip().is_loopback();
    assert!(!(exposed && settings.keys.is_empty()), "open to strangers");
    let outside = settings
        .hosted
        .iter()
        .flat_map(|entry| &entry.deployments)
        .any(|deployment| deployment.site.perimeter == Perimeter::Outside);
    assert!(!(sealed && outside), "sealed, and a deployment outside");
    assert!(settings.connections_max > 0);
    let _ = settings.bounds();
    let names: HashSet<_> = settings.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names.len(), settings.keys.len(), "two keys of one name");
}

/// An error can be shown, and its place lies in the text.
fn told(error: &ConfigError, text: &str) {
    let ConfigError::Wrong { message, place, .. } = error else {
        panic!("no file was read: {error:?}");
    };
    assert!(!message.is_empty(), "refused without a word");
    if let Some(place) = place {
        let end = place.offset() + place.len();
        assert!(end <= text.len(), "{place:?} lies behind the text");
    }
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    let mut shown = String::new();
    let rendered = handler.render_report(&mut shown, error);
    assert!(rendered.is_ok() && !shown.is_empty(), "{error:?}");
}
