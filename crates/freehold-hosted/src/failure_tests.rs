use http::HeaderValue;

use super::*;
use crate::Catalogue;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

fn after(pairs: &[(&'static str, &str)]) -> Option<Duration> {
    // 1994-11-06 08:49:37, the moment of the RFC's examples.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    RetryAdvice::read(&headers(pairs), now).after
}

#[test]
fn every_form_of_retry_after_is_read() {
    let seconds = Duration::from_secs_f64;
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: &[(Pairs, Option<Duration>)] = &[
        (&[], None),
        (&[("retry-after", "7")], Some(seconds(7.0))),
        (&[("retry-after", " 1.5 ")], Some(seconds(1.5))),
        (&[("retry-after", "0")], Some(Duration::ZERO)),
        (&[("retry-after", "-3")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "inf")], None),
        (&[("retry-after", "nan")], None),
        (&[("retry-after", "1e300")], Some(PAUSE_MAX)),
        (
            &[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")],
            Some(seconds(10.0)),
        ),
        // Past: at once.
        (
            &[("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT")],
            Some(Duration::ZERO),
        ),
        // The upstream's clock is an hour behind ours: its own counts.
        (
            &[
                ("retry-after", "Sun, 06 Nov 1994 07:49:57 GMT"),
                ("date", "Sun, 06 Nov 1994 07:49:37 GMT"),
            ],
            Some(seconds(20.0)),
        ),
        (
            &[("retry-after", "Sat, 06 Nov 2094 08:49:47 GMT")],
            Some(PAUSE_MAX),
        ),
        (&[("retry-after-ms", "250")], Some(seconds(0.25))),
        // The finer one wins, unless it cannot be read.
        (
            &[("retry-after-ms", "250"), ("retry-after", "9")],
            Some(seconds(0.25)),
        ),
        (
            &[("retry-after-ms", "x"), ("retry-after", "9")],
            Some(seconds(9.0)),
        ),
    ];
    for (pairs, expected) in cases {
        assert_eq!(after(pairs), *expected, "{pairs:?}");
    }
}

fn classified(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Error {
    let catalogue = Catalogue::builtin().unwrap();
    classify(
        &"b".into(),
        catalogue.row("llama-cpp").unwrap(),
        Dialect::OpenaiChat,
        StatusCode::from_u16(status).unwrap(),
        &headers(pairs),
        Bytes::copy_from_slice(body.as_bytes()),
    )
}

#[test]
fn statuses_have_kind_side_and_retry() {
    use ErrorKind as K;
    use ErrorSource::{Client, Upstream};
    let pause = Duration::from_secs(3);
    let cases = [
        (400, K::InvalidRequest, Client, Retry::Never),
        (401, K::UpstreamAuth, Upstream, Retry::Elsewhere),
        (403, K::UpstreamAuth, Upstream, Retry::Elsewhere),
        (404, K::NotFound, Upstream, Retry::Elsewhere),
        (408, K::Timeout, Upstream, Retry::After(pause)),
        (409, K::Unavailable, Upstream, Retry::After(pause)),
        (413, K::TooLarge, Client, Retry::Elsewhere),
        (422, K::InvalidRequest, Client, Retry::Never),
        (429, K::RateLimited, Upstream, Retry::After(pause)),
        (500, K::Unavailable, Upstream, Retry::After(pause)),
        (502, K::Unavailable, Upstream, Retry::After(pause)),
        (503, K::Unavailable, Upstream, Retry::After(pause)),
        (504, K::Timeout, Upstream, Retry::After(pause)),
        (529, K::Overloaded, Upstream, Retry::After(pause)),
        (302, K::BadUpstream, Upstream, Retry::Elsewhere),
    ];
    for (status, kind, side, retry) in cases {
        let error = classified(status, &[("retry-after", "3")], "{}");
        assert_eq!(
            (error.kind, error.source_side, error.retry),
            (kind, side, retry),
            "{status}"
        );
        assert_eq!(error.upstream_status, Some(status));
        let soon = classified(status, &[], "{}").retry;
        assert_eq!(
            soon,
            if matches!(retry, Retry::After(_)) {
                Retry::Soon
            } else {
                retry
            }
        );
    }
}

#[test]
fn the_upstream_may_say_whether_to_try_again() {
    let no = [("x-should-retry", "false"), ("retry-after", "3")];
    assert_eq!(classified(503, &no, "{}").retry, Retry::Elsewhere);
    let yes = [("x-should-retry", "true")];
    assert_eq!(classified(400, &yes, "{}").retry, Retry::Soon);
    let yes_later = [("x-should-retry", "true"), ("retry-after", "3")];
    assert_eq!(
        classified(400, &yes_later, "{}").retry,
        Retry::After(Duration::from_secs(3))
    );
    assert_eq!(classified(429, &yes, "{}").retry, Retry::Soon);
}

#[test]
fn a_model_that_is_being_loaded_is_no_failure() {
    let body = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    let error = classified(503, &[], body);
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.retry, Retry::Soon);
    assert_eq!(error.code.as_deref(), Some(MODEL_LOADING));
    // The same words elsewhere mean nothing.
    assert_ne!(
        classified(500, &[], body).code.as_deref(),
        Some(MODEL_LOADING)
    );
    let other = classified(503, &[], r#"{"error":{"message":"no slot"}}"#);
    assert_ne!(other.code.as_deref(), Some(MODEL_LOADING));
}
