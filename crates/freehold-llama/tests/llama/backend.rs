//! The backend with a real model: canonical requests in, canonical events out.

use std::sync::Arc;
use std::time::Duration;

use crate::common::settings;
use freehold_guard::Scan;
use freehold_llama::{EmbeddedBackend, EmbeddedModel, EngineSettings, ShutDown};
use freehold_policy::{Claim, Labels, Rules, decide};
use freehold_ports::{Backend, Call, Timeouts};
use freehold_types::request::{
    MediaSource, Prompt, Reasoning, ResponseFormat, Sampling, Tool, ToolChoice,
};
use freehold_types::{
    Deployment, Dialect, Error, ErrorKind, Event, Extra, FinishReason, Message, Part, PriceBasis,
    Request, RequestId, Response, Retry, Role, Sensitivity, Site, UsageBasis,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(600);

fn backend_with(settings: &EngineSettings) -> EmbeddedBackend {
    let model = EmbeddedModel::load(settings).expect("the model loads");
    EmbeddedBackend::new("embedded".into(), Site::inside()).with_model("small", Arc::new(model))
}

fn backend() -> EmbeddedBackend {
    backend_with(&settings())
}

fn chat(text: &str) -> Request {
    Request {
        sampling: Sampling {
            max_output_tokens: Some(24),
            temperature: Some(0.0),
            ..Sampling::default()
        },
        stream: true,
        ..Request::new(
            Dialect::OpenaiChat,
            "auto",
            vec![Message::text(Role::User, text)],
        )
    }
}

fn call(request: Request) -> Call {
    let deployment = Deployment {
        id: "embedded/small".into(),
        backend: "embedded".into(),
        model: "small".into(),
        site: Site::inside(),
        dialects: vec![],
        capabilities: [].into(),
        context_window_tokens: None,
        price: PriceBasis::Unknown,
        quality: 0.5,
        tokens_per_second: 1.0,
        first_token_ms: 1,
    };
    let labels = Labels {
        default: Sensitivity::Internal,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &Scan::default(),
    };
    let permit = decide(&Rules::open(), &labels, []).expect("permitted");
    let passage = permit.passage(&deployment).expect("passes");
    let timeouts = Timeouts {
        connect: PATIENCE,
        first_byte: PATIENCE,
        idle: PATIENCE,
    };
    let id = RequestId::at(1_700_000_000_000);
    Call::new(
        passage,
        Arc::new(deployment),
        Arc::new(request),
        timeouts,
        id,
    )
    .expect("covered")
}

/// All events of an answer, checked against the grammar of answers.
async fn events(backend: &EmbeddedBackend, request: Request) -> Result<Vec<Event>, Error> {
    let streams = request.stream;
    let mut chunks = backend.start(call(request)).await?;
    let mut events = Vec::new();
    let mut count = 0;
    while let Some(chunk) = chunks.next().await {
        events.extend(chunk?.events);
        count += 1;
    }
    assert!(
        streams || count == 1,
        "an answer that is not streamed is one chunk"
    );
    assert!(matches!(events.first(), Some(Event::Start { .. })));
    assert_eq!(
        events.iter().filter(|event| **event == Event::End).count(),
        1
    );
    assert_eq!(events.last(), Some(&Event::End));
    let usage = events
        .iter()
        .rposition(|event| matches!(event, Event::Usage(_)));
    assert_eq!(usage, Some(events.len() - 2));
    Ok(events)
}

async fn answer(backend: &EmbeddedBackend, request: Request) -> Result<Response, Error> {
    events(backend, request).await.map(Response::from_events)
}

fn text(response: &Response, choice: usize) -> &str {
    match &response.choices[choice].parts[..] {
        [Part::Text { text, .. }] => text,
        other => panic!("{other:?}"),
    }
}

fn weather_tool(name: &str) -> Tool {
    Tool::Function {
        name: name.into(),
        description: Some("Tells the weather.".into()),
        parameters: Some(json!({
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 12},
                "unit": {"$ref": "#/$defs/unit"},
            },
            "required": ["city", "unit"],
            "additionalProperties": false,
            "$defs": {"unit": {"enum": ["celsius", "fahrenheit"]}},
        })),
        strict: None,
        extra: Extra::new(),
    }
}

/// The calls of an answer, each checked against the tool's schema.
fn calls(response: &Response) -> Vec<(&str, &str)> {
    response.choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolCall {
                id,
                name,
                arguments,
                ..
            } => {
                let value: Value = serde_json::from_str(arguments).expect("JSON");
                assert!(
                    value["city"]
                        .as_str()
                        .is_some_and(|city| city.chars().count() <= 12)
                );
                assert!(value["unit"] == "celsius" || value["unit"] == "fahrenheit");
                (id.as_str(), name.as_str())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_chat_is_streamed_with_exact_usage() {
    let backend = backend();
    let streamed = events(&backend, chat("Say hello."))
        .await
        .expect("answered");
    let deltas = streamed
        .iter()
        .filter(|event| matches!(event, Event::PartDelta { .. }))
        .count();
    assert!(deltas > 1, "{streamed:?}");
    let mut last = 0;
    for event in &streamed {
        if let Event::Usage(usage) = event {
            assert!(usage.output_tokens >= last, "usage only grows");
            last = usage.output_tokens;
        }
    }
    let response = Response::from_events(streamed);
    let usage = response.usage.expect("counted");
    assert_eq!(usage.basis, UsageBasis::Counted);
    assert!(usage.input_tokens > 5 && (1..=24).contains(&usage.output_tokens));
    assert_eq!(response.model, "small");
    assert!(!text(&response, 0).is_empty());
    let counted = backend
        .count_tokens(call(chat("Say hello.")))
        .await
        .expect("counted");
    assert_eq!(counted, Some(usage.input_tokens));
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_says_the_same() {
    let backend = backend();
    let mut request = chat("Say hello.");
    request.extra.insert("deterministic".into(), json!(true));
    let streamed = answer(&backend, request.clone()).await.expect("answered");
    request.stream = false;
    let whole = answer(&backend, request).await.expect("answered");
    assert_eq!(text(&streamed, 0), text(&whole, 0));
    assert_eq!(streamed.usage, whole.usage);
    assert_eq!(streamed.choices[0].finish, whole.choices[0].finish);
}

#[tokio::test]
async fn a_named_tool_is_called_with_valid_arguments() {
    let backend = backend();
    let mut request = chat("What is the weather in Paris?");
    request.tools = vec![weather_tool("get_weather"), weather_tool("other")];
    request.tool_choice = Some(ToolChoice::Function("get_weather".into()));
    request.sampling.max_output_tokens = Some(150);
    for stream in [true, false] {
        request.stream = stream;
        let response = answer(&backend, request.clone()).await.expect("answered");
        assert_eq!(response.choices[0].finish, Some(FinishReason::ToolCalls));
        let calls = calls(&response);
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].1, "get_weather");
        assert!(calls[0].0.starts_with("call_"));
    }
}

#[tokio::test]
async fn required_tools_are_called_once_or_several_times() {
    let backend = backend();
    let mut request = chat("Compare the weather in Paris and in Rome.");
    request.tools = vec![weather_tool("get_weather"), weather_tool("forecast")];
    request.tool_choice = Some(ToolChoice::Required);
    request.sampling.max_output_tokens = Some(600);
    let response = answer(&backend, request.clone()).await.expect("answered");
    assert_eq!(response.choices[0].finish, Some(FinishReason::ToolCalls));
    let found = calls(&response);
    assert!((1..=8).contains(&found.len()));
    let ids: std::collections::BTreeSet<_> = found.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), found.len(), "every call has its own id");

    request.parallel_tool_calls = Some(false);
    let response = answer(&backend, request).await.expect("answered");
    assert_eq!(calls(&response).len(), 1);
}

#[tokio::test]
async fn a_call_and_its_result_can_be_talked_about() {
    let backend = backend();
    let mut request = chat("What is the weather in Paris?");
    request.tools = vec![weather_tool("get_weather")];
    request.messages.push(Message {
        role: Role::Assistant,
        parts: vec![Part::ToolCall {
            id: "call_1".into(),
            name: "get_weather".into(),
            arguments: r#"{"city": "Paris", "unit": "celsius"}"#.into(),
            extra: Extra::new(),
        }],
        name: None,
        extra: Extra::new(),
    });
    request.messages.push(Message {
        role: Role::Tool,
        parts: vec![Part::ToolResult {
            call_id: "call_1".into(),
            parts: vec![Part::text("22 degrees and sunny")],
            is_error: false,
            extra: Extra::new(),
        }],
        name: None,
        extra: Extra::new(),
    });
    // Free to call or to talk: only the form is certain.
    let response = answer(&backend, request.clone()).await.expect("answered");
    assert!(!response.choices[0].parts.is_empty());
    request.tool_choice = Some(ToolChoice::None);
    let response = answer(&backend, request).await.expect("answered");
    assert!(!text(&response, 0).is_empty());
}

#[tokio::test]
async fn structured_output_parses_in_every_mode() {
    let backend = backend();
    let mut request = chat("Describe a cat.");
    request.sampling.max_output_tokens = Some(200);
    request.response_format = ResponseFormat::JsonSchema {
        name: "cat".into(),
        description: None,
        schema: json!({
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 20}, "legs": {"const": 4}},
            "required": ["name", "legs"],
            "additionalProperties": false,
        }),
        strict: Some(true),
    };
    let response = answer(&backend, request.clone()).await.expect("answered");
    let value: Value = serde_json::from_str(text(&response, 0)).expect("JSON");
    assert_eq!(value["legs"], 4);
    // With tools besides, the answer is either calls or the schema's JSON.
    request.tools = vec![weather_tool("get_weather")];
    request.parallel_tool_calls = Some(false);
    let response = answer(&backend, request).await.expect("answered");
    match &response.choices[0].parts[0] {
        Part::Text { text, .. } => {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(value["legs"], 4);
        }
        Part::ToolCall { .. } => assert!(!calls(&response).is_empty()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn several_choices_with_log_probabilities() {
    let backend = backend();
    let mut request = chat("Tell me a joke.");
    request.sampling.n = Some(2);
    request.sampling.temperature = Some(1.0);
    request.sampling.logprobs = Some(true);
    request.sampling.top_logprobs = Some(2);
    let response = answer(&backend, request).await.expect("answered");
    assert_eq!(response.choices.len(), 2);
    for (index, choice) in response.choices.iter().enumerate() {
        let spelled: Vec<u8> = choice
            .logprobs
            .iter()
            .flat_map(|token| token.bytes.clone().expect("known"))
            .collect();
        assert_eq!(String::from_utf8_lossy(&spelled), text(&response, index));
        assert!(choice.logprobs.iter().all(|token| token.top.len() == 2));
    }
}

#[tokio::test]
async fn legacy_completions_take_texts_and_tokens() {
    let backend = backend();
    let mut request = chat("");
    request.dialect = Dialect::OpenaiCompletions;
    request.messages.clear();
    request.prompt = Some(Prompt::Texts(vec!["Once upon".into(), "In a".into()]));
    request.sampling.n = Some(2);
    request.sampling.max_output_tokens = None;
    let response = answer(&backend, request.clone()).await.expect("answered");
    assert_eq!(response.choices.len(), 4);
    assert!(
        response
            .choices
            .iter()
            .all(|choice| choice.finish.is_some())
    );
    let usage = response.usage.expect("counted");
    assert!(
        usage.output_tokens <= 4 * 16,
        "sixteen tokens unless the client says otherwise"
    );
    request.prompt = Some(Prompt::Tokens(vec![1, 2, 3]));
    let response = answer(&backend, request.clone()).await.expect("answered");
    assert_eq!(response.usage.expect("counted").input_tokens, 3);
    request.prompt = Some(Prompt::Tokens(vec![u32::MAX]));
    let error = answer(&backend, request).await.expect_err("refused");
    assert_eq!(
        (error.kind, error.param.as_deref()),
        (ErrorKind::InvalidRequest, Some("prompt"))
    );
}

#[tokio::test]
async fn an_answer_that_was_begun_is_gone_on_with() {
    let backend = backend();
    let mut request = chat("Name a colour.");
    request.dialect = Dialect::AnthropicMessages;
    let without = backend
        .count_tokens(call(request.clone()))
        .await
        .expect("counted");
    request
        .messages
        .push(Message::text(Role::Assistant, "The colour I name is"));
    let with = backend
        .count_tokens(call(request.clone()))
        .await
        .expect("counted");
    assert!(with > without);
    assert!(!text(&answer(&backend, request).await.expect("answered"), 0).is_empty());
}

#[tokio::test]
async fn clients_cannot_write_special_tokens() {
    let backend = backend();
    let count = async |text: &str| {
        backend
            .count_tokens(call(chat(text)))
            .await
            .expect("counted")
            .expect("known")
    };
    // As a special token it would be one token; as text it is several.
    let forged = "<|im_end|>".repeat(10);
    assert!(count(&forged).await >= count("").await + 20);
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_by_name() {
    let backend = backend();
    let refusal = async |change: fn(&mut Request)| {
        let mut request = chat("Hello!");
        change(&mut request);
        let error = answer(&backend, request).await.expect_err("refused");
        (error.kind, error.param.unwrap_or_default())
    };
    use ErrorKind::{ContextOverflow, InvalidRequest, Unsupported};
    let image = refusal(|request| {
        request.messages[0].parts.push(Part::Image {
            source: MediaSource::Url("https://example.com/cat.png".into()),
            detail: None,
            extra: Extra::new(),
        });
    });
    assert_eq!(image.await, (Unsupported, "messages[0].content[1]".into()));
    let unknown = refusal(|request| drop(request.extra.insert("top_a".into(), json!(0.2))));
    assert_eq!(unknown.await, (Unsupported, "top_a".into()));
    let choices = refusal(|request| request.sampling.n = Some(100));
    assert_eq!(choices.await, (InvalidRequest, "n".into()));
    let heat = refusal(|request| request.sampling.temperature = Some(7.0));
    assert_eq!(heat.await, (InvalidRequest, "temperature".into()));
    let tokens = refusal(|request| request.sampling.max_output_tokens = Some(u64::MAX));
    assert_eq!(tokens.await, (ContextOverflow, "messages".into()));
    let long =
        refusal(|request| request.messages[0] = Message::text(Role::User, "word ".repeat(5_000)));
    assert_eq!(long.await, (ContextOverflow, "messages".into()));
    let choice = refusal(|request| request.tool_choice = Some(ToolChoice::Required));
    assert_eq!(choice.await, (InvalidRequest, "tool_choice".into()));
    let thinking = refusal(|request| {
        request.reasoning = Some(Reasoning {
            effort: Some("high".into()),
            ..Reasoning::default()
        });
    });
    assert_eq!(thinking.await, (Unsupported, "reasoning_effort".into()));
    let top = refusal(|request| request.sampling.top_logprobs = Some(3));
    assert_eq!(top.await, (InvalidRequest, "top_logprobs".into()));
    let bias = refusal(|request| {
        let bias = json!({"x": 1});
        request.sampling.logit_bias = bias.as_object().cloned();
    });
    assert_eq!(bias.await, (InvalidRequest, "logit_bias".into()));
    let schema = refusal(|request| {
        request.response_format = ResponseFormat::JsonSchema {
            name: "x".into(),
            description: None,
            schema: json!({"type": "no such type"}),
            strict: Some(true),
        };
    });
    assert_eq!(schema.await, (InvalidRequest, "response_format".into()));
    let empty = refusal(|request| request.messages.clear());
    assert_eq!(empty.await, (InvalidRequest, "messages".into()));
}

#[tokio::test]
async fn fields_that_change_nothing_are_accepted() {
    let backend = backend();
    let mut request = chat("Hello!");
    request.user = Some("someone".into());
    for (key, value) in [
        ("store", json!(true)),
        ("service_tier", json!("auto")),
        ("seed", json!(null)),
    ] {
        request.extra.insert(key.into(), value);
    }
    assert!(answer(&backend, request).await.is_ok());
}

#[tokio::test]
async fn stop_texts_are_told_by_name() {
    let backend = backend();
    let mut request = chat("Tell me a long story about a lighthouse.");
    // Any text of more than one word has a blank.
    request.sampling.stop = vec![" ".into()];
    let response = answer(&backend, request).await.expect("answered");
    assert_eq!(response.choices[0].finish, Some(FinishReason::StopSequence));
    assert_eq!(response.choices[0].stop_sequence.as_deref(), Some(" "));
    assert!(!text(&response, 0).contains(' '));
}

#[tokio::test]
async fn dropping_the_stream_cancels_and_a_full_queue_says_when() {
    let backend = backend_with(&EngineSettings {
        slots: 1,
        queue_length: 1,
        ..settings()
    });
    let mut long = chat("Write a very long story.");
    long.sampling.max_output_tokens = Some(1_500);
    let mut running = backend.start(call(long.clone())).await.expect("accepted");
    for _ in 0..5 {
        running.next().await.expect("a chunk").expect("no error");
    }
    let waiting = backend.start(call(chat("Hello!"))).await.expect("accepted");
    let Err(error) = backend.start(call(chat("Hello!"))).await else {
        panic!("it must be full")
    };
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert!(matches!(error.retry, Retry::After(pause) if pause >= Duration::from_secs(1)));
    drop(running);
    drop(waiting);
    let mut stats = backend.models()["small"].engine().stats();
    let stats = *stats
        .wait_for(|stats| stats.active == 0 && stats.waiting == 0)
        .await
        .expect("alive");
    assert_eq!(stats.cancelled, 1);
    assert!(answer(&backend, chat("Hello!")).await.is_ok());
}

#[tokio::test]
async fn an_unknown_model_and_an_ended_engine_are_told() {
    let backend = backend();
    assert_eq!(backend.probe().await.expect("well").models, ["small"]);
    let empty = EmbeddedBackend::new("embedded".into(), Site::inside());
    let Err(error) = empty.start(call(chat("Hello!"))).await else {
        panic!("no such model")
    };
    assert_eq!(error.kind, ErrorKind::NotFound);
    backend.models()["small"].shut_down(ShutDown::AtOnce);
    let Err(error) = backend.start(call(chat("Hello!"))).await else {
        panic!("it has ended")
    };
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(
        backend.probe().await.expect_err("ended").kind,
        ErrorKind::Unavailable
    );
}
