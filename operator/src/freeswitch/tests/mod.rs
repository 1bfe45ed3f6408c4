//! The rendered configuration: as text, against the reference, in a switch, and under attack.

mod calls;
mod injection;
mod structure;

use std::collections::BTreeMap;

use sofia_crds::spec::{
    Codec, FreeSwitch, Gateway, GatewayTransport, NetworkType, Registration, RtpPortRange, SecretKeyRef, Srtp,
    TransferDestination, TransferMode, Transfers,
};

use super::{RenderError, SwitchConfig, render, render_fs_cli};
use crate::secret_text::SecretText;

/// Everything that a [`SwitchConfig`] borrows.
#[derive(Clone)]
struct Given {
    free_switch: FreeSwitch,
    sessions_per_second: u32,
    numbers: Vec<String>,
    transfers: Transfers,
    echo_number: String,
    codecs: Vec<Codec>,
    esl_host: String,
    takeover_host: String,
    esl_token: String,
    event_socket_password: String,
    gateway_passwords: BTreeMap<String, SecretText>,
}

impl Given {
    /// An empty spec, and what the operator adds.
    fn minimal() -> Self {
        Self {
            free_switch: FreeSwitch::default(),
            sessions_per_second: 2000,
            numbers: Vec::new(),
            transfers: Transfers::default(),
            echo_number: "9999".to_owned(),
            codecs: vec![Codec::L16, Codec::G722, Codec::Pcmu, Codec::Pcma],
            esl_host: "main-esl.default.svc".to_owned(),
            takeover_host: "main-takeover.default.svc".to_owned(),
            esl_token: "not-a-real-token".to_owned(),
            event_socket_password: "not-a-real-password".to_owned(),
            gateway_passwords: BTreeMap::new(),
        }
    }

    /// Every field set.
    fn full() -> Self {
        let mut free_switch = FreeSwitch {
            sip_port: 5070,
            rtp_port_range: RtpPortRange { start: 20000, end: 20399 },
            allowed_peers: vec!["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()],
            gateways: vec![
                Gateway {
                    realm: Some("carrier realm".replace(' ', "-")),
                    from_domain: Some("example.org".to_owned()),
                    username: Some("line-1@example.org".to_owned()),
                    password_secret_ref: Some(password_ref("carrier-a")),
                    registration: Registration::Enabled,
                    transport: GatewayTransport::Tls,
                    registration_seconds: 600,
                    ping_seconds: 3,
                    ..gateway("carrier-a", "sip.example.com:5061")
                },
                Gateway { transport: GatewayTransport::Tcp, ping_seconds: 0, ..gateway("carrier-b", "[2001:db8::5]") },
            ],
            srtp: Srtp::Required,
            ..FreeSwitch::default()
        };
        free_switch.network.r#type = NetworkType::HostNetwork;
        free_switch.network.external_address = Some("203.0.113.7".to_owned());
        let password = SecretText::new("fake & <\"$${password}\">");
        Self {
            free_switch,
            numbers: vec![r"\+4930\d+".to_owned(), "(1|2)00".to_owned()],
            transfers: transfers_to(&[(None, r"\+1555\d{4}"), (Some("reception"), "100")]),
            echo_number: "*99".to_owned(),
            codecs: vec![Codec::G722, Codec::Pcmu],
            gateway_passwords: BTreeMap::from([("carrier-a".to_owned(), password)]),
            ..Self::minimal()
        }
    }

    /// With so many sessions a second.
    fn at(self, sessions_per_second: u32) -> Self {
        Self { sessions_per_second, ..self }
    }

    fn with<T>(&self, render: impl FnOnce(&SwitchConfig<'_>) -> T) -> T {
        render(&SwitchConfig {
            free_switch: &self.free_switch,
            sessions_per_second: self.sessions_per_second,
            numbers: &self.numbers,
            transfers: &self.transfers,
            echo_number: &self.echo_number,
            codecs: &self.codecs,
            esl_host: &self.esl_host,
            takeover_host: &self.takeover_host,
            esl_port: 8084,
            esl_token: &SecretText::new(&self.esl_token),
            event_socket_password: &SecretText::new(&self.event_socket_password),
            gateway_passwords: &self.gateway_passwords,
        })
    }

    fn render(&self) -> Result<String, RenderError> {
        self.with(render)
    }
}

fn password_ref(name: &str) -> SecretKeyRef {
    SecretKeyRef { name: name.to_owned(), key: "password".to_owned() }
}

fn gateway(name: &str, proxy: &str) -> Gateway {
    Gateway {
        name: name.to_owned(),
        proxy: proxy.to_owned(),
        transport: GatewayTransport::Udp,
        username: None,
        password_secret_ref: None,
        realm: None,
        from_domain: None,
        registration: Registration::Disabled,
        registration_seconds: 3600,
        ping_seconds: 30,
    }
}

#[test]
fn a_minimal_trunk_has_this_configuration() {
    insta::assert_snapshot!(Given::minimal().render().unwrap());
}

#[test]
fn a_full_trunk_has_this_configuration() {
    insta::assert_snapshot!(Given::full().render().unwrap());
}

#[test]
fn fs_cli_finds_the_event_socket_and_its_password() {
    insta::assert_snapshot!(Given::minimal().with(render_fs_cli).unwrap());
}

#[test]
fn no_error_repeats_a_secret() {
    let mut given = Given::full();
    given.event_socket_password = "hunter 2".to_owned();
    let errors = [given.with(render).unwrap_err(), given.with(render_fs_cli).unwrap_err()];
    for error in errors {
        assert!(!error.to_string().contains("hunter") && error.to_string().contains("password"), "{error}");
    }
}

/// Transfers to these names and numbers.
fn transfers_to(destinations: &[(Option<&str>, &str)]) -> Transfers {
    let destination = |&(name, number): &(Option<&str>, &str)| TransferDestination {
        name: name.map(str::to_owned),
        number: number.to_owned(),
    };
    Transfers {
        mode: TransferMode::Enabled,
        destinations: destinations.iter().map(destination).collect(),
        ..Transfers::default()
    }
}
