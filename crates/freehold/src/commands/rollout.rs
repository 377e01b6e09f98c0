//! `freehold rollout`: plans, starts, shows and steers rollouts. It writes into the ledger's database, and the gateways
//! there carry it out within a second.

mod plan;
mod status;

use std::io::Write;

use anyhow::{Context, Result, bail};
use freehold_loops::{By, Record, Rollout};
use freehold_planner::Proof;
use freehold_ports::{Clock, SystemClock};
use freehold_proof::rollout::{Stage, Step, next};
use freehold_store::{Rollouts, StartError, StoreError, StoreSettings};
use serde_json::json;

use crate::cli::{OneArgs, RolloutArgs, RolloutCommand, StartArgs};

pub(crate) async fn run(args: RolloutArgs, settings: &StoreSettings) -> Result<()> {
    let store = Rollouts::new(settings.database.clone());
    let told = match args.command {
        RolloutCommand::Plan(args) => return plan::write(&args),
        RolloutCommand::Start(args) => start(&args, &store).await,
        RolloutCommand::Status(args) => status::show(&args, &store).await,
        RolloutCommand::History(args) => status::history(&args, &store).await,
        RolloutCommand::Accept(args) => steer(&args, &store, accept).await,
        RolloutCommand::Pause(args) => steer(&args, &store, pause).await,
        RolloutCommand::Resume(args) => steer(&args, &store, resume).await,
        RolloutCommand::Abort(args) => steer(&args, &store, abort).await,
        RolloutCommand::Finish(args) => steer(&args, &store, finish).await,
    };
    told.map_err(|error| {
        if error.is::<StoreError>() {
            return error.context(format!("rollouts are kept in {}", settings.database));
        }
        error
    })
}

async fn start(args: &StartArgs, store: &Rollouts) -> Result<()> {
    let order = plan::read(&args.plan)?;
    let now = SystemClock::new().unix_ms();
    let id = Rollout::new_id();
    let flow = order.flow.clone();
    let rollout = Rollout::new(order, now);
    match store.start(&id, &flow, &rollout.body()).await {
        Ok(()) => {}
        Err(StartError::Busy) => bail!(
            "the flow `{flow}` moves already: `freehold rollout status {flow}` shows it, `freehold rollout abort \
             {flow}` ends it"
        ),
        Err(StartError::Store(error)) => return Err(error.into()),
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({"id": id, "flow": flow}))?;
    } else {
        writeln!(
            out,
            "{id} has started in shadow: clients see nothing of it. `freehold rollout status` shows how far it is."
        )?;
    }
    Ok(())
}

/// What an operator does to a rollout; says what was done.
type Act = fn(&mut Rollout, &[(u64, String, String)], &Record, u64) -> Result<String>;

async fn steer(args: &OneArgs, store: &Rollouts, act: Act) -> Result<()> {
    // The gateway may change it in the same moment: then it is read again.
    for _ in 0..5 {
        let record = one(store, &args.rollout).await?;
        if !record.active {
            let stage = record.rollout.state.stage.told(&record.rollout.order);
            bail!("the rollout {} is over: {stage}", record.id);
        }
        let evidence = store.evidence(&record.id).await?;
        let mut rollout = record.rollout.clone();
        let now = SystemClock::new().unix_ms();
        let done = act(&mut rollout, &evidence, &record, now)?;
        if let (Some(why), Some(last)) = (&args.why, rollout.history.last_mut()) {
            last.why = format!("{}: {why}", last.why);
        }
        let active = !rollout.state.stage.is_over();
        let body = rollout.body();
        if store
            .change(&record.id, record.version, active, &body)
            .await?
        {
            writeln!(std::io::stdout().lock(), "{}: {done}", record.id)?;
            return Ok(());
        }
    }
    bail!("somebody else changes this rollout all the time: try again")
}

fn accept(
    rollout: &mut Rollout,
    evidence: &[(u64, String, String)],
    record: &Record,
    now: u64,
) -> Result<String> {
    let (seen, _) = record.evidence(evidence);
    match next(&rollout.order, &rollout.state, &seen, now) {
        Step::Propose { to, .. } => {
            rollout.state.accepted = true;
            let done = format!("accepted: it goes on to {}", to.told(&rollout.order));
            rollout.note(By::Operator, "accepted the next step".to_owned(), now);
            Ok(done)
        }
        Step::Wait { missing } if missing.is_empty() => bail!("there is no further step"),
        Step::Wait { missing } => bail!(
            "it proposes nothing yet; it waits for {}",
            missing.join(", ")
        ),
        Step::RollBack { why } => bail!("it is being called back: {why}"),
        Step::Advance { .. } | Step::Renew { .. } => bail!("it takes its next step by itself"),
    }
}

fn pause(
    rollout: &mut Rollout,
    _: &[(u64, String, String)],
    _: &Record,
    now: u64,
) -> Result<String> {
    if rollout.state.paused {
        bail!("it is paused already");
    }
    rollout.state.paused = true;
    rollout.note(By::Operator, "paused".to_owned(), now);
    let stage = rollout.state.stage.told(&rollout.order);
    Ok(format!("paused at {stage}; guards still call back"))
}

fn resume(
    rollout: &mut Rollout,
    _: &[(u64, String, String)],
    _: &Record,
    now: u64,
) -> Result<String> {
    if !rollout.state.paused {
        bail!("it is not paused");
    }
    rollout.state.paused = false;
    rollout.note(By::Operator, "resumed".to_owned(), now);
    Ok("it goes on".to_owned())
}

fn abort(
    rollout: &mut Rollout,
    _: &[(u64, String, String)],
    _: &Record,
    now: u64,
) -> Result<String> {
    rollout.come_to(Stage::Aborted, By::Operator, "aborted".to_owned(), now);
    Ok("aborted: everything goes back to where it was".to_owned())
}

fn finish(
    rollout: &mut Rollout,
    _: &[(u64, String, String)],
    _: &Record,
    now: u64,
) -> Result<String> {
    let stage = rollout.state.stage;
    if stage != Stage::Promoted {
        bail!(
            "it is not promoted but in {}: `freehold rollout abort` ends it",
            stage.told(&rollout.order)
        );
    }
    rollout.come_to(Stage::Finished, By::Operator, "finished".to_owned(), now);
    let order = &rollout.order;
    Ok(format!(
        "finished: nothing is moved or watched any more. Requests that name `{}` go where the configuration leads them \
         now; where that is not `{}` yet, let a route of that name lead there",
        order.incumbent, order.candidate.model
    ))
}

/// What rollouts have proven or refuted, for the advisor: of each flow and model the latest. Models are named as the
/// advisor names them, without their backend.
pub(crate) async fn proofs(settings: &StoreSettings) -> Result<Vec<Proof>> {
    let store = Rollouts::new(settings.database.clone());
    let mut proofs: Vec<Proof> = Vec::new();
    for record in all(&store, false).await? {
        let Rollout { order, history, .. } = &record.rollout;
        let found = history.iter().rev().find_map(|event| match event.stage {
            Stage::RolledBack => Some((false, event)),
            Stage::Canary(0) if event.by == By::Loop => Some((true, event)),
            _ => None,
        });
        let Some((is_good_enough, event)) = found else {
            continue;
        };
        let (_, model) = order
            .candidate
            .model
            .rsplit_once('/')
            .unwrap_or(("", &order.candidate.model));
        let flow = Some(order.flow.clone());
        if proofs
            .iter()
            .any(|other| other.flow == flow && other.model == model)
        {
            continue;
        }
        proofs.push(Proof {
            flow,
            model: model.to_owned(),
            is_good_enough,
            evidence: format!("rollout {}: {}", record.id, event.why),
        });
    }
    Ok(proofs)
}

/// All rollouts, the latest first.
async fn all(store: &Rollouts, only_active: bool) -> Result<Vec<Record>> {
    let stored = store.list(only_active).await?;
    stored
        .into_iter()
        .map(|row| Ok(Record::try_from(row)?))
        .collect()
}

/// The rollout of this id, or the only one whose id begins so, or the latest of this flow.
async fn one(store: &Rollouts, name: &str) -> Result<Record> {
    let records = all(store, false).await?;
    let mut begins: Vec<_> = records
        .iter()
        .filter(|record| record.id.starts_with(name))
        .collect();
    if let [only] = begins[..] {
        return Ok(only.clone());
    }
    if begins.len() > 1 {
        begins.truncate(3);
        let ids: Vec<_> = begins.iter().map(|record| record.id.as_str()).collect();
        bail!("several rollouts begin with `{name}`: {}", ids.join(", "));
    }
    let of_flow = records
        .into_iter()
        .find(|record| record.rollout.order.flow == name);
    of_flow.with_context(|| {
        format!("there is no rollout `{name}`, and none of a flow of that name: `freehold rollout status --all` lists them")
    })
}
