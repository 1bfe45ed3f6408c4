//! Reads a whole FreeSWITCH configuration from one `freeswitch.xml`: profiles, access lists, limits, dialplan. Only the part
//! that this project's configurations use; what would change a call and is not understood is an error, never ignored.

mod access;
mod dialplan;
mod local;
mod preprocess;
mod profile;
mod xml;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use roxmltree::{Document, Node};

pub use access::AccessList;
pub use dialplan::{Action, Break, Condition, Dialplan};
pub use local::LocalAddresses;
pub use profile::Profile;

use crate::sdp::OfferedCodec;
use crate::throttle::DEFAULT_RATE;
use xml::{attribute, descendants, params};

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
    #[error(
        "pre-processor directive not supported: {directive}; expected <X-PRE-PROCESS cmd=\"set\" data=\"NAME=VALUE\"/>"
    )]
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
    /// Channels that may begin in a second; a call takes three, a takeover two.
    pub sessions_per_second: u32,
    /// Where commands are taken, if at all.
    pub event_socket: Option<EventSocket>,
    /// What becomes of calls.
    pub dialplan: Arc<Dialplan>,
    /// Global variables as they are at the start: the pre-processor's.
    pub globals: HashMap<String, String>,
    /// That are loaded.
    modules: Vec<String>,
    /// In the order of the file.
    profiles: Vec<Profile>,
    access_lists: HashMap<String, AccessList>,
}

/// `event_socket.conf`: the inbound event socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSocket {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// What a peer has to say first.
    pub password: Password,
    /// Lists of who may connect; empty: this machine only, as FreeSWITCH has it.
    pub acls: Vec<String>,
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Config {
    /// Reads `xml` on a machine with these addresses, replacing `$${name}` first: by `globals`, else by the file's own `set`.
    ///
    /// # Errors
    /// The first thing that is malformed, missing or not supported.
    pub fn parse(xml: &str, globals: &HashMap<String, String>, local: LocalAddresses) -> Result<Self, ConfigError> {
        let (text, globals) = preprocess::preprocess(xml, globals, local)?;
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
        if rtp_ports.is_empty() {
            return Err(ConfigError::Missing {
                what: format!("any port between {rtp_ports:?}: rtp-end-port comes first"),
            });
        }
        let max_sessions =
            switch.get("max-sessions").map_or(Ok(1000), |value| value.parse("max-sessions", "a number"))?;

        let sessions_per_second = switch
            .get("sessions-per-second")
            .map_or(Ok(DEFAULT_RATE), |value| value.parse("sessions-per-second", "a number"))?;

        let profiles: Vec<Profile> = descendants(required("sofia.conf")?, "profile")
            .map(|node| profile::read(node, &modules))
            .collect::<Result<_, _>>()?;
        let mut access_lists = HashMap::new();
        for node in part("acl.conf").into_iter().flat_map(|node| descendants(node, "list")) {
            access_lists.insert(attribute(node, "name")?.to_owned(), access::read(node)?);
        }
        let known = dialplan::Known {
            profiles: profiles.iter().map(|profile| profile.name.as_str()).collect(),
            gateways: profiles.iter().flat_map(|profile| &profile.gateways).map(String::as_str).collect(),
        };
        let dialplan = Arc::new(dialplan::read(section("dialplan")?, &known)?);
        let event_socket = part("event_socket.conf").map(read_event_socket).transpose()?;
        let modules = modules.into_iter().map(str::to_owned).collect();
        Ok(Self {
            rtp_ports,
            max_sessions,
            sessions_per_second,
            event_socket,
            dialplan,
            globals,
            modules,
            profiles,
            access_lists,
        })
    }

    /// Those codecs of the list that this switch knows: one whose module is not loaded is left out without a word.
    #[must_use]
    pub fn known_codecs(&self, list: &str) -> Vec<OfferedCodec> {
        let has = |module: &str| self.modules.iter().any(|loaded| loaded == module);
        OfferedCodec::list(list).into_iter().filter(|codec| codec.module().is_none_or(has)).collect()
    }

    /// The profile of that name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// Whether any profile has a gateway of that name.
    #[must_use]
    pub fn has_gateway(&self, name: &str) -> bool {
        self.profiles.iter().any(|profile| profile.gateways.iter().any(|gateway| gateway == name))
    }

    /// All profiles, in the order of the file.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The profile that listens on that address.
    #[must_use]
    pub fn profile_at(&self, ip: IpAddr, port: u16) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.sip_ip == ip && profile.sip_port == port)
    }

    /// Whether a call from `source` may arrive at `profile`. An access list that does not exist lets nobody in.
    #[must_use]
    pub fn admits(&self, profile: &Profile, source: IpAddr) -> bool {
        profile.inbound_acls.is_empty() || profile.inbound_acls.iter().any(|name| self.list_allows(name, source))
    }

    /// Whether the event socket takes a peer.
    #[must_use]
    pub fn event_socket_admits(&self, socket: &EventSocket, peer: IpAddr) -> bool {
        match socket.acls.as_slice() {
            [] => self.list_allows("loopback.auto", peer),
            acls => acls.iter().any(|name| self.list_allows(name, peer)),
        }
    }

    fn list_allows(&self, name: &str, address: IpAddr) -> bool {
        match self.access_lists.get(name) {
            Some(list) => list.allows(address),
            None => AccessList::implied(name).is_some_and(|list| list.allows(address)),
        }
    }
}

fn read_event_socket(node: Node<'_, '_>) -> Result<EventSocket, ConfigError> {
    let settings = params(node);
    Ok(EventSocket {
        ip: settings
            .get("listen-ip")
            .map_or(Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)), |value| value.parse("listen-ip", "an IP address"))?,
        port: settings.get("listen-port").map_or(Ok(8021), |value| value.parse("listen-port", "a port"))?,
        // FreeSWITCH's own default, which everybody knows.
        password: Password(settings.get("password").map_or("ClueCon", |value| value.value).to_owned()),
        acls: xml::all(node, "apply-inbound-acl").map(|value| value.value.trim().to_owned()).collect(),
    })
}

#[cfg(test)]
mod tests;
