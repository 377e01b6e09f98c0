//! From a conversation to a prompt: the model's own chat template, tools, and what clients must
//! not be able to say.

pub(crate) mod literal;
pub(crate) mod python_json;
pub(crate) mod template;
pub(crate) mod tools;
