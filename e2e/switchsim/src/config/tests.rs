use super::*;

const DEMO: &str = include_str!("../../freeswitch.xml");

fn demo() -> Config {
    Config::parse(DEMO, &HashMap::new()).unwrap()
}

#[test]
fn the_demo_configuration_reads() {
    let config = demo();
    let agent = config.profile("agent").unwrap();
    assert!(agent.bypass_media && !agent.session_timers && agent.soft_timer);
    assert_eq!(agent.outbound_codecs[0].name, "G722");
    assert!(config.profile_at(agent.sip_ip, agent.sip_port).is_some());
    assert!(!config.extensions("edge").is_empty() && !config.extensions("agent").is_empty());
    assert!(config.extensions("nowhere").is_empty());
}

#[test]
fn only_the_access_list_lets_a_call_in() {
    let config = demo();
    let agent = config.profile("agent").unwrap();
    assert!(config.admits(agent, "127.0.0.1".parse().unwrap()));
    assert!(!config.admits(agent, "192.0.2.1".parse().unwrap()));
    assert!(config.admits(config.profile("edge").unwrap(), "192.0.2.1".parse().unwrap()));
}

#[test]
fn networks_match_by_prefix() {
    let list = AccessList {
        allow_by_default: true,
        nodes: vec![(false, "10.0.0.0".parse().unwrap(), 8), (true, "10.1.0.0".parse().unwrap(), 16)],
    };
    for (address, allowed) in [("10.2.0.1", false), ("10.1.2.3", true), ("11.0.0.1", true), ("::1", true)] {
        assert_eq!(list.allows(address.parse().unwrap()), allowed, "{address}");
    }
    let everyone = AccessList { allow_by_default: false, nodes: vec![(true, "0.0.0.0".parse().unwrap(), 0)] };
    assert!(everyone.allows("203.0.113.9".parse().unwrap()));
}

#[test]
fn without_its_module_g722_is_left_out_of_the_offer() {
    let xml = DEMO.replace(r#"<load module="mod_spandsp"/>"#, "");
    let config = Config::parse(&xml, &HashMap::new()).unwrap();
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
        let error = Config::parse(&xml, &HashMap::new()).unwrap_err().to_string();
        assert!(error.starts_with("line ") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_missing_module_is_named() {
    let xml = DEMO.replace(r#"<load module="mod_event_socket"/>"#, "");
    let error = Config::parse(&xml, &HashMap::new()).unwrap_err().to_string();
    assert!(error.contains("mod_event_socket"), "{error}");
}
