//! Made-up values.

use std::collections::HashSet;

use freehold_guard::{Limits, MaskStyle, scan};

use crate::{ask, sent, vault};

fn made_up(entity: &'static str, value: &str) -> String {
    let mut vault = vault();
    let sent = sent(value, &[(entity, value)], MaskStyle::Surrogate, &mut vault);
    assert_eq!(vault.restorer().restore(&sent), value, "{sent}");
    sent
}

fn shape(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect()
}

#[test]
fn have_the_kind_and_shape_of_the_value() {
    for (entity, value, starts) in [
        ("payment_card", "4929 1234 5678 9015", "4000 00"),
        ("payment_card", "5105105105105100", "555555"),
        ("payment_card", "3714-496353-98431", "3782-82"),
        ("us_ssn", "078-05-1120", "987-65-432"),
        ("phone_number", "(212) 867-5309", "("),
        ("phone_number", "+1 212.867.5309", "+1 "),
        ("phone_number", "+44 7911 123456", "+44 7700 900"),
    ] {
        let surrogate = made_up(entity, value);
        assert!(surrogate.starts_with(starts), "{value} {surrogate}");
        assert_eq!(shape(&surrogate), shape(value), "{surrogate}");
    }
    let seen = scan(
        &ask(&made_up("payment_card", "4929 1234 5678 9015")),
        &Limits::default(),
    );
    assert_eq!(
        seen.counts()["payment_card"],
        1,
        "the surrogate is not valid by Luhn"
    );
    assert!(made_up("phone_number", "(212) 867-5309").contains(") 555-01"));
    assert!(made_up("phone_number", "+49 30 901820").contains("55501"));
    let email = made_up("email_address", "ann.lee@corp.test");
    assert!(email.contains("@example."), "{email}");
    let address = made_up("ip_address", "10.1.2.3");
    let reserved = ["192.0.2.", "198.51.100.", "203.0.113."];
    assert!(
        reserved.iter().any(|net| address.starts_with(net)),
        "{address}"
    );
    assert!(made_up("ip_address", "fe80::1").starts_with("2001:db8:"));
    for (value, words) in [
        ("Ann Lee", 2),
        ("ann", 1),
        ("Ann van der Lee", 4),
        ("李小龍", 1),
    ] {
        let name = made_up("person", value);
        assert_eq!(name.split(' ').count(), words, "{name}");
        assert!(!name.contains('<'), "{name}");
    }
    assert!(made_up("person", "Ann van der Lee").contains(" van der "));
    assert!(!made_up("organisation", "Acme").contains('<'));
    assert!(!made_up("location", "Paris").contains('<'));
}

#[test]
fn types_and_shapes_without_surrogates_get_placeholders() {
    for (entity, value) in [
        ("iban", "DE89370400440532013000"),
        ("email_address", "Ym9iQGNvcnAudGVzdA=="),
        ("payment_card", "NDExMTExMTExMTExMTExMQ=="),
        ("person", "a;b"),
    ] {
        let sent = made_up(entity, value);
        assert!(sent.starts_with('<'), "{sent}");
    }
}

#[test]
fn parts_of_a_name_are_restored_and_shared_in_a_family() {
    let mut vault = vault();
    let values = [
        ("person", "Ann Lee"),
        ("person", "Bob Lee"),
        ("person", "Bob"),
    ];
    let text = "Ann Lee and Bob Lee. Bob?";
    let sent = sent(text, &values, MaskStyle::Surrogate, &mut vault);
    let words: Vec<&str> = sent.split([' ', '.', '?']).collect();
    let [ann, lee, _, bob, lee_too, ..] = words[..] else {
        panic!("{sent}");
    };
    assert_eq!(lee, lee_too);
    assert_ne!(ann, bob);
    assert!(sent.ends_with(&format!(". {bob}?")), "{sent}");
    let answer = format!("Dear {ann}, Mr {lee}'s {bob}. {}", bob.to_uppercase());
    let restored = vault.restorer().restore(&answer);
    assert_eq!(
        restored,
        format!("Dear Ann, Mr Lee's Bob. {}", bob.to_uppercase())
    );
}

#[test]
fn are_restored_however_a_model_spaces_them() {
    let mut vault = vault();
    let value = "(212) 867-5309";
    let sent = sent(
        value,
        &[("phone_number", value)],
        MaskStyle::Surrogate,
        &mut vault,
    );
    let digits: String = sent.chars().filter(char::is_ascii_digit).collect();
    let restorer = vault.restorer();
    assert_eq!(
        restorer.restore(&format!("call {digits}.")),
        format!("call {value}.")
    );
    let dotted = format!("({}.{}.{})", &digits[..3], &digits[3..6], &digits[6..]);
    assert_eq!(restorer.restore(&dotted), format!("({value})"));
    for not_it in [
        format!("{digits}0"),
        format!("0{digits}"),
        format!("x{digits}"),
    ] {
        assert_eq!(restorer.restore(&not_it), not_it);
    }
}

#[test]
fn differ_from_each_other_and_from_every_real_value() {
    let mut vault = vault();
    // All surrogates of the test network but a few are real values here.
    let mut real = Vec::new();
    for net in ["192.0.2", "198.51.100", "203.0.113"] {
        real.extend((1..=200).map(|host| format!("{net}.{host}")));
    }
    let values: Vec<_> = real
        .iter()
        .map(|value| ("ip_address", value.as_str()))
        .collect();
    let text = real.join(" ");
    let sent = sent(&text, &values, MaskStyle::Surrogate, &mut vault);
    let real: HashSet<&str> = text.split(' ').collect();
    let fake: HashSet<&str> = sent.split(' ').collect();
    assert_eq!(fake.len(), real.len());
    assert!(fake.is_disjoint(&real));
    assert!(
        fake.iter().any(|fake| fake.starts_with('<')),
        "all were free"
    );
    assert_eq!(vault.restorer().restore(&sent), text);
}

#[test]
fn are_the_same_again_for_the_same_vault() {
    let values = [("person", "Ann Lee"), ("email_address", "a@corp.test")];
    let text = "Ann Lee <a@corp.test>";
    let style = MaskStyle::Surrogate;
    let one = sent(text, &values, style, &mut vault());
    assert_eq!(one, sent(text, &values, style, &mut vault()));
    let mut other = freehold_guard::Vault::new("acme", "conversation 2", crate::SECRET);
    assert_ne!(one, sent(text, &values, style, &mut other));
}
