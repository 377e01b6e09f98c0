//! Everywhere in a request where a text can stand, in the words of each surface.

use serde_json::{Map, Value, json};

use crate::canary::Kind;
use crate::support::Surface;

/// A place's name, and a request with a text there.
pub(crate) type Place = (&'static str, Value);

/// An object with this one field, whose name may be the text itself.
fn field(name: &str, value: impl Into<Value>) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value.into())]))
}

/// A request with this text in each place, one after the other.
pub(crate) fn places(surface: Surface, model: &str, stream: bool, text: &str) -> Vec<Place> {
    let mut places = everywhere(surface, model, stream, text);
    match surface {
        Surface::Chat => places.extend(chat(model, stream, text)),
        Surface::Messages => places.extend(messages(model, stream, text)),
        Surface::Completions => {}
    }
    places
}

/// A request without the text, and one more field.
fn with(surface: Surface, model: &str, stream: bool, name: &str, value: Value) -> Value {
    let mut body = surface.body(model, stream, "one two");
    body[name] = value;
    body
}

/// A request whose conversation is this.
fn said(surface: Surface, model: &str, stream: bool, conversation: Value) -> Value {
    with(surface, model, stream, "messages", conversation)
}

/// What both surfaces have.
fn everywhere(surface: Surface, model: &str, stream: bool, text: &str) -> Vec<Place> {
    let with = |name: &str, value: Value| with(surface, model, stream, name, value);
    let said = |conversation: Value| said(surface, model, stream, conversation);
    vec![
        ("user", surface.body(model, stream, text)),
        (
            "a part",
            said(
                json!([{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": text}]}]),
            ),
        ),
        (
            "an earlier answer",
            said(json!([
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": text},
                {"role": "user", "content": "two"},
            ])),
        ),
        ("metadata", with("metadata", json!({"note": text}))),
        ("a key of the metadata", with("metadata", field(text, "x"))),
        ("an unknown field", with("x_unknown", json!(text))),
        (
            "deep in an unknown field",
            with("x_unknown", json!({"a": [1, {"b": [null, text]}]})),
        ),
        (
            "a key of an unknown field",
            with("x_unknown", json!([field(text, true)])),
        ),
        (
            "an unknown field of a message",
            said(json!([{"role": "user", "content": "one", "x_unknown": text}])),
        ),
        (
            "an unknown field of a part",
            said(
                json!([{"role": "user", "content": [{"type": "text", "text": "one", "x_unknown": {"y": text}}]}]),
            ),
        ),
    ]
}

fn chat(model: &str, stream: bool, text: &str) -> Vec<Place> {
    let surface = Surface::Chat;
    let with = |name: &str, value: Value| with(surface, model, stream, name, value);
    let said = |conversation: Value| said(surface, model, stream, conversation);
    let called = |id: &str, arguments: &str, result: &str| {
        said(json!([
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "pay", "arguments": arguments}},
            ]},
            {"role": "tool", "tool_call_id": id, "content": result},
        ]))
    };
    let tool = |description: &str, parameters: Value| {
        with(
            "tools",
            json!([{"type": "function", "function":
                {"name": "pay", "description": description, "parameters": parameters}}]),
        )
    };
    let schema = |schema: Value| {
        with(
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
        )
    };
    let properties = |value: Value| json!({"type": "object", "properties": value});
    vec![
        (
            "system",
            said(json!([{"role": "system", "content": text}, {"role": "user", "content": "one"}])),
        ),
        (
            "developer",
            said(
                json!([{"role": "developer", "content": text}, {"role": "user", "content": "one"}]),
            ),
        ),
        (
            "a speaker's name",
            said(json!([{"role": "user", "name": text, "content": "one"}])),
        ),
        (
            "a refusal",
            said(json!([
                {"role": "assistant", "content": null, "refusal": text},
                {"role": "user", "content": "one"},
            ])),
        ),
        (
            "a tool's arguments",
            called("c1", &json!({"to": text}).to_string(), "done"),
        ),
        (
            "a key of a tool's arguments",
            called("c1", &field(text, 1).to_string(), "done"),
        ),
        ("a tool's broken arguments", called("c1", text, "done")),
        ("a tool's result", called("c1", "{}", text)),
        (
            "JSON in a tool's result",
            called("c1", "{}", &json!({"a": [text]}).to_string()),
        ),
        ("a tool's description", tool(text, json!({}))),
        (
            "a tool's schema",
            tool("x", properties(json!({"a": {"description": text}}))),
        ),
        (
            "a default in a tool's schema",
            tool("x", properties(json!({"a": {"default": text}}))),
        ),
        (
            "a choice in a tool's schema",
            tool("x", properties(json!({"a": {"enum": ["x", text]}}))),
        ),
        (
            "a key of a tool's schema",
            tool("x", properties(field(text, json!({})))),
        ),
        (
            "the answer's schema",
            schema(properties(json!({"a": {"description": text}}))),
        ),
        (
            "a key of the answer's schema",
            schema(properties(field(text, json!({})))),
        ),
        ("the end user", with("user", json!(text))),
        ("a stop sequence", with("stop", json!(["x", text]))),
        ("a cache key", with("prompt_cache_key", json!(text))),
        (
            "a prediction",
            with("prediction", json!({"type": "content", "content": text})),
        ),
        (
            "a vendor's options",
            with(
                "web_search_options",
                json!({"user_location": {"city": text}}),
            ),
        ),
    ]
}

fn messages(model: &str, stream: bool, text: &str) -> Vec<Place> {
    let surface = Surface::Messages;
    let with = |name: &str, value: Value| with(surface, model, stream, name, value);
    let said = |conversation: Value| said(surface, model, stream, conversation);
    let called = |input: Value, result: Value| {
        said(json!([
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t1", "name": "pay", "input": input},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": result},
            ]},
        ]))
    };
    let tool = |description: &str, schema: Value| {
        with(
            "tools",
            json!([{"name": "pay", "description": description, "input_schema": schema}]),
        )
    };
    let properties = |value: Value| json!({"type": "object", "properties": value});
    vec![
        ("system", with("system", json!(text))),
        (
            "a part of the system prompt",
            with("system", json!([{"type": "text", "text": text}])),
        ),
        (
            "a tool's input",
            called(json!({"to": [text]}), json!("done")),
        ),
        (
            "a key of a tool's input",
            called(field(text, 1), json!("done")),
        ),
        ("a tool's result", called(json!({}), json!(text))),
        (
            "a part of a tool's result",
            called(json!({}), json!([{"type": "text", "text": text}])),
        ),
        (
            "a tool's description",
            tool(text, json!({"type": "object"})),
        ),
        (
            "a tool's schema",
            tool("x", properties(json!({"a": {"description": text}}))),
        ),
        (
            "a key of a tool's schema",
            tool("x", properties(field(text, json!({})))),
        ),
        (
            "a stop sequence",
            with("stop_sequences", json!(["x", text])),
        ),
        ("the end user", with("metadata", json!({"user_id": text}))),
        (
            "a document's text",
            said(json!([{"role": "user", "content": [
                {"type": "text", "text": "one"},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}},
            ]}])),
        ),
        (
            "a document's title",
            said(json!([{"role": "user", "content": [
                {"type": "text", "text": "one"},
                {"type": "document", "title": text,
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
            ]}])),
        ),
        (
            "a search result",
            said(json!([{"role": "user", "content": [
                {"type": "text", "text": "one"},
                {"type": "search_result", "source": "x", "title": "x",
                    "content": [{"type": "text", "text": text}]},
            ]}])),
        ),
        (
            "a thought",
            said(json!([
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": text, "signature": "c2lnbmF0dXJl"},
                    {"type": "text", "text": "two"},
                ]},
                {"role": "user", "content": "three"},
            ])),
        ),
    ]
}

/// Whether the guard puts pieces of a value together that were cut in this way. What is left of a key
/// on the other side of a colon looks like any other letters.
pub(crate) fn is_joined(kind: Kind, way: &str) -> bool {
    matches!(kind, Kind::Card) || way != "key and value"
}

/// A request that holds pieces of a text, put together in each way.
pub(crate) fn splits(
    surface: Surface,
    model: &str,
    stream: bool,
    (left, right): (&str, &str),
) -> Vec<Place> {
    let with = |name: &str, value: Value| with(surface, model, stream, name, value);
    let said = |conversation: Value| said(surface, model, stream, conversation);
    let mut splits = vec![
        (
            "messages",
            said(json!([
                {"role": "user", "content": format!("it begins {left}")},
                {"role": "user", "content": right},
            ])),
        ),
        (
            "turns",
            said(json!([
                {"role": "user", "content": left},
                {"role": "assistant", "content": "Go on, please."},
                {"role": "user", "content": right},
            ])),
        ),
        (
            "parts",
            said(json!([{"role": "user", "content": [
                {"type": "text", "text": left},
                {"type": "text", "text": format!("{right} is the rest")},
            ]}])),
        ),
        (
            "lines",
            surface.body(model, stream, &format!("{left}\n{right}")),
        ),
        (
            "words",
            surface.body(model, stream, &format!("{left} {right}")),
        ),
        ("values", with("x_unknown", json!([left, right]))),
        (
            "fields",
            with("x_unknown", json!({"first": left, "second": right})),
        ),
        ("key and value", with("x_unknown", field(left, right))),
    ];
    if surface == Surface::Messages {
        splits.push((
            "a tool's input",
            said(json!([
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "t1", "name": "pay", "input": {"list": [left, right]}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "done"},
                ]},
            ])),
        ));
    }
    splits
}
