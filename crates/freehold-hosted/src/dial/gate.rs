//! Whether a backend's connection may go to an address.

use std::net::IpAddr;

use freehold_types::Perimeter;
use http::Uri;
use url::{Host, Url};

use super::networks::{self, Networks};
use crate::settings::SettingsError;

/// Why a connection is not made. Names addresses, so it is for the operator's log, not for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    #[error("only {configured} is dialled, not {asked}")]
    NotConfigured { configured: String, asked: String },
    #[error("{host} resolves to {address}: {reason}")]
    Refused {
        host: String,
        address: IpAddr,
        reason: &'static str,
    },
    #[error("{0} resolves to nothing")]
    NoAddress(String),
}

/// One backend's address, and what it may resolve to.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    scheme: String,
    host: Host<String>,
    port: u16,
    perimeter: Perimeter,
    inside: Networks,
}

impl Gate {
    /// A gate for a base URL that was checked to be http or https and to have a host.
    ///
    /// # Errors
    /// When the address in the URL may not be dialled at all.
    pub(crate) fn new(
        base: &Url,
        perimeter: Perimeter,
        inside: &Networks,
    ) -> Result<Self, SettingsError> {
        let error = |reason: String| SettingsError::Address {
            url: base.to_string(),
            reason,
        };
        let host = base
            .host()
            .ok_or_else(|| error("it has no host".to_owned()))?
            .to_owned();
        let gate = Self {
            scheme: base.scheme().to_owned(),
            port: base.port_or_known_default().unwrap_or(0),
            host,
            perimeter,
            inside: inside.clone(),
        };
        if let Some(address) = gate.literal() {
            if let Some(reason) = networks::never(address) {
                return Err(error(format!("{address} is never dialled: {reason}")));
            }
            // A literal is its own declaration, unless the operator wrote down what is inside.
            if perimeter == Perimeter::Inside && inside.are_declared() && !inside.hold(address) {
                return Err(error(format!(
                    "the backend is inside, and {address} is in none of the networks of `outbound.allow`"
                )));
            }
        }
        Ok(gate)
    }

    /// The configured host as a name server is asked for it, or as an address.
    pub(crate) fn host(&self) -> String {
        self.host.to_string()
    }

    fn literal(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// Whether a URI leads to the configured place.
    pub(crate) fn check_uri(&self, uri: &Uri) -> Result<(), DialError> {
        let asked = Url::parse(&uri.to_string()).ok();
        let same = asked.as_ref().is_some_and(|asked| {
            asked.scheme() == self.scheme
                && asked.host().map(|host| host.to_owned()) == Some(self.host.clone())
                && asked.port_or_known_default() == Some(self.port)
        });
        if same {
            return Ok(());
        }
        Err(DialError::NotConfigured {
            configured: format!("{}://{}:{}", self.scheme, self.host, self.port),
            asked: uri.authority().map(ToString::to_string).unwrap_or_default(),
        })
    }

    /// Whether the configured name may be asked for.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), DialError> {
        match &self.host {
            Host::Domain(host) if host.eq_ignore_ascii_case(name) => Ok(()),
            _ => Err(DialError::NotConfigured {
                configured: self.host(),
                asked: name.to_owned(),
            }),
        }
    }

    /// Whether a connection may be made to what the name resolved to. One bad answer spoils all:
    /// an honest name server has no reason to mix them.
    pub(crate) fn check_answers(&self, answers: &[IpAddr]) -> Result<(), DialError> {
        if answers.is_empty() {
            return Err(DialError::NoAddress(self.host()));
        }
        answers
            .iter()
            .try_for_each(|address| self.check_answer(*address))
    }

    fn check_answer(&self, address: IpAddr) -> Result<(), DialError> {
        let reason = if let Some(reason) = networks::never(address) {
            Some(reason)
        } else if self.perimeter == Perimeter::Inside {
            (!self.inside.hold(address)).then_some(if self.inside.are_declared() {
                "the backend is inside, and `outbound.allow` does not hold this address"
            } else {
                "the backend is inside, and this is no private address (see `outbound.allow`)"
            })
        } else {
            // Vendors can be reached through private links, but they are not this machine.
            let meant = matches!(&self.host, Host::Domain(name) if is_localhost(name));
            (networks::is_own(address) && !meant)
                .then_some("the backend is outside, and this is an address of this machine or link")
        };
        match reason {
            None => Ok(()),
            Some(reason) => Err(DialError::Refused {
                host: self.host(),
                address,
                reason,
            }),
        }
    }
}

/// RFC 6761: `localhost` and the names below it.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
