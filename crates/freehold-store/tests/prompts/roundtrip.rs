//! What goes in comes out, and nothing of it stands on the disk.

use freehold_ports::Prompts;
use freehold_store::prompts::{PromptFilter, PromptReader, PromptStore};
use proptest::prelude::*;

use crate::common::{
    Draft, PATIENCE, answered, asked, bytes_of, holds, raw, settings, show, store,
};

const CANARY: &str = "canary-4d1f the quick brown fox canary-4d1f";

#[tokio::test]
async fn what_is_stored_can_be_shown_with_all_that_is_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello").by("ann").within("chat-7");
    store(&settings, std::slice::from_ref(&draft)).await;
    let shown = show(&settings, &draft).await.unwrap().unwrap();
    assert_eq!(asked(&shown), "hello");
    assert_eq!(answered(&shown), "You said: hello");
    let about = &shown.about;
    assert_eq!(about.tenant, "acme");
    assert_eq!(about.flow.as_deref(), Some("support"));
    assert_eq!(about.deployment.as_deref(), Some("local/small"));
    assert_eq!(about.what, "original");
    assert_eq!(about.end, "complete");
    // Never longer than promised, and at most an hour less.
    let kept = about.expires_unix_ms - about.started_unix_ms;
    let days = 2 * 24 * 3_600_000;
    assert!((days - 3_600_000..=days).contains(&kept), "{kept}");
    // Neither is stored as it was said.
    for (hash, name) in [(&about.subject, "ann"), (&about.conversation, "chat-7")] {
        let hash = hash.as_deref().unwrap();
        assert_eq!(hash.len(), 64);
        assert!(!holds(&bytes_of(dir.path()), name.as_bytes()));
    }
    let other = Draft::new("acme", "not there");
    assert!(show(&settings, &other).await.unwrap().is_none());
}

#[tokio::test]
async fn lists_are_filtered_by_everything() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let mut drafts = vec![
        Draft::new("acme", "one").by("ann").within("c1"),
        Draft::new("acme", "two").by("bob").within("c1"),
        Draft::new("umbrella", "three").by("ann"),
    ];
    for (index, draft) in drafts.iter_mut().enumerate() {
        draft.started_unix_ms += index as u64 * 1_000;
    }
    store(&settings, &drafts).await;
    let mut reader = PromptReader::open(settings).await.unwrap();
    let mut listed = async |filter: PromptFilter| -> Vec<usize> {
        let listed = reader.list(&filter).await.unwrap();
        let place = |id| drafts.iter().position(|draft| draft.id == id).unwrap();
        listed.iter().map(|one| place(one.request_id)).collect()
    };
    let all = PromptFilter::default();
    assert_eq!(listed(all.clone()).await, [2, 1, 0], "the newest first");
    let tenant = Some("acme".to_owned());
    let subject = Some("ann".to_owned());
    let conversation = Some("c1".to_owned());
    for (filter, expected) in [
        (
            PromptFilter {
                tenant: tenant.clone(),
                ..all.clone()
            },
            vec![1, 0],
        ),
        (
            PromptFilter {
                subject: subject.clone(),
                ..all.clone()
            },
            vec![2, 0],
        ),
        (
            PromptFilter {
                subject,
                tenant,
                ..all.clone()
            },
            vec![0],
        ),
        (
            PromptFilter {
                conversation,
                ..all.clone()
            },
            vec![1, 0],
        ),
        (
            PromptFilter {
                subject: Some("eve".to_owned()),
                ..all.clone()
            },
            vec![],
        ),
        (
            PromptFilter {
                flow: Some("sales".to_owned()),
                ..all.clone()
            },
            vec![],
        ),
        (
            PromptFilter {
                limit: Some(1),
                ..all.clone()
            },
            vec![2],
        ),
        (
            PromptFilter {
                to_unix_ms: Some(drafts[1].started_unix_ms),
                ..all.clone()
            },
            vec![0],
        ),
        (
            PromptFilter {
                from_unix_ms: Some(drafts[2].started_unix_ms),
                ..all.clone()
            },
            vec![2],
        ),
    ] {
        assert_eq!(listed(filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn no_text_and_no_name_stands_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let text = CANARY.repeat(50);
    let draft = Draft::new("acme", &text)
        .by("subject-canary")
        .within("chat-canary");
    let store = PromptStore::start(settings.clone()).unwrap();
    store.keep(draft.sample());
    store.flush(PATIENCE).await.unwrap();
    // While it is open, so that the log is there, too.
    let bytes = bytes_of(dir.path());
    assert!(holds(&bytes, b"acme"), "the search finds what is there");
    for canary in ["canary", "quick brown", "You said"] {
        assert!(!holds(&bytes, canary.as_bytes()), "{canary}");
    }
    let mut connection = raw(&settings).await;
    let (stored,): (i64,) = sqlx::query_as("SELECT length(body) FROM prompts")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(stored < 600, "{} bytes became {stored}", 2 * text.len());
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir.path().join("data"));
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(Draft::new("acme", "hello").sample());
    kept.flush(PATIENCE).await.unwrap();
    for entry in std::fs::read_dir(dir.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}: {mode:o}", entry.path());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_text_comes_back_as_it_was(texts in proptest::collection::vec(".{0,200}", 1..6)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let settings = settings(dir.path());
            let drafts: Vec<_> = texts.iter().map(|text| Draft::new("acme", text)).collect();
            store(&settings, &drafts).await;
            for (draft, text) in drafts.iter().zip(&texts) {
                let shown = show(&settings, draft).await.unwrap().unwrap();
                assert_eq!(&asked(&shown), text);
                assert_eq!(answered(&shown), format!("You said: {text}"));
            }
        });
    }
}
