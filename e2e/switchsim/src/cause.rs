//! Hang-up causes by FreeSWITCH's names, with their Q.850 number and the SIP status that a caller sees when the call was
//! never answered. Never decides when a call ends.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Name, number (Q.850 below 128, FreeSWITCH's own above) and SIP status of every cause that the dialplan, a pod or this
/// switch itself can bring about.
const KNOWN: &[(&str, u16, u16)] = &[
    ("UNALLOCATED_NUMBER", 1, 404),
    ("NO_ROUTE_DESTINATION", 3, 404),
    ("NORMAL_CLEARING", 16, 480),
    ("USER_BUSY", 17, 486),
    ("NO_USER_RESPONSE", 18, 408),
    ("NO_ANSWER", 19, 480),
    ("SUBSCRIBER_ABSENT", 20, 480),
    ("CALL_REJECTED", 21, 603),
    ("DESTINATION_OUT_OF_ORDER", 27, 502),
    ("INVALID_NUMBER_FORMAT", 28, 484),
    ("FACILITY_REJECTED", 29, 501),
    ("NORMAL_UNSPECIFIED", 31, 480),
    ("NORMAL_CIRCUIT_CONGESTION", 34, 503),
    ("NETWORK_OUT_OF_ORDER", 38, 503),
    ("NORMAL_TEMPORARY_FAILURE", 41, 503),
    ("SWITCH_CONGESTION", 42, 503),
    ("OUTGOING_CALL_BARRED", 52, 403),
    ("BEARERCAPABILITY_NOTAVAIL", 58, 488),
    ("INCOMPATIBLE_DESTINATION", 88, 488),
    ("MANDATORY_IE_MISSING", 96, 480),
    ("RECOVERY_ON_TIMER_EXPIRE", 102, 504),
    ("INTERWORKING", 127, 500),
    ("ORIGINATOR_CANCEL", 487, 487),
    ("SYSTEM_SHUTDOWN", 501, 480),
    ("MANAGER_REQUEST", 503, 480),
    ("ALLOTTED_TIMEOUT", 602, 480),
    ("MEDIA_TIMEOUT", 604, 480),
    ("INVALID_GATEWAY", 608, 480),
    ("INVALID_PROFILE", 611, 480),
    ("EXCHANGE_ROUTING_ERROR", 25, 483),
];

/// Why a channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cause(&'static str);

impl Cause {
    /// One side hung up in an orderly way.
    pub const NORMAL_CLEARING: Self = Self("NORMAL_CLEARING");
    /// Nothing in the dialplan matches.
    pub const NO_ROUTE_DESTINATION: Self = Self("NO_ROUTE_DESTINATION");
    /// `leg_timeout` passed without an answer.
    pub const NO_ANSWER: Self = Self("NO_ANSWER");
    /// A pod asked for an application that does not exist.
    pub const DESTINATION_OUT_OF_ORDER: Self = Self("DESTINATION_OUT_OF_ORDER");
    /// No codec, or the wrong transport, in the answer.
    pub const INCOMPATIBLE_DESTINATION: Self = Self("INCOMPATIBLE_DESTINATION");
    /// A caller without an offer, where that is not taken.
    pub const MANDATORY_IE_MISSING: Self = Self("MANDATORY_IE_MISSING");
    /// A caller who requires what the switch does not do.
    pub const INTERWORKING: Self = Self("INTERWORKING");
    /// No pod took the call, or the pod was lost.
    pub const NORMAL_TEMPORARY_FAILURE: Self = Self("NORMAL_TEMPORARY_FAILURE");
    /// The switch has no session left.
    pub const SWITCH_CONGESTION: Self = Self("SWITCH_CONGESTION");
    /// The access list of a profile.
    pub const CALL_REJECTED: Self = Self("CALL_REJECTED");
    /// The caller gave up before the answer.
    pub const ORIGINATOR_CANCEL: Self = Self("ORIGINATOR_CANCEL");
    /// `uuid_kill` without a cause.
    pub const MANAGER_REQUEST: Self = Self("MANAGER_REQUEST");
    /// The switch ends.
    pub const SYSTEM_SHUTDOWN: Self = Self("SYSTEM_SHUTDOWN");
    /// A bridge to a gateway that does not exist.
    pub const INVALID_GATEWAY: Self = Self("INVALID_GATEWAY");
    /// A bridge through a profile that does not exist.
    pub const INVALID_PROFILE: Self = Self("INVALID_PROFILE");
    /// `sched_hangup`.
    pub const ALLOTTED_TIMEOUT: Self = Self("ALLOTTED_TIMEOUT");
    /// No RTP for `media_timeout`.
    pub const MEDIA_TIMEOUT: Self = Self("MEDIA_TIMEOUT");
    /// The dialplan runs in circles.
    pub const EXCHANGE_ROUTING_ERROR: Self = Self("EXCHANGE_ROUTING_ERROR");

    /// The cause of that name, in any case; FreeSWITCH takes an unknown one for `NORMAL_CLEARING`, and so does this.
    #[must_use]
    pub fn named(name: &str) -> Self {
        KNOWN
            .iter()
            .find(|known| known.0.eq_ignore_ascii_case(name.trim()))
            .map_or(Self::NORMAL_CLEARING, |known| Self(known.0))
    }

    /// FreeSWITCH's name of the cause.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    fn row(self) -> &'static (&'static str, u16, u16) {
        KNOWN.iter().find(|known| known.0 == self.0).expect("every Cause is made from a row of the table")
    }

    /// The number of `variable_hangup_cause_q850`.
    #[must_use]
    pub fn number(self) -> u16 {
        self.row().1
    }

    /// The final SIP response to a caller whose call ends with this cause before it was answered.
    #[must_use]
    pub fn sip_status(self) -> u16 {
        self.row().2
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = KNOWN.iter().find(|known| known.0 == name);
        known.map(|known| Self(known.0)).ok_or_else(|| D::Error::custom(format!("{name:?} is no known cause")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_has_a_row() {
        for cause in [
            Cause::NORMAL_CLEARING,
            Cause::NO_ROUTE_DESTINATION,
            Cause::NO_ANSWER,
            Cause::DESTINATION_OUT_OF_ORDER,
            Cause::INCOMPATIBLE_DESTINATION,
            Cause::NORMAL_TEMPORARY_FAILURE,
            Cause::SWITCH_CONGESTION,
            Cause::CALL_REJECTED,
            Cause::ORIGINATOR_CANCEL,
            Cause::MANAGER_REQUEST,
            Cause::SYSTEM_SHUTDOWN,
            Cause::INVALID_GATEWAY,
            Cause::INVALID_PROFILE,
            Cause::ALLOTTED_TIMEOUT,
            Cause::MEDIA_TIMEOUT,
            Cause::EXCHANGE_ROUTING_ERROR,
        ] {
            assert_eq!(Cause::named(cause.name()), cause);
            assert!((400..700).contains(&cause.sip_status()));
        }
    }

    #[test]
    fn an_unknown_name_is_an_orderly_end_as_in_freeswitch() {
        assert_eq!(Cause::named("NO_SUCH_CAUSE"), Cause::NORMAL_CLEARING);
    }
}
