//! RTP packets and telephone-events as leg B writes and reads them (RFC 3550 §5.1, RFC 4733 §2.3). Written apart from the
//! data plane's on purpose.

/// Fixed header, in bytes.
pub(crate) const HEADER_BYTES: usize = 12;

/// A received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: &'a [u8],
}

/// Reads a packet; `None` if it is not RTP version 2 or its lengths do not fit.
pub(crate) fn parse(data: &[u8]) -> Option<Packet<'_>> {
    let first = *data.first()?;
    if first >> 6 != 2 || data.len() < HEADER_BYTES {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    let mut start = HEADER_BYTES + usize::from(first & 15) * 4;
    if first & 0x10 != 0 {
        let words = data.get(start + 2..start + 4)?;
        start += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
    }
    let mut end = data.len();
    if first & 0x20 != 0 {
        let padding = usize::from(*data.last()?);
        end = end.checked_sub(padding).filter(|_| padding > 0)?;
    }
    Some(Packet {
        payload_type: data[1] & 0x7F,
        marker: data[1] & 0x80 != 0,
        sequence: u16::from_be_bytes([data[2], data[3]]),
        timestamp: word(4),
        ssrc: word(8),
        payload: data.get(start..end)?,
    })
}

/// Replaces `out` by a packet.
pub(crate) fn write(out: &mut Vec<u8>, packet: &Packet<'_>) {
    out.clear();
    out.push(0x80);
    out.push(packet.payload_type | if packet.marker { 0x80 } else { 0 });
    out.extend_from_slice(&packet.sequence.to_be_bytes());
    out.extend_from_slice(&packet.timestamp.to_be_bytes());
    out.extend_from_slice(&packet.ssrc.to_be_bytes());
    out.extend_from_slice(packet.payload);
}

/// Digits by event number (RFC 4733 §3.2).
const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

/// The event of a digit; `None` for what is no digit.
pub(crate) fn digit_event(digit: char) -> Option<u8> {
    DIGITS.iter().position(|known| char::from(*known) == digit.to_ascii_uppercase()).map(|at| at as u8)
}

/// Event, end bit, and duration in clock units of a telephone-event payload.
pub(crate) fn read_event(payload: &[u8]) -> Option<(char, bool, u16)> {
    let [event, flags, high, low] = *payload.first_chunk::<4>()?;
    let digit = DIGITS.get(usize::from(event)).map(|digit| char::from(*digit))?;
    Some((digit, flags & 0x80 != 0, u16::from_be_bytes([high, low])))
}

/// The payload of a telephone-event at volume −10 dBm0.
pub(crate) fn event_payload(event: u8, end: bool, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [event, if end { 0x80 | 10 } else { 10 }, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Packet<'_> =
        Packet { payload_type: 8, marker: true, sequence: 65_535, timestamp: 7, ssrc: 9, payload: &[1, 2, 3] };

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        write(&mut bytes, &PACKET);
        assert_eq!(parse(&bytes), Some(PACKET));
    }

    #[test]
    fn lengths_that_lie_are_no_packet() {
        let mut bytes = Vec::new();
        write(&mut bytes, &PACKET);
        for cut in 0..HEADER_BYTES {
            assert_eq!(parse(&bytes[..cut]), None);
        }
        bytes[0] = 0x8F;
        assert_eq!(parse(&bytes), None, "15 contributing sources");
        bytes[0] = 0x90;
        assert_eq!(parse(&bytes), None, "an extension that is not there");
        bytes[0] = 0xA0;
        *bytes.last_mut().unwrap() = 200;
        assert_eq!(parse(&bytes), None, "more padding than packet");
    }

    #[test]
    fn digits_go_there_and_back() {
        for digit in "0123456789*#ABCD".chars() {
            let payload = event_payload(digit_event(digit).unwrap(), true, 800);
            assert_eq!(read_event(&payload), Some((digit, true, 800)));
        }
        assert_eq!(digit_event('x'), None);
        assert_eq!(read_event(&[200, 0, 0, 0]), None);
    }
}
