//! Masking through the whole gateway: what upstreams get, and what clients get back.

use freehold_testkit::{Fault, RequestRecord, Script};
use serde_json::{Value, json};

use crate::canary::{Canary, Kind, Watch};
use crate::disguise::{DISGUISES, ENCODINGS};
use crate::places::{is_joined, places, splits};
use crate::siege::{Attack, Siege, masking};
use crate::support::{Seen, Surface};

const METHODS: [&str; 3] = ["pseudonym", "surrogate", "redact"];

/// The text of an answer, streamed or not.
fn answer(surface: Surface, stream: bool, seen: &Seen) -> String {
    if stream {
        let (text, failed) = surface.stream(&seen.text);
        assert!(!failed, "{seen:?}");
        text
    } else {
        surface.text(&seen.json())
    }
}

fn sent(record: &RequestRecord) -> String {
    String::from_utf8(record.body.to_vec()).unwrap()
}

/// The first placeholder of an entity in a text, without its brackets.
fn placeholder(text: &str, entity: &str) -> String {
    let beginning = format!("{}_1_", entity.to_uppercase());
    let from = text
        .find(&beginning)
        .unwrap_or_else(|| panic!("no {beginning} in {text}"));
    text[from..from + beginning.len() + 5].to_owned()
}

#[tokio::test]
async fn what_is_replaced_comes_back_in_the_answer() {
    for method in ["pseudonym", "surrogate"] {
        let mut siege = Siege::with_policy(masking(method)).await;
        for surface in Surface::BOTH {
            for stream in [false, true] {
                for kind in Kind::ALL {
                    let canary = siege.canary(kind);
                    let text = canary.sentence();
                    let body = surface.body(surface.route(), stream, &text);
                    let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                    assert_eq!((seen.status, out), (200, 1), "{method} {seen:?}");
                    // The upstream is an echo.
                    assert_eq!(answer(surface, stream, &seen), text, "{method}");
                }
            }
        }
        siege.lift().await;
    }
}

#[tokio::test]
async fn what_is_redacted_is_gone_for_good() {
    let mut siege = Siege::with_policy(masking("redact")).await;
    for surface in Surface::BOTH {
        for stream in [false, true] {
            for kind in Kind::ALL {
                let canary = siege.canary(kind);
                let body = surface.body(surface.route(), stream, &canary.sentence());
                let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!((seen.status, out), (200, 1), "{seen:?}");
                let text = answer(surface, stream, &seen);
                assert!(text.contains("[REDACTED:"), "{text}");
                assert_eq!(Watch::of([&canary]).finds(seen.text.as_bytes()), None);
            }
        }
    }
    siege.lift().await;
}

/// Also a disguised value is replaced, and comes back as it was written.
#[tokio::test]
async fn disguises_are_masked_and_come_back() {
    for method in METHODS {
        let mut siege = Siege::with_policy(masking(method)).await;
        for surface in Surface::BOTH {
            for (place, (name, disguise)) in DISGUISES.into_iter().chain(ENCODINGS).enumerate() {
                let stream = place % 2 == 0;
                let canary = siege.canary(Kind::ALL[place % Kind::ALL.len()]);
                let text = format!("Please note {} for later.", disguise(&canary.value));
                let body = surface.body(surface.route(), stream, &text);
                let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!((seen.status, out), (200, 1), "{method} {name}: {seen:?}");
                let told = answer(surface, stream, &seen);
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                if method == "redact" {
                    assert_eq!(Watch::of([&canary]).finds(told.as_bytes()), None, "{name}");
                } else {
                    assert_eq!(words(&told), words(&text), "{method} {name}");
                }
            }
        }
        siege.lift().await;
    }
}

/// Every place is masked, or the request is refused: it never goes out as it came.
#[tokio::test]
async fn every_place_is_masked_or_refused() {
    for method in METHODS {
        let mut siege = Siege::with_policy(masking(method)).await;
        let mut missed = Vec::new();
        for surface in Surface::BOTH {
            let count = places(surface, "", false, "").len();
            for place in 0..count {
                let canary = siege.canary(Kind::ALL[place % Kind::ALL.len()]);
                let all = places(surface, surface.route(), place % 2 == 0, &canary.sentence());
                let attack = Attack::new(surface, &all[place].1);
                if !siege.is_masked_or_refused(&canary, attack).await {
                    missed.push(format!("{method} {:?}", all[place]));
                }
            }
        }
        assert!(missed.is_empty(), "{missed:#?}");
        siege.lift().await;
    }
}

#[tokio::test]
async fn cut_values_are_masked_or_refused() {
    let mut siege = Siege::with_policy(masking("pseudonym")).await;
    let mut missed = Vec::new();
    for surface in Surface::BOTH {
        for (kind, least) in [(Kind::Card, 1), (Kind::Iban, 1), (Kind::Token, 4)] {
            let length = siege.canary(kind).value.len();
            let step = if kind == Kind::Card { 2 } else { 5 };
            for at in (least..length).step_by(step) {
                let canary = siege.canary(kind);
                let pieces = canary.value.split_at(at);
                let mut splits = splits(surface, surface.route(), at % 2 == 0, pieces);
                splits.retain(|(way, _)| is_joined(kind, way));
                for (way, body) in splits {
                    let attack = Attack::new(surface, &body);
                    if !siege.is_masked_or_refused(&canary, attack).await {
                        missed.push(format!("{surface:?} {way}: {pieces:?}"));
                    }
                }
            }
        }
    }
    assert!(missed.is_empty(), "{}: {missed:#?}", missed.len());
    siege.lift().await;
}

/// What an inside upstream gets is the request as it came.
#[tokio::test]
async fn nothing_is_masked_inside_unless_the_rule_says_always() {
    for (at, raw) in [("outside", true), ("always", false)] {
        let policy = crate::siege::policy(json!({
            "outside_up_to": "confidential",
            "rules": [{"name": "mask", "mask": {"payment_card": "pseudonym", "where": at}}],
        }));
        let mut siege = Siege::with_policy(policy).await;
        for surface in Surface::BOTH {
            let canary = siege.canary(Kind::Card);
            let body = surface.body("inside", false, &canary.sentence());
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (200, 0), "{seen:?}");
            let stayed = siege.stayed();
            let found = Watch::of([&canary]).finds(&stayed[0].body).is_some();
            assert_eq!(found, raw, "{at}: {}", sent(&stayed[0]));
            assert_eq!(answer(surface, false, &seen), canary.sentence());
        }
        siege.lift().await;
    }
}

/// A fallback gets the same masked request as the first choice.
#[tokio::test]
async fn a_fallback_gets_the_masked_request_too() {
    let mut siege = Siege::with_policy(masking("pseudonym")).await;
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let canary = siege.canary(Kind::Iban);
            let first = surface.first(&siege.bench);
            first.push(Script::default().with_fault(Fault::ResetBeforeHeaders));
            let text = canary.sentence();
            let body = surface.body(surface.route(), stream, &text);
            let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
            assert_eq!((seen.status, out), (200, 2), "{seen:?}");
            assert_eq!(seen.header("x-freehold-deployment"), surface.second());
            assert_eq!(answer(surface, stream, &seen), text);
        }
    }
    siege.lift().await;
}

/// An outside fallback of an inside model is sent the masked request, and the inside one the raw.
#[tokio::test]
async fn each_perimeter_gets_its_own_request() {
    let mut siege = Siege::with_policy(masking("pseudonym")).await;
    for surface in Surface::BOTH {
        let canary = siege.canary(Kind::Token);
        for _ in 0..2 {
            siege.bench.house.push(Script::status(500));
        }
        let text = canary.sentence();
        let body = surface.body("eager", false, &text);
        let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        assert!(out >= 1, "{seen:?}");
        assert_eq!(answer(surface, false, &seen), text);
        let watch = Watch::of([&canary]);
        for record in siege.stayed() {
            assert!(watch.finds(&record.body).is_some(), "{}", sent(&record));
        }
    }
    siege.lift().await;
}

#[tokio::test]
async fn counting_tokens_sends_the_masked_request() {
    let mut siege = Siege::with_policy(masking("pseudonym")).await;
    let surface = Surface::Messages;
    for kind in Kind::ALL {
        let canary = siege.canary(kind);
        let body = json!({
            "model": "claude",
            "messages": [{"role": "user", "content": canary.sentence()}],
        });
        let attack = Attack::new(surface, &body).at("/v1/messages/count_tokens");
        let (seen, out) = siege.attack(&canary, attack).await;
        assert_eq!((seen.status, out), (200, 1), "{seen:?}");
        assert!(seen.json()["input_tokens"].as_u64().unwrap() > 0);
        let decision = siege.decisions().pop().unwrap();
        assert_eq!(decision.attempts.len(), 1);
        assert_eq!(decision.attempts[0].backend.as_str(), "claude");
    }
    siege.lift().await;
    let mut siege = Siege::start().await;
    let canary = siege.canary(Kind::Card);
    let body = json!({
        "model": "claude",
        "messages": [{"role": "user", "content": canary.sentence()}],
    });
    let attack = Attack::new(surface, &body).at("/v1/messages/count_tokens");
    siege.refused(&canary, attack).await;
}

/// What a conversation's upstream knows a value by.
async fn known_as(siege: &Siege, surface: Surface, canary: &Canary, talk: &str) -> String {
    let body = surface.body(surface.route(), false, &canary.sentence());
    let headers = [("x-freehold-conversation", talk)];
    let request = siege.bench.post(surface, &body).header(headers[0].0, talk);
    assert_eq!(crate::support::seen(request).await.status, 200);
    let out = siege.went_out();
    placeholder(&sent(&out[0]), canary.kind.entity())
}

/// A value keeps its placeholder from turn to turn, and models may write it as they like: in tool
/// calls, letter by letter, over a wire that cuts anywhere.
#[tokio::test]
async fn tool_calls_are_restored_however_they_are_cut() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let mut siege = Siege::with_policy(masking("pseudonym")).await;
            let canary = siege.canary(Kind::Card);
            let known = known_as(&siege, surface, &canary, "tools").await;
            assert_eq!(known, known_as(&siege, surface, &canary, "tools").await);
            for (fragment, write) in [(1, None), (3, Some(1)), (8, Some(7)), (1_000, Some(1))] {
                for written in [
                    json!({"card": format!("<{known}>"), "list": [known, "<PAYMENT_CARD_9>"]})
                        .to_string(),
                    format!(
                        r#"{{"card":"\u003c{known}\u003e","list":["{known}","<PAYMENT_CARD_9>"]}}"#
                    ),
                ] {
                    let mut script = Script::tool_call("pay", json!({}));
                    script.tool_calls[0].raw_arguments = Some(written.clone());
                    script.fragment_chars = Some(fragment);
                    script.write_bytes = write;
                    surface.first(&siege.bench).push(script);
                    let body = with_tool(surface, stream, &canary.sentence());
                    let headers = [("x-freehold-conversation", "tools")];
                    let attack = Attack::new(surface, &body).with_headers(&headers);
                    let (seen, out) = siege.attack(&canary, attack).await;
                    assert_eq!((seen.status, out), (200, 1), "{seen:?}");
                    let arguments = arguments(surface, stream, &seen);
                    let expected =
                        json!({"card": canary.value, "list": [canary.value, "<PAYMENT_CARD_9>"]});
                    assert_eq!(arguments, expected, "{written}: {seen:?}");
                }
            }
            siege.lift().await;
        }
    }
}

fn with_tool(surface: Surface, stream: bool, text: &str) -> Value {
    let mut body = surface.body(surface.route(), stream, text);
    body["tools"] = if surface == Surface::Chat {
        json!([{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}])
    } else {
        json!([{"name": "pay", "input_schema": {"type": "object"}}])
    };
    body
}

/// The arguments of the one tool call in an answer.
fn arguments(surface: Surface, stream: bool, seen: &Seen) -> Value {
    if !stream {
        let answer = seen.json();
        if surface == Surface::Chat {
            let call = &answer["choices"][0]["message"]["tool_calls"][0];
            let arguments = call["function"]["arguments"].as_str();
            return serde_json::from_str(arguments.unwrap()).unwrap();
        }
        let mut parts = answer["content"].as_array().unwrap().iter();
        return parts.find(|part| part["type"] == "tool_use").unwrap()["input"].clone();
    }
    let frames = seen.text.lines();
    let arguments: String = frames
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .map(|data| {
            let piece = if surface == Surface::Chat {
                &data["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]
            } else {
                &data["delta"]["partial_json"]
            };
            piece.as_str().unwrap_or_default().to_owned()
        })
        .collect();
    serde_json::from_str(&arguments).unwrap_or_else(|error| panic!("{error}: {arguments}"))
}

/// The wire may be cut at any byte.
#[tokio::test]
async fn answers_are_restored_however_the_wire_is_cut() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let mut siege = Siege::with_policy(masking("pseudonym")).await;
            for write in [1, 2, 3, 5, 7, 11, 64] {
                let canary = siege.canary(Kind::Card);
                surface.first(&siege.bench).push(Script {
                    write_bytes: Some(write),
                    ..Script::default()
                });
                let text = format!("{} <{}> \u{e9}{}", canary.value, canary.value, "<PAYMENT_");
                let body = surface.body(surface.route(), stream, &text);
                let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
                assert_eq!((seen.status, out), (200, 1), "{seen:?}");
                assert_eq!(answer(surface, stream, &seen), text);
            }
            siege.lift().await;
        }
    }
}

/// A finding in bytes that a vendor has signed cannot be replaced, so the request is refused.
#[tokio::test]
async fn what_cannot_be_masked_is_refused() {
    let mut siege = Siege::with_policy(masking("pseudonym")).await;
    let surface = Surface::Messages;
    for stream in [false, true] {
        let canary = siege.canary(Kind::Card);
        let mut body = surface.body(surface.route(), stream, "three");
        body["messages"] = json!([
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "well", "signature": canary.sentence()},
                {"type": "text", "text": "two"},
            ]},
            {"role": "user", "content": "three"},
        ]);
        let seen = siege.refused(&canary, Attack::new(surface, &body)).await;
        assert!(seen.text.contains("masked"), "{seen:?}");
        let decision = siege.decisions().pop().unwrap();
        assert_eq!(decision.refusal.unwrap().as_str(), "masking_failed");
        // Inside it is served as it came.
        body["model"] = json!("inside");
        let (seen, out) = siege.attack(&canary, Attack::new(surface, &body)).await;
        assert_eq!((seen.status, out), (200, 0), "{seen:?}");
    }
    siege.lift().await;
}
