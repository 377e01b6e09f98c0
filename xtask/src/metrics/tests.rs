use super::*;

fn page() -> Listed {
    listed(
        "| metric | type | labels | what |\n|---|---|---|---|\n\
         | `a_total` | counter | kind, from | things |\n| `b_seconds` | histogram | | time |\n",
    )
}

fn names(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn code_and_page_name_the_same() {
    let code = r#"fn f() { counter!("a_total", "kind" => kind(), "from" => x).increment(1);
        metrics::histogram!("b_seconds").record(1.0); other!("c"); let counter = "d";
        g(|| { gauge!("e", &labels()) }) }"#;
    let mut counted = BTreeSet::new();
    counted_in(code.parse().unwrap(), &mut counted);
    assert_eq!(counted, names(&["a_total", "b_seconds", "e"]));
    let findings = compare(&counted, &page());
    assert_eq!(findings, ["docs/metrics.md does not list e: add it"]);
    let findings = compare(&names(&["a_total"]), &page());
    assert_eq!(
        findings,
        ["docs/metrics.md lists b_seconds, which nothing counts"]
    );
}

#[test]
fn queries_are_read_to_their_names() {
    let query = read(
        "histogram_quantile(0.95, sum by (kind, le) (rate(b_seconds_bucket{from=~\"$x\", job!=\"{}\"}[$__r]))) \
         / 10e9 > 3 * a_total offset 1d and up == 0",
    );
    let query = query.unwrap();
    assert_eq!(query.metrics, names(&["b_seconds_bucket", "a_total", "up"]));
    assert_eq!(query.labels, names(&["kind", "le", "from", "job"]));
    for wrong in [
        "sum(rate(a_total[5m])",
        "rate(a_total[5m]))",
        "rate(a_total[5m)",
        "guess(a_total)",
        "a_total{kind=}",
        "sum by kind (a_total)",
        "a_total; b",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn queries_may_ask_for_what_there_is() {
    let findings = |query: &str| check_query("here", query, &page());
    let none: [&str; 0] = [];
    for good in [
        "up{job=\"x\"} == 0",
        "sum by (kind, instance) (rate(a_total{from=\"y\"}[5m]))",
        "rate(b_seconds_sum[5m]) / rate(b_seconds_count[5m])",
    ] {
        assert_eq!(findings(good), none, "{good}");
    }
    assert_eq!(
        findings("rate(c_total[5m])"),
        ["here: docs/metrics.md lists no c_total"]
    );
    assert_eq!(
        findings("a_total{colour=\"red\"}"),
        ["here: its metrics have no label colour"]
    );
    assert_eq!(
        findings("b_seconds_sum{kind=\"a\"}"),
        ["here: its metrics have no label kind"]
    );
    assert_eq!(findings("1 + 1").len(), 1);
}

#[test]
fn boards_and_rules_are_searched() {
    let board = serde_json::json!({"title": "b", "panels": [
        {"title": "p", "targets": [{"expr": "a_total"}, {"expr": "b_seconds_sum"}]},
        {"panels": [{"targets": [{"expr": "up"}]}]},
    ]});
    let mut queries = vec![];
    expressions(&board, "x.json", &mut queries);
    let found: Vec<_> = queries.iter().map(|query| query.1.as_str()).collect();
    assert_eq!(found, ["a_total", "b_seconds_sum", "up"]);
    assert_eq!(queries[0].0, "x.json: b: p");
    let rules = "groups:\n  - rules:\n      - alert: A\n        expr: up == 0\n        for: 1m\n";
    let rule = (
        "deploy/prometheus/alerts.yml: A".to_owned(),
        "up == 0".to_owned(),
    );
    assert_eq!(alerts(rules), [rule]);
}
