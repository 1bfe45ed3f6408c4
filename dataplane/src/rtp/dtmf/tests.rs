use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::packet::{RtpHeader, RtpPacket};
use super::super::sender::RtpSender;
use super::*;

const PACKET_TIME: Duration = Duration::from_millis(20);

/// The packets that a sender makes of `digits`, in the order of their ticks: tick and datagram.
fn packets_of(digits: &str, clock_hz: u32) -> Vec<(u32, Vec<u8>)> {
    let samples = clock_hz / 50;
    let mut rtp = RtpSender::new(7, 65_530, u32::MAX - 1000);
    let mut sender = DtmfSender::new(clock_hz, PACKET_TIME);
    sender.queue(digits).unwrap();
    let mut sent = Vec::new();
    for tick in 0.. {
        match sender.tick(rtp.timestamp()) {
            DtmfTick::Idle => break,
            DtmfTick::Gap => {}
            DtmfTick::Packet(packet) => {
                let header = rtp.event(101, packet.timestamp, packet.marker, packet.payload.len());
                sent.push((tick, [&header.to_bytes()[..], &packet.payload].concat()));
            }
        }
        rtp.skip(samples);
    }
    assert!(sender.is_idle());
    sent
}

struct Listener {
    receiver: DtmfReceiver,
    start: Instant,
}

impl Listener {
    fn new() -> Self {
        Listener { receiver: DtmfReceiver::new(8000), start: Instant::now() }
    }

    fn push(&mut self, at_ms: u64, datagram: &[u8]) -> Option<DtmfDigit> {
        let now = self.start + Duration::from_millis(at_ms);
        self.receiver.push(now, &RtpPacket::parse(datagram).unwrap());
        self.receiver.poll(now)
    }

    fn event(&mut self, at_ms: u64, timestamp: u32, marker: bool, report: EventReport) -> Option<DtmfDigit> {
        let header = RtpHeader { payload_type: 101, marker, sequence: 0, timestamp, ssrc: 7 };
        self.push(at_ms, &[&header.to_bytes()[..], &report.to_bytes()].concat())
    }

    fn wait_until(&mut self, at_ms: u64) -> Option<DtmfDigit> {
        self.receiver.poll(self.start + Duration::from_millis(at_ms))
    }
}

fn report(event: u8, end: bool, duration: u16) -> EventReport {
    EventReport { event, end, volume: 10, duration }
}

fn digit(digit: char, duration_ms: u64) -> Option<DtmfDigit> {
    Some(DtmfDigit { digit, duration: Duration::from_millis(duration_ms), volume: 10 })
}

#[test]
fn a_digit_is_sent_as_growing_reports_and_three_ends() {
    let sent = packets_of("5", 8000);
    let reports: Vec<_> = sent
        .iter()
        .map(|(tick, datagram)| {
            let packet = RtpPacket::parse(datagram).unwrap();
            let report = EventReport::from_bytes(packet.payload().try_into().unwrap());
            assert_eq!((packet.timestamp(), report.event), (u32::MAX - 1000, 5));
            (*tick, packet.sequence(), packet.marker(), report.end, report.duration)
        })
        .collect();
    assert_eq!(
        reports,
        [
            (0, 65_530, true, false, 160),
            (1, 65_531, false, false, 320),
            (2, 65_532, false, false, 480),
            (3, 65_533, false, false, 640),
            (4, 65_534, false, true, 800),
            (5, 65_535, false, true, 800),
            (6, 0, false, true, 800),
        ]
    );
}

#[test]
fn the_next_digit_starts_after_the_gap_on_the_streams_clock() {
    let sent = packets_of("1#", 16_000);
    let second = sent.iter().find(|(tick, _)| *tick >= 7).unwrap();
    let packet = RtpPacket::parse(&second.1).unwrap();
    assert_eq!(second.0, 8, "100 ms of tone and 60 ms of gap are eight ticks");
    assert!(packet.marker());
    assert_eq!(packet.timestamp(), (u32::MAX - 1000).wrapping_add(8 * 320));
}

#[test]
fn a_tone_that_is_no_multiple_of_the_packet_time_ends_at_its_length() {
    let mut sender = DtmfSender::new(8000, Duration::from_millis(30));
    sender.queue("d").unwrap();
    let durations: Vec<_> = (0..6)
        .map_while(|tick| match sender.tick(tick * 240) {
            DtmfTick::Packet(packet) => Some(EventReport::from_bytes(packet.payload).duration),
            _ => None,
        })
        .collect();
    assert_eq!(durations, [240, 480, 720, 800, 800, 800]);
}

#[test]
fn what_is_no_digit_queues_nothing() {
    let mut sender = DtmfSender::new(8000, PACKET_TIME);
    assert_eq!(sender.queue("12x"), Err(DtmfError::NotADigit { found: 'x' }));
    assert_eq!(sender.queue("é"), Err(DtmfError::NotADigit { found: 'é' }));
    assert_eq!(sender.queue(&"1".repeat(65)), Err(DtmfError::Full { digits: 65, room: 64 }));
    assert!(sender.is_idle());
    sender.queue(&"1".repeat(64)).unwrap();
    assert_eq!(sender.queue("1"), Err(DtmfError::Full { digits: 1, room: 0 }));
    sender.clear();
    assert!(sender.is_idle());
}

#[test]
fn what_is_sent_is_received() {
    let mut listener = Listener::new();
    let heard: Vec<_> = packets_of("0123456789*#ABCD", 8000)
        .iter()
        .filter_map(|(tick, datagram)| listener.push(u64::from(*tick) * 20, datagram))
        .collect();
    assert_eq!(heard.iter().map(|heard| heard.digit).collect::<String>(), "0123456789*#ABCD");
    assert!(heard.iter().all(|heard| heard.duration == Duration::from_millis(100) && heard.volume == 10));
}

#[test]
fn one_end_packet_alone_is_a_press() {
    let mut listener = Listener::new();
    assert_eq!(listener.event(0, 800, false, report(11, true, 800)), digit('#', 100));
    assert_eq!(listener.event(20, 800, false, report(11, true, 800)), None);
    assert_eq!(listener.wait_until(1000), None);
}

#[test]
fn a_lost_end_is_found_by_silence_and_its_stragglers_change_nothing() {
    let mut listener = Listener::new();
    assert_eq!(listener.event(0, 800, true, report(1, false, 160)), None);
    assert_eq!(listener.event(20, 800, false, report(1, false, 320)), None);
    assert_eq!(listener.wait_until(169), None);
    assert_eq!(listener.wait_until(170), digit('1', 40));
    assert_eq!(listener.event(180, 800, false, report(1, true, 800)), None);
    assert_eq!(listener.wait_until(1000), None);
}

#[test]
fn the_next_event_ends_one_whose_end_was_lost() {
    let mut listener = Listener::new();
    assert_eq!(listener.event(0, 800, true, report(1, false, 160)), None);
    assert_eq!(listener.event(60, 2080, true, report(1, false, 160)), digit('1', 20));
    assert_eq!(listener.event(80, 800, false, report(1, true, 800)), None, "late for the first press");
    assert_eq!(listener.event(100, 2080, false, report(1, true, 480)), digit('1', 60));
}

#[test]
fn a_long_press_in_segments_is_one_digit() {
    let mut listener = Listener::new();
    assert_eq!(listener.event(0, 100, true, report(4, false, 160)), None);
    assert_eq!(listener.event(100, 100, false, report(4, false, 0xffff)), None);
    assert_eq!(listener.event(200, 100 + 0xffff, false, report(4, false, 0x8000)), None);
    assert_eq!(listener.event(210, 100, false, report(4, false, 0xff00)), None, "a straggler of the first segment");
    let heard = listener.event(300, 100 + 0xffff, false, report(4, true, 0xffff)).unwrap();
    assert_eq!((heard.digit, heard.duration), ('4', Duration::from_micros(16_383_750)));
}

#[test]
fn a_press_that_goes_on_after_an_outage_is_not_a_second_one() {
    let mut listener = Listener::new();
    listener.event(0, 100, true, report(4, false, 0xffff));
    assert!(listener.wait_until(1000).is_some());
    assert_eq!(listener.event(1000, 100 + 0xffff, false, report(4, false, 160)), None);
    assert_eq!(listener.event(1020, 100 + 0xffff, false, report(4, true, 320)), None);
    assert_eq!(listener.wait_until(5000), None);
}

#[test]
fn a_clock_that_restarted_earlier_is_followed() {
    let mut listener = Listener::new();
    assert!(listener.event(0, 50_000, true, report(4, true, 800)).is_some());
    assert_eq!(listener.event(100, 40_000, true, report(5, true, 800)), None, "too soon to be a restart");
    assert!(listener.event(3000, 20_000, true, report(6, true, 800)).is_some());
}

#[test]
fn other_events_and_states_and_short_payloads_are_ignored() {
    let mut listener = Listener::new();
    assert_eq!(listener.event(0, 100, true, report(16, true, 800)), None);
    assert_eq!(listener.event(0, 900, true, report(1, true, 0)), None);
    let header = RtpHeader { payload_type: 101, marker: true, sequence: 0, timestamp: 0, ssrc: 7 };
    assert_eq!(listener.push(0, &[&header.to_bytes()[..], &[1, 0x80, 1]].concat()), None);
    assert_eq!(listener.wait_until(1000), None);
}

#[test]
fn events_packed_into_one_packet_are_all_heard() {
    let mut listener = Listener::new();
    let header = RtpHeader { payload_type: 101, marker: true, sequence: 0, timestamp: 0, ssrc: 7 };
    let payload = [report(1, true, 400).to_bytes(), report(2, true, 400).to_bytes()].concat();
    assert_eq!(listener.push(0, &[&header.to_bytes()[..], &payload].concat()), digit('1', 50));
    assert_eq!(listener.wait_until(0), digit('2', 50));
}

#[test]
fn a_new_source_starts_afresh() {
    let mut listener = Listener::new();
    assert!(listener.event(0, 800, true, report(1, true, 800)).is_some());
    listener.event(100, 8000, true, report(2, false, 800));
    listener.receiver.reset();
    assert_eq!(listener.wait_until(100), digit('2', 100));
    assert!(listener.event(120, 800, true, report(3, true, 800)).is_some());
}

proptest! {
    /// What a network may do to the packets of some presses: lose, double and shuffle them, within a second or so.
    #[test]
    fn no_press_is_heard_twice_and_in_a_calm_order_none_is_missed(
        digits in "[0-9*#A-D]{1,10}",
        fates in proptest::collection::vec((0u8..3, 0u64..600), 70),
        shuffle: bool,
    ) {
        let mut arrivals = Vec::new();
        let mut heard_of = std::collections::BTreeSet::new();
        for ((tick, datagram), &(copies, delay)) in packets_of(&digits, 8000).into_iter().zip(&fates) {
            for copy in 0..copies {
                let delay = if shuffle { delay * (1 + u64::from(copy)) } else { 0 };
                arrivals.push((u64::from(tick) * 20 + delay, datagram.clone()));
                heard_of.insert(RtpPacket::parse(&datagram).unwrap().timestamp());
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let mut listener = Listener::new();
        let mut heard = String::new();
        for (at, datagram) in &arrivals {
            heard.extend(listener.push(*at, datagram).map(|heard| heard.digit));
        }
        for at in 0..10 {
            heard.extend(listener.wait_until(100_000 + at).map(|heard| heard.digit));
        }
        prop_assert!(heard.len() <= heard_of.len(), "{heard} of {digits}");
        if !shuffle {
            let expected: String = digits.chars().zip(0u32..).filter(|(_, i)| {
                heard_of.contains(&(u32::MAX - 1000).wrapping_add(i * 1280))
            }).map(|(digit, _)| digit).collect();
            prop_assert_eq!(heard, expected);
        }
    }

    #[test]
    fn arbitrary_packets_never_panic(
        packets in proptest::collection::vec((any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20), 0u64..500), 0..50),
    ) {
        let mut listener = Listener::new();
        let mut at = 0;
        for (timestamp, marker, payload, pause) in packets {
            at += pause;
            let header = RtpHeader { payload_type: 101, marker, sequence: 0, timestamp, ssrc: 7 };
            listener.push(at, &[&header.to_bytes()[..], &payload].concat());
        }
    }
}

#[test]
fn a_pause_between_digits_sends_nothing_for_half_a_second() {
    let mut sender = DtmfSender::new(8_000, Duration::from_millis(20));
    sender.queue("1w2").expect("two digits and a pause");
    let mut ticks = Vec::new();
    while !sender.is_idle() {
        ticks.push(sender.tick(160 * ticks.len() as u32));
    }
    let gaps = ticks.iter().filter(|tick| **tick == DtmfTick::Gap).count();
    let plain = {
        let mut sender = DtmfSender::new(8_000, Duration::from_millis(20));
        sender.queue("12").expect("two digits");
        let mut gaps = 0;
        while !sender.is_idle() {
            gaps += usize::from(sender.tick(0) == DtmfTick::Gap);
        }
        gaps
    };
    assert_eq!(gaps - plain, 25);
}
