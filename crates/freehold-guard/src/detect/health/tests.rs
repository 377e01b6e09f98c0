use proptest::prelude::*;

use super::detect;
use crate::detect::tests::{compare, found_by};

/// The entity and the text of everything that is found.
fn check(text: &str, expected: &[(&str, &str)]) {
    compare(text, &found_by(detect, text), expected);
}

#[test]
fn finds_record_numbers_after_what_announces_them() {
    check("MRN: 00458921", &[("medical_record_number", "00458921")]);
    check("mrn #A-449120.", &[("medical_record_number", "A-449120")]);
    check(
        "Medical record number is 88-1203-44, ward 3",
        &[("medical_record_number", "88-1203-44")],
    );
    check(
        "Patient ID PT-20391",
        &[("medical_record_number", "PT-20391")],
    );
    check(
        "Patientennummer: 4711001",
        &[("medical_record_number", "4711001")],
    );
    check(
        "número de historia clínica: 7781234",
        &[("medical_record_number", "7781234")],
    );
    check("病历号：20230419", &[("medical_record_number", "20230419")]);
}

#[test]
fn announces_without_numbers_are_nothing() {
    check("What is a medical record number?", &[]);
    check("The MRN of a patient has 8 digits.", &[]);
    check("The patient id is required in field 3.", &[]);
    check("mrna vaccines 123456", &[]);
}

#[test]
fn finds_terms_near_a_person() {
    check(
        "My mother has breast cancer and takes tamoxifen.",
        &[("diagnosis", "breast cancer"), ("drug", "tamoxifen")],
    );
    check(
        "The patient was started on Pembrolizumab.",
        &[("drug", "Pembrolizumab")],
    );
    check(
        "I take atorvastatin for my heart.",
        &[("drug", "atorvastatin")],
    );
    check("her epilepsy got worse", &[("diagnosis", "epilepsy")]);
    check(
        "Meine Mutter hat Diabetes und Bluthochdruck.",
        &[("diagnosis", "Diabetes"), ("diagnosis", "Bluthochdruck")],
    );
    check(
        "Ma mère souffre de sclérose en plaques.",
        &[("diagnosis", "sclérose en plaques")],
    );
    check(
        "El paciente tiene esquizofrenia.",
        &[("diagnosis", "esquizofrenia")],
    );
    check("У моя мама диабет", &[("diagnosis", "диабет")]);
    check("患者は糖尿病です", &[("diagnosis", "糖尿病")]);
    check(
        "Sarah Johnson suffers from migraine.",
        &[("diagnosis", "migraine")],
    );
}

#[test]
fn general_knowledge_is_no_finding() {
    check("What are the symptoms of diabetes?", &[]);
    check("How does atorvastatin lower cholesterol?", &[]);
    check("Malaria is transmitted by mosquitoes in April.", &[]);
    check("Write an essay about depression in modern society.", &[]);
    check("The engine suffered a stroke length change.", &[]);
}

#[test]
fn a_far_person_does_not_count() {
    let far = format!(
        "My sister likes music. {}Asthma is common.",
        "This is unrelated text. ".repeat(20)
    );
    check(&far, &[]);
}

#[test]
fn ends_of_drug_names_need_a_whole_word() {
    check("The patient takes lisinopril.", &[("drug", "lisinopril")]);
    check("The patient came in April with a peptide.", &[]);
    check("The patient's statins list", &[]);
}

proptest! {
    #[test]
    fn never_panics_and_keeps_to_boundaries(text in "\\PC{0,200}") {
        detect(&text, &mut |hit| assert!(text.get(hit.range).is_some()));
    }

    #[test]
    fn never_panics_on_terms_between_anything(before in "\\PC{0,12}", after in "\\PC{0,12}") {
        for term in ["MRN", "patient id:", "diabetes", "statin", "患者"] {
            let text = format!("{before}{term}{after}1234567 my mother {term}");
            detect(&text, &mut |hit| assert!(text.get(hit.range).is_some()));
        }
    }
}
