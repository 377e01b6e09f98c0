//! How near answers' embeddings are to those of the first run's answers.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use freehold_proof::Score;
use freehold_proof::scorers::cosine;

use crate::cli::DriftProbeArgs;
use crate::commands::eval::ask::{Asker, Failure};
use crate::commands::eval::asked::embed;
use crate::commands::eval::record::Settings;
use crate::commands::model_server;
use crate::commands::usage::printable;

/// So many answers go into one request, each with the first run's.
const PAIRS_MAX: usize = 32;

/// A model that embeds.
#[derive(Clone, Debug)]
pub(super) struct Embedder(Asker);

impl Embedder {
    /// `None` when nobody is to embed.
    pub(super) fn new(args: &DriftProbeArgs) -> Result<Option<Self>> {
        let Some(model) = &args.embedding else {
            return Ok(None);
        };
        // One server's key is not for another.
        let key_env = match (&args.embedding_key_env, &args.embedding_url) {
            (Some(name), _) => Some(name.as_str()),
            (None, Some(_)) => None,
            (None, None) => args.key_env.as_deref(),
        };
        let url = args.embedding_url.as_deref().unwrap_or(&args.url);
        Ok(Some(Self(Asker {
            client: model_server::client()?,
            endpoint: model_server::embeddings_endpoint(url)?,
            model: model.clone(),
            key: model_server::key(key_env)?,
            settings: Settings {
                max_tokens: args.max_tokens,
                temperature: None,
                seed: None,
            },
            timeout: Duration::from_secs(args.timeout),
            retries: args.retries,
        })))
    }

    /// What it is called in the record.
    pub(super) fn name(&self) -> String {
        format!("{} at {}", self.0.model, self.0.endpoint)
    }

    /// The cosine of each probe's answer and reference; those below 0 count as 0. Both are embedded now, so that a change of
    /// the embedding model itself is none of the answers'. What cannot be embedded is left out, and told.
    pub(super) async fn meanings(
        &self,
        answers: &[(String, String, String)],
    ) -> Result<HashMap<String, Score>> {
        let mut meanings = HashMap::new();
        let mut asked = Vec::new();
        for one in answers {
            let (id, answer, reference) = one;
            if answer == reference {
                meanings.insert(id.clone(), Score::of(true));
            } else if answer.trim().is_empty() || reference.trim().is_empty() {
                meanings.insert(id.clone(), Score::of(false));
            } else {
                asked.push(one);
            }
        }
        for pairs in asked.chunks(PAIRS_MAX) {
            let texts: Vec<&str> = pairs
                .iter()
                .flat_map(|(_, answer, reference)| [answer.as_str(), reference.as_str()])
                .collect();
            let vectors = match embed(&self.0, &texts).await {
                Ok(embedded) => embedded.vectors,
                Err(failure) => {
                    let reason = match failure {
                        Failure::Case { reason, .. } => reason,
                        Failure::Run(error) => format!("{error:#}"),
                    };
                    writeln!(
                        std::io::stderr().lock(),
                        "{} answers are not embedded: {}",
                        pairs.len(),
                        printable(&reason)
                    )?;
                    continue;
                }
            };
            for ((id, _, _), vectors) in pairs.iter().zip(vectors.chunks(2)) {
                if let [answer, reference] = vectors
                    && let Some(cosine) = cosine(answer, reference)
                    && let Ok(score) = Score::new(cosine.max(0.0))
                {
                    meanings.insert(id.clone(), score);
                }
            }
        }
        Ok(meanings)
    }
}
