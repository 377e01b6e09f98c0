//! The table that says which label an entity type deserves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use freehold_types::Sensitivity;

/// What never leaves by default: key material that opens everything, and health.
const RESTRICTED: &[&str] = &[
    "private_key",
    "medical_record_number",
    "health_plan_number",
    "health_record",
    "diagnosis",
    "drug",
    "medication",
    "medical_condition",
    "medical_procedure",
    "lab_result",
    "phi",
];

/// What is personal, but in nearly every business text: it raises nothing above what the default
/// label lets out, until the operator says so.
const INTERNAL: &[&str] = &[
    "person",
    "person_title",
    "location",
    "organisation",
    "date_of_birth",
    "date",
    "age",
    "email_address",
    "phone_number",
    "fax_number",
    "ip_address",
    "mac_address",
    "street_address",
    "postal_code",
    "postcode",
    "url",
    "username",
    "user_name",
    "job_title",
    "nationality",
    "gender",
    "coordinates",
    "vehicle_plate",
    "license_plate",
    "blocked_topic",
];

/// Attacks on the model, not data: they change no perimeter, only what rules make of them.
const PUBLIC: &[&str] = &["prompt_injection", "jailbreak"];

/// The label of an entity type by itself. Everything that the table does not name (identifiers with a
/// checksum, national and tax ids, account numbers, secrets, operators' own types) is confidential.
pub(crate) fn default_label(entity: &str) -> Sensitivity {
    if RESTRICTED.contains(&entity) {
        Sensitivity::Restricted
    } else if INTERNAL.contains(&entity) {
        Sensitivity::Internal
    } else if PUBLIC.contains(&entity) {
        Sensitivity::Public
    } else {
        Sensitivity::Confidential
    }
}

/// The table with the operator's changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    table: HashMap<String, Sensitivity>,
    off: BTreeSet<String>,
}

impl Labels {
    /// `own` are the labels of the operator's recognisers and topics; `changes` stand above them.
    pub(crate) fn new(
        own: impl IntoIterator<Item = (String, Sensitivity)>,
        changes: &BTreeMap<String, Sensitivity>,
        off: &[String],
    ) -> Self {
        let mut table: HashMap<_, _> = own.into_iter().collect();
        table.extend(changes.iter().map(|(name, label)| (name.clone(), *label)));
        Self {
            table,
            off: off.iter().cloned().collect(),
        }
    }

    /// The label an entity type deserves.
    pub(crate) fn of(&self, entity: &str) -> Sensitivity {
        let changed = self.table.get(entity).copied();
        changed.unwrap_or_else(|| default_label(entity))
    }

    /// Whether the operator does not want to hear of it.
    pub(crate) fn is_off(&self, entity: &str) -> bool {
        self.off.contains(entity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_its_changes() {
        let changes = [("email_address".to_owned(), Sensitivity::Restricted)].into();
        let own = [
            ("badge".to_owned(), Sensitivity::Internal),
            ("email_address".to_owned(), Sensitivity::Public),
        ];
        let labels = Labels::new(own, &changes, &["person".to_owned()]);
        for (entity, label) in [
            ("email_address", Sensitivity::Restricted),
            ("badge", Sensitivity::Internal),
            ("private_key", Sensitivity::Restricted),
            ("payment_card", Sensitivity::Confidential),
            ("never_heard_of", Sensitivity::Confidential),
            ("phone_number", Sensitivity::Internal),
            ("prompt_injection", Sensitivity::Public),
        ] {
            assert_eq!(labels.of(entity), label, "{entity}");
        }
        assert!(labels.is_off("person") && !labels.is_off("badge"));
    }

    #[test]
    fn no_entity_stands_in_two_lists() {
        let all: Vec<_> = RESTRICTED.iter().chain(INTERNAL).chain(PUBLIC).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), distinct.len());
    }
}
