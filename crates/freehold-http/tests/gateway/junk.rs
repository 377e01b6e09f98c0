//! Names that clients invent make no series.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::siege::metrics;
use crate::support::{Bench, Surface};

/// What is asked for from `from` on: models, flows and keys that nobody has configured.
async fn ask(bench: &Bench, numbers: std::ops::Range<usize>) {
    let surface = Surface::Chat;
    for number in numbers {
        let model = format!("junk-model-{number}");
        let unknown = bench
            .ask(surface, &surface.body(&model, false, "hello"))
            .await;
        assert_eq!(unknown.status, 404, "{}", unknown.text);
        let known: Value = surface.body("single", false, "hello");
        match number % 3 {
            0 => {
                let request = bench.post(surface, &known);
                let flow = format!("junk-flow-{number}");
                let answer = request
                    .header("x-freehold-flow", flow)
                    .send()
                    .await
                    .unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
            }
            1 => {
                let key = format!("junk-key-{number}");
                let answer = bench.post_as(&key, surface, &known).send().await.unwrap();
                assert_eq!(answer.status(), 401);
                answer.bytes().await.unwrap();
            }
            _ => {}
        }
    }
}

fn series() -> BTreeSet<String> {
    let text = metrics().render();
    assert!(!text.contains("junk"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
    names.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_junk_names_add_no_series() {
    metrics();
    let bench = Bench::start().await;
    ask(&bench, 0..30).await;
    let few = series();
    ask(&bench, 30..1_500).await;
    let many = series();
    assert_eq!(few, many);
    assert!(
        few.iter()
            .any(|series| series.starts_with("freehold_requests_total{"))
    );
    assert!(few.len() < 200, "{few:?}");
}
