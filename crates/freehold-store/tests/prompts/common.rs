//! Samples, and stores to put them into.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freehold_guard::Scan;
use freehold_policy::{Claim, Facts, Labels, Masked, Permit, Policy, PolicySettings, Surroundings};
use freehold_ports::{AnswerEnd, Prompts, Sample, SampleFacts, Text};
use freehold_store::prompts::{PromptReader, PromptSettings, PromptStore, ShownPrompt};
use freehold_types::answer::Choice;
use freehold_types::{Dialect, FinishReason, Part, Request, RequestId, Response, Sensitivity};
use freehold_wire::{Limits, decode_request};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A permit by a policy whose one rule stores this.
pub(crate) fn permit(store: &Value) -> Permit {
    let settings = json!({"rules": [{"name": "r", "store": store}]});
    let settings: PolicySettings = serde_json::from_value(settings).unwrap();
    let policy = Policy::compile(&settings, &Surroundings::default());
    let (policy, _) = policy.unwrap();
    let scan = Scan::default();
    let labels = Labels {
        default: Sensitivity::Internal,
        route: None,
        key: None,
        claim: Claim::None,
        scan: &scan,
    };
    policy.decide(&labels, &Facts::default(), []).unwrap()
}

/// A sample to be.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) id: RequestId,
    pub(crate) tenant: &'static str,
    pub(crate) subject: Option<&'static str>,
    pub(crate) conversation: Option<&'static str>,
    pub(crate) text: String,
    pub(crate) started_unix_ms: u64,
    pub(crate) begun: Instant,
    pub(crate) keep_days: u32,
}

impl Draft {
    pub(crate) fn new(tenant: &'static str, text: &str) -> Self {
        let started_unix_ms = now();
        Self {
            id: RequestId::at(started_unix_ms),
            tenant,
            subject: None,
            conversation: None,
            text: text.to_owned(),
            started_unix_ms,
            begun: Instant::now(),
            keep_days: 2,
        }
    }

    pub(crate) fn by(self, subject: &'static str) -> Self {
        Self {
            subject: Some(subject),
            ..self
        }
    }

    pub(crate) fn within(self, conversation: &'static str) -> Self {
        Self {
            conversation: Some(conversation),
            ..self
        }
    }

    pub(crate) fn facts(&self) -> SampleFacts {
        SampleFacts {
            tenant: self.tenant.to_owned(),
            subject: self.subject.map(str::to_owned),
            conversation: self.conversation.map(str::to_owned),
            flow: Some("support".into()),
            deployment: Some("local/small".into()),
            dialect: Dialect::OpenaiChat,
            sensitivity: Sensitivity::Internal,
            started_unix_ms: self.started_unix_ms,
            begun: self.begun,
            end: AnswerEnd::Complete,
        }
    }

    pub(crate) fn sample(&self) -> Sample {
        let permit = permit(&json!({"keep_days": self.keep_days, "what": "original"}));
        let storing = permit.storing(self.id).unwrap();
        let request = Arc::new(request(&self.text));
        let answer = answer(&format!("You said: {}", self.text));
        Sample::new(storing, self.facts(), self.text.len(), move |storing| {
            let pass = storing.pass(&Scan::default(), &Masked::nothing()).unwrap();
            Ok(Text::new(pass, request, Some(answer)).unwrap())
        })
    }
}

pub(crate) fn request(text: &str) -> Request {
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
    let body = body.to_string().into();
    decode_request(Dialect::OpenaiChat, body, &Limits::default()).unwrap()
}

pub(crate) fn answer(text: &str) -> Response {
    Response {
        id: "answer-1".to_owned(),
        model: "small".to_owned(),
        choices: vec![Choice {
            parts: vec![Part::text(text)],
            finish: Some(FinishReason::Stop),
            ..Choice::default()
        }],
        ..Response::default()
    }
}

/// Settings with which nothing is waited for.
pub(crate) fn settings(dir: &Path) -> PromptSettings {
    PromptSettings {
        retry: Duration::ZERO,
        ..PromptSettings::new(dir)
    }
}

/// Stores samples, and ends the store.
pub(crate) async fn store(settings: &PromptSettings, drafts: &[Draft]) {
    let store = PromptStore::start(settings.clone()).unwrap();
    for draft in drafts {
        store.keep(draft.sample());
    }
    store.shutdown(PATIENCE).await.unwrap();
    let status = store.status();
    assert_eq!(status.stored, drafts.len() as u64, "{status:?}");
}

pub(crate) async fn show(
    settings: &PromptSettings,
    draft: &Draft,
) -> Result<Option<ShownPrompt>, freehold_store::prompts::PromptError> {
    let mut reader = PromptReader::open(settings.clone()).await?;
    reader.show(draft.id).await
}

/// The text of a request as it is shown.
pub(crate) fn asked(shown: &ShownPrompt) -> String {
    let body: Value = serde_json::from_str(shown.request.get()).unwrap();
    body["messages"][0]["content"].as_str().unwrap().to_owned()
}

pub(crate) fn answered(shown: &ShownPrompt) -> String {
    let body: Value = serde_json::from_str(shown.answer.as_ref().unwrap().get()).unwrap();
    let content = &body["choices"][0]["message"]["content"];
    content.as_str().unwrap().to_owned()
}

/// The database, for whoever means no good.
pub(crate) async fn raw(settings: &PromptSettings) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(&settings.database);
    options.connect().await.unwrap()
}

/// Everything that lies in a directory, byte by byte.
pub(crate) fn bytes_of(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}

pub(crate) fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
