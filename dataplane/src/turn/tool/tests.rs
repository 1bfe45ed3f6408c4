//! Calls as models write them.

use proptest::prelude::*;

use super::*;

fn transfer(to: &str) -> Result<ToolCall, ToolError> {
    Ok(ToolCall::Transfer { destination: to.to_owned() })
}

fn digits(keys: &str) -> Result<ToolCall, ToolError> {
    Ok(ToolCall::SendDtmf { digits: keys.to_owned() })
}

#[test]
fn hang_up_needs_no_arguments_and_minds_none() {
    for arguments in ["", "{}", "null", "None", "\"\"", r#"{"reason":"done"}"#, "{", "done", "[]"] {
        assert_eq!(ToolCall::parse("hang_up", arguments), Ok(ToolCall::HangUp), "{arguments}");
    }
}

#[test]
fn arguments_a_little_off_are_read_where_they_mean_one_thing() {
    let table = [
        (r#"{"destination":"1001"}"#, "1001"),
        (r#"{"destination":"+1 (202) 555-0143"}"#, "+12025550143"),
        (r#"{"destination":"tel:+1-202-555-0143"}"#, "+12025550143"),
        (r#"{"destination":"sip:anna@example.com"}"#, "sip:anna@example.com"),
        (r#"{"destination":1001}"#, "1001"),
        (r#"{"destination":200.0}"#, "200"),
        (r#"{"destination":2.025550143e9}"#, "2025550143"),
        (r#"{"destination":["1001"]}"#, "1001"),
        (r#""{\"destination\":\"1001\"}""#, "1001"),
        (r#""\"{\\\"destination\\\":\\\"1001\\\"}\"""#, "1001"),
        ("```json\n{\"destination\": \"1001\"}\n```", "1001"),
        ("`{\"destination\": \"1001\"}`", "1001"),
        ("{'destination': '1001'}", "1001"),
        ("{\"destination\": \"1001\",}", "1001"),
        ("{destination: 0301234}", "0301234"),
        ("{\"destination\": +12025550143}", "+12025550143"),
        ("{“destination”: “1001”}", "1001"),
        ("destination=\"1001\"", "1001"),
        (r#"{"number":"1001"}"#, "1001"),
        (r#"{"to":"1001","reason":"billing"}"#, "1001"),
        (r#"{"Extension":"1001"}"#, "1001"),
        (r#"{"phone_number":"1001","number":1001}"#, "1001"),
        (r#"{"destination":"1001","number":"2002"}"#, "1001"),
        (r#"{"destination":null,"number":"2002"}"#, "2002"),
        (r#"{"arguments":{"destination":"1001"}}"#, "1001"),
        (r#"{"arguments":"{\"destination\":\"1001\"}"}"#, "1001"),
        (r#"{"name":"transfer","parameters":{"destination":"1001"}}"#, "1001"),
        (r#"{"function":{"name":"transfer","arguments":"{\"destination\":\"1001\"}"}}"#, "1001"),
        (r#"{"type":"object","properties":{"destination":"1001"}}"#, "1001"),
        (r#"[{"destination":"1001"}]"#, "1001"),
        (r#"{"destination":"1001"}{"destination":"1001"}"#, "1001"),
        (r#"{"destination":"1001""#, "1001"),
        ("\"0301234\"", "0301234"),
        ("1001", "1001"),
        ("+12025550143", "+12025550143"),
    ];
    for (arguments, expected) in table {
        assert_eq!(ToolCall::parse("transfer", arguments), transfer(expected), "{arguments}");
    }
}

#[test]
fn names_a_little_off_are_read() {
    for name in ["functions.transfer", "Transfer", "tool:transfer", "transfer_call"] {
        assert_eq!(ToolCall::parse(name, r#"{"destination":"1001"}"#), transfer("1001"), "{name}");
    }
    assert_eq!(ToolCall::parse(r#"transfer(destination="1001")"#, ""), transfer("1001"));
    assert_eq!(
        ToolCall::parse(r#"transfer({"destination":"1001"})"#, "{}"),
        Err(ToolError::MissingArgument { name: "destination" })
    );
    assert_eq!(ToolCall::parse("hang_up()", "{}"), Ok(ToolCall::HangUp));
}

#[test]
fn keys_are_read_as_people_write_them() {
    let table = [
        (r##"{"digits":"1 2,#a"}"##, "12w#A"),
        (r#"{"digits":1}"#, "1"),
        (r#"{"digits":"007"}"#, "007"),
        (r#"{"digits":["1","2",3]}"#, "123"),
        (r##"{"keys":"1-2-#"}"##, "12#"),
        (r#"{"digits":"١٢"}"#, "12"),
    ];
    for (arguments, expected) in table {
        assert_eq!(ToolCall::parse("send_dtmf", arguments), digits(expected), "{arguments}");
    }
    for digits in ["w", "12x", "1\n2", "p1"] {
        assert_eq!(ToolCall::parse("send_dtmf", &json!({ "digits": digits }).to_string()), Err(ToolError::Digits));
    }
}

#[test]
fn a_destination_cannot_carry_a_command() {
    for to in ["1001 XML default", "1001;hangup", "a/b", "${x}", "-bleg", ":x", "ünï", "'1", "a,b", "a|b", "1001\nx"]
    {
        let arguments = json!({ "destination": to }).to_string();
        assert_eq!(ToolCall::parse("transfer", &arguments), Err(ToolError::Destination), "{to:?}");
    }
    let arguments = json!({ "destination": "1".repeat(65) }).to_string();
    assert_eq!(ToolCall::parse("transfer", &arguments), Err(ToolError::Destination));
}

#[test]
fn what_means_nothing_or_two_things_is_refused() {
    let missing = Err(ToolError::MissingArgument { name: "destination" });
    assert_eq!(ToolCall::parse("format_disk", "{}"), Err(ToolError::UnknownTool));
    for arguments in
        ["", "{}", "null", r#"{"destination":""}"#, r#"{"destination":true}"#, r#"{"reason":"billing"}"#, "true", "[]"]
    {
        assert_eq!(ToolCall::parse("transfer", arguments), missing, "{arguments}");
    }
    for arguments in ["{", r#"{"destination":"+1202"#, r#"{"destination":"1" "2"}"#, "[1,2]", r#"{"destination":"1"}}"#]
    {
        assert_eq!(ToolCall::parse("transfer", arguments), Err(ToolError::NotAnObject), "{arguments}");
    }
    for arguments in [r#"{"to":"1","number":"2"}"#, r#"{"name":"hang_up","arguments":{"destination":"1"}}"#] {
        assert_eq!(ToolCall::parse("transfer", arguments), Err(ToolError::Contradiction), "{arguments}");
    }
    let long = " ".repeat(9_000);
    assert_eq!(ToolCall::parse("transfer", &long), Err(ToolError::ArgumentsTooLong { length: 9_000 }));
    let deep = format!("{}1{}", "[".repeat(4_000), "]".repeat(4_000));
    assert_eq!(ToolCall::parse("transfer", &deep), Err(ToolError::NotAnObject));
}

#[test]
fn a_refused_call_is_kept_short() {
    let refused = RefusedCall::new(&"n".repeat(5_000), &"é".repeat(5_000), ToolError::UnknownTool);
    assert_eq!((refused.name.chars().count(), refused.arguments.chars().count()), (500, 500));
}

#[test]
fn a_saved_call_is_checked_again() {
    let call = ToolCall::Transfer { destination: "1001".to_owned() };
    let saved = serde_json::to_string(&call).expect("plain data");
    assert_eq!(serde_json::from_str::<ToolCall>(&saved).ok(), Some(call));
    assert!(serde_json::from_str::<ToolCall>(r#"{"tool":"transfer","destination":"1 XML x"}"#).is_err());
}

#[test]
fn every_tool_on_offer_is_understood_and_its_schema_is_one_that_all_servers_take() {
    for transfers in [Transfers::Nobody, Transfers::Numbers, Transfers::Names, Transfers::Addresses] {
        let tools = tool_definitions(&transfers.into());
        assert_eq!(tools.iter().any(|tool| tool.name == "transfer"), transfers != Transfers::Nobody);
        for tool in tools {
            assert_ne!(ToolCall::parse(tool.name, "{}"), Err(ToolError::UnknownTool));
            assert_eq!(tool.parameters["type"], "object");
            assert!(!tool.parameters["properties"].as_object().expect("an object").is_empty());
            assert!(tool.parameters.get("additionalProperties").is_none());
            assert!(tool.parameters.get("required").is_none_or(|required| required != &json!([])));
        }
    }
}

#[test]
fn what_is_offered_is_what_is_done() {
    let all = [Transfers::Nobody, Transfers::Numbers, Transfers::Names, Transfers::Addresses];
    let done = |destination: &str| {
        let call = ToolCall::Transfer { destination: destination.to_owned() };
        all.map(|transfers| transfers.check(&call).is_ok())
    };
    assert_eq!(done("+12025550143"), [false, true, true, true]);
    assert_eq!(done("sales"), [false, false, true, true]);
    assert_eq!(done("sip:anna@example.com"), [false, false, false, true]);
    let told = |words: &str| {
        let names = Arc::from(["sales".to_owned(), "front.desk".to_owned()]);
        all.map(|kinds| Destinations { kinds, names: Arc::clone(&names) }.describe().contains(words))
    };
    assert_eq!(told("SIP address"), [false, false, false, true]);
    assert_eq!(told("sales, front.desk"), [false, false, true, true], "and no name where none leads anywhere");
    assert!(all.iter().all(|transfers| transfers.check(&ToolCall::HangUp).is_ok()));
}

proptest! {
    #[test]
    fn what_is_accepted_can_be_sent(
        name in "hang_up|transfer|send_dtmf", arguments in "\\PC{0,100}", value in "\\PC{0,80}",
    ) {
        for arguments in [arguments, value.clone(), json!({ "destination": value, "digits": value }).to_string()] {
            match ToolCall::parse(&name, &arguments) {
                Ok(ToolCall::Transfer { destination }) => {
                    prop_assert!(crate::esl::Command::uuid_transfer("a-b", &destination, "x").is_ok(), "{}", destination);
                }
                Ok(call) => prop_assert_eq!(call.validate(), Ok(())),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn near_json_of_any_kind_is_read_or_refused(text in "[{}\\[\\]\"':,=a1\\\\` ]{0,60}") {
        let _ = ToolCall::parse("transfer", &text);
    }
}
