//! Runs a test again in a network namespace of its own.

use std::process::{Command, Output};

/// Set in the process that runs inside.
const MARK: &str = "FREEHOLD_TEST_NAMESPACE";

/// What to tell whoever's machine does not permit it.
const NEEDS: &str = "this test proves that nothing leaves, and needs a network namespace for it: \
    run it as root (in a container with --cap-add SYS_ADMIN), or permit namespaces to users \
    (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
    kernel.apparmor_restrict_unprivileged_userns); and install util-linux and iproute2";

/// Runs `body` in a new network and mount namespace, in a process of its own. `test` is the test's
/// own name with its module's.
pub(crate) fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        ip(&["link", "set", "lo", "up"]);
        return body();
    }
    let this = std::env::current_exe().unwrap();
    let output = unshare()
        .arg(this)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "inside the namespace:\n{stdout}\n{stderr}"
    );
}

/// A command that runs another in new namespaces: with root's own rights where that is permitted,
/// else as a user's.
fn unshare() -> Command {
    let ways: [&[&str]; 2] = [
        &["--net", "--mount", "--"],
        &["--user", "--map-root-user", "--net", "--mount", "--"],
    ];
    let mut told = String::new();
    for way in ways {
        let mut probe = Command::new("unshare");
        match probe.args(way).arg("true").output() {
            Ok(output) if output.status.success() => {
                let mut command = Command::new("unshare");
                command.args(way);
                return command;
            }
            Ok(output) => told += &String::from_utf8_lossy(&output.stderr),
            Err(error) => told += &format!("unshare: {error}\n"),
        }
    }
    panic!("{NEEDS}\n{told}");
}

/// Runs `ip`; it must succeed.
pub(crate) fn ip(arguments: &[&str]) {
    let output = try_ip(arguments);
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
}

pub(crate) fn try_ip(arguments: &[&str]) -> Output {
    ["ip", "/usr/sbin/ip", "/sbin/ip"]
        .into_iter()
        .find_map(|program| Command::new(program).args(arguments).output().ok())
        .unwrap_or_else(|| panic!("{NEEDS}\nip: not found"))
}

/// Puts a text in the place of a system's file, for this namespace only.
pub(crate) fn replace(path: &str, text: &str, folder: &std::path::Path) {
    let mine = folder.join(path.replace('/', "_"));
    std::fs::write(&mine, text).unwrap();
    let mounted = Command::new("mount")
        .arg("--bind")
        .arg(&mine)
        .arg(path)
        .output();
    let mounted = mounted.unwrap();
    assert!(mounted.status.success(), "mount over {path}: {mounted:?}");
}
