//! When two spellings are the same value.

use zeroize::Zeroizing;

/// The form in which equal values are equal: cards, accounts and phone numbers without their spacing,
/// e-mail addresses in small letters, everything else with single spaces.
pub(crate) fn normal_form(entity: &str, value: &str) -> Zeroizing<String> {
    let form = if is_number(entity) {
        number(value)
    } else if entity == "email_address" && value.contains('@') {
        format!("t:{}", value.trim().to_lowercase())
    } else {
        words(value)
    };
    Zeroizing::new(form)
}

/// Types whose spacing means nothing: those of one country (`us_ssn`) and the common ones.
fn is_number(entity: &str) -> bool {
    matches!(entity, "payment_card" | "iban" | "phone_number")
        || (entity.as_bytes().get(2) == Some(&b'_') && entity != "ip_address")
}

fn number(value: &str) -> String {
    let compact: String = value
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}'))
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    let plain = compact
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    let digits = compact.bytes().filter(u8::is_ascii_digit).count();
    // An encoded number is letters that matter, in both cases.
    let lower = value.bytes().any(|byte| byte.is_ascii_lowercase());
    let upper = value.bytes().any(|byte| byte.is_ascii_uppercase());
    if plain && digits >= 6 && !(lower && upper) {
        format!("n:{compact}")
    } else {
        words(value)
    }
}

fn words(value: &str) -> String {
    let mut form = String::with_capacity(value.len() + 2);
    form.push_str("t:");
    for word in value.split_whitespace() {
        if form.len() > 2 {
            form.push(' ');
        }
        form.push_str(word);
    }
    form
}
