use crate::detect::tests::{compare, entities, finds};

fn check(text: &str, expected: &[(&str, &str)]) {
    compare(text, &entities(text), expected);
}

fn check_clean(text: &str) {
    check(text, &[]);
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
fn access_keys_without_digits_or_with_few_letters() {
    for key in ["AKIATGPWWPWNGNIJJSDW", "AKIACOCRFRRRO4CQY4QC"] {
        check(&format!("use {key} here"), &[("aws_access_key", key)]);
        check_clean(&format!("use {key}X here"));
    }
    check_clean("AKIAXXXXXXXXXXXXXXXX");
    check_clean("AKIA0000000000000000");
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
        &[("connection_string", "hunter42x")],
    );
    for text in [
        "postgres://user:password@localhost/db",
        "redis://:${REDIS_PASSWORD}@cache:6379",
        "https://example.org:8443/a@b",
        "https://{user}:{pass}@host",
    ] {
        check_clean(text);
    }
}

#[test]
fn every_vendors_token_by_its_own_table() {
    for token in super::tokens::TOKENS {
        let length = token.length.0.max(16).min(token.length.1);
        let alphabet: String = (b'!'..=b'~')
            .filter(|byte| token.alphabet.has(*byte) && byte.is_ascii_alphanumeric())
            .map(char::from)
            .collect();
        let token_text = format!("{}{}", token.prefix, body(length, &alphabet));
        assert!(
            finds(&format!("export X {token_text}\n"), token.entity),
            "{token_text}: {:?}",
            entities(&token_text)
        );
        check_clean(&format!("{}{}", token.prefix, "x".repeat(length)));
    }
}

#[test]
fn secrets_without_a_prefix_of_their_own() {
    let forty = body(34, ALNUM);
    let azure = format!("aBc8Q~{forty}");
    check(
        &format!("secret: {azure}"),
        &[("azure_client_secret", &azure)],
    );
    let key = format!("{}==", body(86, ALNUM));
    check(
        &format!(
            "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={key};EndpointSuffix=core.windows.net"
        ),
        &[("azure_key", &key)],
    );
    let bot = format!("1234567890:AA{}", body(33, ALNUM));
    assert!(finds(&format!("telegram {bot}"), "telegram_token"));
    let hook = format!(
        "hooks.slack.com/services/T0000ABCD/B0000ABCD/{}",
        body(24, ALNUM)
    );
    assert!(finds(&format!("curl https://{hook}"), "webhook_url"));
    check(
        "postgresql+psycopg2://app:hunter42x@db.internal:5432/x",
        &[("connection_string", "hunter42x")],
    );
    check(
        "https://bob:hunter42x@example.org/x",
        &[("url_password", "hunter42x")],
    );
    check(
        "Server=db;Database=x;User Id=sa;Password=Tr0ub4dor&3;Encrypt=true",
        &[("password", "Tr0ub4dor")],
    );
    check(
        "Authorization: Basic dXNlcjpodW50ZXIy",
        &[("basic_auth", "dXNlcjpodW50ZXIy")],
    );
    let bearer = body(40, ALNUM);
    check(
        &format!("authorization: Bearer {bearer}"),
        &[("bearer_token", &bearer)],
    );
}

#[test]
fn what_is_assigned_to_a_telling_name() {
    let key = body(32, ALNUM);
    for text in [
        format!("secret_key = \"{key}\""),
        format!("SECRET_KEY={key}"),
        format!("\"apiKey\": \"{key}\","),
        format!("client_secret: '{key}'"),
        format!("--api-key {key} --verbose"),
        format!("<token>{key}</token>"),
        format!("my api key is {key}, please use it"),
        format!("{{\\\"auth_token\\\": \\\"{key}\\\"}}"),
        format!("x-api-key: {key}"),
    ] {
        assert!(
            entities(&text).contains(&("api_key".to_owned(), key.clone())),
            "{text}: {:?}",
            entities(&text)
        );
    }
    for (text, password) in [
        ("password: hunter2", "hunter2"),
        ("pwd=S3cret!x", "S3cret!x"),
        ("The password is Blue-Horse-77.", "Blue-Horse-77"),
        ("associated password 'B@np0rt#24' was", "B@np0rt#24"),
        (
            "DB_PASSWORD=\"correct horse battery 9\"",
            "correct horse battery 9",
        ),
        ("Passwort: Sommer2024!", "Sommer2024!"),
        ("mysql -u root --password=t0psy-krets", "t0psy-krets"),
        ("密码：abc12345", "abc12345"),
    ] {
        assert!(
            entities(text).contains(&("password".to_owned(), password.to_owned())),
            "{text}: {:?}",
            entities(text)
        );
    }
    assert!(finds("username: jane.doe42", "username"));
}

#[test]
fn placeholders_and_code_are_no_secrets() {
    for text in [
        "password: ********",
        "password: ${DB_PASSWORD}",
        "password = os.environ['DB_PASSWORD']",
        "password = getpass.getpass()",
        "api_key = \"YOUR_API_KEY\"",
        "api_key: sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "api_key=<your-api-key-here>",
        "token: string;",
        "const token = await getToken(user);",
        "let secret = config.auth.secret;",
        "max_tokens: 4096, token_count=1234567890",
        "The password is required and must be at least 8 characters",
        "Forgot password? Reset password here.",
        "\"password\": \"Password\", \"username\": \"Username\"",
        "if password == expected_password_1 { ok() }",
        "secret_name: my-service-account-2-prod",
        "tokenizer=cl100k_base tokenization_v2=1a2b3c4d5e",
        "the bearer of this letter, basic instinct 12345678",
        "https://example.org/reset?token={token}",
        "token_url = https://login.example.org/oauth2/v2.0/token12",
        "Authorization: Bearer <token>",
        "Authorization: Bearer $TOKEN",
        "git rev-parse 9fc4736b0f0d3f7fbe1c3f5b7b1c4c6dd2c2d6ce",
        "id: 550e8400-e29b-41d4-a716-446655440000",
        "fn password(&self) -> &str { &self.password }",
        "password: Option<String>,",
    ] {
        check_clean(text);
    }
}
