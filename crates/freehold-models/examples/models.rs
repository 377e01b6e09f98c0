//! The model store from a terminal: `list`, `pull <reference>`, `verify [name]`, `remove <name>`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example that talks to a terminal"
)]

use std::sync::Arc;

use freehold_models::{ModelError, ModelName, ProgressEvent, PullOptions, Store};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words).await {
        Ok(json) => {
            println!("{json}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}\n{}", error.advice());
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(words: &[&str]) -> Result<String, ModelError> {
    let store = Store::from_environment()?;
    let progress = Arc::new(|event: &ProgressEvent| match event {
        // One line per chunk would hide the rest.
        ProgressEvent::Advanced { .. }
        | ProgressEvent::Unpacking { .. }
        | ProgressEvent::Verifying { .. } => {}
        other => eprintln!("{other:?}"),
    });
    match words {
        ["list"] => json(&store.list()?),
        ["pull", reference, flags @ ..] => {
            let reference = reference.parse()?;
            if let Some(licence) = store.describe(&reference)?.licence {
                eprintln!("licence: {licence}");
            }
            let options = PullOptions {
                accept_licence: flags.contains(&"--accept-licence"),
                update: flags.contains(&"--update"),
                ..PullOptions::default()
            };
            json(&store.pull(&reference, options, progress).await?)
        }
        ["verify"] => json(&store.verify(None, progress).await?),
        ["verify", name] => json(&store.verify(Some(&name.parse::<ModelName>()?), progress).await?),
        ["open", name] => json(&store.open_verified(&name.parse()?, progress).await?),
        ["remove", name] => json(&store.remove(&name.parse()?).await?),
        _ => Ok("usage: models list | pull <reference> [--accept-licence] [--update] | verify [name] | open <name> | remove <name>".to_owned()),
    }
}

fn json(report: &impl serde::Serialize) -> Result<String, ModelError> {
    serde_json::to_string_pretty(report).map_err(|error| ModelError::BadResponse {
        what: "the report".to_owned(),
        reason: error.to_string(),
    })
}
