//! Trains the tagger of names and measures it.

mod example;
mod field;
mod lexicon;
mod measure;
mod templates;

use std::path::Path;

use anyhow::{Context, Result};
use freehold_guard::training::{CLASSES, Gate, Lexicon, Model, detect_with};

use self::example::{Example, load, unmarked};
use self::field::Field;
use self::measure::Measure;
use crate::data::{column, questions, texts};
use crate::random::Random;

const SEED: u64 = 20_250_101;
/// Parts of the data that are left out in turn.
const FOLDS: usize = 5;

/// What the tagger learns from.
struct Corpus {
    /// Annotated texts that are measured on as well: left out in turn, by template.
    presidio: Vec<Example>,
    /// All others.
    rest: Vec<Example>,
    lexicon: Vec<u8>,
}

impl Corpus {
    fn load(data: &Path) -> Result<Self> {
        let mut random = Random::new(SEED);
        let presidio = load(data, "presidio_synth.jsonl.gz", false)?;
        let documents = load(data, "contextual_anonymizer.jsonl.gz", true)?;
        let mut prompts = column(&data.join("router/mmlu_pro.csv.gz"), "prompt")?;
        let banking = column(&data.join("router/banking77_train.csv.gz"), "text")?;
        let mut written: Vec<String> = prompts.iter().chain(&banking).cloned().collect();
        written.extend(documents.iter().map(|example| example.text.clone()));
        let lexicon = lexicon::build(&written)?;
        random.shuffle(&mut prompts);
        let mut rest = templates::Maker::new()?.examples(&mut random);
        rest.extend(load(data, "wnut17_train.jsonl.gz", false)?);
        rest.extend(load(data, "pii_synthetic_nano.jsonl.gz", false)?);
        rest.extend(documents);
        rest.extend(
            prompts
                .into_iter()
                .take(2_500)
                .map(|text| unmarked(text, true)),
        );
        rest.extend(
            banking
                .into_iter()
                .step_by(4)
                .map(|text| unmarked(text, false)),
        );
        rest.extend(texts("code")?.into_iter().map(|text| unmarked(text, false)));
        rest.extend(
            texts("other_languages")?
                .into_iter()
                .step_by(3)
                .map(|text| unmarked(text, false)),
        );
        let clinc = questions(&data.join("router/clinc150.json.gz"))?;
        rest.extend(
            clinc
                .into_iter()
                .step_by(20)
                .map(|text| unmarked(text, true)),
        );
        Ok(Self {
            presidio,
            rest,
            lexicon,
        })
    }

    fn train(&self, presidio: impl Iterator<Item = Example>, seed: u64) -> Result<Vec<u8>> {
        let lexicon = Lexicon::new(&self.lexicon).context("a bad lexicon")?;
        let mut examples = self.rest.clone();
        for example in presidio {
            examples.push(example.clone());
            examples.push(example);
        }
        let mut field = Field::new(lexicon);
        field.train(&examples, &mut Random::new(seed));
        Ok(field.file(&self.lexicon))
    }
}

/// Trains on everything and writes the model.
pub(crate) fn train(data: &Path, out: &Path) -> Result<()> {
    let corpus = Corpus::load(data)?;
    let file = corpus.train(corpus.presidio.iter().cloned(), SEED)?;
    std::fs::write(out, file).with_context(|| format!("cannot write {}", out.display()))
}

/// Leaves out a fifth of the templates in turn; then measures a model trained on all on the other sets.
#[expect(
    clippy::print_stdout,
    reason = "the answer of a program for the terminal"
)]
pub(crate) fn evaluate(data: &Path, model: Option<&Path>, bias: f32, show: bool) -> Result<()> {
    let gate = Gate::default();
    if let Some(path) = model {
        let file =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let model = Model::new(&file).context("not a model")?;
        for name in [
            "wnut17_dev",
            "datafog_corpus",
            "pupa_new",
            "presidio_synth",
            "pii_synthetic_nano",
        ] {
            let mut measure = Measure::default();
            for example in load(data, &format!("{name}.jsonl.gz"), false)? {
                measure.add(&model, &gate, bias, &example);
            }
            measure.print(name);
        }
        return Ok(());
    }
    let corpus = Corpus::load(data)?;
    let mut all = Measure::default();
    for fold in 0..FOLDS {
        let held = |example: &Example| {
            let template = example.template.as_deref().unwrap_or_default();
            freehold_guard::training::key(template) as usize % FOLDS == fold
        };
        let file = corpus.train(
            corpus
                .presidio
                .iter()
                .filter(|example| !held(example))
                .cloned(),
            SEED,
        )?;
        let model = Model::new(&file).context("not a model")?;
        let mut measure = Measure::default();
        for example in corpus.presidio.iter().filter(|example| held(example)) {
            measure.add(&model, &gate, bias, example);
            if show {
                Measure::mistakes(&model, &gate, bias, example)
                    .iter()
                    .for_each(|line| println!("{line}"));
            }
        }
        measure.print(&format!("presidio_synth fold {fold}"));
        all.merge(&measure);
    }
    all.print("presidio_synth, all folds");
    Ok(())
}

/// Tags the lines of standard input.
#[expect(
    clippy::print_stdout,
    reason = "the answer of a program for the terminal"
)]
pub(crate) fn tag(path: &Path, bias: f32) -> Result<()> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let model = Model::new(&file).context("not a model")?;
    let gate = Gate::default();
    for line in std::io::stdin().lines() {
        let line = line?.replace("\\n", "\n");
        let mut found = Vec::new();
        detect_with(
            &model,
            &gate,
            bias,
            &line,
            &mut |class, range, confidence| {
                found.push(format!(
                    "{} {:?} {confidence:.2}",
                    CLASSES[class], &line[range]
                ));
            },
        );
        println!("{line:?}\n    {}", found.join(", "));
    }
    Ok(())
}

/// Ordinary sentences in many languages.
pub(crate) fn sentences(random: &mut Random) -> Result<Vec<String>> {
    let examples = templates::Maker::new()?.examples(random);
    Ok(examples
        .into_iter()
        .step_by(6)
        .map(|example| example.text)
        .collect())
}
