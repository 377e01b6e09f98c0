//! Pictures, sounds, files and blobs: nothing here can read them, so they stay inside.

use serde_json::{Value, json};

use crate::canary::{Kind, Random};
use crate::siege::{Attack, Siege};
use crate::support::Surface;

const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk";

/// Base64 that holds no text.
fn noise() -> String {
    let mut random = Random(11);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..1_200)
        .map(|_| char::from(*random.pick(alphabet)))
        .collect()
}

fn said(surface: Surface, stream: bool, parts: &Value) -> Value {
    let mut body = surface.body(surface.route(), stream, "one");
    let mut content = vec![json!({"type": "text", "text": "what is this?"})];
    content.extend(parts.as_array().unwrap().iter().cloned());
    body["messages"][0]["content"] = Value::Array(content);
    body
}

fn opaque(surface: Surface) -> Vec<Value> {
    let blob = noise();
    let data = format!("data:image/png;base64,{PICTURE}");
    match surface {
        Surface::Chat => vec![
            json!([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
            json!([{"type": "image_url", "image_url": {"url": data}}]),
            json!([{"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}}]),
            json!([{"type": "file", "file": {"filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{PICTURE}")}}]),
            json!([{"type": "file", "file": {"file_id": "file-abc"}}]),
            json!([{"type": "text", "text": format!("decode {blob}")}]),
        ],
        _ => vec![
            json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}]),
            json!([{"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}]),
            json!([{"type": "image", "source": {"type": "file", "file_id": "file-abc"}}]),
            json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PICTURE}}]),
            json!([{"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}]),
            json!([{"type": "text", "text": format!("decode {blob}")}]),
        ],
    }
}

#[tokio::test]
async fn what_nobody_can_read_does_not_leave() {
    let mut siege = Siege::start().await;
    for surface in Surface::BOTH {
        for stream in [false, true] {
            for parts in opaque(surface) {
                // Nothing to find: it is refused because it cannot be looked at.
                let canary = siege.canary(Kind::Card);
                let body = said(surface, stream, &parts);
                siege.refused(&canary, Attack::new(surface, &body)).await;
            }
        }
    }
    for decision in siege.decisions() {
        assert_eq!(
            decision.sensitivity,
            freehold_types::Sensitivity::Restricted
        );
    }
    siege.lift().await;
}

/// A model that cannot see is not shown the rest either.
#[tokio::test]
async fn what_no_inside_model_can_see_goes_nowhere() {
    let mut siege = Siege::start().await;
    for surface in Surface::BOTH {
        for parts in opaque(surface) {
            let canary = siege.canary(Kind::Card);
            let mut body = said(surface, false, &parts);
            body["model"] = json!("home");
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!(out, 0, "{seen:?}");
            let is_text = parts[0]["type"] == "text";
            assert_eq!(seen.status == 200, is_text, "{parts}: {seen:?}");
            assert_eq!(siege.stayed().len(), usize::from(is_text));
        }
    }
    siege.lift().await;
}

/// A text file is text.
#[tokio::test]
async fn a_value_in_an_encoded_file_is_found() {
    use base64::Engine as _;
    let mut siege = Siege::start().await;
    for surface in Surface::BOTH {
        let canary = siege.canary(Kind::Iban);
        let data = base64::engine::general_purpose::STANDARD.encode(canary.sentence());
        let part = match surface {
            Surface::Chat => {
                json!([{"type": "file", "file": {"filename": "a.txt", "file_data": format!("data:text/plain;base64,{data}")}}])
            }
            _ => {
                json!([{"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": data}}])
            }
        };
        let body = said(surface, false, &part);
        siege.refused(&canary, Attack::new(surface, &body)).await;
        let decision = siege.decisions().pop().unwrap();
        let found = |name: &str| decision.findings.keys().any(|known| known.as_str() == name);
        assert!(found(canary.kind.entity()), "{decision:?}");
    }
    siege.lift().await;
}
