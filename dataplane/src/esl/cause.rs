//! FreeSWITCH's names for why a call ends. Never maps them to SIP statuses: the switch does.

use std::fmt;

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $q850:literal;)*) => {
        /// A hang-up cause that this pod gives or understands, with its Q.850 number where it has one.
        ///
        /// The switch knows more; those it reports are kept as text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum HangupCause {
            $($(#[$doc])* $variant,)*
        }

        impl HangupCause {
            /// Every cause listed here.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The Q.850 cause number; from 500 up FreeSWITCH's own extensions.
            pub const fn q850(self) -> u16 {
                match self { $(Self::$variant => $q850,)* }
            }
        }
    };
}

causes! {
    /// The number is not assigned.
    UnallocatedNumber = "UNALLOCATED_NUMBER", 1;
    /// No route to the destination.
    NoRouteDestination = "NO_ROUTE_DESTINATION", 3;
    /// The wilful end of a call: what a pod gives when it hangs up on purpose. No other pod takes the call over.
    NormalClearing = "NORMAL_CLEARING", 16;
    /// The called party is busy.
    UserBusy = "USER_BUSY", 17;
    /// Nobody there.
    NoUserResponse = "NO_USER_RESPONSE", 18;
    /// It rang and nobody answered.
    NoAnswer = "NO_ANSWER", 19;
    /// The subscriber is absent.
    SubscriberAbsent = "SUBSCRIBER_ABSENT", 20;
    /// Refused.
    CallRejected = "CALL_REJECTED", 21;
    /// The destination is out of order; also what an unknown application ends in.
    DestinationOutOfOrder = "DESTINATION_OUT_OF_ORDER", 27;
    /// The number has no valid form.
    InvalidNumberFormat = "INVALID_NUMBER_FORMAT", 28;
    /// No reason given.
    NormalUnspecified = "NORMAL_UNSPECIFIED", 31;
    /// No circuit free.
    NormalCircuitCongestion = "NORMAL_CIRCUIT_CONGESTION", 34;
    /// The network is out of order.
    NetworkOutOfOrder = "NETWORK_OUT_OF_ORDER", 38;
    /// A passing failure; what the dialplan gives leg C when the pod is lost, so that another one takes over.
    NormalTemporaryFailure = "NORMAL_TEMPORARY_FAILURE", 41;
    /// The switch is overloaded.
    SwitchCongestion = "SWITCH_CONGESTION", 42;
    /// The requested channel is not available.
    RequestedChanUnavail = "REQUESTED_CHAN_UNAVAIL", 44;
    /// The facility is not subscribed.
    FacilityNotSubscribed = "FACILITY_NOT_SUBSCRIBED", 50;
    /// Outgoing calls are barred.
    OutgoingCallBarred = "OUTGOING_CALL_BARRED", 52;
    /// Incoming calls are barred.
    IncomingCallBarred = "INCOMING_CALL_BARRED", 54;
    /// The capability is not authorised.
    BearercapabilityNotauth = "BEARERCAPABILITY_NOTAUTH", 57;
    /// The capability is not available now.
    BearercapabilityNotavail = "BEARERCAPABILITY_NOTAVAIL", 58;
    /// The service is not available.
    ServiceUnavailable = "SERVICE_UNAVAILABLE", 63;
    /// The facility is not implemented.
    FacilityNotImplemented = "FACILITY_NOT_IMPLEMENTED", 69;
    /// The service is not implemented.
    ServiceNotImplemented = "SERVICE_NOT_IMPLEMENTED", 79;
    /// The two sides have no codec in common.
    IncompatibleDestination = "INCOMPATIBLE_DESTINATION", 88;
    /// A timer of the protocol ran out.
    RecoveryOnTimerExpire = "RECOVERY_ON_TIMER_EXPIRE", 102;
    /// A mandatory element is missing.
    MandatoryIeMissing = "MANDATORY_IE_MISSING", 96;
    /// The protocol was violated.
    ProtocolError = "PROTOCOL_ERROR", 111;
    /// Interworking trouble.
    Interworking = "INTERWORKING", 127;
    /// The caller gave up before the answer.
    OriginatorCancel = "ORIGINATOR_CANCEL", 487;
    /// The switch crashed.
    Crash = "CRASH", 500;
    /// The switch shuts down.
    SystemShutdown = "SYSTEM_SHUTDOWN", 501;
    /// Another channel answered.
    LoseRace = "LOSE_RACE", 502;
    /// A manager asked for it.
    ManagerRequest = "MANAGER_REQUEST", 503;
    /// The transfer was blind.
    BlindTransfer = "BLIND_TRANSFER", 600;
    /// The transfer was attended.
    AttendedTransfer = "ATTENDED_TRANSFER", 601;
    /// The allotted time ran out.
    AllottedTimeout = "ALLOTTED_TIMEOUT", 602;
    /// The far end asked for credentials.
    UserChallenge = "USER_CHALLENGE", 603;
    /// No RTP came for the time that the dialplan allows: how a pod that hangs is noticed.
    MediaTimeout = "MEDIA_TIMEOUT", 604;
    /// The call was picked up elsewhere.
    PickedOff = "PICKED_OFF", 605;
    /// The user is not registered.
    UserNotRegistered = "USER_NOT_REGISTERED", 606;
    /// Progress did not come in time.
    ProgressTimeout = "PROGRESS_TIMEOUT", 607;
    /// The gateway is down.
    GatewayDown = "GATEWAY_DOWN", 609;
}

impl HangupCause {
    /// The cause of this name, `None` when it is not listed here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.as_str() == name)
    }
}

impl fmt::Display for HangupCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_found_by_its_name() {
        for &cause in HangupCause::ALL {
            assert_eq!(HangupCause::from_name(cause.as_str()), Some(cause));
        }
        assert_eq!(HangupCause::from_name("normal_clearing"), None);
    }
}
