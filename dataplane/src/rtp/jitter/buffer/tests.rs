mod network;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::rtp::packet::{RtpHeader, RtpPacket};

const SSRC: u32 = 7;
const NOISE: u8 = 13;

/// A buffer for 20 ms of PCMU, and what it gave out.
struct Player {
    buffer: JitterBuffer,
    start: Instant,
}

/// What a pull gave, without the borrow; a packet by the index in its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Packet(u32),
    Skipped(u32),
    Lost,
    Underrun,
    Silence,
    Empty,
}
use Heard::{Empty, Lost, Packet, Silence, Skipped, Underrun};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn datagram(ssrc: u32, payload_type: u8, sequence: u16, timestamp: u32, index: u32) -> Vec<u8> {
    let mut bytes = RtpHeader { payload_type, marker: false, sequence, timestamp, ssrc }.to_bytes().to_vec();
    bytes.extend_from_slice(&index.to_be_bytes());
    bytes.resize(12 + 160, 0xff);
    bytes
}

/// The `index`-th packet of a steady stream that wraps soon, in sequence and timestamp.
fn steady(index: u32) -> Vec<u8> {
    let sequence = 65_400u16.wrapping_add(index as u16);
    datagram(SSRC, 0, sequence, (u32::MAX - 20_000).wrapping_add(index.wrapping_mul(160)), index)
}

impl Player {
    fn new() -> Self {
        let settings = JitterSettings { comfort_noise: Some(NOISE), ..JitterSettings::new(8000, ms(20), 1) };
        Player { buffer: JitterBuffer::new(settings), start: Instant::now() }
    }

    fn push_bytes(&mut self, at: Duration, bytes: &[u8]) -> Pushed {
        self.buffer.push(self.start + at, &RtpPacket::parse(bytes).unwrap())
    }

    /// Pushes packets of the steady stream.
    fn push(&mut self, at_ms: u64, indices: impl IntoIterator<Item = u32>) {
        for index in indices {
            self.push_bytes(ms(at_ms), &steady(index));
        }
    }

    fn push_other(&mut self, index: u32) {
        self.buffer.push_other(&RtpPacket::parse(&steady(index)).unwrap());
    }

    fn pop_at(&mut self, at: Duration) -> Heard {
        match self.buffer.pop(self.start + at) {
            Popped::Packet(frame) => Packet(index_of(&frame)),
            Popped::Skipped(frame) => Skipped(index_of(&frame)),
            Popped::Lost { samples: 160 } => Lost,
            Popped::Underrun { samples: 160 } => Underrun,
            Popped::Silence { samples: 160 } => Silence,
            Popped::Empty => Empty,
            other => panic!("of another length: {other:?}"),
        }
    }

    fn pop(&mut self, at_ms: u64) -> Heard {
        self.pop_at(ms(at_ms))
    }

    /// What ticks every 20 ms from `at_ms` give.
    fn pops<const N: usize>(&mut self, at_ms: u64) -> [Heard; N] {
        std::array::from_fn(|i| self.pop(at_ms + 20 * i as u64))
    }

    /// A steady stream: each packet comes `early_ms` before its tick at `20 × index`.
    fn play_steadily(&mut self, indices: std::ops::Range<u32>, early_ms: u64) -> Vec<Heard> {
        indices
            .map(|index| {
                let tick = u64::from(index + 1) * 20;
                self.push(tick - early_ms, [index]);
                self.pop(tick)
            })
            .collect()
    }
}

fn index_of(frame: &Frame<'_>) -> u32 {
    assert_eq!((frame.payload.len(), frame.samples), (160, 160));
    u32::from_be_bytes(frame.payload[..4].try_into().unwrap())
}

#[test]
fn on_a_steady_network_each_packet_plays_at_the_tick_after_its_arrival() {
    let mut player = Player::new();
    assert_eq!(player.pop(0), Empty);
    for early_ms in [1, 10, 20] {
        let mut player = Player::new();
        let heard = player.play_steadily(0..1000, early_ms);
        assert!(heard.iter().zip(0..).all(|(heard, index)| *heard == Packet(index)), "{early_ms} ms before the tick");
        assert_eq!(player.buffer.counters(), JitterCounters { played: 1000, ..JitterCounters::default() });
    }
}

#[test]
fn packets_come_out_in_order() {
    let mut player = Player::new();
    player.push(0, [1, 0, 3, 2]);
    assert_eq!(player.pops(5), [Packet(0), Packet(1), Packet(2), Packet(3)]);
}

#[test]
fn until_the_first_pull_the_stream_may_begin_with_an_earlier_packet() {
    let mut player = Player::new();
    player.push(0, [20]);
    player.push_other(22);
    assert_eq!(player.push_bytes(ms(0), &steady(12)), Pushed::Late);
    assert_eq!(player.push_bytes(ms(0), &steady(19)), Pushed::Queued);
    player.push(0, [21, 23]);
    assert_eq!(player.pop(0), Skipped(19), "four packet times are too deep");
    assert_eq!(player.pops(0), [Packet(20), Packet(21), Silence, Packet(23), Underrun]);
    assert_eq!(player.buffer.counters().lost, 0);
}

#[test]
fn a_packet_with_a_later_one_at_its_turn_is_lost() {
    let mut player = Player::new();
    player.push(0, [0, 2]);
    assert_eq!(player.pops(5), [Packet(0), Lost, Packet(2)]);
    assert_eq!(player.buffer.counters().lost, 1);
}

#[test]
fn a_loss_on_a_shallow_buffer_is_concealed_once_and_adds_no_delay() {
    let mut player = Player::new();
    player.play_steadily(0..10, 5);
    assert_eq!(player.pop(220), Underrun, "packet 10 is lost");
    player.push(235, [11]);
    assert_eq!(player.pop(240), Packet(11));
    assert_eq!(player.buffer.counters().lost, 1);
}

#[test]
fn a_late_packet_deepens_the_buffer() {
    let mut player = Player::new();
    player.play_steadily(0..10, 5);
    assert_eq!(player.pop(220), Underrun);
    player.push(225, [10]);
    player.push(235, [11]);
    assert_eq!(player.pops(240), [Packet(10), Packet(11)]);
    assert_eq!(player.buffer.counters().lost, 0);
}

#[test]
fn packets_that_keep_coming_out_of_order_deepen_the_buffer() {
    let mut player = Player::new();
    let mut heard = Vec::new();
    for pair in 0..20 {
        // The first of each pair comes just after the tick at which the second is here already.
        player.push(pair * 40 + 1, [pair as u32 * 2 + 1]);
        heard.push(player.pop(pair * 40 + 2));
        player.push(pair * 40 + 3, [pair as u32 * 2]);
        heard.push(player.pop(pair * 40 + 22));
    }
    let counters = player.buffer.counters();
    assert!(counters.late <= 3 && counters.played >= 36, "{counters:?} {heard:?}");
}

#[test]
fn a_single_late_packet_among_many_costs_no_delay() {
    let mut player = Player::new();
    player.play_steadily(0..10, 5);
    player.push(216, [11]);
    assert_eq!(player.pop(220), Lost);
    assert_eq!(player.push_bytes(ms(221), &steady(10)), Pushed::Late);
    assert_eq!(player.push_bytes(ms(222), &steady(10)), Pushed::Duplicate);
    assert_eq!(player.pop(240), Packet(11));
    player.push(255, [12]);
    assert_eq!(player.pop(260), Packet(12));
}

#[test]
fn after_two_calm_seconds_one_packet_is_left_out_where_it_goes_unheard() {
    let mut player = Player::new();
    player.push(0, [0, 1]);
    let mut skipped_at = None;
    let mut latest = 1;
    for tick in 0..300u64 {
        player.buffer.droppable(tick == 130);
        let mut heard = player.pop(tick * 20 + 5);
        if let Skipped(_) = heard {
            skipped_at = Some(tick);
            heard = player.pop(tick * 20 + 5);
        }
        assert!(matches!(heard, Packet(_)), "{heard:?} at tick {tick}");
        latest += 1;
        player.push(tick * 20 + 10, [latest]);
    }
    assert_eq!(skipped_at, Some(130));
    assert_eq!(player.buffer.counters().skipped, 1);
}

#[test]
fn a_voice_without_a_break_gives_up_its_packet_after_a_second() {
    let mut player = Player::new();
    player.push(0, [0, 1, 2]);
    for tick in 0..500u64 {
        while let Skipped(_) = player.pop(tick * 20 + 5) {}
        player.push(tick * 20 + 10, [tick as u32 + 3]);
    }
    assert_eq!(player.buffer.counters().skipped, 2);
    assert_eq!(player.buffer.counters().underruns, 0);
}

#[test]
fn after_a_stall_no_more_than_the_greatest_depth_is_kept() {
    let mut player = Player::new();
    player.play_steadily(0..10, 5);
    for tick in 0..10 {
        assert!(matches!(player.pop(220 + tick * 20), Underrun | Empty));
    }
    player.push(415, 10..20);
    let heard: [Heard; 8] = player.pops(420);
    assert_eq!(heard[4..], [Packet(16), Packet(17), Packet(18), Packet(19)]);
    assert_eq!(heard[..4], [Skipped(12), Skipped(13), Skipped(14), Skipped(15)]);
    assert_eq!(player.buffer.counters().lost, 0, "they came, though too many at once");
}

#[test]
fn the_sequence_and_the_timestamp_wrap() {
    let mut player = Player::new();
    let heard = player.play_steadily(0..70_000, 3);
    assert!(heard.iter().zip(0..).all(|(heard, index)| *heard == Packet(index)));
    assert_eq!(player.buffer.counters().resyncs, 0);
}

#[test]
fn a_new_source_plays_at_once() {
    let mut player = Player::new();
    player.play_steadily(0..10, 5);
    player.push(205, [10, 11]);
    assert_eq!(player.push_bytes(ms(215), &datagram(8, 0, 500, 99, 77)), Pushed::Resynchronised);
    assert_eq!(player.pops(220), [Packet(77), Underrun]);
    assert_eq!(player.buffer.counters().resyncs, 1);
}

#[test]
fn a_jump_of_the_sequence_plays_at_once() {
    let mut player = Player::new();
    for index in [0, 1000, 30_000, 20_000] {
        player.push_bytes(ms(0), &steady(index));
        assert_eq!(player.pop(5), Packet(index));
    }
    assert_eq!(player.buffer.counters().resyncs, 3);
}

#[test]
fn a_jump_of_the_timestamp_plays_at_once() {
    let mut player = Player::new();
    for (sequence, timestamp) in [(1, 0), (2, 160), (3, 900_000), (4, 900_160), (5, 50), (6, 210)] {
        player.push_bytes(ms(0), &datagram(SSRC, 0, sequence, timestamp, u32::from(sequence)));
    }
    assert_eq!(player.pop(0), Skipped(1));
    assert_eq!(player.pop(0), Skipped(2));
    assert_eq!(player.pops(0), [Packet(3), Packet(4), Packet(5), Packet(6), Underrun]);
}

#[test]
fn a_short_silence_between_packets_that_are_here_is_kept() {
    let mut player = Player::new();
    player.push_bytes(ms(0), &datagram(SSRC, 0, 1, 0, 1));
    player.push_bytes(ms(0), &datagram(SSRC, 0, 2, 160 * 3, 2));
    assert_eq!(player.pops(0), [Packet(1), Silence, Silence, Packet(2)]);
    assert_eq!(player.buffer.counters().lost, 0);
}

#[test]
fn comfort_noise_is_a_packet_and_the_pause_after_it_is_no_underrun() {
    let mut player = Player::new();
    player.push_bytes(ms(0), &datagram(SSRC, 0, 1, 0, 1));
    let mut noise = datagram(SSRC, NOISE, 2, 160, 0);
    noise.truncate(13);
    player.push_bytes(ms(0), &noise);
    assert_eq!(player.pop(0), Packet(1));
    let Popped::Packet(frame) = player.buffer.pop(player.start + ms(20)) else { panic!("no packet") };
    assert_eq!((frame.payload_type, frame.payload.len(), frame.samples), (NOISE, 1, 160));
    assert_eq!(player.pops(40), [Empty; 50]);
    player.push_bytes(ms(1035), &datagram(SSRC, 0, 3, 160 * 52, 3));
    assert_eq!(player.pop(1040), Packet(3));
    assert_eq!(player.buffer.counters().underruns, 0);
}

#[test]
fn a_pause_keeps_the_depth() {
    let mut player = Player::new();
    player.play_steadily(0..10, 5);
    assert_eq!(player.pop(220), Underrun);
    player.push(225, [10, 11]);
    assert_eq!(player.pop(240), Packet(10));
    player.push(245, [12]);
    assert_eq!(player.pops(260), [Packet(11), Packet(12), Underrun, Underrun, Underrun, Underrun, Underrun, Empty]);
    assert_eq!(player.pops(420), [Empty; 6]);
    // Sent after thirteen packet times of silence, and as long after its tick as packet 11 was.
    player.push_bytes(ms(535), &datagram(SSRC, 0, 65_400 + 13, (u32::MAX - 20_000).wrapping_add(160 * 26), 13));
    assert_eq!(player.pops(540), [Silence, Packet(13)]);
}

#[test]
fn a_hold_of_thirty_seconds_ends_without_delay_whether_the_timestamps_went_on_or_not() {
    for timestamps_went_on in [true, false] {
        let mut player = Player::new();
        player.play_steadily(0..100, 5);
        for tick in 100..1600u64 {
            assert!(matches!(player.pop((tick + 1) * 20), Underrun | Empty));
        }
        let offset = if timestamps_went_on { 1500 * 160 + 50 } else { 0 };
        for index in 100..200u32 {
            let tick = u64::from(index + 1500 + 1) * 20;
            let timestamp = (u32::MAX - 20_000).wrapping_add(index * 160 + offset);
            player.push_bytes(ms(tick - 5), &datagram(SSRC, 0, 65_400u16.wrapping_add(index as u16), timestamp, index));
            assert_eq!(player.pop(tick), Packet(index));
        }
        assert_eq!(player.buffer.counters().lost, 0);
        assert_eq!(player.buffer.counters().resyncs, 0);
    }
}

#[test]
fn telephone_events_are_neither_lost_nor_an_underrun() {
    let mut player = Player::new();
    player.play_steadily(0..10, 5);
    for index in 10..200 {
        player.push_other(index);
        assert_eq!(player.pop(u64::from(index + 1) * 20), Empty);
    }
    player.push(200 * 20 + 15, [200]);
    assert_eq!(player.pop(201 * 20), Packet(200));
    let counters = player.buffer.counters();
    assert_eq!((counters.lost, counters.underruns, counters.resyncs), (0, 0, 0));
}

#[test]
fn telephone_events_between_packets_that_are_here_are_silence() {
    let mut player = Player::new();
    player.push(0, [0]);
    player.push_other(1);
    player.push(0, [2]);
    assert_eq!(player.pops(0), [Packet(0), Silence, Packet(2)]);
    assert_eq!(player.buffer.counters().lost, 0);
}

#[test]
fn packets_half_and_one_and_a_half_times_the_tick_play_without_a_break() {
    for packet_ms in [10u64, 30, 40] {
        let mut player = Player::new();
        let samples = packet_ms as u32 * 8;
        let (mut fifo, mut sent, mut concealed) = (0, 0u32, 0);
        for tick in 0..2000u64 {
            while u64::from(sent) * packet_ms <= tick * 20 {
                let mut bytes = datagram(SSRC, 0, sent as u16, sent * samples, sent);
                bytes.resize(12 + samples as usize, 0);
                player.push_bytes(ms(u64::from(sent) * packet_ms), &bytes);
                sent += 1;
            }
            while fifo < 160 {
                match player.buffer.pop(player.start + ms(tick * 20 + 3)) {
                    Popped::Packet(frame) => fifo += frame.samples,
                    Popped::Underrun { samples } => {
                        concealed += 1;
                        fifo += samples;
                    }
                    other => panic!("{other:?} at tick {tick} of {packet_ms} ms packets"),
                }
            }
            fifo -= 160;
        }
        assert!(concealed <= 2, "{concealed} concealments of {packet_ms} ms packets");
    }
}

#[test]
fn payloads_too_long_or_empty_are_refused_but_not_missed() {
    let mut player = Player::new();
    player.push(0, [0]);
    let mut long = steady(1);
    long.resize(12 + MAX_PAYLOAD + 1, 0);
    assert_eq!(player.push_bytes(ms(0), &long), Pushed::Unusable);
    assert_eq!(player.push_bytes(ms(0), &steady(2)[..12]), Pushed::Unusable);
    player.push(0, [3]);
    assert_eq!(player.pops(0), [Packet(0), Silence, Silence, Packet(3)]);
    assert_eq!(player.buffer.counters().lost, 0);
}

proptest! {
    #[test]
    fn arbitrary_packets_and_pulls_never_panic_nor_go_backwards(
        steps in proptest::collection::vec((0u8..8, -12i16..20, -3i32..6, 0u16..3, 0u64..30), 0..400),
    ) {
        let mut player = Player::new();
        let (mut now, mut sequence, mut timestamp) = (0, 0u16, 0u32);
        let mut last: Option<u16> = None;
        for (action, step, packets, ssrc, pause) in steps {
            now += pause;
            let at = sequence.wrapping_add(step as u16);
            let mut bytes = datagram(u32::from(ssrc > 1), action, at, timestamp.wrapping_add((packets * 160) as u32), 0);
            match action {
                0 => bytes.truncate(12),
                1 => bytes.truncate(12 + now as usize % 160),
                2 => bytes.resize(now as usize * 61 % 1400 + 12, 0),
                _ => {}
            }
            match action {
                0..=3 => {
                    if player.push_bytes(ms(now), &bytes) == Pushed::Resynchronised {
                        last = None;
                    }
                }
                4 => player.buffer.push_other(&RtpPacket::parse(&bytes).unwrap()),
                5 => (sequence, timestamp) = (at, timestamp.wrapping_add(160)),
                _ => for _ in 0..20 {
                    match player.buffer.pop(player.start + ms(now)) {
                        Popped::Packet(frame) | Popped::Skipped(frame) => {
                            let sequence = frame.sequence;
                            prop_assert!(last.is_none_or(|last| sequence_distance(last, sequence) > 0));
                            last = Some(sequence);
                        }
                        Popped::Empty => break,
                        _ => {}
                    }
                },
            }
            prop_assert!(player.buffer.ring.waiting() <= player.buffer.ring.reach());
            prop_assert!(player.buffer.depth() <= ms(60 + 160));
        }
    }

    #[test]
    fn a_tick_is_served_after_a_bounded_number_of_pulls(
        arrivals in proptest::collection::vec((0u16..40, any::<u32>(), 1usize..1300), 0..40),
    ) {
        let mut player = Player::new();
        for (tick, (sequence, timestamp, len)) in (0..).zip(arrivals) {
            let mut bytes = datagram(SSRC, 0, sequence, timestamp % 4000, 0);
            bytes.resize(12 + len, 0);
            player.push_bytes(ms(tick * 20), &bytes);
            let (mut samples, mut pulls) = (0, 0);
            while samples < 160 {
                pulls += 1;
                prop_assert!(pulls < 300, "{pulls} pulls");
                match player.buffer.pop(player.start + ms(tick * 20)) {
                    Popped::Packet(frame) => samples += frame.samples,
                    Popped::Lost { samples: s } | Popped::Underrun { samples: s } | Popped::Silence { samples: s } => {
                        samples += s;
                    }
                    Popped::Skipped(_) => {}
                    Popped::Empty => break,
                }
            }
        }
    }
}

/// Packets left out because too many waited, after the network held nine of them back and let them go at once.
fn overflowed_by_a_burst(max_depth: Duration) -> u64 {
    let settings = JitterSettings { max_depth, ..JitterSettings::new(8000, ms(20), 1) };
    let mut player = Player { buffer: JitterBuffer::new(settings), start: Instant::now() };
    for tick in 0..40 {
        match tick {
            10..=17 => {}
            18 => player.push(18 * 20, 10..=18),
            index => player.push(u64::from(index) * 20, [index]),
        }
        player.pop_at(ms(u64::from(tick) * 20 + 7));
    }
    player.buffer.counters().overflowed
}

#[test]
fn what_was_held_back_for_so_long_as_the_buffer_may_be_deep_is_played_whole() {
    assert_eq!(overflowed_by_a_burst(ms(200)), 0);
    assert!(overflowed_by_a_burst(ms(60)) > 0);
}
