//! What must not leave does not leave, also when the first choice fails.

use freehold_testkit::Script;
use freehold_types::{ErrorKind, OutcomeStatus, Sensitivity};

use crate::support::{Bench, KEY, NARROW_KEY, Surface, seen};

const HEADER: &str = "x-freehold-sensitivity";

fn nobody_outside_was_asked(bench: &Bench) {
    for fake in [&bench.alpha, &bench.beta, &bench.claude] {
        assert!(fake.requests().is_empty());
    }
}

#[tokio::test]
async fn a_confidential_request_is_refused_where_all_are_outside() {
    for surface in Surface::BOTH {
        for (word, label) in [
            ("confidential", Sensitivity::Confidential),
            ("restricted", Sensitivity::Restricted),
            ("nonsense", Sensitivity::Restricted),
            ("", Sensitivity::Restricted),
        ] {
            let bench = Bench::start().await;
            let body = surface.body("pair", true, "hi");
            let refused = seen(bench.post(surface, &body).header(HEADER, word)).await;
            assert_eq!(refused.status, 403, "{word}: {refused:?}");
            surface.error_type(&refused);
            nobody_outside_was_asked(&bench);
            let outcome = &bench.outcomes(1).await[0];
            assert_eq!(outcome.status, OutcomeStatus::Refused);
            assert_eq!(outcome.sensitivity, label);
            let error = outcome.error.as_ref().unwrap();
            assert_eq!(error.kind, ErrorKind::PolicyRefused);
            assert!(outcome.attempts.is_empty());
        }
    }
}

#[tokio::test]
async fn a_confidential_request_goes_inside_and_never_falls_back_outside() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let body = surface.body("home", false, "one two");
        let served = seen(bench.post(surface, &body).header(HEADER, "confidential")).await;
        assert_eq!(served.status, 200, "{served:?}");
        assert_eq!(served.header("x-freehold-deployment"), "house/qwen");

        bench.house.push(Script::status(500));
        let failed = seen(bench.post(surface, &body).header(HEADER, "confidential")).await;
        assert!(failed.status >= 500, "{failed:?}");
        nobody_outside_was_asked(&bench);
        let outcomes = bench.outcomes(2).await;
        assert_eq!(outcomes[1].status, OutcomeStatus::Failed);
        assert_eq!(outcomes[1].attempts.len(), 1);
    }
}

#[tokio::test]
async fn metadata_counts_like_the_header_and_the_higher_wins() {
    let bench = Bench::start().await;
    let mut body = Surface::Chat.body("pair", false, "hi");
    body["metadata"] = serde_json::json!({"freehold_sensitivity": "confidential"});
    let refused = seen(bench.post(Surface::Chat, &body).header(HEADER, "public")).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    nobody_outside_was_asked(&bench);
}

#[tokio::test]
async fn cards_and_secrets_in_the_prompt_stay_inside() {
    for (text, what) in [
        ("my card is 4111 1111 1111 1111, please", "card"),
        ("use AKIAIOSFODNN7EXAMPLQ for it", "key"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq4\n-----END RSA PRIVATE KEY-----",
            "private key",
        ),
    ] {
        for surface in Surface::BOTH {
            let bench = Bench::start().await;
            let refused = bench.ask(surface, &surface.body("pair", false, text)).await;
            assert_eq!(refused.status, 403, "{what}: {refused:?}");
            assert!(!refused.text.contains("4111"), "{refused:?}");
            let served = bench.ask(surface, &surface.body("home", false, text)).await;
            assert_eq!(served.status, 200, "{what}: {served:?}");
            assert_eq!(served.header("x-freehold-deployment"), "house/qwen");
            nobody_outside_was_asked(&bench);
            for outcome in bench.outcomes(2).await {
                assert!(!outcome.findings.is_empty(), "{what}");
                assert!(outcome.sensitivity > Sensitivity::Internal, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_known_key_nothing_is_read_or_recorded() {
    let bench = Bench::start().await;
    for surface in Surface::BOTH {
        let url = format!("{}{}", bench.url, surface.path());
        let body = surface.body("single", false, "hi");
        let without = seen(bench.http.post(&url).json(&body)).await;
        let unknown = seen(bench.http.post(&url).bearer_auth("fh-no").json(&body)).await;
        for refused in [without, unknown] {
            assert_eq!(refused.status, 401, "{refused:?}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
            assert!(refused.headers.contains_key("x-request-id"));
            surface.error_type(&refused);
        }
        let by_header = seen(bench.http.post(&url).header("x-api-key", KEY).json(&body)).await;
        assert_eq!(by_header.status, 200, "{by_header:?}");
    }
    assert_eq!(bench.ledger.outcomes().len(), 2);
}

#[tokio::test]
async fn a_key_names_only_its_routes() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let ask = async |model: &str| {
            let request = bench
                .http
                .post(format!("{}{}", bench.url, surface.path()))
                .bearer_auth(NARROW_KEY)
                .json(&surface.body(model, false, "hi"));
            seen(request).await
        };
        let refused = ask("pair").await;
        assert_eq!(refused.status, 403, "{refused:?}");
        surface.error_type(&refused);
        assert_eq!(ask("claude").await.status, 200);
        assert!(bench.alpha.requests().is_empty());
        let outcomes = bench.outcomes(2).await;
        assert_eq!(outcomes[0].status, OutcomeStatus::Refused);
        assert_eq!(outcomes[0].key.as_str(), "narrow");
    }
}
