//! Answers what is asked at the operator's surface: what the commands show, as far as whoever asks
//! may see it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use clap::{Args, Command};
use freehold_config::AuditChoice;
use freehold_ports::{
    Administration, AdministrationError, Audit as _, BoxFuture, Parameters, Person, Question,
};
use freehold_store::audit::AuditLog;
use freehold_store::prompts::{PromptError, PromptReader, PromptSettings};
use freehold_store::{KeySettings, Reader};
use freehold_types::audit::{AdministrativeAct, AuditEvent, AuditName};
use freehold_types::{Actor, Reach, RequestId, TeamName};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::cli::{AuditShowArgs, FlowsArgs, UsageArgs};
use crate::commands::{audit, explain, flows, keys, usage};

/// Records of the audit trail in one answer.
const RECORDS_MAX: usize = 1_000;

/// Somebody wants the configuration to be read again.
pub(crate) struct ReloadWish {
    /// Who.
    pub(crate) actor: AuditName,
    /// Takes the number of deployments, or why the old configuration stays.
    pub(crate) answer: oneshot::Sender<Result<usize, String>>,
}

/// Answers what is asked at the operator's surface.
pub(crate) struct Office {
    /// The ledger.
    pub(crate) reader: Reader,
    /// The keys of the present configuration.
    pub(crate) keys: Arc<ArcSwap<Vec<KeySettings>>>,
    /// Where the audit trail lies.
    pub(crate) audit: AuditChoice,
    /// The trail itself; `None` when there is none.
    pub(crate) trail: Option<Arc<AuditLog>>,
    /// Where text is stored.
    pub(crate) prompts: PromptSettings,
    /// Takes wishes for another configuration.
    pub(crate) reload: mpsc::Sender<ReloadWish>,
}

type Answer = Result<Value, AdministrationError>;

impl Office {
    async fn usage(&self, reach: &Reach, parameters: &Parameters) -> Answer {
        let mut args: UsageArgs = parsed("usage", parameters)?;
        args.only.team = team_within(reach, args.only.team.take())?;
        let query = usage::query(&args, OffsetDateTime::now_utc()).map_err(unclear)?;
        let report = self.reader.usage(&query).await.map_err(unreadable)?;
        value(&report)
    }

    async fn flows(&self, reach: &Reach, parameters: &Parameters) -> Answer {
        let args: FlowsArgs = parsed("flows", parameters)?;
        let team = team_within(reach, args.team.clone())?;
        let found = flows::found(&args, team.as_deref(), &self.reader).await;
        value(&found.map_err(unavailable)?)
    }

    fn keys(&self, reach: &Reach) -> Value {
        let keys = self.keys.load();
        let theirs = keys.iter().filter(|key| reach.covers(key.team.as_ref()));
        theirs.map(keys::described).collect()
    }

    async fn audit(&self, reach: &Reach, parameters: &Parameters) -> Answer {
        whole(reach, "the audit trail")?;
        let mut args: AuditShowArgs = parsed("audit", parameters)?;
        args.last = args.last.min(RECORDS_MAX);
        if self.trail.is_none() {
            let message = "there is no audit trail: `audit.enabled` is false in the configuration";
            return Err(AdministrationError::Unknown(message.to_owned()));
        }
        let settings = self.audit.settings.clone();
        let records = tokio::task::spawn_blocking(move || audit::records(&args, &settings));
        let records = records.await.map_err(|error| unavailable(error.into()))?;
        value(&records.map_err(unclear)?)
    }

    async fn request(&self, reach: &Reach, id: RequestId) -> Answer {
        let outcome = self.reader.outcome(id).await.map_err(unreadable)?;
        // What is beyond their reach is not even known to them.
        let outcome = outcome.filter(|outcome| reach.covers(outcome.team.as_ref()));
        let unknown = || AdministrationError::Unknown(format!("{id} is not in the ledger"));
        Ok(explain::told(&outcome.ok_or_else(unknown)?))
    }

    async fn text(&self, actor: &Actor, reach: &Reach, id: RequestId) -> Answer {
        whole(reach, "stored text")?;
        let Some(trail) = self.trail.clone() else {
            let message = "whoever reads stored text is noted in the audit trail, and \
                           `audit.enabled` is false in the configuration";
            return Err(AdministrationError::Unavailable(message.to_owned()));
        };
        let act = act(AdministrativeAct::PromptShown, &actor.name, &id.to_string());
        let (prompts, runtime) = (self.prompts.clone(), Handle::current());
        // Opening and unpacking it blocks for a while.
        let shown = tokio::task::spawn_blocking(move || {
            let noted = || {
                trail.record(&act)?;
                Ok(trail.flush()?)
            };
            runtime.block_on(shown(prompts, id, noted))
        });
        shown.await.map_err(|error| unavailable(error.into()))?
    }

    async fn reload(&self, actor: &Actor, reach: &Reach) -> Answer {
        whole(reach, "the configuration")?;
        let (answer, answered) = oneshot::channel();
        let wish = ReloadWish {
            actor: AuditName::new(&actor.name),
            answer,
        };
        let stopping = || AdministrationError::Unavailable("the gateway is stopping".to_owned());
        self.reload.send(wish).await.map_err(|_| stopping())?;
        match answered.await.map_err(|_| stopping())? {
            Ok(deployments) => Ok(json!({"reloaded": true, "deployments": deployments})),
            Err(reason) => Err(AdministrationError::Unclear(format!(
                "the configuration was not reloaded, the old one stays: {reason}"
            ))),
        }
    }
}

impl Administration for Office {
    fn answer(&self, actor: Actor, reach: Reach, question: Question) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match question {
                Question::Usage(parameters) => self.usage(&reach, &parameters).await,
                Question::Flows(parameters) => self.flows(&reach, &parameters).await,
                Question::Keys => Ok(self.keys(&reach)),
                Question::Audit(parameters) => self.audit(&reach, &parameters).await,
                Question::Request(id) => self.request(&reach, id).await,
                Question::Text(id) => self.text(&actor, &reach, id).await,
                Question::Reload => self.reload(&actor, &reach).await,
            }
        })
    }

    fn signed_in(&self, person: &Person, is_admitted: bool) {
        tracing::info!(person = %AuditName::new(&person.name), is_admitted, "somebody signed in");
        let Some(trail) = &self.trail else {
            return;
        };
        let what = if is_admitted {
            AdministrativeAct::SignedIn
        } else {
            AdministrativeAct::SignInRefused
        };
        if let Err(error) = trail.record(&act(what, &person.name, "login")) {
            tracing::error!(%error, "a login could not be audited");
        }
    }
}

/// A stored text, once it is noted that somebody has seen it.
async fn shown(
    prompts: PromptSettings,
    id: RequestId,
    noted: impl FnOnce() -> anyhow::Result<()>,
) -> Answer {
    let nothing = || AdministrationError::Unknown(format!("nothing is stored of {id}"));
    let store = |error: PromptError| match error {
        PromptError::Nothing { .. } | PromptError::Erased { .. } => nothing(),
        other => AdministrationError::Unavailable(other.chain()),
    };
    let mut reader = PromptReader::open(prompts).await.map_err(store)?;
    let about = reader.find(id).await.map_err(store)?.ok_or_else(nothing)?;
    noted().map_err(unavailable)?;
    value(&reader.read(about).await.map_err(store)?)
}

fn act(act: AdministrativeAct, actor: &str, object: &str) -> AuditEvent {
    AuditEvent::Administration(freehold_types::audit::Administration {
        act,
        actor: AuditName::new(actor),
        after: None,
        before: None,
        object: AuditName::new(object),
    })
}

/// Reads parameters as the command reads its options, so that both know the same ones.
fn parsed<T: Args>(name: &'static str, parameters: &Parameters) -> Result<T, AdministrationError> {
    let command = Command::new(name)
        .no_binary_name(true)
        .disable_help_flag(true);
    let options = parameters
        .iter()
        .map(|(name, value)| format!("--{name}={value}"));
    let matches = T::augment_args(command).try_get_matches_from(options);
    let read = matches.and_then(|matches| T::from_arg_matches(&matches));
    read.map_err(|error| {
        let told = error.to_string();
        let first = told.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        AdministrationError::Unclear(format!(
            "{first}; parameters are the options of `freehold {name}`, without --json and --csv"
        ))
    })
}

/// The team whose usage is meant: the one that is named, when it is within reach, or the only one.
fn team_within(
    reach: &Reach,
    named: Option<String>,
) -> Result<Option<String>, AdministrationError> {
    if let Some(team) = named {
        if !reach.covers(Some(&TeamName::from(team.as_str()))) {
            let message = format!("team `{}` is not yours", usage::printable(&team));
            return Err(AdministrationError::Forbidden(message));
        }
        return Ok(Some(team));
    }
    match reach {
        Reach::Everything => Ok(None),
        Reach::Teams(teams) if teams.len() == 1 => Ok(Some(teams[0].to_string())),
        Reach::Teams(teams) => {
            let teams: Vec<_> = teams.iter().map(|team| team.as_str()).collect();
            let message = format!("name one of your teams with `team`: {}", teams.join(", "));
            Err(AdministrationError::Unclear(message))
        }
        Reach::Nothing => Err(AdministrationError::Forbidden(
            "no team is yours".to_owned(),
        )),
    }
}

/// Only for those whose right is over the whole gateway.
fn whole(reach: &Reach, what: &str) -> Result<(), AdministrationError> {
    if *reach == Reach::Everything {
        return Ok(());
    }
    Err(AdministrationError::Forbidden(format!(
        "{what} is of the whole gateway, and your role is of some teams"
    )))
}

fn value(answer: &impl serde::Serialize) -> Answer {
    serde_json::to_value(answer).map_err(|error| unavailable(error.into()))
}

fn unclear(error: anyhow::Error) -> AdministrationError {
    AdministrationError::Unclear(format!("{error:#}"))
}

fn unavailable(error: anyhow::Error) -> AdministrationError {
    AdministrationError::Unavailable(format!("{error:#}"))
}

fn unreadable(error: impl Into<anyhow::Error>) -> AdministrationError {
    AdministrationError::Unavailable(format!("the ledger cannot be read: {:#}", error.into()))
}
