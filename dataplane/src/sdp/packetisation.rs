//! How long a packet is: what was asked for, within what a media path carries. Never re-frames anything.

use crate::audio::codec::Codec;

/// The packet time when none is asked for, or one that is not carried, milliseconds (RFC 3551 §4.2).
pub(super) const DEFAULT_PTIME_MS: u32 = 20;

const SHORTEST_PTIME_MS: u32 = 10;
const LONGEST_PTIME_MS: u32 = 60;

/// The largest payload, bytes: with RTP, UDP and IPv6 headers it fits an Ethernet frame inside an overlay network's
/// tunnel. A longer packet would be cut by IP, and lost when any piece is.
const MAX_PAYLOAD_BYTES: u32 = 1300;

/// The packet time to answer with: whole multiples of 10 ms from 10 to 60, at most `max_ms`, and short enough for one
/// datagram; anything else asked for becomes 20.
pub(super) fn packet_time_ms(asked_ms: Option<u32>, max_ms: Option<u32>, codec: Codec) -> u32 {
    let carried = |ms: &u32| (SHORTEST_PTIME_MS..=LONGEST_PTIME_MS).contains(ms) && ms.is_multiple_of(10);
    let wanted = asked_ms.filter(carried).unwrap_or(DEFAULT_PTIME_MS);
    let bytes_per_ms = match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => 8,
        Codec::L16(rate) => rate.hz() / 1000 * 2,
    };
    let fits = MAX_PAYLOAD_BYTES / bytes_per_ms;
    let longest = fits.min(max_ms.unwrap_or(u32::MAX)) / 10 * 10;
    wanted.min(longest).max(SHORTEST_PTIME_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::SampleRate;

    #[test]
    fn what_is_asked_for_is_given_between_10_and_60_ms() {
        for (asked, given) in [
            (None, 20),
            (Some(10), 10),
            (Some(30), 30),
            (Some(60), 60),
            (Some(0), 20),
            (Some(5), 20),
            (Some(25), 20),
            (Some(80), 20),
        ] {
            assert_eq!(packet_time_ms(asked, None, Codec::Pcmu), given, "{asked:?}");
        }
    }

    #[test]
    fn the_longest_packet_time_is_kept() {
        assert_eq!(packet_time_ms(Some(40), Some(30), Codec::Pcmu), 30);
        assert_eq!(packet_time_ms(None, Some(15), Codec::Pcmu), 10);
        assert_eq!(packet_time_ms(None, Some(0), Codec::Pcmu), 10);
    }

    #[test]
    fn a_packet_fits_one_datagram() {
        assert_eq!(packet_time_ms(Some(60), None, Codec::L16(SampleRate::Hz16000)), 40);
        assert_eq!(packet_time_ms(Some(20), None, Codec::L16(SampleRate::Hz48000)), 10);
        assert_eq!(packet_time_ms(Some(60), None, Codec::G722), 60);
    }
}
