use freehold_types::request::{MediaSource, Tool};
use freehold_types::{Dialect, Extra, Message, Part, Request, Role};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const PROSE: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, \
it was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was \
the season of Light, it was the season of Darkness. In 1775 there were about 650,000 inhabitants.\n\n\
Notwithstanding considerable improvements in transportation infrastructure, the municipality's \
administrators (and their predecessors) hadn't anticipated such unprecedented growth.\n";

const RUST: &str = r#"
impl<'a> Iterator for Splits<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let max = self.text.len();
        while let Some(m) = self.pat.find(Input::new(self.text).span(self.last..max)) {
            // The look-ahead character is dropped: see `PATTERN_LOOKAHEAD`.
            if m.range().is_empty() && self.lookahead[m.pattern().as_usize()] { continue; }
            self.last = m.end();
            return Some(&self.text[m.range()]);
        }
        None
    }
}
"#;

const PYTHON: &str = r#"
def fit(self, X, y=None, *, sample_weight=None, max_iter=1000):
    """Fit the model to data matrix X and target(s) y."""
    check_is_fitted(self, "coef_")
    for epoch in range(self.n_epochs):
        loss = np.mean((self.predict(X) - y) ** 2) + 0.01 * np.sum(self.coef_ ** 2)
        if loss < self.tolerance:
            print(f"converged after {epoch} epochs, loss={loss:.4f}")
            break
    return self
"#;

fn error_percent(text: &str) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let (guess, truth) = (estimate_text(text) as f64, count_text(text) as f64);
    100.0 * (guess - truth) / truth
}

#[test]
fn guesses_are_close_to_the_tokenizer() {
    for (what, text, tolerance_percent) in [
        ("prose", PROSE, 15.0),
        ("rust", RUST, 15.0),
        ("python", PYTHON, 15.0),
        (
            "german",
            "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit \
             Vernunft und Gewissen begabt und sollen einander im Geiste der Brüderlichkeit begegnen.",
            25.0,
        ),
        (
            "russian",
            "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены \
             разумом и совестью и должны поступать в отношении друг друга в духе братства.",
            25.0,
        ),
        (
            "chinese",
            "人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出一种新的能以人类智能相似的方式\
             做出反应的智能机器。",
            25.0,
        ),
        (
            "japanese",
            "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした\
             所でニャーニャー泣いていた事だけは記憶している。",
            25.0,
        ),
        (
            "arabic",
            "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا وعليهم أن \
             يعامل بعضهم بعضًا بروح الإخاء.",
            25.0,
        ),
    ] {
        let error = error_percent(text);
        assert!(
            error.abs() <= tolerance_percent,
            "{what}: {error:.1} % ({} for {})",
            estimate_text(text),
            count_text(text)
        );
    }
}

#[test]
fn empty_text_has_no_tokens() {
    assert_eq!(estimate_text(""), 0);
    assert_eq!(count_text(""), 0);
    assert_eq!(estimate_text("a"), 1);
}

#[test]
fn long_texts_are_extrapolated_and_fast() {
    let text = "a".repeat(3 * COUNTED_BYTES);
    let whole = count_text(&text);
    let third = count_text(&text[..COUNTED_BYTES]);
    assert_eq!(whole, 3 * third);
    // A character on the boundary is no problem.
    let text = format!("x{}", "é".repeat(COUNTED_BYTES));
    assert!(count_text(&text) > 0);
}

proptest! {
    #[test]
    fn any_text_can_be_estimated(text in "\\PC{0,200}") {
        let tokens = estimate_text(&text);
        // A token is at least a byte's worth and never thousands of bytes of mixed text.
        prop_assert!(tokens <= 2 * text.len() as u64 + 1);
        prop_assert_eq!(tokens == 0, text.is_empty());
    }
}

fn request(messages: Vec<Message>) -> Request {
    Request::new(Dialect::OpenaiChat, "auto", messages)
}

#[test]
fn a_request_counts_everything_the_model_reads() {
    let plain = request(vec![Message::text(Role::User, "hello there")]);
    let base = estimate_request(&plain);
    assert_eq!(base, 3 + 4 + 3); // the text, rounded up, and the overheads

    let mut pictured = plain.clone();
    pictured.messages[0].parts.push(Part::Image {
        source: MediaSource::Url("https://example.org/cat.png".into()),
        detail: None,
        extra: Extra::new(),
    });
    assert_eq!(estimate_request(&pictured), base + IMAGE_TOKENS);

    let mut tooled = plain.clone();
    tooled.tools.push(Tool::Function {
        name: "get_weather".into(),
        description: Some("Tells the weather of a city.".into()),
        parameters: Some(json!({
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city."}},
            "required": ["city"],
        })),
        strict: None,
        extra: Extra::new(),
    });
    let tools = estimate_request(&tooled) - base;
    assert!((35..=80).contains(&tools), "{tools}");

    let mut called = plain.clone();
    called.messages.push(Message {
        role: Role::User,
        parts: vec![Part::ToolResult {
            call_id: "1".into(),
            parts: vec![Part::text("sunny and warm in the afternoon")],
            is_error: false,
            extra: Extra::new(),
        }],
        name: None,
        extra: Extra::new(),
    });
    assert!(estimate_request(&called) > base + 10);
}

#[test]
fn long_requests_are_sampled_and_stay_close() {
    let text = format!("{PROSE}{RUST}{PYTHON}").repeat(150);
    let whole = estimate_text(&text);
    let asked = request(vec![
        Message::text(Role::User, text.clone()),
        Message::text(Role::User, format!("é{text}")),
    ]);
    let sampled = estimate_request(&asked);
    let (low, high) = (2 * whole * 95 / 100, 2 * whole * 105 / 100);
    assert!(
        (low..=high).contains(&sampled),
        "{sampled} for {}",
        2 * whole
    );
}

#[test]
fn absurdly_nested_values_do_not_overflow_the_stack() {
    let mut part = Part::text("deep");
    for _ in 0..2_000 {
        part = Part::ToolResult {
            call_id: String::new(),
            parts: vec![part],
            is_error: false,
            extra: Extra::new(),
        };
    }
    let deep = request(vec![Message {
        role: Role::Tool,
        parts: vec![part],
        name: None,
        extra: Extra::new(),
    }]);
    assert!(estimate_request(&deep) > 100);
}

proptest! {
    /// Whatever the text, the tokenizer makes no more of it than the bound says.
    #[test]
    fn a_bound_is_not_passed(text in "\\PC{0,200}|[\\x00-\\x7f]{0,80}|[\u{1F300}-\u{1F9FF}]{0,40}") {
        let asked = Request::new(
            Dialect::OpenaiChat,
            "m",
            vec![Message::text(Role::User, text.as_str())],
        );
        prop_assert!(count_text(&text) < bound_request(&asked));
        prop_assert!(estimate_request(&asked) <= bound_request(&asked));
    }
}
