use freehold_types::Dialect;

use super::*;

const KEY: &str = "sk-proj-Zx81vQpLm3RtYw90aBcDeFgH";

fn scrubber() -> Scrubber {
    Scrubber::new(Some(&SecretString::from(KEY)))
}

fn scrubbed(text: &str) -> String {
    scrubber().scrub_text(text.to_owned())
}

#[test]
fn a_whole_key_is_removed_wherever_it_stands() {
    for (before, after) in [
        (KEY.to_owned(), "[redacted]"),
        (format!("key {KEY} is bad"), "key [redacted] is bad"),
        (format!("{KEY}{KEY}"), "[redacted]"),
        (format!("{{\"key\":\"{KEY}\"}}"), "{\"key\":\"[redacted]\"}"),
    ] {
        let clean = scrubbed(&before);
        assert!(!clean.contains("sk-proj"), "{clean}");
        assert_eq!(clean.replace("[redacted][redacted]", "[redacted]"), after);
    }
}

#[test]
fn every_piece_long_enough_to_matter_is_removed() {
    for start in 0..KEY.len() {
        for end in start + WINDOW_BYTES..=KEY.len() {
            let text = format!("it was {}...", &KEY[start..end]);
            assert_eq!(scrubbed(&text), "it was [redacted]...", "{start}..{end}");
        }
    }
}

#[test]
fn a_short_piece_or_none_leaves_the_text_alone() {
    let text = format!(
        "Incorrect API key: {}***{}",
        &KEY[..7],
        &KEY[KEY.len() - 4..]
    );
    assert_eq!(scrubbed(&text), text);
    assert!(scrubber().scrub_bytes(b"").is_none());
}

#[test]
fn base64_of_the_key_and_of_its_header_is_removed() {
    for plain in [KEY.to_owned(), format!("Bearer {KEY}")] {
        let encoded = STANDARD.encode(&plain);
        let clean = scrubbed(&format!("saw {encoded}!"));
        assert!(clean.starts_with("saw [redacted]"), "{clean}");
        assert!(clean.len() < "saw [redacted]".len() + 6, "{clean}");
    }
}

#[test]
fn placeholders_are_no_secrets() {
    let none = Scrubber::new(Some(&SecretString::from("EMPTY")));
    assert!(none.scrub_bytes(b"the list is EMPTY").is_none());
    assert!(!none.occurs_in(b"EMPTY"));
    assert!(Scrubber::new(None).scrub_bytes(b"anything").is_none());
}

#[test]
fn every_field_a_client_sees_is_scrubbed() {
    let mut error = Error::new(ErrorKind::InvalidRequest, format!("bad {KEY}"))
        .with_code(KEY)
        .with_param(format!("headers.{KEY}"));
    error.upstream_body = Some((Dialect::OpenaiChat, Bytes::from(format!("\"{KEY}\""))));
    let clean = scrubber().scrub(error);
    assert!(!format!("{clean:?}").contains("Zx81"), "{clean:?}");
    assert_eq!(
        clean.upstream_body,
        Some((Dialect::OpenaiChat, Bytes::from_static(b"\"[redacted]\"")))
    );
}

#[test]
fn nothing_of_a_text_about_credentials_is_kept() {
    let mut error = Error::new(ErrorKind::UpstreamAuth, "refused").with_code("bad_key_sk-p***FgH");
    error.upstream_body = Some((Dialect::OpenaiChat, Bytes::from_static(b"sk-p***FgH")));
    let clean = scrubber().scrub(error);
    assert_eq!((clean.upstream_body, clean.code), (None, None));
}
