//! Refuses every address that is not on this machine: load must never reach anybody else's servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail, ensure};
use hyper::Uri;

/// A plain-HTTP base URL on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where to connect.
    pub(crate) address: SocketAddr,
    /// The `Host` header.
    pub(crate) host: String,
    /// The path before `/v1/...`, without a slash at its end.
    pub(crate) prefix: String,
}

/// Reads a base URL such as `http://127.0.0.1:4000`.
pub(crate) fn target(url: &str) -> anyhow::Result<Target> {
    let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
    ensure!(
        uri.scheme_str() == Some("http"),
        "{url}: only http:// on loopback is measured"
    );
    let host = uri.host().unwrap_or_default();
    let ip = match host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        Ok(ip) if ip.is_loopback() => ip,
        _ if host == "localhost" => Ipv4Addr::LOCALHOST.into(),
        _ => bail!("{url} is not on loopback; load is only sent to this machine"),
    };
    let address = SocketAddr::new(ip, uri.port_u16().unwrap_or(80));
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    Ok(Target {
        address,
        host,
        prefix: uri.path().trim_end_matches('/').to_owned(),
    })
}

/// Checks an address to listen on.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    ensure!(address.ip().is_loopback(), "{address} is not on loopback");
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::{listen, target};

    #[test]
    fn loopback_only() {
        let good = target("http://127.0.0.1:4000/base/").unwrap();
        assert_eq!(
            (good.address.to_string().as_str(), good.prefix.as_str()),
            ("127.0.0.1:4000", "/base")
        );
        assert_eq!(
            target("http://localhost:9").unwrap().address.to_string(),
            "127.0.0.1:9"
        );
        assert_eq!(
            target("http://[::1]:9").unwrap().address.to_string(),
            "[::1]:9"
        );
        for bad in [
            "http://10.0.0.1",
            "http://example.com",
            "https://127.0.0.1",
            "127.0.0.1",
            "http://localhost.example",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
        assert!(listen("0.0.0.0:1".parse().unwrap()).is_err());
    }
}
