//! The engine: one loaded model, served by one thread.

pub(crate) mod constraint;
mod draw;
mod job;
pub(crate) mod output;
pub(crate) mod request;
mod sampler;
mod sequences;
pub(crate) mod stats;
mod worker;

use std::num::NonZeroU32;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use tokio::sync::{mpsc, watch};

use crate::error::{LoadError, RequestError};
use crate::libraries;
use crate::model_info::{ModelInfo, available_memory_bytes};
use crate::settings::{EngineSettings, Resolved};
use constraint::ConstraintFactory;
use job::{Prepared, Ticket};
use output::Output;
use request::{GenerateRequest, Prompt};
use stats::{EngineStats, Meter};
use worker::{Command, Worker};

/// A loaded model, ready to serve. Cheap to share behind an `Arc`.
///
/// Dropping it cuts the requests at hand short and waits for its thread, a fraction of a second;
/// [`Engine::shut_down`] can also let them finish.
pub struct Engine {
    shared: Arc<Shared>,
    commands: SyncSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the owner thread and its callers share. The order matters: the model goes before the
/// backend that it was loaded with.
struct Shared {
    model: LlamaModel,
    backend: Arc<LlamaBackend>,
    info: ModelInfo,
    settings: Resolved,
    constraints: OnceLock<Result<ConstraintFactory, String>>,
    meter: Arc<Meter>,
}

/// How [`Engine::shut_down`] treats the requests at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutDown {
    /// They are finished first.
    Drain,
    /// They are cut short.
    AtOnce,
}

impl Engine {
    /// Loads a model and starts its thread. Takes seconds: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the file, the settings or the machine do not allow it; see [`LoadError`].
    pub fn load(settings: &EngineSettings) -> Result<Self, LoadError> {
        let info = ModelInfo::read(&settings.model_path)?;
        if !info.is_supported {
            return Err(LoadError::UnsupportedArchitecture {
                architecture: info.architecture,
            });
        }
        let resolved = settings.resolve(info.context_tokens_trained)?;
        if !settings.ignore_memory_estimate {
            check_memory(&info, &resolved)?;
        }
        let backend = libraries::shared()?;
        let meter = Arc::new(Meter::new());
        // The waiting places bound the requests; the rest is for shutting down.
        let (commands, receiver) = sync_channel(resolved.queue_length + 8);
        let (loaded, outcome) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("freehold-llama".into())
            .spawn(move || {
                let shared = match load_model(backend, info, resolved, meter) {
                    Ok(shared) => Arc::new(shared),
                    Err(error) => return drop(loaded.send(Err(error))),
                };
                let context = match new_context(&shared) {
                    Ok(context) => context,
                    Err(error) => return drop(loaded.send(Err(error))),
                };
                if loaded.send(Ok(Arc::clone(&shared))).is_err() {
                    return;
                }
                let settings = shared.settings.clone();
                let meter = Arc::clone(&shared.meter);
                Worker::new(&shared.model, context, settings, receiver, meter).run();
            })
            .map_err(|error| LoadError::Thread(error.to_string()))?;
        let shared = outcome
            .recv()
            .map_err(|_| LoadError::Thread("it died while loading".into()))??;
        tracing::info!(
            model = shared.info.name,
            context_tokens = shared.settings.context_tokens,
            slots = shared.settings.slots,
            threads = shared.settings.threads,
            "loaded a model"
        );
        Ok(Self {
            shared,
            commands,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What the model says about itself.
    pub fn info(&self) -> &ModelInfo {
        &self.shared.info
    }

    /// Tokens of prompt and answer together that one request may have.
    pub fn context_tokens(&self) -> u32 {
        self.shared.settings.context_tokens
    }

    /// Answers that are generated at the same time.
    pub fn slots(&self) -> usize {
        self.shared.settings.slots
    }

    /// What the engine is doing, now and whenever it changes.
    pub fn stats(&self) -> watch::Receiver<EngineStats> {
        self.shared.meter.subscribe()
    }

    /// Whether the engine still serves.
    pub fn is_running(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Accepts a request, or refuses it. Reads and cuts the prompt into tokens first, which takes
    /// milliseconds for a long one.
    ///
    /// # Errors
    /// When a field is out of range, the prompt exceeds the context, the constraint cannot be
    /// used, or the queue is full; see [`RequestError`].
    pub fn generate(&self, request: &GenerateRequest) -> Result<Generation, RequestError> {
        let shared = &*self.shared;
        request.check(shared.settings.slots, shared.model.n_vocab())?;
        let ticket = Ticket::take(&shared.meter.waiting, shared.settings.queue_length).map_err(
            |waiting| RequestError::QueueFull {
                waiting,
                retry_after: shared.meter.retry_after(shared.settings.slots),
            },
        )?;
        let prompt = shared.tokenize(&request.prompt)?;
        let max_tokens = shared.answer_room(&prompt, request.max_tokens)?;
        let guide = match &request.constraint {
            Some(constraint) => Some(shared.constraints()?.prepare(constraint)?),
            None => None,
        };
        let (reply, outputs) = mpsc::channel(shared.settings.output_buffer);
        let prepared = Prepared {
            draw: request.sampling.resolve(&shared.info.recommended),
            max_tokens,
            stop: request.stop.clone(),
            choices: request.choices,
            logprobs: request.logprobs.map(|top| top as usize),
            guide,
            deterministic: request.deterministic,
            show_special: request.show_special,
            prompt,
            reply,
            ticket,
        };
        match self
            .commands
            .try_send(Command::Generate(Box::new(prepared)))
        {
            Ok(()) => Ok(Generation { outputs }),
            Err(TrySendError::Disconnected(_)) => Err(RequestError::ShutDown),
            Err(TrySendError::Full(_)) => Err(RequestError::QueueFull {
                waiting: shared.settings.queue_length,
                retry_after: shared.meter.retry_after(shared.settings.slots),
            }),
        }
    }

    /// The number of tokens of a prompt.
    ///
    /// # Errors
    /// When the prompt is empty or holds tokens that the model does not have.
    pub fn count_tokens(&self, prompt: &Prompt) -> Result<u32, RequestError> {
        let tokens = self.shared.tokenize(prompt)?;
        Ok(u32::try_from(tokens.len()).unwrap_or(u32::MAX))
    }

    /// The texts of the model's special tokens, to be found in clients' texts.
    pub(crate) fn special_texts(&self) -> Vec<String> {
        let vocabulary = self.shared.model.vocab();
        vocabulary
            .tokens()
            .filter(|token| vocabulary.is_control(*token) || vocabulary.is_eog(*token))
            .map(|token| self.shared.token_text(token))
            .filter(|text| text.len() > 2)
            .collect()
    }

    /// The text of the token that begins a prompt, empty when there is none.
    pub(crate) fn begin_text(&self) -> String {
        self.shared.token_text(self.shared.model.vocab().bos())
    }

    /// The text of the token that ends an answer, empty when there is none.
    pub(crate) fn end_text(&self) -> String {
        self.shared.token_text(self.shared.model.vocab().eos())
    }

    /// Takes no more requests, lets those at hand finish or cuts them short, and waits until the
    /// model is unloaded. Blocks.
    pub fn shut_down(&self, how: ShutDown) {
        let at_once = how == ShutDown::AtOnce;
        // Fails only when the thread has ended already.
        let _ = self.commands.send(Command::ShutDown { at_once });
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread had died");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A thread that outlived the engine could still be at work while the process ends and
        // llama.cpp's own state is taken down.
        self.shut_down(ShutDown::AtOnce);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("model", &self.shared.info.name)
            .finish_non_exhaustive()
    }
}

/// An answer under way. Dropping it cancels the request: its slot and its part of the cache are
/// free before the next token of any other answer.
#[derive(Debug)]
pub struct Generation {
    outputs: mpsc::Receiver<Output>,
}

impl Generation {
    /// The next step. `None` after the last one; also, without `Done` or `Failed` before it, when
    /// the engine was shut down at once.
    pub async fn next(&mut self) -> Option<Output> {
        self.outputs.recv().await
    }

    /// As [`Generation::next`], for threads that may block.
    pub fn blocking_next(&mut self) -> Option<Output> {
        self.outputs.blocking_recv()
    }
}

impl Shared {
    fn tokenize(&self, prompt: &Prompt) -> Result<Vec<i32>, RequestError> {
        let vocabulary = self.model.vocab();
        let begin = vocabulary.bos();
        let mut tokens: Vec<LlamaToken> = Vec::new();
        match prompt {
            Prompt::Tokens(ids) => return non_empty(ids.clone()),
            Prompt::Text(text) => {
                vocabulary.tokenize_into(text.as_bytes(), &mut tokens, true, true)
            }
            Prompt::Pieces(pieces) => {
                // Templates write the token that begins a prompt themselves, or leave it to us.
                let begin_text = self.token_text(begin);
                let has_begin = !begin_text.is_empty()
                    && pieces
                        .first()
                        .is_some_and(|piece| piece.text.starts_with(&begin_text));
                if vocabulary.should_add_bos() && !has_begin {
                    tokens.push(begin);
                }
                for piece in pieces {
                    let text = piece.text.as_bytes();
                    tokens.extend(vocabulary.tokenize(text, false, !piece.is_literal));
                }
            }
        }
        if tokens.is_empty() && begin.0 >= 0 {
            tokens.push(begin);
        }
        non_empty(tokens.into_iter().map(|token| token.0).collect())
    }

    /// Tokens that an answer to `prompt` may have.
    fn answer_room(&self, prompt: &[i32], max_tokens: Option<u64>) -> Result<usize, RequestError> {
        let limit_tokens = self.settings.context_tokens;
        let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
        let room = limit_tokens.saturating_sub(prompt_tokens);
        let wanted = max_tokens.unwrap_or_else(|| u64::from(room));
        if room == 0 || wanted > u64::from(limit_tokens) {
            let answer_tokens = if room == 0 {
                1
            } else {
                u32::try_from(wanted).unwrap_or(u32::MAX)
            };
            return Err(RequestError::ContextOverflow {
                prompt_tokens,
                answer_tokens,
                limit_tokens,
            });
        }
        Ok(usize::try_from(wanted.min(u64::from(room))).unwrap_or(usize::MAX))
    }

    fn constraints(&self) -> Result<&ConstraintFactory, RequestError> {
        self.constraints
            .get_or_init(|| ConstraintFactory::new(&self.model).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(|error| RequestError::Constraint(error.clone()))
    }

    fn token_text(&self, token: LlamaToken) -> String {
        if !(0..self.model.n_vocab()).contains(&token.0) {
            return String::new();
        }
        let bytes = self.model.vocab().token_to_piece(token, true, None);
        String::from_utf8(bytes).unwrap_or_default()
    }
}

fn non_empty(tokens: Vec<i32>) -> Result<Vec<i32>, RequestError> {
    if tokens.is_empty() {
        return Err(request::invalid("prompt", "must not be empty"));
    }
    Ok(tokens)
}

fn check_memory(info: &ModelInfo, settings: &Resolved) -> Result<(), LoadError> {
    let batch_tokens = settings.slots + settings.prefill_chunk_tokens;
    let estimate = info.memory(
        settings.cache_tokens,
        u32::try_from(batch_tokens).unwrap_or(u32::MAX),
    );
    let needed_bytes = estimate.total_bytes();
    match available_memory_bytes() {
        Some(available_bytes) if available_bytes < needed_bytes => {
            Err(LoadError::NotEnoughMemory {
                needed_bytes,
                available_bytes,
            })
        }
        _ => Ok(()),
    }
}

fn load_model(
    backend: Arc<LlamaBackend>,
    info: ModelInfo,
    settings: Resolved,
    meter: Arc<Meter>,
) -> Result<Shared, LoadError> {
    let params = LlamaModelParams::default().with_n_gpu_layers(settings.gpu_layers);
    let model = LlamaModel::load_from_file(&backend, &info.path, &params).map_err(|_| {
        LoadError::Refused {
            architecture: info.architecture.clone(),
        }
    })?;
    Ok(Shared {
        model,
        backend,
        info,
        settings,
        constraints: OnceLock::new(),
        meter,
    })
}

fn new_context(shared: &Shared) -> Result<llama_cpp_2::context::LlamaContext<'_>, LoadError> {
    let settings = &shared.settings;
    let single = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let batch_tokens = single(settings.slots + settings.prefill_chunk_tokens);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(settings.cache_tokens))
        .with_n_batch(batch_tokens)
        .with_n_ubatch(batch_tokens)
        .with_n_seq_max(single(settings.slots + settings.kept_prefixes))
        .with_kv_unified(true)
        .with_n_threads(settings.threads)
        .with_n_threads_batch(settings.threads);
    shared
        .model
        .new_context(&shared.backend, params)
        .map_err(|_| LoadError::Context {
            context_tokens: settings.cache_tokens,
        })
}
