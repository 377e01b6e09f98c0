//! Labels, findings and rules in; a Permit or a Refusal out
