//! Whoever can write the database cannot change a record unseen.

use freehold_store::prompts::PromptError;

use crate::common::{Draft, asked, raw, settings, show, store};

const NUMBERS: [&str; 2] = [
    "UPDATE prompts SET started_unix_ms = started_unix_ms - 1",
    "UPDATE prompts SET expires_unix_ms = expires_unix_ms + 86400000",
];

const CHANGES: [&str; 10] = [
    "UPDATE prompts SET body = CAST(substr(body, 1, 20) || x'00' || substr(body, 22) AS BLOB)",
    "UPDATE prompts SET body = CAST(substr(body, 1, length(body) - 1) AS BLOB)",
    "UPDATE prompts SET flow = 'other'",
    "UPDATE prompts SET flow = NULL",
    "UPDATE prompts SET deployment = 'openai/gpt'",
    "UPDATE prompts SET what = 'masked'",
    "UPDATE prompts SET sensitivity = 'public'",
    "UPDATE prompts SET answer = 'cut'",
    "UPDATE prompts SET dialect = 'anthropic-messages'",
    "UPDATE prompts SET subject_key = NULL",
];

#[tokio::test]
async fn every_change_of_a_row_is_found() {
    for change in CHANGES.into_iter().chain(NUMBERS) {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let draft = Draft::new("acme", "hello").by("ann").within("c");
        store(&settings, std::slice::from_ref(&draft)).await;
        let mut connection = raw(&settings).await;
        sqlx::query(change).execute(&mut connection).await.unwrap();
        let error = show(&settings, &draft).await.expect_err(change);
        assert!(
            matches!(error, PromptError::Changed { .. }),
            "{change}: {error}"
        );
    }
}

#[tokio::test]
async fn rows_and_keys_cannot_be_swapped() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let one = Draft::new("acme", "one").by("ann").within("c1");
    let other = Draft::new("acme", "other").by("bob").within("c2");
    store(&settings, &[one.clone(), other.clone()]).await;
    let mut connection = raw(&settings).await;
    // Each body to the other row.
    let statement = "WITH old AS MATERIALIZED (SELECT request, body FROM prompts) \
                     UPDATE prompts SET body = (SELECT body FROM old WHERE old.request <> \
                     prompts.request)";
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(show(&settings, &one).await.is_err());
    assert!(show(&settings, &other).await.is_err());
    let statement = "WITH old AS MATERIALIZED (SELECT id, wrapped FROM keys WHERE kind = 'subject') \
                     UPDATE keys SET wrapped = (SELECT wrapped FROM old WHERE old.id <> keys.id) \
                     WHERE kind = 'subject'";
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    for draft in [&one, &other] {
        let error = show(&settings, draft).await.unwrap_err();
        assert!(matches!(error, PromptError::ChangedKey { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_untouched_store_is_not_complained_of() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "hello").by("ann").within("c");
    store(&settings, std::slice::from_ref(&draft)).await;
    let mut connection = raw(&settings).await;
    sqlx::query("VACUUM")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        asked(&show(&settings, &draft).await.unwrap().unwrap()),
        "hello"
    );
}
