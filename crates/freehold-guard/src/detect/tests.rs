use proptest::prelude::*;

use super::*;

/// The entities found in a text, with what they cover.
fn check(text: &str, expected: &[(&str, &str)]) {
    let mut hits = Vec::new();
    all(text, &mut |hit| hits.push(hit));
    hits.sort_by_key(|hit| hit.range.start);
    let actual: Vec<_> = hits
        .iter()
        .map(|hit| (hit.entity.as_str(), &text[hit.range.clone()]))
        .collect();
    assert_eq!(actual, expected, "{text}");
}

fn check_clean(text: &str) {
    check(text, &[]);
}

#[test]
fn cards_of_every_network_and_spelling() {
    for number in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4222222222222",
        "5500005555555559",
        "5555 5555 5555 4444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "3056 930902 5904",
        "3530111333300000",
        "6011111111111117",
        "6011 1111 1111 1117",
        "6200000000000005",
        "6759649826438453",
    ] {
        check(
            &format!("card: {number}, exp 12/27"),
            &[("payment_card", number)],
        );
        check(&format!("2024 {number}."), &[("payment_card", number)]);
        check(number, &[("payment_card", number)]);
        check(&format!("card-{number}-visa"), &[("payment_card", number)]);
        check(&format!("card_{number}_old"), &[("payment_card", number)]);
        check(&format!("日本{number}語"), &[("payment_card", number)]);
    }
}

#[test]
fn numbers_that_are_no_cards() {
    for text in [
        // Wrong checksum, wrong range, wrong length.
        "4111111111111112",
        "1111111111111117",
        "9999999999999995",
        "411111111111111",
        "41111111111111111111",
        // Pieces of something longer.
        "x4111111111111111",
        "4111111111111111a",
        "0.4111111111111111",
        "4111111111111111.5",
        "order_7_4111111111111111",
        "a1b2-4111111111111111",
        "4111111111111111-a716",
        // Groups that no card has.
        "41 1111 1111 1111 11",
        "4111 1111-1111 1111",
        // Times, counters, phone numbers.
        "1700000000000000000",
        "2024-11-21T05:24:59.123456789Z",
        "+49 5555 555555 4444",
        "5555555555555555",
        // Identifiers.
        "550e8400-e29b-41d4-a716-446655440000",
        "d41d8cd98f00b204e9800998ecf8427e",
        "9fc4736b0f0d3f7fbe1c3f5b7b1c4c6dd2c2d6ce",
        "sha256:4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce",
    ] {
        check_clean(text);
    }
}

#[test]
fn ibans_of_many_countries() {
    for number in [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32",
        "GB82WEST12345698765432",
        "FR1420041010050500013M02606",
        "NL91ABNA0417164300",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "CH93 0076 2011 6238 5295 7",
        "de89370400440532013000",
    ] {
        check(&format!("IBAN {number} bitte"), &[("iban", number)]);
    }
    for text in [
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130001",
        "XX89370400440532013000",
        "DE89 37 04 0044 0532 0130 00",
        "be12 or not be12 that is the question",
    ] {
        check_clean(text);
    }
}

#[test]
fn social_security_numbers_only_next_to_their_name() {
    check("SSN: 536-90-4399", &[("us_ssn", "536-90-4399")]);
    check(
        "her social security number is 536 90 4399",
        &[("us_ssn", "536 90 4399")],
    );
    check("\"ssn\": \"536-90-4399\"", &[("us_ssn", "536-90-4399")]);
    for text in [
        "part number 536-90-4399",
        "SSN: 000-12-3456",
        "SSN: 666-12-3456",
        "SSN: 912-12-3456",
        "SSN: 536-90 4399",
        "SSN: 536-90-43990",
    ] {
        check_clean(text);
    }
}

/// Pseudo-random letters and digits: tokens as vendors make them, but nobody's.
fn body(length: usize, alphabet: &str) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut state = 0x2545_f491_u64;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            letters[usize::try_from(state >> 33).unwrap() % letters.len()]
        })
        .collect()
}

const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";

#[test]
fn vendors_tokens() {
    for (prefix, length, alphabet, entity) in [
        (
            "AKIA",
            16,
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            "aws_access_key",
        ),
        ("ghp_", 36, ALNUM, "github_token"),
        ("github_pat_", 82, ALNUM, "github_token"),
        ("glpat-", 20, ALNUM, "gitlab_token"),
        ("sk-ant-api03-", 95, ALNUM, "anthropic_key"),
        ("sk-proj-", 120, ALNUM, "openai_key"),
        ("sk-", 48, ALNUM, "openai_key"),
        ("sk-", 32, HEX, "openai_key"),
        ("sk-or-v1-", 64, HEX, "openrouter_key"),
        ("sk_live_", 24, ALNUM, "stripe_key"),
        ("AIza", 35, ALNUM, "google_key"),
        ("xoxb-", 50, ALNUM, "slack_token"),
        ("hf_", 34, ALNUM, "huggingface_token"),
        ("gsk_", 52, ALNUM, "groq_key"),
        ("npm_", 36, ALNUM, "npm_token"),
    ] {
        let token = format!("{prefix}{}", body(length, alphabet));
        for text in [
            token.clone(),
            format!("export KEY={token}\n"),
            format!("{{\"key\":\"{token}\"}}"),
            format!("über {token}, ja"),
            format!("line one\\n{token}\\nline three"),
        ] {
            check(&text, &[(entity, &token)]);
        }
        // Cut, glued to a word, or a placeholder.
        check_clean(&token[..prefix.len() + 8.min(length - 1)]);
        check_clean(&format!("x{token}"));
        check_clean(&format!("{prefix}{}", "x".repeat(length)));
    }
}

#[test]
fn private_keys_whole_and_cut() {
    let body = body(200, ALNUM);
    for kind in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
        let key =
            format!("-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----");
        check(&format!("look: {key} ok?"), &[("private_key", &key)]);
        let escaped = key.replace('\n', "\\n");
        check(&format!("\"{escaped}\""), &[("private_key", &escaped)]);
        let cut = format!("-----BEGIN {kind}PRIVATE KEY-----\n{body}");
        check(&cut, &[("private_key", &cut)]);
    }
    let pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----";
    check(pgp, &[("private_key", pgp)]);
    check_clean(&format!(
        "-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"
    ));
    check_clean("-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----");
    check_clean("grep -- '-----BEGIN ' *.pem");
}

#[test]
fn tokens_of_other_shapes() {
    let jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    check(&format!("Authorization: Bearer {jwt}"), &[("jwt", jwt)]);
    // Base64 that is no token.
    check_clean("eyJmb28iOiJiYXIiLCJiYXoiOjF9.eyJmb28iOiJiYXIifQ.c29tZXRoaW5n");
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzYYYYKEYa";
    check(
        &format!("aws_secret_access_key = {secret}\n"),
        &[("aws_secret_key", secret)],
    );
    check(
        &format!("\"SecretAccessKey\": \"{secret}\""),
        &[("aws_secret_key", secret)],
    );
    check_clean("aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']");
    check(
        "postgres://app:hunter42x@db.internal/x",
        &[("url_password", "hunter42x")],
    );
    for text in [
        "postgres://user:password@localhost/db",
        "redis://:${REDIS_PASSWORD}@cache:6379",
        "https://example.org:8443/a@b",
        "https://user@example.org",
        "https://{user}:{pass}@host",
    ] {
        check_clean(text);
    }
}

#[test]
fn prose_and_code_raise_no_alarm() {
    for text in [
        include_str!("numbers.rs"),
        include_str!("../scan.rs"),
        include_str!("../../../../Cargo.toml"),
        "The disk-usage-and-task-scheduling-component-2000 is a risk-assessment-framework-v2.",
        "git checkout 9fc4736b0f0d3f7fbe1c3f5b7b1c4c6dd2c2d6ce && cargo build",
        "<div class=\"sk-loading-skeleton-placeholder-wrapper-item-12\"></div>",
        "Call 1-800-555-0199 or +1 (212) 555-0100 before 2024-12-31, order 2023-4455-6677-8899.",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "ISBN 978-3-16-148410-0, EAN 4006381333931, IP 192.168.100.200, version 4.1.1.1",
        "SELECT * FROM orders WHERE id IN (4000123400001234567890, 5100000000000000)",
    ] {
        check_clean(text);
    }
}

#[test]
fn dense_input_takes_linear_time() {
    // Each of these defeats a detector that looks ahead without bound. Doubling the text must not
    // quadruple the work: a quadratic detector would run for minutes here.
    for piece in [
        "eyJ.",
        "eyJ",
        "sk-",
        "-----BEGIN PRIVATE KEY",
        "://a:",
        "ssn 1",
        "4111 ",
        "DE89 ",
        "5",
        "://",
        "-----BEGIN PRIVATE KEY----- -----END ",
        "aws_secret_access_key=",
        "A1",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        let mut hits = 0;
        all(&text, &mut |_| hits += 1);
        assert!(hits < text.len() / 8);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,400}") {
        all(&text, &mut |hit| assert!(text.get(hit.range).is_some()));
    }

    #[test]
    fn a_planted_secret_is_found_wherever_it_stands(
        before in "\\PC{0,60}",
        after in "\\PC{0,60}",
        secret in proptest::sample::select(vec![
            ("payment_card", "4111 1111 1111 1111"),
            ("iban", "DE89370400440532013000"),
            ("openai_key", "sk-q7Zc0wYb3Vn8Xs5Kd2Lf9Gh4Jm1Pr6TtAeUi"),
        ]),
    ) {
        let text = format!("{before}\n {} \n{after}", secret.1);
        let mut found = Vec::new();
        all(&text, &mut |hit| found.push((hit.entity.to_string(), text[hit.range].to_owned())));
        prop_assert!(found.contains(&(secret.0.to_owned(), secret.1.to_owned())), "{found:?}");
    }
}
