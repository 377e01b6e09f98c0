//! Conditions in CEL. Bounded in text, nesting and loops, so that none can take long; and one that
//! fails refuses the request rather than letting it pass.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use cel::parser::PrattParser;
use cel::{Context, Env, ExecutionError, Value};

use crate::Facts;
use crate::selector::Seen;

/// Longest expression, in bytes.
const BYTES_MAX: usize = 1_024;
/// Deepest nesting of an expression.
const DEPTH_MAX: u16 = 32;
/// Loops within loops: `labels.exists(..)` is one.
const LOOPS_MAX: usize = 2;
/// Most labels, and most entity types, that an expression is given.
const ITEMS_MAX: usize = 64;
/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 512;

/// What an expression may speak of. The label is not among them: `when.sensitivity` compares it, so
/// that a higher label can only match more rules, never fewer.
const VARIABLES: [&str; 8] = [
    "tenant",
    "key",
    "flow",
    "route",
    "region",
    "labels",
    "findings",
    "incomplete",
];

/// Functions and operators that an expression may use; operators as CEL's parser names them.
const FUNCTIONS: [&str; 25] = [
    "_&&_",
    "_||_",
    "!_",
    "_?_:_",
    "_==_",
    "_!=_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "_+_",
    "_-_",
    "_*_",
    "_/_",
    "_%_",
    "-_",
    "_[_]",
    "@in",
    "@not_strictly_false",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "string",
    "int",
];

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition in CEL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expression {
    program: IdedExpr,
    text: Box<str>,
}

/// Why an expression gave no answer. Says nothing of the values it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("it looks up a key that is not there")]
    NoSuchKey,
    #[error("it names something that does not exist")]
    Undeclared,
    #[error("it is neither true nor false")]
    NotBool,
    #[error("it was given too much")]
    TooMuch,
    #[error("it calculates what cannot be calculated")]
    Other,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!(
                "{} bytes are more than the {BYTES_MAX} allowed",
                text.len()
            ));
        }
        // The library's other parser overflows the stack at sixteen brackets within each other.
        let parsed = catch_unwind(|| {
            PrattParser::default()
                .max_recursion_depth(DEPTH_MAX)
                .parse(text)
        });
        let program = match parsed {
            Ok(Ok(program)) => program,
            Ok(Err(errors)) => {
                let first = errors.errors.first();
                let first = first.map_or_else(String::new, |error| {
                    let (line, column) = error.pos;
                    format!(" (line {line}, column {column}): {}", error.msg.trim())
                });
                return Err(format!("not a CEL expression{first}"));
            }
            Err(_) => return Err("not a CEL expression".to_owned()),
        };
        Survey::default().look(&program, 0)?;
        let expression = Self {
            program,
            text: text.into(),
        };
        match expression.holds(&Variables::of_nothing()) {
            Err(failure @ (Failure::NotBool | Failure::Undeclared)) => Err(failure.to_string()),
            _ => Ok(expression),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it can be evaluated for a request of which nothing is known.
    pub(crate) fn holds_of_nothing(&self) -> Result<bool, Failure> {
        self.holds(&Variables::of_nothing())
    }

    /// Whether it holds.
    pub(crate) fn holds(&self, variables: &Variables<'_>) -> Result<bool, Failure> {
        let context = variables.context().ok_or(Failure::TooMuch)?;
        // The library promises no freedom from panics, and a rule must never fail open.
        let value = catch_unwind(AssertUnwindSafe(|| Value::resolve(&self.program, context)));
        match value {
            Ok(Ok(Value::Bool(holds))) => Ok(holds),
            Ok(Ok(_)) => Err(Failure::NotBool),
            Ok(Err(ExecutionError::NoSuchKey(_))) => Err(Failure::NoSuchKey),
            Ok(Err(ExecutionError::UndeclaredReference(_))) => Err(Failure::Undeclared),
            Ok(Err(_)) | Err(_) => Err(Failure::Other),
        }
    }
}

/// What an expression is given; built when the first one asks.
pub(crate) struct Variables<'a> {
    facts: Facts<'a>,
    seen: &'a [Seen<'a>],
    incomplete: bool,
    context: OnceCell<Option<Context<'static, 'static>>>,
}

impl<'a> Variables<'a> {
    pub(crate) fn new(facts: Facts<'a>, seen: &'a [Seen<'a>], incomplete: bool) -> Self {
        Self {
            facts,
            seen,
            incomplete,
            context: OnceCell::new(),
        }
    }

    fn of_nothing() -> Variables<'static> {
        Variables::new(Facts::default(), &[], false)
    }

    /// `None` when there is too much of it.
    fn context(&self) -> Option<&Context<'static, 'static>> {
        self.context.get_or_init(|| self.build()).as_ref()
    }

    fn build(&self) -> Option<Context<'static, 'static>> {
        let none = BTreeMap::new();
        let labels = self.facts.labels.unwrap_or(&none);
        let too_long = |text: &String| text.len() > LABEL_BYTES_MAX;
        if labels.len() > ITEMS_MAX
            || self.seen.len() > ITEMS_MAX
            || labels
                .iter()
                .any(|(name, value)| too_long(name) || too_long(value))
        {
            return None;
        }
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        let facts = &self.facts;
        for (name, value) in [
            ("tenant", facts.tenant),
            ("key", facts.key),
            ("flow", facts.flow),
            ("route", facts.route),
            ("region", facts.region),
        ] {
            context.add_variable_from_value(name, value.unwrap_or_default());
        }
        let labels: HashMap<String, Value> = labels
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        context.add_variable_from_value("labels", labels);
        let findings: HashMap<String, Value> = self
            .seen
            .iter()
            .map(|seen| (seen.entity.to_string(), Value::Int(seen.count.into())))
            .collect();
        context.add_variable_from_value("findings", findings);
        context.add_variable_from_value("incomplete", self.incomplete);
        Some(context)
    }
}

/// Looks an expression over before it is ever evaluated.
#[derive(Default)]
struct Survey<'a> {
    /// Names that loops bring.
    bound: Vec<&'a str>,
    /// How deep it is.
    depth: u16,
}

impl<'a> Survey<'a> {
    fn look(&mut self, expression: &'a IdedExpr, loops: usize) -> Result<(), String> {
        if self.depth == DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} steps deep"));
        }
        self.depth += 1;
        let looked = self.look_within(expression, loops);
        self.depth -= 1;
        looked
    }

    fn look_within(&mut self, expression: &'a IdedExpr, loops: usize) -> Result<(), String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.look(&select.operand, loops),
            Expr::List(list) => self.each(&list.elements, loops),
            Expr::Call(call) => self.call(call, loops),
            Expr::Map(map) => map
                .entries
                .iter()
                .try_for_each(|entry| self.entry(&entry.expr, loops)),
            Expr::Struct(_) => Err("messages have no place here".to_owned()),
            // Maps have no order, and the same request must be decided alike every time.
            Expr::Comprehension(comprehension) if is_list(comprehension) => Err(
                "the order of what `map` and `filter` give is not known: ask for its `size`, or \
                 with `in`, `exists` or `all`"
                    .to_owned(),
            ),
            Expr::Comprehension(comprehension) => self.repeat(comprehension, loops),
        }
    }

    fn call(&mut self, call: &'a CallExpr, loops: usize) -> Result<(), String> {
        if !FUNCTIONS.contains(&call.func_name.as_str()) {
            return Err(format!("no function `{}`", call.func_name));
        }
        let unordered = match call.func_name.as_str() {
            "size" => call.target.as_deref().or(call.args.first()),
            "@in" => call.args.last(),
            _ => None,
        };
        for part in call.target.as_deref().into_iter().chain(&call.args) {
            if unordered.is_some_and(|one| std::ptr::eq(one, part)) {
                self.look_unordered(part, loops)?;
            } else {
                self.look(part, loops)?;
            }
        }
        Ok(())
    }

    /// Looks at what is used in a way that does not depend on its order.
    fn look_unordered(&mut self, expression: &'a IdedExpr, loops: usize) -> Result<(), String> {
        match &expression.expr {
            Expr::Comprehension(comprehension) => self.repeat(comprehension, loops),
            _ => self.look(expression, loops),
        }
    }

    fn repeat(&mut self, repeated: &'a ComprehensionExpr, loops: usize) -> Result<(), String> {
        if loops == LOOPS_MAX {
            return Err(format!("more than {LOOPS_MAX} loops within each other"));
        }
        self.look_unordered(&repeated.iter_range, loops)?;
        self.look(&repeated.accu_init, loops)?;
        let outer = self.bound.len();
        self.bound.push(&repeated.iter_var);
        self.bound.extend(repeated.iter_var2.as_deref());
        self.bound.push(&repeated.accu_var);
        self.look(&repeated.loop_cond, loops + 1)?;
        self.look(&repeated.loop_step, loops + 1)?;
        self.look(&repeated.result, loops)?;
        self.bound.truncate(outer);
        Ok(())
    }

    fn each(&mut self, expressions: &'a [IdedExpr], loops: usize) -> Result<(), String> {
        expressions
            .iter()
            .try_for_each(|expression| self.look(expression, loops))
    }

    fn entry(&mut self, entry: &'a EntryExpr, loops: usize) -> Result<(), String> {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.look(&entry.key, loops)?;
                self.look(&entry.value, loops)
            }
            EntryExpr::StructField(field) => self.look(&field.value, loops),
        }
    }

    fn variable(&self, name: &str) -> Result<(), String> {
        if VARIABLES.contains(&name) || self.bound.contains(&name) {
            return Ok(());
        }
        if name == "sensitivity" {
            return Err(
                "`sensitivity` is compared by the field of that name beside `cel`".to_owned(),
            );
        }
        Err(format!(
            "no variable `{name}`; there are {}",
            VARIABLES.join(", ")
        ))
    }
}

/// `map` and `filter` begin with an empty list.
fn is_list(comprehension: &ComprehensionExpr) -> bool {
    matches!(comprehension.accu_init.expr, Expr::List(_))
}

#[cfg(test)]
mod tests;
