//! Attacks and ordinary texts.

use std::path::Path;

use anyhow::Result;
use freehold_guard::training::key;

use crate::data::{Row, column, questions, rows, texts};
use crate::names::sentences;
use crate::random::Random;

const TEMPLATES: &str = include_str!("../../templates/injection.txt");
const OTHER_TEMPLATES: &str = include_str!("../../templates/names.txt");

/// Texts made of each template.
const COPIES: usize = 40;

/// One text.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) text: String,
    pub(super) attack: bool,
    pub(super) source: &'static str,
    /// Texts of one group are held out together.
    pub(super) group: u32,
}

/// Everything that may be learnt from.
pub(super) fn load(data: &Path, seed: u64) -> Result<Vec<Sample>> {
    let mut random = Random::new(seed);
    let mut samples = purplellama(data)?;
    ordinary(data, &mut random, &mut samples)?;
    samples.extend(texts("jailbreak")?.into_iter().map(|text| Sample {
        group: key(&text),
        text,
        attack: true,
        source: "jailbreak",
    }));
    let is_request = |sample: &&Sample| matches!(sample.source, "banking" | "clinc");
    let requests: Vec<String> = samples
        .iter()
        .filter(is_request)
        .map(|sample| sample.text.clone())
        .collect();
    samples.extend(templates(&requests, &mut random));
    Ok(samples)
}

/// Attacks and security questions. One in four of the Hindi ones: there are as many as English ones,
/// and too few ordinary Hindi texts beside them.
fn purplellama(data: &Path) -> Result<Vec<Sample>> {
    let rows = rows(&data.join("guard/injection/purplellama.jsonl.gz"))?;
    let rows = rows.into_iter().filter(|row| {
        row.lang.as_deref() != Some("Hindi")
            || key(row.id.as_deref().unwrap_or_default()).is_multiple_of(4)
    });
    let sample = |row: Row| {
        let attack = row.label.as_deref() == Some("injection");
        let group = if attack { row.variant } else { row.id };
        Sample {
            text: row.text,
            attack,
            source: "purplellama",
            group: key(group.as_deref().unwrap_or_default()),
        }
    };
    Ok(rows.map(sample).collect())
}

fn ordinary(data: &Path, random: &mut Random, samples: &mut Vec<Sample>) -> Result<()> {
    let mut add = |texts: Vec<String>, source: &'static str| {
        samples.extend(texts.into_iter().map(|text| Sample {
            group: key(&text),
            text,
            attack: false,
            source,
        }));
    };
    let banking = column(&data.join("router/banking77_train.csv.gz"), "text")?;
    add(banking.into_iter().step_by(2).collect(), "banking");
    let clinc = questions(&data.join("router/clinc150.json.gz"))?;
    add(clinc.into_iter().step_by(3).collect(), "clinc");
    let mut prompts = column(&data.join("router/mmlu_pro.csv.gz"), "prompt")?;
    random.shuffle(&mut prompts);
    add(prompts.into_iter().take(2_000).collect(), "mmlu");
    let documents = rows(&data.join("guard/pii/contextual_anonymizer.jsonl.gz"))?;
    add(
        documents
            .into_iter()
            .step_by(2)
            .map(|row| row.text)
            .collect(),
        "documents",
    );
    let tweets = rows(&data.join("guard/pii/wnut17_train.jsonl.gz"))?;
    add(
        tweets.into_iter().step_by(2).map(|row| row.text).collect(),
        "tweets",
    );
    add(texts("other_languages")?, "languages");
    add(sentences(random)?, "languages");
    let plain = OTHER_TEMPLATES
        .lines()
        .filter(|line| !line.starts_with(['#', '[']) && !line.is_empty());
    add(
        plain
            .map(|line| line.replace("\\n", "\n").replace(['{', '}'], " "))
            .collect(),
        "languages",
    );
    add(texts("code")?, "code");
    add((0..600).map(|_| blob(random)).collect(), "code");
    Ok(())
}

/// The set that is only measured on.
pub(super) fn bastion(data: &Path) -> Result<Vec<Sample>> {
    let rows = rows(&data.join("guard/injection/bastioncorpus.jsonl.gz"))?;
    Ok(rows
        .into_iter()
        .map(|row| Sample {
            attack: row.label.as_deref() == Some("injection"),
            text: row.text,
            source: "bastion",
            group: 0,
        })
        .collect())
}

fn templates(requests: &[String], random: &mut Random) -> Vec<Sample> {
    let tasks: Vec<&str> = TEMPLATES
        .split("[tasks]\n")
        .nth(1)
        .unwrap_or_default()
        .lines()
        .collect();
    let mut samples = Vec::new();
    let mut attack = false;
    for line in TEMPLATES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line {
            "[attack]" => attack = true,
            "[benign]" => attack = false,
            "[tasks]" => break,
            template => {
                for _ in 0..COPIES {
                    let text = expand(template, random);
                    let text = text
                        .replace("{J}", random.pick::<&str>(&tasks))
                        .replace("{B}", random.pick::<String>(requests))
                        .replace("\\n", "\n");
                    let text = if random.chance(150) {
                        text.to_lowercase()
                    } else {
                        text
                    };
                    samples.push(Sample {
                        text,
                        attack,
                        source: "templates",
                        group: key(template),
                    });
                }
            }
        }
    }
    samples
}

/// Draws one of the alternatives in each pair of brackets.
fn expand(template: &str, random: &mut Random) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('(') {
        text.push_str(before);
        let Some((inner, after)) = after.split_once(')') else {
            break;
        };
        let choices: Vec<&str> = inner.split('|').collect();
        text.push_str(random.pick::<&str>(&choices));
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Numbers, keys and encoded bytes.
fn blob(random: &mut Random) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (first, letters) = match random.below(4) {
        0 => (52, 10),
        1 => (0, 64),
        2 => (26, 36),
        _ => (0, 26),
    };
    let mut text = String::new();
    for _ in 0..1 + random.below(8) {
        for _ in 0..1 + random.below(24) {
            text.push(char::from(LETTERS[first + random.below(letters)]));
        }
        text.push_str(random.pick::<&str>(&[" ", "-", "=", "\n", ": ", ", "]));
    }
    text
}
