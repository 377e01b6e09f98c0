//! What models make up and policy does not want does not reach clients; what clients sent does.

use freehold_policy::Policy;
use freehold_testkit::{FakeUpstream, Script};
use freehold_types::audit::AuditEvent;
use serde_json::{Value, json};

use crate::siege::{Siege, policy};
use crate::support::{Seen, Surface};

const SENT: &str = "ann.example@mail.example.org";
const MADE_UP: &str = "bob.example@mail.example.org";
const CARD: &str = "5500 0000 0000 0004";

fn redacting(mask: bool) -> Policy {
    let mut rules = vec![json!({
        "name": "nothing-invented",
        "redact_answers": ["contact", "financial"],
    })];
    if mask {
        rules.push(json!({"name": "mask", "mask": ["contact"]}));
    }
    policy(json!({"rules": rules}))
}

fn upstream(siege: &Siege, surface: Surface) -> &FakeUpstream {
    match surface {
        Surface::Chat => &siege.bench.alpha,
        _ => &siege.bench.claude,
    }
}

fn text(surface: Surface, stream: bool, seen: &Seen) -> String {
    assert_eq!(seen.status, 200, "{seen:?}");
    if stream {
        let (text, failed) = surface.stream(&seen.text);
        assert!(!failed, "{seen:?}");
        text
    } else {
        surface.text(&seen.json())
    }
}

#[tokio::test]
async fn what_a_model_makes_up_is_removed_and_what_was_sent_stays() {
    for mask in [false, true] {
        for surface in Surface::BOTH {
            for stream in [false, true] {
                let siege = Siege::with_policy(redacting(mask)).await;
                let answer = format!("I wrote to {SENT} and {MADE_UP}, and charged {CARD} for it.");
                upstream(&siege, surface).push(Script::text(answer));
                let body = surface.body(surface.route(), stream, &format!("write to {SENT}"));
                let seen = siege.bench.ask(surface, &body).await;
                assert_eq!(
                    text(surface, stream, &seen),
                    format!(
                        "I wrote to {SENT} and [REDACTED:email_address], and charged \
                         [REDACTED:payment_card] for it."
                    ),
                    "{mask} {seen:?}"
                );
                let outcome = &siege.bench.outcomes(1).await[0];
                let removed = [
                    ("email_address".to_owned(), 1),
                    ("payment_card".to_owned(), 1),
                ];
                assert_eq!(outcome.redacted, removed.into());
                let decision = siege
                    .audit
                    .events()
                    .into_iter()
                    .find_map(|event| match event {
                        AuditEvent::Decision(decision) => Some(decision),
                        _ => None,
                    })
                    .unwrap();
                assert_eq!(decision.redacted.len(), 2);
            }
        }
    }
}

#[tokio::test]
async fn tool_calls_stay_json() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let siege = Siege::with_policy(redacting(false)).await;
            let arguments = json!({"to": [SENT, MADE_UP], "card": 5_500_000_000_000_004_u64});
            upstream(&siege, surface).push(Script::tool_call("send", arguments));
            let mut body = surface.body(surface.route(), stream, &format!("write to {SENT}"));
            let schema = json!({"type": "object"});
            body["tools"] = match surface {
                Surface::Chat => {
                    json!([{"type": "function", "function": {"name": "send", "parameters": schema}}])
                }
                _ => json!([{"name": "send", "input_schema": schema}]),
            };
            let seen = siege.bench.ask(surface, &body).await;
            assert_eq!(seen.status, 200, "{seen:?}");
            for gone in [MADE_UP, "5500000000000004"] {
                assert!(!seen.text.contains(gone), "{seen:?}");
            }
            let told: Value = arguments_of(surface, stream, &seen);
            assert_eq!(
                told,
                json!({"to": [SENT, "[REDACTED:email_address]"], "card": "[REDACTED:payment_card]"})
            );
        }
    }
}

/// The arguments of the one tool call in an answer.
fn arguments_of(surface: Surface, stream: bool, seen: &Seen) -> Value {
    let pieces: Vec<Value> = if stream {
        let data = seen
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    } else {
        vec![seen.json()]
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match (surface, stream) {
        (Surface::Chat, _) => {
            let place = if stream { "delta" } else { "message" };
            let written: String = pieces
                .iter()
                .filter_map(|piece| {
                    text(&piece["choices"][0][place]["tool_calls"][0]["function"]["arguments"])
                })
                .collect();
            serde_json::from_str(&written).unwrap()
        }
        (_, true) => {
            let pieces = pieces.iter();
            let written: String = pieces
                .filter_map(|piece| text(&piece["delta"]["partial_json"]))
                .collect();
            serde_json::from_str(&written).unwrap()
        }
        (_, false) => {
            let blocks = pieces[0]["content"].as_array().unwrap().iter();
            let mut inputs = blocks.filter_map(|block| block.get("input"));
            inputs.next().unwrap().clone()
        }
    }
}

#[tokio::test]
async fn without_a_rule_answers_are_what_upstreams_write() {
    let siege = Siege::start().await;
    let answer = format!("write to {MADE_UP}");
    siege.bench.alpha.push(Script::text(answer.clone()));
    let body = Surface::Chat.body("single", false, "whom?");
    let seen = siege.bench.ask(Surface::Chat, &body).await;
    assert_eq!(text(Surface::Chat, false, &seen), answer);
    assert!(siege.bench.outcomes(1).await[0].redacted.is_empty());
}
