//! What FreeSWITCH says of itself, read from the answers of its commands. Whatever it says, reading it neither fails nor takes long: what isn't
//! understood isn't known.

use std::collections::BTreeMap;

pub use sofia_crds::status::GatewayState;

/// What one FreeSWITCH says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Channels, of which a call has three.
    pub channels: Option<u32>,
    /// Sessions that begin in a second.
    pub rate: Option<SessionRate>,
    /// Its gateways, by name.
    pub gateways: BTreeMap<String, GatewayState>,
}

/// Sessions that begin in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionRate {
    /// In the last one.
    pub now: u32,
    /// Most in any of the last five minutes; `now` where the release doesn't tell.
    pub peak: u32,
    /// At which it throttles.
    pub limit: u32,
}

/// The command that counts channels, read by [`channels`].
pub const CHANNELS: &str = "show channels count";
/// The command that tells of the whole, read by [`rate`].
pub const STATUS: &str = "status";

/// The command that tells of one gateway, read by [`gateway`].
pub fn gateway_command(name: &str) -> String {
    format!("sofia xmlstatus gateway {name}")
}

/// Reads `3 total.`
pub fn channels(answer: &str) -> Option<u32> {
    let (count, _) = answer.trim().rsplit('\n').next()?.split_once(" total")?;
    count.trim().parse().ok()
}

/// Reads `0 session(s) per Sec out of max 30, peak 4, last 5min 2`.
pub fn rate(answer: &str) -> Option<SessionRate> {
    let line = answer.lines().find(|line| line.contains("per Sec"))?;
    let after = |mark: &str| {
        let (_, rest) = line.split_once(mark)?;
        rest.trim_start().split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    let now = line.split_whitespace().next()?.parse().ok()?;
    Some(SessionRate { now, peak: after("last 5min").unwrap_or(now), limit: after("out of max")? })
}

/// Reads the elements `state` and `status`. What stands before them may come from the spec.
pub fn gateway(answer: &str) -> GatewayState {
    let last = |name: &str| {
        let (_, rest) = answer.rsplit_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(text, _)| text.trim())
    };
    let up = last("status") == Some("UP");
    match last("state") {
        Some("REGED") if up => GatewayState::Registered,
        Some("NOREG") if up => GatewayState::Reachable,
        Some("REGED" | "NOREG" | "DOWN") => GatewayState::Unreachable,
        Some("UNREGED" | "TRYING" | "REGISTER" | "UNREGISTER") => GatewayState::Registering,
        Some("FAILED" | "FAIL_WAIT" | "EXPIRED" | "TIMEOUT" | "NOAVAIL") => GatewayState::Failed,
        _ => GatewayState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_read_whatever_stands_around_their_number() {
        assert_eq!(channels("\n3 total.\n"), Some(3));
        assert_eq!(channels("uuid,direction\na,inbound\n\n12 total.\n"), Some(12));
        for other in ["", "-ERR no reply\n", "many total.", " total", "4294967296 total."] {
            assert_eq!(channels(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_rate_of_sessions_is_read_with_its_limit() {
        let status = "UP 0 years, 0 days, 1 hour\nFreeSWITCH (Version 1.10.12) is ready\n7 session(s) since startup\n\
            3 session(s) - peak 6, last 5min 6 \n1 session(s) per Sec out of max 1000, peak 4, last 5min 2 \n300 session(s) max\n";
        assert_eq!(rate(status), Some(SessionRate { now: 1, peak: 2, limit: 1000 }));
        let short = "0 session(s) per Sec out of max 30";
        assert_eq!(rate(short), Some(SessionRate { now: 0, peak: 0, limit: 30 }));
        for other in
            ["", "-ERR\n", "per Sec", "x session(s) per Sec out of max 30", "1 session(s) per Sec out of max x"]
        {
            assert_eq!(rate(other), None, "{other:?}");
        }
    }

    fn answer(state: &str, status: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<gateway>\n  <name>carrier</name>\n  <username><state>REGED</state></username>\n  \
             <state>{state}</state>\n  <status>{status}</status>\n  <calls-in>0</calls-in>\n</gateway>\n"
        )
    }

    #[test]
    fn a_gateway_is_in_the_state_that_freeswitch_gives_it() {
        for (state, status, expected) in [
            ("REGED", "UP", GatewayState::Registered),
            ("REGED", "DOWN", GatewayState::Unreachable),
            ("NOREG", "UP", GatewayState::Reachable),
            ("NOREG", "DOWN", GatewayState::Unreachable),
            ("TRYING", "DOWN", GatewayState::Registering),
            ("FAIL_WAIT", "DOWN", GatewayState::Failed),
            ("TIMEOUT", "DOWN", GatewayState::Failed),
            ("SOMETHING", "UP", GatewayState::Unknown),
        ] {
            assert_eq!(gateway(&answer(state, status)), expected, "{state} {status}");
        }
        for other in ["", "Invalid Gateway!\n", "<state>", "<state>REGED"] {
            assert_eq!(gateway(other), GatewayState::Unknown, "{other:?}");
        }
    }
}
