//! The mock upstream's faults, as a client sees them, over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests may fail as tests do"
)]

mod server;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use server::Server;

const PATHS: [&str; 2] = ["/v1/chat/completions", "/v1/messages"];

fn mock(more: &[&str]) -> Server {
    let usual = ["mock-upstream", "--tokens", "6", "--inter-token-ms", "1"];
    Server::start(&[&usual, more].concat())
}

/// Sends a request on a connection of its own.
fn send(mock: &Server, path: &str, body: &Value) -> TcpStream {
    let (mut stream, body) = (mock.connect(), body.to_string());
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

/// Everything until the connection ends, and how it ends.
fn read(mut stream: TcpStream) -> (String, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream
        .read_to_end(&mut bytes)
        .err()
        .map(|error| error.kind());
    (String::from_utf8(bytes).unwrap(), end)
}

fn ask(mock: &Server, path: &str, fault: &str, stream: bool) -> (String, Option<ErrorKind>) {
    let body = json!({ "model": format!("fault-{fault}"), "stream": stream, "messages": [],
        "stream_options": { "include_usage": true } });
    read(send(mock, path, &body))
}

#[test]
fn statuses_come_in_the_clients_dialect() {
    let mock = mock(&["--retry-after-s", "7"]);
    for path in PATHS {
        for (fault, kind) in [
            ("429", "rate_limit_error"),
            ("500", "api_error"),
            ("503", "overloaded_error"),
        ] {
            for stream in [false, true] {
                let (answer, end) = ask(&mock, path, fault, stream);
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {fault} ")),
                    "{answer}"
                );
                assert_eq!(
                    answer.contains("retry-after: 7"),
                    fault == "429",
                    "{answer}"
                );
                let body: Value =
                    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
                assert_eq!((&body["error"]["type"], end), (&kind.into(), None));
            }
        }
    }
    let stats = mock.stats();
    assert_eq!(
        (&stats["faults"]["429"], &stats["faults"]["reset"]),
        (&4.into(), &0.into())
    );
    assert_eq!(
        (&stats["served"], &stats["aborted"]),
        (&12.into(), &0.into())
    );
}

#[test]
fn streams_break_where_they_are_told_to() {
    let mock = mock(&["--fault-token", "2"]);
    for (path, token) in PATHS
        .into_iter()
        .zip(["\"content\":\"word \"", "\"text\":\"word \""])
    {
        let tokens = |text: &str| text.matches(token).count();
        let (reset, end) = ask(&mock, path, "reset", true);
        assert_eq!(
            (tokens(&reset), end),
            (2, Some(ErrorKind::ConnectionReset)),
            "{reset}"
        );
        assert!(reset.ends_with("\n\n\r\n"), "a whole event: {reset}");

        let (half, end) = ask(&mock, path, "half", true);
        assert_eq!(end, None);
        assert!(
            !half.ends_with("\n\n\r\n") && !half.ends_with("0\r\n\r\n"),
            "half an event: {half}"
        );

        let (malformed, end) = ask(&mock, path, "malformed", true);
        assert_eq!(
            (tokens(&malformed), end),
            (5, None),
            "one of six is no JSON: {malformed}"
        );
        assert!(
            malformed.contains("oops") && malformed.ends_with("0\r\n\r\n"),
            "{malformed}"
        );

        let (usage, _) = ask(&mock, path, "usage", true);
        assert!(
            usage.contains("_tokens\":6000") && tokens(&usage) == 6,
            "{usage}"
        );
    }
    let stats = mock.stats();
    assert_eq!(
        (&stats["aborted"], &stats["served"]),
        (&4.into(), &4.into())
    );
}

#[test]
fn answers_at_once_break_too() {
    let mock = mock(&["--slow-ms", "40"]);
    for path in PATHS {
        let (_, end) = ask(&mock, path, "reset", false);
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
        let (half, end) = ask(&mock, path, "half", false);
        assert!(
            end.is_none() && half.contains("\"id\"") && !half.contains("_tokens"),
            "{half}"
        );
        let (malformed, _) = ask(&mock, path, "malformed", false);
        assert!(malformed.contains("oops"), "{malformed}");
        let (usage, _) = ask(&mock, path, "usage", false);
        assert!(usage.contains("_tokens\":6000"), "{usage}");
        let begin = Instant::now();
        let (slow, _) = ask(&mock, path, "slow", false);
        assert!(
            slow.contains("_tokens\":6") && begin.elapsed() >= Duration::from_millis(40),
            "{slow}"
        );
    }
}

#[test]
fn what_stalls_ends_with_its_client() {
    let mock = mock(&["--fault-token", "1"]);
    for stream in [false, true] {
        let body = json!({ "model": "fault-stall", "stream": stream });
        let mut connection = send(&mock, PATHS[0], &body);
        if stream {
            let mut seen = String::new();
            while !seen.contains("word ") {
                let mut part = [0_u8; 512];
                let count = connection.read(&mut part).unwrap();
                seen.push_str(std::str::from_utf8(&part[..count]).unwrap());
            }
        }
        // Whatever else came would be read here.
        connection
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let silence = connection.read(&mut [0_u8; 64]).unwrap_err();
        assert!(
            matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{silence}"
        );
        let before = mock.stats()["aborted"].as_u64().unwrap();
        drop(connection);
        while mock.stats()["aborted"].as_u64().unwrap() == before {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_share_of_the_requests_fails_and_embeddings_are_answered() {
    let mock = mock(&["--fault", "503=0.25", "--seed", "3"]);
    let body = json!({ "model": "mock", "input": "a text" });
    let mut failed = 0;
    for _ in 0..200 {
        let (answer, _) = read(send(&mock, "/v1/embeddings", &body));
        if answer.starts_with("HTTP/1.1 503") {
            failed += 1;
        } else {
            let body: Value =
                serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
            assert_eq!(body["data"][0]["embedding"].as_array().unwrap().len(), 256);
        }
    }
    assert_eq!(mock.stats()["faults"]["503"], failed);
    assert!((20..80).contains(&failed), "{failed}");
}

#[test]
fn tokens_follow_a_script() {
    let mock = Server::start(&["mock-upstream", "--tokens", "5", "--gaps-ms", "1,60"]);
    let begin = Instant::now();
    let body = json!({ "model": "mock", "stream": true });
    let (answer, _) = read(send(&mock, PATHS[0], &body));
    assert_eq!(answer.matches("\"content\":\"word \"").count(), 5);
    // Gaps of 1, 60, 1 and 60 ms.
    assert!(
        begin.elapsed() >= Duration::from_millis(122),
        "{:?}",
        begin.elapsed()
    );
}
