//! Where text is stored that policy lets be stored, and under which master key.

use std::path::PathBuf;

use freehold_policy::Policy;
use freehold_store::prompts::{MasterKeySource, PromptSettings};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::Complaint;
use super::settings::Environment;

/// Stored requests and answers, encrypted: none, unless a rule of the policy says `store`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawPrompts {
    /// Where. Default: Freehold's directory.
    pub(crate) directory: Option<PathBuf>,
    /// The key under which tenants' keys are kept. Default: `prompts.key` in that directory, made
    /// when it is not there.
    pub(crate) master_key: Option<RawMasterKey>,
    /// Master keys that were in use before, until `freehold prompts rotate-key` is done.
    pub(crate) previous_master_keys: Vec<RawMasterKey>,
    /// Nothing more is stored beyond this, in MiB.
    pub(crate) mib_max: u32,
    /// How much memory samples may take that wait to be written, in MiB. Beyond it they are dropped.
    pub(crate) queue_mib_max: u32,
}

impl Default for RawPrompts {
    fn default() -> Self {
        Self {
            directory: None,
            master_key: None,
            previous_master_keys: vec![],
            mib_max: 1_024,
            queue_mib_max: 64,
        }
    }
}

/// Where a master key comes from; one of these. A key is 32 bytes, as 64 hex digits or as base64.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawMasterKey {
    /// A file; it must be there.
    pub(crate) file: Option<PathBuf>,
    /// An environment variable's name.
    pub(crate) env: Option<String>,
    /// A program with its arguments that wraps and unwraps keys, as a client of a key-management
    /// service does; see docs/prompt-store.md.
    pub(crate) command: Option<Vec<String>>,
    /// Names the command in the store: what it wrapped is unwrapped by the command of the same name.
    /// Default: `kms`.
    pub(crate) name: Option<String>,
}

/// What the section means.
///
/// # Errors
/// The first thing that cannot be run, with the path of the value.
pub(crate) fn prompts(
    raw: &RawPrompts,
    policy: &Policy,
    environment: &Environment,
) -> Result<PromptSettings, Complaint> {
    let directory = raw.directory.as_ref().unwrap_or(&environment.home);
    let mut settings = PromptSettings::new(directory);
    let needed = policy.stores();
    if let Some(key) = &raw.master_key {
        settings.master_key = source(key, environment, needed)
            .map_err(|why| Complaint::new(["prompts", "master_key"], why))?;
    }
    for (index, key) in raw.previous_master_keys.iter().enumerate() {
        let place = index.to_string();
        let source = source(key, environment, needed)
            .map_err(|why| Complaint::new(["prompts", "previous_master_keys", &place], why))?;
        settings.previous_master_keys.push(source);
    }
    settings.limit_bytes = u64::from(raw.mib_max) << 20;
    settings.queue_bytes = (raw.queue_mib_max as usize) << 20;
    Ok(settings)
}

fn source(
    raw: &RawMasterKey,
    environment: &Environment,
    needed: bool,
) -> Result<MasterKeySource, String> {
    if raw.name.is_some() && raw.command.is_none() {
        return Err("only a `command` has a `name`".to_owned());
    }
    match (&raw.file, &raw.env, &raw.command) {
        (Some(file), None, None) => {
            if needed && !file.exists() {
                return Err(format!(
                    "there is no {}, and a rule of the policy stores prompts under it; make a key \
                     with: openssl rand -hex 32",
                    file.display()
                ));
            }
            Ok(MasterKeySource::File(file.clone()))
        }
        (None, Some(name), None) => {
            let value = (environment.variable)(name);
            if needed && value.is_none() {
                return Err(format!(
                    "the environment variable {name} is not set, and a rule of the policy stores \
                     prompts under it"
                ));
            }
            Ok(MasterKeySource::Variable {
                name: name.clone(),
                value: SecretString::from(value.unwrap_or_default()),
            })
        }
        (None, None, Some(command)) if !command.is_empty() => Ok(MasterKeySource::Command {
            name: raw.name.clone().unwrap_or_else(|| "kms".to_owned()),
            command: command.clone(),
        }),
        _ => Err("give one of `file`, `env` and `command`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use freehold_policy::Rules;

    use super::*;

    fn environment() -> Environment {
        Environment {
            variable: Box::new(|name| (name == "KEY").then(|| "secret".to_owned())),
            ..Environment::bare("/home/freehold")
        }
    }

    fn read(yaml: &str) -> Result<PromptSettings, Complaint> {
        let raw: RawPrompts = serde_saphyr::from_str(yaml).unwrap();
        prompts(&raw, &Policy::from(Rules::open()), &environment())
    }

    #[test]
    fn without_a_word_the_key_lies_beside_the_store() {
        let settings = read("{}").unwrap();
        let home = PathBuf::from("/home/freehold");
        assert_eq!(settings.database, home.join("prompts.db"));
        let file = home.join("prompts.key");
        assert!(matches!(settings.master_key, MasterKeySource::OwnFile(path) if path == file));
    }

    #[test]
    fn each_source_of_a_key_is_read() {
        let key = |yaml: &str| read(&format!("master_key: {yaml}")).map(|read| read.master_key);
        assert!(matches!(key("{file: /k}"), Ok(MasterKeySource::File(_))));
        assert!(matches!(
            key("{env: KEY}"),
            Ok(MasterKeySource::Variable { .. })
        ));
        let command = key("{command: [aws-key, arn]}").unwrap();
        assert!(matches!(command, MasterKeySource::Command { name, .. } if name == "kms"));
        for wrong in [
            "{}",
            "{file: /k, env: KEY}",
            "{command: []}",
            "{file: /k, name: x}",
        ] {
            let complaint = key(wrong).unwrap_err();
            assert_eq!(complaint.path, ["prompts", "master_key"], "{wrong}");
        }
    }

    #[test]
    fn a_variable_is_missed_where_prompts_are_stored() {
        let yaml = "rules: [{name: r, store: {keep_days: 1}}]";
        let settings: freehold_policy::PolicySettings = serde_saphyr::from_str(yaml).unwrap();
        let surroundings = freehold_policy::Surroundings::default();
        let (stores, _) = Policy::compile(&settings, &surroundings).unwrap();
        let raw = RawPrompts {
            previous_master_keys: vec![RawMasterKey {
                env: Some("OTHER".to_owned()),
                ..RawMasterKey::default()
            }],
            ..RawPrompts::default()
        };
        let complaint = prompts(&raw, &stores, &environment()).unwrap_err();
        assert_eq!(complaint.path, ["prompts", "previous_master_keys", "0"]);
        assert!(prompts(&raw, &Policy::from(Rules::open()), &environment()).is_ok());
    }
}
