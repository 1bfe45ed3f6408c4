//! Where packets wait: a few slots of fixed size, found by sequence number. Never decides when one is played.

use super::super::sequence_distance;

/// Slots of a buffer that is set to no more than they hold.
pub const SLOTS: u16 = 8;
/// Most slots of any: 256 ms of packets of 2 ms.
const MOST_SLOTS: u16 = 128;
/// Octets of the longest payload that is taken: 40 ms of L16 at 16 kHz, 160 ms of G.711.
pub const MAX_PAYLOAD: usize = 1280;

/// What is known of a waiting packet besides its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub sequence: u16,
    pub timestamp: u32,
    pub samples: u32,
    pub payload_type: u8,
    pub marker: bool,
}

impl Slot {
    pub fn new(sequence: u16, timestamp: u32, samples: u32, payload_type: u8, marker: bool) -> Self {
        Slot { sequence, timestamp, samples, payload_type, marker }
    }
}

/// What became of a packet offered to the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    Stored,
    Duplicate,
    /// Too far behind the newest packet.
    TooOld,
}

#[derive(Debug)]
pub(super) struct Ring {
    /// A power of two of them, so that slots stay in step when the sequence wraps.
    slots: Box<[Option<Slot>]>,
    /// Each as long as the longest payload that it has held: with G.711 an eighth of [`MAX_PAYLOAD`].
    payloads: Box<[Vec<u8>]>,
    waiting: u16,
    /// The latest sequence number that waits; meaningless when none does.
    newest: u16,
}

impl Ring {
    /// A ring that holds `packets`, or as many as the most slots do.
    pub fn new(packets: u32) -> Self {
        let slots = packets.clamp(SLOTS.into(), MOST_SLOTS.into()).next_power_of_two() as usize;
        Ring { slots: vec![None; slots].into(), payloads: vec![Vec::new(); slots].into(), waiting: 0, newest: 0 }
    }

    /// Packets that may wait.
    #[inline]
    pub fn reach(&self) -> u16 {
        self.slots.len() as u16
    }

    #[inline]
    fn index(&self, sequence: u16) -> usize {
        usize::from(sequence) & (self.slots.len() - 1)
    }

    /// Stores a packet. Those that the slots can't hold together with it are evicted, and told to `on_evicted`.
    /// `payload` must not be longer than [`MAX_PAYLOAD`].
    #[inline]
    pub fn insert(&mut self, slot: Slot, payload: &[u8], mut on_evicted: impl FnMut(u16)) -> Insertion {
        let sequence = slot.sequence;
        if self.waiting == 0 {
            self.newest = sequence;
        } else {
            let ahead = sequence_distance(self.newest, sequence);
            if ahead <= -(self.reach() as i16) {
                return Insertion::TooOld;
            }
            if self.get(sequence).is_some() {
                return Insertion::Duplicate;
            }
            if ahead > 0 {
                // The slots reach back from the new packet; what lies before them has to go.
                let oldest = self.newest.wrapping_sub(self.reach() - 1);
                for i in 0..self.reach().min(ahead as u16) {
                    let evicted = oldest.wrapping_add(i);
                    if self.take(evicted).is_some() {
                        on_evicted(evicted);
                    }
                }
                self.newest = sequence;
            }
        }
        let index = self.index(sequence);
        self.payloads[index].clear();
        self.payloads[index].extend_from_slice(payload);
        self.slots[index] = Some(slot);
        self.waiting += 1;
        Insertion::Stored
    }

    /// The packet with this sequence number.
    #[inline]
    pub fn get(&self, sequence: u16) -> Option<Slot> {
        self.slots[self.index(sequence)].filter(|slot| slot.sequence == sequence)
    }

    /// The earliest packet at `from` or after it.
    #[inline]
    pub fn first(&self, from: u16) -> Option<Slot> {
        if self.waiting == 0 {
            return None;
        }
        let reach = sequence_distance(from, self.newest).clamp(-1, self.reach() as i16 - 1);
        (0..=reach).rev().find_map(|back| self.get(self.newest.wrapping_sub(back as u16)))
    }

    /// Sequence numbers from `sequence` to the newest packet.
    #[inline]
    pub fn span(&self, sequence: u16) -> u32 {
        if self.waiting == 0 { 0 } else { sequence_distance(sequence, self.newest).max(0) as u32 }
    }

    /// The newest packet.
    #[inline]
    pub fn newest(&self) -> Option<Slot> {
        if self.waiting == 0 { None } else { self.get(self.newest) }
    }

    /// Takes the packet with this sequence number out; its payload stays readable until the next insertion.
    #[inline]
    pub fn take(&mut self, sequence: u16) -> Option<Slot> {
        let index = self.index(sequence);
        let slot = self.slots[index].take_if(|slot| slot.sequence == sequence);
        self.waiting -= u16::from(slot.is_some());
        slot
    }

    /// The payload of a packet that waits or has just been taken.
    #[inline]
    pub fn payload(&self, slot: &Slot) -> &[u8] {
        &self.payloads[self.index(slot.sequence)]
    }

    pub fn waiting(&self) -> u16 {
        self.waiting
    }

    pub fn clear(&mut self) {
        self.slots.fill(None);
        self.waiting = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(ring: &mut Ring, sequence: u16) -> (Insertion, Vec<u16>) {
        let mut evicted = Vec::new();
        let slot = Slot::new(sequence, 0, 160, 0, false);
        let insertion = ring.insert(slot, &sequence.to_be_bytes(), |sequence| evicted.push(sequence));
        (insertion, evicted)
    }

    #[test]
    fn packets_come_out_in_sequence_across_the_wrap() {
        let mut ring = Ring::new(0);
        for sequence in [65_535, 1, 0, 65_534] {
            assert_eq!(insert(&mut ring, sequence).0, Insertion::Stored);
        }
        assert_eq!(insert(&mut ring, 0).0, Insertion::Duplicate);
        let mut from = 65_530;
        for expected in [65_534u16, 65_535, 0, 1] {
            let slot = ring.first(from).unwrap();
            assert_eq!((slot.sequence, ring.payload(&slot)), (expected, &expected.to_be_bytes()[..]));
            assert!(ring.take(expected).is_some());
            from = expected.wrapping_add(1);
        }
        assert!(ring.first(from).is_none());
        assert_eq!(ring.waiting(), 0);
    }

    #[test]
    fn a_packet_far_ahead_evicts_what_the_slots_cannot_reach() {
        let mut ring = Ring::new(0);
        for sequence in 10..14 {
            insert(&mut ring, sequence);
        }
        assert_eq!(insert(&mut ring, 19), (Insertion::Stored, vec![10, 11]));
        assert_eq!(insert(&mut ring, 11).0, Insertion::TooOld);
        assert_eq!(insert(&mut ring, 60), (Insertion::Stored, vec![12, 13, 19]));
        assert_eq!((ring.waiting(), ring.first(0).unwrap().sequence), (1, 60));
    }
}
