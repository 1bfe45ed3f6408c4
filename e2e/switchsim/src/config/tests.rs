use super::*;

const DEMO: &str = include_str!("../../freeswitch.xml");

fn demo() -> Config {
    Config::parse(DEMO, &HashMap::new(), LocalAddresses::LOOPBACK).unwrap()
}

#[test]
fn the_demo_configuration_reads() {
    let config = demo();
    let agent = config.profile("agent").unwrap();
    assert!(agent.bypass_media && !agent.session_timers && agent.soft_timer);
    assert_eq!(agent.outbound_codecs[0].name, "L16");
    assert!(config.profile_at(agent.sip_ip, agent.sip_port).is_some());
    assert!(!config.dialplan.extensions("edge").is_empty() && !config.dialplan.extensions("agent").is_empty());
    assert!(config.dialplan.extensions("nowhere").is_empty());
}

#[test]
fn only_the_access_list_lets_a_call_in() {
    let config = demo();
    let agent = config.profile("agent").unwrap();
    assert!(config.admits(agent, "127.0.0.1".parse().unwrap()));
    assert!(!config.admits(agent, "192.0.2.1".parse().unwrap()));
    assert!(config.admits(config.profile("edge").unwrap(), "192.0.2.1".parse().unwrap()));
}

fn rule(allow: bool, network: &str, length: u8) -> access::Rule {
    access::Rule { allow, network: network.parse().unwrap(), length }
}

#[test]
fn networks_match_by_prefix() {
    let list =
        AccessList { allow_by_default: true, rules: vec![rule(false, "10.0.0.0", 8), rule(true, "10.1.0.0", 16)] };
    for (address, allowed) in [("10.2.0.1", false), ("10.1.2.3", true), ("11.0.0.1", true), ("::1", true)] {
        assert_eq!(list.allows(address.parse().unwrap()), allowed, "{address}");
    }
    let everyone = AccessList { allow_by_default: false, rules: vec![rule(true, "0.0.0.0", 0)] };
    assert!(everyone.allows("203.0.113.9".parse().unwrap()));
}

#[test]
fn without_its_module_g722_is_left_out_of_the_offer() {
    let xml = DEMO.replace(r#"<load module="mod_spandsp"/>"#, "");
    let config = Config::parse(&xml, &HashMap::new(), LocalAddresses::LOOPBACK).unwrap();
    let names: Vec<_> =
        config.profile("agent").unwrap().outbound_codecs.iter().map(|codec| codec.name.as_str()).collect();
    assert!(!names.contains(&"G722") && names.contains(&"PCMU"), "{names:?}");
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    let cases = [
        (r#"<condition field="destination_number" expression="(">"#, "regular expression"),
        (r#"<condition wday="2-6">"#, "not supported"),
        (r#"<condition field="x" expression="y" break="sometimes">"#, "break"),
    ];
    for (condition, expected) in cases {
        let extension = format!(r#"<context name="edge"><extension name="x">{condition}</condition></extension>"#);
        let xml = DEMO.replacen(r#"<context name="edge">"#, &extension, 1);
        let error = Config::parse(&xml, &HashMap::new(), LocalAddresses::LOOPBACK).unwrap_err().to_string();
        assert!(error.starts_with("line ") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_missing_module_is_named() {
    let xml = DEMO.replace(r#"<load module="mod_event_socket"/>"#, "");
    let error = Config::parse(&xml, &HashMap::new(), LocalAddresses::LOOPBACK).unwrap_err().to_string();
    assert!(error.contains("mod_event_socket"), "{error}");
}

const POD: &str = include_str!("../../tests/fixtures/pod.xml");

fn pod(from: &str, to: &str) -> Result<Config, ConfigError> {
    assert!(POD.contains(from), "{from}");
    let local = LocalAddresses { v4: "192.0.2.9".parse().unwrap(), ..LocalAddresses::LOOPBACK };
    Config::parse(&POD.replacen(from, to, 1), &HashMap::new(), local)
}

#[test]
fn a_rendered_configuration_reads_with_the_machines_own_addresses() {
    let config = pod("", "").unwrap();
    let (edge, agent) = (config.profile("edge").unwrap(), config.profile("agent").unwrap());
    assert_eq!((edge.sip_ip, agent.rtp_ip), ("192.0.2.9".parse().unwrap(), "192.0.2.9".parse().unwrap()));
    assert_eq!(agent.sip_ip, "127.0.0.1".parse::<IpAddr>().unwrap());
    assert!(config.has_gateway("carrier") && !config.has_gateway("edge"));
    let socket = config.event_socket.as_ref().unwrap();
    assert_eq!(socket.password, Password("hush & more".to_owned()));
    assert!(!format!("{config:?}").contains("hush"), "a password is not for the log");
    assert!(config.event_socket_admits(socket, "::1".parse().unwrap()));
    assert!(!config.event_socket_admits(socket, "192.0.2.9".parse().unwrap()), "this machine only, if nothing is said");
    for (address, admitted) in
        [("203.0.113.1", true), ("2001:db8::1", true), ("::ffff:203.0.113.1", true), ("192.0.2.1", false)]
    {
        assert_eq!(config.admits(edge, address.parse().unwrap()), admitted, "{address}");
    }
}

#[test]
fn what_would_change_a_call_and_is_not_understood_is_refused() {
    for (from, to, expected) in [
        (r#"application="respond""#, r#"application="redirect""#, "application \"redirect\""),
        (r#"data="404""#, r#"data="${hash(select/x)}""#, "API call"),
        (r#"field="network_addr""#, r#"field="${acl(1.2.3.4 x)}""#, "API call"),
        ("gateway/carrier/", "gateway/nobody/", "a gateway of this"),
        ("sofia/agent/", "sofia/agents/", "\"agents\""),
        ("(?:\\+?1555", "(?=1555", "regular expression"),
        ("%(500,500,480,620)", "500", "tone_stream"),
        ("autonat:198.51.100.7", "the-cluster", "autonat:ADDRESS"),
        (r#"default="deny""#, r#"default="never""#, "allow or deny"),
        (r#"name="register" value="false""#, r#"name="register" value="true""#, "username"),
        (
            r#"name="auth-calls" value="false"/>
        <param name="enable-timer""#,
            r#"name="ext-rtp-ip" value="198.51.100.7"/>
        <param name="enable-timer""#,
            "ext-rtp-ip=198.51.100.7",
        ),
        ("20998", "19998", "rtp-end-port"),
    ] {
        let error = pod(from, to).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn lists_that_freeswitch_makes_by_itself_need_no_definition() {
    let allows = |name: &str, address: &str| AccessList::implied(name).unwrap().allows(address.parse().unwrap());
    assert!(allows("loopback.auto", "127.9.9.9") && !allows("loopback.auto", "10.0.0.1"));
    assert!(allows("rfc1918.auto", "172.31.0.1") && !allows("rfc1918.auto", "172.32.0.1"));
    assert!(allows("192.0.2.0/24,198.51.100.0/24", "198.51.100.1"));
    assert!(AccessList::implied("agent").is_none() && AccessList::implied("192.0.2.0/99").is_none());
}
