//! What is odd about a policy that can run: rules that never match or never matter, and demands
//! that no deployment fulfils.

use crate::compile::{Surroundings, Warning};
use crate::policy::Policy;
use crate::settings::PolicySettings;

pub(crate) fn warnings(
    _policy: &Policy,
    _settings: &PolicySettings,
    _surroundings: &Surroundings<'_>,
) -> Vec<Warning> {
    Vec::new()
}
