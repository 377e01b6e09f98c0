//! What `freehold serve` says when it is ready.

use std::fmt::Write as _;
use std::net::SocketAddr;

use freehold_types::{Deployment, Perimeter, Sensitivity};

/// What the start-up notice is about.
pub(crate) struct Notice<'a> {
    pub(crate) address: SocketAddr,
    /// Whether clients speak TLS.
    pub(crate) tls: bool,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) config: String,
    pub(crate) deployments: &'a [std::sync::Arc<Deployment>],
    pub(crate) sealed: bool,
    pub(crate) outside_up_to: Option<Sensitivity>,
    pub(crate) default_sensitivity: Sensitivity,
    pub(crate) needs_key: bool,
    pub(crate) hints: Vec<String>,
}

impl Notice<'_> {
    /// The notice as text.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    // Writing to a String cannot fail.
    fn write(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "Freehold {} on {}",
            env!("CARGO_PKG_VERSION"),
            self.url()
        );
        let _ = writeln!(out, "  configuration  {}", self.config);
        if let Some(admin) = self.admin {
            let _ = writeln!(out, "  metrics        http://{admin}/metrics");
        }
        let _ = writeln!(out, "  privacy        {}", self.privacy());
        for (perimeter, word) in [
            (Perimeter::Inside, "inside"),
            (Perimeter::Outside, "outside"),
        ] {
            let _ = writeln!(out, "  {word:<13}  {}", self.models(perimeter));
        }
        for hint in &self.hints {
            let _ = writeln!(out, "  note           {hint}");
        }
        if !self.deployments.is_empty() {
            self.snippets(out);
        }
    }

    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    fn privacy(&self) -> String {
        let default = self.default_sensitivity;
        match self.outside_up_to {
            None => "sealed: nothing leaves this perimeter".to_owned(),
            Some(limit) => format!(
                "requests count as {default} unless marked higher; outside backends may see up to \
                 {limit} (--sealed keeps everything inside)"
            ),
        }
    }

    fn models(&self, perimeter: Perimeter) -> String {
        const SHOWN_MAX: usize = 6;
        let names: Vec<&str> = self
            .deployments
            .iter()
            .filter(|deployment| deployment.site.perimeter == perimeter)
            .map(|deployment| deployment.id.as_str())
            .collect();
        match names.len() {
            0 if perimeter == Perimeter::Outside && self.sealed => "none (sealed)".to_owned(),
            0 => "none".to_owned(),
            count if count > SHOWN_MAX => {
                format!(
                    "{}, and {} more",
                    names[..SHOWN_MAX].join(", "),
                    count - SHOWN_MAX
                )
            }
            _ => names.join(", "),
        }
    }

    fn snippets(&self, out: &mut String) {
        let url = self.url();
        let (header, key) = if self.needs_key {
            (
                " -H \"authorization: Bearer $FREEHOLD_API_KEY\"",
                "YOUR_KEY",
            )
        } else {
            ("", "none")
        };
        let _ = write!(
            out,
            "
Try it:

  curl {url}/v1/chat/completions{header} -H 'content-type: application/json' \\
    -d '{{\"model\": \"auto\", \"max_tokens\": 60, \"messages\": [{{\"role\": \"user\", \"content\": \"Name three colours.\"}}]}}'

  python3 - <<'END'
import json, urllib.request
body = {{\"model\": \"auto\", \"max_tokens\": 60, \"messages\": [{{\"role\": \"user\", \"content\": \"Name three colours.\"}}]}}
request = urllib.request.Request(\"{url}/v1/chat/completions\", json.dumps(body).encode(),
    {{\"content-type\": \"application/json\", \"authorization\": \"Bearer {key}\"}})
print(json.load(urllib.request.urlopen(request))[\"choices\"][0][\"message\"][\"content\"])
END

  With the OpenAI SDK: OpenAI(base_url=\"{url}/v1\", api_key=\"{key}\")
"
        );
    }
}
