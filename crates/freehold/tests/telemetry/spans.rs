//! Spans of requests that ended in every way.

use freehold_testkit::opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use freehold_testkit::{CollectedSpan, Fault, Script, Taking, attribute};
use serde_json::{Value, json};

use crate::program::{CALLER, Site, TRACE, soon};

/// The spans of a request: its own, and those of its attempts.
async fn spans_of(site: &Site, id: &str) -> (CollectedSpan, Vec<CollectedSpan>) {
    let name = json!(format!("req_{id}"));
    let find = |spans: &[CollectedSpan]| {
        let mut spans = spans.iter();
        spans
            .find(|span| span.attribute("freehold.request.id") == name)
            .cloned()
    };
    soon(
        site.collector
            .wait_until(|collector| find(&collector.spans()).is_some()),
    )
    .await;
    let all = site.collector.spans();
    let request = find(&all).unwrap();
    let below = all.into_iter().filter(|span| span.parent() == request.id());
    let below = below.collect();
    (request, below)
}

fn on(site: &Site) -> Value {
    json!({
        "endpoint": site.collector.url(),
        "resource": {"deployment.environment.name": "test"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_and_whole_answers_become_spans() {
    let site = Site::new().await;
    site.configure(&on(&site), &[]);
    let gateway = site.serve(&[("OTEL_SERVICE_NAME", "gate-7")]).await;
    for stream in [true, false] {
        let (status, id) = gateway.ask("in/fake", stream, &[]).await;
        assert_eq!(status, 200);
        let (request, attempts) = spans_of(&site, &id).await;
        // A trace that begins here has the request's id.
        assert_eq!(
            (request.trace(), request.parent()),
            (id.clone(), String::new())
        );
        assert_eq!(request.span.name, "POST /v1/chat/completions");
        assert_eq!(request.span.kind, SpanKind::Server as i32);
        assert_eq!(attribute(&request.resource, "service.name"), "gate-7");
        assert_eq!(
            attribute(&request.resource, "deployment.environment.name"),
            "test"
        );
        for (name, value) in [
            ("freehold.status", json!("completed")),
            ("freehold.flow", json!("triage")),
            ("freehold.key", json!("app")),
            ("freehold.streamed", json!(stream)),
            ("freehold.deployment", json!("in/fake")),
            ("freehold.perimeter", json!("inside")),
            ("freehold.attempts", json!(1)),
            ("http.response.status_code", json!(200)),
        ] {
            assert_eq!(request.attribute(name), value, "{name}");
        }
        let [attempt] = &attempts[..] else {
            panic!("{attempts:?}");
        };
        assert_eq!(attempt.span.name, "chat fake");
        assert_eq!(attempt.span.kind, SpanKind::Client as i32);
        assert_eq!(attempt.trace(), id);
        let port = site.inside.address().port();
        for (name, value) in [
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.provider.name", json!("in")),
            ("gen_ai.request.model", json!("fake")),
            ("gen_ai.usage.output_tokens", json!(3)),
            ("gen_ai.response.finish_reasons", json!(["stop"])),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(port)),
            ("freehold.usage.basis", json!("reported")),
        ] {
            assert_eq!(attempt.attribute(name), value, "{name}");
        }
        assert!(attempt.attribute("freehold.cost.nano_usd").as_i64() > Some(0));
        let (outer, inner) = (&request.span, &attempt.span);
        assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano);
        assert!(inner.start_time_unix_nano < inner.end_time_unix_nano);
        assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano);
        let first = inner.events.first().unwrap().time_unix_nano;
        assert!((inner.start_time_unix_nano..=inner.end_time_unix_nano).contains(&first));
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_over_requests_become_spans() {
    let site = Site::new().await;
    site.configure(&on(&site), &[]);
    let gateway = site.serve(&[]).await;

    site.inside.push(Script::status(500));
    let (status, id) = gateway.ask("both", false, &[]).await;
    assert_eq!(status, 200);
    let (request, attempts) = spans_of(&site, &id).await;
    assert_eq!(request.attribute("freehold.deployment"), "out/fake");
    assert_eq!(request.span.status, None);
    let [failed, served] = &attempts[..] else {
        panic!("{attempts:?}");
    };
    assert_eq!(failed.attribute("gen_ai.provider.name"), "in");
    assert_eq!(failed.attribute("error.type"), "unavailable");
    assert_eq!(failed.attribute("http.response.status_code"), 500);
    assert_eq!(failed.span.status.as_ref().unwrap().code, 2);
    assert_eq!(
        failed.attribute("gen_ai.response.finish_reasons"),
        Value::Null
    );
    assert_eq!(served.attribute("gen_ai.provider.name"), "out");
    assert_eq!(served.attribute("error.type"), Value::Null);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_and_cancelled_requests_become_spans() {
    let site = Site::new().await;
    site.configure(&on(&site), &[]);
    let gateway = site.serve(&[]).await;

    let (status, id) = gateway.ask("no-such-model", false, &[]).await;
    assert_eq!(status, 404);
    let (request, attempts) = spans_of(&site, &id).await;
    assert_eq!(request.attribute("freehold.status"), "refused");
    assert_eq!(request.attribute("error.type"), "not_found");
    assert_eq!(request.attribute("http.response.status_code"), 404);
    assert!(attempts.is_empty());

    let gate = Script::tokens(3).with_gate(2);
    site.inside.push(gate);
    let answer = gateway.chat("in/fake", true, "one", &[]).send();
    let answer = soon(answer).await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap();
    let id = id.trim_start_matches("req_").to_owned();
    soon(site.inside.wait_for_waiting(1)).await;
    drop(answer);
    let (request, attempts) = spans_of(&site, &id).await;
    assert_eq!(request.attribute("freehold.status"), "cancelled");
    assert_eq!(request.attribute("error.type"), "cancelled");
    assert_eq!(attempts.len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_break_off_become_spans() {
    let site = Site::new().await;
    site.configure(&on(&site), &[]);
    let gateway = site.serve(&[]).await;
    site.inside
        .push(Script::tokens(5).with_fault(Fault::Reset { at: 3 }));
    let (_, id) = gateway.ask("in/fake", true, &[]).await;
    let (request, attempts) = spans_of(&site, &id).await;
    assert_eq!(request.attribute("freehold.status"), "failed");
    assert_eq!(request.span.status.as_ref().unwrap().code, 2);
    assert_eq!(attempts[0].span.status.as_ref().unwrap().code, 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_goes_on() {
    let site = Site::new().await;
    site.configure(&on(&site), &[]);
    let gateway = site.serve(&[]).await;
    let caller = [("traceparent", CALLER)];

    let (_, id) = gateway.ask("in/fake", false, &caller).await;
    let (request, attempts) = spans_of(&site, &id).await;
    assert_eq!(request.trace(), TRACE);
    assert_eq!(request.parent(), "00f067aa0ba902b7");
    assert_ne!(request.trace(), id);
    // The upstream's spans become parts of the attempt.
    let told =
        |record: &freehold_testkit::RequestRecord| record.header("traceparent").map(str::to_owned);
    let expected = format!("00-{TRACE}-{}-01", attempts[0].id());
    assert_eq!(told(&site.inside.requests()[0]), Some(expected));

    let (_, id) = gateway.ask("out/fake", false, &caller).await;
    let (_, attempts) = spans_of(&site, &id).await;
    let expected = format!("00-{TRACE}-{}-01", attempts[0].id());
    assert_eq!(told(&site.outside.requests()[0]), Some(expected));

    // A trace that begins here is told inside, and nobody else.
    let (_, id) = gateway.ask("in/fake", false, &[]).await;
    let (_, attempts) = spans_of(&site, &id).await;
    let expected = format!("00-{id}-{}-03", attempts[0].id());
    assert_eq!(told(&site.inside.requests()[1]), Some(expected));
    gateway.ask("out/fake", false, &[]).await;
    assert_eq!(told(&site.outside.requests()[1]), None);

    // What is no trace context is not one.
    let junk = [
        ("traceparent", "00-4111111111111111-canary-01"),
        ("tracestate", "canary=1"),
    ];
    let (_, id) = gateway.ask("in/fake", false, &junk).await;
    let (request, _) = spans_of(&site, &id).await;
    assert_eq!((request.trace(), request.parent()), (id, String::new()));
    assert_eq!(request.span.trace_state, "");
    gateway.stop().await;
}

/// A body that is no request is refused at the door, in the caller's trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_pass_the_door_is_in_its_callers_trace() {
    let site = Site::new().await;
    site.configure(&on(&site), &[]);
    let gateway = site.serve(&[]).await;
    let caller = [("traceparent", CALLER)];
    let body = gateway
        .chat("in/fake", false, "x", &caller)
        .body("{")
        .send();
    let refused = soon(body).await.unwrap();
    assert_eq!(refused.status(), 400);
    let id = refused.headers()["x-request-id"].to_str().unwrap();
    let (request, _) = spans_of(&site, id.trim_start_matches("req_")).await;
    assert_eq!(request.trace(), TRACE);
    assert_eq!(request.attribute("error.type"), "invalid_request");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sampled_out_is_not_sent() {
    let site = Site::new().await;
    let mut none = on(&site);
    none["sample"] = json!(0.0);
    site.configure(&none, &[]);
    let gateway = site.serve(&[]).await;
    let unsampled = CALLER.replace("-01", "-00");
    gateway.ask("in/fake", false, &[]).await;
    gateway
        .ask("in/fake", false, &[("traceparent", &unsampled)])
        .await;
    // A caller that samples its trace gets its spans; they come in order.
    let (_, id) = gateway
        .ask("in/fake", false, &[("traceparent", CALLER)])
        .await;
    spans_of(&site, &id).await;
    let records = site.inside.requests();
    let told: Vec<_> = records
        .iter()
        .map(|record| record.header("traceparent"))
        .collect();
    assert_eq!(told[..2], [None, Some(unsampled.as_str())]);
    gateway.stop().await;
    assert_eq!(site.collector.spans().len(), 2);
}

/// Whatever a request, an upstream or the configuration holds: no text and no secret leaves with a
/// report.
#[tokio::test(flavor = "multi_thread")]
async fn no_text_and_no_secret_leaves() {
    let site = Site::new().await;
    let mut with_secret = on(&site);
    with_secret["headers"] = json!({"x-collector-key": "collector-canary"});
    with_secret["compression"] = json!("gzip");
    site.configure(&with_secret, &[]);
    let gateway = site.serve(&[("OTEL_METRIC_EXPORT_INTERVAL", "1000")]).await;
    let text = "[[fake:{\"text\":\"answer-canary\",\"finish\":\"finish-canary\"}]] prompt-canary";
    let headers = [
        ("x-freehold-flow", "card 4111 1111 1111 1111"),
        ("tracestate", "a=state-canary"),
    ];
    for stream in [true, false] {
        let answer = gateway.chat("in/fake", stream, text, &headers).send();
        let answer = soon(soon(answer).await.unwrap().text()).await.unwrap();
        assert!(answer.contains("answer-canary"), "{answer}");
    }
    site.inside.push(Script {
        fault: Some(Fault::Status {
            status: 400,
            retry_after: None,
            body: Some(r#"{"error":{"message":"error-canary","code":"code-canary","param":"4111111111111111"}}"#.to_owned()),
        }),
        ..Script::default()
    });
    soon(gateway.chat("in/fake", false, text, &[]).send())
        .await
        .unwrap();
    soon(gateway.chat("4111 1111 1111 1111", false, text, &[]).send())
        .await
        .unwrap();
    gateway.stop().await;
    let reports = site.collector.reports();
    assert!(site.collector.spans().len() >= 7, "{reports:?}");
    assert!(!site.collector.metrics().is_empty());
    for report in &reports {
        assert_eq!(report.header("x-collector-key"), Some("collector-canary"));
        assert_eq!(report.header("content-encoding"), Some("gzip"));
        assert_eq!(
            report.header("content-type"),
            Some("application/x-protobuf")
        );
        let body = String::from_utf8_lossy(&report.body);
        for canary in ["canary", "4111", "fh-trace", "one two"] {
            assert!(!body.contains(canary), "{canary} in {body}");
        }
    }
}

/// The collector may take a part only; what it rejects is counted.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_spans_are_counted() {
    let site = Site::new().await;
    site.configure(&on(&site), &[]);
    site.collector.take(Taking::AllBut(1));
    let gateway = site.serve(&[]).await;
    let (_, id) = gateway.ask("in/fake", false, &[]).await;
    spans_of(&site, &id).await;
    // The next report follows the books of the one before.
    let (_, id) = gateway.ask("in/fake", false, &[]).await;
    spans_of(&site, &id).await;
    let metrics = gateway.metrics().await;
    let lost = "freehold_telemetry_lost_spans_total{reason=\"rejected\"} ";
    let lost = metrics.lines().find_map(|line| line.strip_prefix(lost));
    assert!(lost.unwrap().parse::<u64>().unwrap() >= 1, "{metrics}");
    let log = gateway.stop().await;
    assert_eq!(
        log.matches("do not reach the collector").count(),
        1,
        "{log}"
    );
}
