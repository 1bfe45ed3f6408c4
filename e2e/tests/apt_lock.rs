//! The scripts that install what a machine lacks wait while another apt-get is at work, instead of going on without. A real apt-get, on a
//! system of its own that has no package; a process that holds one of its locks.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use e2e::Folder;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Each lock that apt-get takes, and a command that takes it.
const LOCKS: [(&str, &str); 3] = [
    ("var/lib/apt/lists/lock", "update"),
    ("var/cache/apt/archives/lock", "clean"),
    ("var/lib/dpkg/lock-frontend", "install"),
];

/// apt takes locks of the kind that belong to a process, which Rust's standard library has no words for.
const HOLD: &str = "import fcntl, sys, time
file = open(sys.argv[1], 'w')
fcntl.lockf(file, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(600)";

#[tokio::test]
async fn a_lock_that_another_holds_is_waited_for_and_told() {
    let Some(system) = System::make() else { return };
    for (lock, command) in LOCKS {
        let mut holder = system.hold(lock).await;
        let mut waiting = system.apt_get(command, 600);
        let mut told = BufReader::new(waiting.stderr.take().expect("it is piped")).lines();
        let line = told.next_line().await.expect("text").expect("it says that it waits before it ends");
        assert!(line.contains("waiting for up to 600 s") && line.contains("held by process"), "{lock}: {line}");
        assert_eq!(waiting.try_wait().expect("a status"), None, "{lock}: it is not over");
        holder.kill().await.expect("the holder ends");
        let rest = told.next_line();
        assert_eq!(rest.await.expect("text"), None, "{lock}: told once");
        assert!(waiting.wait().await.expect("a status").success(), "{lock}");
    }
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    let Some(system) = System::make() else { return };
    let (lock, command) = LOCKS[0];
    let _holder = system.hold(lock).await;
    let mut waiting = system.apt_get(command, 1);
    let mut told = String::new();
    waiting.stderr.take().expect("it is piped").read_to_string(&mut told).await.expect("text");
    assert!(!waiting.wait().await.expect("a status").success());
    assert!(told.contains("still locked after 1 s") && told.contains(lock), "{told}");
}

#[tokio::test]
async fn another_failure_is_told_at_once() {
    let Some(system) = System::make() else { return };
    let mut failing = system.apt_get("install no-such-package", 600);
    let mut told = String::new();
    failing.stderr.take().expect("it is piped").read_to_string(&mut told).await.expect("text");
    assert!(!failing.wait().await.expect("a status").success());
    assert!(told.contains("Unable to locate package no-such-package"), "{told}");
}

/// Folders in which apt-get finds a system without any package, and without sources of them.
struct System {
    folder: Folder,
}

impl System {
    /// Nothing where there is no apt-get, or no Python to hold a lock.
    fn make() -> Option<Self> {
        for program in ["apt-get", "python3"] {
            let found = std::process::Command::new(program).arg("--version").output();
            if !found.is_ok_and(|output| output.status.success()) {
                println!("skipped: there is no {program} here");
                return None;
            }
        }
        let folder = Folder::new();
        let path = |below: &str| folder.path().join(below);
        for below in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg",
            "var/log/apt",
            "bin",
        ] {
            std::fs::create_dir_all(path(below)).expect("a folder can be made");
        }
        std::fs::write(path("var/lib/dpkg/status"), "").expect("a file can be written");
        let root = folder.path().display();
        let configuration = format!(
            "Dir \"{root}/\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\nAPT::Sandbox::User \"root\";\n"
        );
        std::fs::write(path("apt.conf"), configuration).expect("a file can be written");
        // These folders are the test's own: whoever runs it needs no more rights.
        std::fs::write(path("bin/sudo"), "#!/bin/sh\nshift\nexec \"$@\"\n").expect("a file can be written");
        make_executable(&path("bin/sudo"));
        Some(Self { folder })
    }

    async fn hold(&self, lock: &str) -> Child {
        let file = self.folder.path().join(lock);
        let mut holder = Command::new("python3")
            .args(["-c", HOLD])
            .arg(file)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 starts");
        let mut said = BufReader::new(holder.stdout.take().expect("it is piped")).lines();
        assert_eq!(said.next_line().await.expect("text").as_deref(), Some("held"));
        holder
    }

    fn apt_get(&self, command: &str, patience_seconds: u32) -> Child {
        let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("apt.sh");
        let path =
            format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &format!(". '{}'; apt_get {command}", functions.display())])
            .env("APT_CONFIG", self.folder.path().join("apt.conf"))
            .env("APT_PATIENCE_SECONDS", patience_seconds.to_string())
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("bash starts")
    }
}

fn make_executable(file: &PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).expect("a mode can be set");
}
