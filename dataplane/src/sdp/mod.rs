//! Session descriptions (RFC 8866) as FreeSWITCH offers them, and this pod's answers (RFC 3264). Text in, text out:
//! it opens no ports, and knows of SRTP, ICE and video only enough to refuse them properly.

pub mod address;
pub mod answer;
pub mod error;
pub mod media;
pub mod offer;
mod packetisation;

pub use address::{AddressFault, Surroundings};
pub use answer::{Answer, AnswerParams, DtmfFormat, NegotiatedMedia, WIDEBAND_FIRST};
pub use error::{AnswerError, SdpError};
pub use media::{Direction, Format, MediaDescription};
pub use offer::Offer;
