use freehold_types::request::Tool;
use freehold_types::{Dialect, Extra};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn request(messages: Vec<Message>) -> Request {
    Request::new(Dialect::OpenaiChat, "auto", messages)
}

fn flow(system: &str) -> Option<String> {
    let messages = vec![
        Message::text(Role::System, system),
        Message::text(Role::User, "What now?"),
    ];
    discover_flow(&request(messages)).map(|flow| flow.as_str().to_owned())
}

fn tool(name: &str) -> Tool {
    Tool::Function {
        name: name.to_owned(),
        description: Some("what it does".to_owned()),
        parameters: Some(json!({"type": "object"})),
        strict: None,
        extra: Extra::new(),
    }
}

/// Templates as programs have them, with two fillings each.
const TEMPLATES: [(&str, [&str; 2], [&str; 2]); 7] = [
    (
        "You are the support agent of a web shop. You talk to {a}. Today is {b}. Answer politely and briefly.",
        ["Ann Smith", "Jos\u{e9} Garc\u{ed}a L\u{f3}pez"],
        ["2026-11-21", "3 March 2027"],
    ),
    (
        "Translate what the user says.\nTarget language: {a}\nTone: {b}\nKeep names and numbers as they are.",
        ["German", "brazilian portuguese"],
        ["formal", "very friendly and warm"],
    ),
    (
        "Extract the invoice's fields as JSON.\n<document>{a}</document>\nThe account is {b}. Never guess.",
        [
            "Invoice 17 of Blue Ltd",
            "a very long text\n\nwith many lines and more words",
        ],
        ["ac_3f9", "ac_77b2"],
    ),
    (
        "Answer only from the context, and say so when it does not hold the answer.\n\nContext:\n{a}\n\nQuestion of {b}:",
        [
            "the sky is blue\nand the grass is green",
            "prices rose by a tenth",
        ],
        ["Ann", "Bob"],
    ),
    (
        "Classify the ticket \"{a}\" of {b} into one of the given classes, and answer with the class alone.",
        ["my order is late", "refund please, and quickly"],
        ["ann@example.org", "bob@example.com"],
    ),
    (
        "Du bist eine Hilfe f\u{fc}r die Buchhaltung von {a}. Pr\u{fc}fe jede Buchung vom {b} und erkl\u{e4}re kurz, was daran falsch ist.",
        ["Meyer GmbH", "Schulze KG"],
        ["1.2.2026", "28.11.2026"],
    ),
    (
        "Review the code below for mistakes.\n```\n{a}\n```\nThe repository is at {b}. Be strict but kind.",
        ["fn main() {}", "print('hello') # and more words in here"],
        ["https://example.org/a", "https://example.com/b/c?d=e"],
    ),
];

fn filled(template: &str, a: &str, b: &str) -> String {
    template.replace("{a}", a).replace("{b}", b)
}

#[test]
fn what_is_filled_in_does_not_matter_and_what_is_asked_does() {
    let mut names = std::collections::BTreeSet::new();
    for (template, first, second) in TEMPLATES {
        let name = flow(&filled(template, first[0], second[0])).unwrap();
        for a in first {
            for b in second {
                let text = filled(template, a, b);
                let words: Vec<_> = skeleton(&text).collect();
                assert_eq!(flow(&text).as_ref(), Some(&name), "{text}: {words:?}");
            }
        }
        assert!(names.insert(name), "{template}");
    }
}

/// Names stand in ledgers: they may never change.
#[test]
fn names_are_for_ever() {
    let (template, first, second) = TEMPLATES[0];
    let name = flow(&filled(template, first[0], second[0]));
    assert_eq!(name.as_deref(), Some("auto-2a95295e43"));
    let mut with_tools = request(vec![]);
    with_tools.tools = vec![tool("search"), tool("fetch")];
    let name = discover_flow(&with_tools).unwrap();
    assert_eq!(name.as_str(), "auto-e2005140f4");
}

#[test]
fn tools_take_part_in_any_order() {
    let ask = |names: &[&str]| {
        let mut request = request(vec![Message::text(Role::System, "Answer with the tools.")]);
        request.tools = names.iter().map(|name| tool(name)).collect();
        discover_flow(&request)
    };
    assert_eq!(ask(&["a", "b"]), ask(&["b", "a"]));
    assert_ne!(ask(&["a", "b"]), ask(&["a"]));
    assert_ne!(ask(&["ab"]), ask(&["a", "b"]));
}

#[test]
fn without_instructions_there_is_no_flow() {
    assert_eq!(
        discover_flow(&request(vec![Message::text(
            Role::User,
            "hello there, you"
        )])),
        None
    );
    assert_eq!(flow(""), None);
    assert_eq!(flow("Be kind."), None);
    assert_eq!(flow("12 34 56 78"), None);
    assert!(flow("You are a helpful assistant.").is_some());
}

/// What the user says, and instructions in the middle of a conversation, are no part of a flow.
#[test]
fn a_conversation_stays_in_its_flow() {
    let system = Message::text(Role::System, "Answer the question in one short line.");
    let mut messages = vec![system, Message::text(Role::User, "why?")];
    let begun = discover_flow(&request(messages.clone()));
    messages.push(Message::text(Role::Assistant, "because"));
    messages.push(Message::text(
        Role::System,
        "now in two lines, and more than that",
    ));
    messages.push(Message::text(Role::User, "how?"));
    assert_eq!(discover_flow(&request(messages)), begun);
}

#[test]
fn hostile_text_is_read_in_bounds() {
    for text in [
        "<a ".repeat(20_000),
        "\"".repeat(50_000),
        "`".repeat(50_000),
        "\u{1f600}<".repeat(9_000),
    ] {
        // It ends, and that is all.
        let _ = flow(&text);
    }
}

proptest! {
    #[test]
    fn any_text_has_one_name(text in "\\PC{0,400}") {
        prop_assert_eq!(flow(&text), flow(&text));
    }

    #[test]
    fn names_numbers_and_documents_may_be_anything(
        name in "[A-Z][a-z]{1,9}( [A-Z][a-z]{1,9}){0,2}",
        number in "[0-9]{1,4}([-/.][0-9]{1,4}){0,2}",
        document in "[a-zA-Z0-9 .,\n]{0,300}",
    ) {
        let text = format!(
            "You help customers of a bank. You talk to {name}, number {number}, about a loan. \
             <document>{document}</document> Answer only from the document."
        );
        prop_assert_eq!(flow(&text), flow(
            "You help customers of a bank. You talk to Ann, number 1, about a loan. \
             <document></document> Answer only from the document."
        ));
    }
}
