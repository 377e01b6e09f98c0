//! `freehold eval` against a server that answers with the question, or as scripted.

use freehold_testkit::{
    FakeUpstream, Fault, ReportedUsage, RetryAfter, Script, UsageScript, unreachable_url,
};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::program::{House, Machine, Told};

/// The fake says the question again, so that every other case is right.
fn cases(count: usize) -> String {
    let rows = (0..count).map(|index| {
        let expected = if index % 2 == 0 { format!("word {index}") } else { "else".to_owned() };
        let stratum = if index % 4 < 2 { "de" } else { "en" };
        json!({"id": format!("case-{index:03}"), "input": format!("word {index}"), "expected": expected, "stratum": stratum})
            .to_string()
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn run(desk: &Desk, url: &str, more: &[&str]) -> Told {
    let base = [
        "eval",
        "run",
        "set.jsonl",
        "--model",
        "fake",
        "--url",
        url,
        "--scorer",
        "exact",
    ];
    desk.run(&[&base[..], more].concat())
}

fn lines(desk: &Desk, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(desk.path(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn desk_with(text: &str) -> Desk {
    let desk = Desk::new();
    desk.file("set.jsonl", text);
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_is_asked_scored_and_shown() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(8));
    let told = run(&desk, &fake.url(), &["--scorer", "chrf", "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for said in [
        "8 cases in 2 strata",
        "8 requests, about",
        "a price that is not known",
        "answers are kept in results.jsonl",
    ] {
        assert!(told.err.contains(said), "{said}: {}", told.err);
    }
    let summary = told.json();
    assert_eq!(
        (summary["answered"].clone(), summary["unpriced"].clone()),
        (json!(8), json!(8))
    );
    let exact = &summary["scorers"]["exact"];
    assert_eq!(
        (exact["all"]["scored"].clone(), exact["all"]["mean"].clone()),
        (json!(8), json!(0.5))
    );
    assert_eq!(exact["strata"]["de"]["scored"], 4);
    // What is wrong has no letter in common with what is expected.
    let chrf = summary["scorers"]["chrf"]["all"]["mean"].as_f64().unwrap();
    assert!((chrf - 0.5).abs() < 1e-9, "{chrf}");

    // What was sent.
    let sent = fake.requests();
    assert_eq!(sent.len(), 8);
    let body = sent[0].json().unwrap();
    assert_eq!(
        (body["temperature"].clone(), body["seed"].clone()),
        (json!(0.0), json!(1))
    );
    assert_eq!(body["max_tokens"], 512);

    // What was written.
    let written = lines(&desk, "results.jsonl");
    assert_eq!(written.len(), 9);
    assert_eq!(written[0]["cases"], 8);
    let first = written
        .iter()
        .find(|line| line["id"] == "case-000")
        .unwrap();
    assert_eq!(
        (first["answer"].clone(), first["stratum"].clone()),
        (json!("word 0"), json!("de"))
    );
    assert!(first["input_tokens"].as_u64().unwrap() > 0 && first["latency_ms"].is_u64());
    assert_eq!(
        first["scores"]["exact"],
        json!({"outcome": "scored", "score": 1.0})
    );

    // The same from the file, and as a table.
    let shown = desk
        .done(&["eval", "show", "results.jsonl", "--json"])
        .json();
    assert_eq!(shown, summary);
    let text = desk.done(&["eval", "show", "results.jsonl"]).flat();
    assert!(
        text.contains("8 of 8 cases answered, 0 errors, 0 not asked"),
        "{text}"
    );
    assert!(
        text.contains("exact together 8 0.5000 0.2152 0.7848 0 0"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_where_it_was_torn() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(6));
    assert_eq!(
        run(&desk, &fake.url(), &["--concurrency", "1"]).code,
        Some(0)
    );
    let text = std::fs::read_to_string(desk.path("results.jsonl")).unwrap();
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    // The head, two cases, and half of a third.
    desk.file("results.jsonl", &text[..ends[2] + 20]);
    let told = run(&desk, &fake.url(), &["--concurrency", "2"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.err
            .contains("2 have their answer in results.jsonl, 4 are asked"),
        "{}",
        told.err
    );
    assert!(told.err.contains("torn and is dropped"), "{}", told.err);
    assert_eq!(fake.requests().len(), 6 + 4);
    let written = lines(&desk, "results.jsonl");
    assert_eq!(written.len(), 7);

    // Nothing is left to ask.
    let again = run(&desk, &fake.url(), &[]);
    assert_eq!((again.code, fake.requests().len()), (Some(0), 10));
    // A head that was torn is no run.
    desk.file("results.jsonl", &text[..20]);
    assert_eq!(run(&desk, &fake.url(), &[]).code, Some(0));
    assert_eq!(fake.requests().len(), 16);

    // Another run is not gone on with.
    for (more, difference) in [
        (
            &["--max-tokens", "9"][..],
            "--max-tokens, --temperature, --seed or --plain differ",
        ),
        (&["--scorer", "json"], "the scorers are others"),
        (&["--limit", "3"], "another version"),
        (&["--no-answers"], "--no-answers differs"),
    ] {
        let told = run(&desk, &fake.url(), more);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(
            told.flat().contains(difference) && told.flat().contains("--out"),
            "{told:?}"
        );
    }
    assert_eq!(fake.requests().len(), 16);
    desk.file("results.jsonl", "{\"id\": 1}\n");
    let told = run(&desk, &fake.url(), &[]);
    assert!(
        told.flat().contains("line 1 is no head of results"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_and_errors_are_kept_apart() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(3));
    let now = Fault::Status {
        status: 429,
        retry_after: Some(RetryAfter::Seconds(0)),
        body: None,
    };
    fake.push(Script::fault(now));
    fake.push(Script::text("word 0"));
    fake.push(Script::status(400));
    let told = run(&desk, &fake.url(), &["--concurrency", "1", "--json"]);
    // One case has no answer.
    assert_eq!(told.code, Some(1), "{told:?}");
    let summary = told.json();
    assert_eq!(summary["answered"], 2);
    assert_eq!(summary["errors"][0]["id"], "case-001");
    assert!(
        summary["errors"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("400"),
        "{summary}"
    );
    let all = &summary["scorers"]["exact"]["all"];
    assert_eq!(
        (
            all["scored"].clone(),
            all["skipped"].clone(),
            all["mean"].clone()
        ),
        (json!(2), json!(1), json!(1.0))
    );
    assert_eq!(lines(&desk, "results.jsonl")[1]["requests"], 2);

    // It is asked again, alone.
    let before = fake.requests().len();
    let told = run(&desk, &fake.url(), &["--json"]);
    assert_eq!((told.code, fake.requests().len() - before), (Some(0), 1));
    assert_eq!(told.json()["answered"], 3);

    // Whoever asks for an hour gets it.
    let desk = desk_with(&cases(3));
    fake.push(Script::rate_limited(3_600));
    let told = run(&desk, &fake.url(), &["--concurrency", "1"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.flat().contains("asks to wait 3600 s"), "{told:?}");
    assert_eq!(fake.requests().len() - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn costs_are_stated_kept_and_capped() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(4));
    for _ in 0..4 {
        let usage = UsageScript {
            report: ReportedUsage::Wrong {
                prompt_tokens: 1_000_000,
                completion_tokens: 1,
            },
            ..UsageScript::default()
        };
        fake.push(Script::default().with_usage(usage));
    }
    let priced = [
        "--price-as",
        "openai/gpt-4o-mini",
        "--concurrency",
        "1",
        "--json",
    ];
    // A million tokens of questions cost $0.15: after the second answer there is no room.
    let told = run(
        &desk,
        &fake.url(),
        &[&priced[..], &["--usd-max", "0.2"]].concat(),
    );
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.err.contains("by the list price of openai/gpt-4o-mini"),
        "{}",
        told.err
    );
    assert!(told.flat().contains("2 cases were not asked"), "{told:?}");
    let summary = told.json();
    assert_eq!(
        (summary["answered"].clone(), summary["not_asked"].clone()),
        (json!(2), json!(2))
    );
    assert!(
        (summary["usd"].as_f64().unwrap() - 0.300_001_2).abs() < 1e-6,
        "{summary}"
    );
    // What was spent before counts.
    let told = run(
        &desk,
        &fake.url(),
        &[&priced[..], &["--usd-max", "0.3"]].concat(),
    );
    assert_eq!((told.code, fake.requests().len()), (Some(1), 2));
    let told = run(
        &desk,
        &fake.url(),
        &[&priced[..], &["--usd-max", "1"]].concat(),
    );
    assert_eq!((told.code, fake.requests().len()), (Some(0), 4));

    let told = run(&desk, &fake.url(), &["--usd-max", "1", "--out", "x"]);
    assert!(
        told.flat().contains("nobody knows what `fake` costs"),
        "{told:?}"
    );
    let told = run(&desk, &fake.url(), &["--price-as", "no/such", "--out", "x"]);
    assert!(
        told.flat().contains("the price book has no `no/such`"),
        "{told:?}"
    );
    assert_eq!(fake.requests().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_said_before_anything_is_sent() {
    let fake = FakeUpstream::start().await.unwrap();
    let bad = format!("{}\nnonsense\n{{\"input\": \"\"}}\n", cases(2));
    for (set, more, said) in [
        ("", &[][..], "set.jsonl is no data set"),
        ("hello", &[], "in no form that is known"),
        (
            bad.as_str(),
            &[],
            "2 rows of 4 that are no cases: line 3: expected",
        ),
        (
            "{\"input\": \"a\"}",
            &[],
            "the scorer `exact` applies to no case: no text is expected",
        ),
        (&cases(2), &["--scorer", "bleu"], "there is no such scorer"),
        (&cases(2), &["--scorer", "regex=("], "is no pattern"),
        (
            &cases(2),
            &["--key-env", "NO_KEY"],
            "the variable NO_KEY is not set",
        ),
    ] {
        let told = run(&desk_with(set), &fake.url(), more);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.flat().contains(said), "{said}: {}", told.flat());
    }
    let told = run(&desk_with(&cases(2)), &fake.url(), &["--dry-run"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.err.contains("2 requests, about"), "{}", told.err);
    assert!(fake.requests().is_empty());

    let desk = desk_with(&bad);
    let told = run(&desk, &fake.url(), &["--skip-bad", "--no-answers"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.err
            .contains("2 of 4 rows are no cases and are left out"),
        "{}",
        told.err
    );
    let text = std::fs::read_to_string(desk.path("results.jsonl")).unwrap();
    assert!(
        text.contains("answer_sha256") && !text.contains("word 0"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_refuse_end_the_run() {
    let desk = desk_with(&cases(3));
    let told = run(&desk, &unreachable_url().unwrap(), &["--retries", "0"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.flat().contains("no server answers at"), "{told:?}");

    let fake = FakeUpstream::builder()
        .key("the-key")
        .start()
        .await
        .unwrap();
    let refused = run(
        &desk,
        &fake.url(),
        &["--concurrency", "1", "--out", "a.jsonl"],
    );
    assert!(
        refused.flat().contains("name that with --key-env"),
        "{refused:?}"
    );
    assert_eq!(fake.requests().len(), 1);
    let told = run(
        &desk,
        &fake.url(),
        &["--key-env", "SERVER_KEY", "--out", "a.jsonl"],
    );
    assert_eq!(told.code, Some(0), "{told:?}");
    let text = std::fs::read_to_string(desk.path("a.jsonl")).unwrap();
    assert!(!text.contains("the-key") && !told.flat().contains("the-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_are_compared_and_the_proof_is_kept() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(400));
    for out in ["first.jsonl", "second.jsonl"] {
        let told = run(&desk, &fake.url(), &["--concurrency", "16", "--out", out]);
        assert_eq!(told.code, Some(0), "{told:?}");
    }
    let files = ["eval", "compare", "first.jsonl", "second.jsonl"];
    let rule = ["--margin", "0.1"];
    let keep = [
        "--pairs",
        "pairs.jsonl",
        "--save",
        "proofs.json",
        "--model",
        "m",
        "--json",
    ];
    let told = desk.done(&[&files[..], &rule, &keep].concat()).json();
    assert_eq!(
        (told["pairs"].clone(), told["scorer"].clone()),
        (json!(400), json!("exact"))
    );
    let judged = desk
        .done(&["proof", "judge", "pairs.jsonl", "--margin", "0.1", "--json"])
        .json();
    assert_eq!(judged, told["judgement"]);
    assert_eq!(desk.json("proofs.json")[0]["is_good_enough"], true);
    let text = desk.done(&[&files[..], &rule].concat());
    assert!(text.out.starts_with("PROVEN"), "{text:?}");
    assert_eq!(
        text.out,
        desk.done(&["proof", "judge", "pairs.jsonl", "--margin", "0.1"])
            .out
    );

    // A candidate that is always wrong.
    let wrong = std::fs::read_to_string(desk.path("second.jsonl")).unwrap();
    desk.file(
        "wrong.jsonl",
        &wrong.replace("\"score\":1.0", "\"score\":0.0"),
    );
    let told = desk.run(&["eval", "compare", "first.jsonl", "wrong.jsonl"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.starts_with("REFUTED"), "{told:?}");

    // Answers that are missing are no zeros, and are not passed over.
    let cut: Vec<&str> = wrong.lines().take(390).collect();
    desk.file("cut.jsonl", &(cut.join("\n") + "\n"));
    let told = desk.refused(&["eval", "compare", "first.jsonl", "cut.jsonl"]);
    assert!(
        told.contains("11 of 400 cases have no score on one side"),
        "{told}"
    );
    let told = desk.run(&[
        "eval",
        "compare",
        "first.jsonl",
        "cut.jsonl",
        "--allow-missing",
        "--json",
    ]);
    assert_eq!(told.json()["pairs"], 389);

    let other = run(
        &desk,
        &fake.url(),
        &["--limit", "20", "--out", "other.jsonl"],
    );
    assert_eq!(other.code, Some(0), "{other:?}");
    let told = desk.refused(&["eval", "compare", "first.jsonl", "other.jsonl"]);
    assert!(
        told.contains("different versions of the data set"),
        "{told}"
    );
    let told = desk.refused(&[&files[..], &["--scorer", "chrf"]].concat());
    assert!(
        told.contains("not both files have a scorer `chrf`"),
        "{told}"
    );
    let told = desk.refused(&["eval", "show", "set.jsonl"]);
    assert!(told.contains("is no head of results"), "{told}");
}

const SUITE: &str = "
dataset: set.jsonl
model: fake
max_tokens: 64
checks:
  - {scorer: exact, mean_min: 0.4, stratum_min: 0.4}
  - {scorer: chrf, mean_min: 0.99}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_suite_passes_or_fails_a_build() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(8));
    desk.file("suite.yaml", SUITE);
    let url = fake.url();
    let ci =
        |more: &[&str]| desk.run(&[&["eval", "ci", "suite.yaml", "--url", &url], more].concat());
    let told = ci(&["--junit", "out.xml", "--json", "--out", "old.jsonl"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let said = told.json();
    let passed: Vec<bool> = said["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["passed"] == true)
        .collect();
    assert_eq!(
        passed,
        [true, true, true, true, true, true, false],
        "{said}"
    );
    assert_eq!(said["checks"][6]["name"], "chrf: mean at least 0.99");

    // The XML is well formed and says the same.
    let xml = std::fs::read_to_string(desk.path("out.xml")).unwrap();
    let mut reader = quick_xml::Reader::from_str(&xml);
    reader.config_mut().check_end_names = true;
    let (mut cases, mut failures) = (0, 0);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    attribute.unwrap();
                }
                cases += usize::from(tag.name().as_ref() == "testcase");
                failures += usize::from(tag.name().as_ref() == "failure");
            }
            _ => {}
        }
    }
    assert_eq!((cases, failures), (7, 1), "{xml}");
    assert!(xml.contains("tests=\"7\" failures=\"1\""), "{xml}");

    desk.file("suite.yaml", &SUITE.replace("0.99", "0.3"));
    let told = ci(&[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.flat()
            .contains("exact: mean of stratum de at least 0.4 passed 0.5000"),
        "{}",
        told.flat()
    );
    assert_eq!(fake.requests().len(), 16);

    // Old answers are never taken for new ones.
    assert!(ci(&["--out", "old.jsonl"]).flat().contains("asks afresh"));
    // A case without an answer fails, unless the suite allows it.
    fake.push(Script::status(400));
    assert_eq!(ci(&[]).code, Some(1));
    fake.push(Script::status(400));
    desk.file(
        "suite.yaml",
        &(SUITE.replace("0.99", "0.1").replace("0.4", "0.2") + "errors_max: 1\n"),
    );
    assert_eq!(ci(&[]).code, Some(0));

    // A build's report also tells of a run that ended early.
    let gone = unreachable_url().unwrap();
    desk.file("suite.yaml", &(SUITE.to_owned() + "retries: 0\n"));
    let refused = desk.refused(&[
        "eval",
        "ci",
        "suite.yaml",
        "--url",
        &gone,
        "--junit",
        "early.xml",
    ]);
    assert!(refused.contains("no server answers"), "{refused}");
    let xml = std::fs::read_to_string(desk.path("early.xml")).unwrap();
    assert!(xml.contains("tests=\"1\" failures=\"1\""), "{xml}");
    assert!(xml.contains("no server answers"), "{xml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_to_wait_for_is_understood() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(1));
    fake.push(Script::fault(Fault::Status {
        status: 429,
        retry_after: Some(RetryAfter::DateSeconds(3_600)),
        body: None,
    }));
    let told = run(&desk, &fake.url(), &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.flat().contains("the server asks to wait 3"),
        "{}",
        told.flat()
    );
    assert_eq!(fake.requests().len(), 1, "nobody asks again before");
}

#[test]
fn what_the_gateway_says_a_question_cost_counts() {
    let house = House::start();
    house.use_tokens(1_000, 100);
    let machine = Machine::new(&format!(
        "discover: false\nserver: {{admin: null}}\nbackends:\n  house: {{type: vllm, base_url: \
         'http://127.0.0.1:{}/v1', models: [{{name: m, price: {{input_usd_per_million: 2, \
         output_usd_per_million: 10}}}}]}}\n",
        house.port
    ));
    let set = json!({"id": "one", "input": "hi", "expected": "as asked"}).to_string();
    let set = machine.file("set.jsonl", &set);
    let gateway = machine.serve();
    let url = format!("http://{}", gateway.address());
    let out = machine.folder.path().join("results.jsonl");
    let told = machine.done(&[
        "eval",
        "run",
        set.to_str().unwrap(),
        "--model",
        "house/m",
        "--url",
        &url,
        "--scorer",
        "exact",
        "--out",
        out.to_str().unwrap(),
        "--json",
    ]);
    gateway.stop();
    // 1,000 tokens at 2 and 100 at 10 dollars a million.
    let usd = told.json()["usd"].as_f64().unwrap();
    assert!((usd - 0.003).abs() < 1e-12, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suite_holds_a_model_against_a_baseline() {
    let fake = FakeUpstream::start().await.unwrap();
    let desk = desk_with(&cases(300));
    assert_eq!(
        run(
            &desk,
            &fake.url(),
            &["--concurrency", "16", "--out", "old.jsonl"]
        )
        .code,
        Some(0)
    );
    let suite = "{dataset: set.jsonl, model: fake, concurrency: 16, checks: [{scorer: exact, baseline: old.jsonl, margin: 0.1}]}";
    desk.file("suite.yaml", suite);
    let url = fake.url();
    let told = desk.run(&["eval", "ci", "suite.yaml", "--url", &url]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.flat()
            .contains("not worse than old.jsonl by 0.1 passed proven"),
        "{}",
        told.flat()
    );
    for _ in 0..300 {
        fake.push(Script::text("no"));
    }
    let told = desk.run(&["eval", "ci", "suite.yaml", "--url", &url]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.flat().contains("FAILED refuted"), "{}", told.flat());

    for (bad, said) in [
        (
            suite.replace("old.jsonl", "none.jsonl"),
            "cannot read none.jsonl",
        ),
        (
            suite.replace("baseline: old.jsonl, margin: 0.1", ""),
            "demands nothing",
        ),
        (
            suite.replace("baseline: old.jsonl, ", ""),
            "demands nothing",
        ),
        (suite.replace("margin: 0.1", "mean_min: 2"), "is no score"),
        (
            suite.replace("model: fake", "modle: fake"),
            "is no suite of checks",
        ),
        (
            suite.replace(
                "checks: [{scorer: exact, baseline: old.jsonl, margin: 0.1}]",
                "checks: []",
            ),
            "it has no `checks`",
        ),
        (
            suite.replace("concurrency: 16", "limit: 5"),
            "different versions of the data set",
        ),
    ] {
        desk.file("suite.yaml", &bad);
        let told = desk.refused(&["eval", "ci", "suite.yaml", "--url", &url]);
        assert!(told.contains(said), "{said}: {told}");
    }
}
