//! Where a newer price book comes from. What is fetched decides what is billed, so it comes over TLS,
//! or from this machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use freehold_cost::BOOK_BYTES_MAX;
use url::{Host, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads a file of bounded size.
pub(super) fn from_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    if bytes > u64::try_from(BOOK_BYTES_MAX)? {
        bail!(
            "{} has {bytes} bytes; at most {BOOK_BYTES_MAX} are read",
            path.display()
        );
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Fetches a text of bounded size. No redirect is followed.
pub(super) async fn from_url(text: &str) -> anyhow::Result<Vec<u8>> {
    let url = Url::parse(text).with_context(|| format!("`{text}` is no address"))?;
    let advice = "; try `--url URL`, or `--file FILE` with a file fetched elsewhere";
    if url.scheme() != "https" && !(url.scheme() == "http" && is_this_machine(&url)) {
        bail!("prices are fetched over https, not from {url}{advice}");
    }
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(WHOLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("cannot set up an HTTP client")?;
    let answer = client.get(url.clone()).send().await;
    let mut answer = answer.with_context(|| format!("cannot reach {url}{advice}"))?;
    if !answer.status().is_success() {
        bail!("{url} answered {}{advice}", answer.status());
    }
    let mut data = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .with_context(|| format!("{url} broke off"))?
    {
        if data.len() + piece.len() > BOOK_BYTES_MAX {
            bail!("{url} sends more than {BOOK_BYTES_MAX} bytes{advice}");
        }
        data.extend_from_slice(&piece);
    }
    Ok(data)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
