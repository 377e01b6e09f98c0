//! The index that this machine's pip or uv uses, so that a pull works where `pip install` works.

use std::path::PathBuf;

use ini::Ini;

use super::home;

const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The address of the configured index and the name of the setting it came from.
pub(super) fn index_address(variable: &dyn Fn(&str) -> Option<String>) -> Option<(String, String)> {
    for name in ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"] {
        if let Some(address) = variable(name) {
            return Some((name.to_owned(), address));
        }
    }
    config_files(variable).into_iter().find_map(|path| {
        let size = std::fs::metadata(&path).ok()?.len();
        let text = (size <= CONFIG_BYTES_MAX).then(|| std::fs::read_to_string(&path).ok())??;
        let address = index_in(&text)?;
        Some((format!("index-url in {}", path.display()), address))
    })
}

/// pip's configuration files, the one that wins first.
fn config_files(variable: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    match variable("PIP_CONFIG_FILE") {
        // pip documents the null device as "read no configuration at all".
        Some(path) if path == "/dev/null" || path.eq_ignore_ascii_case("nul") => return files,
        Some(path) => files.push(PathBuf::from(path)),
        None => {}
    }
    files.extend(variable("VIRTUAL_ENV").map(|path| PathBuf::from(path).join("pip.conf")));
    if let Some(home) = home(variable) {
        let config =
            variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        files.push(config.join("pip/pip.conf"));
        files.push(home.join("Library/Application Support/pip/pip.conf"));
        files.push(home.join(".pip/pip.conf"));
    }
    files.extend(variable("APPDATA").map(|path| PathBuf::from(path).join("pip/pip.ini")));
    files.extend(["/etc/pip.conf", "/etc/xdg/pip/pip.conf"].map(PathBuf::from));
    files
}

/// `index-url` of one configuration; the section of a command wins over `[global]`.
fn index_in(text: &str) -> Option<String> {
    let config = Ini::load_from_str_noescape(text).ok()?;
    ["install", "download", "global"]
        .iter()
        .find_map(|section| {
            let properties = config.section(Some(*section))?;
            let value = properties
                .get("index-url")
                .or_else(|| properties.get("index_url"))?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_section_wins_over_global() {
        let text = "[global]\ncert = /etc/ssl/ca.crt\nindex-url = https://a.example/simple\n[install]\nindex-url = https://b.example/simple\n";
        assert_eq!(index_in(text).as_deref(), Some("https://b.example/simple"));
    }

    #[test]
    fn a_config_without_an_index_changes_nothing() {
        assert_eq!(index_in("[global]\ncert = /etc/ssl/ca.crt\n"), None);
        assert_eq!(index_in("[global]\nindex-url =\n"), None);
        assert_eq!(index_in("not an ini file"), None);
    }

    #[test]
    fn the_null_device_switches_every_file_off() {
        let variable = |name: &str| match name {
            "PIP_CONFIG_FILE" => Some("/dev/null".to_owned()),
            "HOME" => Some("/home/user".to_owned()),
            _ => None,
        };
        assert!(config_files(&variable).is_empty());
    }
}
