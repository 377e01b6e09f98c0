//! Keys and tokens that begin, or are marked in the middle, with something only their vendor writes.
//! Prefixes and lengths are those that vendors publish for secret scanners.

/// What may stand in a token.
#[derive(Clone, Copy)]
pub(super) enum Alphabet {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_`.
    Word,
    /// Letters, digits, `_`, `-`.
    Dashed,
    /// Letters, digits, `_`, `-`, `.`.
    Dotted,
    /// Letters, digits, `+`, `/`, `=`.
    Base64,
    /// Capital letters and the digits 2 to 7.
    Base32,
    /// Digits and a to f.
    Hex,
}

impl Alphabet {
    pub(super) fn has(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Dashed => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Base32 => byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte),
            Self::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        }
    }
}

/// A token with a telling prefix.
pub(super) struct Token {
    pub(super) prefix: &'static str,
    pub(super) entity: &'static str,
    pub(super) alphabet: Alphabet,
    /// Bytes after the prefix, at least and at most.
    pub(super) length: (usize, usize),
}

const fn token(
    prefix: &'static str,
    entity: &'static str,
    alphabet: Alphabet,
    min: usize,
    max: usize,
) -> Token {
    Token {
        prefix,
        entity,
        alphabet,
        length: (min, max),
    }
}

const LONG: usize = 512;

use Alphabet::{Alnum, Base32, Base64, Dashed, Dotted, Hex, Word};

pub(super) const TOKENS: &[Token] = &[
    // Clouds.
    token("AKIA", "aws_access_key", Base32, 16, 16),
    token("ASIA", "aws_access_key", Base32, 16, 16),
    token("ABIA", "aws_access_key", Base32, 16, 16),
    token("ACCA", "aws_access_key", Base32, 16, 16),
    token("ABSK", "aws_bedrock_key", Base64, 100, 300),
    token("AIza", "google_key", Dashed, 35, 35),
    token("ya29.", "google_token", Dashed, 30, LONG),
    token("GOCSPX-", "google_key", Dashed, 28, 28),
    token("LTAI", "alibaba_key", Alnum, 12, 26),
    token("AKID", "tencent_key", Alnum, 32, 32),
    token("dop_v1_", "digitalocean_token", Hex, 64, 64),
    token("doo_v1_", "digitalocean_token", Hex, 64, 64),
    token("dor_v1_", "digitalocean_token", Hex, 64, 64),
    token("v1.0-", "cloudflare_key", Dashed, 140, 180),
    token("HRKU-", "heroku_key", Dashed, 36, 64),
    token("FlyV1 fm2_", "fly_token", Base64, 80, LONG),
    token("fo1_", "fly_token", Dashed, 43, 43),
    token("nfp_", "netlify_token", Alnum, 36, 40),
    token("vercel_blob_rw_", "vercel_token", Word, 30, 80),
    token("tskey-auth-", "tailscale_key", Dashed, 20, 80),
    token("tskey-api-", "tailscale_key", Dashed, 20, 80),
    token("pul-", "pulumi_token", Hex, 40, 40),
    token("pscale_tkn_", "planetscale_token", Dashed, 32, 64),
    token("pscale_pw_", "planetscale_token", Dashed, 32, 64),
    token("pscale_oauth_", "planetscale_token", Dashed, 32, 64),
    token("sbp_", "supabase_token", Hex, 40, 40),
    token("sb_secret_", "supabase_token", Dashed, 20, 64),
    token("nvapi-", "nvidia_key", Dashed, 60, 80),
    // Code and packages.
    token("ghp_", "github_token", Alnum, 36, 255),
    token("gho_", "github_token", Alnum, 36, 255),
    token("ghu_", "github_token", Alnum, 36, 255),
    token("ghs_", "github_token", Alnum, 36, 255),
    token("ghr_", "github_token", Alnum, 36, 255),
    token("github_pat_", "github_token", Word, 60, 255),
    token("glpat-", "gitlab_token", Dotted, 20, 64),
    token("gldt-", "gitlab_token", Dashed, 20, 64),
    token("glrt-", "gitlab_token", Dashed, 20, 64),
    token("glcbt-", "gitlab_token", Dashed, 20, 80),
    token("glptt-", "gitlab_token", Hex, 40, 40),
    token("glft-", "gitlab_token", Dashed, 20, 64),
    token("glsoat-", "gitlab_token", Dashed, 20, 64),
    token("glimt-", "gitlab_token", Dashed, 25, 64),
    token("glagent-", "gitlab_token", Dashed, 50, 64),
    token("gloas-", "gitlab_token", Hex, 64, 64),
    token("ATATT3", "atlassian_token", Dashed, 100, 300),
    token("ATCTT3", "atlassian_token", Dashed, 100, 300),
    token("ATBB", "bitbucket_token", Alnum, 32, 32),
    token("npm_", "npm_token", Alnum, 36, 36),
    token("pypi-AgEIcHlwaS5vcmc", "pypi_token", Dashed, 50, LONG),
    token(
        "pypi-AgENdGVzdC5weXBpLm9yZw",
        "pypi_token",
        Dashed,
        50,
        LONG,
    ),
    token("rubygems_", "rubygems_token", Hex, 48, 48),
    token("cio", "crates_io_token", Alnum, 32, 32),
    token("oy2", "nuget_key", Alnum, 43, 43),
    token("dckr_pat_", "docker_token", Dashed, 27, 27),
    token("dckr_oat_", "docker_token", Dashed, 32, 32),
    token("AKCp", "jfrog_key", Alnum, 69, 69),
    token("CCIPAT_", "circleci_token", Word, 40, 80),
    token("bkua_", "buildkite_token", Hex, 40, 40),
    token("sqp_", "sonarqube_token", Hex, 40, 40),
    token("squ_", "sonarqube_token", Hex, 40, 40),
    token("sqa_", "sonarqube_token", Hex, 40, 40),
    token("sgp_", "sourcegraph_token", Word, 40, 80),
    token("figd_", "figma_token", Dashed, 40, 60),
    token("lin_api_", "linear_key", Alnum, 40, 40),
    token("lin_oauth_", "linear_key", Hex, 64, 64),
    token("PMAK-", "postman_key", Dashed, 59, 59),
    token("ntn_", "notion_token", Alnum, 40, 50),
    token("secret_", "notion_token", Alnum, 43, 43),
    token("rdme_", "readme_key", Alnum, 70, 70),
    // Models.
    token("sk-ant-", "anthropic_key", Dashed, 24, LONG),
    token("sk-proj-", "openai_key", Dashed, 24, LONG),
    token("sk-svcacct-", "openai_key", Dashed, 24, LONG),
    token("sk-admin-", "openai_key", Dashed, 24, LONG),
    token("sk-or-v1-", "openrouter_key", Hex, 64, 64),
    token("sk-", "openai_key", Alnum, 32, 64),
    token("sess-", "openai_key", Alnum, 40, 40),
    token("hf_", "huggingface_token", Alnum, 34, 64),
    token("api_org_", "huggingface_token", Alnum, 34, 34),
    token("gsk_", "groq_key", Alnum, 40, 64),
    token("xai-", "xai_key", Alnum, 70, 128),
    token("r8_", "replicate_token", Alnum, 37, 37),
    token("pplx-", "perplexity_key", Alnum, 48, 56),
    token("lsv2_pt_", "langsmith_key", Word, 40, 60),
    token("lsv2_sk_", "langsmith_key", Word, 40, 60),
    token("dapi", "databricks_token", Dashed, 32, 34),
    // Payment and shops.
    token("sk_live_", "stripe_key", Alnum, 16, 128),
    token("sk_test_", "stripe_key", Alnum, 16, 128),
    token("rk_live_", "stripe_key", Alnum, 16, 128),
    token("rk_test_", "stripe_key", Alnum, 16, 128),
    token("whsec_", "stripe_key", Alnum, 32, 128),
    token("sq0atp-", "square_token", Dashed, 22, 22),
    token("sq0csp-", "square_token", Dashed, 43, 43),
    token("EAAA", "square_token", Dashed, 60, 60),
    token("EAACEdEose0cBA", "facebook_token", Alnum, 40, LONG),
    token("shpat_", "shopify_token", Hex, 32, 32),
    token("shpss_", "shopify_token", Hex, 32, 32),
    token("shppa_", "shopify_token", Hex, 32, 32),
    token("shpca_", "shopify_token", Hex, 32, 32),
    token("rzp_live_", "razorpay_key", Alnum, 14, 14),
    token("FLWSECK-", "flutterwave_key", Dashed, 32, 40),
    token("FLWSECK_TEST-", "flutterwave_key", Dashed, 12, 40),
    token("access_token$production$", "paypal_token", Alnum, 40, 60),
    token("access_token$sandbox$", "paypal_token", Alnum, 40, 60),
    token("shippo_live_", "shippo_key", Hex, 40, 40),
    token("EZAK", "easypost_key", Alnum, 54, 54),
    token("duffel_live_", "duffel_key", Dashed, 43, 43),
    // Messages and mail.
    token("xoxb-", "slack_token", Dashed, 20, 255),
    token("xoxp-", "slack_token", Dashed, 20, 255),
    token("xoxa-", "slack_token", Dashed, 20, 255),
    token("xoxr-", "slack_token", Dashed, 20, 255),
    token("xoxs-", "slack_token", Dashed, 20, 255),
    token("xoxe.xoxb-", "slack_token", Dashed, 20, 255),
    token("xoxe.xoxp-", "slack_token", Dashed, 20, 255),
    token("xoxe-", "slack_token", Dashed, 20, 255),
    token("xapp-", "slack_token", Dashed, 20, 255),
    token("SG.", "sendgrid_key", Dotted, 60, 80),
    token("key-", "mailgun_key", Hex, 32, 32),
    token("xkeysib-", "brevo_key", Dashed, 64, 96),
    token("AC", "twilio_key", Hex, 32, 32),
    token("SK", "twilio_key", Hex, 32, 32),
    // Operations.
    token("hvs.", "vault_token", Dashed, 24, 200),
    token("hvb.", "vault_token", Dashed, 90, 300),
    token("hvr.", "vault_token", Dashed, 24, 200),
    token("dp.pt.", "doppler_token", Alnum, 40, 44),
    token("dp.st.", "doppler_token", Dotted, 40, 80),
    token("dp.sa.", "doppler_token", Alnum, 40, 44),
    token("dp.ct.", "doppler_token", Alnum, 40, 44),
    token("ops_eyJ", "onepassword_token", Base64, 200, 2_048),
    token("NRAK-", "new_relic_key", Alnum, 27, 27),
    token("NRII-", "new_relic_key", Dashed, 32, 32),
    token("NRRA-", "new_relic_key", Hex, 42, 42),
    token("sntrys_", "sentry_token", Dashed, 60, 400),
    token("sntryu_", "sentry_token", Hex, 64, 64),
    token("glsa_", "grafana_token", Word, 40, 48),
    token("glc_", "grafana_token", Base64, 32, 400),
    token("dt0c01.", "dynatrace_token", Dotted, 80, 96),
    token("phx_", "posthog_key", Alnum, 40, 48),
    token("CFPAT-", "contentful_token", Dashed, 43, 43),
    token("AGE-SECRET-KEY-1", "age_key", Alnum, 58, 58),
    token("pnu_", "prefect_key", Alnum, 36, 36),
    token("aio_", "adafruit_key", Alnum, 28, 28),
    token("tfp_", "typeform_token", Dotted, 40, 64),
];
