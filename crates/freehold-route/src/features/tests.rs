use freehold_types::request::{MediaSource, Reasoning, Tool};
use freehold_types::{Dialect, Extra};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::difficulty::{contributions, difficulty};

fn request(messages: Vec<Message>) -> Request {
    Request::new(Dialect::OpenaiChat, "auto", messages)
}

fn ask(text: &str) -> Request {
    request(vec![Message::text(Role::User, text)])
}

const CODE: &str =
    "```rust\nfn main() {\n    let x = vec![1, 2, 3];\n    println!(\"{x:?}\");\n}\n```\n";

#[test]
fn code_is_told_from_prose() {
    let share = |text: &str| features(&ask(text)).code_permille;
    assert_eq!(share(CODE), 1_000);
    assert!(share(&format!("What does this do?\n{CODE}")) > 700);
    assert!(share("def f(x):\n    return x + 1\nfor i in range(3):\n    y = f(i)\n") >= 500);
    for prose in [
        "Hello, how are you? From time to time I import tea. Let me know.",
        "The class begins at nine; we return at ten (or so). It is const work, var none.",
        "Dear Sir or Madam,\n\nI am writing to you about the invoice of last month.\n\nYours",
    ] {
        assert_eq!(share(prose), 0, "{prose}");
    }
}

#[test]
fn maths_scripts_and_questions_are_counted() {
    let maths = features(&ask("Solve x^2 + 3*x = 4 and \\frac{1}{2} \\int f."));
    assert!(maths.maths_permille > 100, "{maths:?}");
    assert_eq!(features(&ask("Ada met Bob.")).maths_permille, 0);
    assert_eq!(features(&ask("Привет, как дела")).non_latin_permille, 1_000);
    assert_eq!(
        features(&ask("Grüße aus Köln, ça va, señor")).non_latin_permille,
        0
    );
    let half = features(&ask("hello мир мир, five")).non_latin_permille;
    assert!((300..500).contains(&half), "{half}");
    assert_eq!(features(&ask("Who? What? 何？")).questions, 3);
}

#[test]
fn instructions_are_counted_outside_code() {
    let seen = features(&ask("Explain WHY, compare both and prove it."));
    assert_eq!(seen.reasoning_words, 4);
    assert_eq!(
        features(&ask("Translate this and list the verbs.")).simple_words,
        2
    );
    assert_eq!(
        features(&ask("```\nwhy prove compare\n```")).reasoning_words,
        0
    );
}

#[test]
fn the_shape_of_the_request_is_observed() {
    let mut asked = request(vec![
        Message::text(Role::System, "Be brief."),
        Message::text(Role::User, "first"),
        Message::text(Role::Assistant, "answer"),
        Message::text(Role::User, "second?"),
    ]);
    asked.messages[3].parts.push(Part::Image {
        source: MediaSource::FileId("f".into()),
        detail: None,
        extra: Extra::new(),
    });
    asked.tools.push(Tool::Unknown {
        dialect: Dialect::OpenaiChat,
        value: json!({}),
    });
    asked.sampling.max_output_tokens = Some(512);
    asked.reasoning = Some(Reasoning {
        effort: Some("high".into()),
        ..Reasoning::default()
    });
    asked.response_format = ResponseFormat::JsonSchema {
        name: "x".into(),
        description: None,
        schema: json!({"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        }}),
        strict: None,
    };
    let seen = features(&asked);
    assert_eq!((seen.turns, seen.images, seen.tools), (3, 1, 1));
    assert_eq!((seen.last_turn_chars, seen.questions), (7, 1));
    assert_eq!((seen.max_output_tokens, seen.thinking), (512, 1));
    assert_eq!(seen.schema_depth, 1 + 3);
    assert!(seen.prompt_tokens > 1_000, "a picture counts");
    asked.reasoning = Some(Reasoning {
        effort: Some("none".into()),
        ..Reasoning::default()
    });
    assert_eq!(features(&asked).thinking, 0);
}

#[test]
fn deep_and_wide_schemas_are_looked_at_within_bounds() {
    let deep = (0..100).fold(json!({}), |inner, _| json!({"properties": {"a": inner}}));
    assert_eq!(schema_depth(&deep), SCHEMA_DEPTH_MAX);
    let wide: serde_json::Map<_, _> = (0..100_000).map(|n| (n.to_string(), json!({}))).collect();
    assert!(schema_depth(&json!({"properties": wide})) <= 2);
}

#[test]
fn a_long_turn_is_looked_at_within_bounds() {
    let long = format!("{}{}", "word ".repeat(10_000), "why ".repeat(1_000));
    let seen = features(&ask(&long));
    assert_eq!(
        seen.reasoning_words, 0,
        "what lies beyond the bound is not read"
    );
    assert_eq!(seen.last_turn_chars, 54_000);
    // A character on the bound is no problem.
    features(&ask(&format!("x{}", "é".repeat(LOOKED_AT_BYTES))));
}

#[test]
fn turns_of_a_conversation_share_a_bucket() {
    let mut asked = request(vec![
        Message::text(Role::System, "Be brief."),
        Message::text(Role::User, "Who was Ada Lovelace?"),
    ]);
    let first = features(&asked).affinity_bucket;
    asked
        .messages
        .push(Message::text(Role::Assistant, "A mathematician."));
    asked.messages.push(Message::text(Role::User, "Thanks"));
    assert_eq!(features(&asked).affinity_bucket, first);
    assert!(first <= 0xffff);
    let other = features(&ask("Who was Charles Babbage?")).affinity_bucket;
    assert_ne!(other, first);
}

#[test]
fn difficulty_follows_judgement() {
    let of = |text: &str| difficulty(&features(&ask(text)));
    for easy in [
        "hi",
        "Hello! What is the capital of France?",
        "Translate \"good morning\" to German.",
        "List three fruits.",
    ] {
        assert!(of(easy) < 0.2, "{easy}: {}", of(easy));
    }
    let middling = "Explain how a hash map works and why lookups are fast.";
    assert!((0.15..0.5).contains(&of(middling)), "{}", of(middling));
    let hard = format!(
        "Analyze the complexity of this algorithm, prove that it terminates and optimize it. \
         Compare your solution with quicksort: why is it better? x^2 + y^2 = z^2\n{CODE}"
    );
    assert!(of(&hard) > 0.5, "{}", of(&hard));
    assert!(of(&hard) > of(middling));
}

#[test]
fn contributions_add_up_to_the_difficulty() {
    let seen = features(&ask(&format!("Why? Prove it.\n{CODE}")));
    let parts = contributions(&seen);
    assert_eq!(parts[0].feature, "bias");
    let log_odds: f64 = parts.iter().map(|part| part.log_odds).sum();
    let expected = 1.0 / (1.0 + (-log_odds).exp());
    assert!((difficulty(&seen) - expected).abs() < 1e-5);
    assert!(
        parts
            .iter()
            .any(|part| part.feature == "code" && part.log_odds > 0.0)
    );
    assert!(!parts.iter().any(|part| part.feature == "pictures"));
}

proptest! {
    #[test]
    fn any_request_can_be_observed(texts in proptest::collection::vec("\\PC{0,200}", 0..4)) {
        let messages = texts.iter().map(|text| Message::text(Role::User, text.clone())).collect();
        let seen = features(&request(messages));
        prop_assert!(seen.code_permille <= 1_000);
        prop_assert!(seen.non_latin_permille <= 1_000);
        let difficulty = difficulty(&seen);
        prop_assert!((0.0..=1.0).contains(&difficulty));
        // More to do never makes a request easier.
        let longer = Features { tools: seen.tools + 3, images: seen.images + 1, ..seen };
        prop_assert!(crate::difficulty::difficulty(&longer) >= difficulty);
    }

    #[test]
    fn absurd_features_give_a_difficulty(value in any::<u64>()) {
        let absurd = Features {
            prompt_tokens: value,
            maths_permille: value.min(1_000),
            code_permille: value,
            tools: value,
            thinking: value.min(1),
            ..Features::default()
        };
        let difficulty = difficulty(&absurd);
        prop_assert!((0.0..=1.0).contains(&difficulty));
    }
}
