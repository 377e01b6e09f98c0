//! The store on disk: plain downloads and local files, pins, damage, sharing and removal.

use std::sync::Arc;

use crate::support::{Fault, FileServer, Fixture, digest, gguf, tamper};
use freehold_models::{
    Catalogue, ErrorKind, FileState, ModelError, ModelName, ModelState, NoProgress, PullOptions,
    PullStatus, Trust,
};

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn quiet() -> Arc<NoProgress> {
    Arc::new(NoProgress)
}

fn called(text: &str) -> PullOptions {
    PullOptions {
        name: Some(name(text)),
        ..PullOptions::default()
    }
}

/// A model file outside of the store, and the reference to it.
fn local(fixture: &Fixture, file_name: &str, content: &[u8]) -> String {
    let directory = fixture.directory.path().join("outside");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(file_name);
    std::fs::write(&path, content).unwrap();
    format!("file:{}", path.display())
}

#[tokio::test]
async fn a_plain_download_restarts_when_the_file_changes_in_the_middle() {
    let server = FileServer::start().await;
    let fixture = Fixture::new();
    fixture.follow(&server);
    let url = server.put("models/My%20Model.gguf", gguf(1, 80_000));
    let newer = gguf(2, 90_000);
    server.fail([Fault::Cut(30_000), Fault::Swap(newer.clone())]);
    let report = fixture.pull(url.as_str()).await.unwrap();
    assert_eq!(std::fs::read(&report.path).unwrap(), newer);
    assert_eq!(fixture.restarts(), 1);
    let seen = server.seen();
    assert_eq!(seen[1].range.as_deref(), Some("bytes=30000-"));
    assert!(
        seen[1].if_range.is_some(),
        "nothing would have noticed the change"
    );
    assert_eq!(report.model.trust, Trust::FirstUse);
}

#[tokio::test]
async fn a_local_file_is_copied_and_the_original_is_not_needed_any_more() {
    let fixture = Fixture::new();
    let content = gguf(3, 50_000);
    let reference = local(&fixture, "Local Model.gguf", &content);
    let report = fixture.pull(&reference).await.unwrap();
    assert_eq!(report.model.name.as_str(), "local-model");
    std::fs::remove_dir_all(fixture.directory.path().join("outside")).unwrap();
    let verified = fixture
        .store()
        .open_verified(&name("local-model"), quiet())
        .await
        .unwrap();
    assert_eq!(std::fs::read(verified.path).unwrap(), content);
}

#[tokio::test]
async fn local_files_that_cannot_be_read_are_named() {
    let fixture = Fixture::new();
    let missing = format!("file:{}/none.gguf", fixture.directory.path().display());
    assert_eq!(
        fixture.pull(&missing).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let directory = format!("file:{}", fixture.directory.path().display());
    assert_eq!(
        fixture.pull(&directory).await.unwrap_err().kind(),
        ErrorKind::Io
    );
    let reference = local(&fixture, "page.gguf", b"<html>");
    assert!(
        fixture
            .pull(&reference)
            .await
            .unwrap_err()
            .to_string()
            .contains("not a GGUF")
    );
    let pinned = format!(
        "{}#sha256={}",
        local(&fixture, "m.gguf", &gguf(1, 10)),
        digest(b"x")
    );
    assert_eq!(
        fixture.pull(&pinned).await.unwrap_err().kind(),
        ErrorKind::HashMismatch
    );
    assert!(fixture.files_in("blobs/sha256").is_empty() && fixture.files_in("partial").is_empty());
}

#[tokio::test]
async fn a_tampered_file_is_refused_and_the_error_says_what_to_run() {
    let fixture = Fixture::new();
    let content = gguf(4, 60_000);
    let reference = local(&fixture, "m.gguf", &content);
    let report = fixture.pull(&reference).await.unwrap();
    let modified = std::fs::metadata(&report.path).unwrap().modified().unwrap();
    tamper(&report.path, |bytes| bytes[30_000] ^= 1);
    // Neither size nor time shows the change.
    std::fs::File::options()
        .write(true)
        .open(&report.path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(
        fixture.store().list().unwrap().models[0].state,
        ModelState::Installed
    );

    let error = fixture
        .store()
        .open_verified(&name("m"), quiet())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ModelError::Tampered { expected, found: Some(found), .. }
        if *expected == digest(&content) && found != expected),
        "{error}"
    );
    assert!(
        error.advice().contains("freehold models pull m"),
        "{}",
        error.advice()
    );
    let check = fixture
        .store()
        .verify(Some(&name("m")), quiet())
        .await
        .unwrap();
    assert!(!check.is_intact);
    assert_eq!(check.models[0].files[0].state, FileState::Tampered);

    assert_eq!(
        fixture.pull("m").await.unwrap().status,
        PullStatus::Replaced
    );
    assert!(
        fixture
            .store()
            .verify(None, quiet())
            .await
            .unwrap()
            .is_intact
    );
}

#[tokio::test]
async fn a_source_that_changed_does_not_repair_a_pinned_model() {
    let fixture = Fixture::new();
    let reference = local(&fixture, "m.gguf", &gguf(4, 6000));
    let report = fixture.pull(&reference).await.unwrap();
    std::fs::remove_file(&report.path).unwrap();
    assert_eq!(
        fixture.store().list().unwrap().models[0].state,
        ModelState::Damaged
    );
    local(&fixture, "m.gguf", &gguf(5, 6000));
    assert_eq!(
        fixture.pull("m").await.unwrap_err().kind(),
        ErrorKind::PinChanged
    );
    let updated = fixture
        .pull_with(
            "m",
            PullOptions {
                update: true,
                ..PullOptions::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(updated.model.files[0].sha256, digest(&gguf(5, 6000)));
}

#[tokio::test]
async fn files_that_names_share_are_stored_once_and_removed_last() {
    let fixture = Fixture::new();
    let content = gguf(6, 7000);
    let reference = local(&fixture, "m.gguf", &content);
    fixture
        .pull_with(&reference, called("first"))
        .await
        .unwrap();
    fixture
        .pull_with(&reference, called("second"))
        .await
        .unwrap();
    assert_eq!(fixture.files_in("blobs/sha256").len(), 1);

    let removed = fixture.store().remove(&name("first")).await.unwrap();
    assert_eq!(removed.freed_bytes, 0);
    assert_eq!(removed.kept[0].used_by, [name("second")]);
    fixture
        .store()
        .open_verified(&name("second"), quiet())
        .await
        .unwrap();

    let removed = fixture.store().remove(&name("second")).await.unwrap();
    assert_eq!((removed.freed_bytes, removed.kept.len()), (7000, 0));
    assert!(fixture.files_in("blobs/sha256").is_empty());
    assert_eq!(
        fixture
            .store()
            .remove(&name("second"))
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::UnknownModel
    );
}

#[tokio::test]
async fn a_name_stands_for_one_source() {
    let fixture = Fixture::new();
    let first = local(&fixture, "a.gguf", &gguf(1, 100));
    let second = local(&fixture, "b.gguf", &gguf(2, 100));
    fixture.pull_with(&first, called("mine")).await.unwrap();
    let error = fixture
        .pull_with(&second, called("mine"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTaken);
    assert!(error.to_string().contains("a.gguf"), "{error}");
    // A catalogue name is not free either, even while that model is not installed.
    let error = fixture
        .pull_with(&second, called("smollm2-135m-instruct"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTaken);
    let replaced = fixture
        .pull_with(
            &second,
            PullOptions {
                update: true,
                ..called("mine")
            },
        )
        .await
        .unwrap();
    assert_eq!(replaced.model.files[0].sha256, digest(&gguf(2, 100)));
    assert_eq!(
        fixture.files_in("blobs/sha256").len(),
        1,
        "the replaced file stayed"
    );
}

#[tokio::test]
async fn too_little_disk_is_noticed_before_the_transfer() {
    let server = FileServer::start().await;
    let url = server.put("m.gguf", gguf(1, 500_000));
    let mut fixture = Fixture::new();
    fixture.settings.limits.disk_reserve_bytes = u64::MAX - 1_000_000;
    let error = fixture.pull(url.as_str()).await.unwrap_err();
    assert!(matches!(error, ModelError::NoSpace { .. }), "{error}");
    let reference = local(&fixture, "m.gguf", &gguf(1, 100));
    assert_eq!(
        fixture.pull(&reference).await.unwrap_err().kind(),
        ErrorKind::NoSpace
    );
    assert!(
        !fixture
            .files_in("partial")
            .iter()
            .any(|name| name.ends_with(".partial") || name.ends_with(".copy"))
    );
}

#[tokio::test]
async fn a_file_larger_than_the_limit_is_refused() {
    let server = FileServer::start().await;
    let url = server.put("m.gguf", gguf(1, 5000));
    let mut fixture = Fixture::new();
    fixture.settings.limits.file_bytes_max = 4000;
    assert!(matches!(
        fixture.pull(url.as_str()).await.unwrap_err(),
        ModelError::TooLarge { limit: 4000, .. }
    ));
    server.fail([Fault::Unsized(gguf(1, 5000))]);
    assert!(matches!(
        fixture.pull(url.as_str()).await.unwrap_err(),
        ModelError::TooLarge { limit: 4000, .. }
    ));
}

#[tokio::test]
async fn a_damaged_lock_file_is_an_error_and_never_an_empty_store() {
    let fixture = Fixture::new();
    let lock = fixture.directory.path().join("models.lock");
    let entry = |version: u32, file_name: &str, digest: &str| {
        format!(
            "version = {version}\n[[model]]\nname = \"m\"\nsource = \"file:/m.gguf\"\ntrust = \"first_use\"\n\
             pulled_at = \"2026-01-01T00:00:00Z\"\n[[model.files]]\nname = \"{file_name}\"\nsha256 = \"{digest}\"\nsize_bytes = 1\n"
        )
    };
    let good = digest(b"x").to_string();
    std::fs::write(&lock, entry(1, "m.gguf", &good)).unwrap();
    assert_eq!(
        fixture.store().list().unwrap().models[0].state,
        ModelState::Damaged
    );
    for text in [
        "not a lock file".to_owned(),
        entry(2, "m.gguf", &good),
        entry(1, "../../etc/passwd", &good),
        entry(1, "m.gguf", "../../etc/passwd"),
        entry(1, "m.gguf", &good).replace("name = \"m\"", "name = \"../m\""),
        format!(
            "{}{}",
            entry(1, "m.gguf", &good),
            entry(1, "m.gguf", &good).replace("version = 1\n", "")
        ),
    ] {
        std::fs::write(&lock, &text).unwrap();
        let error = fixture.store().list().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LockFile, "{text}: {error}");
        assert_eq!(
            fixture.store().resolve(&name("m")).unwrap_err().kind(),
            ErrorKind::LockFile
        );
    }
}

#[tokio::test]
async fn leftovers_can_be_dropped_but_not_under_a_running_pull() {
    let server = FileServer::start().await;
    let url = server.put("m.gguf", gguf(1, 90_000));
    let mut fixture = Fixture::new();
    server.fail([Fault::Stall(40_000)]);
    let (store, events) = (fixture.store(), Arc::clone(&fixture.events));
    let reference = url.as_str().parse().unwrap();
    let task =
        tokio::spawn(async move { store.pull(&reference, PullOptions::default(), events).await });
    while !matches!(
        fixture.incoming.recv().await.unwrap(),
        freehold_models::ProgressEvent::Advanced { .. }
    ) {}
    assert!(fixture.store().discard_partials().await.unwrap().is_busy);
    task.abort();
    assert!(task.await.is_err());
    // The writer ends when it has noticed; asking again is what a user would do.
    let report = loop {
        let report = fixture.store().discard_partials().await.unwrap();
        if !report.is_busy {
            break report;
        }
        tokio::task::yield_now().await;
    };
    assert!(report.freed_bytes >= 40_000);
    assert!(fixture.files_in("partial").is_empty());
}

#[tokio::test]
async fn list_and_describe_show_licence_and_state_before_a_pull() {
    let fixture = Fixture::new();
    let list = fixture.store().list().unwrap();
    assert_eq!(list.models.len(), Catalogue::built_in().models.len());
    assert!(
        list.models
            .iter()
            .all(|model| model.state == ModelState::Available && model.licence.is_some())
    );
    assert_eq!(
        list.models.iter().filter(|model| model.is_default).count(),
        1
    );
    assert!(
        fixture.files_in(".").is_empty(),
        "listing wrote to the disk"
    );

    let gemma = fixture
        .store()
        .describe(&"gemma-3-270m".parse().unwrap())
        .unwrap();
    assert!(gemma.licence.unwrap().must_accept);
    let error = fixture.pull("gemma-3-270m").await.unwrap_err();
    assert!(
        error.advice().contains("https://ai.google.dev/gemma/terms"),
        "{}",
        error.advice()
    );
    assert!(
        fixture.files_in(".").is_empty(),
        "something was written before the terms were accepted"
    );

    let unknown = fixture
        .store()
        .describe(&"hf:some/repo/thing.gguf".parse().unwrap())
        .unwrap();
    assert_eq!((unknown.licence, unknown.trust), (None, Trust::FirstUse));
    let error = fixture
        .store()
        .describe(&"smollm".parse().unwrap())
        .unwrap_err();
    assert!(
        error.advice().contains("smollm2-135m-instruct"),
        "{}",
        error.advice()
    );
    let error = fixture.store().resolve(&name("qwen3-4b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInstalled);
}

#[tokio::test]
async fn reports_are_json_for_scripts() {
    let fixture = Fixture::new();
    let content = gguf(8, 1000);
    let report = fixture
        .pull(&local(&fixture, "m.gguf", &content))
        .await
        .unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["status"], "pulled");
    assert_eq!(
        json["model"]["files"][0]["sha256"],
        digest(&content).to_string()
    );
    let json = serde_json::to_value(fixture.store().list().unwrap()).unwrap();
    assert_eq!(json["models"][0]["state"], "installed");
    assert_eq!(json["models"][0]["trust"], "first_use");
    let json = serde_json::to_value(fixture.store().verify(None, quiet()).await.unwrap()).unwrap();
    assert_eq!(json["models"][0]["files"][0]["state"], "intact");
    let json = serde_json::to_value(&fixture.events()[0]).unwrap();
    assert_eq!(json["event"], "unpacking");
}

#[cfg(unix)]
#[tokio::test]
async fn stored_files_are_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let report = fixture
        .pull(&local(&fixture, "m.gguf", &gguf(8, 1000)))
        .await
        .unwrap();
    assert_eq!(
        std::fs::metadata(&report.path)
            .unwrap()
            .permissions()
            .mode()
            & 0o222,
        0
    );
}
