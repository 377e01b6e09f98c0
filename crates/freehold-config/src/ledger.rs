//! Where the record of outcomes is kept.

use std::time::Duration;

use freehold_store::{Database, DatabaseUrlError, StoreSettings, SyncPolicy};

use super::settings::Environment;
use super::{Complaint, raw};

/// The ledger's settings.
pub(crate) fn settings(
    raw: &raw::Ledger,
    environment: &Environment,
) -> Result<StoreSettings, Complaint> {
    let directory = raw
        .directory
        .clone()
        .unwrap_or_else(|| environment.home.join("ledger"));
    let mut settings = StoreSettings::new(directory);
    settings.spool.limit_bytes = u64::from(raw.spool_mib_max) * 1024 * 1024;
    settings.spool.sync = match raw.fsync_ms {
        0 => SyncPolicy::Always,
        ms => SyncPolicy::Every(Duration::from_millis(ms.into())),
    };
    if let Some(database) = database(raw, environment)? {
        settings.database = database;
    }
    Ok(settings)
}

/// Which database the configuration names, else the environment.
fn database(raw: &raw::Ledger, environment: &Environment) -> Result<Option<Database>, Complaint> {
    let place = ["ledger", "database_url"];
    if let Some(url) = &raw.database_url {
        let database = url.as_str().parse();
        return database
            .map(Some)
            .map_err(|error: DatabaseUrlError| Complaint::new(place, error.to_string()));
    }
    let variable = (environment.variable)("DATABASE_URL").filter(|url| !url.is_empty());
    let Some(url) = variable else {
        return Ok(None);
    };
    url.parse().map(Some).map_err(|error: DatabaseUrlError| {
        let what = format!(
            "the environment variable DATABASE_URL: {error}; if it is not meant for Freehold, name \
             the ledger's database in `ledger.database_url`"
        );
        Complaint::new(place, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: Option<&str>, variable: Option<&str>) -> Result<String, String> {
        let yaml = written.map_or_else(String::new, |url| format!("database_url: '{url}'"));
        let raw: raw::Ledger = serde_saphyr::from_str(&format!("{yaml}\nfsync_ms: 5")).unwrap();
        let variable = variable.map(str::to_owned);
        let environment = Environment {
            variable: Box::new(move |name| variable.clone().filter(|_| name == "DATABASE_URL")),
            ..Environment::bare("/data")
        };
        let settings = settings(&raw, &environment);
        settings
            .map(|settings| settings.database.to_string())
            .map_err(|complaint| format!("{}: {}", complaint.path.join("."), complaint.message))
    }

    #[test]
    fn the_environment_names_the_database_where_the_file_does_not() {
        let postgres = "postgres://me:hunter2@db/ledger";
        let shown = Ok("postgres://db:5432/ledger".to_owned());
        assert_eq!(read(None, None), Ok("/data/ledger/ledger.db".to_owned()));
        assert_eq!(
            read(None, Some("")),
            Ok("/data/ledger/ledger.db".to_owned())
        );
        assert_eq!(read(None, Some(postgres)), shown);
        assert_eq!(read(Some(postgres), Some("mysql://else/where")), shown);
        let file = read(Some("sqlite:/srv/ledger.db"), Some(postgres));
        assert_eq!(file, Ok("/srv/ledger.db".to_owned()));
    }

    #[test]
    fn another_program_s_database_is_no_ledger() {
        let error = read(None, Some("mysql://me:hunter2@db/app")).unwrap_err();
        assert!(
            error.contains("DATABASE_URL") && error.contains("`mysql`"),
            "{error}"
        );
        assert!(error.contains("ledger.database_url"), "{error}");
        let written = read(Some("redis://me:hunter2@db"), None).unwrap_err();
        assert!(
            written.contains("`redis`") && !written.contains("DATABASE_URL"),
            "{written}"
        );
        for error in [error, written] {
            assert!(error.starts_with("ledger.database_url") && !error.contains("hunter2"));
        }
    }
}
