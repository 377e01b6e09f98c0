//! A server that answers by a rule of the test, and keeps what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

type Asked = Arc<Mutex<Vec<(String, Value)>>>;
type Rule = dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync;

/// A server on a thread of its own.
pub(crate) struct Oracle {
    port: u16,
    asked: Asked,
}

impl Oracle {
    /// Answers by path and body.
    pub(crate) fn start(
        rule: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Asked = Arc::default();
        let kept = Arc::clone(&asked);
        let rule: Arc<Rule> = Arc::new(rule);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, rule) = (Arc::clone(&kept), Arc::clone(&rule));
                std::thread::spawn(move || answer(&stream.unwrap(), &kept, &*rule));
            }
        });
        Self { port, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked of a model.
    pub(crate) fn asked_of(&self, model: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let bodies = asked.iter().map(|(_, body)| body);
        bodies
            .filter(|body| body["model"] == model)
            .cloned()
            .collect()
    }
}

/// A chat completion that says this, with ten tokens in and five out.
pub(crate) fn says(text: impl Into<String>) -> (u16, Value) {
    let text: String = text.into();
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    });
    (200, body)
}

/// A refusal.
pub(crate) fn refuses(status: u16, message: &str) -> (u16, Value) {
    (
        status,
        json!({"error": {"message": message, "type": "invalid_request_error"}}),
    )
}

/// What a chat's last message says.
pub(crate) fn last(body: &Value) -> String {
    let messages = body["messages"].as_array().unwrap();
    messages.last().unwrap()["content"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn answer(stream: &TcpStream, asked: &Asked, rule: &Rule) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let (status, told) = rule(&path, &body);
    asked.lock().unwrap().push((path, body));
    let told = told.to_string();
    let head = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{told}",
        told.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()
}
