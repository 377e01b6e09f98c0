//! The engine behind the trait that every backend has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freehold_ports::{Backend, BoxFuture, Call, Chunk, ChunkStream, Probe, Timeouts};
use freehold_types::{
    BackendId, Dialect, Error, ErrorKind, Event, Extra, Request, Site, Usage, UsageBasis,
};
use futures_util::stream;
use smallvec::SmallVec;

use super::errors;
use super::events::Translator;
use super::model::EmbeddedModel;
use super::request;
use crate::engine::Generation;
use crate::engine::output::Output;
use crate::error::RequestError;

/// The embedded engine as a backend: models by name.
#[derive(Debug)]
pub struct EmbeddedBackend {
    id: BackendId,
    site: Site,
    models: BTreeMap<String, Arc<EmbeddedModel>>,
}

impl EmbeddedBackend {
    /// A backend without models.
    pub fn new(id: BackendId, site: Site) -> Self {
        Self {
            id,
            site,
            models: BTreeMap::new(),
        }
    }

    /// Adds a model under the name that deployments use.
    #[must_use]
    pub fn with_model(mut self, name: impl Into<String>, model: Arc<EmbeddedModel>) -> Self {
        self.models.insert(name.into(), model);
        self
    }

    /// The models by name.
    pub fn models(&self) -> &BTreeMap<String, Arc<EmbeddedModel>> {
        &self.models
    }

    fn model(&self, call: &Call) -> Result<Arc<EmbeddedModel>, Error> {
        call.check(&self.id, &self.site)?;
        self.models
            .get(&call.deployment.model)
            .cloned()
            .ok_or_else(|| {
                let name = &call.deployment.model;
                Error::new(
                    ErrorKind::NotFound,
                    format!("the embedded engine has no model '{name}'"),
                )
                .with_param("model")
            })
    }
}

impl Backend for EmbeddedBackend {
    fn id(&self) -> &BackendId {
        &self.id
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn start(&self, call: Call) -> BoxFuture<'_, Result<ChunkStream, Error>> {
        Box::pin(async move {
            let model = self.model(&call)?;
            let request = Arc::clone(&call.request);
            // Rendering and cutting into tokens takes milliseconds for long conversations.
            let answer = off_thread(move || begin(&request, &model, &call)).await?;
            Ok(if answer.streams {
                answer.into_stream()
            } else {
                answer.into_single()
            })
        })
    }

    fn count_tokens(&self, call: Call) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        Box::pin(async move {
            let model = self.model(&call)?;
            let request = Arc::clone(&call.request);
            off_thread(move || {
                let mut tokens = 0;
                for prompt in request::prompts(&request, &model)? {
                    let count = model.engine().count_tokens(&prompt);
                    tokens += u64::from(count.map_err(errors::from_request)?);
                }
                Ok(Some(tokens))
            })
            .await
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<Probe, Error>> {
        Box::pin(async move {
            let mut details = Vec::new();
            for (name, model) in &self.models {
                let engine = model.engine();
                if !engine.is_running() {
                    let message = format!("the engine of model '{name}' has ended");
                    return Err(Error::new(ErrorKind::Unavailable, message));
                }
                let stats = *engine.stats().borrow();
                details.push(format!(
                    "{name}: {} of {} slots busy, {} waiting, {} tokens of context",
                    stats.active,
                    engine.slots(),
                    stats.waiting,
                    engine.context_tokens(),
                ));
            }
            Ok(Probe {
                models: self.models.keys().cloned().collect(),
                detail: details.join("; "),
            })
        })
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Internal,
            "the embedded engine could not read the request",
        ))
    })
}

/// Translates the request and puts it into the engine's queue.
fn begin(request: &Request, model: &EmbeddedModel, call: &Call) -> Result<Answer, Error> {
    let plan = request::plan(request, model)?;
    let id = call.id.to_string();
    let call_prefix = id.chars().rev().take(16).collect::<String>();
    let mut prompts = VecDeque::new();
    let mut first_choice = 0;
    for generate in &plan.requests {
        let generation = model
            .engine()
            .generate(generate)
            .map_err(|error| refuse(error, request))?;
        let translator = Translator::new(plan.parse.clone(), first_choice, call_prefix.clone());
        prompts.push_back((generation, translator));
        first_choice += generate.choices;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let start = Event::Start {
        id,
        model: call.deployment.model.clone(),
        created_s: now.ok().map(|now| now.as_secs()),
        extra: Extra::new(),
    };
    Ok(Answer {
        start: Some(start),
        prompts,
        used: Usage {
            basis: UsageBasis::Counted,
            ..Usage::default()
        },
        timeouts: call.timeouts,
        streams: request.stream,
        has_begun: false,
    })
}

/// A refusal in the words of the request's dialect.
fn refuse(error: RequestError, request: &Request) -> Error {
    let is_overflow = matches!(error, RequestError::ContextOverflow { .. });
    let is_constraint = matches!(error, RequestError::Constraint(_));
    let refused = errors::from_request(error);
    if is_overflow && request.prompt.is_some() {
        return refused.with_param("prompt");
    }
    if is_constraint && !request.tools.is_empty() {
        return refused.with_param("tools");
    }
    match (request.dialect, refused.param.as_deref()) {
        (Dialect::AnthropicMessages, Some("stop")) => refused.with_param("stop_sequences"),
        _ => refused,
    }
}

/// An answer under way. Dropping it cancels what is not complete.
struct Answer {
    start: Option<Event>,
    /// What is still to come, in order.
    prompts: VecDeque<(Generation, Translator)>,
    /// Tokens of the prompts that are complete.
    used: Usage,
    timeouts: Timeouts,
    streams: bool,
    has_begun: bool,
}

impl Answer {
    /// One chunk per step of the engine.
    fn into_stream(self) -> ChunkStream {
        Box::pin(stream::unfold(Some(self), |answer| async move {
            let mut answer = answer?;
            match answer.next_events().await {
                Ok(Some(events)) => Some((Ok(chunk(events)), Some(answer))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// All in one chunk.
    fn into_single(mut self) -> ChunkStream {
        let deadline = Instant::now().checked_add(self.timeouts.first_byte);
        Box::pin(stream::once(async move {
            let mut all = Vec::new();
            loop {
                // Until the deadline, it does not matter how the time is spread.
                let left = deadline.map_or(Duration::MAX, |deadline| {
                    deadline.saturating_duration_since(Instant::now())
                });
                self.timeouts.idle = left;
                self.timeouts.first_byte = left;
                match self.next_events().await? {
                    Some(events) => all.extend(
                        events
                            .into_iter()
                            .filter(|event| !matches!(event, Event::Usage(_))),
                    ),
                    None => {
                        let end = all.len().saturating_sub(1);
                        all.insert(end, Event::Usage(self.used));
                        return Ok(chunk(all));
                    }
                }
            }
        }))
    }

    /// The events of the next step; `None` after the last.
    async fn next_events(&mut self) -> Result<Option<Vec<Event>>, Error> {
        let limit = if self.has_begun {
            self.timeouts.idle
        } else {
            self.timeouts.first_byte
        };
        let Some((generation, translator)) = self.prompts.front_mut() else {
            return Ok(None);
        };
        let output = tokio::time::timeout(limit, generation.next())
            .await
            .map_err(|_| {
                Error::new(
                    ErrorKind::Timeout,
                    "the embedded engine did not answer in time",
                )
            })?;
        self.has_begun = true;
        let output = match output {
            None => return Err(errors::from_request(RequestError::ShutDown)),
            Some(Output::Failed(error)) => return Err(errors::from_request(error)),
            Some(output) => output,
        };
        let is_done = matches!(output, Output::Done(_));
        let mut events: Vec<Event> = self.start.take().into_iter().collect();
        translator.push(output, &mut events);
        let usage = add(self.used, translator.usage());
        if is_done {
            self.used = usage;
            self.prompts.pop_front();
        }
        events.push(Event::Usage(usage));
        if self.prompts.is_empty() {
            events.push(Event::End);
        }
        Ok(Some(events))
    }
}

fn chunk(events: Vec<Event>) -> Chunk {
    Chunk {
        events: SmallVec::from_vec(events),
        ..Chunk::default()
    }
}

fn add(left: Usage, right: Usage) -> Usage {
    Usage {
        input_tokens: left.input_tokens + right.input_tokens,
        cached_input_tokens: left.cached_input_tokens + right.cached_input_tokens,
        output_tokens: left.output_tokens + right.output_tokens,
        reasoning_tokens: left.reasoning_tokens + right.reasoning_tokens,
        ..left
    }
}
