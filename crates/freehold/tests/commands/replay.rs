//! `freehold eval replay`: what was asked and answered, and a candidate that is asked the same.

use serde_json::json;

use crate::oracle::{Oracle, last, says};
use crate::program::Told;
use crate::prompts::{MASKED, Scene};

const CASES: usize = 40;

/// Replays what is stored on a candidate, in a folder of its own.
fn replay(scene: &Scene, candidate: &Oracle, folder: &str, more: &[&str]) -> Told {
    let folder = scene.machine.folder.path().join(folder);
    let url = candidate.url();
    let base = [
        "eval",
        "replay",
        "--model",
        "owned",
        "--margin",
        "0.2",
        "--folder",
        folder.to_str().unwrap(),
        "--json",
    ];
    let rest = ["--", "--url", &url, "--retries", "0"];
    scene.machine.run(&[&base[..], more, &rest].concat())
}

#[test]
fn a_candidate_is_held_against_what_was_answered() {
    let scene = Scene::new("inside", MASKED);
    let gateway = scene.machine.serve();
    for number in 0..CASES {
        let asked = json!({"model": "far/m", "messages": [
            {"role": "user", "content": format!("Say the word number {number} again, please.")}
        ]});
        let (status, _, answer) = gateway.post("/v1/chat/completions", &asked);
        assert_eq!(status, 200, "{answer}");
    }
    scene.until_listed(CASES);
    gateway.stop();

    // It says the same as was answered: the question again.
    let same = Oracle::start(|_, body| says(last(body)));
    let told = replay(&scene, &same, "same", &["--scorer", "exact"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.json()["judgement"]["standing"], "proven", "{told:?}");
    assert_eq!(same.asked_of("owned").len(), CASES);
    assert!(told.err.contains("40 cases are in"), "{}", told.err);
    // Once more: all is there, and nobody is asked.
    let told = replay(&scene, &same, "same", &["--scorer", "exact"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(same.asked_of("owned").len(), CASES);

    let other = Oracle::start(|_, _| says("nonsense"));
    let told = replay(&scene, &other, "other", &["--scorer", "exact"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.json()["judgement"]["standing"], "refuted", "{told:?}");

    // A scorer that looks at each side looks at the stored answers, too: neither is JSON.
    let told = replay(&scene, &other, "json", &["--scorer", "json"]);
    let difference = &told.json()["judgement"]["all"]["difference"];
    assert_eq!(difference, 0.0, "{told:?}");

    // Reading texts stands in the audit trail.
    let audit = scene.machine.done(&["audit", "show", "--json"]).out;
    assert!(audit.contains("prompts_exported"), "{audit}");
}

#[test]
fn a_judge_grades_stored_answers_and_new_ones() {
    let scene = Scene::new("inside", MASKED);
    let gateway = scene.machine.serve();
    for number in 0..4 {
        let asked = json!({"model": "far/m", "messages": [
            {"role": "user", "content": format!("Say the word number {number} again, please.")}
        ]});
        assert_eq!(gateway.post("/v1/chat/completions", &asked).0, 200);
    }
    scene.until_listed(4);
    gateway.stop();
    let rubric = scene.machine.folder.path().join("rubric.md");
    std::fs::write(&rubric, "A good answer is short.").unwrap();
    let scorer = format!("judge={}", rubric.display());
    let server = Oracle::start(|_, body| {
        if body["model"] == "judge" {
            return says("{\"reason\": \"good\", \"grade\": 4}");
        }
        says("short")
    });
    let folder = scene.machine.folder.path().join("judged");
    let url = server.url();
    let told = scene.machine.run(&[
        "eval",
        "replay",
        "--model",
        "owned",
        "--scorer",
        &scorer,
        "--folder",
        folder.to_str().unwrap(),
        "--json",
        "--",
        "--url",
        &url,
        "--judge-model",
        "judge",
    ]);
    assert_eq!(told.code, Some(1), "four cases prove nothing: {told:?}");
    assert_eq!(server.asked_of("judge").len(), 8, "both sides are graded");
    assert_eq!(server.asked_of("owned").len(), 4);
    assert_eq!(
        told.json()["judgement"]["all"]["difference"],
        0.0,
        "{told:?}"
    );
}
