//! Turns in the media: interruption, resuming and clearing, keys both ways, utterances.

use super::super::super::event::{MarkId, Taps};
use super::*;
use crate::rtp::dtmf::EventReport;
use crate::rtp::network::{Conditions, deliver};

const FRAME: Duration = ms(20);
/// From the barge-in to silence: what is committed, and the fade of 40 ms.
const UNTIL_SILENT: Duration = ms(40 + 40);

fn barge_ins(simulation: &Simulation) -> Vec<Duration> {
    simulation
        .told(|event| matches!(event, MediaEvent::BargeIn { .. }).then_some(()))
        .iter()
        .map(|(at, ())| *at)
        .collect()
}

/// The agent speaks for four seconds from the start; the caller begins after one.
fn interrupted() -> (Simulation, Duration) {
    let mut simulation = Simulation::conversation(Codec::L16(SampleRate::Hz16000), 20);
    let media = simulation.media.clone();
    let speech = voice("go_somewhere.wav");
    let quiet = vec![0; 16_000];
    simulation.arrive(far_speech(&media, 0, Duration::ZERO, &[&quiet[..], &speech, &vec![0; 96_000]].concat()));
    simulation.play(1, SampleRate::Hz16000, &tone(SampleRate::Hz16000, ms(4_000)));
    simulation.play(2, SampleRate::Hz16000, &tone(SampleRate::Hz16000, ms(1_000)));
    let mut until = ms(1_000);
    while barge_ins(&simulation).is_empty() {
        until += FRAME;
        assert!(until < ms(3_500), "speech over the agent interrupts it: {:?}", simulation.told);
        simulation.run_until(until);
    }
    let at = barge_ins(&simulation)[0];
    (simulation, at)
}

#[test]
fn a_barge_in_silences_the_agent_within_two_frames_and_the_fade() {
    let (mut simulation, at) = interrupted();
    simulation.run_until(at + ms(1_000));
    let loud = simulation.sounding();
    let last = simulation.sent.iter().zip(&loud).filter(|(_, loud)| **loud).map(|(packet, _)| packet.at).max();
    println!("from the barge-in to the last packet with sound: {:?}", last.map(|last| last.saturating_sub(at)));
    assert!(last.is_some_and(|last| last <= at + UNTIL_SILENT), "{last:?} {at:?}");
    assert_eq!(barge_ins(&simulation).len(), 1, "told once");
    simulation.assert_consecutive();
}

#[test]
fn a_false_alarm_goes_on_where_it_was_paused_and_loses_nothing() {
    let (mut simulation, at) = interrupted();
    simulation.run_until(at + ms(2_000));
    simulation.instruct(Instruction::Resume);
    simulation.run_until(ms(10_000));
    let ended =
        simulation.told(|event| if let MediaEvent::ClipEnded { clip, .. } = event { Some(clip.0) } else { None });
    assert_eq!(ended.iter().map(|(_, clip)| *clip).collect::<Vec<_>>(), [1, 2]);
    let sound = simulation.sounding().iter().filter(|loud| **loud).count() as u64 * 20;
    assert!((4_900..=5_100).contains(&sound), "5000 ms were to be said, {sound} ms were");
    let cut = simulation.told(|event| matches!(event, MediaEvent::ClipCut { .. }).then_some(()));
    assert!(cut.is_empty());
}

#[test]
fn clearing_tells_how_much_was_heard_and_lets_no_late_samples_of_it_through() {
    let (mut simulation, at) = interrupted();
    simulation.run_until(at + ms(500));
    simulation.instruct(Instruction::Clear { through: ClipId(3) });
    let cut = simulation.told(|event| match event {
        MediaEvent::ClipCut(cut) => {
            assert!(cut.complete && cut.unplayed() == cut.came - cut.played, "{cut:?}");
            Some((cut.clip.0, cut.played_for(), cut.came_for()))
        }
        _ => None,
    });
    let [(_, (1, played, came)), (_, (2, Duration::ZERO, unheard))] = cut[..] else { panic!("{cut:?}") };
    assert_eq!((came, unheard), (ms(4_000), ms(1_000)));
    assert!(
        played.abs_diff(at) <= UNTIL_SILENT,
        "the clip began with the call, and was interrupted at {at:?}: {played:?}"
    );
    // A clip that was asked for before, but comes only now.
    simulation.play(3, SampleRate::Hz16000, &tone(SampleRate::Hz16000, ms(400)));
    let before = simulation.sent.len();
    // Until the caller has finished.
    simulation.run_until(ms(5_500));
    assert!(simulation.sounding()[before..].iter().all(|loud| !loud));
    simulation.play(4, SampleRate::Hz16000, &tone(SampleRate::Hz16000, ms(400)));
    let before = simulation.sent.len();
    simulation.run_until(ms(6_500));
    let sound = simulation.sounding()[before..].iter().filter(|loud| **loud).count() as u64 * 20;
    assert!((380..=440).contains(&sound), "what comes after is heard whole: {sound}");
    simulation.assert_consecutive();
}

/// How many milliseconds of sound the far end got, keys not counted.
fn sound_ms(simulation: &Simulation) -> usize {
    simulation.sounding().iter().filter(|loud| **loud).count() * 20
}

#[test]
fn a_streamed_clip_that_is_cut_says_what_was_sent_of_it_and_that_there_would_have_been_more() {
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000] {
        let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
        // Six seconds, given as they are wanted: a second ahead at the most.
        let (piece, clip) = (tone(rate, ms(100)), ClipId(1));
        for at in 0..30 {
            simulation.run_until(ms(100 * at).saturating_sub(ms(1_000)));
            let came = simulation.start + simulation.now;
            simulation.instruct(Instruction::Play { clip, rate, samples: piece[..].into(), came });
        }
        simulation.run_until(ms(2_000));
        simulation.instruct(Instruction::Clear { through: clip });
        let cut = simulation.told(|event| if let MediaEvent::ClipCut(cut) = event { Some(*cut) } else { None });
        let [(_, cut)] = cut[..] else { panic!("{cut:?}") };
        assert_eq!((cut.came_for(), cut.complete), (ms(3_000), false), "{rate:?}");
        let heard = ms(sound_ms(&simulation) as u64);
        assert!(cut.played_for().abs_diff(heard) <= ms(20), "{rate:?}: {:?} of {heard:?}", cut.played_for());
        assert_eq!(cut.unplayed(), cut.came - cut.played);
    }
}

#[test]
fn a_clip_that_breaks_off_is_played_as_far_as_it_came_and_told_as_cut_and_the_next_follows() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let (rate, came) = (SampleRate::Hz16000, simulation.start);
    simulation.instruct(Instruction::Play { clip: ClipId(1), rate, samples: tone(rate, ms(300))[..].into(), came });
    simulation.instruct(Instruction::BreakClipOff { clip: ClipId(1) });
    simulation.play(2, rate, &tone(rate, ms(200)));
    simulation.run_until(ms(1_000));
    let ends = simulation.told(|event| match event {
        MediaEvent::ClipCut(cut) => Some((cut.clip.0, cut.played_for(), cut.complete)),
        MediaEvent::ClipEnded { clip, length, .. } => Some((clip.0, *length, true)),
        _ => None,
    });
    let ends: Vec<_> = ends.into_iter().map(|(_, end)| end).collect();
    assert_eq!(ends, [(1, ms(300), false), (2, ms(200), true)]);
    assert!((480..=540).contains(&sound_ms(&simulation)), "{}", sound_ms(&simulation));
}

/// The marks that were told, and whether each was reached.
fn marks(simulation: &Simulation) -> Vec<(Duration, (u32, bool))> {
    simulation.told(|event| match event {
        MediaEvent::Mark { mark, played, .. } => Some((mark.0, *played)),
        _ => None,
    })
}

#[test]
fn an_open_ended_clip_goes_on_after_silence_and_tells_its_marks_when_play_out_comes_to_them() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let (rate, clip) = (SampleRate::Hz24000, ClipId(1));
    let give = |simulation: &mut Simulation, length, mark| {
        let came = simulation.start + simulation.now;
        simulation.instruct(Instruction::Play { clip, rate, samples: tone(rate, length)[..].into(), came });
        simulation.instruct(Instruction::Mark { clip, mark: MarkId(mark) });
    };
    simulation.run_until(ms(100));
    give(&mut simulation, ms(400), 1);
    give(&mut simulation, ms(200), 2);
    simulation.run_until(ms(2_000));
    let told = marks(&simulation);
    let [(first, (1, true)), (second, (2, true))] = told[..] else { panic!("{told:?}") };
    assert!(first.abs_diff(ms(500)) <= ms(20) && second.abs_diff(ms(700)) <= ms(20), "{told:?}");
    // A mark behind what was played already, and one of a clip that was never given.
    simulation.instruct(Instruction::Mark { clip, mark: MarkId(3) });
    simulation.instruct(Instruction::Mark { clip: ClipId(9), mark: MarkId(4) });
    simulation.run_until(ms(2_100));
    assert_eq!(marks(&simulation)[2..].iter().map(|(_, mark)| *mark).collect::<Vec<_>>(), [(4, true), (3, true)]);
    // Silence was no end; what is thrown away tells its marks too.
    give(&mut simulation, ms(300), 5);
    give(&mut simulation, ms(300), 6);
    simulation.run_until(ms(2_500));
    simulation.instruct(Instruction::Clear { through: clip });
    simulation.instruct(Instruction::Mark { clip, mark: MarkId(7) });
    let told: Vec<_> = marks(&simulation)[4..].iter().map(|(_, mark)| *mark).collect();
    assert_eq!(told, [(5, true), (6, false), (7, false)]);
    let ended = simulation.told(|event| matches!(event, MediaEvent::ClipEnded { .. }).then_some(()));
    assert!(ended.is_empty(), "{ended:?}");
    let cut = simulation.told(|event| if let MediaEvent::ClipCut(cut) = event { Some(*cut) } else { None });
    let [(_, cut)] = cut[..] else { panic!("{cut:?}") };
    let unplayed = rate.duration(cut.unplayed());
    assert!(unplayed.abs_diff(ms(200)) <= ms(40) && !cut.complete, "{unplayed:?}");
    simulation.assert_consecutive();
}

#[test]
fn marks_beyond_what_a_clip_keeps_are_told_at_once_as_not_reached() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    let (rate, clip, came) = (SampleRate::Hz8000, ClipId(1), simulation.start);
    simulation.instruct(Instruction::Play { clip, rate, samples: tone(rate, ms(100))[..].into(), came });
    for mark in 0..1_030 {
        simulation.instruct(Instruction::Mark { clip, mark: MarkId(mark) });
    }
    let told: Vec<_> = marks(&simulation).into_iter().map(|(_, mark)| mark).collect();
    assert_eq!(told, (1_024..1_030).map(|mark| (mark, false)).collect::<Vec<_>>());
}

#[test]
fn frames_are_handed_to_a_tap_in_order_and_a_tap_that_is_full_holds_nothing_up() {
    let (frames, mut tap) = mpsc::channel(10);
    let media = media(Codec::Pcmu, 20);
    let taps = Taps { frames: Some(frames), ..Taps::default() };
    let mut simulation = Simulation::tapped(media.clone(), StreamMode::Conversation, taps);
    simulation.arrive(far_speech(&media, 0, Duration::ZERO, &tone(SampleRate::Hz16000, ms(1_000))));
    let mut heard = Vec::new();
    for at in 1..=25 {
        simulation.run_until(ms(20 * at));
        while let Ok(frame) = tap.try_recv() {
            assert_eq!(frame.position as usize, heard.len());
            heard.extend(frame.pcm);
        }
    }
    assert!(heard.len() >= 24 * 320 && heard.iter().any(|sample| *sample > 5_000), "{}", heard.len());
    // Nobody listens for half a second: the newest are lost, and the position tells.
    simulation.run_until(ms(1_000));
    let next = std::iter::from_fn(|| tap.try_recv().ok()).map(|frame| frame.position as usize);
    assert_eq!(next.collect::<Vec<_>>(), (0..10).map(|at| heard.len() + 320 * at).collect::<Vec<_>>());
    simulation.run_until(ms(1_040));
    let position = tap.try_recv().expect("a frame").position as usize;
    assert!(position > heard.len() + 15 * 320, "{position}");
    assert!(simulation.sent.len() >= 50, "{}", simulation.sent.len());
}

#[test]
fn an_agent_that_may_not_be_interrupted_is_not() {
    let mut simulation = Simulation::conversation(Codec::L16(SampleRate::Hz16000), 20);
    let media = simulation.media.clone();
    simulation.instruct(Instruction::SetInterruptible(false));
    simulation.arrive(far_speech(&media, 0, ms(500), &voice("go_somewhere.wav")));
    simulation.play(1, SampleRate::Hz16000, &tone(SampleRate::Hz16000, ms(5_000)));
    simulation.run_until(ms(4_900));
    assert!(barge_ins(&simulation).is_empty());
    assert!(simulation.sounding().iter().skip(1).all(|loud| *loud), "it speaks on");
}

#[test]
fn an_utterance_is_heard_whole_over_a_bad_network() {
    for (codec, ptime_ms) in
        [(Codec::Pcmu, 20), (Codec::G722, 20), (Codec::L16(SampleRate::Hz16000), 20), (Codec::Pcma, 60)]
    {
        let mut simulation = Simulation::conversation(codec, ptime_ms);
        let media = simulation.media.clone();
        let speech = voice("amiable_woman.wav");
        let packets =
            far_speech(&media, 0, Duration::ZERO, &[&vec![0; 16_000][..], &speech, &vec![0; 32_000]].concat());
        let conditions = Conditions {
            jitter: ms(60),
            loss: 0.05,
            reorder: 0.02,
            detour: ms(30),
            drift_ppm: 200.0,
            ..Conditions::default()
        };
        let arrivals = deliver(conditions, 8, packets.iter().map(|(at, _)| *at));
        simulation.arrive(arrivals.iter().map(|arrival| (arrival.at, packets[arrival.index as usize].1.clone())));
        simulation.run_until(ms(7_000));
        let said = Duration::from_micros(speech.len() as u64 * 1_000_000 / 16_000);
        let heard = simulation.told(|event| match event {
            MediaEvent::Utterance(utterance) => Some(SampleRate::Hz16000.duration(utterance.pcm.len())),
            _ => None,
        });
        let [(_, length)] = heard[..] else { panic!("{codec:?}: {:?}", simulation.told.len()) };
        // The recording has some silence of its own at its ends; pre-roll and tail are 500 ms.
        assert!(length >= said.mul_f64(0.8) && length <= said + ms(700), "{codec:?}: {length:?} of {said:?}");
    }
}

/// Keys as the far end's packets, each 100 ms long with 60 ms between, its end sent three times.
fn far_keys(media: &NegotiatedMedia, first: u32, from: Duration, keys: &str) -> Vec<(Duration, Vec<u8>)> {
    let units = media.codec.rtp_clock_hz() * media.ptime_ms / 1_000;
    let (mut packets, mut index, mut tick) = (Vec::new(), first, 0);
    for key in keys.chars() {
        let event = "0123456789*#ABCD".find(key).expect("a key") as u8;
        let timestamp = FAR_TIMESTAMP.wrapping_add((first + tick).wrapping_mul(units));
        for n in 0..8 {
            let report = EventReport { event, end: n >= 5, volume: 10, duration: ((n + 1).min(5) * units) as u16 };
            let mut bytes = far_packet(media, index, &report.to_bytes());
            bytes[1] = EVENT | if n == 0 { 0x80 } else { 0 };
            bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
            packets.push((from + media.ptime() * (tick + n.min(5)), bytes));
            index += 1;
        }
        tick += 8;
    }
    packets
}

#[test]
fn each_key_of_the_caller_is_told_once_over_a_bad_network() {
    let keys = "0123456789*#ABCD5599";
    for seed in 0..20 {
        let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
        let packets = far_keys(&simulation.media, 0, ms(500), keys);
        let conditions = Conditions { jitter: ms(30), loss: 0.05, duplicate: 0.05, ..Conditions::default() };
        let arrivals = deliver(conditions, seed, packets.iter().map(|(at, _)| *at));
        simulation.arrive(arrivals.iter().map(|arrival| (arrival.at, packets[arrival.index as usize].1.clone())));
        simulation.run_until(ms(6_000));
        assert_eq!(simulation.keys(), keys, "seed {seed}");
    }
}

#[test]
fn what_the_agent_says_waits_for_keys_and_is_not_swallowed_by_them() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    simulation.play(1, SampleRate::Hz8000, &tone(SampleRate::Hz8000, ms(1_000)));
    simulation.run_until(ms(300));
    simulation.instruct(Instruction::SendDtmf { digits: "12".to_owned() });
    simulation.run_until(ms(3_000));
    let sound = simulation.sounding().iter().filter(|loud| **loud).count() * 20;
    assert!((980..=1_040).contains(&sound), "{sound} ms of 1000");
    let ended = simulation.told(|event| matches!(event, MediaEvent::ClipEnded { .. }).then_some(()));
    let [(at, ())] = ended[..] else { panic!("{ended:?}") };
    assert!((ms(1_320)..=ms(1_380)).contains(&at), "two keys and their pauses are 320 ms: {at:?}");
    simulation.assert_consecutive();
}

#[test]
fn pauses_between_keys_are_filled_with_silence_because_a_mute_pod_counts_as_lost() {
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    simulation.play(1, SampleRate::Hz8000, &tone(SampleRate::Hz8000, ms(10_000)));
    simulation.instruct(Instruction::SendDtmf { digits: "1wwww2".to_owned() });
    simulation.run_until(ms(5_000));
    simulation.assert_consecutive();
    let times: Vec<Duration> = simulation.sent.iter().map(|packet| packet.at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= ms(20)), "a packet each packet time");
    let events: Vec<usize> = (0..times.len()).filter(|at| simulation.sent[*at].payload_type == EVENT).collect();
    let [.., before, after] = events[..8] else { panic!("{events:?}") };
    assert!(after - before > 100, "four pauses are two seconds");
    assert!(!simulation.sounding()[before..after].iter().any(|loud| *loud));
}

#[test]
fn keys_are_sent_as_events_in_the_rhythm_of_the_stream() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::L16(SampleRate::Hz16000)] {
        let mut simulation = Simulation::conversation(codec, 20);
        simulation.run_until(ms(500));
        simulation.instruct(Instruction::SendDtmf { digits: "4*".to_owned() });
        simulation.run_until(ms(2_000));
        simulation.assert_consecutive();
        let units = codec.rtp_clock_hz() / 50;
        let events: Vec<&Sent> = simulation.sent.iter().filter(|packet| packet.payload_type == EVENT).collect();
        let reports: Vec<EventReport> = events
            .iter()
            .map(|packet| EventReport::from_bytes(packet.payload[..].try_into().expect("four octets")))
            .collect();
        let keys: Vec<_> = events.chunk_by(|a, b| a.timestamp == b.timestamp).map(<[_]>::len).collect();
        assert_eq!(keys, [7, 7], "100 ms are five packets, the last of them and two more are ends");
        for (index, (packet, report)) in events.iter().zip(&reports).enumerate() {
            let nth = index as u32 % 7;
            assert_eq!(packet.marker, nth == 0);
            assert_eq!(report.digit(), Some(if index < 7 { '4' } else { '*' }));
            assert_eq!((report.end, u32::from(report.duration)), (nth >= 4, (nth + 1).min(5) * units));
        }
        // The clock goes on under the keys: audio takes up again where it would be without them.
        let ticks = |packet: &Sent| packet.timestamp.wrapping_sub(SEED.timestamp) / units;
        let behind = simulation
            .sent
            .iter()
            .find(|packet| packet.sequence == events[13].sequence.wrapping_add(1))
            .expect("audio");
        assert!(behind.marker, "audio after a pause of audio");
        for audio in simulation.sent.iter().filter(|packet| packet.payload_type == AUDIO) {
            assert_eq!(audio.at, ms(7) + ms(20) * ticks(audio));
        }
    }
}

/// Wideband audio with keys at 8 kHz alone, as some switches offer it.
fn keys_at_their_own_clock() -> NegotiatedMedia {
    let dtmf = Some(DtmfFormat { payload_type: EVENT, clock_hz: 8_000 });
    NegotiatedMedia { dtmf, ..media(Codec::L16(SampleRate::Hz16000), 20) }
}

#[test]
fn keys_at_their_own_clock_are_heard_whichever_clock_their_timestamps_are_of() {
    let keys = "0123456789*#ABCD5599";
    let wideband = keys_at_their_own_clock();
    // Of the events' clock, and of the stream's.
    for clock_of_timestamps in [Codec::Pcmu, Codec::L16(SampleRate::Hz16000)] {
        for seed in 0..20 {
            let mut simulation = Simulation::new(wideband.clone(), StreamMode::Conversation);
            let far = NegotiatedMedia { codec: clock_of_timestamps, ..wideband.clone() };
            let packets = far_keys(&far, 0, ms(500), keys);
            let conditions = Conditions { jitter: ms(30), loss: 0.05, duplicate: 0.05, ..Conditions::default() };
            let arrivals = deliver(conditions, seed, packets.iter().map(|(at, _)| *at));
            simulation.arrive(arrivals.iter().map(|arrival| (arrival.at, packets[arrival.index as usize].1.clone())));
            simulation.run_until(ms(6_000));
            assert_eq!(simulation.keys(), keys, "{clock_of_timestamps:?}, seed {seed}");
        }
    }
}

#[test]
fn keys_at_their_own_clock_are_sent_with_durations_of_it_in_the_rhythm_of_the_stream() {
    let mut simulation = Simulation::new(keys_at_their_own_clock(), StreamMode::Conversation);
    simulation.run_until(ms(500));
    simulation.instruct(Instruction::SendDtmf { digits: "7".to_owned() });
    simulation.run_until(ms(2_000));
    simulation.assert_consecutive();
    let events: Vec<&Sent> = simulation.sent.iter().filter(|packet| packet.payload_type == EVENT).collect();
    let durations: Vec<u16> = events
        .iter()
        .map(|packet| EventReport::from_bytes(packet.payload[..].try_into().expect("four octets")).duration)
        .collect();
    assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800], "100 ms at 8 kHz");
    let ticks = events[0].timestamp.wrapping_sub(SEED.timestamp) / 320;
    assert_eq!(events[0].at, ms(7) + ms(20) * ticks, "the timestamp is the stream's");
    assert!(events.iter().all(|packet| packet.timestamp == events[0].timestamp));
}

/// Keys as tones in the far end's sound, each 100 ms long with 100 ms behind it.
fn key_tones(keys: &str) -> Vec<i16> {
    let rows = [697.0, 770.0, 852.0, 941.0];
    let columns = [1209.0, 1336.0, 1477.0, 1633.0];
    let mut samples = Vec::new();
    for key in keys.chars() {
        let at = "123A456B789C*0#D".find(key).expect("a key");
        let wave = |hz: f32, n: u32| (std::f32::consts::TAU * hz * n as f32 / 16_000.0).sin();
        samples.extend((0..1_600).map(|n| ((wave(rows[at / 4], n) + wave(columns[at % 4], n)) * 6_000.0) as i16));
        samples.extend(std::iter::repeat_n(0, 1_600));
    }
    samples
}

fn utterances(simulation: &Simulation) -> usize {
    simulation.told(|event| matches!(event, MediaEvent::Utterance(_)).then_some(())).len()
}

#[test]
fn keys_in_the_sound_alone_are_told_once_each_and_are_no_speech() {
    let keys = "1590*#A22";
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16(SampleRate::Hz16000)] {
        for dtmf in [None, Some(DtmfFormat { payload_type: EVENT, clock_hz: 8_000 })] {
            let media = NegotiatedMedia { dtmf, ..media(codec, 20) };
            let mut simulation = Simulation::new(media.clone(), StreamMode::Conversation);
            simulation.arrive(far_speech(&media, 0, ms(100), &key_tones(keys)));
            simulation.run_until(ms(4_000));
            assert_eq!(simulation.keys(), keys, "{codec:?} {dtmf:?}");
            let begun = simulation.told(|event| matches!(event, MediaEvent::SpeechStarted { .. }).then_some(()));
            assert_eq!((begun.len(), utterances(&simulation)), (0, 0), "{codec:?} {dtmf:?}");
        }
    }
}

#[test]
fn keys_in_the_sound_pass_the_loss_of_packets() {
    for seed in 0..20 {
        let media = NegotiatedMedia { dtmf: None, ..media(Codec::Pcmu, 20) };
        let mut simulation = Simulation::new(media.clone(), StreamMode::Conversation);
        let packets = far_speech(&media, 0, ms(100), &key_tones("0123456789"));
        let conditions = Conditions { jitter: ms(20), loss: 0.02, ..Conditions::default() };
        let arrivals = deliver(conditions, seed, packets.iter().map(|(at, _)| *at));
        simulation.arrive(arrivals.iter().map(|arrival| (arrival.at, packets[arrival.index as usize].1.clone())));
        simulation.run_until(ms(4_000));
        assert_eq!(simulation.keys(), "0123456789", "seed {seed}");
    }
}

#[test]
fn a_key_that_comes_as_tone_and_as_event_is_told_once() {
    let media = media(Codec::Pcmu, 20);
    for (tone_from, event_from) in [(100, 100), (100, 160), (160, 100), (100, 250)] {
        let mut simulation = Simulation::new(media.clone(), StreamMode::Conversation);
        // The far end counts what it sends on, tones and events by turns: numbers follow the order of arrival.
        let mut sent = far_speech(&media, 0, ms(tone_from), &key_tones("5"));
        sent.extend(far_keys(&media, 0, ms(event_from), "5"));
        sent.sort_by_key(|(at, _)| *at);
        for (index, (_, packet)) in sent.iter_mut().enumerate() {
            packet[2..4].copy_from_slice(&FAR_SEQUENCE.wrapping_add(index as u16).to_be_bytes());
        }
        simulation.arrive(sent);
        simulation.run_until(ms(2_000));
        assert_eq!(simulation.keys(), "5", "{tone_from} {event_from}");
    }
}

#[test]
fn keys_that_cannot_be_sent_are_told_to_the_call() {
    let unsent =
        |simulation: &Simulation| simulation.told(|event| matches!(event, MediaEvent::KeysUnsent).then_some(())).len();
    let mut without =
        Simulation::new(NegotiatedMedia { dtmf: None, ..media(Codec::Pcmu, 20) }, StreamMode::Conversation);
    without.instruct(Instruction::SendDtmf { digits: "1".to_owned() });
    assert_eq!(unsent(&without), 1);
    let mut simulation = Simulation::conversation(Codec::Pcmu, 20);
    simulation.instruct(Instruction::SendDtmf { digits: "1".to_owned() });
    assert_eq!(unsent(&simulation), 0);
    for _ in 0..100 {
        simulation.instruct(Instruction::SendDtmf { digits: "12345678".to_owned() });
    }
    assert!(unsent(&simulation) > 0, "too many wait");
}
