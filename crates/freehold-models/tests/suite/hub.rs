//! Pulls from a server that speaks Hugging Face's protocol, with every failure it can show.

use std::sync::Arc;

use crate::support::{COMMIT, Fault, Fixture, Hub, HubFile, digest, gguf, tamper};
use freehold_models::{
    Catalogue, ErrorKind, ModelError, ModelName, NoProgress, Progress, ProgressEvent, PullOptions,
    PullStatus, Trust,
};

const REFERENCE: &str = "hf:owner/repo/dir/Model.Q4.gguf";
const PATH: &str = "owner/repo/dir/Model.Q4.gguf";
const LENGTH: usize = 300_000;

async fn published() -> (Hub, Fixture, axum::body::Bytes) {
    let hub = Hub::start().await;
    let content = gguf(1, LENGTH);
    hub.put(PATH, content.clone());
    let fixture = Fixture::with_hub(&hub);
    (hub, fixture, content)
}

fn status(code: u16, headers: &[(&'static str, &str)]) -> Fault {
    Fault::Status(
        code,
        headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
    )
}

#[tokio::test]
async fn a_pull_installs_the_file_and_the_token_stays_with_the_endpoint() {
    let (hub, fixture, content) = published().await;
    let report = fixture.pull(REFERENCE).await.unwrap();

    assert_eq!(report.status, PullStatus::Pulled);
    assert_eq!(report.model.name.as_str(), "model.q4");
    assert_eq!(report.model.trust, Trust::FirstUse);
    assert_eq!(report.model.revision.as_deref(), Some(COMMIT));
    assert_eq!(report.transferred_bytes, LENGTH as u64);
    assert!(
        report
            .notices
            .iter()
            .any(|notice| notice.contains("trust on first use"))
    );
    assert_eq!(std::fs::read(&report.path).unwrap(), content);

    assert!(
        hub.seen()
            .iter()
            .all(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret"))
    );
    assert_eq!(hub.storage.seen().len(), 1);
    assert_eq!(
        hub.storage.seen()[0].authorization,
        None,
        "the token went to the storage host"
    );
    assert!(fixture.files_in("partial").is_empty());
}

#[tokio::test]
async fn a_second_pull_checks_the_file_and_uses_no_network() {
    let (hub, fixture, _) = published().await;
    fixture.pull(REFERENCE).await.unwrap();
    let asked = hub.seen().len();
    let report = fixture.pull("model.q4").await.unwrap();
    assert_eq!(report.status, PullStatus::AlreadyPresent);
    assert_eq!((report.transferred_bytes, hub.seen().len()), (0, asked));
}

#[tokio::test]
async fn a_redirect_within_the_endpoint_keeps_the_token() {
    let (hub, fixture, _) = published().await;
    hub.rename("old/name", "owner/repo");
    fixture.pull("hf:old/name/dir/Model.Q4.gguf").await.unwrap();
    let seen = hub.seen();
    assert!(
        seen.iter()
            .any(|seen| seen.path.starts_with("/owner/repo/"))
    );
    assert!(seen.iter().all(|seen| seen.authorization.is_some()));
}

#[tokio::test]
async fn a_cut_transfer_continues_where_it_stopped() {
    let (hub, fixture, content) = published().await;
    hub.storage.fail([Fault::Cut(100_000), Fault::Cut(50_000)]);
    let report = fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(std::fs::read(&report.path).unwrap(), content);
    assert_eq!(
        report.transferred_bytes, LENGTH as u64,
        "bytes were fetched twice"
    );
    let ranges = hub.storage.ranges();
    assert_eq!(
        ranges,
        [
            None,
            Some("bytes=100000-".to_owned()),
            Some("bytes=150000-".to_owned())
        ]
    );
    assert!(hub.storage.seen()[1].if_range.is_some());
    // Each attempt brought bytes, so each wait is the first wait.
    assert_eq!(fixture.pauses_ms(), [500, 500]);
}

#[tokio::test]
async fn a_dropped_pull_leaves_its_bytes_to_the_next() {
    let (hub, mut fixture, content) = published().await;
    hub.storage.fail([Fault::Stall(120_000)]);
    let store = fixture.store();
    let events = Arc::clone(&fixture.events) as Arc<dyn Progress>;
    let task = tokio::spawn(async move {
        store
            .pull(&REFERENCE.parse().unwrap(), PullOptions::default(), events)
            .await
    });
    loop {
        let event = fixture.incoming.recv().await.unwrap();
        if matches!(
            event,
            ProgressEvent::Advanced {
                received_bytes: 120_000,
                ..
            }
        ) {
            break;
        }
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());

    let report = fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(std::fs::read(&report.path).unwrap(), content);
    assert_eq!(report.transferred_bytes, LENGTH as u64 - 120_000);
    assert_eq!(
        hub.storage.ranges(),
        [None, Some("bytes=120000-".to_owned())]
    );
}

#[tokio::test]
async fn a_beginning_of_other_content_is_not_continued() {
    let (hub, mut fixture, content) = published().await;
    fixture.settings.transport.retry.fruitless_attempts_max = 1;
    // A mirror that does not tell commits: only the announced tag shows the change.
    hub.put_file(
        PATH,
        HubFile {
            commit: None,
            ..HubFile::new(content)
        },
    );
    hub.storage.fail([Fault::Cut(100_000)]);
    assert_eq!(
        fixture.pull(REFERENCE).await.unwrap_err().kind(),
        ErrorKind::Network
    );

    let newer = gguf(2, LENGTH);
    hub.put_file(
        PATH,
        HubFile {
            commit: None,
            ..HubFile::new(newer.clone())
        },
    );
    let report = fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(std::fs::read(&report.path).unwrap(), newer);
    assert_eq!(fixture.restarts(), 1);
    assert_eq!(hub.storage.ranges(), [None, None]);
}

#[tokio::test]
async fn bytes_that_differ_from_the_announced_digest_are_not_installed() {
    let (hub, fixture, content) = published().await;
    hub.storage.fail([Fault::Lie(gguf(9, LENGTH))]);
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(
        matches!(&error, ModelError::HashMismatch { expected, found, .. }
        if *expected == digest(&content) && *found == digest(&gguf(9, LENGTH))),
        "{error}"
    );
    assert!(fixture.files_in("blobs/sha256").is_empty());
    assert!(fixture.files_in("partial").is_empty());
    assert_eq!(
        fixture
            .store()
            .resolve(&"model.q4".parse().unwrap())
            .unwrap_err()
            .kind(),
        ErrorKind::UnknownModel
    );
}

#[tokio::test]
async fn a_damaged_beginning_on_disk_costs_one_new_transfer() {
    let (hub, fixture, content) = published().await;
    hub.storage.fail([Fault::Cut(100_000), status(403, &[])]);
    assert_eq!(
        fixture.pull(REFERENCE).await.unwrap_err().kind(),
        ErrorKind::AccessDenied
    );
    let partial = fixture
        .files_in("partial")
        .into_iter()
        .find(|name| name.ends_with(".partial"))
        .unwrap();
    tamper(
        &fixture.directory.path().join("partial").join(partial),
        |bytes| bytes[50] ^= 1,
    );

    let report = fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(std::fs::read(&report.path).unwrap(), content);
    assert_eq!(fixture.restarts(), 1);
}

#[tokio::test]
async fn a_pin_in_the_reference_is_compared_before_anything_is_fetched() {
    let (hub, fixture, content) = published().await;
    let wrong = format!("{REFERENCE}#sha256={}", digest(b"other"));
    assert_eq!(
        fixture.pull(&wrong).await.unwrap_err().kind(),
        ErrorKind::HashMismatch
    );
    assert!(hub.storage.seen().is_empty());
    let right = format!("{REFERENCE}#sha256={}", digest(&content));
    assert_eq!(
        fixture.pull(&right).await.unwrap().model.trust,
        Trust::Reference
    );
}

#[tokio::test]
async fn refused_access_says_what_to_do() {
    let (hub, mut fixture, _) = published().await;
    hub.fail([status(401, &[("x-error-code", "GatedRepo")])]);
    fixture.settings.hub_token = None;
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(matches!(
        error,
        ModelError::AccessDenied {
            status: 401,
            gated: true,
            token_sent: false,
            ..
        }
    ));
    let advice = error.advice();
    assert!(
        advice.contains("/owner/repo") && advice.contains("HF_TOKEN"),
        "{advice}"
    );

    hub.fail([status(403, &[("x-error-code", "GatedRepo")])]);
    fixture.settings.hub_token = Some("hf_secret".to_owned().into());
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(matches!(
        error,
        ModelError::AccessDenied {
            status: 403,
            token_sent: true,
            ..
        }
    ));
    assert!(
        error.advice().contains("fine-grained"),
        "{}",
        error.advice()
    );
    assert!(!format!("{error} {error:?}").contains("hf_secret"));
    assert!(
        fixture.pauses_ms().is_empty(),
        "a refusal is not worth a retry"
    );
}

#[tokio::test]
async fn what_is_missing_is_told_apart() {
    let (_hub, fixture, _) = published().await;
    let error = fixture.pull("hf:owner/repo/none.gguf").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.advice().contains("no such file"),
        "{}",
        error.advice()
    );
    let error = fixture.pull(&format!("{REFERENCE}@v9")).await.unwrap_err();
    assert!(
        error.advice().contains("no such branch"),
        "{}",
        error.advice()
    );
}

#[tokio::test]
async fn retry_after_is_honoured_within_its_limit() {
    let (hub, fixture, _) = published().await;
    hub.storage.fail([status(429, &[("retry-after", "7")])]);
    fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(fixture.pauses_ms(), [7000]);

    hub.put("owner/repo/other.gguf", gguf(3, 1000));
    hub.fail([status(429, &[("retry-after", "86400")])]);
    let error = fixture.pull("hf:owner/repo/other.gguf").await.unwrap_err();
    assert!(
        matches!(
            error,
            ModelError::RateLimited {
                wait_seconds: 86400,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_retry_date_in_the_past_means_now() {
    let (hub, fixture, _) = published().await;
    hub.fail([status(
        503,
        &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")],
    )]);
    fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(fixture.pauses_ms(), [0]);
}

#[tokio::test]
async fn server_errors_are_retried_with_growing_waits_and_not_for_ever() {
    let (hub, fixture, _) = published().await;
    hub.storage.fail([status(500, &[]), status(502, &[])]);
    fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(fixture.pauses_ms(), [500, 1000]);

    let (hub, fixture, _) = published().await;
    hub.fail(std::iter::repeat_n(status(500, &[]), 50));
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(
        matches!(error, ModelError::Network { attempts: 5, .. }),
        "{error}"
    );
    assert_eq!(fixture.pauses_ms(), [500, 1000, 2000, 4000]);
    assert_eq!(hub.seen().len(), 5);
}

#[tokio::test]
async fn a_body_that_ends_early_is_continued() {
    let (hub, fixture, content) = published().await;
    hub.storage.fail([Fault::Unsized(content.slice(..70_000))]);
    let report = fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(std::fs::read(&report.path).unwrap(), content);
    assert_eq!(
        hub.storage.ranges(),
        [None, Some("bytes=70000-".to_owned())]
    );
}

#[tokio::test]
async fn more_bytes_than_announced_are_refused() {
    let (hub, fixture, content) = published().await;
    let longer = [content.as_ref(), b"more"].concat();
    hub.storage.fail([Fault::Unsized(longer.into())]);
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SizeMismatch);
    assert!(fixture.files_in("partial").is_empty());
}

#[tokio::test]
async fn a_length_other_than_announced_is_refused_at_once() {
    let (hub, fixture, content) = published().await;
    hub.put_file(
        PATH,
        HubFile {
            announced_bytes: Some(5),
            ..HubFile::new(content)
        },
    );
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(
        matches!(
            error,
            ModelError::SizeMismatch {
                expected: 5,
                found: 300_000,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_range_that_does_not_fit_begins_anew() {
    let (hub, fixture, content) = published().await;
    hub.storage.fail([Fault::Cut(100_000), status(416, &[])]);
    let report = fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(std::fs::read(&report.path).unwrap(), content);
    assert_eq!(
        hub.storage.ranges(),
        [None, Some("bytes=100000-".to_owned()), None]
    );
}

#[tokio::test]
async fn a_page_in_the_place_of_a_model_is_refused() {
    let hub = Hub::start().await;
    hub.put(PATH, "<!doctype html><title>Log in</title>".into());
    let fixture = Fixture::with_hub(&hub);
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(error.to_string().contains("not a GGUF file"), "{error}");
    assert!(fixture.files_in("blobs/sha256").is_empty() && fixture.files_in("partial").is_empty());
}

#[tokio::test]
async fn a_small_file_without_a_sha256_tag_is_pinned_to_what_came() {
    let hub = Hub::start().await;
    let content = gguf(4, 900);
    let git_tag = "a".repeat(40);
    hub.put_file(
        PATH,
        HubFile {
            announced_tag: Some(git_tag),
            ..HubFile::new(content.clone())
        },
    );
    let report = Fixture::with_hub(&hub).pull(REFERENCE).await.unwrap();
    assert_eq!(report.model.files[0].sha256, digest(&content));
}

#[tokio::test]
async fn every_part_of_a_split_model_is_pulled_and_keeps_its_name() {
    let hub = Hub::start().await;
    let parts: Vec<_> = (1..=3)
        .map(|part| (format!("Big-{part:05}-of-00003.gguf"), gguf(part, 5000)))
        .collect();
    for (name, content) in &parts {
        hub.put(&format!("owner/repo/Q4/{name}"), content.clone());
    }
    let fixture = Fixture::with_hub(&hub);
    // Whichever part is named, all are pulled.
    let report = fixture
        .pull("hf:owner/repo/Q4/Big-00002-of-00003.gguf")
        .await
        .unwrap();
    assert_eq!(report.model.files.len(), 3);
    assert_eq!(report.path.file_name().unwrap(), "Big-00001-of-00003.gguf");
    for (name, content) in &parts {
        assert_eq!(
            std::fs::read(report.path.with_file_name(name)).unwrap(),
            *content
        );
    }

    let name = report.model.name.clone();
    std::fs::remove_file(report.path.with_file_name(&parts[1].0)).unwrap();
    let error = fixture
        .store()
        .open_verified(&name, Arc::new(NoProgress))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ModelError::Tampered { found: None, .. }),
        "{error}"
    );
    let repaired = fixture.pull(name.as_str()).await.unwrap();
    assert_eq!(
        (repaired.status, repaired.transferred_bytes),
        (PullStatus::Replaced, 0)
    );
    fixture
        .store()
        .open_verified(&name, Arc::new(NoProgress))
        .await
        .unwrap();

    fixture.store().remove(&name).await.unwrap();
    assert!(fixture.files_in("blobs/sha256").is_empty() && fixture.files_in("sets").is_empty());
}

#[tokio::test]
async fn a_moved_branch_does_not_change_a_pinned_model_until_it_is_updated() {
    let (hub, fixture, content) = published().await;
    let first = fixture.pull(REFERENCE).await.unwrap();
    let newer = gguf(5, LENGTH);
    // The branch moves and the old commit is gone: the pinned file cannot be had any more.
    hub.put_file(
        PATH,
        HubFile {
            commit: Some("f".repeat(40)),
            ..HubFile::new(newer.clone())
        },
    );
    std::fs::remove_file(&first.path).unwrap();
    assert_eq!(
        fixture.pull(REFERENCE).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );

    // A mirror that serves other bytes under the same commit is told apart from that.
    hub.put_file(PATH, HubFile::new(newer.clone()));
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(
        matches!(&error, ModelError::PinChanged { expected, found, .. }
        if *expected == digest(&content) && *found == digest(&newer)),
        "{error}"
    );
    assert!(error.advice().contains("--update"));

    let options = PullOptions {
        update: true,
        ..PullOptions::default()
    };
    let updated = fixture.pull_with(REFERENCE, options).await.unwrap();
    assert_eq!(updated.status, PullStatus::Replaced);
    assert_eq!(std::fs::read(&updated.path).unwrap(), newer);
    assert_eq!(
        fixture.files_in("blobs/sha256"),
        [digest(&newer).to_string()]
    );
}

#[tokio::test]
async fn an_announced_digest_that_is_stored_already_is_not_fetched_again() {
    let (hub, fixture, content) = published().await;
    fixture.pull(REFERENCE).await.unwrap();
    hub.put("owner/copy/Same.gguf", content);
    let report = fixture.pull("hf:owner/copy/Same.gguf").await.unwrap();
    assert_eq!(
        (report.status, report.transferred_bytes),
        (PullStatus::Pulled, 0)
    );
    assert_eq!(hub.storage.seen().len(), 1);
    assert_eq!(fixture.files_in("blobs/sha256").len(), 1);
}

#[tokio::test]
async fn terms_must_be_accepted_also_when_the_file_is_named_by_its_source() {
    let (hub, mut fixture, _) = published().await;
    let catalogue = format!(
        r#"
        [[model]]
        name = "strict"
        title = "Strict"
        parameters = "1B"
        quantization = "Q4"
        use = "chat"
        context_tokens = 2048
        size_bytes = 300000
        licence = {{ name = "Strict Terms", url = "https://terms.example/", must_accept = true }}
        source = "{REFERENCE}"
        "#
    );
    fixture.settings.catalogue = Arc::new(Catalogue::parse(&catalogue).unwrap());
    for reference in [
        "strict".to_owned(),
        REFERENCE.to_owned(),
        format!("{REFERENCE}@{COMMIT}"),
    ] {
        let error = fixture.pull(&reference).await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::LicenceNotAccepted,
            "{reference}: {error}"
        );
        assert!(
            error.advice().contains("https://terms.example/")
                && error.advice().contains("--accept-licence")
        );
    }
    assert!(
        hub.seen().is_empty(),
        "something was fetched before the terms were accepted"
    );

    let options = PullOptions {
        accept_licence: true,
        ..PullOptions::default()
    };
    let report = fixture.pull_with("strict", options).await.unwrap();
    assert!(report.model.licence_accepted);
    // Accepted once is accepted for the repair of the same model.
    tamper(&report.path, |bytes| bytes.truncate(10));
    assert_eq!(
        fixture.pull("strict").await.unwrap().status,
        PullStatus::Replaced
    );
}

#[tokio::test]
async fn two_pulls_of_one_model_fetch_it_once() {
    let (hub, fixture, _) = published().await;
    let other = Fixture {
        settings: fixture.settings.clone(),
        ..Fixture::new()
    };
    let (first, second) = tokio::join!(fixture.pull(REFERENCE), other.pull(REFERENCE));
    let mut statuses =
        [first.unwrap().status, second.unwrap().status].map(|status| format!("{status:?}"));
    statuses.sort();
    assert_eq!(statuses, ["AlreadyPresent", "Pulled"]);
    assert_eq!(hub.storage.seen().len(), 1);
}

#[tokio::test]
async fn a_pull_waits_for_a_running_pull_and_continues_it_when_that_ends() {
    let (hub, mut fixture, content) = published().await;
    hub.storage.fail([Fault::Stall(120_000)]);
    let start = |fixture: &Fixture| {
        let (store, events) = (fixture.store(), Arc::clone(&fixture.events));
        let reference = REFERENCE.parse().unwrap();
        tokio::spawn(async move { store.pull(&reference, PullOptions::default(), events).await })
    };
    let running = start(&fixture);
    while !matches!(
        fixture.incoming.recv().await.unwrap(),
        ProgressEvent::Advanced {
            received_bytes: 120_000,
            ..
        }
    ) {}
    let mut other = Fixture {
        settings: fixture.settings.clone(),
        ..Fixture::new()
    };
    let waiting = start(&other);
    let first = other.incoming.recv().await.unwrap();
    assert!(matches!(first, ProgressEvent::Waiting { .. }), "{first:?}");
    running.abort();
    let report = waiting.await.unwrap().unwrap();
    assert_eq!(report.transferred_bytes, LENGTH as u64 - 120_000);
    assert_eq!(std::fs::read(&report.path).unwrap(), content);
}

#[tokio::test]
async fn pulls_of_many_models_at_once_all_end_in_the_lock_file() {
    let hub = Hub::start().await;
    let names: Vec<String> = (0..12).map(|index| format!("m{index:02}.gguf")).collect();
    for (seed, name) in (0..).zip(&names) {
        hub.put(&format!("owner/repo/{name}"), gguf(seed, 4000));
    }
    let fixture = Fixture::with_hub(&hub);
    let tasks: Vec<_> = names
        .iter()
        .map(|name| {
            // A store of its own for each, as separate processes would have.
            let store = fixture.store();
            let reference = format!("hf:owner/repo/{name}").parse().unwrap();
            tokio::spawn(async move {
                store
                    .pull(&reference, PullOptions::default(), Arc::new(NoProgress))
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let report = fixture
        .store()
        .verify(None, Arc::new(NoProgress))
        .await
        .unwrap();
    assert!(report.is_intact);
    let installed: Vec<ModelName> = report.models.into_iter().map(|model| model.name).collect();
    assert_eq!(installed.len(), names.len());
}
