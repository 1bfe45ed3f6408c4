//! The little languages inside actions: dial strings, socket targets, transfers, tones.

use std::net::IpAddr;
use std::time::Duration;

use crate::media::Clip;

/// `[name=value,…]sofia/<profile>/<user>@<ip>:<port>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialString {
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) profile: String,
    pub(crate) user: String,
    /// `None`: a gateway or a name, outside of this switch.
    pub(crate) address: Option<(IpAddr, u16)>,
}

/// Reads one endpoint; several (`,` or `|`) are not supported.
pub(crate) fn dial_string(data: &str) -> Result<DialString, String> {
    let mut variables = Vec::new();
    let mut rest = data.trim();
    for (open, close) in [('{', '}'), ('<', '>'), ('[', ']')] {
        if let Some(inside) = rest.strip_prefix(open) {
            let end = inside.find(close).ok_or_else(|| format!("{data:?}: {close} is missing"))?;
            variables.extend(pairs(&inside[..end]));
            rest = inside[end + 1..].trim();
        }
    }
    if rest.contains([',', '|']) {
        return Err(format!("{data:?}: more than one endpoint is not supported"));
    }
    let path =
        rest.strip_prefix("sofia/").ok_or_else(|| format!("{data:?}: expected sofia/<profile>/<user>@<host>"))?;
    let (profile, target) = path.split_once('/').ok_or_else(|| format!("{data:?}: expected sofia/<profile>/<user>"))?;
    let target = target.split(';').next().unwrap_or_default().trim_start_matches("sip:");
    let (user, host) = target.rsplit_once('@').unwrap_or((target, ""));
    Ok(DialString { variables, profile: profile.to_owned(), user: user.to_owned(), address: host_and_port(host) })
}

fn host_and_port(host: &str) -> Option<(IpAddr, u16)> {
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return Some((address.ip(), address.port()));
    }
    host.trim_matches(['[', ']']).parse().ok().map(|ip| (ip, 5060))
}

/// `a=1,b=2`, with `\,` for a comma and `^^:` in front for another separator.
fn pairs(text: &str) -> Vec<(String, String)> {
    let (separator, text) = match text.strip_prefix("^^").and_then(|rest| Some((rest.chars().next()?, rest))) {
        Some((separator, rest)) => (separator, &rest[separator.len_utf8()..]),
        None => (',', text),
    };
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let current = parts.last_mut().expect("starts with one part and never shrinks");
        match character {
            '\\' => current.extend(characters.next()),
            '\'' => quoted = !quoted,
            _ if character == separator && !quoted => parts.push(String::new()),
            _ => current.push(character),
        }
    }
    parts
        .iter()
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
        .collect()
}

/// One pod of `socket`'s list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SocketTarget {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The pods of `h1:p1|h2:p2 async full`, in order; at most 50, as FreeSWITCH takes.
pub(crate) fn socket_targets(data: &str) -> Vec<SocketTarget> {
    let hosts = data.split_whitespace().next().unwrap_or_default();
    let target = |host: &str| {
        let (host, port) = host.rsplit_once(':').unwrap_or((host, "8084"));
        Some(SocketTarget { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
    };
    hosts.split('|').filter(|host| !host.is_empty()).take(50).filter_map(target).collect()
}

/// `<destination> [XML [<context>]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransferTo {
    pub(crate) destination: String,
    /// `None`: the context that the channel is in.
    pub(crate) context: Option<String>,
}

pub(crate) fn transfer_to(data: &str) -> TransferTo {
    let mut words = data.split_whitespace();
    let destination = words.next().unwrap_or_default().to_owned();
    let _dialplan = words.next();
    TransferTo { destination, context: words.next().map(str::to_owned) }
}

/// A tone of `tone_stream://%(on,off,hz,hz…)`, or a WAV file; `None` if it is neither.
pub(crate) fn tone(data: &str) -> Option<Clip> {
    let Some(script) = data.trim().strip_prefix("tone_stream://") else {
        return Clip::from_wav(data.trim()).ok();
    };
    let inside = script.split_once("%(")?.1.split_once(')')?.0;
    let numbers: Vec<f32> = inside.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
    let [on_ms, off_ms, hz @ ..] = numbers.as_slice() else { return None };
    let on = Clip::tones(hz, Duration::try_from_secs_f32(on_ms / 1e3).ok()?);
    let off = Clip::silence(Duration::try_from_secs_f32(off_ms / 1e3).ok()?);
    Some(Clip::from_samples([on.samples(), off.samples()].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_string_has_variables_and_an_address() {
        let dial = dial_string(
            "[media_timeout=1500,sip_h_X-Call-UUID=u,absolute_codec_string=^^:G722:PCMU]sofia/agent/100@127.0.0.1:5080",
        );
        let dial = dial.unwrap();
        assert_eq!(dial.variables[0], ("media_timeout".to_owned(), "1500".to_owned()));
        assert_eq!(dial.variables[2].1, "^^:G722:PCMU");
        assert_eq!((dial.profile.as_str(), dial.user.as_str()), ("agent", "100"));
        assert_eq!(dial.address, Some(("127.0.0.1".parse().unwrap(), 5080)));
    }

    #[test]
    fn a_gateway_is_outside() {
        assert_eq!(dial_string("sofia/gateway/carrier/+1555").unwrap().address, None);
        assert!(dial_string("user/1000").is_err());
        assert!(dial_string("sofia/a/1@127.0.0.1|sofia/a/2@127.0.0.1").is_err());
    }

    #[test]
    fn commas_can_be_escaped_or_replaced() {
        assert_eq!(pairs(r"a=1\,2,b='3,4'"), [("a".into(), "1,2".into()), ("b".into(), "3,4".into())]);
        assert_eq!(pairs("^^:a=1,2:b=3"), [("a".into(), "1,2".into()), ("b".into(), "3".into())]);
    }

    #[test]
    fn socket_targets_are_a_list() {
        let target = |host: &str, port| SocketTarget { host: host.to_owned(), port };
        assert_eq!(socket_targets("a:1|b async full"), [target("a", 1), target("b", 8084)]);
        assert_eq!(socket_targets("[::1]:9 async full"), [target("::1", 9)]);
        assert_eq!(socket_targets("a:x|:"), []);
    }

    #[test]
    fn a_transfer_may_name_a_context() {
        let to = |destination: &str, context: Option<&str>| TransferTo {
            destination: destination.to_owned(),
            context: context.map(str::to_owned),
        };
        assert_eq!(transfer_to("9999 XML edge"), to("9999", Some("edge")));
        assert_eq!(transfer_to("9999"), to("9999", None));
    }

    #[test]
    fn a_tone_has_on_and_off() {
        let clip = tone("tone_stream://%(100,200,440,480);loops=-1").unwrap();
        assert_eq!(clip.duration(), Duration::from_millis(300));
        assert!(tone("tone_stream://nonsense").is_none());
        assert!(tone("/no/such/file.wav").is_none());
    }
}
