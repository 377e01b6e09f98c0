//! `freehold rollout` and `/v1/feedback`, with a real gateway between an incumbent and a candidate.

use std::time::{Duration, Instant};

use freehold_testkit::{FakeUpstream, Script};
use serde_json::{Value, json};

use crate::program::{Gateway, Machine};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway's machine between two servers that say the question again.
pub(crate) struct Street {
    rent: FakeUpstream,
    pub(crate) own: FakeUpstream,
    pub(crate) machine: Machine,
}

impl Street {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    pub(crate) async fn with(more: &str) -> Self {
        let rent = FakeUpstream::start().await.unwrap();
        let own = FakeUpstream::start().await.unwrap();
        let config = format!(
            "discover: false\nserver: {{admin: null}}\nbackends:\n  \
             rent: {{type: vllm, perimeter: outside, base_url: '{}/v1', models: [{{name: m, price: \
             {{input_usd_per_million: 10, output_usd_per_million: 10}}}}]}}\n  \
             own: {{type: vllm, base_url: '{}/v1', models: [{{name: m, price: {{input_usd_per_million: 1, \
             output_usd_per_million: 1}}}}]}}\n{more}",
            rent.url(),
            own.url()
        );
        Self {
            rent,
            own,
            machine: Machine::new(&config),
        }
    }

    /// Writes a plan; the last arguments win.
    pub(crate) fn plan(&self, more: &[&str]) -> String {
        let path = self.machine.folder.path().join("move.yaml");
        let path = path.to_str().unwrap().to_owned();
        let base = [
            "rollout", "plan", "--flow", "support", "--from", "rent/m", "--to", "own/m", "--out",
            &path,
        ];
        self.machine.done(&[&base[..], more].concat());
        path
    }

    pub(crate) fn start(&self, more: &[&str]) -> String {
        let plan = self.plan(more);
        let told = self.machine.done(&["rollout", "start", &plan, "--json"]);
        told.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn status(&self, id: &str) -> Value {
        self.machine
            .done(&["rollout", "status", id, "--json"])
            .json()[0]
            .clone()
    }
}

/// Asks in a conversation of its own; the answer's status, id and text.
pub(crate) fn ask(gateway: &Gateway, number: usize) -> (u16, String, String) {
    let (status, id, answer) = asked(gateway, number);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let content = answer["choices"][0]["message"]["content"].as_str();
    (status, id, content.unwrap_or_default().to_owned())
}

/// The same with the whole answer, head and all.
fn asked(gateway: &Gateway, number: usize) -> (u16, String, String) {
    let text = format!("word {number}");
    let body = json!({
        "model": "rent/m",
        "messages": [{"role": "user", "content": text}],
        "metadata": {"freehold_flow": "support"},
    });
    gateway.post("/v1/chat/completions", &body)
}

/// Asks until the rollout is at one of these stages; how many requests that took.
pub(crate) fn ask_until(street: &Street, gateway: &Gateway, id: &str, stages: &[&str]) -> usize {
    let begun = Instant::now();
    let mut asked = 0;
    loop {
        for _ in 0..10 {
            let (status, _, text) = ask(gateway, asked);
            assert_eq!((status, text), (200, format!("word {asked}")));
            asked += 1;
        }
        let status = street.status(id);
        let stage = status["stage"].as_str().unwrap();
        if stages.contains(&stage) {
            return asked;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    }
}

/// Sampled requests are scored, left out, or under way: none is lost.
pub(crate) fn assert_adds_up(seen: &Value) {
    let count = |name: &str| seen[name].as_u64().unwrap();
    let skipped: u64 = seen["skipped"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(count("sampled"), count("scored") + skipped, "{seen}");
}

pub(crate) const QUICK: [&str; 13] = [
    "--scorer",
    "exact",
    "--margin",
    "0.3",
    "--mirror",
    "100",
    "--steps",
    "50,100",
    "--step-requests",
    "10",
    "--step-seconds",
    "0",
    "--autopilot=full",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_shadowed_proven_moved_and_promoted() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    // Nothing moves yet: the candidate hears nothing.
    ask(&gateway, 0);
    assert_eq!(street.own.requests().len(), 0);

    let id = street.start(&[&QUICK[..], &["--saving", "100"]].concat());
    ask_until(&street, &gateway, &id, &["promoted"]);
    let history = street
        .machine
        .done(&["rollout", "history", &id, "--json", "--pairs", "1000"]);
    let history = history.json()[0].clone();
    let stages: Vec<_> = history["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["stage"].to_string())
        .collect();
    let wanted = [
        "\"shadow\"",
        "{\"canary\":0}",
        "{\"canary\":1}",
        "\"promoted\"",
    ];
    assert_eq!(stages, wanted, "{history}");
    let why = history["history"][1]["why"].as_str().unwrap();
    assert!(why.starts_with("proven by a margin of 0.3"), "{why}");
    // One row for each scored request, with scores and no text.
    let pairs = history["pairs"].as_array().unwrap();
    assert!(pairs.len() >= 30, "{}", pairs.len());
    assert!(
        pairs.iter().all(|row| row["pair"]["candidate"] == 1.0),
        "{pairs:?}"
    );
    assert!(!history.to_string().contains("word "));

    // Promoted: clients are served by the candidate, whatever they name.
    let before = street.own.requests().len();
    for number in 0..5 {
        assert_eq!(ask(&gateway, 5_000 + number).0, 200);
    }
    assert!(street.own.requests().len() >= before + 5);
    let told = street
        .machine
        .done(&["rollout", "status", "support"])
        .flat();
    assert!(
        told.contains("saved; $100.00 a month were predicted"),
        "{told}"
    );
    assert!(told.contains("next: it is watched"), "{told}");

    // Mirrored requests are nobody's in the ledger.
    gateway.stop();
    let usage = street
        .machine
        .done(&["usage", "--by", "flow,key", "--json"])
        .json();
    let rows = usage["rows"].as_array().unwrap();
    let mirrored: Vec<_> = rows
        .iter()
        .filter(|row| row.to_string().contains("mirror:support"))
        .collect();
    assert!(!mirrored.is_empty(), "{usage}");
    assert!(
        mirrored
            .iter()
            .all(|row| row.to_string().contains("\"mirror\"")),
        "{usage}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_is_called_back_and_no_client_notices() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let id = street.start(&[&QUICK[..], &["--step-requests", "1000"]].concat());
    ask_until(&street, &gateway, &id, &["canary 50 %"]);
    for _ in 0..5_000 {
        street.own.push(Script::status(500));
    }
    // Whoever the candidate fails is served by the incumbent: `ask_until` looks at every answer.
    ask_until(&street, &gateway, &id, &["rolled back"]);
    let history = street.machine.done(&["rollout", "history", &id]).flat();
    assert!(history.contains("rolled back guard errors:"), "{history}");
    // A copy that was under way may be tried once more, a quarter of a second later.
    let mut before = street.own.requests().len();
    loop {
        tokio::time::sleep(Duration::from_millis(600)).await;
        let now = street.own.requests().len();
        if now == before {
            break;
        }
        before = now;
    }
    for number in 0..20 {
        assert_eq!(ask(&gateway, 9_000 + number).0, 200);
    }
    assert_eq!(
        street.own.requests().len(),
        before,
        "nothing goes there any more"
    );
    let log = gateway.stop();
    assert!(log.contains("called back"), "it is told loudly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_answers_otherwise_is_refuted_in_the_shadow() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    for _ in 0..2_000 {
        street.own.push(Script::text("nonsense"));
    }
    let id = street.start(&QUICK);
    ask_until(&street, &gateway, &id, &["rolled back"]);
    let history = street.machine.done(&["rollout", "history", &id]).flat();
    assert!(history.contains("rolled back scores: -1.0000"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_never_answers_changes_nothing_for_clients() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let body = json!({
        "model": "rent/m",
        "messages": [{"role": "user", "content": "the same"}],
        "metadata": {"freehold_flow": "support"},
    });
    let bare = || {
        let (status, _, answer) = gateway.post("/v1/chat/completions", &body);
        assert_eq!(status, 200);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut body: Value = serde_json::from_str(body).unwrap();
        // What differs from request to request.
        body["id"].take();
        body["created"].take();
        body.to_string()
    };
    let alone = bare();
    for _ in 0..500 {
        street.own.push(Script::text("late").with_gated_headers());
    }
    let id = street.start(&QUICK);
    // Two are under way and 64 wait; all further ones are counted and left out.
    let begun = Instant::now();
    loop {
        assert_eq!(bare(), alone);
        let seen = &street.status(&id)["seen"];
        if seen["skipped"]["the queue is full"].as_u64() >= Some(3) {
            let under_way = seen["sampled"].as_u64().unwrap()
                - seen["skipped"]["the queue is full"].as_u64().unwrap();
            assert_eq!(under_way, 66, "{seen}");
            break;
        }
        for _ in 0..20 {
            assert_eq!(bare(), alone);
        }
        assert!(begun.elapsed() < PATIENCE, "{seen}");
    }
    assert_eq!(
        street.own.requests().len(),
        2,
        "never more at once than was ordered"
    );
    street.own.release_all();
    street.machine.done(&["rollout", "abort", &id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_goes_on_where_it_was() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let id = street.start(&[&QUICK[..], &["--autopilot", "canary"]].concat());
    ask_until(&street, &gateway, &id, &["canary 50 %", "canary 100 %"]);
    drop(gateway); // kill -9
    let gateway = street.machine.serve();
    let begun = Instant::now();
    // The promotion waits for an operator.
    let mut number = 20_000;
    loop {
        for _ in 0..10 {
            assert_eq!(ask(&gateway, number).0, 200);
            number += 1;
        }
        let status = street.status(&id);
        if status["next"]["step"] == "propose" {
            assert_eq!(status["stage"], "canary 100 %");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    }
    let told = street.machine.done(&["rollout", "status"]).flat();
    assert!(
        told.contains(&format!("freehold rollout accept {id}")),
        "{told}"
    );
    street
        .machine
        .done(&["rollout", "accept", "support", "--why", "looks good"]);
    ask_until(&street, &gateway, &id, &["promoted"]);
    let history = street.machine.done(&["rollout", "history", &id]).flat();
    assert!(
        history.contains("accepted the next step: looks good"),
        "{history}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_steer_and_are_told_what_cannot_be() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let id = street.start(&QUICK);
    let plan = street.plan(&QUICK);
    for (arguments, said) in [
        (vec!["rollout", "start", &plan], "moves already"),
        (vec!["rollout", "accept", &id], "it proposes nothing yet"),
        (vec!["rollout", "resume", &id], "it is not paused"),
        (
            vec!["rollout", "pause", "nobody"],
            "there is no rollout `nobody`",
        ),
        (vec!["rollout", "start", "/nowhere.yaml"], "cannot read"),
        (
            vec![
                "rollout", "plan", "--flow", "f", "--from", "m", "--scorer", "json",
            ],
            "the candidate is the incumbent",
        ),
        (
            vec![
                "rollout", "plan", "--flow", "f", "--from", "a", "--to", "b", "--scorer", "bleu",
            ],
            "no such scorer",
        ),
        (
            vec![
                "rollout", "plan", "--flow", "f", "--from", "a", "--to", "b", "--scorer", "label",
            ],
            "name the labels",
        ),
        (
            vec![
                "rollout", "plan", "--flow", "f", "--from", "a", "--to", "b", "--scorer", "json",
                "--steps", "5,1",
            ],
            "must rise",
        ),
    ] {
        let told = street.machine.run(&arguments);
        assert_eq!(told.code, Some(1), "{arguments:?}: {told:?}");
        assert!(told.flat().contains(said), "{said}: {}", told.flat());
    }
    // Paused, it goes nowhere, however much speaks for it.
    street.machine.done(&["rollout", "pause", &id]);
    let begun = Instant::now();
    let mut number = 0;
    while street.status(&id)["scores"]["standing"] != "proven" {
        assert_eq!(ask(&gateway, number).0, 200);
        number += 1;
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(street.status(&id)["stage"], "shadow");
    street.machine.done(&["rollout", "resume", &id]);
    ask_until(&street, &gateway, &id, &["promoted"]);

    street
        .machine
        .done(&["rollout", "abort", "support", "--why", "enough"]);
    let told = street.machine.run(&["rollout", "pause", &id]);
    assert!(told.flat().contains("is over: aborted"), "{told:?}");
    assert!(
        street
            .machine
            .done(&["rollout", "status"])
            .flat()
            .contains("No flow moves")
    );
    // Within a second everything is where it was.
    let begun = Instant::now();
    loop {
        let before = street.own.requests().len();
        assert_eq!(ask(&gateway, number).0, 200);
        number += 1;
        if street.own.requests().len() == before {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    // The flow may move again.
    street.machine.done(&["rollout", "start", &plan]);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_add_up_once_everything_has_ended() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let id = street.start(&[&QUICK[..], &["--autopilot", "off"]].concat());
    // The loop has to hear of it first.
    let begun = Instant::now();
    while street.status(&id)["seen"]["sampled"] == 0 {
        ask(&gateway, 0);
        assert!(begun.elapsed() < PATIENCE);
    }
    for number in 0..40 {
        if number % 10 == 5 {
            street.rent.push(Script::status(400));
        }
        let _ = ask(&gateway, number);
    }
    loop {
        let seen = street.status(&id)["seen"].clone();
        let ended = seen["skipped"]["the incumbent failed"].as_u64() == Some(4);
        let settled = seen["incumbent_requests"].as_u64() >= Some(40);
        // The last ones may still be under way.
        let count = |name: &str| seen[name].as_u64().unwrap_or(0);
        let all = count("scored") + 4 == count("sampled");
        if ended && settled && all {
            assert_adds_up(&seen);
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_leave_is_mirrored_to_nobody_outside() {
    let street = Street::with("").await;
    let gateway = street.machine.serve();
    // From inside to outside: a restricted request stays.
    let path = street.machine.folder.path().join("out.yaml");
    let path = path.to_str().unwrap();
    let plan = [
        "rollout", "plan", "--flow", "support", "--from", "own/m", "--to", "rent/m", "--out", path,
    ];
    street.machine.done(&[&plan[..], &QUICK].concat());
    street.machine.done(&["rollout", "start", path]);
    let secret = json!({
        "model": "own/m",
        "messages": [{"role": "user", "content": "my card is 4111 1111 1111 1111"}],
        "metadata": {"freehold_flow": "support", "freehold_sensitivity": "restricted"},
    });
    let plain = json!({
        "model": "own/m",
        "messages": [{"role": "user", "content": "nothing of note"}],
        "metadata": {"freehold_flow": "support"},
    });
    let begun = Instant::now();
    let status = loop {
        assert_eq!(gateway.post("/v1/chat/completions", &secret).0, 200);
        assert_eq!(gateway.post("/v1/chat/completions", &plain).0, 200);
        let status = street.status("support");
        let skipped = &status["seen"]["skipped"]["the other side may not or cannot answer it"];
        if skipped.as_u64() >= Some(5) && status["seen"]["scored"].as_u64() >= Some(5) {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    };
    drop(status);
    let sent: Vec<_> = street.rent.requests();
    assert!(!sent.is_empty());
    for request in sent {
        let body = request.json().unwrap().to_string();
        assert!(!body.contains("4111"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_is_kept_and_calls_a_candidate_back() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let id = street.start(&[&QUICK[..], &["--step-requests", "100000"]].concat());
    ask_until(&street, &gateway, &id, &["canary 50 %"]);
    let begun = Instant::now();
    let mut number = 50_000;
    loop {
        let (status, request, answer) = asked(&gateway, number);
        assert_eq!(status, 200);
        number += 1;
        // Users like what the incumbent says, and nothing else.
        let served_by_own = answer.contains("x-freehold-deployment: own/m");
        let told = json!({"request_id": request, "score": if served_by_own { 0.0 } else { 1.0 }, "label": "user"});
        let given = loop {
            let (given, _, body) = gateway.post("/v1/feedback", &told);
            assert!(given == 200 || given == 404, "{body}");
            if given == 200 {
                break body;
            }
            assert!(begun.elapsed() < PATIENCE, "{body}");
        };
        assert!(given.contains("\"new\":true"), "{given}");
        let status = street.status(&id);
        if status["stage"] == "rolled back" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    }
    let history = street.machine.done(&["rollout", "history", &id]).flat();
    assert!(history.contains("rolled back guard feedback:"), "{history}");
    let told = street
        .machine
        .done(&["feedback", "--by", "flow,rollout", "--json"])
        .json();
    // The gateway calls back before the database says so: what it served in between is of no side.
    let of_a_side = |line: &&Value| line["group"][1] != "-";
    let lines: Vec<_> = told.as_array().unwrap().iter().filter(of_a_side).collect();
    assert_eq!(lines.len(), 2, "{told}");
    for line in lines {
        let is_own = line["group"][1].as_str().unwrap().ends_with("candidate");
        let mean = if is_own { 0.0 } else { 1.0 };
        assert_eq!(line["mean_score"], mean, "{told}");
        assert_eq!(line["labels"]["user"], line["count"], "{told}");
    }
    let told = street.machine.done(&["feedback"]).flat();
    assert!(told.contains("support") && told.contains("own/m"), "{told}");
    let stranger = json!({"request_id": "req_018f0000000070008000000000000000", "score": 1});
    let (status, _, body) = gateway.post("/v1/feedback", &stranger);
    assert_eq!(status, 404, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_live_traffic_is_found_in_the_ledger() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let drift = |machine: &Machine| {
        machine.run(&[
            "drift",
            "ledger",
            "--batch",
            "30",
            "--baseline-runs",
            "4",
            "--ignore",
            "slow",
            "--json",
        ])
    };
    for number in 0..180 {
        assert_eq!(ask(&gateway, number).0, 200);
    }
    let begun = Instant::now();
    let steady = loop {
        let told = drift(&street.machine);
        if told.json()["streams"][0]["requests"] == 180 {
            break told;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:?}");
    };
    assert_eq!(steady.code, Some(0), "{steady:?}");
    // From here on answers are ten times as long.
    let long = "word ".repeat(40);
    for _ in 0..120 {
        street.rent.push(Script::text(long.clone()));
    }
    for number in 0..120 {
        assert_eq!(ask(&gateway, number).0, 200);
    }
    let begun = Instant::now();
    let changed = loop {
        let told = drift(&street.machine);
        if told.json()["streams"][0]["requests"] == 300 {
            break told;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:?}");
    };
    assert_eq!(changed.code, Some(1), "{changed:?}");
    let courses = changed.json()["streams"][0]["courses"].clone();
    let length = courses
        .as_array()
        .unwrap()
        .iter()
        .find(|course| course["measure"] == "length")
        .unwrap();
    assert_eq!(length["state"], "changed", "{courses}");
    assert_eq!(length["since"], 6, "{courses}");
}
