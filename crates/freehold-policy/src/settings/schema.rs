//! Schemas of types of `freehold-types`, which knows of no schema.

use freehold_types::Sensitivity;
use schemars::{Schema, SchemaGenerator, json_schema};

pub(crate) fn sensitivity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": Sensitivity::ALL.map(Sensitivity::as_str) })
}

pub(crate) fn optional_sensitivity(_: &mut SchemaGenerator) -> Schema {
    let [public, internal, confidential, restricted] = Sensitivity::ALL.map(Sensitivity::as_str);
    json_schema!({ "enum": [public, internal, confidential, restricted, null] })
}

pub(crate) fn optional_perimeter(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["inside", "outside", null] })
}
