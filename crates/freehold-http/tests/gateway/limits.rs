//! What clients are told of limits, in the headers and bodies that their own libraries know.

use serde_json::Value;

use crate::support::{Bench, LIMITED_KEY, SPENT_KEY, Surface, seen};

#[tokio::test]
async fn limits_are_told_and_kept() {
    for surface in Surface::BOTH {
        for stream in [false, true] {
            let bench = Bench::start().await;
            let body = surface.body("single", stream, "one two");
            let asked = || bench.post_as(LIMITED_KEY, surface, &body);
            let served = seen(asked()).await;
            assert_eq!(served.status, 200, "{served:?}");
            assert_eq!(served.header("x-ratelimit-limit-requests"), "1");
            assert_eq!(served.header("x-ratelimit-remaining-requests"), "0");
            assert_eq!(served.header("x-ratelimit-limit-tokens"), "100000");
            let reset = served.header("x-ratelimit-reset-requests");
            assert!(reset == "1m0s" || reset == "1m1s", "{reset}");
            let is_anthropic = surface == Surface::Messages;
            let own = "anthropic-ratelimit-requests-reset";
            assert_eq!(served.headers.contains_key(own), is_anthropic);

            let refused = seen(asked()).await;
            assert_eq!(refused.status, 429, "{refused:?}");
            let wait: u64 = refused.header("retry-after").parse().unwrap();
            assert!((59..=61).contains(&wait), "{wait}");
            assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
            let error: Value = serde_json::from_str(&refused.text).unwrap();
            let message = error["error"]["message"].as_str().unwrap();
            assert!(message.contains("1 requests per minute"), "{message}");
            if is_anthropic {
                assert_eq!(error["error"]["type"], "rate_limit_error");
            } else {
                assert_eq!(error["error"]["code"], "rate_limit_exceeded");
            }
            assert_eq!(bench.alpha.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_spent_budget_is_no_reason_to_try_again() {
    for surface in Surface::BOTH {
        let bench = Bench::start().await;
        let body = surface.body("single", false, "one two");
        let refused = seen(bench.post_as(SPENT_KEY, surface, &body)).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        // Waiting does not help: the request alone may cost more than the budget.
        assert!(!refused.headers.contains_key("retry-after"));
        assert_eq!(refused.header("x-should-retry"), "false");
        assert!(refused.text.contains("daily budget"), "{}", refused.text);
        assert!(bench.alpha.requests().is_empty());
        let outcome = &bench.outcomes(1).await[0];
        assert_eq!(outcome.http_status, 429);
        assert!(outcome.attempts.is_empty());
    }
}
