//! What each attempt is sent, and what the client gets back, when policy masks.

use std::sync::Arc;
use std::time::Duration;

use freehold_guard::Classifier;
use freehold_pipeline::{Answer, AnswerBody};
use freehold_policy::{Claim, Policy};
use freehold_ports::Chunk;
use freehold_route::RouteSettings;
use freehold_types::{
    Delta, ErrorKind, Event, Extra, Message, OutcomeStatus, Part, PartKind, Request, Role,
};
use serde_json::{Value, json};

use crate::support::{
    Bench, Reply, chunk, closing, fails, guard, opening, policy, reported, retries,
};

const CARD: &str = "4012 8888 8888 1881";

/// Cards may leave, replaced; before which backends, `at` says.
fn masks(at: &str) -> Policy {
    policy(json!({
        "outside_up_to": "confidential",
        "rules": [{"name": "mask", "mask": {"payment_card": "pseudonym", "where": at}}],
    }))
}

fn bench(settings: RouteSettings, policy: Policy) -> Bench {
    Bench::with(settings, policy, guard(), None)
}

/// A policy that lets nothing be served inside.
fn outside_only() -> Policy {
    policy(json!({
        "outside_up_to": "confidential",
        "rules": [
            {"name": "mask", "mask": ["payment_card"]},
            {"name": "away", "require": {"deployments": "two/*"}},
        ],
    }))
}

async fn serve(bench: &Bench, stream: bool) -> Result<Answer, freehold_pipeline::Failure> {
    let mut admission = bench.admission(Claim::None, stream);
    admission.request.messages = vec![Message::text(Role::User, format!("charge {CARD} please"))];
    bench.pipeline.serve(admission, |_| 599).await
}

fn is_raw(sent: &str) -> bool {
    sent.contains(CARD)
}

fn is_masked(sent: &str) -> bool {
    !sent.contains("1881") && !sent.contains("8888") && sent.contains("<PAYMENT_CARD_1_")
}

/// All chunks of an answer, streamed or whole.
async fn chunks(answer: Answer) -> Vec<Chunk> {
    match answer.body {
        AnswerBody::Whole(chunk) => vec![chunk],
        AnswerBody::Stream(mut stream) => {
            let mut chunks = Vec::new();
            while let Some(chunk) = stream.recv().await {
                chunks.push(chunk.unwrap());
            }
            chunks
        }
    }
}

/// What the deltas of an answer add up to: text, thoughts, arguments.
fn told(chunks: &[Chunk]) -> [String; 3] {
    let mut told = [String::new(), String::new(), String::new()];
    for event in chunks.iter().flat_map(|chunk| &chunk.events) {
        if let Event::PartDelta { delta, .. } = event {
            match delta {
                Delta::Text { text, .. } => told[0] += text,
                Delta::Thinking(text) => told[1] += text,
                Delta::Arguments(text) => told[2] += text,
                _ => {}
            }
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn retries_are_sent_the_masked_request() {
    for stream in [false, true] {
        let bench = bench(retries(2), outside_only());
        bench.two.push(fails(ErrorKind::Overloaded));
        bench.two.push(fails(ErrorKind::Overloaded));
        serve(&bench, stream).await.unwrap();
        let sent = bench.two.sent();
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|sent| is_masked(sent)), "{sent:?}");
        assert!(sent.iter().all(|other| *other == sent[0]));
        assert!(bench.one.sent().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_outside_is_sent_the_masked_request_and_inside_the_raw() {
    for (at, inside) in [
        ("outside", is_raw as fn(&str) -> bool),
        ("always", is_masked),
    ] {
        for stream in [false, true] {
            let bench = bench(retries(1), masks(at));
            bench.one.push(fails(ErrorKind::Unavailable));
            bench.one.push(fails(ErrorKind::Unavailable));
            serve(&bench, stream).await.unwrap();
            let (one, two) = (bench.one.sent(), bench.two.sent());
            assert_eq!((one.len(), two.len()), (2, 1));
            assert!(one.iter().all(|sent| inside(sent)), "{at}: {one:?}");
            assert!(is_masked(&two[0]), "{at}: {two:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_outside_is_sent_the_masked_request() {
    let settings = RouteSettings {
        hedge_after_ms: Some(100),
        ..retries(0)
    };
    let bench = bench(settings, masks("outside"));
    bench.one.push(Reply::Hangs(vec![]));
    bench.two.push(echo());
    let answer = serve(&bench, true).await.unwrap();
    assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "two/m");
    assert_eq!(
        told(&chunks(answer).await)[0],
        format!("charge {CARD} please")
    );
    assert!(is_raw(&bench.one.sent()[0]));
    assert!(is_masked(&bench.two.sent()[0]), "{:?}", bench.two.sent());
    assert_eq!(bench.outcome().await.attempts.len(), 2);
}

/// A hedge that policy denies is not made, however slow the first is.
#[tokio::test(start_paused = true)]
async fn a_hedge_that_may_not_leave_is_not_made() {
    let settings = RouteSettings {
        hedge_after_ms: Some(1),
        ..retries(3)
    };
    let bench = Bench::new(settings);
    bench
        .one
        .push(crate::support::good(Duration::from_secs(50)));
    let answer = serve(&bench, false).await.unwrap();
    assert_eq!(answer.head.deployment.as_ref().unwrap().as_str(), "one/m");
    assert!(bench.two.sent().is_empty());
    assert_eq!(bench.outcome().await.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn counting_tokens_sends_what_answering_would() {
    let counted = async |policy: Policy, claim: Claim| {
        let bench = bench(retries(0), policy);
        let mut admission = bench.admission(claim, false);
        admission.request.messages = vec![Message::text(Role::User, format!("charge {CARD}"))];
        let tokens = bench.pipeline.count_tokens(admission).await;
        (tokens, bench.one.sent(), bench.two.sent())
    };
    let (tokens, one, two) = counted(outside_only(), Claim::None).await;
    assert!(tokens.unwrap() > 0);
    assert!(one.is_empty() && is_masked(&two[0]), "{two:?}");
    let (tokens, one, two) = counted(masks("outside"), Claim::None).await;
    assert!(tokens.unwrap() > 0);
    assert!(two.is_empty() && is_raw(&one[0]), "{one:?}");
    let (tokens, one, two) = counted(masks("always"), Claim::None).await;
    assert!(tokens.unwrap() > 0);
    assert!(two.is_empty() && is_masked(&one[0]), "{one:?}");
    let restricted = Claim::Label(freehold_types::Sensitivity::Restricted);
    let (tokens, one, two) = counted(outside_only(), restricted).await;
    assert_eq!(tokens.unwrap_err().kind, ErrorKind::PolicyRefused);
    assert!(one.is_empty() && two.is_empty());
}

fn user_text(request: &Request) -> String {
    let Part::Text { text, .. } = &request.messages[0].parts[0] else {
        panic!("no text in {request:?}");
    };
    text.clone()
}

fn delta(part: u32, delta: Delta) -> Chunk {
    chunk([Event::PartDelta {
        choice: 0,
        part,
        delta,
    }])
}

type MakeDelta = fn(&str) -> Delta;

fn text_delta(text: &str) -> Delta {
    Delta::Text {
        text: text.to_owned(),
        logprobs: vec![],
    }
}

/// Says what it was told.
fn echo() -> Reply {
    Reply::Made(Arc::new(|request| {
        let text = user_text(request);
        vec![
            opening(),
            delta(0, text_delta(&text)),
            closing(Some(reported())),
        ]
    }))
}

/// An upstream that repeats what it was told in a text, a thought and a tool call, each in three
/// pieces that are cut here and there.
fn cut(first: usize, second: usize) -> Reply {
    Reply::Made(Arc::new(move |request| {
        let told = user_text(request);
        let text = format!("<{told}> <PAYMENT_CARD_1>");
        let arguments = json!({"to": told, "forged": "<PAYMENT_CARD_1>"}).to_string();
        let start = |part, kind| {
            chunk([Event::PartStart {
                choice: 0,
                part,
                kind,
            }])
        };
        let mut chunks = vec![opening(), start(1, PartKind::Thinking)];
        let kind = PartKind::ToolCall {
            id: "c1".to_owned(),
            name: "pay".to_owned(),
        };
        chunks.push(start(2, kind));
        let kinds: [(&str, MakeDelta); 3] = [
            (&text, text_delta),
            (&text, |piece| Delta::Thinking(piece.to_owned())),
            (&arguments, |piece| Delta::Arguments(piece.to_owned())),
        ];
        for piece in 0..3 {
            for (part, (whole, make)) in (0..).zip(&kinds) {
                let ends = [
                    0,
                    first.min(whole.len()),
                    second.min(whole.len()),
                    whole.len(),
                ];
                chunks.push(delta(part, make(&whole[ends[piece]..ends[piece + 1]])));
            }
        }
        chunks.push(closing(Some(reported())));
        chunks
    }))
}

/// Wherever an answer is cut, the client reads the same.
#[tokio::test(start_paused = true)]
async fn answers_are_restored_wherever_they_are_cut() {
    let text = format!("<charge {CARD} please> <PAYMENT_CARD_1>");
    let arguments =
        json!({"to": format!("charge {CARD} please"), "forged": "<PAYMENT_CARD_1>"}).to_string();
    let bench = bench(retries(0), outside_only());
    for stream in [false, true] {
        // The answer's arguments are the longest, and less than this.
        for first in 0..96 {
            for second in [first, first + 1, first + 7, first + 30] {
                bench.two.push(cut(first, second));
                let answer = serve(&bench, stream).await.unwrap();
                let chunks = chunks(answer).await;
                let said = told(&chunks);
                assert_eq!(said[0], text, "{first} {second}");
                assert_eq!(said[1], text, "{first} {second}");
                assert_eq!(said[2], arguments, "{first} {second}");
                // The upstream's own bytes would still hold placeholders.
                assert!(chunks.iter().all(|chunk| chunk.raw.is_none()));
            }
        }
    }
    assert!(bench.two.sent().iter().all(|sent| is_masked(sent)));
}

/// What was held back of an answer that breaks off is not lost, and nothing is made up.
#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_within_a_placeholder_is_cut_once() {
    let bench = bench(retries(0), outside_only());
    bench.two.push(Reply::Made(Arc::new(|request| {
        let told = user_text(request);
        let cut = told.find("_1_").unwrap();
        vec![
            opening(),
            delta(0, text_delta("well, ")),
            delta(0, text_delta(&told[..cut])),
        ]
    })));
    let answer = serve(&bench, true).await.unwrap();
    let AnswerBody::Stream(mut stream) = answer.body else {
        panic!("not a stream");
    };
    let (mut good, mut errors) = (vec![], 0);
    while let Some(chunk) = stream.recv().await {
        match chunk {
            Ok(chunk) => good.push(chunk),
            Err(error) => {
                errors += 1;
                assert!(!error.message.contains("1881"));
            }
        }
    }
    assert_eq!(errors, 1);
    assert!(told(&good)[0].starts_with("well, charge"), "{good:?}");
    assert!(!told(&good)[0].contains("1881"));
    assert_eq!(bench.outcome().await.status, OutcomeStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_masked_is_refused() {
    let signed = Part::Thinking {
        text: "well".to_owned(),
        signature: Some(format!("charge {CARD}")),
        extra: Extra::new(),
    };
    for stream in [false, true] {
        for hedge_after_ms in [None, Some(1)] {
            let settings = RouteSettings {
                hedge_after_ms,
                ..retries(2)
            };
            let bench = bench(settings, outside_only());
            let mut admission = bench.admission(Claim::None, stream);
            let mut thought = Message::text(Role::Assistant, "well");
            thought.parts.insert(0, signed.clone());
            admission.request.messages.insert(0, thought);
            let failure = bench.pipeline.serve(admission, |_| 403).await.unwrap_err();
            assert_eq!(failure.error.kind, ErrorKind::PolicyRefused);
            assert_eq!(failure.error.code.as_deref(), Some("masking_failed"));
            assert!(!failure.error.message.contains("1881"));
            assert!(bench.one.sent().is_empty() && bench.two.sent().is_empty());
            let outcome = bench.outcome().await;
            assert_eq!(outcome.status, OutcomeStatus::Refused);
            assert!(outcome.attempts.is_empty());
        }
    }
}

/// Works for the scan of the request, and fails when it is masked.
struct Fragile(std::sync::atomic::AtomicUsize);

impl Classifier for Fragile {
    fn entity(&self) -> &str {
        "topic"
    }

    fn score(&self, text: &str) -> f32 {
        use std::sync::atomic::Ordering::Relaxed;
        let asked = if text.contains("1881") {
            self.0.fetch_add(1, Relaxed)
        } else {
            0
        };
        assert_eq!(asked, 0, "a defect in a scanner");
        0.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_scanner_that_fails_while_masking_lets_nothing_out() {
    for stream in [false, true] {
        let guard = guard().with_classifier(Arc::new(Fragile(0.into())));
        let bench = Bench::with(retries(1), outside_only(), guard, None);
        let failure = serve(&bench, stream).await.unwrap_err();
        assert_eq!(failure.error.code.as_deref(), Some("masking_failed"));
        assert!(bench.one.sent().is_empty() && bench.two.sent().is_empty());
    }
}

/// Values that were replaced are the client's: what an answer costs is what the upstream wrote.
#[tokio::test(start_paused = true)]
async fn the_strictest_of_several_rules_holds() {
    for (methods, expected) in [
        (["surrogate", "pseudonym"], "<PAYMENT_CARD_1_"),
        (["pseudonym", "redact"], "[REDACTED:payment_card]"),
        (["redact", "surrogate"], "[REDACTED:payment_card]"),
    ] {
        let rules: Vec<Value> = (0..)
            .zip(methods)
            .map(|(number, method)| {
                json!({"name": format!("rule-{number}"), "mask": {"payment_card": method}})
            })
            .collect();
        let mut rules = rules;
        rules.push(json!({"name": "away", "require": {"deployments": "two/*"}}));
        let policy = policy(json!({"outside_up_to": "confidential", "rules": rules}));
        let bench = bench(retries(0), policy);
        serve(&bench, false).await.unwrap();
        let sent = bench.two.sent();
        assert!(sent[0].contains(expected), "{methods:?}: {sent:?}");
        assert!(!is_raw(&sent[0]));
    }
}
