//! Sixteen disguises times identifiers: each is found where it stands.

use freehold_guard::{Guard, Settings};

#[path = "texts/disguise.rs"]
mod disguise;

use disguise::{DISGUISES, ENCODINGS};

/// What is disguised: the entity, a value and what stands before it.
const VALUES: &[(&str, &str, &str)] = &[
    ("payment_card", "4111 1111 1111 1111", "card "),
    ("payment_card", "5500005555555559", "card "),
    ("payment_card", "3782-822463-10005", "card "),
    ("iban", "DE89 3704 0044 0532 0130 00", "IBAN "),
    ("iban", "GB82WEST12345698765432", "IBAN "),
    ("us_ssn", "536-90-4399", "my SSN is "),
    (
        "openai_key",
        "sk-q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi",
        "key ",
    ),
    (
        "github_token",
        "ghp_q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi",
        "token ",
    ),
    ("aws_access_key", "AKIAQ7ZC2WYB3VN4XS5K", "id "),
    ("email_address", "ingrid.larsen@fjordmail.no", "mail "),
];

/// Two digits have lookalikes, too. Within an unbroken number of letters and digits they are not always seen
/// through, so only this test, which allows for some that are missed, has them.
fn lookalike_digits(text: &str) -> String {
    text.replace('3', "З").replace('0', "О")
}

/// Whether a disguised value is found: its type, over its whole range and little more.
fn is_found(guard: &Guard, entity: &str, before: &str, disguised: &str) -> bool {
    let text = format!("Hello, {before}{disguised} and that is all.");
    let start = text.find(disguised).unwrap_or(0);
    let end = start + disguised.trim_end().len();
    let scan = guard.scan_text(&text);
    scan.hits.iter().any(|hit| {
        let first = disguised.chars().next().map_or(0, char::len_utf8);
        hit.entity.as_str() == entity
            && hit.range.start >= start.saturating_sub(1)
            && hit.range.start <= start + 2 * first
            && hit.range.end + 8 >= end
            && hit.range.end <= start + disguised.len()
    })
}

#[test]
fn every_disguise_of_every_identifier_is_seen_through() {
    let guard = Guard::new(&Settings::default()).unwrap();
    let mut missed = Vec::new();
    for (entity, value, before) in VALUES {
        assert!(
            is_found(&guard, entity, before, value),
            "{entity} as it stands"
        );
        for (name, disguise) in DISGUISES {
            let mut disguised = disguise(value);
            if name == "lookalikes" {
                disguised = lookalike_digits(&disguised);
            }
            if !is_found(&guard, entity, before, &disguised) {
                missed.push(format!("{entity} {value} in {name}: {disguised}"));
            }
        }
    }
    let all = VALUES.len() * DISGUISES.len();
    assert!(
        missed.len() * 20 <= all,
        "{} of {all}: {missed:#?}",
        missed.len()
    );
}

#[test]
fn encodings_within_encodings() {
    let guard = Guard::new(&Settings::default()).unwrap();
    for (entity, value, _) in VALUES.iter().filter(|value| value.0 != "us_ssn") {
        for (first, inner) in ENCODINGS {
            for (second, middle) in ENCODINGS {
                for (third, outer) in ENCODINGS {
                    let text = outer(&middle(&inner(value)));
                    let scan = guard.scan_text(&text);
                    let whole = scan.hits.iter().find(|hit| hit.entity.as_str() == *entity);
                    assert!(
                        whole.is_some(),
                        "{entity} {value}: {first}, {second}, {third}: {scan:?}"
                    );
                    assert_eq!(scan.incomplete, None, "{first}, {second}, {third}");
                }
            }
        }
    }
}

#[test]
fn prose_in_many_languages_is_clean() {
    let guard = Guard::new(&Settings {
        off: vec!["person".into(), "location".into(), "organisation".into()],
        ..Settings::default()
    })
    .unwrap();
    for text in [
        "Le théâtre a été fermé à 18 h 30 ; où est-il allé après l'été ?",
        "Müßten die Übungen größer sein? Ja, um 25 % – nicht mehr.",
        "Сегодня хорошая погода, температура 25 градусов, влажность 40 %.",
        "Η θερμοκρασία σήμερα είναι 25 βαθμοί και η υγρασία 40 %.",
        "今天天气很好，温度25度，湿度40%。",
        "今日は天気がいいです。気温は25度です。",
        "오늘은 날씨가 좋습니다. 기온은 25도입니다.",
        "आज मौसम अच्छा है, तापमान २५ डिग्री है।",
        "الطقس جميل اليوم، درجة الحرارة ٢٥.",
        "🎉🎉 10/10 would go again 👩‍👩‍👧‍👦 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    ] {
        let scan = guard.scan_text(text);
        assert!(
            scan.hits.is_empty() && scan.incomplete.is_none(),
            "{text}: {scan:?}"
        );
    }
}
