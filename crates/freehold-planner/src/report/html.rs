//! One HTML page that needs nothing else: no network, no script.

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use super::{chart, numbers, text};
use crate::advice::Advice;
use crate::error::PlanError;
use crate::interview::{Answers, QUESTIONS};

/// So many inputs are in the picture.
const INPUTS_SHOWN: usize = 5;

/// The whole report as a page. `title` names the traffic; `answers` are listed when somebody gave any.
///
/// # Errors
/// [`PlanError::Malformed`] when the bundled template is broken, which this crate's tests would find.
pub fn html(advice: &Advice, answers: &Answers, title: &str) -> Result<String, PlanError> {
    let broken = |error: minijinja::Error| PlanError::Malformed {
        what: "the report's template".to_owned(),
        why: format!("{error:#}"),
    };
    let mut environment = Environment::new();
    environment.add_filter("usd", numbers::usd);
    environment.add_filter("signed", numbers::signed_usd);
    environment.add_filter("count", numbers::count);
    environment.add_filter("percent", numbers::percent);
    environment.add_filter("times", numbers::times);
    environment.add_filter("hours", numbers::hours);
    environment.add_filter("unit", |value: f64, unit: String| {
        numbers::with_unit(value, &unit)
    });
    environment
        .add_template("report.html", include_str!("report.html"))
        .map_err(broken)?;
    let template = environment.get_template("report.html").map_err(broken)?;
    let picture = |svg: String| Value::from_safe_string(svg);
    let even: Vec<String> = advice.break_even.iter().map(text::even_line).collect();
    let answers: Vec<Value> = QUESTIONS
        .iter()
        .filter(|question| answers.has(question.key))
        .map(|question| {
            let given = answers.of(question.key);
            let choice = question.choices.iter().find(|(name, _)| *name == given);
            context! { text => question.text, answer => choice.map(|(_, meaning)| *meaning) }
        })
        .collect();
    let page = template.render(context! {
        title,
        advice => Value::from(Serde(advice)),
        even,
        answers,
        own_month => advice.best.month.total_usd(),
        procurement => advice.best.procurement.as_str(),
        volumes => picture(chart::volumes(advice)),
        utilisation => picture(chart::utilisation(&advice.utilisation)),
        tornado => picture(chart::tornado(advice, INPUTS_SHOWN)),
    });
    let page = page.map_err(broken)?;
    // Names come from outside: nothing in them may steer a terminal that shows the file.
    Ok(page.replace(|c: char| c.is_control() && c != '\n', "?"))
}
