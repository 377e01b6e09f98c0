//! The configurations that are measured: one small gateway, and more of one thing.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::Axis;

/// The secret of the key with this number.
pub(super) fn key(number: usize) -> String {
    format!("sk-scale-{number:012}")
}

/// The key that a reload adds: a gateway that takes it has the new configuration.
pub(super) const NEW_KEY: &str = "sk-scale-after-reload";

/// The model that a request names so that it takes the way that is measured.
pub(super) fn model(axis: Axis, number: usize) -> String {
    match axis {
        Axis::Routes => format!("route-{number:06}"),
        Axis::Wildcards => format!("pool-{number:06}/mock"),
        _ => "mock/mock".to_owned(),
    }
}

/// What a configuration has of everything.
pub(super) struct Shape<'a> {
    pub(super) axis: Axis,
    pub(super) size: usize,
    pub(super) upstream: &'a str,
    pub(super) port: u16,
    pub(super) folder: &'a Path,
}

impl Shape<'_> {
    fn of(&self, axis: Axis) -> usize {
        if self.axis == axis { self.size } else { 0 }
    }

    /// Writes the configuration, with the key of a reload or without.
    pub(super) fn write(&self, reloaded: bool) -> anyhow::Result<PathBuf> {
        let path = self.folder.join("freehold.yaml");
        // A gateway that looks at the file must never see half of it.
        let new = self.folder.join("freehold.yaml.new");
        let mut file = BufWriter::new(File::create(&new)?);
        file.write_all(self.head().as_bytes())?;
        let budgets = self.of(Axis::Budgets);
        let keys = self.of(Axis::Keys).max(budgets).max(1);
        file.write_all(b"keys:\n")?;
        for number in 0..keys {
            file.write_all(entry(number, &key(number), budgets > 0).as_bytes())?;
        }
        if reloaded {
            file.write_all(entry(keys, NEW_KEY, false).as_bytes())?;
        }
        file.write_all(routes(self.of(Axis::Routes), self.of(Axis::Wildcards)).as_bytes())?;
        file.write_all(rules(self.of(Axis::Rules)).as_bytes())?;
        file.into_inner()?;
        std::fs::rename(&new, &path)?;
        Ok(path)
    }

    /// All that every size has.
    fn head(&self) -> String {
        let Self {
            upstream,
            port,
            folder,
            ..
        } = self;
        let folder = folder.display();
        format!(
            r#"server:
  listen: "127.0.0.1:{port}"
  admin: null
  connections_max: 20000
  header_timeout_s: 3600
discover: false
backends:
  mock:
    type: openai
    base_url: "{upstream}/v1"
    api_key: sk-mock
    models:
      - name: mock
        context_tokens: 128000
        price: {{ input_usd_per_million: 0.15, output_usd_per_million: 0.6 }}
ledger:
  directory: "{folder}/ledger"
"#
        )
    }
}

fn entry(number: usize, secret: &str, has_budget: bool) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let mut hash = String::with_capacity(64);
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    let budget = if has_budget {
        "    budgets: [{per: day, usd: 1000000}]\n"
    } else {
        ""
    };
    format!("  - name: key-{number:07}\n    key: sha256:{hash}\n{budget}")
}

fn routes(named: usize, wild: usize) -> String {
    let mut yaml = String::new();
    if named + wild > 0 {
        yaml.push_str("routes:\n");
    }
    for number in 0..named {
        let _ = writeln!(yaml, "  route-{number:06}: {{targets: [mock/mock]}}");
    }
    for number in 0..wild {
        let _ = writeln!(yaml, "  \"pool-{number:06}/*\": {{targets: [\"mock/*\"]}}");
    }
    yaml
}

/// Rules for keys: one is about the key that asks, the others are about keys that do not.
fn rules(count: usize) -> String {
    let mut yaml = String::new();
    if count > 0 {
        yaml.push_str("policy:\n  rules:\n");
    }
    for number in 0..count {
        let _ = writeln!(
            yaml,
            "    - {{name: rule-{number:06}, when: {{key: key-{number:07}}}, review: true}}"
        );
    }
    yaml
}
