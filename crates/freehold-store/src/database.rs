//! Which database a ledger lives in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;

/// Where a ledger's rows are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file of this machine. It and its directory are created.
    Sqlite(PathBuf),
    /// A PostgreSQL database, which several gateways may share.
    Postgres(PostgresAddress),
}

/// Shows where it is, never a password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

/// A text that names no database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// It does not begin with a scheme that is known.
    #[error(
        "a ledger cannot live at a URL that begins with `{scheme}`: use \
         postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH"
    )]
    UnknownScheme {
        /// What it begins with.
        scheme: String,
    },
    /// It has no scheme at all; the text may be a secret and is not shown.
    #[error("not a database URL: use postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH")]
    NoScheme,
    /// What is behind `sqlite:` is no file.
    #[error(
        "`sqlite:` takes the path of a file, without parameters: sqlite:/var/lib/freehold/ledger.db"
    )]
    NotAFile,
    /// The rest cannot be understood.
    #[error("the PostgreSQL URL cannot be read: {reason}")]
    Malformed {
        /// Why not.
        reason: String,
    },
}

impl FromStr for Database {
    type Err = DatabaseUrlError;

    fn from_str(url: &str) -> Result<Self, DatabaseUrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(DatabaseUrlError::NoScheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => PostgresAddress::new(url).map(Self::Postgres),
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path.starts_with(':') || path.contains(['?', '#']) {
                    return Err(DatabaseUrlError::NotAFile);
                }
                Ok(Self::Sqlite(path.into()))
            }
            other => Err(DatabaseUrlError::UnknownScheme {
                scheme: other.chars().take(16).collect(),
            }),
        }
    }
}

impl From<&Self> for Database {
    fn from(database: &Self) -> Self {
        database.clone()
    }
}

impl From<PathBuf> for Database {
    fn from(path: PathBuf) -> Self {
        Self::Sqlite(path)
    }
}

impl From<&PathBuf> for Database {
    fn from(path: &PathBuf) -> Self {
        Self::Sqlite(path.clone())
    }
}

impl From<&Path> for Database {
    fn from(path: &Path) -> Self {
        Self::Sqlite(path.to_owned())
    }
}

impl From<&str> for Database {
    /// A path, not a URL.
    fn from(path: &str) -> Self {
        Self::Sqlite(path.into())
    }
}

/// The URL of a PostgreSQL database. What it does not say comes from the usual environment
/// variables (`PGUSER`, `PGPASSWORD`, `PGSSLMODE`, …) and the password file.
#[derive(Clone)]
pub struct PostgresAddress {
    url: SecretString,
    shown: String,
}

impl PostgresAddress {
    fn new(url: &str) -> Result<Self, DatabaseUrlError> {
        let options = PgConnectOptions::from_str(url).map_err(|error| {
            let reason = match error {
                sqlx::Error::Configuration(reason) => reason.to_string(),
                other => other.to_string(),
            };
            DatabaseUrlError::Malformed { reason }
        })?;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let name = options.get_database().unwrap_or(options.get_username());
        Ok(Self {
            url: url.into(),
            shown: format!("postgres://{host}/{name}"),
        })
    }

    /// How to connect, as the environment is now.
    pub(crate) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        PgConnectOptions::from_str(self.url.expose_secret())
    }
}

impl PartialEq for PostgresAddress {
    fn eq(&self, other: &Self) -> bool {
        self.url.expose_secret() == other.url.expose_secret()
    }
}

impl Eq for PostgresAddress {}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_which_home_it_is() {
        let sqlite = |path: &str| Ok(Database::Sqlite(path.into()));
        let cases = [
            ("sqlite:ledger.db", sqlite("ledger.db")),
            ("sqlite:///var/lib/ledger.db", sqlite("/var/lib/ledger.db")),
            ("sqlite::memory:", Err(DatabaseUrlError::NotAFile)),
            ("sqlite://x.db?mode=ro", Err(DatabaseUrlError::NotAFile)),
            ("sqlite:", Err(DatabaseUrlError::NotAFile)),
            ("/var/lib/ledger.db", Err(DatabaseUrlError::NoScheme)),
            ("", Err(DatabaseUrlError::NoScheme)),
            (
                "mysql://me:secret@host/app",
                Err(DatabaseUrlError::UnknownScheme {
                    scheme: "mysql".to_owned(),
                }),
            ),
        ];
        for (url, expected) in cases {
            assert_eq!(url.parse::<Database>(), expected, "{url}");
        }
    }

    #[test]
    fn a_postgres_address_is_shown_without_its_password() {
        let url = "postgresql://me:hunter2@db.example:6432/ledger?sslmode=verify-full";
        let database: Database = url.parse().unwrap();
        assert_eq!(database.to_string(), "postgres://db.example:6432/ledger");
        assert!(!format!("{database:?}").contains("hunter2"));
        let socket = "postgres://me@%2Frun%2Fpostgresql/ledger";
        let socket: Database = socket.parse().unwrap();
        assert!(socket.to_string().starts_with("postgres:///run/postgresql"));

        let errors = [
            "postgres://me:hunter2@host:port/x",
            "postgres://me:hunter2@host/x?sslmode=perhaps",
        ];
        for url in errors {
            let error = url.parse::<Database>().unwrap_err();
            assert!(matches!(error, DatabaseUrlError::Malformed { .. }));
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
