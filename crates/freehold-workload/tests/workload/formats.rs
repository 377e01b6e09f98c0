//! Each format, from a small file of it.

use std::io::Write;

use freehold_workload::{Field, Format, ImportOptions, Importer, NO_SESSION, import, statistics};
use serde_json::{Value, json};

use super::{named, read, told};

#[test]
fn azure_traces() {
    let imported = read(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n\
         2023-11-16 18:15:46.6805900,374,44\n\
         2023-11-16 18:15:47.6805900,396,109\n\
         2023-11-16 18:15:47.9305900,879,55\n",
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::AzureTrace]);
    // The beginning is a whole millisecond.
    let wanted = [
        (0.000_590, 374, 44, 0),
        (1.000_590, 396, 109, 0),
        (1.250_590, 879, 55, 0),
    ];
    assert_eq!(told(&imported), wanted);
    assert_eq!(imported.workload.began_unix_ms, Some(1_700_158_546_680));
    assert_eq!(imported.workload.duration_us, 1_250_590);
    assert!(!imported.workload.is_generated);
}

#[test]
fn mooncake_traces_keep_their_blocks() {
    let imported = read(
        "{\"timestamp\": 0, \"input_length\": 1000, \"output_length\": 5, \"hash_ids\": [0, 1]}\n\
         {\"timestamp\": 3000, \"input_length\": 1500, \"output_length\": 7, \"hash_ids\": [0, 1, 2]}\n",
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::Mooncake]);
    assert_eq!(told(&imported), [(0.0, 1_000, 5, 0), (3.0, 1_500, 7, 0)]);
    let workload = &imported.workload;
    assert_eq!(workload.began_unix_ms, None);
    assert_eq!(workload.prefix_block_tokens, 512);
    assert_eq!(workload.prefix_of(&workload.arrivals[1]), [0, 1, 2]);
    let reuse = statistics(workload, &[]).reuse.unwrap();
    assert!((reuse[0].block_hit_rate - 0.4).abs() < 1e-12);
}

const OPENAI_PAGE: &str = r#"{
  "object": "page",
  "data": [
    {"object": "bucket", "start_time": 1730419200, "end_time": 1730422800, "results": [
      {"object": "organization.usage.completions.result", "input_tokens": 1001, "output_tokens": 500,
       "input_cached_tokens": 800, "num_model_requests": 5, "project_id": "proj_a", "model": "small"},
      {"object": "organization.usage.completions.result", "input_tokens": 10, "output_tokens": 2,
       "input_cached_tokens": 0, "num_model_requests": 1, "project_id": null, "model": "large"}]},
    {"object": "bucket", "start_time": 1730422800, "end_time": 1730426400, "results": []}
  ],
  "has_more": true,
  "next_page": "x"
}"#;

#[test]
fn openai_usage_is_spread_over_its_buckets_and_says_so() {
    let imported = read(OPENAI_PAGE).unwrap();
    assert_eq!(imported.report.formats, [Format::OpenaiUsage]);
    let workload = &imported.workload;
    assert_eq!(workload.arrivals.len(), 6);
    assert!(workload.is_generated);
    // The sums are what they were, and the empty hour counts as looked at.
    let all = statistics(workload, &[]).all;
    assert_eq!(
        (all.input_tokens, all.output_tokens, all.cached_tokens),
        (1_011, 502, 800)
    );
    assert_eq!(workload.duration_us, 7_200_000_000);
    assert!(
        workload
            .arrivals
            .iter()
            .all(|arrival| arrival.at_us < 3_600_000_000)
    );
    assert!(
        workload
            .arrivals
            .iter()
            .all(|one| one.cached_tokens <= one.input_tokens)
    );
    assert_eq!(workload.flows, ["proj_a", "(none)"]);
    assert_eq!(workload.models, ["small", "large"]);
    let notes = imported.report.notes.join("\n");
    assert!(
        notes.contains("sums over up to 1 h") && notes.contains("more pages"),
        "{notes}"
    );
}

#[test]
fn openai_usage_as_csv_and_as_a_page_are_the_same_traffic() {
    let imported = read(
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,\
         input_tokens,output_tokens,input_cached_tokens\n\
         1730419200,1730422800,2024-11-01T00:00:00+00:00,2024-11-01T01:00:00+00:00,proj_a,5.0,small,1001,500,800\n\
         1730419200,1730422800,2024-11-01T00:00:00+00:00,2024-11-01T01:00:00+00:00,,1.0,large,10,2,0\n\
         1730422800,1730426400,2024-11-01T01:00:00+00:00,2024-11-01T02:00:00+00:00,,,,,,\n",
    )
    .unwrap();
    assert_eq!(imported.workload, read(OPENAI_PAGE).unwrap().workload);
    assert_eq!(
        imported.report.left_out.get("buckets without tokens"),
        Some(&1)
    );
}

#[test]
fn anthropic_usage_has_no_count_of_requests() {
    let imported = read(
        r#"{"data": [{"starting_at": "2026-08-01T00:00:00Z", "ending_at": "2026-08-02T00:00:00Z",
             "results": [{"uncached_input_tokens": 1500, "cache_read_input_tokens": 4000,
               "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
               "output_tokens": 900, "model": "claude", "workspace_id": "w1",
               "server_tool_use": {"web_search_requests": 1}}]}],
             "has_more": false, "next_page": null}"#,
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::AnthropicUsage]);
    let all = statistics(&imported.workload, &[]).all;
    // 7,000 tokens at 2,000 a request are three and a half, rounded.
    assert_eq!(
        (all.requests, all.input_tokens, all.cached_tokens),
        (4, 7_000, 4_000)
    );
    assert_eq!(all.output_tokens, 900);
    assert_eq!(imported.workload.duration_us, 86_400_000_000);
    let notes = imported.report.notes.join("\n");
    assert!(
        notes.contains("2000 input tokens a request were assumed"),
        "{notes}"
    );
    assert!(notes.contains("export buckets of an hour"), "{notes}");
}

#[test]
fn anthropic_usage_as_csv() {
    let imported = read(
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,\
         usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,\
         usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed\n\
         2026-08-05,claude-a,app,Default,standard,≤ 200k,2000,100,200,1700,400,0,global,\n",
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::AnthropicUsage]);
    let all = statistics(&imported.workload, &[]).all;
    assert_eq!(
        (all.requests, all.input_tokens, all.cached_tokens),
        (2, 4_000, 1_700)
    );
    assert_eq!(imported.workload.flows, ["Default"]);
}

#[test]
fn litellm_spend_logs() {
    let row = |time: &str, more: Value| {
        let mut row = json!({
            "request_id": "r", "call_type": "acompletion", "api_key": "88dc28", "spend": 0.0025,
            "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "startTime": time,
            "endTime": "2026-11-01T10:00:30Z", "model": "gpt-small", "team_id": null,
            "session_id": "s1", "cache_hit": "False", "status": "success",
            "metadata": {"user_api_key_alias": "support",
                "additional_usage_values": {"prompt_tokens_details": {"cached_tokens": 64}}},
        });
        let merged = row.as_object_mut().unwrap();
        merged.extend(more.as_object().unwrap().clone());
        row.to_string()
    };
    let lines = [
        row("2026-11-01T10:00:00.500Z", json!({})),
        row("2026-11-01T10:00:02Z", json!({"cache_hit": "True"})),
        row("2026-11-01T10:00:03Z", json!({"call_type": "aembedding"})),
        row(
            "2026-11-01T10:00:04Z",
            json!({"status": "failure", "prompt_tokens": 0, "completion_tokens": 0}),
        ),
        row(
            "2026-11-01T10:00:05Z",
            json!({"metadata": {}, "session_id": "s2", "team_id": "t"}),
        ),
    ];
    let imported = read(&lines.join("\n")).unwrap();
    assert_eq!(imported.report.formats, [Format::Litellm]);
    assert_eq!(told(&imported), [(0.0, 100, 20, 64), (4.5, 100, 20, 0)]);
    assert_eq!(
        named(&imported),
        [("support", Some("gpt-small")), ("t", Some("gpt-small"))]
    );
    assert_eq!(imported.workload.costs_nano_usd, [2_500_000, 2_500_000]);
    let sessions: Vec<u32> = imported
        .workload
        .arrivals
        .iter()
        .map(|one| one.session)
        .collect();
    assert_eq!(sessions, [0, 1]);
    assert_eq!(imported.report.left_out.values().sum::<u64>(), 3);
    assert_eq!(imported.report.rows, 5);
    // The same as a list over several lines.
    let list = format!("[\n{}\n]\n", lines.join(",\n"));
    assert_eq!(read(&list).unwrap().workload, imported.workload);
}

#[test]
fn litellm_spend_logs_as_csv() {
    let imported = read(
        "request_id,call_type,api_key,spend,total_tokens,prompt_tokens,completion_tokens,startTime,endTime,model,metadata,cache_hit\n\
         a,acompletion,k,0.5,30,20,10,2026-11-01 10:00:00.000,2026-11-01 10:00:01.000,m,\"{\"\"user_api_key_alias\"\": \"\"x\"\"}\",False\n\
         b,acompletion,k,0,15,10,5,2026-11-01 10:00:01.000,2026-11-01 10:00:02.000,m,{},False\n",
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::Litellm]);
    assert_eq!(told(&imported), [(0.0, 20, 10, 0), (1.0, 10, 5, 0)]);
    assert_eq!(named(&imported), [("x", Some("m")), ("(none)", Some("m"))]);
    assert_eq!(imported.workload.costs_nano_usd, [500_000_000, 0]);
}

#[test]
fn langfuse_observations() {
    let imported = read(
        &json!({"data": [
            {"id": "1", "traceId": "t1", "type": "SPAN", "startTime": "2026-11-01T10:00:00.000Z"},
            {"id": "2", "traceId": "t1", "type": "GENERATION", "name": "answer",
             "startTime": "2026-11-01T10:00:00.000Z", "endTime": "2026-11-01T10:00:09.000Z",
             "model": "claude", "input": "never read", "output": "nor this",
             "usageDetails": {"input": 10, "input_cache_read": 300, "input_cache_creation": 40,
                              "output": 25, "output_reasoning_tokens": 5, "total": 380},
             "costDetails": {"input": 0.001, "output": 0.002, "total": 0.003}},
            {"id": "3", "traceId": "t1", "type": "GENERATION", "name": "answer",
             "startTime": "2026-11-01T10:00:07.000Z", "model": "claude",
             "usage": {"input": 50, "output": 6, "total": 56, "unit": "TOKENS"}},
        ]})
        .to_string(),
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::Langfuse]);
    assert_eq!(told(&imported), [(0.0, 350, 30, 300), (7.0, 50, 6, 0)]);
    assert_eq!(named(&imported)[0], ("answer", Some("claude")));
    assert_eq!(imported.workload.cost_of(0), Some(3_000_000));
    assert_eq!(imported.workload.cost_of(1), None);
    assert_eq!(imported.workload.arrivals[1].session, 0);
    assert_eq!(
        imported.report.left_out.get("observed something else"),
        Some(&1)
    );
}

#[test]
fn langfuse_observations_as_csv() {
    let imported = read(
        "id,trace_id,type,name,start_time,end_time,provided_model_name,usage_details,total_cost,session_id\n\
         1,t1,GENERATION,chat,2026-11-01 10:00:00.000000,2026-11-01 10:00:01.000000,m,\"{\"\"input\"\":7,\"\"output\"\":3}\",0.1,s\n\
         2,t2,GENERATION,chat,2026-11-01 10:00:05.000000,,m,\"{\"\"input\"\":8,\"\"output\"\":4}\",0.1,s\n",
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::Langfuse]);
    assert_eq!(told(&imported), [(0.0, 7, 3, 0), (5.0, 8, 4, 0)]);
    assert_eq!(statistics(&imported.workload, &[]).all.sessions, 1);
}

#[test]
fn helicone_requests() {
    // Its exporter doubles the quotes of objects twice.
    let imported = read(
        "response_id,response_created_at,response_status,request_created_at,request_body,request_properties,request_user_id,model,prompt_tokens,completion_tokens,latency,cost\n\
         a,2026-11-01T10:00:02Z,200,2026-11-01T10:00:00Z,,\"{\"\"\"\"Helicone-Session-Id\"\"\"\":\"\"\"\"s\"\"\"\",\"\"\"\"App\"\"\"\":\"\"\"\"web\"\"\"\"}\",u,gpt,10,4,2000,0.01\n\
         b,2026-11-01T10:00:06Z,500,2026-11-01T10:00:05Z,,,u,gpt,,,,\n\
         c,2026-11-01T10:00:09Z,200,2026-11-01T10:00:08Z,,,u,gpt,11,5,900,0.02\n",
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::Helicone]);
    assert_eq!(told(&imported), [(0.0, 10, 4, 0), (8.0, 11, 5, 0)]);
    assert_eq!(
        named(&imported),
        [("web", Some("gpt")), ("(none)", Some("gpt"))]
    );
    assert_eq!(imported.workload.arrivals[0].session, 0);
    assert_eq!(imported.workload.arrivals[1].session, NO_SESSION);
    assert_eq!(imported.report.left_out.get("used no tokens"), Some(&1));
}

#[test]
fn our_own_export_counts_requests_and_all_their_cost() {
    let imported = read(
        "request_id,started_at,overhead_us,is_final,attempt,deployment,backend,flow,input_tokens,cached_input_tokens,output_tokens,cost_usd,status\n\
         r2,2026-11-01T10:00:05Z,9,false,0,openai/gpt,openai,chat,50,0,0,0.000000100,completed\n\
         r2,2026-11-01T10:00:05Z,9,true,1,local/llama,local,chat,60,30,8,0.000000001,completed\n\
         r1,2026-11-01T10:00:00Z,9,true,,,,,,,,,refused\n\
         r0,2026-11-01T10:00:00.250Z,9,true,0,openai/gpt,openai,,40,0,7,,completed\n",
    )
    .unwrap();
    assert_eq!(imported.report.formats, [Format::FreeholdExport]);
    assert_eq!(told(&imported), [(0.0, 40, 7, 0), (4.75, 60, 8, 30)]);
    assert_eq!(
        named(&imported),
        [("(none)", Some("gpt")), ("chat", Some("llama"))]
    );
    assert_eq!(imported.workload.cost_of(1), Some(101));
    assert_eq!(imported.workload.cost_of(0), None);
}

#[test]
fn any_table_with_known_names() {
    let csv = "Created At;Prompt Tokens;Completion Tokens;Cached Tokens;Model Name;Conversation Id;Use Case;Cost\n\
               2026-11-01T10:00:00+01:00;1,000;20;500;m;c1;chat;$0.50\n\
               2026-11-01T10:00:10+01:00;30;2;;m;c1;chat;\n";
    let imported = read(csv).unwrap();
    assert_eq!(imported.report.formats, [Format::Generic]);
    assert_eq!(told(&imported), [(0.0, 1_000, 20, 500), (10.0, 30, 2, 0)]);
    assert_eq!(imported.workload.began_unix_ms, Some(1_793_523_600_000));
    assert_eq!(named(&imported)[0], ("chat", Some("m")));
    assert_eq!(imported.workload.cost_of(0), Some(500_000_000));
    let lines = "{\"ts\": 1793523600, \"usage\": {\"prompt_tokens\": 1000, \"completion_tokens\": 20, \
                 \"prompt_tokens_details\": {\"cached_tokens\": 500}}}\n\
                 {\"ts\": 1793523610.5, \"usage\": {\"prompt_tokens\": 30, \"completion_tokens\": 2}}\n";
    assert_eq!(
        told(&read(lines).unwrap()),
        [(0.0, 1_000, 20, 500), (10.5, 30, 2, 0)]
    );
}

#[test]
fn anthropics_names_leave_out_what_a_cache_has() {
    let lines = "{\"time\": 1793523600, \"input_tokens\": 10, \"output_tokens\": 2, \
                 \"cache_read_input_tokens\": 300, \"cache_creation_input_tokens\": 40}\n\
                 {\"time\": 1793523601, \"input_tokens\": 10, \"output_tokens\": 2}\n";
    assert_eq!(
        told(&read(lines).unwrap()),
        [(0.0, 350, 2, 300), (1.0, 10, 2, 0)]
    );
}

#[test]
fn columns_can_be_named_by_hand() {
    let options = ImportOptions {
        map: vec![
            (Field::Time, "t".to_owned()),
            (Field::Input, "q".to_owned()),
            (Field::Output, "a".to_owned()),
            (Field::Flow, "input_tokens".to_owned()),
        ],
        time_unit: Some("ms".parse().unwrap()),
        ..ImportOptions::default()
    };
    let csv = "t,q,a,input_tokens\n0,5,6,x\n1500,7,8,y\n";
    let imported = import(csv.as_bytes(), &options).unwrap();
    assert_eq!(told(&imported), [(0.0, 5, 6, 0), (1.5, 7, 8, 0)]);
    assert_eq!(imported.workload.flows, ["x", "y"]);
}

#[test]
fn gzip_is_read_as_what_is_in_it() {
    let text = "timestamp,input_tokens,output_tokens\n0,1,2\n5,3,4\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let imported = import(&packed[..], &ImportOptions::default()).unwrap();
    assert_eq!(imported.workload, read(text).unwrap().workload);
    assert!(imported.report.notes[0].contains("taken as seconds"));
    let cut = import(&packed[..packed.len() - 12], &ImportOptions::default()).unwrap_err();
    assert!(cut.to_string().contains("cannot read"), "{cut}");
}

#[test]
fn tables_that_others_have_read() {
    let mut importer = Importer::new(ImportOptions::default()).unwrap();
    let columns = ["prompt", "timestamp", "input_tokens", "output_tokens"].map(str::to_owned);
    assert_eq!(importer.wanted(&columns, "t").unwrap(), [1, 2, 3]);
    let rows = [
        json!([null, 1_793_523_600_000_u64, 1, 2]),
        json!([null, 1_793_523_601_000_u64, 3, 4]),
    ];
    let rows = rows.map(|row| Ok::<_, String>(row.as_array().unwrap().clone()));
    importer.add_table(&columns, rows.into_iter(), "t").unwrap();
    assert_eq!(
        told(&importer.finish().unwrap()),
        [(0.0, 1, 2, 0), (1.0, 3, 4, 0)]
    );
}

#[test]
fn several_files_are_one_workload_in_order_of_time() {
    let mut importer = Importer::new(ImportOptions::default()).unwrap();
    let head = "timestamp,input_tokens,output_tokens\n";
    for (name, row) in [("b", "2026-11-02,3,4\n"), ("a", "2026-11-01,1,2\n")] {
        importer
            .add(format!("{head}{row}").as_bytes(), name)
            .unwrap();
    }
    let imported = importer.finish().unwrap();
    assert_eq!(told(&imported), [(0.0, 1, 2, 0), (86_400.0, 3, 4, 0)]);
}
