//! `freehold policy`: whether the policy does what was meant, and why.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use freehold_config::Settings;
use freehold_guard::{Entity, Finding, Scan};
use freehold_policy::cases::{CaseFile, Floor, Stage, run_cases};
use freehold_policy::{Claim, Facts, Labels};
use freehold_types::Deployment;

use crate::cli::{PolicyArgs, PolicyCommand, PolicyExplainArgs};

/// Runs one of the policy's commands with the policy of the configuration. False when a case did not
/// pass.
pub(crate) fn run(args: PolicyArgs, settings: &Settings) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    let deployments = deployments(settings);
    match args.command {
        PolicyCommand::Test { file, json } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let cases: CaseFile =
                serde_saphyr::from_str(&text).with_context(|| format!("in {}", file.display()))?;
            let stage = Stage {
                policy: &settings.policy,
                default_sensitivity: settings.default_sensitivity,
                deployments: &deployments,
                scan_text: &|text| scan(settings, text),
                label_of: &|entity: &Entity| settings.guard.label(entity),
                of_key: &|name| floor_of_key(settings, name),
                of_route: &|name| floor_of_route(settings, name),
            };
            let report = run_cases(&stage, &cases.cases);
            if json {
                writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            } else {
                writeln!(out, "{report}")?;
            }
            Ok(report.passed())
        }
        PolicyCommand::Explain(args) => {
            explain(&args, settings, &deployments, &mut out)?;
            Ok(true)
        }
    }
}

fn explain(
    args: &PolicyExplainArgs,
    settings: &Settings,
    deployments: &[Arc<Deployment>],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let text = match (&args.text, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?,
        (None, None) => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text)?;
            text
        }
    };
    let mut metadata = BTreeMap::new();
    for label in &args.label {
        let Some((name, value)) = label.split_once('=') else {
            bail!("--label wants NAME=VALUE, and got {label:?}");
        };
        metadata.insert(name.to_owned(), value.to_owned());
    }
    let scan = scan(settings, &text);
    let key = args.key.as_deref();
    let of_key = key
        .map(|name| floor_of_key(settings, name))
        .unwrap_or_default();
    let of_route = floor_of_route(settings, &args.route);
    let mut keys = settings.keys.iter();
    let known = keys.find(|settings| Some(settings.name.as_str()) == key);
    let tenant_of_key = known.and_then(|settings| settings.tenant.as_deref());
    let labels = Labels {
        default: settings.default_sensitivity,
        route: of_route.sensitivity,
        key: of_key.sensitivity,
        claim: args.sensitivity.map_or(Claim::None, Claim::Label),
        scan: &scan,
    };
    let facts = Facts {
        tenant: args.tenant.as_deref().or(tenant_of_key),
        key,
        flow: args.flow.as_deref(),
        route: Some(&args.route),
        region: known.and_then(|settings| settings.region.as_deref()),
        labels: Some(&metadata),
        previous: None,
        before: &[],
    };
    let explanation = settings.policy.explain(
        &labels,
        &facts,
        &[of_route.constraint, of_key.constraint],
        deployments.iter().map(AsRef::as_ref),
    );
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&explanation)?)?;
    } else {
        writeln!(out, "{explanation}")?;
    }
    Ok(())
}

/// What the guard sees in a text, as if it were a message.
fn scan(settings: &Settings, text: &str) -> Scan {
    let seen = settings.guard.scan_text(text);
    Scan {
        findings: seen
            .hits
            .into_iter()
            .map(|hit| Finding {
                sensitivity: settings.guard.label(&hit.entity),
                entity: hit.entity,
                path: "text".to_owned(),
                range: hit.range,
                confidence: hit.confidence,
            })
            .collect(),
        incomplete: seen.incomplete.map(|why| why.to_string()),
    }
}

/// Every deployment that the configuration names; what servers list is asked only by the gateway.
fn deployments(settings: &Settings) -> Vec<Arc<Deployment>> {
    let hosted = settings.hosted.iter().flat_map(|entry| &entry.deployments);
    let embedded = settings.embedded.iter().map(|entry| &entry.deployment);
    hosted.chain(embedded).cloned().map(Arc::new).collect()
}

fn floor_of_key(settings: &Settings, name: &str) -> Floor {
    let key = settings.keys.iter().find(|key| key.name.as_str() == name);
    key.map(|key| Floor {
        sensitivity: key.sensitivity,
        constraint: key.constraint.clone(),
    })
    .unwrap_or_default()
}

fn floor_of_route(settings: &Settings, name: &str) -> Floor {
    let route = settings.routes.iter().find(|route| route.name == name);
    route
        .map(|route| Floor {
            sensitivity: route.settings.sensitivity,
            constraint: route.settings.constraint.clone(),
        })
        .unwrap_or_default()
}
