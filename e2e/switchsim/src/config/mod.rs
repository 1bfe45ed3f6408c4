//! Reads a whole FreeSWITCH configuration from one `freeswitch.xml`: profiles, access lists, limits, dialplan. Only the part
//! that this project's configurations use; what would change a call and is not understood is an error, never ignored.

mod preprocess;

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use regex::Regex;
use roxmltree::{Document, Node};

use crate::sdp::OfferedCodec;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Not well-formed.
    #[error("not well-formed XML: {0}")]
    Xml(#[from] roxmltree::Error),
    /// A pre-processor directive other than a plain `set`.
    #[error("pre-processor directive not supported: {directive}")]
    PreProcessor {
        /// Its `cmd`.
        directive: String,
    },
    /// `$${name}` without a definition.
    #[error("$${{{name}}} is used but never set (FreeSWITCH would replace it with nothing)")]
    UndefinedGlobal {
        /// The variable.
        name: String,
    },
    /// A part is missing.
    #[error("{what} is missing")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// A value cannot be read.
    #[error("line {line}: {what}: {value:?} is not {expected}")]
    Value {
        /// Line of the (pre-processed) file.
        line: u32,
        /// The parameter or attribute.
        what: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: String,
    },
    /// Known to FreeSWITCH, not to this stand-in.
    #[error("line {line}: {what} is not supported by switchsim")]
    Unsupported {
        /// Line of the (pre-processed) file.
        line: u32,
        /// The construct.
        what: String,
    },
}

/// A configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// UDP ports for RTP, inclusive.
    pub rtp_ports: RangeInclusive<u16>,
    /// Channels at once; a call takes three.
    pub max_sessions: usize,
    profiles: HashMap<String, Profile>,
    access_lists: HashMap<String, AccessList>,
    contexts: HashMap<String, Vec<Extension>>,
}

/// A SIP profile: one listening address and what calls through it get.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name in dial strings.
    pub name: String,
    /// The dialplan context of calls that arrive here.
    pub context: String,
    /// SIP address.
    pub sip_ip: IpAddr,
    /// SIP port.
    pub sip_port: u16,
    /// Address offered for RTP.
    pub rtp_ip: IpAddr,
    /// What legs out of this profile offer, best first.
    pub outbound_codecs: Vec<OfferedCodec>,
    /// `inbound-codec-prefs` as written: shown to the pod as `rtp_use_codec_string`.
    pub inbound_codec_string: String,
    /// The access list for calls that arrive here.
    pub inbound_acl: Option<String>,
    /// Calls that arrive here bypass media: the pod's own SDP is the answer.
    pub bypass_media: bool,
    /// Session timers: they would end a bypassed channel.
    pub session_timers: bool,
    /// `rtp-timer-name=soft`: without it audio does not come back after hold.
    pub soft_timer: bool,
    /// Payload type of telephone-event at 8 kHz.
    pub dtmf_payload_type: u8,
}

/// A list of networks with a default.
#[derive(Debug, Default)]
pub struct AccessList {
    allow_by_default: bool,
    nodes: Vec<(bool, IpAddr, u8)>,
}

impl AccessList {
    /// Whether `address` is let in; the last node that holds it decides.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let holds = |network: &(bool, IpAddr, u8)| match (network.1, address) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                prefix(u128::from(net.to_bits()), 32, network.2) == prefix(u128::from(ip.to_bits()), 32, network.2)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                prefix(net.to_bits(), 128, network.2) == prefix(ip.to_bits(), 128, network.2)
            }
            _ => false,
        };
        self.nodes.iter().rev().find(|network| holds(network)).map_or(self.allow_by_default, |network| network.0)
    }
}

fn prefix(bits: u128, width: u8, length: u8) -> u128 {
    bits.checked_shr(u32::from(width.saturating_sub(length))).unwrap_or(0)
}

/// One `<extension>`.
#[derive(Debug)]
pub struct Extension {
    /// Its name, for the log.
    pub name: String,
    /// Go on hunting after a match.
    pub continues: bool,
    /// In order.
    pub conditions: Vec<Condition>,
}

/// One `<condition>`.
#[derive(Debug)]
pub struct Condition {
    /// `destination_number`, another field, `${variable}`, or empty: always true.
    pub field: String,
    /// Searched in the field, not anchored.
    pub expression: Regex,
    /// When the conditions behind it are still looked at.
    pub on: Break,
    /// When it is true.
    pub actions: Vec<Action>,
    /// When it is false.
    pub anti_actions: Vec<Action>,
}

/// FreeSWITCH's `break` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Stop this extension at a false condition (the default).
    OnFalse,
    /// Stop this extension at a true condition.
    OnTrue,
    /// Stop in any case.
    Always,
    /// Never stop.
    Never,
}

/// One `<action>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Which application.
    pub application: String,
    /// Its argument, with `$1` and `${name}` still in it.
    pub data: String,
    /// Runs already while the dialplan is read, so that later conditions see its effect.
    pub inline: bool,
}

impl Config {
    /// Reads `xml`, replacing `$${name}` by `globals` first.
    ///
    /// # Errors
    /// The first thing that is malformed, missing or not supported.
    pub fn parse(xml: &str, globals: &HashMap<String, String>) -> Result<Self, ConfigError> {
        let text = preprocess::preprocess(xml, globals)?;
        let document = Document::parse(&text)?;
        let sections = || document.root_element().children().filter(|node| node.has_tag_name("section"));
        let section = |name: &str| {
            sections()
                .find(|node| node.attribute("name") == Some(name))
                .ok_or_else(|| ConfigError::Missing { what: format!("<section name={name:?}>") })
        };
        let configuration = section("configuration")?;
        let part = |name: &str| {
            configuration
                .children()
                .find(|node| node.has_tag_name("configuration") && node.attribute("name") == Some(name))
        };
        let required = |name: &str| {
            part(name).ok_or_else(|| ConfigError::Missing { what: format!("<configuration name={name:?}>") })
        };

        let modules: Vec<&str> =
            descendants(required("modules.conf")?, "load").filter_map(|node| node.attribute("module")).collect();
        for needed in ["mod_event_socket", "mod_sofia", "mod_commands", "mod_dptools", "mod_dialplan_xml"] {
            if !modules.contains(&needed) {
                return Err(ConfigError::Missing { what: format!("<load module={needed:?}/>") });
            }
        }
        let switch = params(required("switch.conf")?);
        let port = |name: &str, default: u16| switch.get(name).map_or(Ok(default), |value| value.parse(name, "a port"));
        let rtp_ports = port("rtp-start-port", 16384)?..=port("rtp-end-port", 32768)?;
        let max_sessions =
            switch.get("max-sessions").map_or(Ok(1000), |value| value.parse("max-sessions", "a number"))?;

        let mut profiles = HashMap::new();
        for node in descendants(required("sofia.conf")?, "profile") {
            let profile = read_profile(node, &modules)?;
            profiles.insert(profile.name.clone(), profile);
        }
        let mut access_lists = HashMap::new();
        for node in part("acl.conf").into_iter().flat_map(|node| descendants(node, "list")) {
            access_lists.insert(attribute(node, "name")?.to_owned(), read_access_list(node)?);
        }
        let mut contexts = HashMap::new();
        for node in descendants(section("dialplan")?, "context") {
            let extensions = node
                .children()
                .filter(|child| child.has_tag_name("extension"))
                .map(read_extension)
                .collect::<Result<_, _>>()?;
            contexts.insert(attribute(node, "name")?.to_owned(), extensions);
        }
        Ok(Self { rtp_ports, max_sessions, profiles, access_lists, contexts })
    }

    /// The profile of that name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// The profile that listens on that address.
    #[must_use]
    pub fn profile_at(&self, ip: IpAddr, port: u16) -> Option<&Profile> {
        self.profiles.values().find(|profile| profile.sip_ip == ip && profile.sip_port == port)
    }

    /// Whether a call from `source` may arrive at `profile`. An access list that does not exist lets nobody in.
    #[must_use]
    pub fn admits(&self, profile: &Profile, source: IpAddr) -> bool {
        profile
            .inbound_acl
            .as_ref()
            .is_none_or(|name| self.access_lists.get(name).is_some_and(|list| list.allows(source)))
    }

    /// The extensions of a context, in order; none for an unknown one.
    #[must_use]
    pub fn extensions(&self, context: &str) -> &[Extension] {
        self.contexts.get(context).map_or(&[], Vec::as_slice)
    }
}

/// A `<param>`'s value and where it stands.
struct Param<'a> {
    value: &'a str,
    line: u32,
}

impl Param<'_> {
    fn parse<T: FromStr>(&self, what: &str, expected: &str) -> Result<T, ConfigError> {
        self.value.trim().parse().map_err(|_| ConfigError::Value {
            line: self.line,
            what: what.to_owned(),
            value: self.value.to_owned(),
            expected: expected.to_owned(),
        })
    }

    fn is_true(&self) -> bool {
        matches!(
            self.value.trim().to_ascii_lowercase().as_str(),
            "true" | "yes" | "on" | "1" | "enabled" | "active" | "allow" | "t"
        )
    }
}

fn line(node: Node<'_, '_>) -> u32 {
    node.document().text_pos_at(node.range().start).row
}

fn descendants<'a, 'input>(node: Node<'a, 'input>, tag: &'a str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.descendants().filter(move |child| child.has_tag_name(tag))
}

fn params<'a>(node: Node<'a, 'a>) -> HashMap<&'a str, Param<'a>> {
    descendants(node, "param")
        .filter_map(|param| {
            Some((param.attribute("name")?, Param { value: param.attribute("value")?, line: line(param) }))
        })
        .collect()
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, ConfigError> {
    node.attribute(name).ok_or_else(|| ConfigError::Missing {
        what: format!("line {}: attribute {name:?} of <{}>", line(node), node.tag_name().name()),
    })
}

fn read_profile(node: Node<'_, '_>, modules: &[&str]) -> Result<Profile, ConfigError> {
    let name = attribute(node, "name")?;
    // A profile may hold gateways and domains with parameters of their own.
    let settings = node
        .children()
        .find(|child| child.has_tag_name("settings"))
        .ok_or_else(|| ConfigError::Missing { what: format!("<settings> of profile {name:?}") })?;
    let settings = params(settings);
    let need = |param: &str| {
        settings.get(param).ok_or_else(|| ConfigError::Missing { what: format!("{param} of profile {name:?}") })
    };
    let flag = |param: &str, default: bool| settings.get(param).map_or(default, Param::is_true);
    let sip_ip: IpAddr = need("sip-ip")?.parse("sip-ip", "an IP address")?;
    let codecs = settings.get("outbound-codec-prefs").or_else(|| settings.get("codec-prefs"));
    let has = |module: &str| modules.contains(&module);
    let outbound_codecs = codecs.map_or_else(
        || OfferedCodec::list("PCMU,PCMA"),
        |value| {
            // A codec whose module is not loaded is left out of the offer without a word.
            let known = OfferedCodec::list(value.value).into_iter();
            known.filter(|codec| codec.module().is_none_or(has)).collect()
        },
    );
    Ok(Profile {
        name: name.to_owned(),
        context: settings.get("context").map_or("default", |value| value.value).to_owned(),
        sip_ip,
        sip_port: settings.get("sip-port").map_or(Ok(5060), |value| value.parse("sip-port", "a port"))?,
        rtp_ip: settings.get("rtp-ip").map_or(Ok(sip_ip), |value| value.parse("rtp-ip", "an IP address"))?,
        outbound_codecs,
        inbound_codec_string: settings.get("inbound-codec-prefs").map_or("PCMU,PCMA", |value| value.value).to_owned(),
        inbound_acl: settings.get("apply-inbound-acl").map(|value| value.value.to_owned()),
        bypass_media: flag("inbound-bypass-media", false),
        session_timers: flag("enable-timer", true),
        soft_timer: settings.get("rtp-timer-name").is_some_and(|value| value.value == "soft"),
        dtmf_payload_type: settings
            .get("rfc2833-pt")
            .map_or(Ok(101), |value| value.parse("rfc2833-pt", "a payload type"))?,
    })
}

fn read_access_list(node: Node<'_, '_>) -> Result<AccessList, ConfigError> {
    let mut list = AccessList { allow_by_default: node.attribute("default") == Some("allow"), nodes: Vec::new() };
    for entry in node.children().filter(|child| child.has_tag_name("node")) {
        let allow = attribute(entry, "type")? == "allow";
        let cidr = entry.attribute("cidr").ok_or_else(|| ConfigError::Unsupported {
            line: line(entry),
            what: "an access-list node without cidr".to_owned(),
        })?;
        for network in cidr.split(',') {
            let bad = || ConfigError::Value {
                line: line(entry),
                what: "cidr".to_owned(),
                value: network.to_owned(),
                expected: "a network such as 192.0.2.0/24".to_owned(),
            };
            let (ip, length) = network.trim().split_once('/').ok_or_else(bad)?;
            let ip: IpAddr = ip.parse().map_err(|_| bad())?;
            let length: u8 = length.parse().map_err(|_| bad())?;
            if length > if ip.is_ipv4() { 32 } else { 128 } {
                return Err(bad());
            }
            list.nodes.push((allow, ip, length));
        }
    }
    Ok(list)
}

fn read_extension(node: Node<'_, '_>) -> Result<Extension, ConfigError> {
    let conditions = node
        .children()
        .filter(|child| child.has_tag_name("condition"))
        .map(read_condition)
        .collect::<Result<_, _>>()?;
    Ok(Extension {
        name: node.attribute("name").unwrap_or_default().to_owned(),
        continues: node.attribute("continue") == Some("true"),
        conditions,
    })
}

fn read_condition(node: Node<'_, '_>) -> Result<Condition, ConfigError> {
    for attribute in node.attributes() {
        if !matches!(attribute.name(), "field" | "expression" | "break") {
            return Err(ConfigError::Unsupported {
                line: line(node),
                what: format!("<condition {}=…>", attribute.name()),
            });
        }
    }
    if let Some(nested) = node.children().find(|child| child.has_tag_name("condition") || child.has_tag_name("regex")) {
        return Err(ConfigError::Unsupported { line: line(nested), what: "a condition inside a condition".to_owned() });
    }
    let pattern = node.attribute("expression").unwrap_or("");
    let bad = |what: &str, value: &str, expected: String| ConfigError::Value {
        line: line(node),
        what: what.to_owned(),
        value: value.to_owned(),
        expected,
    };
    let expression =
        Regex::new(pattern).map_err(|error| bad("expression", pattern, format!("a regular expression: {error}")))?;
    let on = match node.attribute("break") {
        None | Some("on-false") => Break::OnFalse,
        Some("on-true") => Break::OnTrue,
        Some("always") => Break::Always,
        Some("never") => Break::Never,
        Some(other) => return Err(bad("break", other, "on-false, on-true, always or never".to_owned())),
    };
    let actions = |tag: &str| {
        let nodes = node.children().filter(|child| child.has_tag_name(tag));
        nodes
            .map(|child| {
                Ok(Action {
                    application: attribute(child, "application")?.to_owned(),
                    data: child.attribute("data").unwrap_or_default().to_owned(),
                    inline: child.attribute("inline") == Some("true"),
                })
            })
            .collect::<Result<Vec<_>, ConfigError>>()
    };
    Ok(Condition {
        field: node.attribute("field").unwrap_or_default().to_owned(),
        expression,
        on,
        actions: actions("action")?,
        anti_actions: actions("anti-action")?,
    })
}

#[cfg(test)]
mod tests;
