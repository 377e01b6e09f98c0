//! Whom a gateway reports to: nobody by default, and nobody outside when it is sealed.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::program::Site;

fn flat(output: &std::process::Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let words = text.split_whitespace().filter(|word| *word != "│");
    words.collect::<Vec<_>>().join(" ")
}

/// What makes the two upstreams' configuration a sealed one.
fn sealed() -> Vec<(&'static str, Value)> {
    let model = json!({"name": "fake", "context_tokens": 8000});
    let only =
        json!({"in": {"type": "vllm", "base_url": "http://127.0.0.1:9/v1", "models": [model]}});
    vec![
        ("perimeter", json!("sealed")),
        ("backends", only),
        ("routes", json!({})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_unless_asked_for() {
    let site = Site::new().await;
    let url = site.collector.url();
    for (telemetry, variables) in [
        (json!({}), vec![]),
        (
            json!({"enabled": false}),
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())],
        ),
        (
            json!({"endpoint": url}),
            vec![("OTEL_SDK_DISABLED", "true")],
        ),
    ] {
        site.configure(&telemetry, &[]);
        let gateway = site.serve(&variables).await;
        gateway.ask("in/fake", false, &[]).await;
        let metrics = gateway.metrics().await;
        assert!(!metrics.contains("freehold_telemetry"), "{metrics}");
        gateway.stop().await;
        assert!(site.collector.reports().is_empty(), "{telemetry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_enough() {
    let site = Site::new().await;
    site.configure(&json!({}), &[]);
    let url = site.collector.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Basic%20YTpi,x-scope=7",
        ),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let gateway = site.serve(&variables).await;
    gateway.ask("in/fake", false, &[]).await;
    gateway.stop().await;
    let reports = site.collector.reports();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].path, "/v1/traces");
    assert_eq!(reports[0].header("authorization"), Some("Basic YTpi"));
    assert_eq!(reports[0].header("x-scope"), Some("7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_gateway_reports_inside_only() {
    let site = Site::new().await;
    let outside = "http://203.0.113.7:4318";
    for (telemetry, place) in [
        (
            json!({"endpoint": outside}),
            "telemetry.endpoint: 203.0.113.7 is outside",
        ),
        (
            json!({"endpoint": "https://otlp.example.com", "perimeter": "outside"}),
            "telemetry.perimeter: otlp.example.com is outside",
        ),
        (
            json!({"endpoint": "http://169.254.169.254/"}),
            "169.254.169.254",
        ),
        (
            json!({"endpoint": "http://0xA9FEA9FE/", "perimeter": "inside"}),
            "never dialled",
        ),
    ] {
        site.configure(&telemetry, &sealed());
        let told = site.run(&["config", "check"], &[]).await;
        assert!(!told.status.success(), "{telemetry}");
        assert!(flat(&told).contains(place), "{place} in {}", flat(&told));
    }
    // The environment's is left out, and that is said.
    site.configure(&json!({}), &sealed());
    let told = site
        .run(
            &["config", "check"],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", outside)],
        )
        .await;
    assert!(told.status.success(), "{told:?}");
    let told = flat(&told);
    let hint = "OTEL_EXPORTER_OTLP_ENDPOINT is set and ignored, so that no traces are sent";
    assert!(
        told.contains(hint) && told.contains("the perimeter is sealed"),
        "{told}"
    );
    assert!(!told.contains("v1/traces"), "{told}");

    // One on this machine gets them; where `outbound.allow` does not hold it, it does not.
    site.configure(&json!({"endpoint": site.collector.url()}), &sealed());
    let gateway = site.serve(&[]).await;
    gateway.ask("no-such-model", false, &[]).await;
    gateway.stop().await;
    assert_eq!(site.collector.spans().len(), 1);
}

/// A name says nothing of where it leads: what it resolves to is looked at when it is dialled.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_out_of_the_allowed_networks_is_not_dialled() {
    let site = Site::new().await;
    let canary = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    canary.set_nonblocking(true).unwrap();
    let endpoint = format!("http://localhost:{}", canary.local_addr().unwrap().port());
    let mut over = sealed();
    over.push(("outbound", json!({"allow": ["10.20.0.0/16"]})));
    let model = json!({"name": "fake", "context_tokens": 8000});
    let there =
        json!({"in": {"type": "vllm", "base_url": "http://10.20.0.1/v1", "models": [model]}});
    over.push(("backends", there));
    site.configure(&json!({"endpoint": endpoint}), &over);
    let gateway = site.serve(&[]).await;
    gateway.ask("no-such-model", false, &[]).await;
    let log = gateway.stop().await;
    assert!(log.contains("none that the gateway may dial"), "{log}");
    let none = canary.accept().unwrap_err();
    assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
}
