//! Forms of address, which announce names.

/// What the model learnt as announcing a person and what is masked before one.
pub(super) const FORMS_OF_ADDRESS: &[&str] = &[
    "mr",
    "mrs",
    "ms",
    "miss",
    "mister",
    "dr",
    "doctor",
    "prof",
    "professor",
    "sir",
    "madam",
    "herr",
    "frau",
    "mme",
    "mlle",
    "monsieur",
    "madame",
    "sr",
    "sra",
    "srta",
    "señor",
    "señora",
    "don",
    "doña",
    "signor",
    "signora",
    "dott",
    "dottor",
    "dhr",
    "mevrouw",
    "pan",
    "pani",
    "shri",
    "smt",
    "bapak",
    "ibu",
];

/// What else the model learnt as announcing a person.
pub(super) const GREETINGS: &[&str] = &[
    "dear", "hi", "hello", "hey", "hallo", "liebe", "lieber", "cher", "chère", "hola", "ciao",
    "olá", "beste", "mom", "mum", "dad", "mommy", "daddy",
];

/// What else is masked before a person.
pub(super) const MORE_FORMS_OF_ADDRESS: &[&str] = &["hr", "fr", "bay", "bayan"];
