//! What users say of answers in words, with the real program: kept where policy lets text of the
//! request be stored, and told truthfully where it is not.

use std::time::Instant;

use serde_json::{Value, json};

use crate::program::Gateway;
use crate::prompts::{MAIL, MASKED, ORIGINAL, PATIENCE, Scene};

const SECRET: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n\
                      -----END PRIVATE KEY-----";

/// Sends a text; the request's id.
fn ask(gateway: &Gateway, text: &str) -> String {
    ask_as(gateway, "", text)
}

fn ask_as(gateway: &Gateway, headers: &str, text: &str) -> String {
    let asked = json!({"model": "far/m", "user": "user-17", "metadata": {"team": "hr"},
        "messages": [{"role": "user", "content": text}]});
    let (status, id, answer) = gateway.post_with("/v1/chat/completions", headers, &asked);
    assert_eq!(status, 200, "{answer}");
    id
}

/// Says something of an answer, as soon as the ledger knows the request.
fn say(gateway: &Gateway, request: &str, told: &Value) -> Value {
    say_as(gateway, "", request, told)
}

fn say_as(gateway: &Gateway, headers: &str, request: &str, told: &Value) -> Value {
    let mut told = told.clone();
    told["request_id"] = json!(request);
    told["score"] = json!(0.5);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, _, answer) = gateway.post_with("/v1/feedback", headers, &told);
        if status == 200 {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            return serde_json::from_str(body).unwrap();
        }
        assert_eq!(status, 404, "{answer}");
        assert!(Instant::now() < deadline, "{answer}");
    }
}

/// Why each text is not stored.
fn reasons(given: &Value) -> Vec<(&str, &str)> {
    let left_out = given["not_stored"].as_array().unwrap().iter();
    let texts = left_out.map(|one| {
        assert!(one["message"].as_str().unwrap().len() > 10, "{given}");
        (
            one["field"].as_str().unwrap(),
            one["reason"].as_str().unwrap(),
        )
    });
    texts.collect()
}

#[test]
fn words_are_kept_beside_the_request_and_erased_with_its_user() {
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let request = ask(&gateway, "hello");
    let words = json!({"id": "t-1", "comment": "canary-61c too long",
        "edited_answer": format!("canary-61c ask {MAIL}")});
    let given = say(&gateway, &request, &words);
    assert_eq!(given["new"], true);
    assert_eq!(given["stored"], json!(["comment", "edited_answer"]));
    assert_eq!(given["not_stored"], json!([]));
    // The same id is kept once; what is told is what is kept.
    let again = say(&gateway, &request, &words);
    assert_eq!(
        (&again["new"], &again["stored"]),
        (&json!(false), &given["stored"])
    );
    let given = say(
        &gateway,
        &request,
        &json!({"id": "t-2", "comment": "and late"}),
    );
    assert_eq!(given["stored"], json!(["comment"]));
    let more = say(
        &gateway,
        &request,
        &json!({"id": "t-2", "edited_answer": "more"}),
    );
    assert_eq!(reasons(&more), [("edited_answer", "known_id")]);
    let none = say(&gateway, &request, &json!({"id": "t-3"}));
    assert_eq!(
        (&none["stored"], &none["not_stored"]),
        (&json!([]), &json!([]))
    );

    let shown = scene.show(&request);
    let said = shown["feedback"].as_array().unwrap();
    assert_eq!(said.len(), 2, "{shown}");
    assert_eq!(said[0]["id"], "anonymous/t-1");
    assert_eq!(said[0]["comment"], words["comment"]);
    assert_eq!(said[0]["edited_answer"], words["edited_answer"]);
    assert_eq!(
        (&said[0]["what"], &said[1]["comment"]),
        (&json!("original"), &json!("and late"))
    );
    let printed = scene.machine.done(&["prompts", "show", &request]).flat();
    assert!(
        printed.contains("comment: canary-61c too long"),
        "{printed}"
    );
    assert!(
        printed.contains("edited answer: canary-61c ask"),
        "{printed}"
    );

    scene.machine.done(&["erase", "--subject", "user-17"]);
    let gone = say(&gateway, &request, &json!({"comment": "canary-61c late"}));
    assert_eq!(reasons(&gone), [("comment", "request_not_stored")]);
    let told = scene.machine.run(&["prompts", "show", &request]);
    assert!(told.flat().contains("nothing is stored of"), "{told:?}");
    let log = gateway.stop();
    for needle in ["canary-61c", MAIL] {
        assert!(!scene.holds(needle), "{needle} stands on the disk");
        assert!(!log.contains(needle), "{needle} is in the log");
    }
    scene.machine.done(&["audit", "verify"]);
}

#[test]
fn words_are_masked_as_the_requests_rules_say() {
    // The rule asks for a label of the request, which feedback does not have.
    let rules = "    - {name: mask, when: {labels: {team: hr}}, mask: contact}\n    \
                 - {name: keep, store: {keep_days: 7}}\n";
    for rules in [MASKED, rules] {
        let scene = Scene::new("inside", rules);
        let gateway = scene.machine.serve();
        let request = ask(&gateway, "hello");
        let words = json!({"comment": format!("I said {MAIL}!"), "edited_answer": format!("Write to {MAIL}.")});
        let given = say(&gateway, &request, &words);
        assert_eq!(given["not_stored"], json!([]), "{given}");
        let shown = scene.show(&request)["feedback"][0].clone();
        assert_eq!(shown["what"], "masked");
        let comment = shown["comment"].as_str().unwrap();
        let place = comment.find('<').unwrap()..=comment.find('>').unwrap();
        let placeholder = comment[place].to_owned();
        assert!(placeholder.contains("EMAIL_ADDRESS_1"), "{shown}");
        assert_eq!(comment, format!("I said {placeholder}!"));
        let edited = format!("Write to {placeholder}.");
        assert_eq!(shown["edited_answer"], edited, "one value, one placeholder");
        gateway.stop();
    }
}

#[test]
fn what_policy_does_not_let_be_stored_is_named_with_the_reason() {
    let never = format!("{ORIGINAL}    - {{name: no, when: {{route: 'far/*'}}, store: never}}\n");
    let none = "    - {name: other, review: true}\n".to_owned();
    let label =
        format!("{ORIGINAL}    - {{name: no, when: {{labels: {{team: hr}}}}, store: never}}\n");
    for (rules, reason) in [
        (none, "policy"),
        (never, "request_not_stored"),
        (label, "request_not_stored"),
    ] {
        let scene = Scene::new("inside", &rules);
        let gateway = scene.machine.serve();
        let request = ask(&gateway, "hello");
        let words = json!({"comment": "canary-92d", "edited_answer": "canary-92d"});
        let given = say(&gateway, &request, &words);
        assert_eq!(given["stored"], json!([]));
        let both = [("comment", reason), ("edited_answer", reason)];
        assert_eq!(reasons(&given), both, "{rules}");
        gateway.stop();
        assert!(!scene.holds("canary-92d"));
    }

    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let request = ask(&gateway, "hello");
    // The text itself raises its label, and so may whoever sends it.
    let given = say(&gateway, &request, &json!({"comment": SECRET}));
    assert_eq!(reasons(&given), [("comment", "too_sensitive")]);
    let raised = "x-freehold-sensitivity: restricted\r\n";
    let given = say_as(&gateway, raised, &request, &json!({"comment": "x"}));
    assert_eq!(reasons(&given), [("comment", "too_sensitive")]);
    // A rule that holds now, whatever held then.
    let text = scene.machine.text();
    let tighter = format!("{text}    - {{name: shorter, store: {{keep_days: 1}}}}\n");
    scene.machine.configure(&tighter);
    gateway.stop();
    let gateway = scene.machine.serve();
    let given = say(&gateway, &request, &json!({"comment": "x"}));
    assert_eq!(
        reasons(&given),
        [("comment", "policy")],
        "it would be kept too long"
    );
    let listed = scene.show(&request);
    assert_eq!(listed["feedback"], Value::Null);
    gateway.stop();
}

#[test]
fn words_are_as_sensitive_as_their_request_at_least() {
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let raised = "x-freehold-sensitivity: confidential\r\n";
    let request = ask_as(&gateway, raised, "hello");
    let plain = ask(&gateway, "hello");
    // What is said is harmless, and what it is about is not.
    let given = say(&gateway, &request, &json!({"id": "t-1", "comment": "fine"}));
    assert_eq!(given["stored"], json!(["comment"]));
    assert_eq!(
        scene.show(&request)["feedback"][0]["sensitivity"],
        "confidential"
    );
    gateway.stop();
    let text = scene.machine.text();
    let tighter = format!("{text}    - {{name: low, store: {{keep_days: 30, up_to: internal}}}}\n");
    scene.machine.configure(&tighter);
    let gateway = scene.machine.serve();
    let words = json!({"id": "t-2", "comment": format!("fine, write to {MAIL}")});
    let given = say(&gateway, &request, &words);
    assert_eq!(reasons(&given), [("comment", "policy")]);
    let given = say(&gateway, &plain, &words);
    assert_eq!(given["stored"], json!(["comment"]), "{given}");
    gateway.stop();
}

#[test]
fn nobody_elses_request_can_be_spoken_of() {
    let key = |name: &str| format!("fh-{name}-4Zt9Qm2LwXc7VbN8aa");
    let keys = format!(
        "teams: {{a: {{}}}}\nkeys:\n  - {{name: ann, key: {}, team: a}}\n  - {{name: amy, key: {}, team: a}}\n  \
         - {{name: eva, key: {}, team: a, tenant: else}}\n  - {{name: bob, key: {}}}\n",
        key("ann"),
        key("amy"),
        key("eva"),
        key("bob")
    );
    let rules = format!("{ORIGINAL}{keys}");
    let scene = Scene::new("inside", &rules);
    let gateway = scene.machine.serve();
    let of = |name: &str| format!("authorization: Bearer {}\r\n", key(name));
    let request = ask_as(&gateway, &of("ann"), "hello");
    let given = say_as(&gateway, &of("ann"), &request, &json!({"comment": "x"}));
    assert_eq!(given["stored"], json!(["comment"]));
    let strange = json!({"request_id": request, "score": 1, "comment": "x"});
    let (status, _, answer) = gateway.post_with("/v1/feedback", &of("bob"), &strange);
    assert_eq!(status, 404, "{answer}");
    let given = say_as(&gateway, &of("amy"), &request, &json!({"comment": "y"}));
    assert_eq!(given["stored"], json!(["comment"]), "of the same team");
    let given = say_as(&gateway, &of("eva"), &request, &json!({"comment": "z"}));
    let reason = [("comment", "request_not_stored")];
    assert_eq!(
        reasons(&given),
        reason,
        "of the team, and yet another tenant's"
    );
    let shown = scene.show(&request);
    assert_eq!(shown["feedback"].as_array().unwrap().len(), 2, "{shown}");
    gateway.stop();
}

#[test]
fn words_survive_a_kill_and_come_once_when_they_are_sent_again() {
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let request = ask(&gateway, "hello");
    let words = json!({"id": "t-1", "comment": "kept"});
    assert_eq!(
        say(&gateway, &request, &words)["stored"],
        json!(["comment"])
    );
    gateway.signal("KILL");
    drop(gateway);
    assert_eq!(scene.show(&request)["feedback"][0]["comment"], "kept");
    let gateway = scene.machine.serve();
    let again = say(&gateway, &request, &words);
    assert_eq!(
        (&again["new"], &again["stored"]),
        (&json!(false), &json!(["comment"]))
    );
    // As when the kill came behind the score and before the words: they are stored now.
    let other = ask(&gateway, "hello again");
    say(&gateway, &other, &json!({"id": "t-2"}));
    let late = say(&gateway, &other, &json!({"id": "t-2", "comment": "late"}));
    assert_eq!(
        (&late["new"], &late["stored"]),
        (&json!(false), &json!(["comment"]))
    );
    for request in [&request, &other] {
        assert_eq!(scene.show(request)["feedback"].as_array().unwrap().len(), 1);
    }
    gateway.stop();
}

#[test]
fn a_data_set_expects_what_people_made_of_the_answers() {
    let scene = Scene::new("inside", MASKED);
    let gateway = scene.machine.serve();
    let plain = ask(&gateway, "What grows on a small balcony?");
    say(&gateway, &plain, &json!({"comment": "fine"}));
    let edited = ask(&gateway, "What grows in a dark cellar?");
    // Asked again: the one that a person has looked at stays.
    ask(&gateway, "What grows in a dark cellar?");
    for text in ["Nothing.", "Mushrooms."] {
        let given = say(&gateway, &edited, &json!({"edited_answer": text}));
        assert_eq!(given["stored"], json!(["edited_answer"]), "{given}");
    }
    scene.until_listed(3);
    gateway.stop();
    let out = scene.machine.folder.path().join("set.jsonl");
    let out = out.to_str().unwrap();
    let made = |more: &[&str]| {
        let base = ["eval", "dataset", "--from-prompts", "--out", out, "--force"];
        scene.machine.done(&[&base[..], more].concat())
    };
    let told = made(&["--expect-answers", "--json"]).json();
    assert_eq!(
        (&told["cases"], &told["edited"]),
        (&json!(2), &json!(1)),
        "{told}"
    );
    let written = std::fs::read_to_string(out).unwrap();
    let cases: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (by_person, by_model): (Vec<_>, Vec<_>) = cases
        .iter()
        .partition(|case| case["tags"].as_array().unwrap().contains(&json!("edited")));
    assert_eq!((by_person.len(), by_model.len()), (1, 1), "{written}");
    assert_eq!(
        by_person[0]["expected"],
        json!(["Mushrooms."]),
        "the latest"
    );
    assert_eq!(by_model[0]["expected"][0], "What grows on a small balcony?");
    let told = made(&["--expect-answers"]).flat();
    assert!(
        told.contains("1 of the cases expect what a person made of the answer"),
        "{told}"
    );
    let told = made(&["--json"]).json();
    assert_eq!(told["edited"], 0, "nothing is expected: {told}");
}
