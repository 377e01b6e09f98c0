//! Every fault does what it says, on every surface, and the record tells.

use crate::support::{chat, client, messages, payloads, post, read_all, soon, with};
use freehold_testkit::{FakeUpstream, Fault, RequestEnd, RetryAfter, Script};
use futures_util::StreamExt as _;
use serde_json::json;

const SURFACES: [&str; 2] = ["/v1/chat/completions", "/v1/messages"];

fn body(path: &str, stream: bool) -> serde_json::Value {
    let body = if path == SURFACES[0] {
        chat("one two three four five")
    } else {
        messages("one two three four five")
    };
    with(body, "stream", json!(stream))
}

#[tokio::test]
async fn statuses_have_vendor_bodies_and_retry_after() {
    let fake = FakeUpstream::start().await.unwrap();
    for path in SURFACES {
        for status in [400, 401, 429, 500, 503, 529] {
            fake.push(Script::status(status));
            let response = post(&fake, path, &body(path, true)).await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            let error: serde_json::Value = response.json().await.unwrap();
            assert!(error["error"]["message"].is_string() && error["error"]["type"].is_string());
            assert_eq!(error["type"] == "error", path == SURFACES[1]);
        }
    }
    fake.push(Script::rate_limited(7));
    let limited = post(&fake, SURFACES[0], &body(SURFACES[0], false))
        .await
        .unwrap();
    assert_eq!(limited.headers()["retry-after"], "7");
    let retry_after = Some(RetryAfter::DateSeconds(60));
    fake.push(Script::fault(Fault::Status {
        status: 503,
        retry_after,
        body: Some("<html>busy</html>".into()),
    }));
    let dated = post(&fake, SURFACES[0], &body(SURFACES[0], false))
        .await
        .unwrap();
    let until =
        httpdate::parse_http_date(dated.headers()["retry-after"].to_str().unwrap()).unwrap();
    assert!(until > std::time::SystemTime::now());
    assert_eq!(dated.text().await.unwrap(), "<html>busy</html>");
    assert!(
        fake.requests()
            .iter()
            .all(|record| record.end == RequestEnd::Faulted)
    );
    assert!(
        fake.requests()
            .iter()
            .all(|record| record.usage.prompt_tokens == 0),
        "errors cost nothing"
    );
}

#[tokio::test]
async fn breaks_before_the_headers() {
    let fake = FakeUpstream::start().await.unwrap();
    for fault in [Fault::ResetBeforeHeaders, Fault::CloseBeforeHeaders] {
        fake.push(Script::fault(fault.clone()));
        let error = soon(post(&fake, SURFACES[0], &body(SURFACES[0], true)))
            .await
            .unwrap_err();
        assert_eq!(
            source_is_reset(&error),
            fault == Fault::ResetBeforeHeaders,
            "{error:?}"
        );
    }
    soon(fake.wait_for_end(RequestEnd::Faulted, 2)).await;
}

fn source_is_reset(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[tokio::test]
async fn breaks_at_a_chunk_after_all_earlier_ones_arrived() {
    let fake = FakeUpstream::start().await.unwrap();
    for path in SURFACES {
        for at in [0, 1, 3] {
            for fault in [Fault::Reset { at }, Fault::Close { at }, Fault::End { at }] {
                fake.push(Script::fault(fault.clone()));
                let response = soon(post(&fake, path, &body(path, true))).await.unwrap();
                let (bytes, clean) = soon(read_all(response)).await;
                assert_eq!(
                    clean,
                    matches!(fault, Fault::End { .. }),
                    "{path} {fault:?}"
                );
                let record = fake.requests().pop().unwrap();
                assert_eq!(
                    (record.end, record.chunks_sent),
                    (RequestEnd::Faulted, at as u64),
                    "{path} {fault:?}"
                );
                assert_eq!(record.tokens_sent, at.saturating_sub(1) as u64);
                assert_eq!(record.bytes_sent, bytes.len() as u64, "{path} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn half_chunks_and_cut_bodies() {
    let fake = FakeUpstream::start().await.unwrap();
    for path in SURFACES {
        for clean in [false, true] {
            fake.push(Script::fault(Fault::HalfChunk { at: 2, clean }));
            let (bytes, ended) = soon(read_all(
                post(&fake, path, &body(path, true)).await.unwrap(),
            ))
            .await;
            assert_eq!(ended, clean);
            assert!(!bytes.ends_with(b"\n\n"), "the last event is cut");
        }
        fake.push(Script::fault(Fault::TruncatedBody));
        let (bytes, ended) = soon(read_all(
            post(&fake, path, &body(path, false)).await.unwrap(),
        ))
        .await;
        assert!(!ended && bytes.starts_with(b"{") && !bytes.ends_with(b"}"));
    }
}

#[tokio::test]
async fn malformed_chunks_are_followed_by_the_rest() {
    let fake = FakeUpstream::start().await.unwrap();
    for path in SURFACES {
        fake.push(Script::fault(Fault::MalformedSse { at: 2 }));
        let (bytes, clean) = read_all(post(&fake, path, &body(path, true)).await.unwrap()).await;
        assert!(clean && std::str::from_utf8(&bytes).is_err());
        fake.push(Script::fault(Fault::MalformedJson { at: 2 }));
        let (bytes, _) = read_all(post(&fake, path, &body(path, true)).await.unwrap()).await;
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("[{\n\n") && text.contains(" five") && !text.contains(" two"));
        fake.push(Script::fault(Fault::MalformedJson { at: 0 }));
        let (bytes, _) = read_all(post(&fake, path, &body(path, false)).await.unwrap()).await;
        assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_err());
    }
}

#[tokio::test]
async fn error_events_end_the_stream() {
    let fake = FakeUpstream::start().await.unwrap();
    for path in SURFACES {
        fake.push(Script::fault(Fault::ErrorEvent {
            at: 2,
            error_type: None,
        }));
        let (bytes, clean) = read_all(post(&fake, path, &body(path, true)).await.unwrap()).await;
        let events = payloads(&bytes);
        assert!(clean && events.last().unwrap()["error"]["message"].is_string());
        assert_eq!(
            String::from_utf8_lossy(&bytes).contains("event: error"),
            path == SURFACES[1]
        );
    }
}

#[tokio::test]
async fn end_markers_and_content_types_can_be_wrong_and_chunks_huge() {
    let fake = FakeUpstream::start().await.unwrap();
    for path in SURFACES {
        fake.push(Script::fault(Fault::MissingDone));
        let (bytes, clean) = read_all(post(&fake, path, &body(path, true)).await.unwrap()).await;
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            clean
                && text.contains(" five")
                && !text.contains("[DONE]")
                && !text.contains("message_stop")
        );
        fake.push(Script::fault(Fault::WrongContentType));
        let response = post(&fake, path, &body(path, true)).await.unwrap();
        assert_eq!(
            response.headers()["content-type"],
            "text/html; charset=utf-8"
        );
        fake.push(Script::fault(Fault::HugeChunk {
            at: 1,
            bytes: 300_000,
        }));
        let (bytes, clean) = read_all(post(&fake, path, &body(path, true)).await.unwrap()).await;
        assert!(clean && bytes.len() > 300_000);
    }
}

#[tokio::test]
async fn leaving_at_a_gate_is_seen_and_counted() {
    let fake = FakeUpstream::start().await.unwrap();
    for path in SURFACES {
        fake.push(Script::tokens(50).with_gate(6));
        let mut stream = post(&fake, path, &body(path, true))
            .await
            .unwrap()
            .bytes_stream();
        soon(fake.wait_for_waiting(1)).await;
        soon(stream.next()).await.unwrap().unwrap();
        drop(stream);
        soon(fake.wait_for_abort(1)).await;
        let record = fake.requests().pop().unwrap();
        assert_eq!((record.chunks_sent, record.tokens_sent), (6, 5));
        assert_eq!(
            (record.usage.prompt_tokens, record.usage.completion_tokens),
            (5, 5)
        );
        fake.reset();
    }
}

#[tokio::test]
async fn leaving_before_the_headers_is_seen() {
    let fake = FakeUpstream::start().await.unwrap();
    for script in [
        Script::default().with_gated_headers(),
        Script::fault(Fault::StallHeaders),
    ] {
        fake.push(script);
        let body = body(SURFACES[0], false);
        let request = post(&fake, SURFACES[0], &body);
        tokio::select! {
            _ = request => panic!("it cannot be answered"),
            () = soon(fake.wait_for_waiting(1)) => {}
        }
        soon(fake.wait_for_abort(1)).await;
        let record = fake.requests().pop().unwrap();
        assert_eq!((record.status, record.usage.prompt_tokens), (None, 0));
        fake.reset();
    }
}

#[tokio::test]
async fn gates_open_when_released_and_stalls_never() {
    let fake = FakeUpstream::start().await.unwrap();
    fake.push(Script::tokens(3).with_gated_headers().with_gate(2));
    let body = body(SURFACES[0], true);
    let answer = async { read_all(post(&fake, SURFACES[0], &body).await.unwrap()).await };
    let conduct = async {
        fake.wait_for_waiting(1).await;
        assert_eq!(fake.requests()[0].status, None);
        fake.release(1);
        fake.wait_until(|records| records[0].waiting && records[0].chunks_sent == 2)
            .await;
        fake.release(1);
    };
    let ((_, clean), ()) = soon(async { tokio::join!(answer, conduct) }).await;
    assert!(clean && fake.requests()[0].end == RequestEnd::Complete);

    fake.push(Script::fault(Fault::Stall { at: 1 }));
    fake.release_all();
    let response = post(&fake, SURFACES[0], &body).await.unwrap();
    soon(fake.wait_for_waiting(1)).await;
    drop(response);
    soon(fake.wait_for_abort(1)).await;
}

#[tokio::test]
async fn bodies_can_come_in_single_bytes() {
    let fake = FakeUpstream::start().await.unwrap();
    for stream in [true, false] {
        let whole = read_all(
            post(&fake, SURFACES[0], &body(SURFACES[0], stream))
                .await
                .unwrap(),
        )
        .await
        .0;
        fake.push(Script {
            write_bytes: Some(1),
            ..Script::default()
        });
        let pieces = read_all(
            post(&fake, SURFACES[0], &body(SURFACES[0], stream))
                .await
                .unwrap(),
        )
        .await
        .0;
        let strip = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace("fake00000001", "fake00000000")
                .replace("fake00000003", "fake00000002")
        };
        assert_eq!(strip(whole), strip(pieces));
    }
}

#[tokio::test]
async fn faults_break_http_2_as_well() {
    let fake = FakeUpstream::start().await.unwrap();
    let client = client().http2_prior_knowledge().build().unwrap();
    let url = format!("{}{}", fake.url(), SURFACES[0]);
    let send = || client.post(&url).json(&body(SURFACES[0], true)).send();
    let (bytes, clean) = soon(async { read_all(send().await.unwrap()).await }).await;
    assert!(clean && bytes.ends_with(b"[DONE]\n\n"));
    assert_eq!(fake.requests()[0].version, "HTTP/2.0");
    fake.push(Script::fault(Fault::Reset { at: 3 }));
    let (_, clean) = soon(async { read_all(send().await.unwrap()).await }).await;
    assert!(!clean);
    fake.push(Script::fault(Fault::ResetBeforeHeaders));
    soon(send()).await.unwrap_err();
}
