//! The process is killed with SIGKILL while it stores and while it erases.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use freehold_ports::Prompts;
use freehold_store::prompts::{
    EraseScope, PromptFilter, PromptReader, PromptStore, erase, verify_receipts,
};

use crate::common::{Draft, PATIENCE, asked, bytes_of, holds, settings};

const DIR: &str = "FREEHOLD_PROMPTS_TEST_DIR";

/// Not a test of its own: what the other runs as a process to kill. Stores for ever, erases a person
/// now and then, and prints how many records it was told are stored.
#[test]
fn storing_process() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let settings = settings(Path::new(&dir));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let kept = PromptStore::start(settings.clone()).unwrap();
        for round in 0_u64.. {
            for _ in 0..8 {
                kept.keep(Draft::new("acme", "canary-text").by("ann").sample());
                kept.keep(Draft::new("acme", "canary-text").by("bob").sample());
            }
            kept.flush(PATIENCE).await.unwrap();
            let line = format!("stored {};\n", kept.status().stored);
            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            if round % 4 == 3 {
                let scope = EraseScope::Subject {
                    tenant: None,
                    subject: "ann".to_owned(),
                };
                erase(&settings, &scope).await.unwrap();
            }
        }
    });
}

#[tokio::test]
async fn a_kill_loses_what_waits_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let mut before = 0;
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::storing_process", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines
            .map(Result::unwrap)
            .filter(|line| line.starts_with("stored "));
        // Each time at another moment of writing and erasing.
        let last = told.take(2 + 3 * round).last();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(last.is_some());

        let mut reader = PromptReader::open(settings.clone()).await.unwrap();
        let listed = reader.list(&PromptFilter::default()).await.unwrap();
        for about in listed {
            match reader.read(about).await {
                Ok(shown) => assert_eq!(asked(&shown), "canary-text"),
                // The kill came between an erasure's keys and its rows.
                Err(error) => assert!(error.to_string().contains("was erased"), "{error}"),
            }
        }
        let bob = PromptFilter {
            subject: Some("bob".to_owned()),
            ..PromptFilter::default()
        };
        let stored = reader.list(&bob).await.unwrap().len();
        assert!(
            stored > before,
            "what was stored stays: {stored} after {before}"
        );
        before = stored;
        verify_receipts(&settings.receipts).unwrap();
        assert!(
            !holds(&bytes_of(dir.path()), b"canary"),
            "no text on the disk"
        );
    }
}
