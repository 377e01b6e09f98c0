//! What spans, metrics and resources say of themselves.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The conventions that names are taken from.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.40.0";

/// Names with values, in the order in which they were said.
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(crate) fn text(&mut self, key: &str, value: impl Into<String>) {
        self.push(key, Value::StringValue(value.into()));
    }

    /// A text, when there is one.
    pub(crate) fn some_text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(crate) fn texts<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        let values = values.map(|value| any(Value::StringValue(value.to_owned())));
        let values = values.collect();
        self.push(key, Value::ArrayValue(ArrayValue { values }));
    }

    /// A whole number; one that is too large is told as the largest there is.
    pub(crate) fn count(&mut self, key: &str, value: impl TryInto<i64>) {
        self.push(key, Value::IntValue(value.try_into().unwrap_or(i64::MAX)));
    }

    pub(crate) fn number(&mut self, key: &str, value: f64) {
        self.push(key, Value::DoubleValue(value));
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.push(key, Value::BoolValue(value));
    }

    fn push(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(any(value)),
            ..KeyValue::default()
        });
    }

    pub(crate) fn into_list(self) -> Vec<KeyValue> {
        self.0
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// Who tells.
pub(crate) fn resource(said: &[(String, String)]) -> Resource {
    let mut attributes = Attributes::default();
    for (key, value) in said {
        attributes.text(key, value);
    }
    Resource {
        attributes: attributes.into_list(),
        ..Resource::default()
    }
}

/// What of the program tells.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "freehold".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
