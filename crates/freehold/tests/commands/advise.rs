//! `freehold advise` on what people have: exports and traces of public formats, and the gateway's own
//! ledger. Its figures are worked out again here, from the rows that were written.

use std::time::Duration;

use freehold_ports::Ledger as _;
use freehold_store::{DurableLedger, Reader, RecentQuery, StoreSettings};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::program::{House, Machine, Told};

/// USD per million tokens, of the API and of the GPU's hour.
const API: [f64; 2] = [0.5, 2.0];
const GPU_HOUR: f64 = 2.5;
const MONTH_HOURS: f64 = 730.5;

/// Requests of an hour: the second that each comes in, and its tokens.
fn hour() -> Vec<(u64, u64, u64)> {
    (0..=600)
        .map(|index| (index * 6, 200 + index * 37 % 1_900, 20 + index * 13 % 230))
        .collect()
}

/// The sum of a column, of a month at the hour's rate.
fn month(rows: &[(u64, u64, u64)], column: impl Fn(&(u64, u64, u64)) -> u64) -> f64 {
    rows.iter().map(column).sum::<u64>() as f64 * MONTH_HOURS
}

fn near(told: &Value, wanted: f64) {
    let told = told.as_f64().unwrap();
    let tolerance = (wanted.abs() * 1e-4).max(0.01);
    assert!((told - wanted).abs() <= tolerance, "{told} is not {wanted}");
}

/// The question that all tests ask, of traffic from `source`.
fn ask(machine: &Machine, source: &[&str], more: &[&str]) -> Told {
    let api = format!("{},{}", API[0], API[1]);
    let gpu = GPU_HOUR.to_string();
    let mut arguments = vec!["advise"];
    arguments.extend(source);
    for (flag, value) in [
        ("--api", "today"),
        ("--api-price", &api),
        ("--model", "gpt-oss-20b"),
        ("--gpu", "H100-SXM"),
        ("--gpu-usd-per-hour", &gpu),
        ("--draws", "50"),
        ("--simulated-requests", "600"),
    ] {
        if !more.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend(more);
    machine.run(&arguments)
}

fn advice(machine: &Machine, source: &[&str], more: &[&str]) -> Value {
    let more: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
    let told = ask(machine, source, &more);
    assert_eq!(told.code, Some(0), "{told:?}");
    told.json()
}

/// The most likely value of an assumption, as the answer names it.
fn assumed(advice: &Value, key: &str) -> f64 {
    let all = advice["assumptions"].as_array().unwrap();
    let one = all.iter().find(|one| one["key"] == key);
    one.unwrap_or_else(|| panic!("no {key}"))["base"]
        .as_f64()
        .unwrap()
}

/// Works the answer out again from the rows that it was made of.
fn check(advice: &Value, rows: &[(u64, u64, u64)]) {
    let (input, output) = (month(rows, |row| row.1), month(rows, |row| row.2));
    let traffic = &advice["traffic"];
    assert_eq!(traffic["recorded_requests"], rows.len());
    near(&traffic["recorded_hours"], 1.0);
    near(&traffic["month"]["input_tokens"], input);
    near(&traffic["month"]["output_tokens"], output);
    near(
        &traffic["month"]["requests"],
        rows.len() as f64 * MONTH_HOURS,
    );

    let api = (input * API[0] + output * API[1]) / 1e6;
    near(&advice["renting"]["api_usd"], api);

    let best = &advice["best"];
    let owned = &best["month"];
    // The cheapest way to pay for GPUs by the hour that are wanted all the time.
    assert_eq!(best["procurement"], "reserved");
    let peak = best["gpus_peak"].as_f64().unwrap();
    let discount = assumed(advice, "reserved_discount_percent") / 100.0;
    near(
        &owned["gpus_usd"],
        peak * GPU_HOUR * MONTH_HOURS * (1.0 - discount),
    );
    let people = assumed(advice, "run_fte")
        + assumed(advice, "evaluation_fte")
        + assumed(advice, "run_fte_per_eight_gpus") * peak / 8.0;
    let salary = assumed(advice, "staff_usd_per_year") / 12.0;
    near(
        &owned["people_usd"],
        people * salary + assumed(advice, "on_call_usd_per_month"),
    );
    let retried = api * (1.0 + assumed(advice, "api_retry_percent") / 100.0);
    near(
        &owned["fallback_usd"],
        retried * assumed(advice, "fallback_percent") / 100.0,
    );

    let even = &advice["break_even"][0];
    assert_eq!(even["versus"], "api");
    let multiple = even["multiple"].as_f64().unwrap();
    // The lines cross where the drawn curve says so.
    for point in advice["volumes"].as_array().unwrap() {
        let [at, api, own] = ["multiple", "api_usd", "own_usd"].map(|key| point[key].as_f64());
        let is_past = at.unwrap() > multiple;
        assert_eq!(is_past, own < api, "{point} beside {multiple}");
    }
    near(
        &even["tokens_per_day"],
        (input + output) / MONTH_HOURS * 24.0 * multiple,
    );
    // A small hour's traffic never carries the people that owning takes.
    assert_eq!(advice["verdict"]["decision"], "rent");
    assert_eq!(advice["verdict"]["quality"]["is"], "unproven");
}

fn azure(rows: &[(u64, u64, u64)]) -> String {
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for (second, input, output) in rows {
        text += &format!(
            "2023-11-16 {:02}:{:02}:{:02}.0000000,{input},{output}\n",
            18 + second / 3_600,
            second / 60 % 60,
            second % 60
        );
    }
    text
}

fn mooncake(rows: &[(u64, u64, u64)]) -> String {
    let line = |(index, (second, input, output)): (usize, &(u64, u64, u64))| {
        let blocks: Vec<u64> = (0..input.div_ceil(512))
            .map(|block| index as u64 * 100 + block)
            .collect();
        let row = json!({"timestamp": second * 1_000, "input_length": input,
            "output_length": output, "hash_ids": blocks});
        format!("{row}\n")
    };
    rows.iter().enumerate().map(line).collect()
}

#[test]
fn public_traces_get_a_full_report() {
    let machine = Machine::new("discover: false\n");
    let rows = hour();
    for (name, text) in [
        ("azure.csv", azure(&rows)),
        ("mooncake.jsonl", mooncake(&rows)),
    ] {
        let file = machine.file(name, &text);
        let file = file.to_str().unwrap();
        let page = machine.folder.path().join(format!("{name}.html"));
        let told = advice(
            &machine,
            &["--trace", file],
            &["--html", page.to_str().unwrap()],
        );
        check(&told, &rows);
        let again = advice(&machine, &["--trace", file], &[]);
        assert_eq!(told, again, "the same question has the same answer");

        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains("<svg") && page.contains(name), "{page}");
        for alien in ["http://", "https://", "<script", "<link"] {
            let quoted = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!quoted.contains(alien), "{alien} in the page");
        }
        let screen = ask(&machine, &["--trace", file], &[]);
        assert!(screen.out.contains("Keep renting"), "{screen:?}");
        assert!(screen.out.lines().count() <= 60, "{}", screen.out);
    }
}

/// What a gateway recorded, moved to other times: nobody waits an hour for a test.
async fn spread(from: &StoreSettings, to: &StoreSettings, rows: &[(u64, u64, u64)], end_ms: u64) {
    let reader = Reader::open(&from.database, &from.spool.dir);
    let mut outcomes = reader.recent(&RecentQuery::newest(1_000)).await.unwrap();
    outcomes.sort_by_key(|outcome| outcome.started_unix_ms);
    assert_eq!(outcomes.len(), rows.len());
    let ledger = DurableLedger::open(to.clone()).unwrap();
    for (outcome, (second, ..)) in outcomes.into_iter().zip(rows) {
        let mut outcome = outcome;
        outcome.started_unix_ms = end_ms - 3_600_000 + second * 1_000;
        ledger.record(&outcome).unwrap();
    }
    ledger.shutdown(Duration::from_secs(30)).await.unwrap();
}

#[test]
fn the_gateways_own_ledger_gets_one_too() {
    let house = House::start();
    let config = |port| {
        format!(
            "discover: false\nserver: {{admin: null}}\nbackends:\n  house: {{type: vllm, \
             base_url: 'http://127.0.0.1:{port}/v1', models: [{{name: m}}]}}\n  cloud: {{type: \
             openai, api_key: 'sk-test-R7gPz0Qm4LwXc9VbN2kJ', models: [{{name: gpt-4.1}}]}}\n\
             policy:\n  rules:\n    - {{name: payroll-stays-inside, when: {{flow: payroll}}, \
             require: {{perimeter: inside}}}}\n"
        )
    };
    let recording = Machine::new(&config(house.port));
    let rows: Vec<(u64, u64, u64)> = (0..=60)
        .map(|at| (at * 60, 300 + at * 11, 7 + at))
        .collect();
    let gateway = recording.serve();
    for (index, (_, input, output)) in rows.iter().enumerate() {
        house.use_tokens(*input, *output);
        let flow = if index % 3 == 0 { "payroll" } else { "support" };
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}],
            "metadata": {"freehold_flow": flow}});
        let (status, _, answer) = gateway.post("/v1/chat/completions", &body);
        assert_eq!(status, 200, "{answer}");
    }
    gateway.stop();

    let machine = Machine::new(&config(house.port));
    let settings = StoreSettings::new(machine.home().join("ledger"));
    let recorded = StoreSettings::new(recording.home().join("ledger"));
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let end_ms = u64::try_from(now.as_millis()).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(spread(&recorded, &settings, &rows, end_ms));

    // To the moment at which the last one came: the record's hour has no idle end.
    let told = advice(&machine, &["--ledger", "--since", "2h"], &[]);
    let flows = told["flows"].as_array().unwrap();
    let of = |name| flows.iter().find(|flow| flow["flow"] == name).unwrap();
    let share = |wanted: usize| {
        let mine = rows
            .iter()
            .enumerate()
            .filter(|(index, _)| (index % 3 == 0) == (wanted == 0));
        mine.map(|(_, row)| *row).collect::<Vec<_>>()
    };
    // The program asked a moment after the last request: the hour is longer by that.
    let hours = told["traffic"]["recorded_hours"].as_f64().unwrap();
    assert!((1.0..1.05).contains(&hours), "{hours}");
    for (name, rows) in [("payroll", share(0)), ("support", share(1))] {
        let input = month(&rows, |row| row.1) / hours;
        let output = month(&rows, |row| row.2) / hours;
        near(&of(name)["input_tokens"], input);
        near(&of(name)["output_tokens"], output);
        near(
            &of(name)["api_usd"],
            (input * API[0] + output * API[1]) / 1e6,
        );
    }
    // Policy decides payroll, whatever it costs; on the machine that it needs there is room for the rest.
    assert_eq!(
        told["verdict"]["rule"], "must-own-some",
        "{}",
        told["verdict"]
    );
    assert_eq!(told["verdict"]["decision"], "own");
    assert_eq!(of("payroll")["decision"], "own");
    assert!(
        of("payroll")["because"]
            .as_str()
            .unwrap()
            .contains("payroll-stays-inside"),
        "{}",
        of("payroll")
    );
    machine.configure("discover: false\n");
    let free = advice(&machine, &["--ledger", "--since", "2h"], &[]);
    assert_eq!(free["verdict"]["decision"], "rent");
}

#[test]
fn a_proof_counts_as_evidence() {
    let machine = Machine::new("discover: false\n");
    let trace = machine.file("azure.csv", &azure(&hour()));
    let trace = trace.to_str().unwrap();
    let proofs = machine.folder.path().join("proofs.json");
    let proofs = proofs.to_str().unwrap();
    for (lines, code, quality) in [
        (r#"{"incumbent": true, "candidate": true}"#, 0, "proven"),
        (r#"{"incumbent": true, "candidate": false}"#, 1, "worse"),
    ] {
        let pairs = machine.file("pairs.jsonl", &format!("{lines}\n").repeat(200));
        let judged = machine.run(&[
            "proof",
            "judge",
            pairs.to_str().unwrap(),
            "--model",
            "gpt-oss-20b",
            "--save",
            proofs,
        ]);
        assert_eq!(judged.code, Some(code), "{judged:?}");
        let told = advice(&machine, &["--trace", trace], &["--proofs", proofs]);
        let is = &told["verdict"]["quality"];
        assert_eq!(is["is"], quality);
        assert!(
            is["evidence"].as_str().unwrap().contains("200 pairs"),
            "{is}"
        );
    }
    // Three pairs say nothing, and take back what was said.
    let pairs = machine.file("pairs.jsonl", "{\"incumbent\": 1, \"candidate\": 1}\n");
    let pairs = pairs.to_str().unwrap();
    let arguments = [
        "proof",
        "judge",
        pairs,
        "--model",
        "gpt-oss-20b",
        "--save",
        proofs,
    ];
    assert_eq!(machine.run(&arguments).code, Some(1));
    let told = advice(&machine, &["--trace", trace], &["--proofs", proofs]);
    assert_eq!(told["verdict"]["quality"]["is"], "unproven");
}

#[test]
fn bad_questions_say_what_to_change() {
    let machine = Machine::new("discover: false\n");
    let good = machine.file("good.csv", &azure(&hour()));
    let good = good.to_str().unwrap();
    let one = machine.file("one.csv", &azure(&hour()[..1]));
    let empty = machine.file("empty.csv", "");
    let reversed = machine.file(
        "reversed.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,-5,10\n2023-11-16 x,1,1\n",
    );
    let proofs = machine.file("proofs.json", "{}");
    let own = machine.file("own.yaml", "run_fet: 1\n");
    let absurd = machine.file("absurd.yaml", "pue: 0.1\n");
    for (source, more, says) in [
        ("missing.csv", vec![], "missing.csv"),
        (empty.to_str().unwrap(), vec![], "empty"),
        (one.to_str().unwrap(), vec![], "1 request(s)"),
        (reversed.to_str().unwrap(), vec![], "reversed.csv"),
        (good, vec!["--model", "no-such-model"], "no-such-model"),
        (
            good,
            vec!["--gpu", "L40S", "--gpu", "H100-SXM"],
            "a price of a GPU belongs to one",
        ),
        (good, vec!["--gpu", "H999"], "H999"),
        (good, vec!["--draws", "1"], "draws"),
        (good, vec!["--months", "0"], "months"),
        (good, vec!["--inside", "payroll"], "no such flow"),
        (good, vec!["--growth", "lots"], "--growth"),
        (good, vec!["--slo-tpot-ms", "0.0001"], "allow more"),
        (
            good,
            vec!["--proofs", proofs.to_str().unwrap()],
            "freehold proof judge --save",
        ),
        (
            good,
            vec!["--assumptions", own.to_str().unwrap()],
            "run_fte",
        ),
        (good, vec!["--assumptions", absurd.to_str().unwrap()], "pue"),
    ] {
        let told = ask(&machine, &["--trace", source], &more);
        assert_eq!(told.code, Some(1), "{source} {more:?}: {told:?}");
        assert!(told.flat().contains(says), "{says}: {}", told.flat());
        assert!(!told.err.contains("panicked"), "{told:?}");
    }
}

#[test]
fn what_fits_a_gpu_is_told() {
    let machine = Machine::new("discover: false\n");
    let fits = machine
        .done(&["fit", "llama-3.1-8b", "--gpu", "RTX-4090", "--json"])
        .json();
    let first = &fits["fits"][0];
    assert_eq!(
        (&first["weights"], &first["fits"]),
        (&json!("bf16"), &json!(true))
    );
    // 24,081 MiB less 16.2 GB of weights and the buffers, at 128 KiB a token.
    let room = first["room"]["cache_bytes"].as_f64().unwrap();
    near(&first["context_tokens"], (room / 131_072.0).floor());
    let screen = machine.done(&["fit", "llama-3.1-8b", "--gpu", "RTX-4090"]);
    assert!(screen.out.contains("RTX-4090"), "{screen:?}");
    let unknown = machine.run(&["fit", "llama-3.1-8b", "--gpu", "RTX-4091"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.flat().contains("RTX-4090"), "{}", unknown.flat());
}

#[test]
fn a_workload_is_shown_and_converted() {
    let machine = Machine::new("discover: false\n");
    let rows = hour();
    let trace = machine.file("azure.csv", &azure(&rows));
    let trace = trace.to_str().unwrap();
    let shown = machine.done(&["workload", "show", trace, "--json"]).json();
    let text = shown.to_string();
    assert!(text.contains(&rows.len().to_string()), "{text}");
    let converted = machine.folder.path().join("canonical.jsonl");
    let converted = converted.to_str().unwrap();
    machine.done(&["workload", "convert", trace, "--out", converted]);
    let before = advice(&machine, &["--trace", trace], &[]);
    let after = advice(&machine, &["--trace", converted], &[]);
    assert_eq!(before["traffic"]["month"], after["traffic"]["month"]);
    assert_eq!(before["best"], after["best"]);
}
