//! Two tenants at one gateway: nothing of one reaches the other.

use crate::canary::{Kind, Watch};
use crate::siege::{Attack, Siege, masking};
use crate::support::{ACME_KEY, BELL_KEY, Surface};

const CONVERSATION: &str = "x-freehold-conversation";

/// There is no cache: the same prompt is asked anew each time, for whomever.
#[tokio::test]
async fn the_same_prompt_is_asked_for_each_tenant() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let mut siege = Siege::with_policy(masking("pseudonym")).await;
            let canary = siege.canary(Kind::Card);
            let body = surface.body(surface.route(), stream, &canary.sentence());
            let mut sent = Vec::new();
            for key in [ACME_KEY, BELL_KEY, ACME_KEY] {
                let attack = Attack::new(surface, &body).with_key(key);
                let (seen, out) = siege.attack(&canary, attack).await;
                assert_eq!((seen.status, out), (200, 1), "{seen:?}");
                let watch = Watch::of([&canary]);
                assert!(watch.finds(seen.text.as_bytes()).is_some(), "{seen:?}");
                sent.push(placeholder(
                    &seen_by_upstream(surface, &siege, &body, key).await,
                ));
            }
            assert_ne!(sent[0], sent[1], "each tenant has its own placeholders");
            assert_eq!(sent[0], sent[2]);
            siege.lift().await;
        }
    }
}

/// What the upstream gets of a request.
async fn seen_by_upstream(
    surface: Surface,
    siege: &Siege,
    body: &serde_json::Value,
    key: &str,
) -> String {
    let request = siege.bench.post(surface, body).bearer_auth(key);
    let request = request.build().unwrap();
    let mut headers = request.headers().clone();
    headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
    let sent = siege
        .bench
        .http
        .post(request.url().clone())
        .headers(headers)
        .json(body);
    assert_eq!(crate::support::seen(sent).await.status, 200);
    let out = siege.went_out();
    String::from_utf8(out.last().unwrap().body.to_vec()).unwrap()
}

/// The first placeholder for a card in a text.
fn placeholder(text: &str) -> String {
    let from = text
        .find("PAYMENT_CARD_1_")
        .unwrap_or_else(|| panic!("{text}"));
    let length = "PAYMENT_CARD_1_".len() + 5;
    format!("<{}>", &text[from..from + length])
}

/// The upstream repeats a placeholder of another tenant's, or of nobody's: it stays what it is.
#[tokio::test]
async fn no_tenant_gets_the_value_behind_a_foreign_placeholder() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let mut siege = Siege::with_policy(masking("pseudonym")).await;
            let theirs = siege.canary(Kind::Card);
            let body = surface.body(surface.route(), stream, &theirs.sentence());
            let attack = Attack::new(surface, &body).with_key(ACME_KEY);
            let headers = [(CONVERSATION, "talk")];
            siege.attack(&theirs, attack.with_headers(&headers)).await;
            let stolen = placeholder(&seen_by_upstream(surface, &siege, &body, ACME_KEY).await);

            let ours = siege.canary(Kind::Card);
            for forged in [
                stolen.clone(),
                stolen.to_lowercase(),
                stolen.trim_matches(['<', '>']).to_owned(),
                "<PAYMENT_CARD_1>".to_owned(),
                "<PAYMENT_CARD_2_bbbbb>".to_owned(),
            ] {
                for talk in ["talk", "another"] {
                    let text = format!("{} and {forged} too", ours.value);
                    let body = surface.body(surface.route(), stream, &text);
                    let headers = [(CONVERSATION, talk)];
                    let attack = Attack::new(surface, &body)
                        .with_key(BELL_KEY)
                        .with_headers(&headers);
                    let (seen, out) = siege.attack(&ours, attack).await;
                    assert_eq!((seen.status, out), (200, 1), "{seen:?}");
                    let answer = if stream {
                        surface.stream(&seen.text).0
                    } else {
                        surface.text(&seen.json())
                    };
                    // The upstream is an echo.
                    assert_eq!(answer, text);
                    assert_eq!(Watch::of([&theirs]).finds(answer.as_bytes()), None);
                }
            }
            siege.lift().await;
        }
    }
}
