//! Why an offer cannot be read or answered, in words that name what was offered.

use std::net::SocketAddr;

use super::address::AddressFault;
use crate::esl::HangupCause;

/// Why a text is no session description that this pod reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The text is longer than any sane offer.
    #[error("the description has {length} bytes, at most {limit} are read")]
    TooLong {
        /// Its length, bytes.
        length: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// The text does not begin with `v=0`.
    #[error("not a session description: it does not begin with v=0")]
    NotSdp,
    /// A control character other than the line ends and a tab.
    #[error("a control character in line {line}")]
    ControlCharacter {
        /// The line, from 1.
        line: usize,
    },
    /// An `m=` line that does not have the four parts of RFC 8866 §5.14.
    #[error("line {line} is no m= line: expected media, port, protocol and formats")]
    MalformedMedia {
        /// The line, from 1.
        line: usize,
    },
    /// More `m=` lines than allowed.
    #[error("more than {limit} m= lines")]
    TooManyMedia {
        /// The limit.
        limit: usize,
    },
    /// More formats in one `m=` line than allowed.
    #[error("more than {limit} formats in line {line}")]
    TooManyFormats {
        /// The line, from 1.
        line: usize,
        /// The limit.
        limit: usize,
    },
}

/// Why an offer has no answer other than no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no `m=` line. FreeSWITCH makes such an offer when a codec list was cut at a comma.
    #[error("the offer has no media")]
    NoMedia,
    /// There is media, but no audio.
    #[error("the offer has no audio, only {}", .offered.join(", "))]
    NoAudio {
        /// The kinds offered, such as `video`.
        offered: Vec<String>,
    },
    /// All audio is offered with port 0.
    #[error("the offer's audio is disabled: port 0")]
    Disabled,
    /// Audio is offered over SRTP only, and this pod speaks plain RTP: the switch is to terminate SRTP on the caller's leg.
    #[error("the offer demands SRTP ({}), this pod speaks plain RTP", .suites.join(", "))]
    SrtpOnly {
        /// The crypto suites offered; empty when the keys come by other means, such as DTLS.
        suites: Vec<String>,
    },
    /// Audio is offered over something else than plain RTP: `RTP/AVP` or `RTP/AVPF`.
    #[error("the offer's transport {protocol} is not supported, expected RTP/AVP or RTP/AVPF")]
    UnsupportedProtocol {
        /// The `m=` line's protocol.
        protocol: String,
    },
    /// No address: none at all, or a host name.
    #[error("the offer has no IP address to send to")]
    NoAddress,
    /// An address that no switch can have, or this pod's own.
    #[error("the offer's media address {remote} cannot be sent to: it is {fault}")]
    UnusableAddress {
        /// Address and port as offered.
        remote: SocketAddr,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// The offer's address and this pod's are of different families, so no packet would arrive.
    #[error("the offer and this pod have addresses of different IP versions")]
    AddressFamilyMismatch,
    /// No codec in common.
    #[error("no codec in common: offered {}", .offered.join(", "))]
    NoCommonCodec {
        /// What was offered, as in `a=rtpmap`: `opus/48000/2`.
        offered: Vec<String>,
    },
}

impl SdpError {
    /// The cause to hang up with.
    pub const fn hangup_cause(&self) -> HangupCause {
        HangupCause::IncompatibleDestination
    }
}

impl AnswerError {
    /// The refusal as a metric's label: `address` where the switch's addresses are to be looked at, else `offer`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress | Self::UnusableAddress { .. } | Self::AddressFamilyMismatch => "address",
            Self::NoMedia
            | Self::NoAudio { .. }
            | Self::Disabled
            | Self::SrtpOnly { .. }
            | Self::UnsupportedProtocol { .. }
            | Self::NoCommonCodec { .. } => "offer",
        }
    }

    /// The cause to hang up with.
    pub const fn hangup_cause(&self) -> HangupCause {
        HangupCause::IncompatibleDestination
    }
}
