//! The jitter buffer: packets in as the network brings them, packets out in order, one pull a tick.
//! Never decodes and never waits: what is missing at its turn is concealed by the caller.
//!
//! Playout follows the RTP timestamps. `position` is the timestamp whose turn is next, and how far it lies behind the
//! packets that arrive is the buffer's depth:
//!
//! - A steady network needs none: a packet that came before the tick is played at that tick.
//! - When the packet that is due hasn't come and none after it either, the caller conceals ([`Popped::Underrun`]) and
//!   the position waits. If the packet then comes, all that follow are played later by as much: the buffer has
//!   deepened. If a later one comes instead, the packet was lost, and its concealment has been played already.
//! - When a later packet is here, the one that is due is given up ([`Popped::Lost`]). Should it come after all, and not
//!   for the first time, the buffer deepens by an `Underrun` as well.
//! - When for two seconds all packets came more than one packet time earlier than needed, one is left out
//!   ([`Popped::Skipped`]), or a concealment is, which nobody hears. Hence clocks that drift never part.
//! - Packets are never kept longer than the greatest depth: after a stall of the network the oldest are left out.
//!
//! A pause of the sender (hold, silence suppression, a telephone event) keeps the depth as long as the timestamps do;
//! a jump of sequence or timestamp and a new source start over with the packet at hand.

mod adaptation;
mod buffer;
mod ring;

use std::time::Duration;

pub use buffer::JitterBuffer;
pub use ring::{MAX_PAYLOAD, SLOTS};

/// The greatest depth unless told otherwise.
pub const DEFAULT_MAX_DEPTH: Duration = Duration::from_millis(60);
/// What a buffer must know of the stream. Units are those of the payload's RTP clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterSettings {
    /// RTP clock rate: 8,000 for G.722 too (RFC 3551 §4.5.2).
    pub clock_hz: u32,
    /// Time from tick to tick, and the packet time that is expected until a packet tells.
    pub packet_time: Duration,
    /// Octets of payload for one unit of the RTP clock: 1 for PCMU, PCMA and G.722, 2 for L16 mono.
    pub octets_per_unit: u32,
    /// Payload type of comfort noise (RFC 3389): its length says nothing of its duration, and a pause follows it.
    pub comfort_noise: Option<u8>,
    /// How long a packet may wait at most.
    pub max_depth: Duration,
}

impl JitterSettings {
    /// Settings without comfort noise and with the default depth.
    pub fn new(clock_hz: u32, packet_time: Duration, octets_per_unit: u32) -> Self {
        JitterSettings { clock_hz, packet_time, octets_per_unit, comfort_noise: None, max_depth: DEFAULT_MAX_DEPTH }
    }
}

/// What became of a packet that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits for its turn.
    Queued,
    /// It waits, and the buffer started over with it: first packet, new source, or a jump of the sequence.
    Resynchronised,
    /// Its turn has passed: counted and dropped.
    Late,
    /// It is here, or was played: counted and dropped.
    Duplicate,
    /// It has no payload, or one longer than [`MAX_PAYLOAD`]: dropped, its sequence number is not missed.
    Unusable,
}

/// A packet whose turn has come; borrows the buffer until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The payload, 1 to [`MAX_PAYLOAD`] octets.
    pub payload: &'a [u8],
    /// Payload type: comfort noise comes as a packet too.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Duration in clock units; for comfort noise one packet time.
    pub samples: u32,
}

/// What a pull gives. `samples` are units of the RTP clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popped<'a> {
    /// Decode and play.
    Packet(Frame<'a>),
    /// Not to be played, the buffer catches up: decode it for the decoder's state, drop the samples, pull again.
    Skipped(Frame<'a>),
    /// Conceal: a packet was lost.
    Lost {
        /// Duration to conceal.
        samples: u32,
    },
    /// Conceal: the packet that is due may still come.
    Underrun {
        /// Duration to conceal.
        samples: u32,
    },
    /// Silence or comfort noise: the sender left this time out on purpose, and what follows it is here already.
    Silence {
        /// Duration of the silence.
        samples: u32,
    },
    /// Silence or comfort noise for the rest of the tick: nothing is here and nothing is due. Don't pull again in
    /// this tick.
    Empty,
}

/// What a buffer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterCounters {
    /// Packets given out to be played.
    pub played: u64,
    /// Packets that were not here at their turn, whether they came later or not.
    pub lost: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets that came more than once.
    pub duplicate: u64,
    /// Concealments because the packet that was due wasn't here and none after it, or to deepen the buffer.
    pub underruns: u64,
    /// Packets or concealments left out to make the buffer shallower.
    pub skipped: u64,
    /// Packets left out because they would have waited for too long.
    pub overflowed: u64,
    /// Times that the buffer started over: new source, jump of the sequence or of the timestamp.
    pub resyncs: u64,
}
