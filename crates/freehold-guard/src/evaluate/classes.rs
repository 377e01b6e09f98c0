//! Which type names of different annotators mean the same.

/// Class, and the names that belong to it, in lower case. A class may share names with another: an
/// address holds places, and a place in an address is found when the address is.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "person",
        &[
            "person",
            "name",
            "doctor",
            "patient_name",
            "first_name",
            "last_name",
        ],
    ),
    (
        "place",
        &[
            "location",
            "gpe",
            "city",
            "state",
            "country",
            "landmark",
            "address",
            "street_address",
            "zip",
            "zip_code",
            "postal_code",
            "postcode",
        ],
    ),
    (
        "organisation",
        &[
            "organisation",
            "organization",
            "org",
            "company",
            "corporation",
            "school",
            "university",
            "university_name",
            "hospital",
            "insurer",
            "bank",
            "merchant",
            "court",
            "restaurant",
            "group",
        ],
    ),
    ("email", &["email", "email_address"]),
    ("phone", &["phone", "phone_number", "fax_number"]),
    (
        "card",
        &["credit_card", "payment_card", "card", "card_number"],
    ),
    ("iban", &["iban", "iban_code", "de_iban"]),
    ("us_ssn", &["us_ssn", "ssn"]),
    ("ip", &["ip_address", "ip"]),
    (
        "date",
        &["date", "date_time", "date_of_birth", "dob", "day", "time"],
    ),
    ("age", &["age"]),
    ("url", &["url", "link", "domain_name", "domain"]),
    ("password", &["password"]),
    ("username", &["username", "user_id", "userid"]),
    ("diagnosis", &["diagnosis"]),
    ("drug", &["drug", "medication"]),
];

/// The class of a type name; `None` for one that no class holds.
pub fn class(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    CLASSES
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()))
        .map(|(class, _)| *class)
}
