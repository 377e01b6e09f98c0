//! Erasing: nothing can be read afterwards, nothing of it lies on the disk, and nothing of what was
//! under way comes after it.

use std::path::Path;

use freehold_ports::Prompts;
use freehold_store::prompts::{
    Dropped, EraseScope, PromptError, PromptFilter, PromptReader, PromptSettings, PromptStore,
    ReceiptScope, erase, verify_receipts,
};

use crate::common::{Draft, PATIENCE, asked, bytes_of, holds, raw, settings, show, store};

/// Every key as it stands in the table.
async fn wrapped(settings: &PromptSettings) -> Vec<Vec<u8>> {
    let mut connection = raw(settings).await;
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT wrapped FROM keys")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    rows.into_iter().map(|(wrapped,)| wrapped).collect()
}

async fn bodies(settings: &PromptSettings) -> Vec<Vec<u8>> {
    let mut connection = raw(settings).await;
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT body FROM prompts")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    rows.into_iter().map(|(body,)| body).collect()
}

fn subject(subject: &str) -> EraseScope {
    EraseScope::Subject {
        tenant: None,
        subject: subject.to_owned(),
    }
}

fn conversation(tenant: &str, conversation: &str) -> EraseScope {
    EraseScope::Conversation {
        tenant: Some(tenant.to_owned()),
        conversation: conversation.to_owned(),
    }
}

/// Which of these keys stand somewhere in the raw files.
fn on_disk(dir: &Path, keys: &[Vec<u8>]) -> usize {
    let bytes = bytes_of(dir);
    keys.iter().filter(|key| holds(&bytes, key)).count()
}

#[tokio::test]
async fn an_erased_tenant_is_gone_and_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let gone: Vec<_> = (0..40)
        .map(|index| {
            Draft::new("acme", &format!("text {index}"))
                .by("ann")
                .within("c")
        })
        .collect();
    store(&settings, &gone).await;
    let (keys, texts) = (wrapped(&settings).await, bodies(&settings).await);
    assert_eq!(
        on_disk(dir.path(), &keys),
        keys.len(),
        "the search finds them"
    );
    let stays = Draft::new("umbrella", "theirs").by("ann");
    store(&settings, std::slice::from_ref(&stays)).await;

    let receipt = erase(&settings, &EraseScope::Tenant("acme".to_owned()))
        .await
        .unwrap();
    assert_eq!(receipt.records, 40);
    assert_eq!(receipt.keys.len(), keys.len());
    assert_eq!(on_disk(dir.path(), &keys), 0);
    assert_eq!(
        on_disk(dir.path(), &texts),
        0,
        "bodies are overwritten, too"
    );
    for draft in &gone {
        assert!(show(&settings, draft).await.unwrap().is_none());
    }
    assert_eq!(
        asked(&show(&settings, &stays).await.unwrap().unwrap()),
        "theirs"
    );
    // Erasing needs no master key where the tenant's name says all.
    std::fs::remove_file(dir.path().join("prompts.key")).unwrap();
    let again = erase(&settings, &EraseScope::Tenant("acme".to_owned())).await;
    let again = again.unwrap();
    assert_eq!((again.records, again.keys.len()), (0, 0));
}

#[tokio::test]
async fn an_erased_subject_is_gone_from_every_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let gone = [
        Draft::new("acme", "one").by("ann").within("c"),
        Draft::new("umbrella", "two").by("ann"),
    ];
    let stays = [
        Draft::new("acme", "three").by("bob").within("c"),
        Draft::new("acme", "four"),
    ];
    store(&settings, &[&gone[..], &stays[..]].concat()).await;
    let receipt = erase(&settings, &subject("ann")).await.unwrap();
    assert_eq!((receipt.records, receipt.keys.len()), (2, 2));
    for draft in &gone {
        assert!(show(&settings, draft).await.unwrap().is_none());
    }
    for draft in &stays {
        assert_eq!(
            asked(&show(&settings, draft).await.unwrap().unwrap()),
            draft.text
        );
    }
    // The receipt tells nobody who it was.
    assert!(!holds(&bytes_of(dir.path()), b"ann"));
    let ReceiptScope::Subject { hashes, .. } = &receipt.scope else {
        panic!("{receipt:?}");
    };
    assert_eq!(hashes.len(), 2);
}

#[tokio::test]
async fn an_erased_conversation_is_gone_of_its_tenant_only() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let drafts = [
        Draft::new("acme", "one").by("ann").within("c"),
        Draft::new("acme", "two").by("ann").within("d"),
        Draft::new("umbrella", "three").within("c"),
    ];
    store(&settings, &drafts).await;
    let receipt = erase(&settings, &conversation("acme", "c")).await.unwrap();
    assert_eq!(receipt.records, 1);
    let mut left = Vec::new();
    for draft in &drafts {
        left.push(show(&settings, draft).await.unwrap().is_some());
    }
    assert_eq!(left, [false, true, true]);
}

#[tokio::test]
async fn nothing_that_was_under_way_is_stored_after_an_erasure() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let kept = PromptStore::start(settings.clone()).unwrap();
    let first = Draft::new("acme", "first").by("ann");
    kept.keep(first.sample());
    kept.flush(PATIENCE).await.unwrap();
    // These began before: the gateway has their keys in memory.
    let under_way = [
        Draft::new("acme", "of the same person").by("ann"),
        Draft::new("acme", "of another").by("bob"),
    ];
    erase(&settings, &subject("ann")).await.unwrap();
    for draft in &under_way {
        kept.keep(draft.sample());
    }
    kept.flush(PATIENCE).await.unwrap();
    let status = kept.status();
    assert_eq!(status.stored, 1, "{status:?}");
    assert_eq!(status.dropped.get(&Dropped::Erased), Some(&2), "{status:?}");
    // What began after the erasure was noticed is stored, under a new key.
    let later = Draft::new("acme", "later").by("ann");
    kept.keep(later.sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 2);
    assert_eq!(
        asked(&show(&settings, &later).await.unwrap().unwrap()),
        "later"
    );
    assert!(show(&settings, &first).await.unwrap().is_none());
}

#[tokio::test]
async fn an_erasure_before_the_first_sample_counts_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let kept = PromptStore::start(settings.clone()).unwrap();
    let under_way = Draft::new("acme", "hello").by("ann");
    erase(&settings, &subject("ann")).await.unwrap();
    kept.keep(under_way.sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 0, "{:?}", kept.status());
}

#[tokio::test]
async fn an_erasure_while_a_gateway_writes_leaves_nothing_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let kept = PromptStore::start(settings.clone()).unwrap();
    for index in 0..20 {
        kept.keep(
            Draft::new("acme", &format!("text {index}"))
                .by("ann")
                .sample(),
        );
    }
    kept.flush(PATIENCE).await.unwrap();
    let keys = wrapped(&settings).await;
    let scope = EraseScope::Tenant("acme".to_owned());
    let erasing = erase(&settings, &scope);
    let writing = async {
        for index in 0..20 {
            kept.keep(Draft::new("umbrella", &format!("text {index}")).sample());
            tokio::task::yield_now().await;
        }
        kept.flush(PATIENCE).await.unwrap();
    };
    let (receipt, ()) = tokio::join!(erasing, writing);
    assert_eq!(receipt.unwrap().records, 20);
    // The gateway still has the database open.
    assert_eq!(on_disk(dir.path(), &keys), 0);
    let mut reader = PromptReader::open(settings).await.unwrap();
    let listed = reader.list(&PromptFilter::default()).await.unwrap();
    assert!(
        listed.iter().all(|one| one.tenant == "umbrella"),
        "{listed:?}"
    );
}

#[tokio::test]
async fn a_receipt_counts_what_the_gateway_deleted_first() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let drafts = [
        Draft::new("acme", "one").by("ann"),
        Draft::new("acme", "two").by("bob"),
        Draft::new("acme", "three").by("bob"),
    ];
    store(&settings, &drafts).await;
    // In the place of a gateway that looks for rows without keys just as these have gone.
    let sweep = "CREATE TRIGGER sweep AFTER UPDATE ON erasures BEGIN DELETE FROM prompts WHERE \
                 subject_key NOT IN (SELECT id FROM keys); END";
    let mut connection = raw(&settings).await;
    sqlx::query(sweep).execute(&mut connection).await.unwrap();
    let receipt = erase(&settings, &subject("bob")).await.unwrap();
    assert_eq!(receipt.records, 2);
    let receipt = erase(&settings, &EraseScope::Tenant("acme".to_owned())).await;
    assert_eq!(receipt.unwrap().records, 1);
    assert_eq!(bodies(&settings).await.len(), 0);
}

#[tokio::test]
async fn an_erasure_that_was_killed_on_its_way_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let drafts = [
        Draft::new("acme", "one").by("ann"),
        Draft::new("acme", "two").by("bob"),
    ];
    store(&settings, &drafts).await;
    // The keys went, and then the process.
    let mut connection = raw(&settings).await;
    let mut reader = PromptReader::open(settings.clone()).await.unwrap();
    let listed = reader.list(&PromptFilter::default()).await.unwrap();
    let ann = listed.iter().find(|one| one.request_id == drafts[0].id);
    let hash = hex::decode(ann.unwrap().subject.as_ref().unwrap()).unwrap();
    sqlx::query("DELETE FROM keys WHERE name = ?")
        .bind(hash)
        .execute(&mut connection)
        .await
        .unwrap();
    let error = show(&settings, &drafts[0]).await.unwrap_err();
    assert!(matches!(error, PromptError::Erased { .. }), "{error}");
    drop(reader);
    erase(&settings, &subject("ann")).await.unwrap();
    assert_eq!(bodies(&settings).await.len(), 1);
    assert!(show(&settings, &drafts[1]).await.unwrap().is_some());
}

#[tokio::test]
async fn subjects_cannot_be_found_without_the_master_key() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    store(&settings, &[Draft::new("acme", "one").by("ann")]).await;
    std::fs::remove_file(dir.path().join("prompts.key")).unwrap();
    assert!(erase(&settings, &subject("ann")).await.is_err());
    assert_eq!(bodies(&settings).await.len(), 1, "nothing was erased half");
    assert_eq!(verify_receipts(&settings.receipts).unwrap().len(), 0);
}

#[tokio::test]
async fn receipts_are_a_chain() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    store(&settings, &[Draft::new("acme", "one").by("ann")]).await;
    let mut receipts = vec![erase(&settings, &subject("ann")).await.unwrap()];
    for tenant in ["acme", "umbrella"] {
        let scope = EraseScope::Tenant(tenant.to_owned());
        receipts.push(erase(&settings, &scope).await.unwrap());
    }
    assert_eq!(verify_receipts(&settings.receipts).unwrap(), receipts);
    assert_eq!(receipts[1].previous, receipts[0].hash);

    let text = std::fs::read_to_string(&settings.receipts).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let changed = text.replacen("\"records\":1", "\"records\":0", 1);
    assert_ne!(changed, text);
    let removed = format!("{}\n{}\n", lines[0], lines[2]);
    let moved = format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]);
    for forged in [changed, removed, moved] {
        std::fs::write(&settings.receipts, forged).unwrap();
        let error = verify_receipts(&settings.receipts).unwrap_err();
        assert!(matches!(error, PromptError::Receipts { .. }), "{error}");
        // And nothing is chained to it.
        let scope = EraseScope::Tenant("acme".to_owned());
        assert!(erase(&settings, &scope).await.is_err());
    }
    // Half a line is of a crash, not of a forger.
    std::fs::write(&settings.receipts, format!("{text}{}", &lines[0][..40])).unwrap();
    let scope = EraseScope::Tenant("acme".to_owned());
    let next = erase(&settings, &scope).await.unwrap();
    assert_eq!(next.previous, receipts[2].hash);
}
