//! Rollouts that a model judges, rollouts that are finished, and what agents' work shows.

use std::time::Instant;

use freehold_testkit::{FakeUpstream, Script};
use serde_json::{Value, json};

use crate::program::Gateway;
use crate::rollout::{PATIENCE, QUICK, Street, ask, ask_until, assert_adds_up};

/// A judge that always prefers what stands first.
const FIRST: &str = "{\"reason\": \"it stands first\", \"better\": \"first\"}";

/// `QUICK`, judged by a model of a third server.
fn judged() -> Vec<&'static str> {
    let mut quick = QUICK.to_vec();
    quick[1] = "pairwise";
    quick.extend(["--judge-model", "judge/j"]);
    quick
}

async fn street_with_judge(perimeter: &str, more: &str) -> (Street, FakeUpstream) {
    let judge = FakeUpstream::start().await.unwrap();
    let config = format!(
        "  judge: {{type: vllm, perimeter: {perimeter}, base_url: '{}/v1', models: [{{name: j, price: \
         {{input_usd_per_million: 1, output_usd_per_million: 1}}}}]}}\n{more}",
        judge.url()
    );
    (Street::with(&config).await, judge)
}

/// Asks until so many sampled requests have their end, and none is under way.
fn ask_until_settled(street: &Street, gateway: &Gateway, id: &str, wanted: u64) -> Value {
    let begun = Instant::now();
    for number in 0.. {
        assert_eq!(ask(gateway, number).0, 200);
        let seen = street.status(id)["seen"].clone();
        let skipped = seen["skipped"].as_object().unwrap().values();
        let skipped: u64 = skipped.map(|count| count.as_u64().unwrap()).sum();
        if seen["scored"].as_u64().unwrap() + skipped >= wanted {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{seen}");
    }
    Value::Null
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_is_asked_in_both_orders_and_its_bias_is_told() {
    let (street, judge) = street_with_judge("inside", "").await;
    for _ in 0..3_000 {
        street.own.push(Script::text("another answer"));
        judge.push(Script::text(FIRST));
        judge.push(Script::text(FIRST));
    }
    let gateway = street.machine.serve();
    let id = street.start(&judged());
    let seen = ask_until_settled(&street, &gateway, &id, 8);
    let pairs = seen["judge"]["pairs"].as_u64().unwrap();
    assert!(pairs >= 8, "{seen}");
    // Who prefers the first whatever it is has preferred nobody.
    assert_eq!(seen["judge"]["contradicted"], pairs);
    let status = street.status(&id);
    assert_eq!(status["scores"]["all"]["difference"], 0.0, "{status}");
    let told = street.machine.done(&["rollout", "status", &id]).flat();
    assert!(
        told.contains("judge: 0.0 % of") && told.contains("bias to the first answer +1.00"),
        "{told}"
    );
    // Both answers stand in each question, marked as material.
    let asked = judge.requests();
    let text = String::from_utf8_lossy(&asked[0].body).into_owned();
    assert!(
        text.contains("another answer") && text.contains("word "),
        "{text}"
    );
    assert!(text.contains("[first answer "), "{text}");
    // What it costs counts as the rollout's.
    assert!(seen["mirror_nano_usd"].as_u64().unwrap() > 0);
    gateway.stop();
    let usage = street
        .machine
        .done(&["usage", "--by", "flow,deployment", "--json"])
        .json()
        .to_string();
    assert!(usage.contains("judge/j"), "{usage}");
    street.machine.done(&["rollout", "abort", &id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_a_judge_likes_less_is_called_back() {
    let (street, judge) = street_with_judge("inside", "").await;
    for _ in 0..3_000 {
        street.own.push(Script::text("nonsense"));
        // The incumbent stands first, then second.
        judge.push(Script::text(FIRST));
        judge.push(Script::text(FIRST.replace("\"first\"", "\"second\"")));
    }
    let gateway = street.machine.serve();
    // One at a time, so that both questions of a pair come one after the other.
    let plan = street.plan(&judged());
    let text = std::fs::read_to_string(&plan).unwrap();
    let text = text.replace("concurrency: 2", "concurrency: 1");
    std::fs::write(&plan, text).unwrap();
    let started = street.machine.done(&["rollout", "start", &plan, "--json"]);
    let id = started.json()["id"].as_str().unwrap().to_owned();
    ask_until(&street, &gateway, &id, &["rolled back"]);
    let history = street.machine.done(&["rollout", "history", &id]).flat();
    assert!(history.contains("rolled back scores: -1.0000"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_fails_or_says_anything_else_proves_nothing() {
    let (street, judge) = street_with_judge("inside", "").await;
    for number in 0..3_000 {
        street.own.push(Script::text("another answer"));
        judge.push(if number % 2 == 0 {
            Script::text("I like both. {\"better\": \"second\"}")
        } else {
            Script::status(401)
        });
    }
    let gateway = street.machine.serve();
    let id = street.start(&judged());
    let seen = ask_until_settled(&street, &gateway, &id, 20);
    assert_eq!(seen["scored"], 0, "{seen}");
    let skipped = &seen["skipped"];
    let count = |reason: &str| skipped[reason].as_u64().unwrap_or(0);
    assert!(
        count("the judge gave no verdict") > 0 && count("the judge failed") > 0,
        "{seen}"
    );
    street.machine.done(&["rollout", "abort", &id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_sees_nothing_that_policy_keeps_from_it() {
    let policy = "policy:\n  default_sensitivity: restricted\n";
    let (street, judge) = street_with_judge("outside", policy).await;
    // No two answers are alike: of equal ones nobody would be asked.
    for number in 0..2_000 {
        street.own.push(Script::text(format!("answer {number}")));
    }
    let gateway = street.machine.serve();
    let mut order = judged();
    order.extend(["--from", "own/m", "--to", "own/m", "--temperature", "0.5"]);
    let id = street.start(&order);
    let begun = Instant::now();
    let seen = loop {
        let body = json!({
            "model": "own/m",
            "messages": [{"role": "user", "content": "hello"}],
            "metadata": {"freehold_flow": "support"},
        });
        assert_eq!(gateway.post("/v1/chat/completions", &body).0, 200);
        let seen = street.status(&id)["seen"].clone();
        if seen["skipped"]["the judge may not see it"].as_u64() >= Some(3) {
            break seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{seen}");
    };
    assert_eq!(judge.requests().len(), 0, "{seen}");
    street.machine.done(&["rollout", "abort", &id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_rollout_is_finished_and_the_flow_can_move_again() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    let id = street.start(&QUICK);
    let told = street.machine.run(&["rollout", "finish", &id]);
    assert!(
        told.err.contains("is not promoted but in shadow"),
        "{told:?}"
    );
    ask_until(&street, &gateway, &id, &["promoted"]);
    let told = street.machine.done(&["rollout", "finish", &id]).flat();
    assert!(told.contains("finished: nothing is moved"), "{told}");
    assert_eq!(street.status(&id)["stage"], "finished");
    let again = street.start(&QUICK);
    assert_adds_up(&street.status(&again)["seen"]);
}

/// A request of an agent whose last tool failed, for the second time in a row with the same call.
fn of_an_agent() -> Value {
    let call = json!({"role": "assistant", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{\"file\": \"a\"}"}}
    ]});
    let result = json!({"role": "tool", "tool_call_id": "c", "content": "Error: no such file"});
    json!({
        "model": "rent/m",
        "messages": [{"role": "user", "content": "read it"}, call, result, call, result],
        "metadata": {"freehold_flow": "agents"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_work_shows_is_told_by_flow() {
    let street = Street::new().await;
    let gateway = street.machine.serve();
    for _ in 0..3 {
        assert_eq!(gateway.post("/v1/chat/completions", &of_an_agent()).0, 200);
    }
    let (_, id, _) = ask(&gateway, 0);
    let body = json!({"request_id": id, "score": 0.25});
    let begun = Instant::now();
    while gateway.post("/v1/feedback", &body).0 != 200 {
        assert!(begun.elapsed() < PATIENCE);
    }
    gateway.stop();
    let quality = street
        .machine
        .done(&["quality", "--by", "flow", "--json"])
        .json();
    let of = |flow: &str| {
        let rows = quality.as_array().unwrap();
        let row = rows.iter().find(|row| row["group"][0] == flow);
        row.unwrap_or_else(|| panic!("{flow}: {quality}")).clone()
    };
    let agents = of("agents");
    let counts = [
        "requests",
        "tool_results",
        "tool_errors",
        "repeated_calls",
        "looping_requests",
        "retried_requests",
    ]
    .map(|name| agents[name].as_u64().unwrap());
    // The third and the second one are the first one again.
    assert_eq!(counts, [3, 3, 3, 3, 0, 2], "{agents}");
    let support = of("support");
    assert_eq!(support["mean_score"], 0.25, "{support}");
    assert_eq!(support["tool_results"], 0);
    let told = street.machine.done(&["quality"]).flat();
    assert!(
        told.contains("100.0 %") && told.contains("rent/m"),
        "{told}"
    );
}
