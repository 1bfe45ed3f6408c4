//! Settings that cannot be used: all that is wrong is said at once, no secret with it, and the exit status tells what
//! kind of fault it is.

use e2e::{Folder, run_dataplane};

/// `EX_CONFIG` of sysexits.h.
const EX_CONFIG: Option<i32> = Some(78);

#[test]
fn all_faults_are_named_at_once_and_no_secret_with_them() {
    let variables = [
        ("SOFIA_PHONE_MAX_SESSIONS", "many"),
        ("SOFIA_PHONE_RTP_START_PORT", "16385"),
        ("SOFIA_PHONE_BACKEND", "openai"),
        ("SOFIA_PHONE_TRANSCRIPTION_URL", "http://user:hunter2@whisper/v1"),
        ("SOFIA_PHONE_GENERATION_API_KEY", "sk-not-to-be-seen\nsecond line"),
        ("SOFIA_PHONE_ADMIN_TOKEN_FILE", "/no/such/file"),
        ("SOFIA_PHONE_CODECS", "PCMU,OPUS"),
    ];
    for arguments in [&["--check"][..], &[]] {
        let output = run_dataplane(&Folder::new(), &variables, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        println!("{said}");
        assert_eq!(output.status.code(), EX_CONFIG, "{said}");
        for name in [
            "SOFIA_PHONE_MAX_SESSIONS",
            "SOFIA_PHONE_RTP_START_PORT",
            "SOFIA_PHONE_TRANSCRIPTION_URL",
            "SOFIA_PHONE_GENERATION_URL",
            "SOFIA_PHONE_SPEECH_URL",
            "SOFIA_PHONE_GENERATION_API_KEY",
            "SOFIA_PHONE_ADMIN_TOKEN_FILE",
            "SOFIA_PHONE_CODECS",
        ] {
            assert!(said.contains(name), "{name} is missing in {said}");
        }
        for secret in ["hunter2", "sk-not-to-be-seen", "second line"] {
            assert!(!said.contains(secret), "{secret} is in {said}");
        }
    }
}

#[test]
fn settings_that_can_be_used_pass_the_check_with_their_warnings() {
    let variables = [("SOFIA_PHONE_MAX_SESSION", "100"), ("SOFIA_PHONE_ENV", "production")];
    let output = run_dataplane(&Folder::new(), &variables, &["--check"]);
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    for expected in ["SOFIA_PHONE_MAX_SESSION ", "SOFIA_PHONE_ESL_TOKEN", "the settings can be used"] {
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_and_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let variables = [
        ("SOFIA_PHONE_ESL_HOST", "127.0.0.1"),
        ("SOFIA_PHONE_ESL_PORT", port.as_str()),
        ("SOFIA_PHONE_RTP_START_PORT", "0"),
        ("SOFIA_PHONE_HEALTH_CHECK", "false"),
    ];
    let output = run_dataplane(&Folder::new(), &variables, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&port), "{said}");
}
