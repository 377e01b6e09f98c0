use std::path::PathBuf;

use freehold_testkit::certificates::{Authority, Validity};
use secrecy::ExposeSecret as _;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[track_caller]
fn says<T>(result: Result<T, Fault>, path: &Path, words: &str) {
    let fault = result.err().unwrap();
    assert!(
        fault.message.starts_with(&path.display().to_string()),
        "{fault:?}"
    );
    let all = format!("{} {}", fault.message, fault.hint.unwrap_or_default());
    assert!(all.contains(words), "{fault:?}");
}

#[test]
fn good_files_are_read_as_they_are() {
    let folder = Folder::new();
    let house = Authority::new("house").unwrap();
    let identity = house.vouch(&["a.lan"], Validity::Now).unwrap();
    let now = SystemTime::now();
    let both = format!("{}{}", identity.certificate_pem, house.pem());
    let path = folder.file("chain.pem", &both);
    assert_eq!(chain(&path, now), Ok(both));
    let path = folder.file("ca.pem", house.pem());
    assert_eq!(authorities(&path, now), Ok(house.pem()));
    let path = folder.file("key.pem", &identity.key_pem);
    let mut hints = vec![];
    assert_eq!(
        key(&path, &mut hints).unwrap().expose_secret(),
        identity.key_pem
    );
}

#[test]
fn certificates_out_of_time_name_the_day() {
    let folder = Folder::new();
    let house = Authority::new("house").unwrap();
    let now = SystemTime::now();
    let pem = |validity| house.vouch(&["a.lan"], validity).unwrap().certificate_pem;
    let past = folder.file("past.pem", pem(Validity::Past));
    says(chain(&past, now), &past, "expired on 2021-01-01");
    says(authorities(&past, now), &past, "expired on 2021-01-01");
    let future = folder.file("future.pem", pem(Validity::Future));
    says(chain(&future, now), &future, "not valid before 2090-01-01");
    let second = folder.file("second.pem", pem(Validity::Now) + &pem(Validity::Past));
    says(
        chain(&second, now),
        &second,
        "certificate 2 of the chain expired",
    );
    assert!(authorities(&second, now).is_ok(), "one of a bundle holds");
}

#[test]
fn what_is_not_pem_is_told_apart() {
    let folder = Folder::new();
    let house = Authority::new("house").unwrap();
    let identity = house.vouch(&["a.lan"], Validity::Now).unwrap();
    let now = SystemTime::now();
    let swapped = folder.file("swapped.pem", &identity.key_pem);
    says(
        chain(&swapped, now),
        &swapped,
        "private key and no certificate",
    );
    let text = folder.file("text.pem", "hello");
    says(chain(&text, now), &text, "no certificate in it");
    says(key(&text, &mut vec![]), &text, "no private key in it");
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let der = folder.file("der.pem", &certificate);
    says(chain(&der, now), &der, "openssl x509 -inform der");
    let cut = &identity.certificate_pem[..identity.certificate_pem.len() / 2];
    let cut = folder.file("cut.pem", cut);
    says(chain(&cut, now), &cut, "PEM");
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = folder.file("locked.pem", locked);
    says(key(&locked, &mut vec![]), &locked, "passphrase");
    let absent = folder.0.path().join("absent.pem");
    says(chain(&absent, now), &absent, "No such file");
    says(key(&absent, &mut vec![]), &absent, "No such file");
}

#[cfg(unix)]
#[test]
fn what_has_no_end_is_not_read_to_it() {
    let path = Path::new("/dev/zero");
    says(authorities(path, SystemTime::now()), path, "4 MiB");
}

#[cfg(unix)]
#[test]
fn a_key_that_everybody_can_read_is_mentioned() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let identity = Authority::new("house")
        .and_then(|house| house.vouch(&["a.lan"], Validity::Now))
        .unwrap();
    let path = folder.file("key.pem", &identity.key_pem);
    for (mode, count) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut hints = vec![];
        key(&path, &mut hints).unwrap();
        assert_eq!(hints.len(), count, "{mode:o}: {hints:?}");
    }
}
