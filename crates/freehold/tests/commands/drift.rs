//! `freehold drift` against servers that change, and servers that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::oracle::{Oracle, last, refuses, says};
use crate::program::Told;

const PROBES: usize = 12;

fn desk() -> Desk {
    let desk = Desk::new();
    let rows = (0..PROBES).map(|probe| {
        json!({"id": format!("probe-{probe:02}"), "input": format!("colour of {probe}"),
            "expected": format!("The colour of {probe} is blue.")})
        .to_string()
    });
    desk.file("probes.jsonl", &rows.collect::<Vec<_>>().join("\n"));
    desk
}

fn probe(desk: &Desk, url: &str, times: u64, more: &[&str]) -> Told {
    let times = times.to_string();
    let base = [
        "drift",
        "probe",
        "--probes",
        "probes.jsonl",
        "--record",
        "drift.jsonl",
        "--url",
        url,
        "--times",
        &times,
        "--retries",
        "0",
        "--concurrency",
        "4",
        "--json",
    ];
    desk.run(&[&base[..], more].concat())
}

const BOTH: [&str; 6] = [
    "--models", "m,other", "--scorer", "exact", "--ignore", "slow",
];

/// What the models say now.
#[derive(Clone, Copy)]
enum Says {
    Usual,
    Else,
    Refusal,
}

impl Says {
    fn answer(self, body: &Value) -> (u16, Value) {
        let asked = last(body);
        match self {
            Self::Usual => says(format!("The {asked} is blue.")),
            Self::Else => {
                says("Grey, as most things are, when one looks at them for long enough at night.")
            }
            Self::Refusal => says("I'm sorry, but I can't help with that."),
        }
    }
}

fn course<'a>(told: &'a Value, model: &str, measure: &str) -> &'a Value {
    let deployments = told["deployments"].as_array().unwrap();
    let of = deployments
        .iter()
        .find(|one| one["model"] == model)
        .unwrap();
    let courses = of["courses"].as_array().unwrap();
    courses
        .iter()
        .find(|one| one["measure"] == measure)
        .unwrap()
}

/// A server of two models: `m` changes when it is told to, the other never does.
fn changing() -> (Oracle, Arc<AtomicUsize>) {
    let now = Arc::new(AtomicUsize::new(0));
    let says = Arc::clone(&now);
    let server = Oracle::start(move |_, body| {
        let all = [Says::Usual, Says::Else, Says::Refusal];
        let place = if body["model"] == "m" {
            says.load(Ordering::SeqCst)
        } else {
            0
        };
        all[place].answer(body)
    });
    (server, now)
}

#[test]
fn a_model_that_was_swapped_is_found_with_when_what_and_how_much() {
    for (change, measures) in [
        (1, &["similarity", "identical", "score"][..]),
        (2, &["refusals", "score"]),
    ] {
        let (server, now) = changing();
        let desk = desk();
        let told = probe(&desk, &server.url(), 10, &BOTH);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(
            told.err.contains("each asks 2 models 12 probes"),
            "{}",
            told.err
        );
        now.store(change, Ordering::SeqCst);
        let told = probe(&desk, &server.url(), 10, &BOTH);
        assert_eq!(told.code, Some(1), "{told:?}");
        let found = told.json();
        for measure in measures {
            let course = course(&found, "m", measure);
            assert_eq!(
                (course["state"].clone(), course["since"].clone()),
                (json!("changed"), json!(10)),
                "{course}"
            );
            assert_eq!(course["since_at"], found["deployments"][0]["runs"][10]);
        }
        let score = course(&found, "m", "score");
        assert_eq!(
            (score["before"].clone(), score["after"].clone()),
            (json!(1.0), json!(0.0))
        );
        // The other model has not changed, and nobody says so.
        let others = found["deployments"][1]["courses"].as_array().unwrap();
        assert!(
            others.iter().all(|one| one["state"] == "steady"),
            "{others:?}"
        );
        assert!(
            told.err.contains("CHANGED: m at ") && !told.err.contains("CHANGED: other"),
            "{}",
            told.err
        );
        assert!(
            told.err
                .contains("score went from 1.000 to 0.000, probably with run 11"),
            "{}",
            told.err
        );

        // The same from the record, which holds the first run's answers and no others.
        let shown = desk.run(&["drift", "show", "drift.jsonl", "--ignore", "slow", "--json"]);
        assert_eq!((shown.code, shown.json()), (Some(1), found));
        let text = desk.run(&["drift", "show", "drift.jsonl"]).flat();
        assert!(text.contains("CHANGED: m at "), "{text}");
        let record = std::fs::read_to_string(desk.path("drift.jsonl")).unwrap();
        assert_eq!(record.lines().count(), 40);
        assert_eq!(record.matches("is blue").count(), 2 * PROBES);
        assert!(!record.contains("Grey") && !record.contains("sorry"));
        // Whoever accepts the change begins anew.
        let at = shown_at(&desk, 10);
        let accepted = desk.run(&[
            "drift",
            "show",
            "drift.jsonl",
            "--since",
            &at,
            "--ignore",
            "slow",
        ]);
        assert_eq!(accepted.code, Some(0), "{accepted:?}");
        assert!(accepted.flat().contains("steady"), "{accepted:?}");
    }
}

fn shown_at(desk: &Desk, run: usize) -> String {
    let shown = desk.run(&["drift", "show", "drift.jsonl", "--json"]).json();
    shown["deployments"][0]["runs"][run]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_model_that_only_wavers_raises_no_alarm() {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    // One answer in four is another one, by no pattern of the probes.
    let server = Oracle::start(move |_, body| {
        let count = counted.fetch_add(1, Ordering::SeqCst);
        let mut random = fastrand::Rng::with_seed(count);
        let says = if random.u8(0..4) == 0 {
            Says::Else
        } else {
            Says::Usual
        };
        says.answer(body)
    });
    let desk = desk();
    let told = probe(
        &desk,
        &server.url(),
        60,
        &["--models", "m", "--scorer", "exact", "--ignore", "slow"],
    );
    assert_eq!(told.code, Some(0), "{told:?}");
    let found = told.json();
    let score = course(&found, "m", "score");
    assert_eq!(score["state"], "steady");
    let usual = score["usual"].as_f64().unwrap();
    assert!((0.6..0.9).contains(&usual), "{score}");
    assert_eq!(count.load(Ordering::SeqCst), 60 * PROBES as u64);
}

#[test]
fn what_cannot_be_watched_is_said() {
    let away = Arc::new(AtomicUsize::new(1));
    let is_away = Arc::clone(&away);
    let server = Oracle::start(move |_, body| match is_away.load(Ordering::SeqCst) {
        0 => Says::Usual.answer(body),
        _ => refuses(503, "overloaded"),
    });
    let desk = desk();
    let url = server.url();
    let told = probe(&desk, &url, 1, &["--models", "m", "--ignore", "slow"]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.flat()
            .contains("the first run of m must have all answers"),
        "{told:?}"
    );
    away.store(0, Ordering::SeqCst);
    let told = probe(&desk, &url, 9, &["--models", "m", "--ignore", "slow"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    // Away is not changed: the runs are there, and say nothing.
    away.store(1, Ordering::SeqCst);
    let told = probe(&desk, &url, 3, &["--models", "m", "--ignore", "slow"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.err.contains("12 of 12 probes of m have no answer"),
        "{}",
        told.err
    );
    assert_eq!(
        told.json()["deployments"][0]["unanswered"],
        json!([0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 12, 12])
    );
    // A last line that was torn is dropped, and the next run stands in its place.
    let text = std::fs::read_to_string(desk.path("drift.jsonl")).unwrap();
    desk.file("drift.jsonl", &format!("{text}{{\"freehold_dr"));
    away.store(0, Ordering::SeqCst);
    assert_eq!(
        probe(&desk, &url, 1, &["--models", "m", "--ignore", "slow"]).code,
        Some(0)
    );
    let text = std::fs::read_to_string(desk.path("drift.jsonl")).unwrap();
    assert_eq!(
        (text.lines().count(), text.contains("{\"freehold_dr{")),
        (13, false)
    );

    // The same answers, but late.
    let last = text.lines().next_back().unwrap();
    let mut late: Value = serde_json::from_str(last).unwrap();
    for answer in late["answers"].as_array_mut().unwrap() {
        answer["latency_ms"] = json!(60_000);
    }
    let late = format!("{late}\n").repeat(4);
    desk.file("late.jsonl", &format!("{text}{late}"));
    let shown = desk.run(&["drift", "show", "late.jsonl"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.flat().contains("slow went from"), "{shown:?}");

    for (more, said) in [
        (
            &["--models", "m", "--scorer", "judge=x"][..],
            "who may change as well",
        ),
        (&["--models", "m", "--every", "soon"], "is no span of time"),
        (&["--models", "m", "--baseline-runs", "1"], "at least 2"),
        (
            &["--models", "m", "--ignore", "speed"],
            "there is no measure `speed`",
        ),
        (
            &["--models", "m", "--scorer", "fields"],
            "does not apply to the probe",
        ),
    ] {
        let told = probe(&desk, &url, 1, more);
        assert!(
            told.code != Some(0) && told.flat().contains(said),
            "{said}: {told:?}"
        );
    }
    desk.file("other.jsonl", "{\"id\": 1}\n");
    let refused = desk.refused(&["drift", "show", "other.jsonl"]);
    assert!(refused.contains("line 1 is no run of probes"), "{refused}");
}

#[test]
fn how_soon_changes_are_found_can_be_played() {
    let desk = Desk::new();
    let small = ["drift", "simulate", "--records", "4", "--runs", "20"];
    let rows = desk.done(&[&small[..], &["--json"]].concat()).json();
    let rows = rows.as_array().unwrap();
    assert_eq!(
        (rows[0]["change"].clone(), rows[0]["alarms"].clone()),
        (json!(0.0), json!(0))
    );
    assert_eq!(
        (rows[5]["change"].clone(), rows[5]["alarms"].clone()),
        (json!(-0.4), json!(4))
    );
    let text = desk.done(&small).flat();
    assert!(text.contains("-0.40 100.0 %"), "{text}");
    assert!(
        desk.refused(&["drift", "simulate", "--before", "2"])
            .contains("a mean from 0 to 1")
    );
}

/// A server whose answers go from one wording to another; texts embed by whether they speak of blue or of grey.
fn wording(later: &'static str) -> (Oracle, Arc<AtomicUsize>) {
    let now = Arc::new(AtomicUsize::new(0));
    let is_later = Arc::clone(&now);
    let server = Oracle::start(move |path, body| {
        if path == "/v1/embeddings" {
            let texts = body["input"].as_array().unwrap();
            let embedded = texts.iter().enumerate().map(|(index, text)| {
                let text = text.as_str().unwrap();
                let of = |word: &str| f64::from(u8::from(text.contains(word)));
                json!({"index": index, "embedding": [of("blue"), of("grey"), 0.1]})
            });
            return (200, json!({"data": embedded.collect::<Vec<_>>()}));
        }
        match is_later.load(Ordering::SeqCst) {
            0 => says(format!("The {} is blue.", last(body))),
            _ => says(later),
        }
    });
    (server, now)
}

#[test]
fn other_words_of_the_same_meaning_are_told_from_another_meaning() {
    for (later, changes) in [
        ("It is blue, as one would think when looking at it.", false),
        ("Mostly grey, at night at least.", true),
    ] {
        let (server, now) = wording(later);
        let desk = desk();
        let more = ["--models", "m", "--embedding", "e", "--ignore", "slow"];
        let told = probe(&desk, &server.url(), 9, &more);
        assert_eq!(told.code, Some(0), "{told:?}");
        // What is the same letter by letter needs no embedding.
        assert_eq!(server.asked_of("e").len(), 0);
        now.store(1, Ordering::SeqCst);
        let found = probe(&desk, &server.url(), 6, &more).json();
        assert_eq!(course(&found, "m", "similarity")["state"], "changed");
        let meaning = course(&found, "m", "meaning");
        let state = if changes { "changed" } else { "steady" };
        assert_eq!(meaning["state"], state, "{meaning}");
        assert!(!server.asked_of("e").is_empty());
    }
}

#[test]
fn a_server_that_does_not_embed_is_told_and_changes_nothing() {
    let (server, now) = changing();
    let desk = desk();
    let more = [
        "--models",
        "m",
        "--embedding",
        "e",
        "--embedding-url",
        "http://127.0.0.1:9",
        "--ignore",
        "slow",
    ];
    probe(&desk, &server.url(), 1, &more);
    now.store(1, Ordering::SeqCst);
    let told = probe(&desk, &server.url(), 1, &more);
    assert!(
        told.err.contains("12 answers are not embedded"),
        "{}",
        told.err
    );
    let record = std::fs::read_to_string(desk.path("drift.jsonl")).unwrap();
    assert!(!record.contains("\"meaning\""), "{record}");
}
