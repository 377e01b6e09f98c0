//! Expiry: what is over cannot be read, whatever has been deleted, and deleting holds nobody up.

use std::time::Duration;

use freehold_ports::Prompts;
use freehold_store::prompts::{PromptFilter, PromptReader, PromptSettings, PromptStore};
use sqlx::{Connection, SqliteConnection};

use crate::common::{Draft, PATIENCE, bytes_of, holds, now, raw, settings, show, store};

const HOUR_MS: u64 = 3_600_000;

/// Makes a stored sample one that expired a day ago, and was not deleted.
async fn age(settings: &PromptSettings, draft: &Draft) {
    let mut connection = raw(settings).await;
    let hour = now() / HOUR_MS - 24;
    sqlx::query(
        "UPDATE keys SET name = ? WHERE id = (SELECT expiry_key FROM prompts WHERE request = ?)",
    )
    .bind(hour.to_be_bytes().as_slice())
    .bind(draft.id.as_bytes().as_slice())
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("UPDATE prompts SET expires_unix_ms = ? WHERE request = ?")
        .bind(i64::try_from(hour * HOUR_MS).unwrap())
        .bind(draft.id.as_bytes().as_slice())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn count(connection: &mut SqliteConnection, statement: &'static str) -> i64 {
    let (count,): (i64,) = sqlx::query_as(statement)
        .fetch_one(connection)
        .await
        .unwrap();
    count
}

#[tokio::test]
async fn what_has_expired_is_not_shown_though_it_is_still_there() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let draft = Draft::new("acme", "old");
    store(&settings, std::slice::from_ref(&draft)).await;
    assert!(show(&settings, &draft).await.unwrap().is_some());
    age(&settings, &draft).await;
    let mut connection = raw(&settings).await;
    assert_eq!(
        count(&mut connection, "SELECT count(*) FROM prompts").await,
        1
    );
    assert!(show(&settings, &draft).await.unwrap().is_none());
    let mut reader = PromptReader::open(settings).await.unwrap();
    assert!(
        reader
            .list(&PromptFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_start_shreds_the_keys_of_what_has_expired_and_deletes_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let old = Draft::new("acme", "old");
    let fresh = Draft {
        keep_days: 5,
        ..Draft::new("acme", "new").by("ann")
    };
    store(&settings, &[old.clone(), fresh.clone()]).await;
    age(&settings, &old).await;
    let mut connection = raw(&settings).await;
    let statement = "SELECT wrapped FROM keys WHERE kind = 'expiry' ORDER BY name LIMIT 1";
    let (key,): (Vec<u8>,) = sqlx::query_as(statement)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    assert!(holds(&bytes_of(dir.path()), &key));

    let kept = PromptStore::start(settings.clone()).unwrap();
    let status = tokio::time::timeout(PATIENCE, kept.until(|status| status.purged == 1));
    status.await.unwrap();
    kept.shutdown(PATIENCE).await.unwrap();
    let mut connection = raw(&settings).await;
    assert_eq!(
        count(&mut connection, "SELECT count(*) FROM prompts").await,
        1
    );
    let expiries = "SELECT count(*) FROM keys WHERE kind = 'expiry'";
    assert_eq!(count(&mut connection, expiries).await, 1);
    assert!(
        !holds(&bytes_of(dir.path()), &key),
        "the key is gone from the disk"
    );
    assert!(show(&settings, &fresh).await.unwrap().is_some());
}

#[tokio::test]
async fn a_hundred_thousand_expired_rows_hold_nobody_up() {
    const ROWS: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let settings = PromptSettings {
        purge_pause: Duration::from_millis(1),
        ..settings(dir.path())
    };
    store(&settings, &[Draft::new("acme", "first")]).await;
    let mut connection = raw(&settings).await;
    let statement = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
         INSERT INTO prompts (request, tenant, expiry_key, dialect, what, sensitivity, answer, \
         started_unix_ms, expires_unix_ms, body) SELECT randomblob(16), 'acme', \
         (SELECT expiry_key FROM prompts LIMIT 1), 'openai-chat', 'original', 'internal', \
         'complete', 0, 1, randomblob(300) FROM n";
    sqlx::query(statement)
        .bind(i64::try_from(ROWS).unwrap())
        .execute(&mut connection)
        .await
        .unwrap();
    drop(connection);

    let kept = PromptStore::start(settings.clone()).unwrap();
    let begun = tokio::time::timeout(PATIENCE, kept.until(|status| status.purge_batches > 0));
    begun.await.unwrap();
    let mut worst = 0;
    for index in 0..30 {
        let before = kept.status().purge_batches;
        kept.keep(Draft::new("acme", &format!("text {index}")).sample());
        kept.flush(PATIENCE).await.unwrap();
        let status = kept.status();
        assert!(
            status.purged < ROWS,
            "deleting goes on meanwhile: {status:?}"
        );
        worst = worst.max(status.purge_batches - before);
    }
    assert_eq!(kept.status().stored, 30);
    // The batch under way, and one that began before the sample was seen.
    assert!(worst <= 2, "a sample waited for {worst} batches");
    let done = tokio::time::timeout(PATIENCE, kept.until(|status| status.purged == ROWS));
    let status = done.await.unwrap();
    assert_eq!(status.purge_batches, ROWS / 500, "{status:?}");
}

#[tokio::test]
async fn keys_of_people_without_records_are_forgotten_and_the_file_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let old: Vec<_> = (0..30)
        .map(|_| {
            Draft::new("acme", &random_text(40_000))
                .by("ann")
                .within("c")
        })
        .collect();
    store(&settings, &old).await;
    for draft in &old {
        age(&settings, draft).await;
    }
    let mut connection = raw(&settings).await;
    // They were made long ago.
    sqlx::query("UPDATE keys SET created_unix_ms = 0")
        .execute(&mut connection)
        .await
        .unwrap();
    let pages = count(&mut connection, "PRAGMA page_count").await;
    drop(connection);
    let kept = PromptStore::start(settings.clone()).unwrap();
    let purged = tokio::time::timeout(PATIENCE, kept.until(|status| status.purged == 30));
    purged.await.unwrap();
    let mut connection = raw(&settings).await;
    let people = "SELECT count(*) FROM keys WHERE kind IN ('subject', 'conversation')";
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let left = count(&mut connection, people).await;
        let now = count(&mut connection, "PRAGMA page_count").await;
        if left == 0 && now < pages / 2 {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{left} keys, {now} of {pages} pages"
        );
        // A reader at every moment keeps the file from shrinking.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Text that does not compress.
fn random_text(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'a' + u8::try_from(state % 26).unwrap())
        })
        .collect()
}
