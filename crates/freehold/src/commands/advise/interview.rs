//! Asks what data cannot tell.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use freehold_planner::{Answers, QUESTIONS, Question};

use crate::cli::advise::KnownArgs;

/// Answers of the file, of whoever sits there, or none.
pub(super) fn answers(args: &KnownArgs) -> Result<Answers> {
    if let Some(path) = &args.answers {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        return Answers::from_yaml(&text).with_context(|| format!("{name}"));
    }
    if args.interview {
        return ask_all(&mut std::io::stdin().lock(), &mut std::io::stderr().lock());
    }
    Ok(Answers::default())
}

/// One question after the other; an empty line takes the first choice.
fn ask_all(input: &mut impl BufRead, out: &mut impl Write) -> Result<Answers> {
    let mut answers = Answers::default();
    for (index, question) in QUESTIONS.iter().enumerate() {
        writeln!(
            out,
            "\n{} of {}. {}",
            index + 1,
            QUESTIONS.len(),
            question.text
        )?;
        writeln!(out, "   ({})", question.why)?;
        for (number, (_, meaning)) in question.choices.iter().enumerate() {
            writeln!(out, "   {}  {meaning}", number + 1)?;
        }
        let choice = ask(question, input, out)?;
        answers.give(question.key, choice)?;
    }
    Ok(answers)
}

fn ask(
    question: &Question,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<&'static str> {
    loop {
        write!(out, "   Which? [1] ")?;
        out.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            bail!(
                "the interview ended before its last question; answer all, or use --answers FILE"
            );
        }
        let typed = line.trim();
        let named = question.choices.iter().position(|(name, _)| *name == typed);
        let number = match typed {
            "" => Some(0),
            _ => named.or_else(|| typed.parse::<usize>().ok()?.checked_sub(1)),
        };
        if let Some((name, _)) = number.and_then(|number| question.choices.get(number)) {
            return Ok(name);
        }
        writeln!(
            out,
            "   Type a number from 1 to {}.",
            question.choices.len()
        )?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_empty_lines_are_answers() {
        let typed = "4\n\nnone\n9\n3\n\n\n\n\n\n\n";
        let mut shown = Vec::new();
        let answers = ask_all(&mut typed.as_bytes(), &mut shown).unwrap();
        assert_eq!(answers.of("sensitivity"), "restricted");
        assert_eq!(answers.of("residency"), "anywhere");
        assert_eq!(answers.of("team"), "none");
        assert_eq!(answers.of("budget"), "capital");
        assert!(
            String::from_utf8(shown)
                .unwrap()
                .contains("Type a number from 1 to 3.")
        );
    }

    #[test]
    fn an_interview_that_ends_early_says_what_to_do() {
        let told = ask_all(&mut "1\n".as_bytes(), &mut Vec::new())
            .unwrap_err()
            .to_string();
        assert!(told.contains("--answers"), "{told}");
    }
}
