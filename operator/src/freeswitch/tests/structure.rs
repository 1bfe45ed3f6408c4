//! What the configuration says, read back: against the configuration that was proven on FreeSWITCH 1.11, and what follows from
//! the spec.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node};
use sofia_crds::spec::{
    Acceptance, Codec, FreeSwitch, GatewayTransport, InfoKeys, Interop, Registration, RtpPortRange, Srtp,
};

use super::{Given, gateway, password_ref};
use crate::secret_text::SecretText;

/// Parameters of the proven configuration: where, name, value. What differs there by design has a comment.
const PROVEN: &[(&str, &str, &str)] = &[
    ("console.conf", "colorize", "false"),
    ("console.conf", "loglevel", "notice"),
    // max-sessions: by the range of RTP ports. sessions-per-second: by the calls that may lose their pods at once.
    ("switch.conf", "sessions-per-second", "2000"),
    ("switch.conf", "rtp-start-port", "20000"),
    ("switch.conf", "rtp-end-port", "29998"),
    ("switch.conf", "loglevel", "notice"),
    ("event_socket.conf", "listen-ip", "127.0.0.1"),
    ("event_socket.conf", "listen-port", "8021"),
    // sip-ip and rtp-ip: the pod's address, where the proven one had loopback.
    ("edge", "context", "edge"),
    ("edge", "sip-ip", "$${local_ip_v4}"),
    ("edge", "rtp-ip", "$${local_ip_v4}"),
    ("edge", "sip-port", "5060"),
    ("edge", "rtp-timer-name", "soft"),
    ("edge", "auth-calls", "false"),
    ("edge", "manage-presence", "false"),
    ("edge", "inbound-codec-prefs", "OPUS,G722,PCMU,PCMA"),
    ("edge", "outbound-codec-prefs", "PCMU,PCMA"),
    ("edge", "inbound-late-negotiation", "true"),
    ("edge", "rfc2833-pt", "101"),
    ("agent", "context", "agent"),
    ("agent", "sip-ip", "127.0.0.1"),
    ("agent", "rtp-ip", "$${local_ip_v4}"),
    ("agent", "sip-port", "5080"),
    ("agent", "rtp-timer-name", "soft"),
    ("agent", "apply-inbound-acl", "agent"),
    ("agent", "auth-calls", "false"),
    ("agent", "manage-presence", "false"),
    ("agent", "enable-timer", "false"),
    ("agent", "inbound-bypass-media", "true"),
    ("agent", "inbound-late-negotiation", "true"),
    // The codecs are the spec's.
    ("agent", "inbound-codec-prefs", "L16@16000h,G722,PCMU,PCMA"),
    ("agent", "outbound-codec-prefs", "L16@16000h,G722,PCMU,PCMA"),
    ("agent", "rfc2833-pt", "101"),
];

/// Parameters by the name of the configuration, profile or gateway that they stand in.
fn params(text: &str) -> BTreeMap<(String, String), String> {
    let document = Document::parse(text).unwrap();
    let owner = |param: Node<'_, '_>| {
        let owner = param
            .ancestors()
            .find(|node| ["configuration", "profile", "gateway"].iter().any(|tag| node.has_tag_name(*tag)));
        owner.unwrap().attribute("name").unwrap().to_owned()
    };
    let params = document.descendants().filter(|node| node.has_tag_name("param"));
    let entry = |param: Node<'_, '_>| {
        let key = (owner(param), param.attribute("name").unwrap().to_owned());
        (key, param.attribute("value").unwrap().to_owned())
    };
    params.map(entry).collect()
}

fn param(text: &str, owner: &str, name: &str) -> Option<String> {
    params(text).remove(&(owner.to_owned(), name.to_owned()))
}

/// Every action: context, application, data.
fn actions(text: &str) -> Vec<(String, String, String)> {
    let document = Document::parse(text).unwrap();
    let actions = document.descendants().filter(|node| node.has_tag_name("action"));
    let row = |action: Node<'_, '_>| {
        let context = action.ancestors().find(|node| node.has_tag_name("context")).unwrap();
        let get = |name: &str| action.attribute(name).unwrap_or_default().to_owned();
        (context.attribute("name").unwrap().to_owned(), get("application"), get("data"))
    };
    actions.map(row).collect()
}

/// What is done for callers whose offer is odd.
fn anti_actions(text: &str) -> Vec<String> {
    let document = Document::parse(text).unwrap();
    let nodes = document.descendants().filter(|node| node.has_tag_name("anti-action"));
    let data = nodes.filter_map(|node| node.attribute("data"));
    data.filter(|data| !data.starts_with("sofia_phone_wait=")).map(str::to_owned).collect()
}

#[test]
fn what_was_proven_is_there() {
    let params = params(&Given::minimal().render().unwrap());
    for (owner, name, value) in PROVEN {
        let found = params.get(&((*owner).to_owned(), (*name).to_owned())).map(String::as_str);
        assert_eq!(found, Some(*value), "{name} of {owner}");
    }
}

#[test]
fn what_was_proven_is_loaded_and_allowed() {
    let text = Given::minimal().render().unwrap();
    let document = Document::parse(&text).unwrap();
    let modules: BTreeSet<_> = document.descendants().filter_map(|node| node.attribute("module")).collect();
    for module in [
        "console",
        "event_socket",
        "sofia",
        "commands",
        "dptools",
        "dialplan_xml",
        "tone_stream",
        "sndfile",
        "opus",
        "spandsp",
    ] {
        assert!(modules.contains(format!("mod_{module}").as_str()), "{module}");
    }
    let allowed = |list: &str| -> Vec<String> {
        let list = document
            .descendants()
            .find(|node| node.has_tag_name("list") && node.attribute("name") == Some(list))
            .unwrap();
        assert_eq!(list.attribute("default"), Some("deny"));
        list.children().filter_map(|node| node.attribute("cidr")).map(str::to_owned).collect()
    };
    assert_eq!(allowed("agent"), ["127.0.0.1/32"]);
    assert_eq!(allowed("edge"), ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]);
    let sections: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("section"))
        .filter_map(|node| node.attribute("name"))
        .collect();
    assert_eq!(sections, ["configuration", "dialplan", "directory"]);
}

#[test]
fn every_parameter_stands_once_in_its_place() {
    let text = Given::full().render().unwrap();
    let count = Document::parse(&text).unwrap().descendants().filter(|node| node.has_tag_name("param")).count();
    assert_eq!(params(&text).len(), count);
}

#[test]
fn a_caller_reaches_only_the_context_of_the_edge() {
    let text = Given::full().render().unwrap();
    let contexts: BTreeSet<String> =
        params(&text).into_iter().filter(|((_, name), _)| name == "context").map(|(_, value)| value).collect();
    assert_eq!(contexts, BTreeSet::from(["agent".to_owned(), "edge".to_owned()]));
    for (context, application, data) in actions(&text) {
        match application.as_str() {
            "transfer" => assert!(data.ends_with(" XML edge-after"), "{data}"),
            "bridge" if context == "transfer" => assert!(data.contains("]sofia/gateway/carrier-a/"), "{data}"),
            "bridge" => assert!(data.contains("]sofia/agent/${sofia_phone_dialed}@127.0.0.1:5080"), "{data}"),
            _ => assert!(!data.contains("gateway"), "{data}"),
        }
    }
}

#[test]
fn a_call_is_tried_five_times_and_one_that_was_answered_nine_each_with_its_number_and_hosts() {
    let actions = actions(&Given::minimal().render().unwrap());
    let bridges: Vec<_> = actions.iter().filter(|(_, application, _)| application == "bridge").collect();
    // The second is the same attempt once more, where FreeSWITCH had no session left. The next three are for calls that were handed over, come
    // back from a transfer, or were lost for the first time: the first attempt with the pods that are left.
    let attempts = ["1", "$1", "1", "1", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let returned = 3;
    assert_eq!(bridges.len(), attempts.len());
    for (at, ((_, _, data), attempt)) in bridges.iter().zip(attempts).enumerate() {
        // Ringing may last; silence in mid-call may not.
        let patience = if at == 0 { 3 } else { 1 };
        let told = if at == returned { ",sip_h_X-Transfer-Failed=${sofia_phone_transfer_failed}" } else { "" };
        let expected = format!(
            "[media_timeout=1000,leg_timeout={patience},absolute_codec_string=${{sofia_phone_codecs}},\
             origination_audio_mode=sendrecv,rtp_secure_media=forbidden,sip_h_X-Call-UUID=${{uuid}},\
             sip_h_X-Attempt={attempt},sip_h_X-Earlier-Attempts=${{sofia_phone_earlier}},\
             sip_h_X-Answered=${{sofia_phone_answered}},sip_h_X-Caller=${{sofia_phone_caller}},\
             sip_h_X-Sofia-Token=not-a-real-token{told}]\
             sofia/agent/${{sofia_phone_dialed}}@127.0.0.1:5080"
        );
        assert_eq!(*data, expected);
    }
    let sockets: Vec<_> = actions.iter().filter(|(_, application, _)| application == "socket").collect();
    let (new, any) = ("main-esl.default.svc:8084", "main-takeover.default.svc:8084");
    assert_eq!(
        sockets[0].2,
        format!("{new}|{new}|{new}{} async full", format!("|{any}").repeat(6)),
        "a caller who was talking"
    );
    assert_eq!(sockets[1].2, format!("{new}|{new}|{new} async full"));
    assert_eq!(sockets.len(), 2);
}

#[test]
fn the_token_is_on_the_way_to_the_pods_and_nowhere_else() {
    for (context, application, data) in actions(&Given::full().render().unwrap()) {
        let has_token = data.contains("not-a-real-token");
        assert_eq!(has_token, application == "bridge" && context != "transfer", "{application} {data}");
    }
}

#[test]
fn numbers_and_the_echo_number_are_one_expression() {
    let expression = |given: &Given| {
        let text = given.render().unwrap();
        let document = Document::parse(&text).unwrap();
        let call = document.descendants().find(|node| node.attribute("name") == Some("call")).unwrap();
        let expressions = call.descendants().filter_map(|node| node.attribute("expression")).map(str::to_owned);
        expressions.collect::<Vec<_>>()
    };
    let mut given = Given::full();
    let strict = r"^[0-9A-Za-z+*#._-]{1,64}\z";
    assert_eq!(expression(&given), [strict, r"^(?:(?:\+4930\d+)|(?:(1|2)00)|\*99)$"]);
    given.echo_number = String::new();
    assert_eq!(expression(&given), [strict, r"^(?:(?:\+4930\d+)|(?:(1|2)00))$"]);
    given.numbers.clear();
    assert_eq!(expression(&given), [strict]);
}

#[test]
fn sessions_are_as_many_as_the_ports_allow() {
    let mut given = Given::minimal();
    for (start, end, sessions) in
        [(20000, 29999, "7500"), (20000, 20003, "3"), (20000, 20399, "300"), (1024, 65535, "48384")]
    {
        given.free_switch.rtp_port_range = RtpPortRange { start, end };
        assert_eq!(param(&given.render().unwrap(), "switch.conf", "max-sessions").as_deref(), Some(sessions));
    }
    for (start, end) in [(20000, 20002), (20001, 20000)] {
        given.free_switch.rtp_port_range = RtpPortRange { start, end };
        assert_eq!(given.render().unwrap_err().field, "spec.freeSwitch.rtpPortRange");
    }
}

#[test]
fn the_last_port_is_an_even_one_whose_neighbour_is_in_the_range_too() {
    let mut given = Given::minimal();
    for (end, last) in [(20399, "20398"), (20400, "20398"), (20003, "20002"), (65535, "65534")] {
        given.free_switch.rtp_port_range = RtpPortRange { start: 20000, end };
        assert_eq!(param(&given.render().unwrap(), "switch.conf", "rtp-end-port").as_deref(), Some(last));
    }
}

#[test]
fn what_freeswitch_would_miss_at_its_start_is_there() {
    let text = Given::minimal().render().unwrap();
    let document = Document::parse(&text).unwrap();
    let names: BTreeSet<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("configuration"))
        .filter_map(|node| node.attribute("name"))
        .collect();
    assert!(
        names.contains("opus.conf") && names.contains("msrp.conf") && names.contains("timezones.conf"),
        "{names:?}"
    );
}

#[test]
fn a_callers_own_codec_goes_straight_through_where_it_is_listed_and_the_first_is_for_all_others() {
    let lists = |codecs: Vec<Codec>| -> Vec<String> {
        let given = Given { codecs, ..Given::minimal() };
        let data = actions(&given.render().unwrap()).into_iter().map(|(_, _, data)| data);
        data.filter_map(|data| data.strip_prefix("sofia_phone_codecs=").map(str::to_owned)).collect()
    };
    let all = lists(vec![Codec::L16, Codec::G722, Codec::Pcmu, Codec::Pcma]);
    assert_eq!(all, ["^^:L16@16000h:G722:PCMU:PCMA", "^^:G722:PCMU:PCMA", "^^:PCMU:PCMA", "^^:PCMA"]);
    assert_eq!(lists(vec![Codec::L16]), ["^^:L16@16000h"]);
    assert_eq!(lists(vec![Codec::Pcmu, Codec::L16]), ["^^:PCMU:L16@16000h", "^^:PCMU:L16@16000h"]);
}

#[test]
fn each_habit_of_a_carrier_can_be_turned_off() {
    let mut given = Given::minimal();
    let text = given.render().unwrap();
    for name in ["enable-3pcc", "enable-100rel", "liberal-dtmf"] {
        assert_eq!(param(&text, "edge", name).as_deref(), Some("true"), "{name}");
        assert_eq!(param(&text, "agent", name), None, "{name}");
    }
    given.free_switch.interop = Interop {
        late_offer: Acceptance::Refused,
        reliable_provisional: Acceptance::Refused,
        info_keys: InfoKeys::Ignored,
        crypto_in_avp: Acceptance::Refused,
    };
    let off = given.render().unwrap();
    for name in ["enable-3pcc", "enable-100rel", "liberal-dtmf"] {
        assert_eq!(param(&off, "edge", name).as_deref(), Some("false"), "{name}");
    }
    assert_eq!((anti_actions(&text).len(), anti_actions(&off).len()), (2, 0));
    // Plain RTP with a key in the offer is no SRTP.
    given.free_switch = FreeSwitch { srtp: Srtp::Required, ..FreeSwitch::default() };
    assert!(anti_actions(&given.render().unwrap()).is_empty());
}

#[test]
fn a_caller_without_an_offer_is_offered_one_stream() {
    let mut given = Given::minimal();
    for (srtp, word) in [(Srtp::Disabled, "forbidden"), (Srtp::Optional, "forbidden"), (Srtp::Required, "mandatory")] {
        given.free_switch.srtp = srtp;
        let global = format!("<X-PRE-PROCESS cmd=\"set\" data=\"rtp_secure_media_inbound={word}\"/>");
        assert_eq!(given.render().unwrap().matches(&global).count(), 1, "{srtp:?}");
    }
}

#[test]
fn music_on_hold_is_for_people() {
    let actions = actions(&Given::full().render().unwrap());
    let at = |application: &str, data: &str| {
        actions.iter().position(|(_, known, given)| known == application && given == data).unwrap()
    };
    let first_bridge = actions.iter().position(|(_, application, _)| application == "bridge").unwrap();
    assert!(at("set", "hold_music=silence") < first_bridge);
    assert_eq!(actions[at("unset", "hold_music")].0, "transfer");
}

#[test]
fn the_external_address_is_told_and_chooses_the_ip_version() {
    let mut given = Given::minimal();
    assert_eq!(param(&given.render().unwrap(), "edge", "ext-sip-ip"), None);
    for (address, own) in [("203.0.113.7", "$${local_ip_v4}"), ("2001:db8::7", "$${local_ip_v6}")] {
        given.free_switch.network.external_address = Some(address.to_owned());
        let text = given.render().unwrap();
        for (name, value) in [("ext-sip-ip", address), ("ext-rtp-ip", address), ("sip-ip", own), ("rtp-ip", own)] {
            assert_eq!(param(&text, "edge", name).as_deref(), Some(value));
        }
        assert_eq!(param(&text, "agent", "rtp-ip").as_deref(), Some("$${local_ip_v4}"));
        assert_eq!(param(&text, "agent", "ext-rtp-ip"), None);
    }
}

#[test]
fn srtp_is_the_callers_leg_only() {
    let mut given = Given::minimal();
    for (srtp, word) in [(Srtp::Disabled, "forbidden"), (Srtp::Optional, "optional"), (Srtp::Required, "mandatory")] {
        given.free_switch.srtp = srtp;
        let actions = actions(&given.render().unwrap());
        let set = format!("rtp_secure_media_inbound={word}");
        let at = actions.iter().position(|(_, _, data)| *data == set).unwrap();
        let bridge = actions.iter().position(|(_, application, _)| application == "bridge").unwrap();
        assert!(at < bridge);
        assert!(actions[bridge].2.contains("rtp_secure_media=forbidden"));
    }
}

#[test]
fn a_gateway_registers_only_when_told_to() {
    let text = Given::full().render().unwrap();
    let expected = [
        ("proxy", Some("sip.example.com:5061")),
        ("register-proxy", Some("sip:sip.example.com:5061;transport=tls")),
        ("register-transport", Some("tls")),
        ("realm", Some("carrier-realm")),
        ("from-domain", Some("example.org")),
        ("username", Some("line-1%40example.org")),
        ("auth-username", Some("line-1@example.org")),
        ("password", Some("fake & <\"$${password}\">")),
        ("register", Some("true")),
        ("expire-seconds", Some("600")),
        ("extension", Some("auto_to_user")),
        ("ping", Some("5")),
        ("caller-id-in-from", None),
    ];
    for (name, value) in expected {
        assert_eq!(param(&text, "carrier-a", name).as_deref(), value, "{name}");
    }
    let expected = [
        ("register", Some("false")),
        ("realm", Some("[2001:db8::5]")),
        ("from-domain", Some("[2001:db8::5]")),
        ("caller-id-in-from", Some("true")),
        ("username", None),
        ("password", None),
        ("ping", None),
        ("extension", None),
    ];
    for (name, value) in expected {
        assert_eq!(param(&text, "carrier-b", name).as_deref(), value, "{name}");
    }
}

#[test]
fn tls_is_on_only_for_gateways_that_use_it() {
    let mut given = Given::full();
    assert_eq!(param(&given.render().unwrap(), "edge", "tls").as_deref(), Some("true"));
    assert_eq!(param(&given.render().unwrap(), "edge", "tls-sip-port").as_deref(), Some("5071"));
    given.free_switch.gateways[0].transport = GatewayTransport::Udp;
    assert_eq!(param(&given.render().unwrap(), "edge", "tls"), None);
}

#[test]
fn what_is_missing_is_named() {
    let missing = |change: &dyn Fn(&mut Given), field: &str| {
        let mut given = Given::full();
        change(&mut given);
        assert_eq!(given.render().unwrap_err().field, field);
    };
    missing(&|given| given.gateway_passwords.clear(), "spec.freeSwitch.gateways[0].passwordSecretRef");
    missing(&|given| given.free_switch.gateways[0].username = None, "spec.freeSwitch.gateways[0].username");
    missing(&|given| given.codecs.clear(), "spec.dataPlane.codecs");
    missing(&|given| given.esl_token.clear(), "the ESL token");
    missing(&|given| given.free_switch.sip_port = 0, "spec.freeSwitch.sipPort");
    missing(&|given| given.free_switch.sip_port = 65535, "spec.freeSwitch.sipPort");
}

#[test]
fn a_password_without_registration_is_for_the_carriers_challenges() {
    let mut given = Given::minimal();
    let mut carrier = gateway("carrier", "sip.example.com");
    carrier.username = Some("me".to_owned());
    carrier.password_secret_ref = Some(password_ref("carrier"));
    carrier.registration = Registration::Disabled;
    given.free_switch.gateways = vec![carrier];
    given.gateway_passwords.insert("carrier".to_owned(), SecretText::new("fake"));
    let text = given.render().unwrap();
    assert_eq!(param(&text, "carrier", "password").as_deref(), Some("fake"));
    assert_eq!(param(&text, "carrier", "register").as_deref(), Some("false"));
    assert_eq!(param(&text, "carrier", "realm").as_deref(), Some("sip.example.com"));
}
