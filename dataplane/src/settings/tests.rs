//! Behaviour of the settings reader as a whole.

use super::*;

use proptest::prelude::*;

fn read(vars: &[(&str, &str)]) -> Result<Settings, SettingsErrors> {
    Settings::from_vars(vars.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())))
}

fn errors(vars: &[(&str, &str)]) -> String {
    read(vars).expect_err("these settings are wrong").to_string()
}

/// A file that is gone when the test is over.
struct TempFile(PathBuf);

impl TempFile {
    fn with(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sofia-settings-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("the temporary folder takes files");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("temporary paths are UTF-8")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn with_nothing_set_the_documented_defaults_hold() {
    let settings = read(&[]).expect("nothing needs to be set");
    assert_eq!(settings.environment, Environment::Production);
    assert_eq!(settings.esl.to_string(), "0.0.0.0:8084");
    assert_eq!(settings.health.map(|address| address.to_string()).as_deref(), Some("0.0.0.0:8080"));
    assert_eq!((settings.rtp_start_port, settings.rtp_address), (16_384, None));
    assert!(settings.rtp_workers >= 1);
    assert_eq!(settings.limits.max_sessions, 100);
    assert_eq!(settings.limits.ready_low_water, 90);
    assert_eq!(settings.limits.max_sessions_per_caller, None);
    assert_eq!(settings.session_timeout, Duration::from_secs(30 * 60));
    assert_eq!(settings.backend, BackendKind::Mock);
    assert_eq!(settings.generation.timeout, Duration::from_secs(30));
    assert_eq!(settings.speech.timeout, Duration::from_secs(10));
    assert_eq!(settings.codecs, [CodecName::L16, CodecName::G722, CodecName::Pcmu, CodecName::Pcma]);
    assert_eq!(settings.barge_in, Some(Duration::from_millis(100)));
    assert_eq!((settings.barge_in_words, settings.backchannels.as_deref(), settings.echo_guard), (0, Some(""), true));
    assert_eq!((settings.min_speech, settings.short_answer), (Duration::from_millis(500), Duration::from_millis(300)));
    assert_eq!(settings.speech_check, Duration::from_millis(2_500));
    assert_eq!(settings.echo_number.as_deref(), Some("9999"));
    assert_eq!(settings.log_filter, "info,sofia_dataplane::transcript=off");
}

#[test]
fn the_prompt_can_be_none_and_transfers_can_be_narrowed() {
    let settings = read(&[]).expect("nothing needs to be set");
    assert!(settings.prompt.is_some_and(|prompt| prompt.contains("[DTMF: 123#]")));
    assert_eq!((settings.prompt_role, settings.transfers), (PromptRole::Auto, Transfers::Addresses));
    assert_eq!(settings.circuit_share_percent, Some(50));
    assert!(settings.transfer_names.is_empty());
    let set = [
        ("PROMPT", "none"),
        ("PROMPT_ROLE", "user"),
        ("TRANSFER_DESTINATIONS", "Numbers"),
        ("TRANSFER_NAMES", "sales, front.desk"),
        ("CIRCUIT_SHARE_PERCENT", "0"),
    ];
    let settings = read(&set).expect("these are valid");
    assert_eq!(
        (settings.prompt, settings.prompt_role, settings.transfers),
        (None, PromptRole::User, Transfers::Numbers)
    );
    assert_eq!(settings.circuit_share_percent, None);
    assert_eq!(settings.transfer_names, ["sales", "front.desk"]);
    for wrong in ["+12025550143", "a b", "anna@example.com"] {
        assert!(read(&[("TRANSFER_NAMES", wrong)]).is_err(), "{wrong}");
    }
}

#[test]
fn the_longest_call_is_given_in_seconds_or_in_minutes_as_before() {
    let longest = |vars: &[(&str, &str)]| read(vars).expect("these are valid").session_timeout.as_secs();
    assert_eq!(longest(&[]), 1800);
    assert_eq!(longest(&[("SESSION_TIMEOUT_SECONDS", "90")]), 90);
    assert_eq!(longest(&[("SESSION_TIMEOUT", "2")]), 120);
    assert_eq!(longest(&[("SESSION_TIMEOUT", "2"), ("SESSION_TIMEOUT_SECONDS", "90")]), 90);
}

#[test]
fn every_variable_that_is_read_is_in_the_table_and_the_other_way_round() {
    let mut reader = Reader::new([]);
    Settings::read(&mut reader);
    assert_eq!(reader.errors, [], "every default is valid");
    let table: std::collections::BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(table.len(), VARIABLES.len(), "no name is in the table twice");
    assert_eq!(*reader.names_read(), table);
}

#[test]
fn every_default_of_the_table_may_be_set_by_hand() {
    let spelled_out =
        VARIABLES.iter().filter(|v| !v.default.is_empty()).map(|v| (v.name.to_owned(), v.default.to_owned()));
    let spelled_out = format!("{:?}", Settings::from_vars(spelled_out).expect("defaults are valid values"));
    assert_eq!(spelled_out, format!("{:?}", read(&[]).expect("defaults are valid")));
}

#[test]
fn every_value_that_the_table_names_is_taken() {
    for variable in VARIABLES {
        let values = match variable.values {
            Values::OneOf(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            Values::Integer { min, max } => vec![min.to_string(), max.to_string()],
            Values::Switch => vec!["true".to_owned(), "FALSE".to_owned(), "on".to_owned()],
            _ => vec![],
        };
        for value in values {
            let result = Settings::from_vars([(variable.name.to_owned(), value.clone())]);
            let complaint = result.err().map(|errors| errors.to_string()).unwrap_or_default();
            assert!(!complaint.contains(&format!("{} is \"", variable.name)), "{value}: {complaint}");
        }
    }
}

#[test]
fn values_just_outside_the_bounds_are_refused_with_the_bounds() {
    for variable in VARIABLES {
        let Values::Integer { min, max } = variable.values else { continue };
        for value in [min.checked_sub(1).map_or("-1".to_owned(), |below| below.to_string()), (max + 1).to_string()] {
            let error = Settings::from_vars([(variable.name.to_owned(), value.clone())]).expect_err("out of bounds");
            assert_eq!(
                error.to_string(),
                format!("1 setting can't be used:\n  {} is {value:?}; expected {min} to {max}", variable.name)
            );
        }
    }
}

#[test]
fn all_errors_come_at_once_each_with_name_value_and_expectation() {
    let message = errors(&[
        ("ESL_PORT", "eighty"),
        ("MAX_SESSIONS", "0"),
        ("BACKEND", "siri"),
        ("ESL_HOST", "localhost"),
        ("HEALTH_CHECK", "perhaps"),
        ("TRANSFER_CONTEXT", "default\n\napi status"),
        ("CODECS", "PCMU,OPUS"),
        ("LANGUAGE", "the king's english"),
        ("RTP_START_PORT", "16385"),
    ]);
    assert!(message.starts_with("9 settings can't be used:"), "{message}");
    for line in [
        r#"SOFIA_PHONE_ESL_PORT is "eighty"; expected 0 to 65535"#,
        r#"SOFIA_PHONE_MAX_SESSIONS is "0"; expected 1 to 10000"#,
        r#"SOFIA_PHONE_BACKEND is "siri"; expected mock or openai"#,
        r#"SOFIA_PHONE_ESL_HOST is "localhost"; expected an IP address"#,
        r#"SOFIA_PHONE_HEALTH_CHECK is "perhaps"; expected true or false"#,
        r#"SOFIA_PHONE_TRANSFER_CONTEXT is "default\n\napi status"; expected 1 to 64 of"#,
        r#"SOFIA_PHONE_CODECS is "PCMU,OPUS"; expected a list of L16"#,
        r#"SOFIA_PHONE_LANGUAGE is "the king's english"; expected a language tag"#,
        r#"SOFIA_PHONE_RTP_START_PORT is "16385"; expected an even port"#,
    ] {
        assert!(message.contains(line), "{line} is missing in {message}");
    }
}

#[test]
fn openai_needs_all_three_urls() {
    let message = errors(&[("BACKEND", "openai"), ("GENERATION_URL", "http://ollama:11434/v1/")]);
    assert!(message.contains("SOFIA_PHONE_TRANSCRIPTION_URL: expected a URL"), "{message}");
    assert!(message.contains("SOFIA_PHONE_SPEECH_URL: expected a URL"), "{message}");
    assert!(!message.contains("GENERATION"), "{message}");
    let settings = read(&[
        ("BACKEND", "OpenAI"),
        ("TRANSCRIPTION_URL", "http://whisper:8000/v1"),
        ("GENERATION_URL", "http://ollama:11434/v1/"),
        ("SPEECH_URL", "https://kokoro.example/v1"),
    ]);
    assert_eq!(settings.expect("complete").generation.url.as_deref(), Some("http://ollama:11434/v1"));
}

#[test]
fn secrets_show_in_neither_errors_nor_debug_output() {
    let message = errors(&[("ADMIN_TOKEN", "hunter2\nhunter2"), ("SPEECH_URL", "http://joe:hunter2@host with space/")]);
    assert!(message.contains("SOFIA_PHONE_ADMIN_TOKEN"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
    let settings = read(&[("ADMIN_TOKEN", "hunter2"), ("GENERATION_API_KEY", "hunter3")]).expect("valid");
    assert_eq!(settings.generation.api_key.as_ref().map(Secret::expose), Some("hunter3"));
    assert!(!format!("{settings:?}").contains("hunter"));
}

#[test]
fn a_secret_may_stand_in_a_file_and_loses_its_line_end() {
    let file = TempFile::with("token", "s3cret\n");
    let settings = read(&[("ADMIN_TOKEN_FILE", file.path())]).expect("the file is readable");
    assert_eq!(settings.admin_token.as_ref().map(Secret::expose), Some("s3cret"));
}

#[test]
fn a_secret_given_twice_or_in_an_unusable_file_is_an_error() {
    let (good, empty) = (TempFile::with("twice", "a"), TempFile::with("empty", "\n"));
    let message = errors(&[
        ("ADMIN_TOKEN", "a"),
        ("ADMIN_TOKEN_FILE", good.path()),
        ("ESL_TOKEN_FILE", "/no/such/file"),
        ("RECORD_TOKEN_FILE", "/dev/zero"),
        ("SPEECH_API_KEY_FILE", empty.path()),
    ]);
    assert!(
        message.contains("SOFIA_PHONE_ADMIN_TOKEN: expected either this or SOFIA_PHONE_ADMIN_TOKEN_FILE"),
        "{message}"
    );
    assert!(
        message.contains(r#"SOFIA_PHONE_ESL_TOKEN_FILE is "/no/such/file"; expected a readable file"#),
        "{message}"
    );
    assert!(message.contains("not a regular file"), "{message}");
    assert!(message.contains("SOFIA_PHONE_SPEECH_API_KEY_FILE: expected one line"), "{message}");
}

#[test]
fn ports_that_would_collide_or_overflow_are_refused() {
    assert!(errors(&[("ESL_PORT", "8080")]).contains("SOFIA_PHONE_HEALTH_PORT is \"8080\"; expected another port"));
    assert!(read(&[("ESL_PORT", "8080"), ("HEALTH_CHECK", "false")]).is_ok());
    assert!(read(&[("ESL_PORT", "8080"), ("ESL_HOST", "10.0.0.1"), ("HEALTH_HOST", "127.0.0.1")]).is_ok());
    assert!(read(&[("RTP_START_PORT", "65534"), ("RTP_WORKERS", "1")]).is_ok());
    assert!(errors(&[("RTP_START_PORT", "65534"), ("RTP_WORKERS", "2")]).contains("room for 2 workers' ports"));
}

#[test]
fn low_water_is_a_share_or_a_count_below_the_capacity() {
    let low_water = |max: &str, low: &str| {
        read(&[("MAX_SESSIONS", max), ("READY_LOW_WATER", low)]).map(|s| s.limits.ready_low_water)
    };
    assert_eq!(low_water("10", "50%"), Ok(5));
    assert_eq!(low_water("10", "100%"), Ok(9));
    assert_eq!(low_water("1", "90%"), Ok(0));
    assert_eq!(low_water("10", "9"), Ok(9));
    assert!(low_water("10", "10").is_err());
    assert!(low_water("10", "101%").is_err());
    assert!(low_water("10", "half").is_err());
}

#[test]
fn an_empty_value_is_no_value() {
    let settings = read(&[("MAX_SESSIONS", ""), ("ADMIN_TOKEN", " "), ("LOG_FILE", "")]).expect("nothing is set");
    assert_eq!(settings.limits.max_sessions, 100);
    assert!(settings.admin_token.is_none() && settings.log_file.is_none());
}

#[test]
fn of_the_same_name_twice_the_later_value_counts() {
    assert_eq!(read(&[("MAX_SESSIONS", "1"), ("MAX_SESSIONS", "2")]).map(|s| s.limits.max_sessions), Ok(2));
}

#[test]
fn a_dotenv_file_is_read_and_need_not_be_there() {
    let file = TempFile::with("dotenv", "# pod\nSOFIA_PHONE_MAX_SESSIONS=7\nSOFIA_PHONE_GREETING='Good day!'\n");
    let settings = Settings::from_vars(read_dotenv(&file.0).expect("well formed")).expect("valid");
    assert_eq!((settings.limits.max_sessions, settings.greeting.as_deref()), (7, Some("Good day!")));
    assert_eq!(read_dotenv(Path::new("/no/such/.env")), Ok(vec![]));
}

#[test]
fn a_malformed_dotenv_file_is_an_error_that_does_not_repeat_the_line() {
    let file = TempFile::with("broken", "SOFIA_PHONE_ADMIN_TOKEN='hunter2\n");
    let error = read_dotenv(&file.0).expect_err("a quote is open").to_string();
    assert!(error.contains("expected NAME=value lines") && !error.contains("hunter2"), "{error}");
}

#[test]
fn further_fields_of_requests_are_a_json_object() {
    let settings = read(&[("GENERATION_EXTRA", r#"{"temperature":0.3}"#)]).expect("valid");
    assert_eq!(settings.generation.extra["temperature"], 0.3);
    assert!(settings.speech.extra.is_empty());
    assert!(errors(&[("SPEECH_EXTRA", "[1]")]).contains("SOFIA_PHONE_SPEECH_EXTRA is \"[1]\"; expected a JSON object"));
}

#[test]
fn an_unknown_name_is_a_warning_with_a_hint() {
    let settings = read(&[("MAX_SESSION", "5"), ("COFFEE_MACHINE", "on")]).expect("unknown names do not stop the pod");
    let warnings = settings.warnings.join("\n");
    assert!(
        warnings.contains("SOFIA_PHONE_MAX_SESSION is not a known setting; did you mean SOFIA_PHONE_MAX_SESSIONS?")
    );
    assert!(
        warnings.contains("SOFIA_PHONE_COFFEE_MACHINE is not a known setting\n") || warnings.ends_with("known setting")
    );
}

#[test]
fn what_kubernetes_says_of_services_is_not_taken_for_settings() {
    let settings = read(&[
        ("ENV", "development"),
        ("SERVICE_HOST", "10.96.0.7"),
        ("SERVICE_PORT", "80"),
        ("PORT_80_TCP_ADDR", "10.96.0.7"),
        ("ESL_PORT", "tcp://10.96.0.8:8084"),
        ("ESL_SERVICE_PORT_ESL", "8084"),
        ("ESL_PORT_8084_TCP_PROTO", "tcp"),
    ])
    .expect("service links are ignored");
    assert_eq!(settings.esl.port(), 8084);
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(settings.warnings[0].contains("SOFIA_PHONE_ESL_PORT was set by Kubernetes"));
}

#[test]
fn a_pod_whose_loss_takes_more_sessions_than_the_switch_begins_is_warned_of() {
    let of = |calls: &str, rate: &str| {
        let settings = read(&[("ENV", "development"), ("MAX_SESSIONS", calls), ("SWITCH_SESSIONS_PER_SECOND", rate)])
            .expect("valid");
        settings.warnings
    };
    assert!(of("100", "200").is_empty());
    let warnings = of("101", "200");
    assert!(warnings.len() == 1 && warnings[0].contains("202 sessions at once, and begins 200"), "{warnings:?}");
}

#[test]
fn production_warns_of_open_doors_and_development_does_not() {
    assert_eq!(read(&[]).map(|settings| settings.warnings.len()), Ok(2));
    assert_eq!(read(&[("ENV", "development")]).map(|settings| settings.warnings.len()), Ok(0));
    assert_eq!(read(&[("ESL_TOKEN", "a"), ("ADMIN_TOKEN", "b")]).map(|settings| settings.warnings.len()), Ok(0));
}

#[test]
fn debug_means_debug_logging() {
    assert!(read(&[("DEBUG", "true"), ("LOG_LEVEL", "warn")]).expect("valid").log_filter.starts_with("debug,"));
}

#[test]
fn a_misspelt_log_level_is_refused() {
    assert!(read(&[("LOG_LEVEL", "info,sofia_dataplane::esl=debug")]).is_ok());
    for wrong in ["inof", "loud", "info,esl=noisy"] {
        assert!(errors(&[("LOG_LEVEL", wrong)]).contains("SOFIA_PHONE_LOG_LEVEL"), "{wrong}");
    }
}

#[test]
fn the_word_none_switches_spoken_sentences_off() {
    let settings =
        read(&[("GREETING", "none"), ("GOODBYE", "None"), ("ECHO_NUMBER", "none"), ("SILENCE_SECONDS", "0")]);
    let settings = settings.expect("valid");
    assert_eq!((settings.greeting, settings.goodbye, settings.echo_number, settings.silence), (None, None, None, None));
}

#[test]
fn the_markdown_table_has_a_row_for_each_variable_and_four_cells_in_each() {
    let table = markdown_table();
    assert_eq!(table.lines().count(), VARIABLES.len() + 2);
    for (line, variable) in table.lines().skip(2).zip(VARIABLES) {
        assert!(line.starts_with(&format!("| `{}` |", variable.name)), "{line}");
        assert_eq!(line.replace("\\|", "").matches('|').count(), 5, "{line}");
    }
}

fn hostile_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9%.,:/@ -]{0,40}",
        "(http|https|tcp)://[a-z0-9:@/?#\\[\\]]{0,40}",
        Just("99999999999999999999999999".to_owned()),
        proptest::sample::select(vec!["auto", "none", "true", "0", "-1", "100%", "/dev/null", "info", "é%"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn no_environment_makes_the_reader_panic(
        known in proptest::collection::vec((proptest::sample::select(VARIABLES.to_vec()), hostile_value()), 0..12),
        strange in proptest::collection::vec((any::<String>(), hostile_value()), 0..12),
    ) {
        let vars = known.into_iter().map(|(variable, value)| (variable.name.to_owned(), value));
        let strange = strange.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value));
        match Settings::from_vars(vars.chain(strange)) {
            Ok(settings) => {
                prop_assert!(settings.limits.ready_low_water < settings.limits.max_sessions);
                prop_assert!(settings.warnings.len() <= VARIABLES.len() + 20);
            }
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                prop_assert_eq!(errors.to_string().lines().count(), errors.0.len() + 1, "one line each");
            }
        }
    }

    #[test]
    fn an_error_always_names_the_variable_at_fault(index in 0..VARIABLES.len(), value in hostile_value()) {
        let name = VARIABLES[index].name;
        if let Err(errors) = Settings::from_vars([(name.to_owned(), value)]) {
            let related = |error: &SettingsError| {
                error.name == name || name == "SOFIA_PHONE_BACKEND" || error.name == "SOFIA_PHONE_HEALTH_PORT"
                    || error.name == "SOFIA_PHONE_RTP_START_PORT"
                    || error.name == "SOFIA_PHONE_READY_LOW_WATER"
            };
            prop_assert!(errors.0.iter().all(related), "{}", errors);
        }
    }
}

#[test]
fn what_callers_say_is_logged_only_when_it_is_asked_for_by_name() {
    let filter = |level: &str| read(&[("LOG_LEVEL", level)]).expect("a level").log_filter;
    assert!(filter("trace").ends_with(",sofia_dataplane::transcript=off"));
    assert!(read(&[("DEBUG", "true")]).expect("valid").log_filter.ends_with(",sofia_dataplane::transcript=off"));
    assert_eq!(filter("info,sofia_dataplane::transcript=debug"), "info,sofia_dataplane::transcript=debug");
}

#[test]
fn the_recognisers_language_is_the_conversations_none_or_a_name_of_its_own() {
    let language =
        |value: &str| read(&[("TRANSCRIPTION_LANGUAGE", value)]).map(|settings| settings.transcription_language);
    assert_eq!(read(&[]).unwrap().transcription_language, TranscriptionLanguage::Conversation);
    assert_eq!(language("Conversation").unwrap(), TranscriptionLanguage::Conversation);
    assert_eq!(language("auto").unwrap(), TranscriptionLanguage::Open);
    assert_eq!(language("zh-TW").unwrap(), TranscriptionLanguage::Named("zh-TW".to_owned()));
    for wrong in ["x", "no; rm", "language-with-far-too-long-a-name-for-any"] {
        assert!(errors(&[("TRANSCRIPTION_LANGUAGE", wrong)]).contains("TRANSCRIPTION_LANGUAGE"), "{wrong}");
    }
}

#[test]
fn transcripts_are_checked_in_full_and_asked_for_in_the_form_that_tells_most() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings.transcription_format, TranscriptFormat::Auto);
    assert_eq!(settings.transcript_check, TranscriptCheck::Full);
    let settings = read(&[("TRANSCRIPTION_FORMAT", "verbose_json"), ("TRANSCRIPT_CHECK", "marks")]).unwrap();
    assert_eq!(settings.transcription_format, TranscriptFormat::VerboseJson);
    assert_eq!(settings.transcript_check, TranscriptCheck::Marks);
}

#[test]
fn words_that_do_not_interrupt_can_be_added_or_made_to() {
    let settings = read(&[
        ("BACKCHANNEL_WORDS", "gell, weiter so"),
        ("BARGE_IN_WORDS", "2"),
        ("ECHO_GUARD", "disabled"),
        ("SHORT_ANSWER_MS", "250"),
    ])
    .expect("all of it is fine");
    assert_eq!(settings.backchannels.as_deref(), Some("gell, weiter so"));
    assert_eq!((settings.barge_in_words, settings.echo_guard), (2, false));
    assert_eq!(settings.short_answer, Duration::from_millis(250));
    let settings = read(&[("BACKCHANNELS", "interrupt")]).expect("that too");
    assert_eq!(settings.backchannels, None);
}
