//! Clients that mean harm: ambiguous framing, endless headers and bodies, bombs. Raw sockets, as no
//! honest client library sends these.

use std::time::Duration;

use freehold_types::OutcomeStatus;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{BODY_BYTES_MAX, Bench, KEY, Surface, seen, soon};

/// Short enough for a test, and only ever waited for by a client that is never done.
const PATIENCE: Duration = Duration::from_millis(300);

/// What comes back on a connection until it is closed.
struct Told {
    text: String,
}

impl Told {
    fn status(&self) -> u16 {
        let status = self.text.split(' ').nth(1).unwrap_or_default();
        status.parse().unwrap_or_else(|_| panic!("{:?}", self.text))
    }

    fn body(&self) -> Value {
        let (_, body) = self.text.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    fn answers(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count()
    }
}

async fn connect(bench: &Bench) -> TcpStream {
    let address = bench.url.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// Everything until the gateway closes, which it must.
async fn until_closed(stream: &mut TcpStream) -> Told {
    let mut bytes = Vec::new();
    // A reset after the answer is a close, too.
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    Told {
        text: String::from_utf8(bytes).unwrap(),
    }
}

async fn tell(bench: &Bench, text: &[u8]) -> Told {
    let mut stream = connect(bench).await;
    stream.write_all(text).await.unwrap();
    until_closed(&mut stream).await
}

fn head(surface: Surface, lines: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\n{lines}\r\n",
        surface.path()
    )
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

fn has_shape(surface: Surface, told: &Told) {
    let body = told.body();
    assert_eq!(
        body["type"] == "error",
        surface == Surface::Messages,
        "{body}"
    );
    assert!(body["error"]["message"].is_string(), "{body}");
}

#[tokio::test]
async fn a_request_with_two_ends_is_refused_in_the_clients_dialect() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let body = surface.body("single", false, "hi").to_string();
        let length = body.len();
        // What a proxy that believes the length would take for a second request.
        let smuggled = format!(
            "{}{body}",
            head(surface, &format!("Content-Length: {length}\r\n"))
        );
        for (lines, sent) in [
            (
                format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                chunked(&body),
            ),
            (
                format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
                chunked(&body),
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".to_owned(),
                chunked(&body),
            ),
            (
                format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
                body.clone(),
            ),
            (
                format!("Host: other\r\nContent-Length: {length}\r\n"),
                body.clone(),
            ),
        ] {
            let text = format!("{}{sent}{smuggled}", head(surface, &lines));
            let told = tell(&bench, text.as_bytes()).await;
            assert_eq!(told.status(), 400, "{lines}: {}", told.text);
            assert_eq!(
                told.answers(),
                1,
                "nothing after it is served: {}",
                told.text
            );
            has_shape(surface, &told);
            assert!(
                told.body()["error"]["message"]
                    .as_str()
                    .unwrap()
                    .contains("ambiguous")
            );
        }
        assert!(bench.alpha.requests().is_empty());
    }
}

/// hyper cannot tell what these are, so that no handler and no dialect is reached.
#[tokio::test]
async fn what_is_no_http_is_refused() {
    let bench = Bench::start().await;
    let surface = Surface::Chat;
    let body = surface.body("single", false, "hi").to_string();
    let length = body.len();
    for lines in [
        format!("Content-Length: {length}\r\nContent-Length: 6\r\n"),
        format!("X-Folded: a\r\n b\r\nContent-Length: {length}\r\n"),
        format!("Content-Length : {length}\r\n"),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: {length}, {length}\r\n"),
        "Transfer-Encoding: gzip\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        format!("X-Null: a\0b\r\nContent-Length: {length}\r\n"),
        format!("X-Bare: a\rb\r\nContent-Length: {length}\r\n"),
    ] {
        let told = tell(
            &bench,
            format!("{}{body}", head(surface, &lines)).as_bytes(),
        )
        .await;
        assert_eq!(told.status(), 400, "{lines:?}: {}", told.text);
        assert_eq!(told.answers(), 1);
    }
    for text in [
        "POST /v1/chat/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST  /v1/chat/completions HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
    ] {
        let told = tell(&bench, text.as_bytes()).await;
        assert_eq!(told.status(), 400, "{text:?}: {}", told.text);
    }
    assert!(bench.alpha.requests().is_empty());
}

#[tokio::test]
async fn honest_requests_share_a_connection() {
    let bench = Bench::start().await;
    let mut text = String::new();
    for surface in [Surface::Chat, Surface::Messages, Surface::Chat] {
        let body = surface.body("single", false, "hi").to_string();
        text += &head(surface, &format!("Content-Length: {}\r\n", body.len()));
        text += &body;
        text += &head(surface, "Transfer-Encoding: chunked\r\n");
        text += &chunked(&body);
    }
    text += "GET /health/liveliness HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let told = tell(&bench, text.as_bytes()).await;
    assert_eq!(
        told.text.matches("HTTP/1.1 200 OK").count(),
        7,
        "{}",
        told.text
    );
}

/// Two readers of the same JSON may each believe another of two equal keys.
#[tokio::test]
async fn duplicate_keys_are_refused_at_any_depth() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let twice = [
            r#"{"model":"single","model":"inside","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"single","max_tokens":5,"messages":[],"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"single","max_tokens":5,"messages":[{"role":"user","content":"a","content":"hi"}]}"#,
            r#"{"model":"single","max_tokens":5,"messages":[{"role":"user","content":"a","\u0063ontent":"hi"}]}"#,
            r#"{"model":"single","max_tokens":5,"messages":[{"role":"user","content":"hi"}],
                "metadata":{"a":{"b":[{"c":1,"c":2}]}}}"#,
            r#"{"model":"single","max_tokens":5,"messages":[{"role":"user","content":"hi"}],
                "tools":[{"type":"function","function":{"name":"f","parameters":{"x":1,"x":2}}}]}"#,
            r#"{"model":"single","max_tokens":5,"messages":[{"role":"user","content":"hi"}],
                "unknown":{"deep":{"k":1,"k":1}}}"#,
        ];
        let count = twice.len();
        for body in twice {
            let request = bench
                .http
                .post(format!("{}{}", bench.url, surface.path()))
                .bearer_auth(KEY)
                .body(body);
            let refused = seen(request).await;
            assert_eq!(refused.status, 400, "{body}: {refused:?}");
            surface.error_type(&refused);
            assert!(refused.text.contains("twice"), "{refused:?}");
        }
        for outcome in bench.outcomes(count).await {
            assert_eq!(outcome.status, OutcomeStatus::Refused);
        }
        assert!(bench.alpha.requests().is_empty());
    }
}

#[tokio::test]
async fn no_compressed_body_is_unpacked() {
    // What it would unpack to does not matter, as nobody tries.
    let bomb = vec![0x1f_u8; BODY_BYTES_MAX];
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        for encodings in [
            &["gzip"][..],
            &["deflate"],
            &["br"],
            &["zstd"],
            &["x-gzip"],
            &["GZIP"],
            &["identity, gzip"],
            &["identity", "gzip"],
        ] {
            let mut request = bench
                .http
                .post(format!("{}{}", bench.url, surface.path()))
                .bearer_auth(KEY)
                .body(bomb.clone());
            for encoding in encodings {
                request = request.header("content-encoding", *encoding);
            }
            let refused = seen(request).await;
            assert_eq!(refused.status, 415, "{encodings:?}: {refused:?}");
            surface.error_type(&refused);
            assert!(refused.text.contains("compressed"), "{refused:?}");
        }
        let body = surface.body("single", false, "hi");
        let plain = bench
            .post(surface, &body)
            .header("content-encoding", "Identity");
        assert_eq!(seen(plain).await.status, 200);
    }
}

#[tokio::test]
async fn deep_bodies_are_refused_without_descending() {
    const DEPTH: usize = 25_000;
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let depth = DEPTH.min((BODY_BYTES_MAX - 200) / (open.len() + close.len()));
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let body = format!(r#"{{"model":"single","max_tokens":5,"messages":[],"x":{deep}}}"#);
            let request = bench
                .http
                .post(format!("{}{}", bench.url, surface.path()))
                .bearer_auth(KEY)
                .body(body);
            let refused = seen(request).await;
            assert_eq!(refused.status, 400, "{refused:?}");
            surface.error_type(&refused);
            assert!(refused.text.contains("deeper than"), "{refused:?}");
        }
    }
}

/// Sends pieces until the gateway has had enough; gives what it said.
async fn trickle(mut stream: TcpStream, first: &str, piece: &str) -> Told {
    stream.write_all(first.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let piece = piece.to_owned();
    let feeder = tokio::spawn(async move {
        let mut beat = tokio::time::interval(PATIENCE / 20);
        loop {
            beat.tick().await;
            if writing.write_all(piece.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = Vec::new();
    let _ = soon(reading.read_to_end(&mut bytes)).await;
    feeder.abort();
    Told {
        text: String::from_utf8(bytes).unwrap(),
    }
}

#[tokio::test]
async fn heads_that_never_end_are_cut_off() {
    let bench = Bench::with_patience(PATIENCE).await;
    for (first, piece) in [
        ("", ""),
        ("P", ""),
        ("PRI * HTTP/2.0\r\n", ""),
        ("POST /v1/messages HTTP/1.1\r\nHost: a\r\n", "X: y\r\n"),
        ("POST /v1/messages HTTP/1.1\r\nHost: a\r\nX: ", "y"),
        ("", "\r\n"),
    ] {
        let told = trickle(connect(&bench).await, first, piece).await;
        assert!(!told.text.contains("200"), "{first:?}: {}", told.text);
    }
    // An honest client is served all the while.
    let body = Surface::Chat.body("single", false, "hi");
    assert_eq!(bench.ask(Surface::Chat, &body).await.status, 200);
}

/// Sends a whole request and reads its whole answer; the connection stays.
async fn ask_on(stream: &mut TcpStream) -> String {
    let body = Surface::Chat.body("single", false, "hi").to_string();
    let length = format!("Content-Length: {}\r\n", body.len());
    let text = head(Surface::Chat, &length) + &body;
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut told = String::new();
    let mut part = vec![0; 16 * 1_024];
    loop {
        let read = soon(stream.read(&mut part)).await.unwrap();
        assert_ne!(read, 0, "it was closed: {told}");
        told.push_str(std::str::from_utf8(&part[..read]).unwrap());
        let Some((head, body)) = told.split_once("\r\n\r\n") else {
            continue;
        };
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if length.is_some_and(|(_, length)| length.parse() == Ok(body.len())) {
            return told;
        }
    }
}

/// Clients keep connections for a minute and more: one that is closed just when its next request goes out is an error for
/// many of them. The bench lets one rest four times as long as a head may take.
#[tokio::test]
async fn a_connection_may_rest_longer_than_a_head_may_take() {
    let bench = Bench::with_patience(PATIENCE).await;
    let mut stream = connect(&bench).await;
    for _ in 0..2 {
        let told = ask_on(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        tokio::time::sleep(2 * PATIENCE).await;
    }
    // A second head that does not end is cut off like a first one.
    let begun = std::time::Instant::now();
    stream.write_all(b"POST /v1/messages HTT").await.unwrap();
    let told = until_closed(&mut stream).await;
    assert!(!told.text.contains("200"), "{}", told.text);
    assert!(begun.elapsed() < 3 * PATIENCE, "{:?}", begun.elapsed());

    let mut stream = connect(&bench).await;
    ask_on(&mut stream).await;
    let begun = std::time::Instant::now();
    until_closed(&mut stream).await;
    assert!(begun.elapsed() > 3 * PATIENCE, "{:?}", begun.elapsed());
}

/// Where half of the bench's 64 places are taken, others may soon wait for one.
#[tokio::test]
async fn connections_rest_short_where_others_may_wait() {
    let patience = Duration::from_secs(1);
    let bench = Bench::with_patience(patience).await;
    let mut early = connect(&bench).await;
    ask_on(&mut early).await;
    let mut others = Vec::new();
    for _ in 0..32 {
        others.push(connect(&bench).await);
    }
    let mut late = connect(&bench).await;
    ask_on(&mut late).await;
    let begun = std::time::Instant::now();
    until_closed(&mut late).await;
    assert!(begun.elapsed() < 3 * patience, "{:?}", begun.elapsed());
    // One that came when there was room rests on.
    let told = ask_on(&mut early).await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
}

#[tokio::test]
async fn bodies_that_never_end_are_cut_off() {
    for surface in Surface::BOTH {
        let bench = Bench::with_patience(PATIENCE).await;
        for (lines, piece) in [
            ("Content-Length: 60000\r\n", " "),
            ("Transfer-Encoding: chunked\r\n", "1\r\n \r\n"),
        ] {
            let told = trickle(connect(&bench).await, &head(surface, lines), piece).await;
            assert_eq!(told.status(), 400, "{}", told.text);
            has_shape(surface, &told);
            assert!(told.text.contains("did not arrive within"), "{}", told.text);
        }
        assert!(bench.alpha.requests().is_empty());
    }
}

#[tokio::test]
async fn heads_have_a_size() {
    let bench = Bench::start().await;
    let many = "X: y\r\n".repeat(5_000);
    let long = format!("X: {}\r\n", "y".repeat(4 * 1024 * 1024));
    for lines in [many, long] {
        let text = head(Surface::Chat, &lines);
        let mut stream = connect(&bench).await;
        let (mut reading, mut writing) = stream.split();
        let mut bytes = Vec::new();
        // The gateway need not read to the end, so that writing may fail.
        let (_, read) = soon(async {
            tokio::join!(
                writing.write_all(text.as_bytes()),
                reading.read_to_end(&mut bytes)
            )
        })
        .await;
        let told = String::from_utf8(bytes).unwrap();
        assert!(read.is_err() || told.starts_with("HTTP/1.1 431"), "{told}");
        assert!(!told.contains("200 OK"));
    }
}

/// The declared length alone is enough to refuse: nothing is read, so nothing is kept.
#[tokio::test]
async fn a_huge_body_is_refused_before_it_comes() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let text = head(surface, "Content-Length: 1099511627776\r\n");
        let mut stream = connect(&bench).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        let read = soon(stream.read(&mut bytes)).await.unwrap();
        let told = Told {
            text: String::from_utf8(bytes[..read].to_vec()).unwrap(),
        };
        assert_eq!(told.status(), 413, "{}", told.text);
    }
}
