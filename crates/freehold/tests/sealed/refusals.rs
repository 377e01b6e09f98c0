//! What a sealed gateway does not even start with.

use crate::gateway::{VENDORS, freehold, told};

#[track_caller]
fn refused(config: &str, arguments: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = freehold(&folder, config);
    command
        .arg("serve")
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .envs(VENDORS);
    let (output, text) = told(&mut command);
    assert!(!output.status.success(), "{text}");
    // The report is wrapped to the width of a terminal.
    let flat = text
        .split_whitespace()
        .filter(|word| *word != "│")
        .collect::<Vec<_>>()
        .join(" ");
    for words in words {
        assert!(flat.contains(words), "{words}: {text}");
    }
}

#[test]
fn an_outside_backend_is_refused_at_its_line() {
    let backends = "backends:\n  rented:\n    type: openai\n";
    let words = [
        "rented",
        "api.openai.com",
        "is outside, and the perimeter is sealed",
        "remove it",
    ];
    refused(&format!("perimeter: sealed\n{backends}"), &[], &words);
    refused(
        &format!("perimeter: sealed\n{backends}"),
        &[],
        &["freehold.yaml:4:"],
    );
    refused(backends, &["--sealed"], &words);
    refused(backends, &["--sealed"], &["freehold.yaml:3:"]);
}

#[test]
fn addresses_that_hide_are_seen_through() {
    for (url, words) in [
        ("http://0xa9fea9fe/v1", "169.254.169.254 is never dialled"),
        ("http://[::ffff:169.254.169.254]/v1", "is never dialled"),
        (
            "http://3405803777/v1",
            "203.0.113.1 is in none of the networks of `outbound.allow`",
        ),
    ] {
        let config = format!(
            "perimeter: sealed\noutbound: {{allow: [10.0.0.0/8]}}\nbackends:\n  \
             gpu: {{type: vllm, base_url: '{url}', models: [{{name: m}}]}}\n"
        );
        refused(&config, &[], &[words, "freehold.yaml:4:"]);
    }
}
