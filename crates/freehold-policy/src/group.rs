//! Groups of entities that rules may name in place of each one.

use std::sync::LazyLock;

use crate::pattern::Patterns;

/// A set of groups, one bit each.
pub(crate) type GroupSet = u8;

/// What the groups hold. Entities of identifiers begin with their country's two letters.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "secrets",
        &[
            "private_key",
            "api_key",
            "jwt",
            "connection_string",
            "password",
            "secret",
            "credential",
            "high_entropy_string",
            "*_key",
            "*_token",
            "*_secret",
            "*_password",
            "*_credentials",
        ],
    ),
    (
        "identifiers",
        &[
            "us_*",
            "uk_*",
            "gb_*",
            "eu_*",
            "ca_*",
            "au_*",
            "nz_*",
            "in_*",
            "sg_*",
            "kr_*",
            "jp_*",
            "br_*",
            "za_*",
            "at_*",
            "be_*",
            "bg_*",
            "ch_*",
            "cy_*",
            "cz_*",
            "de_*",
            "dk_*",
            "ee_*",
            "es_*",
            "fi_*",
            "fr_*",
            "gr_*",
            "hr_*",
            "hu_*",
            "ie_*",
            "is_*",
            "it_*",
            "lt_*",
            "lu_*",
            "lv_*",
            "mt_*",
            "nl_*",
            "no_*",
            "pl_*",
            "pt_*",
            "ro_*",
            "se_*",
            "si_*",
            "sk_*",
            "national_id",
            "tax_id",
            "passport*",
            "driver_licence",
            "driver_license",
            "payment_card",
            "iban",
            "bank_account",
            "medical_record_number",
            "health_plan_number",
        ],
    ),
    (
        "financial",
        &[
            "payment_card",
            "iban",
            "bic",
            "bank_account",
            "*_bank_*",
            "crypto_address",
            "crypto_wallet",
        ],
    ),
    (
        "health",
        &[
            "medical_*",
            "health_*",
            "diagnosis",
            "drug",
            "medication",
            "lab_result",
            "phi",
            "*_nhs",
            "*_medicare",
            "*_mbi",
            "*_npi",
        ],
    ),
    ("names", &["person", "organisation", "location"]),
    (
        "contact",
        &[
            "email_address",
            "phone_number",
            "fax_number",
            "street_address",
            "postal_code",
            "postcode",
            "username",
            "user_name",
        ],
    ),
];

static MEMBERS: LazyLock<[Patterns; GROUPS.len()]> =
    LazyLock::new(|| GROUPS.map(|(_, members)| Patterns::new(members.iter().copied())));

/// The names of all groups.
pub fn group_names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(name, _)| *name)
}

/// The group of this name; `None` when it is none's.
pub(crate) fn named(name: &str) -> Option<GroupSet> {
    GROUPS
        .iter()
        .position(|(group, _)| *group == name)
        .map(|index| 1 << index)
}

/// The groups that an entity belongs to.
pub(crate) fn groups_of(entity: &str) -> GroupSet {
    MEMBERS
        .iter()
        .enumerate()
        .filter(|(_, members)| members.matches(entity))
        .fold(0, |set, (index, _)| set | (1 << index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_know_their_groups() {
        for (entity, groups) in [
            ("private_key", vec!["secrets"]),
            ("stripe_api_key", vec!["secrets"]),
            ("us_ssn", vec!["identifiers"]),
            ("uk_nhs", vec!["identifiers", "health"]),
            ("payment_card", vec!["identifiers", "financial"]),
            ("person", vec!["names"]),
            ("email_address", vec!["contact"]),
            ("ip_address", vec![]),
            ("prompt_injection", vec![]),
        ] {
            let all = group_names().filter(|name| groups_of(entity) & named(name).unwrap() != 0);
            assert_eq!(all.collect::<Vec<_>>(), groups, "{entity}");
        }
        assert_eq!(named("secret"), None);
    }
}
