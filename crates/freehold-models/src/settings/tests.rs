use std::collections::HashMap;

use secrecy::ExposeSecret;

use super::*;

/// Variables of a machine whose home is an empty directory.
fn variables(home: &Path, pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let mut map: HashMap<_, _> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    map.insert("HOME".to_owned(), home.to_string_lossy().into_owned());
    // The machine that runs the tests may have a configuration of its own.
    map.entry("PIP_CONFIG_FILE".to_owned())
        .or_insert_with(|| "/dev/null".to_owned());
    map
}

fn load(map: &HashMap<String, String>) -> StoreSettings {
    StoreSettings::from_variables(&|name| map.get(name).cloned()).unwrap()
}

#[test]
fn a_bare_machine_gets_the_public_hosts_and_the_data_directory() {
    let home = tempfile::tempdir().unwrap();
    let settings = load(&variables(home.path(), &[]));
    assert_eq!(
        settings.root,
        home.path().join(".local/share/freehold/models")
    );
    assert_eq!(settings.hub_endpoint.as_str(), "https://huggingface.co/");
    assert_eq!(settings.index.base.as_str(), "https://pypi.org/simple/");
    assert!(settings.hub_token.is_none());
    assert!(settings.index.credentials.is_none());
}

#[test]
fn the_environment_moves_root_and_hosts() {
    let home = tempfile::tempdir().unwrap();
    let settings = load(&variables(
        home.path(),
        &[
            ("FREEHOLD_HOME", "/srv/freehold"),
            ("HF_ENDPOINT", "https://mirror.example/hf"),
            (
                "UV_INDEX_URL",
                "https://us%40er:p%2Bw+d@pkgs.example/root/simple",
            ),
        ],
    ));
    assert_eq!(settings.root, Path::new("/srv/freehold/models"));
    assert_eq!(settings.hub_endpoint.as_str(), "https://mirror.example/hf/");
    assert_eq!(
        settings.index.base.as_str(),
        "https://pkgs.example/root/simple/"
    );
    let Some(Credentials::Basic { user, password }) = settings.index.credentials else {
        panic!("the credentials of the address are lost");
    };
    assert_eq!(
        (user.as_str(), password.expose_secret()),
        ("us@er", "p+w+d")
    );
}

#[test]
fn pip_variables_win_over_uv_and_over_files() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".config/pip")).unwrap();
    std::fs::write(
        home.path().join(".config/pip/pip.conf"),
        "[global]\nindex-url = https://file.example/simple\n",
    )
    .unwrap();
    let mut map = variables(home.path(), &[]);
    map.remove("PIP_CONFIG_FILE");
    assert_eq!(
        load(&map).index.base.as_str(),
        "https://file.example/simple/"
    );
    map.insert("UV_INDEX_URL".into(), "https://uv.example/simple".into());
    assert_eq!(load(&map).index.base.as_str(), "https://uv.example/simple/");
    map.insert("PIP_INDEX_URL".into(), "https://pip.example/simple".into());
    assert_eq!(
        load(&map).index.base.as_str(),
        "https://pip.example/simple/"
    );
}

#[test]
fn the_token_comes_from_variable_or_login_file() {
    let home = tempfile::tempdir().unwrap();
    let token = |map: &HashMap<String, String>| {
        load(map)
            .hub_token
            .map(|token| token.expose_secret().to_owned())
    };
    let mut map = variables(home.path(), &[]);
    assert_eq!(token(&map), None);
    std::fs::create_dir_all(home.path().join(".cache/huggingface")).unwrap();
    std::fs::write(home.path().join(".cache/huggingface/token"), "hf_file\n").unwrap();
    assert_eq!(token(&map).as_deref(), Some("hf_file"));
    map.insert("HUGGING_FACE_HUB_TOKEN".into(), "hf_old".into());
    assert_eq!(token(&map).as_deref(), Some("hf_old"));
    map.insert("HF_TOKEN".into(), "hf_new".into());
    assert_eq!(token(&map).as_deref(), Some("hf_new"));
}

#[test]
fn an_unusable_address_names_its_variable() {
    let home = tempfile::tempdir().unwrap();
    for value in ["huggingface.co", "file:///x", "ftp://x.example/"] {
        let map = variables(home.path(), &[("HF_ENDPOINT", value)]);
        let error = StoreSettings::from_variables(&|key| map.get(key).cloned()).unwrap_err();
        assert!(error.to_string().contains("HF_ENDPOINT"), "{error}");
    }
    // pip's own setting stands in the way of package pulls only.
    let settings = load(&variables(
        home.path(),
        &[("PIP_INDEX_URL", "file:///wheels")],
    ));
    assert_eq!(settings.index.problem.unwrap().setting, "PIP_INDEX_URL");
}

#[test]
fn debug_output_shows_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let map = variables(
        home.path(),
        &[
            ("HF_TOKEN", "hf_secret"),
            ("PIP_INDEX_URL", "https://u:pw@x.example/simple"),
        ],
    );
    let text = format!("{:?}", load(&map));
    assert!(
        !text.contains("hf_secret") && !text.contains("pw"),
        "{text}"
    );
}
