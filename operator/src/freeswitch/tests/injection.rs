//! Hostile text through every string of the spec and everything that a caller may say: it is refused, or it stays one value.

use proptest::prelude::*;
use roxmltree::Document;
use sofia_crds::spec::Registration;

use super::calls::{bridges, nobody, plan, switch};
use super::{Given, gateway, password_ref, transfers_to};
use crate::secret_text::SecretText;

/// What breaks out of XML, of the pre-processor, of a dial string, of an expression, of fs_cli's file.
const HOSTILE: &[&str] = &[
    "\"/><action application=\"system\" data=\"id\"/><x y=\"",
    "'/><param name='x' value='y'/>",
    "</param><param name=\"auth-calls\" value=\"false\"/>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?xml version=\"1.0\"?>",
    "<!--#exec cmd=\"id\"-->",
    "<X-PRE-PROCESS cmd=\"exec\" data=\"id\"/>",
    "X-PRE-PROCESS",
    "$${local_ip_v4}",
    "$$${x}",
    "${system(id)}",
    "${uuid}",
    "$1",
    "&lt;",
    "&#36;{x}",
    "&bogus;",
    "a,sip_h_X-Attempt=1",
    "a]sofia/gateway/x/1",
    "a|b",
    "{a=b}",
    "^^:a",
    "a b",
    "a\nb",
    "a\r\nb",
    "a\0b",
    "a\tb",
    "\u{1b}[2J",
    "\u{FFFF}",
    ".*)|(?:.*",
    "a\\",
    "\\\\",
    ")$",
    "(?R)",
    "(*COMMIT)",
    "[default]",
    "x\npassword => y",
    ";;",
    "#",
    "1.2.3.4/8 10.0.0.0/8",
    "host;transport=tls",
    "user@host>;tag=1",
    "a:b",
    "%s%n",
    "\\'",
    "ü",
    "",
];

/// A field of the spec: what an error calls it, and how it is set.
type Field = (&'static str, fn(&mut Given, &str));

const FIELDS: &[Field] = &[
    ("spec.numbers[0]", |given, text| given.numbers = vec![text.to_owned()]),
    ("spec.transfers.destinations[0].number", |given, text| given.transfers.destinations[0].number = text.to_owned()),
    ("spec.transfers.destinations[1].number", |given, text| given.transfers.destinations[1].number = text.to_owned()),
    ("spec.transfers.destinations[1].name", |given, text| {
        given.transfers.destinations[1].name = Some(text.to_owned());
    }),
    ("spec.transfers.callerId", |given, text| given.transfers.caller_id = Some(text.to_owned())),
    ("spec.echoNumber", |given, text| given.echo_number = text.to_owned()),
    ("spec.freeSwitch.allowedPeers[1]", |given, text| given.free_switch.allowed_peers[1] = text.to_owned()),
    ("spec.freeSwitch.network.externalAddress", |given, text| {
        given.free_switch.network.external_address = Some(text.to_owned());
    }),
    ("spec.freeSwitch.gateways[0].name", |given, text| {
        given.free_switch.gateways[0].name = text.to_owned();
        given.gateway_passwords.insert(text.to_owned(), SecretText::new("fake"));
    }),
    ("spec.freeSwitch.gateways[0].proxy", |given, text| given.free_switch.gateways[0].proxy = text.to_owned()),
    ("spec.freeSwitch.gateways[0].username", |given, text| {
        given.free_switch.gateways[0].username = Some(text.to_owned());
    }),
    ("spec.freeSwitch.gateways[0].realm", |given, text| given.free_switch.gateways[0].realm = Some(text.to_owned())),
    ("spec.freeSwitch.gateways[0].fromDomain", |given, text| {
        given.free_switch.gateways[0].from_domain = Some(text.to_owned());
    }),
    ("spec.freeSwitch.gateways[0].passwordSecretRef", |given, text| {
        given.gateway_passwords.insert("carrier".to_owned(), SecretText::new(text));
    }),
    ("the ESL Service", |given, text| given.esl_host = text.to_owned()),
    ("the takeover Service", |given, text| given.takeover_host = text.to_owned()),
    ("the ESL token", |given, text| given.esl_token = text.to_owned()),
    ("the event socket's password", |given, text| given.event_socket_password = text.to_owned()),
];

fn given() -> Given {
    let mut given = Given::minimal();
    let mut carrier = gateway("carrier", "sip.example.com");
    carrier.username = Some("me".to_owned());
    carrier.realm = Some("realm".to_owned());
    carrier.from_domain = Some("example.org".to_owned());
    carrier.password_secret_ref = Some(password_ref("carrier"));
    carrier.registration = Registration::Enabled;
    given.free_switch.gateways = vec![carrier];
    given.free_switch.network.external_address = Some("203.0.113.7".to_owned());
    given.gateway_passwords.insert("carrier".to_owned(), SecretText::new("fake"));
    given.numbers = vec!["100".to_owned()];
    given.transfers = transfers_to(&[(None, r"\+1555\d{4}"), (Some("reception"), "100")]);
    given
}

/// The document without what its values say: elements in order, their attributes' names, and the applications.
fn skeleton(text: &str) -> Vec<String> {
    let document = Document::parse(text).unwrap();
    let elements = document.descendants().filter(roxmltree::Node::is_element);
    let describe = |node: roxmltree::Node<'_, '_>| {
        let attributes: Vec<_> = node.attributes().map(|attribute| attribute.name()).collect();
        format!(
            "{} {attributes:?} {:?} {}",
            node.tag_name().name(),
            node.attribute("application"),
            node.ancestors().count()
        )
    };
    elements.map(describe).collect()
}

/// Renders with `text` in the field: `None` if it was refused. Panics where the text got out of its value.
fn rendered(field: &Field, text: &str) -> Option<String> {
    let (name, set) = field;
    let mut given = given();
    set(&mut given, text);
    match given.render() {
        Err(error) => {
            assert_eq!(error.field, *name, "{text:?}");
            None
        }
        Ok(xml) => {
            assert_eq!(skeleton(&xml), skeleton(&self::given().render().unwrap()), "{name}: {text:?}");
            let document = Document::parse(&xml).unwrap();
            let values = document.descendants().flat_map(|node| node.attributes()).map(|attribute| attribute.value());
            // In an expression an echo number's marks are escaped.
            let whole = |value: &str| value.contains(text) || value.replace('\\', "").contains(text);
            assert!(values.filter(|value| whole(value)).count() > 0, "{name}: {text:?}");
            assert_eq!(xml.matches("$${").count(), xml.matches("$${local_ip_v4}").count(), "{name}: {text:?}");
            // The one that the operator writes itself.
            assert_eq!(xml.to_ascii_lowercase().matches("x-pre-process").count(), 1, "{name}: {text:?}");
            Some(xml)
        }
    }
}

#[test]
fn hostile_text_in_the_spec_is_refused_or_stays_a_value() {
    let plain = given().render().unwrap();
    assert!(!plain.contains("hostile"));
    for field in FIELDS {
        for text in HOSTILE {
            rendered(field, text);
        }
    }
}

#[test]
fn only_texts_that_nothing_reads_may_hold_markup() {
    let markup = "<&\"$${x}";
    let taken: Vec<_> = FIELDS.iter().filter(|field| rendered(field, markup).is_some()).map(|field| field.0).collect();
    assert_eq!(taken, ["spec.freeSwitch.gateways[0].passwordSecretRef"]);
}

#[test]
fn nothing_from_the_spec_is_expanded_when_a_call_runs() {
    for field in FIELDS {
        let Some(xml) = rendered(field, "${system(id)}") else { continue };
        let document = Document::parse(&xml).unwrap();
        let dialplan = document.descendants().find(|node| node.attribute("name") == Some("dialplan")).unwrap();
        let values = dialplan.descendants().flat_map(|node| node.attributes()).map(|attribute| attribute.value());
        assert!(values.filter(|value| value.contains("system")).count() == 0, "{}", field.0);
    }
}

proptest! {
    #[test]
    fn any_text_in_the_spec_is_refused_or_stays_a_value(at in 0..FIELDS.len(), text in any::<String>()) {
        rendered(&FIELDS[at], &text);
    }

    #[test]
    fn any_text_like_markup_or_code_is_refused_or_stays_a_value(
        at in 0..FIELDS.len(),
        text in r#"[0-9a-z$&<>"'{}()\[\]|,;:%#@/\\.*+?^=! -]{1,24}"#,
    ) {
        rendered(&FIELDS[at], &text);
    }
}

/// What a caller may dial that is no number.
const DIALLED: &[&str] = &[
    "1,2",
    "1|2",
    "1@192.0.2.1:5060",
    "1]sofia/gateway/carrier/2",
    "[a=b]1",
    "{a=b}1",
    "<a=b>1",
    "${uuid}",
    "$${local_ip_v4}",
    "${system(id)}",
    "$1",
    "1;transport=tcp",
    "1 XML transfer",
    "1\n",
    "1\r\nX-Evil: 1",
    "1\\",
    "1'",
    "1\"",
    "1&2",
    "1=2",
    "1/2",
    "1:2",
    "1%0A",
    "^^:1",
    "",
    "ü",
    "1\0",
    "12345678901234567890123456789012345678901234567890123456789012345",
];

#[tokio::test]
async fn what_is_dialled_and_is_no_number_gets_484_and_reaches_no_dial_string() {
    let mut answers_all = given();
    answers_all.numbers.clear();
    for given in [answers_all, given()] {
        let switch = switch(&given, &nobody());
        for number in DIALLED {
            let outcome = switch.call(plan(number)).await;
            assert_eq!((outcome.sip_status, outcome.attempts), (484, 0), "{number:?}");
            assert_eq!(bridges(&outcome), [""; 0], "{number:?}");
        }
    }
}

/// Whether a number like this is kept from the SIP headers.
fn odd(number: &str) -> bool {
    number.len() > 60 || !number.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+*#._~-".contains(&byte))
}

#[test]
fn nothing_of_the_callers_is_expanded_in_an_action() {
    // What FreeSWITCH fills in itself, or the dialplan, or what was held against an expression first.
    const HARMLESS: &[&str] = &[
        "bridge_hangup_cause",
        "destination_number",
        "originate_failed_cause",
        "sofia_phone_answered",
        "sofia_phone_caller",
        "sofia_phone_codecs",
        "sofia_phone_dialed",
        "sofia_phone_earlier",
        "sofia_phone_handed_over",
        "sofia_phone_throttled",
        "sofia_phone_transfer_failed",
        "sofia_phone_wait",
        "uuid",
    ];
    for given in [Given::minimal(), Given::full()] {
        let xml = given.render().unwrap();
        let document = Document::parse(&xml).unwrap();
        let data = document.descendants().filter_map(|node| node.attribute("data"));
        for name in data.flat_map(|data| data.split("${").skip(1)).filter_map(|rest| rest.split('}').next()) {
            assert!(HARMLESS.contains(&name), "{name}");
        }
    }
}

#[tokio::test]
async fn a_callers_number_and_name_reach_no_action() {
    let switch = switch(&Given::minimal(), &nobody());
    for text in HOSTILE.iter().chain(DIALLED) {
        let outcome = switch.call(plan("100").from(format!("{text}evil")).name(format!("{text}evil"))).await;
        assert_eq!((outcome.sip_status, outcome.attempts), (503, 5), "{text:?}");
        for (at, bridge) in bridges(&outcome).iter().enumerate() {
            let caller = if odd(text) { "replaced" } else { "presented" };
            let expected = format!(
                "[media_timeout=1000,leg_timeout={},absolute_codec_string=^^:G722:PCMU:PCMA,origination_audio_mode=sendrecv,\
                 rtp_secure_media=forbidden,sip_h_X-Call-UUID={},sip_h_X-Attempt={},sip_h_X-Earlier-Attempts=0,\
                 sip_h_X-Answered=false,sip_h_X-Caller={caller},sip_h_X-Sofia-Token=",
                if at == 0 { 3 } else { 1 },
                outcome.uuid,
                at + 1
            );
            // The switch's report hides the token.
            let token =
                bridge.strip_prefix(&*expected).and_then(|rest| rest.strip_suffix("]sofia/agent/100@127.0.0.1:5080"));
            assert!(matches!(token, Some("***" | "not-a-real-token")), "{bridge}");
        }
    }
}
