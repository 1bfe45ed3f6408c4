//! When packets leave: evenly, the first of a reply at once, and not in bursts after a stall.

use super::*;
use crate::rtp::network::{Conditions, Xorshift, deliver};

const CODECS: [Codec; 5] =
    [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16(SampleRate::Hz8000), Codec::L16(SampleRate::Hz16000)];

#[test]
fn every_codec_and_packet_time_leaves_evenly_with_keys_and_speech_over_a_bad_network() {
    for codec in CODECS {
        for ptime_ms in [10, 20, 30, 60] {
            let mut simulation = Simulation::conversation(codec, ptime_ms);
            let media = simulation.media.clone();
            let conditions = Conditions { jitter: ms(40), loss: 0.05, drift_ppm: 100.0, ..Conditions::default() };
            let payload = far_speech(&media, 0, Duration::ZERO, &[0; 960])[0].1.split_off(12);
            let octets = payload.len();
            let count = 12_000 / ptime_ms;
            let arrivals = deliver(conditions, 5, (0..count).map(|index| media.ptime() * index));
            simulation.arrive(arrivals.iter().map(|arrival| (arrival.at, far_packet(&media, arrival.index, &payload))));
            // At the codec's own rate and at others.
            for (clip, rate) in
                [(1, SampleRate::Hz24000), (2, SampleRate::Hz8000), (3, SampleRate::Hz16000), (4, SampleRate::Hz48000)]
            {
                simulation.run_until(ms(1_000 * u64::from(clip)));
                simulation.play(clip, rate, &tone(rate, ms(500)));
            }
            simulation.run_until(ms(6_000));
            simulation.instruct(Instruction::SendDtmf { digits: "1#".to_owned() });
            simulation.run_until(ms(12_000));
            let what = format!("{codec:?} at {ptime_ms} ms");
            simulation.assert_consecutive();
            assert_eq!(octets, simulation.sent[0].payload.len(), "{what}");
            let audio = simulation.sent.iter().filter(|packet| packet.payload_type == AUDIO);
            assert!(audio.clone().all(|packet| packet.payload.len() == octets), "{what}");
            let ended = simulation
                .told(|event| if let MediaEvent::ClipEnded { clip, .. } = event { Some(clip.0) } else { None });
            assert_eq!(ended.iter().map(|(_, clip)| *clip).collect::<Vec<_>>(), [1, 2, 3, 4], "{what}");
            let sound = audio.zip(simulation.sounding()).filter(|(_, loud)| *loud).count() as u32 * ptime_ms;
            assert!((2_000 - 40..=2_000 + 8 * ptime_ms).contains(&sound), "{what}: {sound} ms of sound of 2000");
            // Every packet time has its packet, but for the pauses after the keys; a reply may put it forward.
            let units = codec.rtp_clock_hz() * ptime_ms / 1_000;
            let (first, last) = (&simulation.sent[0], simulation.sent.last().expect("packets"));
            let ticks = last.timestamp.wrapping_sub(first.timestamp) / units;
            assert_eq!(first.timestamp, SEED.timestamp, "{what}");
            assert!((count - 2..=count).contains(&(ticks + 1)), "{what}: {ticks} ticks of {count}");
        }
    }
}

#[test]
fn a_replys_first_packet_leaves_at_once_and_the_next_silence_restores_the_rhythm() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let phase = ms(7);
    let mut random = Xorshift::new(3);
    let mut at = ms(500);
    for clip in 1..200 {
        // Anywhere between two beats.
        at += ms(200) + Duration::from_micros((random.uniform() * 20_000.0) as u64);
        simulation.run_until(at);
        let before = simulation.sent.len();
        simulation.play(clip, SampleRate::Hz8000, &tone(SampleRate::Hz8000, ms(70)));
        simulation.run_until(at);
        assert_eq!(simulation.sent.len(), before + 1, "the packet leaves with the instruction");
        assert!(simulation.sounding()[before], "and it carries the reply");
        let started = simulation.told(|event| match event {
            MediaEvent::ClipStarted { clip, waited, .. } => Some((clip.0, *waited)),
            _ => None,
        });
        assert_eq!(started.last(), Some(&(at, (clip, Duration::ZERO))));
        // 70 ms are four packets; the packet after them is silent, and the one behind that is back on the beat.
        simulation.run_until(at + ms(160));
        let times: Vec<Duration> = simulation.sent[before..].iter().map(|packet| packet.at - at).collect();
        assert_eq!(times[..4], [ms(0), ms(20), ms(40), ms(60)]);
        let latest = simulation.sent.last().expect("packets").at;
        assert_eq!((latest - phase).as_nanos() % ms(20).as_nanos(), 0, "{times:?}");
    }
    simulation.assert_consecutive();
    let end = simulation.now;
    let beats = ((end - phase).as_millis() / 20 + 1) as usize;
    assert_eq!(simulation.sent.len(), beats, "no packet more or less than the call is long");
}

#[test]
fn replies_in_quick_succession_are_never_late_for_their_own_schedule() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let mut random = Xorshift::new(9);
    let mut at = ms(500);
    for clip in 1..500 {
        at += Duration::from_micros((random.uniform() * 120_000.0) as u64);
        simulation.run_until(at);
        simulation.play(clip, SampleRate::Hz8000, &tone(SampleRate::Hz8000, ms(20)));
        let due = simulation.stream.outbound.due().saturating_duration_since(simulation.start);
        assert!(due <= at + ms(20), "clip {clip} waits for {:?}", due - at);
        assert!(simulation.next <= due.max(at), "clip {clip} is due at {due:?}, but woken at {:?}", simulation.next);
    }
    simulation.run_until(at + ms(500));
    simulation.assert_consecutive();
    for pair in simulation.sent.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart <= ms(40), "no hole: {apart:?}");
    }
}

#[test]
fn a_worker_that_was_held_up_for_half_a_second_does_not_send_a_burst() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    simulation.run_until(ms(1_000));
    let before = simulation.sent.len();
    simulation.stall(ms(500));
    simulation.run_until(simulation.now + ms(100));
    let behind: Vec<&Sent> = simulation.sent[before..].iter().collect();
    assert!(behind.len() <= 6, "100 ms are five packets, and one was due: {behind:?}");
    assert!(behind.windows(2).skip(1).all(|pair| pair[1].at - pair[0].at == ms(20)), "{behind:?}");
    // What was missed is missing in the timestamps, and the receiver is told by the marker.
    let (last, first) = (&simulation.sent[before - 1], behind[0]);
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    let jump = first.timestamp.wrapping_sub(last.timestamp);
    assert!(first.marker && (24 * 160..=27 * 160).contains(&jump), "{jump}");
}

#[test]
fn a_short_stall_is_made_up_for_packet_by_packet() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    simulation.run_until(ms(1_000));
    simulation.stall(ms(50));
    simulation.run_until(ms(2_000));
    simulation.assert_consecutive();
    assert_eq!(simulation.sent.len(), 100);
}

#[test]
fn a_stream_that_may_not_send_sends_nothing_and_still_hears() {
    for direction in [Direction::RecvOnly, Direction::Inactive] {
        let held = NegotiatedMedia { direction, ..media(Codec::Pcmu, 20) };
        let mut simulation = Simulation::new(held.clone(), StreamMode::Conversation);
        simulation.arrive(far_speech(&held, 0, ms(500), &voice("go_forward.wav")));
        simulation.run_until(ms(100));
        simulation.play(1, SampleRate::Hz8000, &tone(SampleRate::Hz8000, ms(200)));
        simulation.instruct(Instruction::SendDtmf { digits: "5".to_owned() });
        simulation.run_until(ms(6_000));
        assert!(simulation.sent.is_empty(), "{direction:?}");
        let ended = simulation.told(|event| matches!(event, MediaEvent::ClipEnded { .. }).then_some(()));
        assert_eq!(ended.len(), 1, "the conversation goes on: {:?}", simulation.told);
        let heard = simulation.told(|event| matches!(event, MediaEvent::Utterance(_)).then_some(()));
        assert!(!heard.is_empty(), "{:?}", simulation.told);
    }
}
