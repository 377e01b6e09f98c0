//! Renders the chat template that the model's makers put into the file.

use chrono::Utc;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as JinjaValue};
use minijinja::{Environment, Error, ErrorKind, context};
use serde_json::{Map, Value, json};

use super::python_json;
use crate::error::{LoadError, RequestError};

/// For files without a template: ChatML, which most instruct models have seen.
const FALLBACK: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + \
    message.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}\
    {{ '<|im_start|>assistant\\n' }}{% endif %}";
/// Steps that one rendering may take; a template that takes more is caught in a loop.
const FUEL: u64 = 20_000_000;
const NAME: &str = "chat";

/// A conversation in the form that templates know (that of Hugging Face's `apply_chat_template`).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Conversation {
    /// `role`, `content`, `tool_calls` and so on.
    pub(crate) messages: Vec<Value>,
    /// `{"type": "function", "function": {...}}`.
    pub(crate) tools: Vec<Value>,
    /// Further variables, such as `enable_thinking`.
    pub(crate) variables: Map<String, Value>,
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    begin_text: String,
    end_text: String,
    source: String,
    takes_tools: bool,
}

impl ChatTemplate {
    /// Parses the template of a model file.
    pub(crate) fn new(
        source: Option<&str>,
        begin_text: String,
        end_text: String,
    ) -> Result<Self, LoadError> {
        let source = without_generation_tags(source.unwrap_or(FALLBACK));
        let mut environment = Environment::new();
        // As Hugging Face sets it.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| LoadError::Template(error.to_string()))?);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(NAME, source.clone())
            .map_err(|error| LoadError::Template(error.to_string()))?;
        let takes_tools = environment
            .get_template(NAME)
            .is_ok_and(|template| template.undeclared_variables(false).contains("tools"));
        Ok(Self {
            environment,
            begin_text,
            end_text,
            source,
            takes_tools,
        })
    }

    /// Whether the template itself tells the model about tools.
    pub(crate) const fn takes_tools(&self) -> bool {
        self.takes_tools
    }

    /// Whether the template mentions a text, such as a model's own marks for tool calls.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.source.contains(text)
    }

    /// The prompt for the assistant's next turn.
    pub(crate) fn render(&self, conversation: &Conversation) -> Result<String, RequestError> {
        match self.render_once(conversation) {
            Ok(prompt) => Ok(prompt),
            // Some templates know no system turn: its text goes to the first user turn.
            Err(error) => match merge_system(conversation) {
                Some(merged) => self.render_once(&merged).map_err(|_| describe(&error)),
                None => Err(describe(&error)),
            },
        }
    }

    fn render_once(&self, conversation: &Conversation) -> Result<String, Error> {
        let tools = if conversation.tools.is_empty() {
            JinjaValue::from(())
        } else {
            JinjaValue::from(Serde(&conversation.tools))
        };
        let variables = JinjaValue::from(Serde(&conversation.variables));
        let context = context! {
            messages => JinjaValue::from(Serde(&conversation.messages)),
            tools => tools,
            add_generation_prompt => true,
            bos_token => self.begin_text.as_str(),
            eos_token => self.end_text.as_str(),
            ..variables
        };
        self.environment.get_template(NAME)?.render(context)
    }
}

/// What a template says for itself, or what is wrong with it; never the conversation.
fn describe(error: &Error) -> RequestError {
    let detail = match error.kind() {
        ErrorKind::InvalidOperation => error.detail().unwrap_or("it cannot be rendered").to_owned(),
        kind => kind.to_string(),
    };
    RequestError::Template(detail.chars().take(300).collect())
}

fn merge_system(conversation: &Conversation) -> Option<Conversation> {
    let mut messages = conversation.messages.clone();
    if messages.first()?["role"] != "system" {
        return None;
    }
    let system = messages.remove(0);
    let first = messages
        .first_mut()
        .filter(|message| message["role"] == "user")?;
    let merged = format!(
        "{}\n\n{}",
        system["content"].as_str()?,
        first["content"].as_str()?
    );
    first["content"] = json!(merged);
    Some(Conversation {
        messages,
        ..conversation.clone()
    })
}

/// Takes out `{% generation %}`, a tag for training that only Hugging Face's own engine knows.
fn without_generation_tags(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else {
            break;
        };
        let end = start + length + 2;
        let inner = rest[start + 2..end - 2].trim_matches(['-', '+', ' ', '\n', '\t']);
        kept.push_str(&rest[..start]);
        if inner != "generation" && inner != "endgeneration" {
            kept.push_str(&rest[start..end]);
        }
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: &str) -> Result<String, Error> {
    use std::fmt::Write as _;

    let mut text = String::new();
    write!(text, "{}", Utc::now().format(format))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "strftime_now: unknown format"))?;
    Ok(text)
}

fn to_json(value: &JinjaValue, options: Kwargs) -> Result<JinjaValue, Error> {
    let value = serde_json::to_value(value).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, "tojson: not JSON").with_source(error)
    })?;
    let indent: Option<usize> = options.get("indent").ok();
    // Other options of Hugging Face's filter (ensure_ascii, separators) change spelling only.
    let text = match indent {
        Some(indent) => python_json::indented(&value, indent),
        None => python_json::one_line(&value),
    };
    Ok(JinjaValue::from_safe_string(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(Some(source), "<s>".into(), "</s>".into()).expect("parses")
    }

    fn conversation(messages: Value) -> Conversation {
        let Value::Array(messages) = messages else {
            panic!("an array")
        };
        Conversation {
            messages,
            ..Conversation::default()
        }
    }

    #[test]
    fn the_fallback_is_chatml() {
        let template = ChatTemplate::new(None, String::new(), String::new()).expect("parses");
        let prompt = template.render(&conversation(json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ])));
        assert_eq!(
            prompt.expect("renders"),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
             <|im_start|>assistant\n"
        );
        assert!(!template.takes_tools());
    }

    #[test]
    fn what_templates_use_works() {
        let template = template(
            "{{ bos_token }}{%- if tools %}{{ tools | tojson }}{% endif -%}\
             {% for message in messages if message.role != 'x' %}\
             {{ message['content'].strip().split('|')[0] | upper }}\
             {% if loop.last %}{% break %}{% endif %}{% endfor %}\
             {{ strftime_now('%Y') | length }}{{ {'a': 1} | tojson(indent=2) }}{{ eos_token }}",
        );
        assert!(template.takes_tools());
        let mut conversation = conversation(json!([{"role": "user", "content": " ab|c "}]));
        conversation.tools = vec![json!({"type": "function"})];
        assert_eq!(
            template.render(&conversation).expect("renders"),
            "<s>[{\"type\": \"function\"}]AB4{\n  \"a\": 1\n}</s>"
        );
    }

    #[test]
    fn a_refusal_of_the_template_is_told() {
        let template = template("{{ raise_exception('roles must alternate') }}");
        let error = template
            .render(&conversation(json!([])))
            .expect_err("refused");
        assert_eq!(error, RequestError::Template("roles must alternate".into()));
    }

    #[test]
    fn a_template_without_system_turn_gets_it_with_the_user_turn() {
        let template = template(
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
             {% for message in messages %}[{{ message.content }}]{% endfor %}",
        );
        let prompt = template.render(&conversation(json!([
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u"},
        ])));
        assert_eq!(prompt.expect("renders"), "[s\n\nu]");
        let alone = template.render(&conversation(json!([{"role": "system", "content": "s"}])));
        assert!(alone.is_err());
    }

    #[test]
    fn tags_for_training_are_passed_over() {
        let template = template(
            "{% for message in messages %}{%- generation -%}{{ message.content }}\
             {% endgeneration %}{% endfor %}",
        );
        let prompt = template.render(&conversation(json!([{"role": "user", "content": "x"}])));
        assert_eq!(prompt.expect("renders"), "x");
    }

    #[test]
    fn endless_and_broken_templates_end() {
        let endless = template(
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
        );
        assert!(endless.render(&conversation(json!([]))).is_err());
        let broken = ChatTemplate::new(Some("{% for x in %}"), String::new(), String::new());
        assert!(matches!(broken, Err(LoadError::Template(_))));
    }
}
