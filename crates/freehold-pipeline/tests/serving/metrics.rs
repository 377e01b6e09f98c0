//! What is counted of requests, and under which names.

use freehold_types::ErrorKind;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::support::{Bench, fails, read, retries};

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_how_they_ended() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let bench = Bench::new(retries(0));
    for _ in 0..2 {
        read(bench.serve(true).await.unwrap()).await;
    }
    bench.one.push(fails(ErrorKind::BadUpstream));
    bench.serve(false).await.unwrap();
    bench.one.push(fails(ErrorKind::InvalidRequest));
    bench.serve(false).await.unwrap_err();
    assert_eq!(bench.ledger.outcomes().len(), 4);

    let text = recorder.handle().render();
    for line in [
        r#"freehold_requests_total{dialect="openai-chat",deployment="one/m",status="completed",error="none"} 2"#,
        r#"freehold_requests_total{dialect="openai-chat",deployment="two/m",status="completed",error="none"} 1"#,
        r#"freehold_requests_total{dialect="openai-chat",deployment="one/m",status="failed",error="invalid_request"} 1"#,
        r#"freehold_fallbacks_total{from="one/m"} 1"#,
        r#"freehold_tokens_total{deployment="one/m",kind="output"} 14"#,
        r#"freehold_tokens_total{deployment="two/m",kind="input"} 11"#,
        r#"gen_ai_server_request_duration_seconds_count{deployment="one/m",gen_ai_operation_name="chat",gen_ai_provider_name="one",gen_ai_request_model="m"} 3"#,
        r#"gen_ai_server_time_to_first_token_seconds_count{deployment="one/m",gen_ai_operation_name="chat",gen_ai_provider_name="one",gen_ai_request_model="m"} 2"#,
        r#"gen_ai_client_token_usage_count{deployment="one/m",gen_ai_operation_name="chat",gen_ai_provider_name="one",gen_ai_request_model="m",gen_ai_token_type="output"} 2"#,
        r#"gen_ai_client_operation_duration_seconds_count{deployment="one/m",gen_ai_operation_name="chat",gen_ai_provider_name="one",gen_ai_request_model="m",error_type=""} 2"#,
        r#"gen_ai_client_operation_duration_seconds_count{deployment="one/m",gen_ai_operation_name="chat",gen_ai_provider_name="one",gen_ai_request_model="m",error_type="bad_upstream"} 1"#,
        r#"gen_ai_client_operation_duration_seconds_count{deployment="two/m",gen_ai_operation_name="chat",gen_ai_provider_name="two",gen_ai_request_model="m",error_type=""} 1"#,
        r"freehold_overhead_seconds_count 4",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
    }
    assert!(!text.contains("cached_input"), "nothing was cached");
}
