//! `freehold erase`: stored prompts of a tenant, an end user or a conversation, for good.

use std::io::Write;

use freehold_config::Settings;
use freehold_store::prompts::{EraseScope, Receipt, ReceiptScope, erase, verify_receipts};
use freehold_types::audit::{Administration, AdministrativeAct};

use super::prompts::{act, moment, told};
use crate::audit_door::Recorder;
use crate::cli::EraseArgs;

/// Erases and prints the receipt, or prints the receipts there are.
pub(crate) async fn run(args: EraseArgs, settings: Settings) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let Some(scope) = scope(&args) else {
        let receipts = verify_receipts(&settings.prompts.receipts).map_err(told)?;
        return print_all(&receipts, args.json, &mut out);
    };
    // Before anything is erased: an erasure that nobody can prove is not begun.
    let recorder = Recorder::open(&settings.audit)?;
    let receipt = erase(&settings.prompts, &scope).await.map_err(told)?;
    recorder.record(Administration {
        after: receipt.hash.parse().ok(),
        ..act(AdministrativeAct::PromptsErased, &object(&receipt))
    })?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&receipt)?)?;
    } else {
        print(&receipt, &mut out)?;
        let receipts = settings.prompts.receipts.display();
        writeln!(out, "receipt      {} in {receipts}", receipt.hash)?;
    }
    Ok(())
}

/// `None` when receipts are asked for.
fn scope(args: &EraseArgs) -> Option<EraseScope> {
    let tenant = args.tenant.clone();
    match (&args.subject, &args.conversation) {
        (Some(subject), _) => Some(EraseScope::Subject {
            tenant,
            subject: subject.clone(),
        }),
        (None, Some(conversation)) => Some(EraseScope::Conversation {
            tenant,
            conversation: conversation.clone(),
        }),
        (None, None) => tenant.map(EraseScope::Tenant),
    }
}

/// What the audit trail is told: no end user and no conversation, only a hash of theirs.
fn object(receipt: &Receipt) -> String {
    let hashed = |kind: &str, hashes: &[String]| {
        let hash = hashes.first().map_or("nobody", String::as_str);
        format!("{kind}/{hash}")
    };
    match &receipt.scope {
        ReceiptScope::Tenant { tenant } => format!("tenant/{tenant}"),
        ReceiptScope::Subject { hashes, .. } => hashed("subject", hashes),
        ReceiptScope::Conversation { hashes, .. } => hashed("conversation", hashes),
    }
}

fn print(receipt: &Receipt, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "erased       {}", object(receipt))?;
    writeln!(out, "time         {}", moment(receipt.time_unix_ms))?;
    writeln!(out, "records      {} deleted", receipt.records)?;
    let files = "the database's files were searched, and hold none of them";
    writeln!(out, "keys         {} shredded; {files}", receipt.keys.len())?;
    for key in receipt.keys.iter().take(10) {
        writeln!(out, "             {key}")?;
    }
    if receipt.keys.len() > 10 {
        writeln!(out, "             ...; --json prints all")?;
    }
    Ok(())
}

fn print_all(receipts: &[Receipt], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(receipts)?)?;
        return Ok(());
    }
    for receipt in receipts {
        print(receipt, out)?;
        writeln!(out, "receipt      {}\n", receipt.hash)?;
    }
    let count = receipts.len();
    writeln!(out, "{count} receipts; the chain is unbroken.")?;
    Ok(())
}
