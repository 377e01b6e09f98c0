//! The Hugging Face protocol: what a `resolve` address says about a file before it is fetched.

use reqwest::header::{CONTENT_LENGTH, ETAG};
use reqwest::{Method, Response};
use url::Url;

use crate::digest::Sha256Digest;
use crate::download::Context;
use crate::error::ModelError;
use crate::http::{Exchange, Follow, Scope, Subject, header};
use crate::reference::HubFile;
use crate::retry::Attempts;

const REVISION_DEFAULT: &str = "main";

/// What the endpoint says about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HubFileInfo {
    /// The commit that the revision stands for now.
    pub(crate) commit: Option<String>,
    /// The entity tag of the content, without quotes: a SHA-256 for large files.
    pub(crate) etag: Option<String>,
    /// The tag, where it is a SHA-256.
    pub(crate) sha256: Option<Sha256Digest>,
    /// The size, bytes.
    pub(crate) size_bytes: Option<u64>,
    /// The address of exactly this commit's file.
    pub(crate) url: Url,
}

/// Where people find the repository, and how it is called in messages.
pub(crate) fn subject(endpoint: &Url, file: &HubFile) -> Subject {
    let page = endpoint
        .join(&file.repository)
        .ok()
        .map(|url| url.to_string());
    Subject {
        what: format!("{}/{}", file.repository, file.path),
        page,
    }
}

/// Asks the endpoint about a file, without fetching it.
pub(crate) async fn describe(
    context: &Context,
    endpoint: &Url,
    scope: Option<&Scope>,
    file: &HubFile,
) -> Result<HubFileInfo, ModelError> {
    let subject = subject(endpoint, file);
    let revision = file.revision.as_deref().unwrap_or(REVISION_DEFAULT);
    let url = resolve_url(endpoint, file, revision)?;
    let mut attempts = Attempts::new(&context.transport, &subject.what, context.progress.as_ref());
    loop {
        let exchange = Exchange {
            method: Method::HEAD,
            url: &url,
            scope,
            headers: Vec::new(),
            // The headers that matter are on the endpoint's answer, not on the storage host's.
            follow: Follow::SameOrigin,
            subject: &subject,
        };
        match context.transport.exchange(exchange).await {
            Ok(response) => return read_info(&response, endpoint, file, url),
            Err(failure) => attempts.failed(failure, false).await?,
        }
    }
}

fn read_info(
    response: &Response,
    endpoint: &Url,
    file: &HubFile,
    url: Url,
) -> Result<HubFileInfo, ModelError> {
    let commit = header(response, "x-repo-commit")
        .filter(|commit| is_commit(commit))
        .map(str::to_owned);
    let linked = header(response, "x-linked-etag");
    let etag = linked
        .or_else(|| header(response, ETAG.as_str()))
        .map(plain_tag);
    // The length of a redirect's own body says nothing about the file.
    let length = response
        .status()
        .is_success()
        .then(|| header(response, CONTENT_LENGTH.as_str()))
        .flatten();
    let size_bytes = header(response, "x-linked-size")
        .or(length)
        .and_then(|size| size.parse().ok());
    let url = match &commit {
        Some(commit) => resolve_url(endpoint, file, commit)?,
        None => url,
    };
    Ok(HubFileInfo {
        sha256: etag.as_deref().and_then(|tag| tag.parse().ok()),
        commit,
        etag,
        size_bytes,
        url,
    })
}

/// A tag without `W/` and quotes.
fn plain_tag(tag: &str) -> String {
    tag.trim()
        .trim_start_matches("W/")
        .trim_matches('"')
        .to_owned()
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn resolve_url(endpoint: &Url, file: &HubFile, revision: &str) -> Result<Url, ModelError> {
    let mut url = endpoint.clone();
    {
        let mut segments = url
            .path_segments_mut()
            .map_err(|()| ModelError::InvalidSettings {
                setting: "HF_ENDPOINT".to_owned(),
                reason: "it cannot carry a path".to_owned(),
            })?;
        // Each component is encoded, so `refs/pr/1` stays one component as the protocol wants.
        segments
            .pop_if_empty()
            .extend(file.repository.split('/'))
            .push("resolve")
            .push(revision)
            .extend(file.path.split('/'));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolve_address_keeps_prefix_and_encodes_components() {
        let endpoint = Url::parse("https://mirror.example/hf/").unwrap();
        let file = HubFile {
            repository: "owner/repo".into(),
            revision: None,
            path: "a dir/model#1.gguf".into(),
        };
        let url = resolve_url(&endpoint, &file, "refs/pr/1").unwrap();
        assert_eq!(
            url.as_str(),
            "https://mirror.example/hf/owner/repo/resolve/refs%2Fpr%2F1/a%20dir/model%231.gguf"
        );
    }

    #[test]
    fn tags_lose_their_wrapping() {
        assert_eq!(plain_tag("W/\"abc\""), "abc");
        assert_eq!(plain_tag("\"abc\""), "abc");
    }
}
