//! Canonical messages in the form that chat templates know.

use std::collections::HashMap;

use freehold_types::request::MediaSource;
use freehold_types::{Dialect, Error, Message, Part, Request, Role};
use serde_json::{Map, Value, json};

use super::accept;
use crate::chat::template::{ChatTemplate, Conversation};
use crate::chat::tools;

/// What a request's messages come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Converted {
    pub(crate) conversation: Conversation,
    /// The beginning of the answer, which the client has written itself (Anthropic).
    pub(crate) prefill: Option<String>,
}

/// Converts the messages. `functions` are the tools that the model is told about.
pub(crate) fn convert(
    request: &Request,
    functions: &[Value],
    template: &ChatTemplate,
    variables: Map<String, Value>,
) -> Result<Converted, Error> {
    let mut converter = Converter {
        // Templates that know no tools know no calls either.
        writes_calls: template.takes_tools(),
        knows_developer: template.mentions("developer"),
        messages: Vec::new(),
        call_names: HashMap::new(),
    };
    let (prefill, messages) = match request.messages.split_last() {
        Some((last, before)) if is_prefill(request.dialect, last) => {
            (Some(plain_text(last)), before)
        }
        _ => (None, request.messages.as_slice()),
    };
    for (index, message) in messages.iter().enumerate() {
        converter.message(message, &format!("messages[{index}]"))?;
    }
    let mut messages = converter.messages;
    if !functions.is_empty() && !template.takes_tools() {
        add_to_system(&mut messages, &tools::explain(functions));
    }
    join_leading_system(&mut messages);
    let tools = if template.takes_tools() {
        functions.to_vec()
    } else {
        Vec::new()
    };
    Ok(Converted {
        conversation: Conversation {
            messages,
            tools,
            variables,
        },
        prefill,
    })
}

struct Converter {
    writes_calls: bool,
    knows_developer: bool,
    messages: Vec<Value>,
    /// Names of the functions by the ids of their calls.
    call_names: HashMap<String, String>,
}

impl Converter {
    fn message(&mut self, message: &Message, path: &str) -> Result<(), Error> {
        accept::inner(&message.extra, path)?;
        match message.role {
            Role::System => self.plain("system", message, path),
            Role::Developer if self.knows_developer => self.plain("developer", message, path),
            Role::Developer => self.plain("system", message, path),
            Role::User | Role::Tool => self.user(message, path),
            Role::Assistant => self.assistant(message, path),
        }
    }

    fn plain(&mut self, role: &str, message: &Message, path: &str) -> Result<(), Error> {
        let content = texts(&message.parts, path)?;
        self.messages
            .push(json!({"role": role, "content": content}));
        Ok(())
    }

    /// Tool results become turns of their own, before what the user says.
    fn user(&mut self, message: &Message, path: &str) -> Result<(), Error> {
        let mut said = Vec::new();
        for (index, part) in message.parts.iter().enumerate() {
            let path = format!("{path}.content[{index}]");
            if let Part::ToolResult {
                call_id,
                parts,
                is_error,
                extra,
            } = part
            {
                accept::inner(extra, &path)?;
                self.tool_result(call_id, texts(parts, &path)?, *is_error);
            } else {
                said.push(text_of(part, &path)?);
            }
        }
        if !said.is_empty() {
            let role = if message.role == Role::Tool {
                "tool"
            } else {
                "user"
            };
            self.messages
                .push(json!({"role": role, "content": said.concat()}));
        }
        Ok(())
    }

    fn tool_result(&mut self, call_id: &str, content: String, is_error: bool) {
        let content = if is_error {
            format!("Error: {content}")
        } else {
            content
        };
        if !self.writes_calls {
            let content = format!("<tool_response>\n{content}\n</tool_response>");
            self.messages
                .push(json!({"role": "user", "content": content}));
            return;
        }
        let mut turn = json!({"role": "tool", "content": content, "tool_call_id": call_id});
        if let Some(name) = self.call_names.get(call_id) {
            turn["name"] = json!(name);
        }
        self.messages.push(turn);
    }

    fn assistant(&mut self, message: &Message, path: &str) -> Result<(), Error> {
        let mut content = String::new();
        let mut thoughts = String::new();
        let mut calls = Vec::new();
        for (index, part) in message.parts.iter().enumerate() {
            let path = format!("{path}.content[{index}]");
            match part {
                Part::ToolCall {
                    id,
                    name,
                    arguments,
                    extra,
                } => {
                    accept::inner(extra, &path)?;
                    self.call_names.insert(id.clone(), name.clone());
                    // Templates expect an object; what is no JSON stays text.
                    let arguments = serde_json::from_str(arguments)
                        .unwrap_or_else(|_| Value::String(arguments.clone()));
                    calls.push((id, name, arguments));
                }
                Part::Thinking { text, .. } => thoughts.push_str(text),
                // Only the vendor that encrypted it can read it.
                Part::RedactedThinking { .. } => {}
                Part::Refusal { text } => content.push_str(text),
                other => content.push_str(&text_of(other, &path)?),
            }
        }
        let mut turn = json!({"role": "assistant"});
        if self.writes_calls && !calls.is_empty() {
            turn["tool_calls"] = calls
                .into_iter()
                .map(|(id, name, arguments)| {
                    json!({
                        "id": id,
                        "type": "function",
                        "function": {"name": name, "arguments": arguments},
                    })
                })
                .collect();
        } else {
            for (_, name, arguments) in calls {
                if !content.is_empty() {
                    content.push('\n');
                }
                content.push_str(&tools::write_call(name, &arguments));
            }
        }
        turn["content"] = json!(content);
        if !thoughts.is_empty() {
            turn["reasoning_content"] = json!(thoughts);
        }
        self.messages.push(turn);
        Ok(())
    }
}

/// The text of parts that can only be text.
fn texts(parts: &[Part], path: &str) -> Result<String, Error> {
    parts
        .iter()
        .enumerate()
        .map(|(index, part)| text_of(part, &format!("{path}.content[{index}]")))
        .collect()
}

fn text_of(part: &Part, path: &str) -> Result<String, Error> {
    let (what, extra) = match part {
        Part::Text { text, extra } => {
            accept::inner(extra, path)?;
            return Ok(text.clone());
        }
        Part::File {
            source: MediaSource::Text(text),
            name,
            extra,
        } => {
            accept::inner(extra, path)?;
            let name = name.as_deref().unwrap_or("document");
            return Ok(format!("[{name}]\n{text}\n"));
        }
        Part::Refusal { text } => return Ok(text.clone()),
        Part::Image { extra, .. } => ("pictures", Some(extra)),
        Part::Audio { extra, .. } => ("sound", Some(extra)),
        Part::File { extra, .. } => ("files", Some(extra)),
        Part::ToolCall { .. } => ("tool calls of this role", None),
        Part::ToolResult { .. } => ("tool results of this role", None),
        Part::Thinking { .. } | Part::RedactedThinking { .. } => ("reasoning of this role", None),
        Part::Unknown { .. } => ("content of this type", None),
    };
    let _ = extra;
    Err(Error::unsupported(
        path,
        format!("the embedded engine cannot read {what}"),
    ))
}

/// Anthropic's clients may write the beginning of the answer themselves.
fn is_prefill(dialect: Dialect, message: &Message) -> bool {
    dialect == Dialect::AnthropicMessages
        && message.role == Role::Assistant
        && !message.parts.is_empty()
        && message
            .parts
            .iter()
            .all(|part| matches!(part, Part::Text { .. }))
}

fn plain_text(message: &Message) -> String {
    message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn add_to_system(messages: &mut Vec<Value>, text: &str) {
    if let Some(first) = messages.first_mut()
        && first["role"] == "system"
    {
        let joined = format!(
            "{}\n\n{text}",
            first["content"].as_str().unwrap_or_default()
        );
        first["content"] = json!(joined);
        return;
    }
    messages.insert(0, json!({"role": "system", "content": text}));
}

/// Most templates know one system turn, at the beginning.
fn join_leading_system(messages: &mut Vec<Value>) {
    while messages.len() > 1 && messages[0]["role"] == "system" && messages[1]["role"] == "system" {
        let second = messages.remove(1);
        add_to_system(messages, second["content"].as_str().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::tests::request;
    use freehold_types::Extra;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(Some(source), String::new(), String::new()).expect("parses")
    }

    fn call() -> Message {
        Message {
            role: Role::Assistant,
            parts: vec![Part::ToolCall {
                id: "c1".into(),
                name: "f".into(),
                arguments: "{\"a\": 1}".into(),
                extra: Extra::new(),
            }],
            name: None,
            extra: Extra::new(),
        }
    }

    fn result(role: Role) -> Message {
        let mut message = Message::text(role, "and now?");
        message.parts.insert(
            0,
            Part::ToolResult {
                call_id: "c1".into(),
                parts: vec![Part::text("42")],
                is_error: false,
                extra: Extra::new(),
            },
        );
        message
    }

    #[test]
    fn calls_and_results_take_the_templates_form() {
        let request = request(vec![
            Message::text(Role::User, "hi"),
            call(),
            result(Role::User),
        ]);
        let converted = convert(&request, &[], &template("{{ tools }}"), Map::new());
        assert_eq!(
            converted.expect("converts").conversation.messages,
            [
                json!({"role": "user", "content": "hi"}),
                json!({"role": "assistant", "content": "", "tool_calls": [{
                    "id": "c1", "type": "function",
                    "function": {"name": "f", "arguments": {"a": 1}},
                }]}),
                json!({"role": "tool", "content": "42", "tool_call_id": "c1", "name": "f"}),
                json!({"role": "user", "content": "and now?"}),
            ]
        );
    }

    #[test]
    fn templates_without_tools_get_them_as_text() {
        let request = request(vec![
            Message::text(Role::System, "Be brief."),
            call(),
            result(Role::User),
        ]);
        let functions = [json!({"type": "function", "function": {"name": "f"}})];
        let converted = convert(
            &request,
            &functions,
            &template("{{ messages }}"),
            Map::new(),
        );
        let conversation = converted.expect("converts").conversation;
        assert!(conversation.tools.is_empty());
        let text = |index: usize| {
            conversation.messages[index]["content"]
                .as_str()
                .expect("text")
        };
        assert!(text(0).starts_with("Be brief.\n\n") && text(0).contains("\"name\": \"f\""));
        assert_eq!(
            text(1),
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"
        );
        assert_eq!(text(2), "<tool_response>\n42\n</tool_response>");
    }

    #[test]
    fn system_turns_are_joined_and_developers_are_system() {
        let request = request(vec![
            Message::text(Role::System, "a"),
            Message::text(Role::Developer, "b"),
            Message::text(Role::User, "c"),
        ]);
        let converted = convert(&request, &[], &template("x"), Map::new()).expect("converts");
        assert_eq!(
            converted.conversation.messages,
            [
                json!({"role": "system", "content": "a\n\nb"}),
                json!({"role": "user", "content": "c"})
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut message = Message::text(Role::User, "look:");
        message.parts.push(Part::Image {
            source: MediaSource::Url("http://x".into()),
            detail: None,
            extra: Extra::new(),
        });
        let error = convert(&request(vec![message]), &[], &template("x"), Map::new());
        assert_eq!(
            error.expect_err("refused").param.as_deref(),
            Some("messages[0].content[1]")
        );
    }

    #[test]
    fn a_prefill_is_anthropics_alone() {
        let messages = vec![
            Message::text(Role::User, "hi"),
            Message::text(Role::Assistant, "Well"),
        ];
        let mut request = request(messages);
        let of = |request: &Request| {
            convert(request, &[], &template("x"), Map::new())
                .expect("converts")
                .prefill
        };
        assert_eq!(of(&request), None);
        request.dialect = Dialect::AnthropicMessages;
        assert_eq!(of(&request).as_deref(), Some("Well"));
    }
}
