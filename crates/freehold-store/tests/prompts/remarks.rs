//! What users say of answers: beside the request, under its keys, and gone with it.

use std::sync::Arc;
use std::time::Duration;

use freehold_guard::Scan;
use freehold_policy::Masked;
use freehold_ports::{
    NotStored, Prompts, Remark, RemarkFacts, RemarkText, Remarked, Sample, Text, Wording,
};
use freehold_store::prompts::{
    EraseScope, PromptError, PromptReader, PromptSettings, PromptStore, ShownRemark, erase,
};
use freehold_types::{RequestId, Sensitivity};
use serde_json::json;

use crate::common::{
    Draft, PATIENCE, asked, bytes_of, holds, now, permit, raw, request, settings, show, store,
};

const HOUR_MS: u64 = 3_600_000;
const CANARY: &str = "canary-77ab the lazy dog canary-77ab";

fn both(text: &str) -> Wording {
    Wording {
        comment: Some(text.to_owned()),
        edited_answer: Some(format!("better: {text}")),
    }
}

/// A remark of somebody of the tenant, by a policy that stores the original.
fn remark(request: RequestId, tenant: &str, id: &str, wording: Wording) -> Remark {
    let facts = RemarkFacts {
        request,
        tenant: tenant.to_owned(),
        id: id.to_owned(),
        given_unix_ms: now(),
    };
    Remark::new(facts, 100, move |recorded| {
        assert_eq!(recorded.rules, ["r"], "what the record tells");
        assert_eq!(recorded.sensitivity, Sensitivity::Internal);
        let permit = permit(&json!({"keep_days": 2, "what": "original"}));
        let storing = permit.storing_beside(request, recorded.what);
        let pass = storing.ok_or(NotStored::Policy)?;
        let pass = pass.pass(&Scan::default(), &Masked::nothing()).unwrap();
        Ok(RemarkText::new(pass, Sensitivity::Internal, wording))
    })
}

async fn say(
    store: &PromptStore,
    draft: &Draft,
    id: &str,
    text: &str,
) -> Result<Remarked, NotStored> {
    let remark = remark(draft.id, draft.tenant, id, both(text));
    store.remark(remark).await
}

const KEPT: Result<Remarked, NotStored> = Ok(Remarked {
    comment: true,
    edited_answer: true,
});

fn shown_texts(feedback: &[ShownRemark]) -> Vec<(&str, &str, &str)> {
    let texts = feedback.iter().map(|one| {
        let comment = one.comment.as_deref().unwrap_or_default();
        let edited = one.edited_answer.as_deref().unwrap_or_default();
        (one.id.as_str(), comment, edited)
    });
    texts.collect()
}

async fn rows(settings: &PromptSettings) -> i64 {
    let mut connection = raw(settings).await;
    let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM remarks")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    count
}

#[tokio::test]
async fn what_users_say_is_shown_with_the_request_and_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello").by("ann").within("c");
    let kept = PromptStore::start(settings.clone()).unwrap();
    // Right behind the request, which is not on the disk yet.
    kept.keep(draft.sample());
    assert_eq!(say(&kept, &draft, "app/1", "first").await, KEPT);
    assert_eq!(say(&kept, &draft, "app/1", "again").await, KEPT);
    let only = Wording {
        comment: Some("third".to_owned()),
        edited_answer: None,
    };
    let third = kept.remark(remark(draft.id, "acme", "app/3", only)).await;
    let comment = Remarked {
        comment: true,
        edited_answer: false,
    };
    assert_eq!(third, Ok(comment));
    // Under a known id nothing is added.
    assert_eq!(say(&kept, &draft, "app/3", "more").await, Ok(comment));
    kept.shutdown(PATIENCE).await.unwrap();
    let status = kept.status();
    assert_eq!((status.accepted, status.handled), (5, 5), "{status:?}");

    let shown = show(&settings, &draft).await.unwrap().unwrap();
    assert_eq!(asked(&shown), "hello");
    assert_eq!(
        shown_texts(&shown.feedback),
        [("app/1", "first", "better: first"), ("app/3", "third", "")]
    );
    assert_eq!(shown.feedback[0].what, "original");
    assert_eq!(shown.feedback[0].sensitivity, "internal");
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["feedback"][0]["edited_answer"], "better: first");
}

#[tokio::test]
async fn nothing_said_stands_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello").by("ann");
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(draft.sample());
    assert_eq!(say(&kept, &draft, "id-on-disk", CANARY).await, KEPT);
    // While it is open, so that the log is there, too.
    let bytes = bytes_of(dir.path());
    assert!(
        holds(&bytes, b"id-on-disk"),
        "the search finds what is there"
    );
    for canary in ["canary", "lazy dog", "better:"] {
        assert!(!holds(&bytes, canary.as_bytes()), "{canary}");
    }
}

#[tokio::test]
async fn without_the_requests_record_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello").by("ann");
    let other = Draft::new("acme", "not there");
    let kept = PromptStore::start(settings.clone()).unwrap();
    let missing = Err(NotStored::RequestNotStored);
    assert_eq!(say(&kept, &draft, "1", "x").await, missing, "no file yet");
    assert!(!settings.database.exists(), "nor is one made for it");
    kept.keep(draft.sample());
    assert_eq!(say(&kept, &other, "1", "x").await, missing);
    let stranger = remark(draft.id, "umbrella", "1", both("x"));
    assert_eq!(kept.remark(stranger).await, missing, "another tenant's");
    // What policy does not pass, and what breaks, is told as it is.
    let facts = || RemarkFacts {
        request: draft.id,
        tenant: "acme".to_owned(),
        id: "1".to_owned(),
        given_unix_ms: now(),
    };
    let denied = Remark::new(facts(), 1, |_| Err(NotStored::TooSensitive));
    assert_eq!(kept.remark(denied).await, Err(NotStored::TooSensitive));
    let broken = Remark::new(facts(), 1, |_| panic!("a defect"));
    assert_eq!(kept.remark(broken).await, Err(NotStored::Defect));
    let foreign = other.id;
    let swapped = Remark::new(facts(), 1, move |recorded| {
        let permit = permit(&json!({"keep_days": 2, "what": "original"}));
        let storing = permit.storing_beside(foreign, recorded.what).unwrap();
        let pass = storing.pass(&Scan::default(), &Masked::nothing()).unwrap();
        Ok(RemarkText::new(pass, Sensitivity::Public, both("x")))
    });
    let told = kept.remark(swapped).await;
    assert_eq!(told, Err(NotStored::Defect), "a pass for another request");
    assert_eq!(rows(&settings).await, 0);
    assert_eq!(say(&kept, &draft, "1", "x").await, KEPT, "it goes on");
    kept.shutdown(PATIENCE).await.unwrap();
    assert_eq!(say(&kept, &draft, "2", "x").await, Err(NotStored::Closed));
}

#[tokio::test]
async fn there_is_a_bound_to_what_is_said_of_one_request_and_to_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello");
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(draft.sample());
    for index in 0..32 {
        assert_eq!(say(&kept, &draft, &index.to_string(), "x").await, KEPT);
    }
    let more = say(&kept, &draft, "32", "x").await;
    assert_eq!(more, Err(NotStored::TooMany));
    assert_eq!(say(&kept, &draft, "31", "x").await, KEPT, "it is there");
    kept.shutdown(PATIENCE).await.unwrap();
    let full = PromptSettings {
        limit_bytes: 1,
        ..settings.clone()
    };
    let other = Draft::new("acme", "hello");
    store(&settings, std::slice::from_ref(&other)).await;
    let kept = PromptStore::start(full).unwrap();
    let told = say(&kept, &other, "1", "x").await;
    assert_eq!(told, Err(NotStored::StoreFull));
    assert_eq!(rows(&settings).await, 32);
}

#[tokio::test]
async fn what_is_said_is_erased_with_its_person_conversation_or_tenant() {
    let scopes = [
        EraseScope::Tenant("acme".to_owned()),
        EraseScope::Subject {
            tenant: None,
            subject: "ann".to_owned(),
        },
        EraseScope::Conversation {
            tenant: Some("acme".to_owned()),
            conversation: "c1".to_owned(),
        },
    ];
    for scope in scopes {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let gone = Draft::new("acme", "hello").by("ann").within("c1");
        let stays = Draft::new("umbrella", "hello").by("bob").within("c2");
        let kept = PromptStore::start(settings.clone()).unwrap();
        for draft in [&gone, &stays] {
            kept.keep(draft.sample());
            assert_eq!(say(&kept, draft, "1", "x").await, KEPT);
        }
        let mut connection = raw(&settings).await;
        let (body,): (Vec<u8>,) = sqlx::query_as("SELECT body FROM remarks ORDER BY sequence")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        // The gateway goes on meanwhile.
        let receipt = erase(&settings, &scope).await.unwrap();
        assert_eq!(receipt.records, 1, "{scope:?}");
        assert!(show(&settings, &gone).await.unwrap().is_none());
        let shown = show(&settings, &stays).await.unwrap().unwrap();
        assert_eq!(shown_texts(&shown.feedback), [("1", "x", "better: x")]);
        assert_eq!(rows(&settings).await, 1, "{scope:?}");
        assert!(!holds(&bytes_of(dir.path()), &body), "{scope:?}");
        let late = say(&kept, &gone, "2", "late").await;
        assert_eq!(late, Err(NotStored::RequestNotStored), "{scope:?}");
        assert_eq!(say(&kept, &stays, "2", "y").await, KEPT, "{scope:?}");
    }
}

#[tokio::test]
async fn an_erasure_between_keys_and_rows_leaves_nothing_to_read_or_to_add_to() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello").by("ann");
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(draft.sample());
    assert_eq!(say(&kept, &draft, "1", "x").await, KEPT);
    // As after a kill of `freehold erase`: the key is gone, its rows are not.
    let mut connection = raw(&settings).await;
    for statement in [
        "DELETE FROM keys WHERE kind = 'subject'",
        "UPDATE erasures SET count = count + 1",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let late = say(&kept, &draft, "2", "late").await;
    assert_eq!(late, Err(NotStored::RequestNotStored));
    // The gateway deletes what is left.
    kept.until(|status| status.purged == 1).await;
    assert!(show(&settings, &draft).await.unwrap().is_none());
    assert_eq!(rows(&settings).await, 0);
}

#[tokio::test]
async fn what_is_said_expires_with_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello");
    let kept = PromptStore::start(settings.clone()).unwrap();
    kept.keep(draft.sample());
    assert_eq!(say(&kept, &draft, "1", "x").await, KEPT);
    kept.shutdown(PATIENCE).await.unwrap();
    let mut connection = raw(&settings).await;
    let hour = now() / HOUR_MS - 24;
    sqlx::query("UPDATE keys SET name = ? WHERE kind = 'expiry'")
        .bind(hour.to_be_bytes().as_slice())
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("UPDATE prompts SET expires_unix_ms = ?")
        .bind(i64::try_from(hour * HOUR_MS).unwrap())
        .execute(&mut connection)
        .await
        .unwrap();
    let kept = PromptStore::start(settings.clone()).unwrap();
    let late = say(&kept, &draft, "2", "late").await;
    assert_eq!(late, Err(NotStored::RequestNotStored));
    // By this store, or by the one before on its way out.
    let deadline = std::time::Instant::now() + PATIENCE;
    while rows(&settings).await > 0 {
        assert!(std::time::Instant::now() < deadline, "{:?}", kept.status());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn changed_and_swapped_rows_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let drafts = [Draft::new("acme", "one"), Draft::new("acme", "two")];
    let kept = PromptStore::start(settings.clone()).unwrap();
    for draft in &drafts {
        kept.keep(draft.sample());
        assert_eq!(say(&kept, draft, "1", "x").await, KEPT);
    }
    kept.shutdown(PATIENCE).await.unwrap();
    let mut connection = raw(&settings).await;
    for change in [
        "UPDATE remarks SET id = '2'",
        "UPDATE remarks SET what = 'masked'",
        "UPDATE remarks SET sensitivity = 'public'",
        "UPDATE remarks SET given_unix_ms = 1",
        "UPDATE remarks SET body = (SELECT body FROM was b WHERE b.request <> remarks.request)",
        "UPDATE remarks SET body = (SELECT body FROM prompts b WHERE b.request = remarks.request)",
    ] {
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        sqlx::query("CREATE TABLE was AS SELECT * FROM remarks")
            .execute(&mut connection)
            .await
            .unwrap();
        for statement in [change, "COMMIT"] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        for draft in &drafts {
            let found = show(&settings, draft).await;
            assert!(
                matches!(found, Err(PromptError::ChangedRemark { .. })),
                "{change}: {found:?}"
            );
        }
        for statement in [
            "DELETE FROM remarks",
            "INSERT INTO remarks SELECT * FROM was",
            "DROP TABLE was",
        ] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
    for draft in &drafts {
        let shown = show(&settings, draft).await.unwrap().unwrap();
        assert_eq!(shown.feedback.len(), 1);
    }
}

#[tokio::test]
async fn a_database_of_an_earlier_version_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let old = Draft::new("acme", "old");
    store(&settings, std::slice::from_ref(&old)).await;
    let mut connection = raw(&settings).await;
    for statement in [
        "DROP TABLE remarks",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    // A reader may be the first to come.
    let mut reader = PromptReader::open(settings.clone()).await.unwrap();
    let shown = reader.show(old.id).await.unwrap().unwrap();
    assert_eq!((asked(&shown).as_str(), shown.feedback.len()), ("old", 0));
    let kept = PromptStore::start(settings.clone()).unwrap();
    assert_eq!(say(&kept, &old, "1", "x").await, KEPT);
}

#[tokio::test]
async fn what_waits_too_long_is_given_up_and_never_stored() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello");
    let kept = Arc::new(PromptStore::start(settings.clone()).unwrap());
    kept.keep(draft.sample());
    kept.flush(PATIENCE).await.unwrap();
    // A sample that takes until it is told to go on, as far as anybody can see.
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let slow = Draft::new("acme", "slow");
    let storing = permit(&json!({"keep_days": 2, "what": "original"}))
        .storing(slow.id)
        .unwrap();
    kept.keep(Sample::new(storing, slow.facts(), 1, move |storing| {
        held.recv().unwrap();
        let pass = storing.pass(&Scan::default(), &Masked::nothing()).unwrap();
        Ok(Text::new(pass, Arc::new(request("slow")), None).unwrap())
    }));
    // From here on time is the test's own: the patience passes at once.
    tokio::time::pause();
    assert_eq!(say(&kept, &draft, "1", "x").await, Err(NotStored::Busy));
    tokio::time::resume();
    go_on.send(()).unwrap();
    kept.flush(PATIENCE).await.unwrap();
    assert_eq!(rows(&settings).await, 0, "nor is it stored later");
    assert_eq!(
        say(&kept, &draft, "1", "x").await,
        KEPT,
        "sent again, it is"
    );
    kept.shutdown(Duration::from_secs(60)).await.unwrap();
}
