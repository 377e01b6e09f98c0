//! Master keys: the wrong one, the next one, one in the environment and one behind a program; and
//! tenants, whose keys open nothing of each other's.

use std::path::Path;

use freehold_ports::Prompts;
use freehold_store::prompts::{
    MasterKeySource, PromptError, PromptFilter, PromptReader, PromptSettings, PromptStore, rotate,
};
use secrecy::SecretString;

use crate::common::{Draft, PATIENCE, asked, bytes_of, holds, raw, settings, show, store};

fn value(byte: &str) -> MasterKeySource {
    variable(&byte.repeat(32))
}

fn variable(value: &str) -> MasterKeySource {
    MasterKeySource::Variable {
        name: "KEY".to_owned(),
        value: SecretString::from(value.to_owned()),
    }
}

fn with_key(dir: &Path, key: MasterKeySource) -> PromptSettings {
    PromptSettings {
        master_key: key,
        ..settings(dir)
    }
}

#[tokio::test]
async fn another_master_key_opens_nothing_and_stores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let draft = Draft::new("acme", "hello");
    store(
        &with_key(dir.path(), value("a1")),
        std::slice::from_ref(&draft),
    )
    .await;
    let wrong = with_key(dir.path(), value("b2"));
    let error = show(&wrong, &draft).await.unwrap_err();
    assert!(
        matches!(error, PromptError::OtherMasterKey { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("previous_master_keys"),
        "{error}"
    );
    // Who may not read may still see what there is.
    let mut reader = PromptReader::open(wrong.clone()).await.unwrap();
    assert_eq!(
        reader.list(&PromptFilter::default()).await.unwrap().len(),
        1
    );
    // And the gateway drops what it cannot encrypt, and says why.
    let kept = PromptStore::start(wrong).unwrap();
    kept.keep(Draft::new("acme", "more").sample());
    kept.flush(PATIENCE).await.unwrap();
    let status = kept.status();
    assert_eq!(status.stored, 0);
    assert_eq!(status.dropped.values().sum::<u64>(), 1, "{status:?}");
    assert!(status.trouble.unwrap().contains("master key"));
}

#[tokio::test]
async fn a_key_file_is_made_once_and_never_where_keys_are_wrapped_already() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello");
    store(&settings, std::slice::from_ref(&draft)).await;
    let file = dir.path().join("prompts.key");
    let key = std::fs::read_to_string(&file).unwrap();
    store(&settings, &[Draft::new("acme", "again")]).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    // Without it, nothing is made in its place that would hide the loss.
    std::fs::remove_file(&file).unwrap();
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(Draft::new("acme", "lost").sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 0);
    assert!(!file.exists());
    assert!(show(&settings, &draft).await.is_err());
    std::fs::write(&file, key).unwrap();
    assert_eq!(
        asked(&show(&settings, &draft).await.unwrap().unwrap()),
        "hello"
    );
}

#[tokio::test]
async fn a_key_file_that_the_operator_names_is_never_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mounted/secret");
    let settings = with_key(
        &dir.path().join("data"),
        MasterKeySource::File(file.clone()),
    );
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(Draft::new("acme", "hello").sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 0, "{:?}", kept.status());
    assert!(!file.exists());
    std::fs::create_dir(dir.path().join("mounted")).unwrap();
    std::fs::write(&file, "a1".repeat(32)).unwrap();
    kept.keep(Draft::new("acme", "hello").sample());
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(kept.status().stored, 1, "{:?}", kept.status());
}

#[tokio::test]
async fn a_new_master_key_wraps_the_keys_anew_and_touches_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let old = with_key(dir.path(), value("a1"));
    let drafts = [
        Draft::new("acme", "hello").by("ann"),
        Draft::new("umbrella", "hi"),
    ];
    store(&old, &drafts).await;
    let bodies = async || -> Vec<(Vec<u8>,)> {
        let mut connection = raw(&old).await;
        let bodies = sqlx::query_as("SELECT body FROM prompts ORDER BY sequence");
        bodies.fetch_all(&mut connection).await.unwrap()
    };
    let wrapped = async || -> Vec<(Vec<u8>,)> {
        let mut connection = raw(&old).await;
        let wrapped = sqlx::query_as("SELECT wrapped FROM keys WHERE kind = 'tenant'");
        wrapped.fetch_all(&mut connection).await.unwrap()
    };
    let (bodies_before, wrapped_before) = (bodies().await, wrapped().await);

    let alone = with_key(dir.path(), value("b2"));
    assert!(matches!(
        rotate(&alone).await,
        Err(PromptError::OtherMasterKey { .. })
    ));
    let both = PromptSettings {
        previous_master_keys: vec![value("a1")],
        ..alone.clone()
    };
    // Before anything is wrapped anew, both are read.
    assert!(show(&both, &drafts[0]).await.unwrap().is_some());
    let rotated = rotate(&both).await.unwrap();
    assert_eq!((rotated.rewrapped, rotated.unchanged), (2, 0));
    let again = rotate(&both).await.unwrap();
    assert_eq!((again.rewrapped, again.unchanged), (0, 2));

    assert_eq!(bodies().await, bodies_before);
    for draft in &drafts {
        assert_eq!(
            asked(&show(&alone, draft).await.unwrap().unwrap()),
            draft.text
        );
        assert!(
            show(&old, draft).await.is_err(),
            "the old key opens nothing"
        );
    }
    // What the old key wrapped is gone from the disk.
    let bytes = bytes_of(dir.path());
    for (wrapped,) in wrapped_before {
        assert!(!holds(&bytes, &wrapped));
    }
}

#[tokio::test]
async fn a_program_may_hold_the_master_key() {
    let dir = tempfile::tempdir().unwrap();
    // A key-management service that turns letters round, and keeps a list of what it was asked.
    let script = dir.path().join("kms.sh");
    let text = "#!/bin/sh\necho \"$1 $2\" >> \"$0.log\"\n\
                case \"$2\" in\n\
                wrap) printf 'kms:'; tr 'A-Za-z' 'N-ZA-Mn-za-m' ;;\n\
                unwrap) sed 's/^kms://' | tr 'A-Za-z' 'N-ZA-Mn-za-m' ;;\nesac\n";
    std::fs::write(&script, text).unwrap();
    let command = |name: &str, argument: &str| MasterKeySource::Command {
        name: name.to_owned(),
        command: ["sh", script.to_str().unwrap(), argument]
            .map(str::to_owned)
            .to_vec(),
    };
    let data = dir.path().join("data");
    let settings = with_key(&data, command("kms", "key-1"));
    let draft = Draft::new("acme", "hello").by("ann");
    store(&settings, &[draft.clone(), Draft::new("acme", "more")]).await;
    assert_eq!(
        asked(&show(&settings, &draft).await.unwrap().unwrap()),
        "hello"
    );
    // Asked once for the tenant, not for each record.
    let log = std::fs::read_to_string(dir.path().join("kms.sh.log")).unwrap();
    assert_eq!(log, "key-1 wrap\nkey-1 unwrap\n");

    let fails = |source| with_key(&data, source);
    let error = show(&fails(command("other", "key-1")), &draft)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PromptError::OtherMasterKey { .. }),
        "{error}"
    );
    for words in [
        vec!["false"],
        vec!["true"],
        vec!["/no/such/program"],
        vec![],
    ] {
        let source = MasterKeySource::Command {
            name: "kms".to_owned(),
            command: words.iter().map(ToString::to_string).collect(),
        };
        let error = show(&fails(source), &draft).await.unwrap_err();
        assert!(
            matches!(error, PromptError::MasterKey { .. }),
            "{words:?}: {error}"
        );
    }
    // And from the program to a key of one's own.
    let own = PromptSettings {
        previous_master_keys: vec![command("kms", "key-1")],
        ..with_key(&data, value("c3"))
    };
    assert_eq!(rotate(&own).await.unwrap().rewrapped, 1);
    let own = with_key(&data, value("c3"));
    assert_eq!(asked(&show(&own, &draft).await.unwrap().unwrap()), "hello");
}

#[tokio::test]
async fn keys_that_are_none_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let draft = Draft::new("acme", "hello");
    store(
        &with_key(dir.path(), value("a1")),
        std::slice::from_ref(&draft),
    )
    .await;
    for text in ["", "secret", "a1a1", &"zz".repeat(32)] {
        let source = variable(text);
        let error = show(&with_key(dir.path(), source), &draft)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("openssl rand"), "{error}");
        assert!(text.is_empty() || !error.chain().contains(text), "{error}");
    }
}

#[tokio::test]
async fn no_key_of_one_tenant_opens_anything_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let (acme, umbrella) = (
        Draft::new("acme", "ours").by("ann").within("c"),
        Draft::new("umbrella", "theirs").by("ann").within("c"),
    );
    store(&settings, &[acme.clone(), umbrella.clone()]).await;
    let mut reader = PromptReader::open(settings.clone()).await.unwrap();
    let all = reader.list(&PromptFilter::default()).await.unwrap();
    // The same person at two tenants cannot be joined.
    assert_ne!(all[0].subject, all[1].subject);
    assert_ne!(all[0].conversation, all[1].conversation);
    // A row that is moved to another tenant does not open with that one's keys, nor do keys that
    // are moved.
    let mut connection = raw(&settings).await;
    let move_row = "UPDATE prompts SET tenant = 'acme' WHERE tenant = 'umbrella'";
    sqlx::query(move_row)
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(show(&settings, &umbrella).await.is_err());
    let drop_keys = "DELETE FROM keys WHERE tenant = 'acme' AND kind <> 'tenant'";
    sqlx::query(drop_keys)
        .execute(&mut connection)
        .await
        .unwrap();
    let move_keys =
        "UPDATE keys SET tenant = 'acme' WHERE tenant = 'umbrella' AND kind <> 'tenant'";
    sqlx::query(move_keys)
        .execute(&mut connection)
        .await
        .unwrap();
    let error = show(&settings, &umbrella).await.unwrap_err();
    assert!(matches!(error, PromptError::ChangedKey { .. }), "{error}");
}
