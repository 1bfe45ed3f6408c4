//! Telephone events in RTP (RFC 4733): the digits of a telephone's keys, received and sent.
//! Never listens for tones in the audio: [`crate::audio::keytones`] does.

mod receiver;
mod sender;
#[cfg(test)]
mod tests;

use super::packet::RtpPacket;

pub use receiver::{DtmfDigit, DtmfReceiver};
pub use sender::{DtmfError, DtmfPacket, DtmfSender, DtmfTick};

/// Octets of one event report.
pub const REPORT_LEN: usize = 4;

/// Event codes 0–15 in order (RFC 4733 §3.2).
const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// One event report: the payload of a telephone-event packet (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventReport {
    /// Event code; 0–15 are the DTMF digits.
    pub event: u8,
    /// Whether the event has ended: `duration` is final.
    pub end: bool,
    /// Power of the tone in −dBm0, 0–63.
    pub volume: u8,
    /// How long the event lasts so far, in units of the RTP clock from the packet's timestamp.
    pub duration: u16,
}

impl EventReport {
    /// From the wire.
    pub fn from_bytes(bytes: [u8; REPORT_LEN]) -> Self {
        EventReport {
            event: bytes[0],
            end: bytes[1] & 0x80 != 0,
            volume: bytes[1] & 0x3f,
            duration: u16::from_be_bytes([bytes[2], bytes[3]]),
        }
    }

    /// The first report of a telephone-event packet.
    pub fn of_packet(packet: &RtpPacket<'_>) -> Option<Self> {
        packet.payload().first_chunk::<REPORT_LEN>().map(|bytes| Self::from_bytes(*bytes))
    }

    /// For the wire; the reserved bit is zero.
    pub fn to_bytes(self) -> [u8; REPORT_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | self.volume & 0x3f, high, low]
    }

    /// The digit `0`–`9`, `*`, `#`, `A`–`D`; `None` for any other event, such as a hook flash.
    pub fn digit(self) -> Option<char> {
        DIGITS.get(usize::from(self.event)).copied()
    }
}

/// The event code of a digit; lower case `a`–`d` is accepted.
fn event_code(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    DIGITS.iter().position(|&known| known == digit).map(|code| code as u8)
}
