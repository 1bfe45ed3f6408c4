//! Carriers: how FreeSWITCH registers with them and calls them. Never routes a call; the dialplan names a gateway.

use sofia_crds::spec::{Gateway, GatewayTransport, Registration};

use super::error::RenderError;
use super::xml::Element;
use super::{SwitchConfig, check};

/// FreeSWITCH refuses a shorter interval and then asks never.
const LEAST_PING_SECONDS: u32 = 5;

pub(super) fn gateways(config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let all = config.free_switch.gateways.iter().enumerate();
    let all = all.map(|(at, spec)| gateway(&format!("spec.freeSwitch.gateways[{at}]"), spec, config));
    Ok(Element::new("gateways").children(all.collect::<Result<Vec<_>, _>>()?))
}

/// The gateway that transferred calls take.
pub(super) fn of_transfers<'a>(config: &SwitchConfig<'a>) -> Result<Option<&'a str>, RenderError> {
    let all = &config.free_switch.gateways;
    let chosen = match &config.transfers.gateway {
        Some(name) => all.iter().find(|gateway| gateway.name == *name),
        None => all.first(),
    };
    let Some(gateway) = chosen else { return Ok(None) };
    check::gateway_name("spec.transfers.gateway", &gateway.name)?;
    Ok(Some(&gateway.name))
}

fn gateway(path: &str, spec: &Gateway, config: &SwitchConfig<'_>) -> Result<Element, RenderError> {
    let field = |name: &str| format!("{path}.{name}");
    check::gateway_name(&field("name"), &spec.name)?;
    let host = check::host_and_port(&field("proxy"), &spec.proxy)?;
    let realm = spec.realm.as_deref().unwrap_or(host);
    check::realm(&field("realm"), realm)?;
    if let Some(domain) = &spec.from_domain {
        check::host(&field("fromDomain"), domain)?;
    }
    let registers = spec.registration == Registration::Enabled;
    let (transport, parameter) = match spec.transport {
        GatewayTransport::Udp => ("udp", ""),
        GatewayTransport::Tcp => ("tcp", ";transport=tcp"),
        GatewayTransport::Tls => ("tls", ";transport=tls"),
    };
    let mut element = Element::named("gateway", spec.name.as_str())
        .param("proxy", spec.proxy.as_str())
        // Where OPTIONS go: else they would go to the domain of the From header.
        .param("register-proxy", format!("sip:{}{parameter}", spec.proxy))
        .param("register-transport", transport)
        .param("realm", realm)
        .param("from-domain", spec.from_domain.as_deref().unwrap_or(host));
    element = match &spec.username {
        Some(name) => {
            check::user_name(&field("username"), name)?;
            element.param("username", uri_user(name)).param("auth-username", name.as_str())
        }
        // Without one FreeSWITCH would call itself "FreeSWITCH" in the From header.
        None => element.param("caller-id-in-from", true),
    };
    if spec.password_secret_ref.is_some() || registers {
        let secret = config.gateway_passwords.get(&spec.name);
        let place = field("passwordSecretRef");
        let secret = secret.ok_or_else(|| RenderError::new(&place, "a Secret with a password"))?;
        check::password(&place, secret.expose())?;
        element = element.param("password", secret.expose());
    }
    element = element.param("register", registers);
    if registers {
        if spec.username.is_none() {
            return Err(RenderError::new(field("username"), "a user name, without which there is no registration"));
        }
        // A registered carrier calls the contact that it was told; whom the caller dialled, the To header says.
        element = element.param("expire-seconds", spec.registration_seconds).param("extension", "auto_to_user");
    }
    if spec.ping_seconds > 0 {
        element = element.param("ping", spec.ping_seconds.max(LEAST_PING_SECONDS));
    }
    Ok(element)
}

/// A name as the user part of a SIP URI (RFC 3261 §25.1, `escaped`): an account such as `me@example.com` has a domain of its
/// own behind it.
fn uri_user(name: &str) -> String {
    let mut user = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*+".contains(&byte) {
            user.push(char::from(byte));
        } else {
            user.push_str(&format!("%{byte:02X}"));
        }
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_becomes_the_user_of_a_uri() {
        for (name, user) in
            [("alice", "alice"), ("me@example.com", "me%40example.com"), ("a%b;c", "a%25b%3Bc"), ("ü", "%C3%BC")]
        {
            assert_eq!(uri_user(name), user);
        }
    }
}
