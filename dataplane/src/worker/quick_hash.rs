//! The hash of a worker's own tables. Their keys are its stream numbers and the addresses that the switch's offers named;
//! packets from elsewhere are only looked up, never entered. So nobody can fill a table with keys that collide, and the
//! standard library's guard against that, which costs more than the look-up, is not needed.

use std::hash::{BuildHasherDefault, Hasher};

/// Builds [`QuickHasher`]s.
pub(super) type QuickHash = BuildHasherDefault<QuickHasher>;

/// Multiplies what it takes by an odd constant, word by word.
#[derive(Default)]
pub(super) struct QuickHasher(u64);

/// 2^64 divided by the golden ratio: multiples of it lie far apart.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for QuickHasher {
    fn finish(&self) -> u64 {
        // A table takes its place from the low bits, which only the low bits of the keys reach.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(MULTIPLIER);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn the_ports_of_a_switch_are_spread_over_a_table() {
        // Even ports of two hosts, as a switch hands them out: 2,048 keys for 4,096 places.
        let addresses = (0..2_048_u16).map(|n| SocketAddr::from(([10, 0, 0, (n % 2) as u8], 16_384 + n / 2 * 2)));
        let places: HashSet<u64> = addresses.map(|address| QuickHash::default().hash_one(address) % 4_096).collect();
        // By chance, 1,612 places would be taken.
        assert!(places.len() > 1_400, "{} places", places.len());
    }
}
