//! Ten minutes of a bad network, and what has no business on it at all.

use super::super::super::inbound::SILENT_AFTER;
use super::*;
use crate::rtp::network::{Conditions, Xorshift, deliver};

const TEN_MINUTES_S: u64 = 600;
const WIDEBAND: Codec = Codec::L16(SampleRate::Hz16000);
/// Of each packet of [`numbered`] two neighbouring samples add up to this, unless they were made up for a lost one.
const CHECK: i32 = 20_000;
/// Packets after which the numbers begin again: 82 s, far beyond any delay.
const NUMBERS: u32 = 4_096;

/// A payload from whose samples the packet's number can be read.
fn numbered(index: u32) -> Vec<u8> {
    let number = (index % NUMBERS) as i32 * 4;
    (0..320).flat_map(|n| (if n % 2 == 0 { number } else { CHECK - number } as i16).to_be_bytes()).collect()
}

/// The number of the packet that is heard at the end of `payload`; `None` for what was made up, or is silence.
fn number_in(payload: &[u8]) -> Option<u32> {
    let sample = |at: usize| i32::from(i16::from_be_bytes([payload[2 * at], payload[2 * at + 1]]));
    let (number, check) = (sample(318), sample(319));
    ((number + check - CHECK).abs() <= 2).then(|| ((number + 2) / 4) as u32)
}

struct Echoed {
    /// Between sending and hearing a packet again, by the packet's number.
    delays: Vec<(u32, Duration)>,
    packets: u32,
    simulation: Simulation,
}

/// Ten minutes of packets through `conditions` and back by the echo.
fn echo(conditions: Conditions, seed: u64) -> Echoed {
    let mut simulation = Simulation::new(media(WIDEBAND, 20), StreamMode::Echo);
    let packets = TEN_MINUTES_S as u32 * 50;
    let sent_at: Vec<Duration> = (0..packets).map(|index| ms(20) * index).collect();
    let media = simulation.media.clone();
    let arrivals = deliver(conditions, seed, sent_at);
    let mut sent = vec![Duration::ZERO; packets as usize];
    for arrival in &arrivals {
        sent[arrival.index as usize] = arrival.sent;
    }
    simulation.arrive(
        arrivals.iter().map(|arrival| (arrival.at, far_packet(&media, arrival.index, &numbered(arrival.index)))),
    );
    simulation.run_until(Duration::from_secs(TEN_MINUTES_S));
    let (mut delays, mut latest) = (Vec::new(), 0);
    for packet in &simulation.sent {
        let Some(number) = number_in(&packet.payload) else { continue };
        // The number's next occurrence from the latest on.
        let index = latest + (number + NUMBERS - latest % NUMBERS) % NUMBERS;
        if index < latest + 100 && index < packets {
            delays.push((index, packet.at.saturating_sub(sent[index as usize])));
            latest = index;
        }
    }
    Echoed { delays, packets, simulation }
}

fn mean(delays: &[(u32, Duration)]) -> Duration {
    delays.iter().map(|(_, delay)| *delay).sum::<Duration>() / delays.len().max(1) as u32
}

#[test]
fn ten_minutes_of_loss_jitter_reordering_and_drift_never_pull_the_directions_apart() {
    let delay = ms(30);
    for (drift_ppm, seed) in [(-200.0, 1), (0.0, 2), (200.0, 3)] {
        let conditions =
            Conditions { delay, jitter: ms(60), loss: 0.05, reorder: 0.02, detour: ms(30), duplicate: 0.01, drift_ppm };
        let Echoed { delays, packets, simulation } = echo(conditions, seed);
        let report = simulation.stream.report();
        let heard = delays.len() as f64 / f64::from(packets);
        let (first, last) = (mean(&delays[..2_500]), mean(&delays[delays.len() - 2_500..]));
        let longest = delays.iter().map(|(_, delay)| *delay).max().unwrap_or_default();
        println!(
            "{drift_ppm:+} ppm: {:.1} % heard, delay {first:?} in the first minute, {last:?} in the last, \
             {longest:?} at the most; \
             {} lost, {} late, {} made up, {} left out",
            heard * 100.0,
            report.receive.lost,
            report.receive.late,
            report.frames_concealed,
            report.frames_dropped,
        );
        simulation.assert_consecutive();
        assert_eq!(simulation.sent.len(), packets as usize, "one packet each 20 ms, whatever comes");
        for pair in simulation.sent.windows(2) {
            assert_eq!(pair[1].at - pair[0].at, ms(20));
        }
        assert!(delays.is_sorted_by_key(|(index, _)| *index), "nothing is heard twice or in a wrong order");
        // A buffer of 60 ms and a tick on top of the slowest packet; 10 minutes of drift alone would be 120 ms.
        assert!(longest <= delay + conditions.jitter + conditions.detour + ms(60 + 20), "{longest:?}");
        assert!(first.abs_diff(last) <= ms(20), "{first:?} became {last:?}");
        assert!(report.receive.lost.abs_diff(u64::from(packets) * 5 / 100) < 200, "{:?}", report.receive);
        assert!(report.frames_concealed >= report.receive.lost * 8 / 10, "{report:?}");
        assert!(heard > 0.88, "5 % were lost, and no more than as many again may come too late: {heard}");
        assert!(report.receive.duplicate > 0 && report.receive.reordered > 0, "{:?}", report.receive);
    }
}

#[test]
fn a_steady_network_loses_and_delays_nothing() {
    let Echoed { delays, packets, simulation } = echo(Conditions { delay: ms(5), ..Conditions::default() }, 4);
    let report = simulation.stream.report();
    assert_eq!(
        (report.receive.lost, report.receive.late, report.frames_concealed, report.frames_dropped),
        (0, 0, 0, 0)
    );
    assert!(delays.len() as u32 >= packets - 2, "all but what is still under way: {} of {packets}", delays.len());
    assert!(delays.iter().all(|(_, delay)| *delay <= ms(25)), "never more than the network and one tick");
}

#[test]
fn a_thousand_packets_of_garbage_cause_nothing() {
    let mut random = Xorshift::new(11);
    let mut byte = || (random.uniform() * 256.0) as u8;
    let clean = |simulation: &Simulation| {
        let media = simulation.media.clone();
        (0..500)
            .map(move |index| (ms(5) + ms(20) * index, far_packet(&media, index, &numbered(index))))
            .collect::<Vec<_>>()
    };
    let mut simulation = Simulation::new(media(WIDEBAND, 20), StreamMode::Echo);
    let packets = clean(&simulation);
    simulation.arrive(packets);
    let garbage: Vec<_> = (0..1_000u32)
        .map(|index| {
            let length = usize::from(byte()) * usize::from(byte()) % 1_500;
            let mut datagram: Vec<u8> = (0..length).map(|_| byte()).collect();
            // Half of it looks like RTP, a part of that like the codec's own.
            if index % 2 == 0 && length >= 12 {
                datagram[0] = 0x80 | datagram[0] & 0x3f;
                datagram[1] = if index % 4 == 0 { AUDIO } else { datagram[1] };
            }
            (ms(1_000) + ms(8) * index, datagram)
        })
        .collect();
    simulation.arrive(garbage);
    simulation.run_until(ms(10_000));
    simulation.assert_consecutive();
    let heard: Vec<u32> = simulation.sent.iter().filter_map(|packet| number_in(&packet.payload)).collect();
    let report = simulation.stream.report();
    assert_eq!(heard, (0..heard.len() as u32).collect::<Vec<_>>(), "each of the good packets is heard in its turn");
    assert!(heard.len() >= 498, "{}", heard.len());
    assert_eq!((report.receive.lost, report.receive.ssrc_changes), (0, 0), "{:?}", report.receive);
    let malformed = simulation.counters.malformed.load(std::sync::atomic::Ordering::Relaxed);
    assert!(malformed > 400, "what is no RTP is counted: {malformed}");
    let told = simulation.told(|event| (!matches!(event, MediaEvent::FirstPacket { .. })).then_some(()));
    assert!(told.is_empty(), "{:?}", simulation.told);
}

#[test]
fn a_caller_who_falls_silent_and_comes_back_is_told() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let media = simulation.media.clone();
    let last = ms(1_980);
    let back = last + SILENT_AFTER + ms(1_020);
    let index = |at: Duration| (at.as_millis() / 20) as u32;
    let packets = (0..=index(last)).chain(index(back)..index(back) + 50);
    simulation.arrive(packets.map(|index| (ms(20) * index, far_packet(&media, index, &[0xff; 160]))));
    simulation.run_until(back + ms(1_000));
    let silent = simulation.told(|event| matches!(event, MediaEvent::Silent { .. }).then_some(()));
    let resumed = simulation.told(|event| matches!(event, MediaEvent::Resumed { .. }).then_some(()));
    assert_eq!(silent.len(), 1, "{:?}", simulation.told);
    assert!(silent[0].0 >= last + SILENT_AFTER && silent[0].0 <= last + SILENT_AFTER + ms(20), "{silent:?}");
    assert_eq!(resumed, [(back, ())]);
    simulation.assert_consecutive();
    assert_eq!(simulation.sent.len() as u32, index(simulation.now), "silence from there is no silence from here");
}

/// The RTP timestamp of a sender report that is due by `now`.
fn reported(simulation: &mut Simulation, now: Duration) -> u32 {
    simulation.stream.next_report = simulation.start;
    let (mut outbox, mut reports) = (Outbox::default(), Outbox::default());
    simulation.stream.serve(simulation.start + now, &mut outbox, &mut reports, &simulation.counters);
    let sent = reports.take();
    let compound = Compound::parse(&sent[0].1).expect("the stream sends RTCP");
    let info = compound.packets().find_map(|packet| match packet {
        RtcpPacket::SenderReport { info, .. } => Some(info),
        _ => None,
    });
    info.expect("it has sent packets").rtp_timestamp
}

#[test]
fn a_sender_report_says_the_timestamp_of_its_own_moment() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::L16(SampleRate::Hz16000)] {
        let mut simulation = Simulation::conversation(codec, 20);
        simulation.run_until(ms(1_000));
        let units = |time: Duration| (time.as_millis() as u32) * (codec.rtp_clock_hz() / 1_000);
        // The first packet left after 7 ms; then one left at 1007, and none is due again before 1027.
        for at in [ms(1_007), ms(1_010), ms(1_020)] {
            let expected = SEED.timestamp.wrapping_add(units(at - ms(7)));
            assert_eq!(reported(&mut simulation, at), expected, "{codec:?} at {at:?}");
        }
    }
}

#[test]
fn a_far_end_that_has_told_no_address_gets_no_report_and_no_goodbye() {
    let held = NegotiatedMedia { remote_rtcp: "0.0.0.0:4001".parse().expect("an address"), ..media(Codec::Pcmu, 20) };
    let mut simulation = Simulation::new(held, StreamMode::Conversation);
    simulation.run_until(ms(1_000));
    let now = simulation.start + simulation.now;
    assert!(simulation.stream.outbound.packets > 10);
    assert_eq!(simulation.stream.goodbye(now), None);
}
