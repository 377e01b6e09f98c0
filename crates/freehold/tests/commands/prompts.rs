//! Stored prompts with the real program: what policy lets be stored, shown under audit, and erased.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use freehold_testkit::{FakeUpstream, Script};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::program::{Gateway, Machine, files};

pub(crate) const MAIL: &str = "ann.smith@example.org";
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const WAYS: [(&str, bool); 4] = [
    ("/v1/chat/completions", false),
    ("/v1/chat/completions", true),
    ("/v1/messages", false),
    ("/v1/messages", true),
];

/// A gateway between clients and an upstream that repeats what it is told.
pub(crate) struct Scene {
    runtime: Runtime,
    upstream: FakeUpstream,
    pub(crate) machine: Machine,
}

impl Scene {
    pub(crate) fn new(perimeter: &str, rules: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let upstream = runtime.block_on(FakeUpstream::start()).unwrap();
        let machine = Machine::new(&format!(
            "discover: false\nserver: {{admin: null}}\nbackends:\n  far: {{type: vllm, perimeter: \
             {perimeter}, base_url: '{}/v1', models: [{{name: m}}]}}\npolicy:\n  outside_up_to: \
             confidential\n  rules:\n{rules}",
            upstream.url()
        ));
        Self {
            runtime,
            upstream,
            machine,
        }
    }

    /// What the upstream was sent.
    fn sent(&self) -> Vec<String> {
        let _entered = self.runtime.enter();
        let requests = self.upstream.requests();
        let bodies = requests
            .iter()
            .map(|one| String::from_utf8_lossy(&one.body).into_owned());
        bodies.collect()
    }

    /// Everything in Freehold's directory, byte by byte.
    pub(crate) fn holds(&self, needle: &str) -> bool {
        files(&self.machine.home()).iter().any(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            let mut windows = bytes.windows(needle.len());
            windows.any(|window| window == needle.as_bytes())
        })
    }

    fn listed(&self, more: &[&str]) -> Vec<Value> {
        let arguments = [&["prompts", "list", "--json"], more].concat();
        let listed = self.machine.done(&arguments).json();
        listed.as_array().unwrap().clone()
    }

    /// Waits until so many are stored: that happens after the client has its answer.
    pub(crate) fn until_listed(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = self.listed(&[]);
            if listed.len() == count {
                return listed;
            }
            assert!(Instant::now() < deadline, "{count} expected: {listed:?}");
        }
    }

    pub(crate) fn show(&self, id: &str) -> Value {
        self.machine.done(&["prompts", "show", id, "--json"]).json()
    }

    fn acts(&self) -> Vec<Value> {
        let arguments = ["audit", "show", "--kind", "administration", "--json"];
        let lines = self.machine.done(&arguments).out;
        let records = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        records
            .map(|record: Value| record["event"]["administration"].clone())
            .collect()
    }
}

fn said(text: &str, stream: bool, user: &str, path: &str) -> Value {
    let mut body = json!({"model": "far/m", "max_tokens": 200, "stream": stream,
        "messages": [{"role": "user", "content": text}]});
    if path.ends_with("messages") {
        body["metadata"] = json!({"user_id": user});
    } else {
        body["user"] = json!(user);
    }
    body
}

/// Sends a text each way; the requests' ids.
fn send(gateway: &Gateway, text: &str, user: &str) -> Vec<String> {
    let sent = WAYS.map(|(path, stream)| {
        let (status, id, answer) = gateway.post(path, &said(text, stream, user, path));
        assert_eq!(status, 200, "{answer}");
        id
    });
    sent.to_vec()
}

/// All text of an answer's body, whatever its dialect.
fn text_of(body: &Value) -> String {
    let chat = &body["choices"][0]["message"]["content"];
    let messages = &body["content"][0]["text"];
    let text = chat.as_str().or_else(|| messages.as_str());
    text.unwrap_or_else(|| panic!("no text in {body}"))
        .to_owned()
}

pub(crate) const ORIGINAL: &str = "    - {name: keep, store: {keep_days: 30, what: original}}\n";
pub(crate) const MASKED: &str =
    "    - {name: mask, mask: contact}\n    - {name: keep, store: {keep_days: 7}}\n";

#[test]
fn what_is_stored_is_what_the_client_said_and_got_and_every_look_at_it_is_audited() {
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let text = format!("canary-5e1a write to {MAIL} please");
    let ids = send(&gateway, &text, "user-17");
    let listed = scene.until_listed(4);
    for one in &listed {
        assert_eq!(one["what"], "original");
        assert_eq!(one["end"], "complete");
        assert_eq!(one["deployment"], "far/m");
        assert_eq!(one["tenant"], "anonymous");
    }
    for (id, (path, stream)) in ids.iter().zip(WAYS) {
        let shown = scene.show(id);
        let asked = said(&text, stream, "user-17", path);
        assert_eq!(shown["request"], asked, "as the client wrote it");
        assert_eq!(text_of(&shown["answer"]), text, "{path} {stream}");
    }
    // In the trail of the running gateway, before anything was printed.
    let acts = scene.acts();
    let looks: Vec<_> = acts
        .iter()
        .filter(|act| act["act"] == "prompt_shown")
        .collect();
    let objects: Vec<_> = looks
        .iter()
        .map(|act| act["object"].as_str().unwrap())
        .collect();
    assert_eq!(objects, ids);
    assert!(looks[0]["actor"].as_str().unwrap().starts_with("cli/uid-"));
    // People are found by their names, which stand nowhere.
    assert_eq!(scene.listed(&["--subject", "user-17"]).len(), 4);
    assert_eq!(scene.listed(&["--subject", "user-18"]).len(), 0);
    let exported = scene
        .machine
        .done(&["prompts", "export", "--subject", "user-17"]);
    assert_eq!(exported.out.lines().count(), 4);
    assert!(
        scene
            .acts()
            .iter()
            .any(|act| act["act"] == "prompts_exported")
    );
    let log = gateway.stop();
    for needle in ["canary-5e1a", MAIL, "user-17"] {
        assert!(!scene.holds(needle), "{needle} stands on the disk");
        assert!(!log.contains(needle), "{needle} is in the log");
    }
    // Without a gateway as well, and the chain is whole.
    assert_eq!(scene.show(&ids[0])["request"]["user"], "user-17");
    scene.machine.done(&["audit", "verify"]);
}

#[test]
fn masked_text_holds_placeholders_only_whoever_served_it() {
    for perimeter in ["outside", "inside"] {
        let scene = Scene::new(perimeter, MASKED);
        let gateway = scene.machine.serve();
        let text = format!("please write to {MAIL} about it");
        let ids = send(&gateway, &text, "user-17");
        scene.until_listed(4);
        let sent = scene.sent();
        for (index, id) in ids.iter().enumerate() {
            let shown = scene.show(id);
            assert_eq!(shown["what"], "masked");
            let whole = shown.to_string();
            assert!(!whole.contains("ann.smith"), "{perimeter}: {whole}");
            let asked = shown["request"]["messages"][0]["content"].to_string();
            let answered = text_of(&shown["answer"]);
            assert!(asked.contains("EMAIL_ADDRESS_1"), "{perimeter}: {whole}");
            // The same placeholder in the answer, and the one that left the machine.
            let place = asked.find('<').unwrap()..=asked.find('>').unwrap();
            assert!(
                answered.contains(&asked[place.clone()]),
                "{perimeter}: {whole}"
            );
            let left = sent[index].contains(&asked[place]);
            assert_eq!(left, perimeter == "outside", "{}", sent[index]);
        }
        assert_eq!(sent[0].contains(MAIL), perimeter == "inside");
        // What only the answer holds is masked as well.
        for _ in WAYS {
            scene
                .upstream
                .push(Script::text("ask carl.jones@example.org instead"));
        }
        let ids = send(&gateway, "whom do I ask?", "user-17");
        scene.until_listed(8);
        for id in &ids {
            let shown = scene.show(id).to_string();
            assert!(shown.contains("EMAIL_ADDRESS_1"), "{shown}");
            assert!(!shown.contains("carl"), "{shown}");
        }
        gateway.stop();
        let decisions = scene
            .machine
            .done(&["audit", "show", "--kind", "decision", "--json"]);
        let told = decisions.out.matches("\"stored\":\"masked\"").count();
        assert_eq!(told, 8, "{decisions:?}");
    }
}

#[test]
fn nothing_is_stored_where_a_rule_says_never_or_none_says_anything() {
    let never = format!("{ORIGINAL}    - {{name: no, when: {{route: 'far/*'}}, store: never}}\n");
    let too_high = "    - {name: high, raise: restricted}\n    \
                    - {name: keep, store: {keep_days: 30, what: original}}\n";
    for rules in [
        never.as_str(),
        "    - {name: other, review: true}\n",
        too_high,
    ] {
        let scene = Scene::new("inside", rules);
        let gateway = scene.machine.serve();
        send(&gateway, "hello", "user-17");
        gateway.stop();
        let files = files(&scene.machine.home());
        let names = files.iter().filter_map(|path| path.file_name()?.to_str());
        assert!(
            names.clone().all(|name| !name.starts_with("prompts")),
            "{files:?}"
        );
        assert_eq!(scene.listed(&[]).len(), 0);
    }
}

#[test]
fn an_answer_that_is_too_sensitive_is_not_stored() {
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n\
                       -----END PRIVATE KEY-----";
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    scene.upstream.push(Script::text(KEY));
    let (path, stream) = WAYS[0];
    let (status, _, answer) = gateway.post(path, &said("hello", stream, "user-17", path));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("PRIVATE KEY"), "{answer}");
    // In order: what is stored later is stored after it.
    let ids = send(&gateway, "hello", "user-17");
    let listed = scene.until_listed(4);
    assert!(
        listed
            .iter()
            .all(|one| ids.iter().any(|id| one["request_id"] == **id))
    );
    gateway.stop();
    assert_eq!(scene.listed(&[]).len(), 4);
}

#[test]
fn erasing_beside_a_running_gateway_leaves_nothing_and_is_proved() {
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let gone = send(&gateway, "forget me", "user-17");
    let stay = send(&gateway, "keep me", "user-18");
    scene.until_listed(8);
    let erased = scene
        .machine
        .done(&["erase", "--subject", "user-17", "--json"]);
    let receipt = erased.json();
    assert_eq!(receipt["records"], 4, "{receipt}");
    assert_eq!(receipt["keys"].as_array().unwrap().len(), 1);
    assert_eq!(scene.listed(&[]).len(), 4);
    let told = scene.machine.run(&["prompts", "show", &gone[0]]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.flat().contains("it was erased"), "{told:?}");
    assert_eq!(text_of(&scene.show(&stay[0])["answer"]), "keep me");
    // Again, and there is nothing left to erase.
    let again = scene.machine.done(&["erase", "--subject", "user-17"]);
    assert!(again.out.contains("0 deleted"), "{again:?}");
    let acts = scene.acts();
    let erasures: Vec<_> = acts
        .iter()
        .filter(|act| act["act"] == "prompts_erased")
        .collect();
    assert_eq!(erasures.len(), 2);
    assert_eq!(
        erasures[0]["after"], receipt["hash"],
        "the trail vouches for the receipt"
    );
    // What comes later is stored under new keys, once the gateway has noticed the erasure.
    let deadline = Instant::now() + PATIENCE;
    let later = loop {
        send(&gateway, "I am back", "user-17");
        if let Some(one) = scene.listed(&["--subject", "user-17"]).pop() {
            break one["request_id"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "nothing is stored any more");
    };
    assert_eq!(text_of(&scene.show(&later)["answer"]), "I am back");
    gateway.stop();

    let receipts = scene.machine.done(&["erase", "--receipts"]);
    assert!(
        receipts.out.contains("the chain is unbroken"),
        "{receipts:?}"
    );
    let all = scene.machine.done(&["erase", "--tenant", "anonymous"]);
    assert!(!all.out.contains(" 0 deleted"), "{all:?}");
    assert_eq!(scene.listed(&[]).len(), 0);
    scene.machine.done(&["audit", "verify"]);
    let told = scene.machine.run(&["erase"]);
    assert_eq!(told.code, Some(2), "{told:?}");
}

#[test]
fn what_is_stored_survives_a_kill_of_the_gateway() {
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let ids = send(&gateway, "hello", "user-17");
    scene.until_listed(4);
    // Whatever else is under way.
    send(&gateway, "hello", "user-18");
    gateway.signal("KILL");
    drop(gateway);
    for id in &ids {
        assert_eq!(text_of(&scene.show(id)["answer"]), "hello");
    }
    let gateway = scene.machine.serve();
    let before = scene.listed(&[]).len();
    assert!((4..=8).contains(&before), "{before}");
    send(&gateway, "hello again", "user-17");
    scene.until_listed(before + 4);
    gateway.stop();
    scene.machine.done(&["audit", "verify"]);
}

#[test]
fn text_is_not_shown_when_that_cannot_be_audited() {
    let scene = Scene::new("inside", ORIGINAL);
    let gateway = scene.machine.serve();
    let ids = send(&gateway, "hello canary-77", "user-17");
    scene.until_listed(4);
    // The gateway holds the trail, and cannot be asked.
    std::fs::remove_file(scene.machine.home().join("audit/door.sock")).unwrap();
    for arguments in [
        &["prompts", "show", &ids[0]][..],
        &["prompts", "export"],
        &["erase", "--subject", "user-17"],
        &["prompts", "rotate-key"],
    ] {
        let told = scene.machine.run(arguments);
        assert_eq!(told.code, Some(1), "{arguments:?}: {told:?}");
        assert!(
            told.flat().contains("must go into the audit trail"),
            "{told:?}"
        );
        assert!(!told.flat().contains("canary-77"), "{told:?}");
    }
    gateway.stop();
    let config = std::fs::read_to_string(scene.machine.folder.path().join("freehold.yaml"));
    let config = config.unwrap();
    scene
        .machine
        .configure(&format!("{config}\naudit: {{enabled: false}}\n"));
    let told = scene.machine.run(&["prompts", "show", &ids[0]]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.flat().contains("`audit.enabled` is false"), "{told:?}");
    scene.machine.configure(&config);
    assert_eq!(scene.listed(&[]).len(), 4, "nothing was erased either");
    assert_eq!(scene.show(&ids[0])["end"], "complete");
}

/// What the operator's listener counts.
fn metrics(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let get = b"GET /metrics HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    stream.write_all(get).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn requests_go_on_when_nothing_can_be_stored() {
    let scene = Scene::new("inside", ORIGINAL);
    let blocked = scene
        .machine
        .file("blocked", "a file in the place of a directory");
    let config = std::fs::read_to_string(scene.machine.folder.path().join("freehold.yaml"));
    let prompts = format!("\nprompts: {{directory: '{}/data'}}\n", blocked.display());
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let admin = format!("admin: '127.0.0.1:{port}'");
    let config = config.unwrap().replace("admin: null", &admin) + &prompts;
    scene.machine.configure(&config);
    let gateway = scene.machine.serve();
    send(&gateway, "hello", "user-17");
    let wanted = "freehold_prompts_dropped_total{reason=\"unwritable\"} 4";
    let deadline = Instant::now() + PATIENCE;
    while !metrics(port).contains(wanted) {
        assert!(Instant::now() < deadline, "{}", metrics(port));
    }
    let log = gateway.stop();
    assert!(
        log.contains("prompts cannot be stored; requests go on"),
        "{log}"
    );
    // Said once, not for each request.
    assert_eq!(log.matches("prompts cannot be stored").count(), 1, "{log}");
}

#[test]
fn a_data_set_is_made_of_stored_prompts_under_audit() {
    let scene = Scene::new("inside", MASKED);
    let gateway = scene.machine.serve();
    let texts = [
        format!("Please write a short letter to {MAIL} and thank her for the nice evening."),
        "What is the best way to grow tomatoes on a small balcony in the city?".to_owned(),
        "Wie kann ich auf einem kleinen Balkon in der Stadt am besten Tomaten ziehen?".to_owned(),
        "Schreibe bitte einen kurzen Brief an meine Tante und danke ihr für den schönen Abend."
            .to_owned(),
    ];
    for text in &texts {
        send(&gateway, text, "user-17");
    }
    scene.until_listed(16);
    gateway.stop();
    let out = scene.machine.folder.path().join("set.jsonl");
    let out = out.to_str().unwrap();
    let make = |more: &[&str]| {
        let base = [
            "eval",
            "dataset",
            "--from-prompts",
            "--since",
            "1h",
            "--out",
            out,
            "--force",
            "--json",
        ];
        scene.machine.run(&[&base[..], more].concat())
    };
    let told = make(&[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let found = told.json();
    assert_eq!(
        (
            found["stored"].clone(),
            found["opened"].clone(),
            found["cases"].clone()
        ),
        (json!(16), json!(16), json!(4))
    );
    assert_eq!(
        found["left_out"]["asks what another one asks"], 12,
        "{found}"
    );
    assert_eq!(found["originals"], 0);
    let strata = found["strata"].as_object().unwrap();
    assert!(
        strata
            .keys()
            .all(|name| name.starts_with("deu/") || name.starts_with("eng/")),
        "{strata:?}"
    );
    assert_eq!(strata.values().filter_map(Value::as_u64).sum::<u64>(), 4);
    let written = std::fs::read_to_string(out).unwrap();
    assert!(
        written.contains("EMAIL_ADDRESS_1") && !written.contains(MAIL),
        "{written}"
    );
    assert!(!written.contains("expected"), "{written}");
    let acts = scene.acts();
    let exports: Vec<_> = acts
        .iter()
        .filter(|act| act["act"] == "prompts_exported")
        .collect();
    assert_eq!(
        (exports.len(), exports[0]["object"].clone()),
        (1, json!("all/16"))
    );

    // The same again is the same; fewer are of both languages; what was answered can be expected.
    assert_eq!(make(&[]).json()["version"], found["version"]);
    let few = make(&["--limit", "2", "--expect-answers"]).json();
    assert_eq!(few["strata"].as_object().unwrap().len(), 2, "{few}");
    let written = std::fs::read_to_string(out).unwrap();
    for line in written.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            case["expected"][0], case["messages"][0]["content"],
            "the upstream repeats what it is told"
        );
    }
    for (more, said) in [
        (&["--flow", "none"][..], "nothing is stored that fits"),
        (&["--limit", "0"], "invalid value '0'"),
    ] {
        let told = make(more);
        assert!(
            told.code != Some(0) && told.flat().contains(said),
            "{told:?}"
        );
    }
    let plain = ["eval", "dataset", "--out", out];
    assert!(scene.machine.run(&plain).flat().contains("--from-prompts"));
}
