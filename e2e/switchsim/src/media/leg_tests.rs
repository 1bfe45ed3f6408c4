use super::*;
use crate::sdp::DtmfFormat;

fn format() -> LegFormat {
    LegFormat {
        media: AnsweredMedia {
            remote: "127.0.0.1:9".parse().unwrap(),
            codec: Codec::Pcmu,
            payload_type: 0,
            ptime_ms: 20,
            dtmf: Some(DtmfFormat { payload_type: 101, clock_hz: 8_000 }),
        },
    }
}

fn speaker(impairments: Impairments) -> Speaker {
    Speaker::new(impairments, Clip::silence(Duration::from_millis(20)))
}

/// Runs `frames` frames of 20 ms; what left, in order of leaving, as sequence, payload type, marker, timestamp, payload.
fn run(speaker: &mut Speaker, frames: u32) -> Vec<(u16, u8, bool, u32, Vec<u8>)> {
    let start = Instant::now();
    let mut out = Vec::new();
    for frame in 0..frames {
        speaker.frame(Some(&format()), start + Duration::from_millis(20) * frame, &mut out);
    }
    out.sort_by_key(|packet| packet.at);
    let packets = out.iter().flat_map(|packet| std::iter::repeat_n(&packet.bytes, if packet.twice { 2 } else { 1 }));
    packets
        .map(|bytes| {
            let packet = rtp::parse(bytes).unwrap();
            (packet.sequence, packet.payload_type, packet.marker, packet.timestamp, packet.payload.to_vec())
        })
        .collect()
}

#[test]
fn a_silent_caller_still_sends_every_frame() {
    let packets = run(&mut speaker(Impairments::default()), 50);
    assert_eq!(packets.len(), 50);
    assert!(packets[0].2 && !packets[1].2, "the marker opens the stream");
    for pair in packets.windows(2) {
        assert_eq!(pair[1].0.wrapping_sub(pair[0].0), 1);
        assert_eq!(pair[1].3.wrapping_sub(pair[0].3), 160);
    }
}

#[test]
fn what_is_said_goes_out_once_and_says_when_it_is_done() {
    let mut speaker = speaker(Impairments::default());
    let (sender, mut done) = oneshot::channel();
    speaker.say(Clip::tone(500.0, Duration::from_millis(100)), false, Some(sender));
    let silence =
        run(&mut Speaker::new(Impairments::default(), Clip::silence(Duration::from_millis(20))), 1)[0].4.clone();
    let loud = run(&mut speaker, 5).iter().filter(|packet| packet.4 != silence).count();
    assert_eq!(loud, 5);
    assert!(done.try_recv().is_err());
    assert_eq!(run(&mut speaker, 1)[0].4, silence);
    assert!(done.try_recv().is_ok());
}

#[test]
fn a_digit_is_five_packets_and_three_ends_with_one_timestamp() {
    let mut speaker = speaker(Impairments::default());
    speaker.dial("1#", None);
    let packets = run(&mut speaker, 30);
    let events: Vec<_> = packets.iter().filter(|packet| packet.1 == 101).collect();
    assert_eq!(events.len(), 2 * 8);
    let (first, second) = events.split_at(8);
    for digit in [first, second] {
        assert!(digit[0].2 && !digit[1].2, "the marker opens the event");
        assert!(digit.iter().all(|packet| packet.3 == digit[0].3));
        let read: Vec<_> = digit.iter().map(|packet| rtp::read_event(&packet.4).unwrap()).collect();
        assert_eq!(read.iter().map(|event| event.2).collect::<Vec<_>>(), [160, 320, 480, 640, 800, 800, 800, 800]);
        assert_eq!(read.iter().filter(|event| event.1).count(), 3);
    }
    assert_eq!(rtp::read_event(&second[0].4).unwrap().0, '#');
    assert!(second[0].3.wrapping_sub(first[0].3) > 800, "the next digit is a new event");
}

#[test]
fn nothing_is_sent_on_hold_but_time_goes_on() {
    let mut speaker = speaker(Impairments::default());
    let before = run(&mut speaker, 1)[0].clone();
    speaker.held = true;
    assert!(run(&mut speaker, 10).is_empty());
    speaker.held = false;
    let after = run(&mut speaker, 1)[0].clone();
    assert_eq!(after.0.wrapping_sub(before.0), 1, "no packet is missing");
    assert_eq!(after.3.wrapping_sub(before.3), 160 * 11);
}

#[test]
fn the_network_loses_doubles_and_reorders_the_same_packets_for_the_same_seed() {
    let network = Impairments { loss: 0.1, reorder: 0.1, duplicate: 0.1, seed: 7, ..Impairments::default() };
    let one = run(&mut speaker(network), 1_000);
    assert_eq!(one, run(&mut speaker(network), 1_000));
    let mut unique: Vec<u16> = one.iter().map(|packet| packet.0).collect();
    unique.sort_unstable();
    unique.dedup();
    assert!((850..950).contains(&unique.len()), "{} of 1000 came", unique.len());
    assert!((50..150).contains(&(one.len() - unique.len())));
    assert!(one.windows(2).any(|pair| pair[1].0.wrapping_sub(pair[0].0) > 0x8000), "some are overtaken");
}

#[test]
fn jitter_delays_and_keeps_the_order() {
    let network = Impairments { jitter: Duration::from_millis(80), seed: 3, ..Impairments::default() };
    let packets = run(&mut speaker(network), 500);
    assert!(packets.windows(2).all(|pair| pair[1].0.wrapping_sub(pair[0].0) == 1));
}

#[test]
fn a_fast_clock_makes_short_frames() {
    let fast = speaker(Impairments { clock_drift_ppm: 1_000.0, ..Impairments::default() });
    let interval = fast.interval(20);
    assert!(interval < Duration::from_micros(19_985) && interval > Duration::from_micros(19_975), "{interval:?}");
}

#[test]
fn a_takeover_goes_on_in_the_middle_of_the_sentence_with_the_new_codec() {
    let mut speaker = speaker(Impairments::default());
    let clip = Clip::tone(500.0, Duration::from_millis(400));
    speaker.say(clip.clone(), false, None);
    run(&mut speaker, 10);
    speaker.new_leg();
    let wide = LegFormat { media: AnsweredMedia { codec: Codec::G722, payload_type: 9, ..format().media } };
    let mut out = Vec::new();
    speaker.frame(Some(&wide), Instant::now(), &mut out);
    let packet = rtp::parse(&out[0].bytes).unwrap();
    assert!(packet.marker);
    assert_eq!(packet.payload, clip.frames(Codec::G722, 20).get(10).unwrap());
}
