//! The binary under the names that a container starts it by: `freeswitch` with FreeSWITCH's options, `fs_cli` with its own.

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{CONFIGURATION, SOON, own_address, up, wait_for};
use switchsim::control::NewCall;
use switchsim::pod::{Behaviour, TestPod};

fn named(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchsim"));
    command.arg0(name).stdin(Stdio::null()).env_remove("SWITCHSIM_CONTROL");
    command
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("switchsim-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// FreeSWITCH as a container runs it, with `fs_cli`'s profile beside it.
struct FreeSwitch {
    process: Child,
    control: String,
    folder: Folder,
}

impl FreeSwitch {
    fn start(esl: &str, more: &[&str]) -> Self {
        let (folder, own) = (Folder::new(), own_address());
        let xml = CONFIGURATION
            .replace("$${local_ip_v4}", &own)
            .replace("agent_ip=127.0.0.1", &format!("agent_ip={own}"))
            .replace("main-esl.voice.svc:8084", esl);
        std::fs::create_dir(folder.path("conf")).unwrap();
        std::fs::write(folder.path("conf/freeswitch.xml"), xml).unwrap();
        let profile = format!("[default]\nhost => {own}\nport => 8021\npassword => hush & more\n");
        std::fs::write(folder.path(".fs_cli_conf"), profile).unwrap();
        let mut process = named("/usr/bin/freeswitch")
            .args(["-nonat", "-nf", "-c", "-nocal", "-conf", &folder.path("conf"), "-log", &folder.path("log")])
            .args(["-db", &folder.path("db"), "-run", &folder.path("run"), "-temp", &folder.path("temp")])
            .args(more)
            .env("SWITCHSIM_CONTROL", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let control = ready["ready"]["control"].as_str().unwrap().to_owned();
        assert_eq!(ready["ready"]["event_socket"], format!("{own}:8021"));
        assert_eq!(ready["ready"]["sip"], serde_json::json!([format!("{own}:5060"), format!("{own}:5080")]));
        Self { process, control, folder }
    }

    fn fs_cli(&self, arguments: &[&str]) -> Output {
        named("fs_cli").args(arguments).env("HOME", &self.folder.0).output().unwrap()
    }

    fn says(&self, command: &str) -> String {
        let output = self.fs_cli(&["-x", command]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn pid_file(&self) -> String {
        self.folder.path("run/freeswitch.pid")
    }

    fn terminate(&self) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGTERM).unwrap();
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(tokio::time::Instant::now() < deadline, "it does not end");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

impl Drop for FreeSwitch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn as_freeswitch_it_serves_until_sigterm_and_hangs_up_then() {
    let pod = TestPod::start("127.0.0.1:0", Behaviour::Tone).await.unwrap();
    let mut switch = FreeSwitch::start(pod.address(), &[]);
    assert_eq!(std::fs::read_to_string(switch.pid_file()).unwrap(), switch.process.id().to_string());
    let client = client!(switch.control);
    let id = client.place(&NewCall::new("15550100")).await.unwrap();
    wait_for(&client, &id, up).await;
    assert_eq!(switch.says("show channels count"), "\n3 total.\n");
    switch.terminate();
    assert!(pod.call(0, SOON).await.unwrap().hears("Hangup-Cause: SYSTEM_SHUTDOWN", SOON).await);
    assert_eq!(switch.exit_code().await, Some(0));
    assert!(!Path::new(&switch.pid_file()).exists());
}

#[tokio::test]
async fn with_elegant_term_sigterm_waits_for_the_last_call() {
    let pod = TestPod::start("127.0.0.1:0", Behaviour::Tone).await.unwrap();
    let mut switch = FreeSwitch::start(pod.address(), &["-elegant-term"]);
    let client = client!(switch.control);
    let id = client.place(&NewCall::new("15550100")).await.unwrap();
    wait_for(&client, &id, up).await;
    switch.terminate();
    let deadline = tokio::time::Instant::now() + SOON;
    while !client.state().await.unwrap().shutting_down {
        assert!(tokio::time::Instant::now() < deadline, "SIGTERM is not heard");
    }
    assert!(up(&client.call(&id).await.unwrap()), "the call goes on");
    client.hang_up(&id).await.unwrap();
    assert_eq!(switch.exit_code().await, Some(0));
}

#[tokio::test]
async fn fs_cli_finds_its_profile_and_prints_what_freeswitch_answers() {
    let mut switch = FreeSwitch::start("127.0.0.1:9", &[]);
    assert!(switch.says("status").starts_with("UP 0 years, "));
    assert_eq!(switch.says("fsctl pause inbound"), "+OK\n");
    assert_eq!(switch.says("fsctl pause_check inbound"), "true\n");
    assert_eq!(switch.says("show calls count"), "\n0 total.\n");
    assert_eq!(switch.says("uuid_kill nobody"), "-ERR No such channel!\n");
    assert_eq!(switch.says("nonsense"), "-ERR nonsense Command not found!\n");
    assert_eq!(switch.says("reloadxml"), "+OK [Success]\n");

    std::fs::write(switch.folder.path(".fs_cli_conf"), "[default]\npassword => wrong\n").unwrap();
    let host = switch.control.clone();
    let refused = switch.fs_cli(&["-x", "status", "-t", "300", "-P", host.rsplit(':').next().unwrap()]);
    assert_eq!(refused.status.code(), Some(255), "that is no event socket");
    assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
    let unknown = switch.fs_cli(&["-x", "status", "elsewhere"]);
    assert_eq!(unknown.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("elsewhere"));

    let profile = std::fs::read_to_string(switch.folder.path("conf/freeswitch.xml")).unwrap();
    let own = profile.split("agent_ip=").nth(1).unwrap().split('"').next().unwrap();
    let wrong = switch.fs_cli(&["-x", "fsctl shutdown", "-H", own]);
    assert_eq!(wrong.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("Authentication failed"), "{wrong:?}");
    let right = format!("[default]\nhost => {own}\npassword => hush & more\n");
    std::fs::write(switch.folder.path(".fs_cli_conf"), right).unwrap();
    assert_eq!(switch.says("fsctl shutdown"), "+OK\n");
    assert_eq!(switch.exit_code().await, Some(0));
}

#[test]
fn as_freeswitch_it_refuses_what_freeswitch_refuses() {
    let start = |arguments: &[&str]| named("freeswitch").args(arguments).output().unwrap();
    for (arguments, words) in [
        (&["-nonat", "-config", "/x"][..], "Unknown Option \"-config\""),
        (&["-nonat", "-conf"], "When using -conf you must specify a config directory"),
        (&["-conf", "/x"], "You must specify all or none of -conf, -log, and -db"),
    ] {
        let output = start(arguments);
        assert_eq!(output.status.code(), Some(255), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
    let folder = Folder::new();
    let here = folder.path("");
    let output = start(&["-nf", "-conf", &here, "-log", &here, "-db", &here]);
    assert_eq!(output.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&output.stderr).contains("freeswitch.xml"), "the file is named: {output:?}");
    assert!(start(&["-version"]).status.success());
}
