//! Names that mean more than they say: paths, control characters, lines of logs.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::canary::Kind;
use crate::siege::{Attack, Siege};
use crate::support::{KEY, Surface, seen, soon};

const NAMES: [&str; 22] = [
    "../../etc/passwd",
    "..\\..\\windows",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%2f..%2fadmin",
    "alpha/../house/qwen",
    "alpha/./gpt-4.1",
    "alpha//gpt-4.1",
    "alpha/gpt-4.1/../../v1/files",
    "alpha/gpt-4.1?api_key=x",
    "alpha/gpt-4.1#fragment",
    "alpha/gpt-4.1%00",
    "alpha/gpt-4.1\0",
    "single\0.png",
    "single\r\nX-Injected: yes",
    "single\nlevel=ERROR forged=yes",
    "\u{1b}[31msingle\u{1b}[0m",
    "single\u{8}\u{8}\u{8}",
    "\u{202e}elgnis",
    "single\u{200b}",
    "http://203.0.113.10/v1",
    "${OPENAI_API_KEY}",
    "{{7*7}}",
];

#[tokio::test]
async fn names_lead_nowhere_but_to_a_model() {
    for surface in Surface::BOTH {
        let siege = Siege::start().await;
        for name in NAMES {
            let body = surface.body(name, false, "one two");
            let refused = siege.bench.ask(surface, &body).await;
            assert!(matches!(refused.status, 400 | 404), "{name:?}: {refused:?}");
            surface.error_type(&refused);
            assert!(!refused.headers.contains_key("x-injected"));
            assert!(
                siege.went_out().is_empty() && siege.stayed().is_empty(),
                "{name:?}"
            );
        }
        let long = "a/".repeat(20_000);
        let body = surface.body(&long, false, "one two");
        let refused = siege.bench.ask(surface, &body).await;
        assert!(matches!(refused.status, 400 | 404), "{refused:?}");
        assert!(refused.text.len() < 2_000, "{}", refused.text.len());
        for decision in siege.decisions() {
            assert_eq!(
                decision.route, None,
                "what the client wrote is its own text"
            );
        }
        is_one_line_each(&siege);
        siege.lift().await;
    }
}

#[tokio::test]
async fn paths_lead_nowhere_but_to_a_model() {
    let siege = Siege::start().await;
    for path in [
        "/v1/models/../../etc/passwd",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/%2e%2e/%2e%2e/etc/passwd",
        "/v1/models/single%00",
        "/v1/models/%1b%5b31m",
        "/v1/models/%0d%0aX-Injected:%20yes",
        "/v1//models",
        "/v1/models%00",
        "/v1/../admin",
        "/metrics/../v1/models",
        "/v1/models/../models",
        "//v1/models",
    ] {
        // By hand, as honest clients tidy paths up.
        let mut stream = TcpStream::connect(siege.bench.url.trim_start_matches("http://"))
            .await
            .unwrap();
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut told = String::new();
        soon(stream.read_to_string(&mut told)).await.unwrap();
        let refused = told.starts_with("HTTP/1.1 404") || told.starts_with("HTTP/1.1 400");
        assert!(refused, "{path}: {told}");
        assert!(!told.to_lowercase().contains("\nx-injected"), "{told}");
    }
    is_one_line_each(&siege);
    siege.lift().await;
}

/// Names that the caller gives a workload or a conversation are kept, cleaned.
#[tokio::test]
async fn names_of_flows_and_conversations_forge_nothing() {
    let siege = Siege::start().await;
    for surface in Surface::BOTH {
        for name in NAMES {
            let mut body = surface.body(surface.route(), false, "one two");
            body["metadata"] = json!({"freehold_flow": name, "freehold_conversation": name});
            let served = siege.bench.ask(surface, &body).await;
            assert_eq!(served.status, 200, "{name:?}: {served:?}");
            assert!(!served.headers.contains_key("x-injected"), "{served:?}");
        }
    }
    for outcome in siege.bench.ledger.outcomes() {
        let flow = outcome.flow.as_ref().map_or("", |flow| flow.as_str());
        assert!(!flow.chars().any(char::is_control), "{flow:?}");
    }
    is_one_line_each(&siege);
    siege.lift().await;
}

/// No control character of a client's gets into the log.
fn is_one_line_each(siege: &Siege) {
    let log = siege.log();
    let odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    assert!(!log.contains(odd), "{log:?}");
    for line in log.lines() {
        assert!(!line.starts_with("level=ERROR"), "{line}");
    }
}

/// A value in a name is not kept either.
#[tokio::test]
async fn a_value_in_a_name_is_not_recorded() {
    let mut siege = Siege::start().await;
    for surface in Surface::BOTH {
        for kind in Kind::ALL {
            let canary = siege.canary(kind);
            let body = surface.body(&canary.value, false, "one two");
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (404, 0), "{seen:?}");

            let canary = siege.canary(kind);
            let path = format!("/v1/{}", canary.value.replace(' ', ""));
            let body = surface.body(surface.route(), false, "one two");
            let attack = Attack::new(surface, &body).at(&path);
            let (seen, out) = siege.attack(&canary, attack).await;
            assert_eq!((seen.status, out), (404, 0), "{seen:?}");

            let canary = siege.canary(kind);
            let mut body = surface.body("home", false, "one two");
            body["metadata"] =
                json!({"freehold_flow": canary.value, "freehold_conversation": canary.value});
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (200, 0), "{seen:?}");
        }
    }
    siege.lift().await;
}

/// A key of the client's JSON that is at fault is named to the client, and to nobody else.
#[tokio::test]
async fn a_value_in_a_faulty_key_is_not_recorded() {
    let mut siege = Siege::start().await;
    for surface in Surface::BOTH {
        for kind in Kind::ALL {
            let canary = siege.canary(kind);
            let value = &canary.value;
            for body in [
                format!(
                    r#"{{"model":"single","max_tokens":5,"messages":[],"x":{{"{value}":1,"{value}":2}}}}"#
                ),
                format!(
                    r#"{{"model":"single","max_tokens":5,"messages":[{{"role":"{value}","content":"x"}}]}}"#
                ),
                format!(
                    r#"{{"model":"single","max_tokens":"{value}","messages":[{{"role":"user","content":"x"}}]}}"#
                ),
                format!(
                    r#"{{"model":"single","max_tokens":5,"messages":[{{"role":"user","content":[{{"type":"{value}"}}]}}]}}"#
                ),
                format!(
                    r#"{{"model":"single","max_tokens":5,"messages":[{{"role":"user","content":"{value}"#
                ),
            ] {
                let request = siege
                    .bench
                    .http
                    .post(format!("{}{}", siege.bench.url, surface.path()))
                    .bearer_auth(KEY)
                    .body(body.clone());
                let told = seen(request).await;
                assert!(told.status >= 400, "{body}: {told:?}");
                assert!(siege.went_out().is_empty());
            }
        }
    }
    siege.lift().await;
}
