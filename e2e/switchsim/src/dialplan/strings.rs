//! The little languages inside actions: dial strings, socket targets, transfers, tones.

use std::net::IpAddr;
use std::time::Duration;

use crate::media::Clip;

/// `[name=value,…]sofia/<profile>/<user>@<ip>:<port>`, or `sofia/gateway/<gateway>/<user>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialString {
    pub(crate) variables: Vec<(String, String)>,
    /// Empty with a gateway.
    pub(crate) profile: String,
    /// Outside of this switch.
    pub(crate) gateway: Option<String>,
    pub(crate) user: String,
    /// `None`: a gateway or a name, outside of this switch.
    pub(crate) address: Option<(IpAddr, u16)>,
}

/// Reads one endpoint. Of several (`,` or `|`) the first stands for all if it is a gateway, where nobody but the first is played
/// anyway; else they are not supported.
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
    let (first, others) = rest.split_once([',', '|']).map_or((rest, false), |(first, _)| (first.trim(), true));
    let path =
        first.strip_prefix("sofia/").ok_or_else(|| format!("{data:?}: expected sofia/<profile>/<user>@<host>"))?;
    if let Some(outside) = path.strip_prefix("gateway/") {
        let (gateway, user) =
            outside.split_once('/').ok_or_else(|| format!("{data:?}: expected sofia/gateway/<gateway>/<user>"))?;
        let (gateway, user) = (Some(gateway.to_owned()), user.to_owned());
        return Ok(DialString { variables, profile: String::new(), gateway, user, address: None });
    }
    if others {
        return Err(format!("{data:?}: more than one endpoint is not supported by switchsim"));
    }
    let (profile, target) = path.split_once('/').ok_or_else(|| format!("{data:?}: expected sofia/<profile>/<user>"))?;
    let target = target.split(';').next().unwrap_or_default().trim_start_matches("sip:");
    let (user, host) = target.rsplit_once('@').unwrap_or((target, ""));
    let address = host_and_port(host);
    Ok(DialString { variables, profile: profile.to_owned(), gateway: None, user: user.to_owned(), address })
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

/// What `playback` plays.
#[derive(Debug, Clone)]
pub(crate) struct Playback {
    pub(crate) clip: Clip,
    /// How long; `None`: for ever.
    pub(crate) lasts: Option<Duration>,
}

/// `tone_stream://%(on,off,hz,hz…)%(…);loops=3`, `silence_stream://MS`, or a WAV file; `None` if it is none of them.
pub(crate) fn playback(data: &str) -> Option<Playback> {
    let data = data.trim();
    if let Some(ms) = data.strip_prefix("silence_stream://") {
        let ms: i64 = ms.split(',').next()?.trim().parse().ok()?;
        let lasts = u64::try_from(ms).ok().map(Duration::from_millis);
        return Some(Playback { clip: Clip::silence(Duration::from_millis(20)), lasts });
    }
    let Some(script) = data.strip_prefix("tone_stream://") else {
        let clip = Clip::from_wav(data).ok()?;
        return Some(Playback { lasts: Some(clip.duration()), clip });
    };
    let mut samples = Vec::new();
    let mut rest = script;
    while let Some((_, tail)) = rest.split_once("%(") {
        let (inside, tail) = tail.split_once(')')?;
        let numbers: Vec<f32> = inside.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
        let [on_ms, off_ms, hz @ ..] = numbers.as_slice() else { return None };
        samples.extend_from_slice(Clip::tones(hz, Duration::try_from_secs_f32(on_ms / 1e3).ok()?).samples());
        samples.extend_from_slice(Clip::silence(Duration::try_from_secs_f32(off_ms / 1e3).ok()?).samples());
        rest = tail;
    }
    if samples.is_empty() {
        return None;
    }
    let clip = Clip::from_samples(samples);
    let lasts = match script.split(';').find_map(|part| part.trim().strip_prefix("loops=")) {
        None => Some(clip.duration()),
        Some(loops) => {
            let loops: i32 = loops.trim().parse().ok()?;
            u32::try_from(loops).ok().map(|loops| clip.duration().saturating_mul(loops.max(1)))
        }
    };
    Some(Playback { clip, lasts })
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
        let dial = dial_string("sofia/gateway/carrier/+1555").unwrap();
        assert_eq!((dial.gateway.as_deref(), dial.user.as_str(), dial.address), (Some("carrier"), "+1555", None));
        let dial = dial_string("sofia/gateway/first/+1555|sofia/gateway/second/+1555").unwrap();
        assert_eq!((dial.gateway.as_deref(), dial.user.as_str()), (Some("first"), "+1555"));
        assert!(dial_string("sofia/gateway/carrier").is_err());
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
        let ms = Duration::from_millis;
        let lasts = |data: &str| playback(data).map(|playback| (playback.clip.duration(), playback.lasts));
        assert_eq!(lasts("tone_stream://%(100,200,440,480);loops=-1"), Some((ms(300), None)));
        assert_eq!(lasts("tone_stream://v=-7;%(100,200,440)%(50,50,880);loops=3"), Some((ms(400), Some(ms(1_200)))));
        assert_eq!(lasts("tone_stream://%(100,200,440)"), Some((ms(300), Some(ms(300)))));
        assert_eq!(lasts("silence_stream://1500").map(|playback| playback.1), Some(Some(ms(1_500))));
        for nothing in ["tone_stream://nonsense", "tone_stream://%(1)", "/no/such/file.wav"] {
            assert!(playback(nothing).is_none(), "{nothing}");
        }
    }
}
