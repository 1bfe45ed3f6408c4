use super::*;
use proptest::prelude::*;

/// A header with what the tests want to vary.
fn header(tag: u16, channels: u16, rate_hz: u32, bits: u16, data_length: u32) -> Vec<u8> {
    let frame_bytes = channels.wrapping_mul(bits / 8);
    let mut file = Vec::new();
    file.extend(b"RIFF\xff\xff\xff\xffWAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz * u32::from(frame_bytes)).to_le_bytes());
    file.extend(frame_bytes.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend(data_length.to_le_bytes());
    file
}

fn tone(rate_hz: f32, hz: f32, samples: usize) -> Vec<i16> {
    (0..samples).map(|n| (12_000.0 * (std::f32::consts::TAU * hz * n as f32 / rate_hz).sin()) as i16).collect()
}

#[test]
fn what_is_written_is_read_again() {
    for rate in SampleRate::ALL {
        let samples = tone(rate.hz() as f32, 440.0, 1000);
        assert_eq!(read(&write(&samples, rate)), Ok(WavAudio { rate, samples }));
    }
}

#[test]
fn other_readers_understand_what_is_written() {
    let samples = tone(16_000.0, 440.0, 1000);
    let file = write(&samples, SampleRate::Hz16000);
    let mut reader = hound::WavReader::new(&file[..]).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels, reader.spec().bits_per_sample), (16_000, 1, 16));
    assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), samples);
}

#[test]
fn lengths_that_a_streaming_server_makes_up_mean_until_the_end() {
    for length in [0, u32::MAX, u32::MAX - 36, 0x7fff_ffff, 0x7fff_f000] {
        let mut file = header(1, 1, 24_000, 16, length);
        file.extend([1, 0, 2, 0, 3, 0]);
        assert_eq!(read(&file).unwrap().samples, [1, 2, 3], "{length:#x}");
    }
}

#[test]
fn what_stands_behind_the_audio_is_no_audio() {
    let mut file = write(&[1, 2, 3], SampleRate::Hz8000);
    file.extend(b"LIST\x04\0\0\0INFO");
    assert_eq!(read(&file).unwrap().samples, [1, 2, 3]);
}

#[test]
fn chunks_before_the_audio_are_passed_over_with_their_padding() {
    let plain = write(&[5, 6], SampleRate::Hz8000);
    let mut file = plain[..12].to_vec();
    file.extend(b"LIST\x03\0\0\0abc\0");
    file.extend(&plain[12..36]);
    file.extend(b"fact\x04\0\0\0\x02\0\0\0");
    file.extend(&plain[36..]);
    assert_eq!(read(&file).unwrap().samples, [5, 6]);
}

#[test]
fn every_width_gives_the_same_samples() {
    let half = i16::MAX / 2 + 1;
    let cases: [(u16, u16, Vec<u8>); 6] = [
        (1, 8, vec![192, 64]),
        (1, 16, [half, -half].iter().flat_map(|s| s.to_le_bytes()).collect()),
        (1, 24, vec![0, 0, 0x40, 0, 0, 0xc0]),
        (1, 32, [1_i32 << 30, -(1 << 30)].iter().flat_map(|s| s.to_le_bytes()).collect()),
        (3, 32, [0.5_f32, -0.5].iter().flat_map(|s| s.to_le_bytes()).collect()),
        (3, 64, [0.5_f64, -0.5].iter().flat_map(|s| s.to_le_bytes()).collect()),
    ];
    for (tag, bits, audio) in cases {
        let mut file = header(tag, 1, 16_000, bits, audio.len() as u32);
        file.extend(audio);
        assert_eq!(read(&file).unwrap().samples, [half, -half], "{bits} bits, tag {tag}");
    }
}

#[test]
fn telephone_samples_are_read_as_their_recommendation_says() {
    for (tag, codes, samples) in
        [(7, [0xFF, 0x80, 0x00], [0, 32_124, -32_124]), (6, [0xD5, 0xAA, 0x2A], [8, 32_256, -32_256])]
    {
        let mut file = header(tag, 1, 8_000, 8, 3);
        file.extend(codes);
        assert_eq!(read(&file).unwrap().samples, samples, "tag {tag}");
    }
}

fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Everything that `pieces` of this many bytes give.
fn read_in_pieces(stream: &[u8], piece: usize) -> Result<Vec<i16>, WavError> {
    let (mut reader, mut samples) = (WavReader::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        reader.push(bytes, &mut samples)?;
    }
    reader.finish(&mut samples)?;
    Ok(samples)
}

#[test]
fn files_that_follow_one_another_are_all_heard_whatever_stands_between_them() {
    let (first, second) = (tone(16_000.0, 440.0, 700), tone(16_000.0, 600.0, 500));
    let file = |length: Option<u32>, samples: &[i16]| {
        let length = length.unwrap_or(samples.len() as u32 * 2);
        [header(1, 1, 16_000, 16, length), bytes_of(samples)].concat()
    };
    let list: &[u8] = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf60.16.100\0";
    let junk: &[u8] = b"JUNK\x05\0\0\0RIFFs\0";
    let between: [&[u8]; 6] = [b"", list, junk, &[list, junk].concat(), b"\0", b"\r\n"];
    for length in [None, Some(0), Some(u32::MAX), Some(0x7fff_ffff), Some(2 * 1_200 + 44)] {
        for between in &between[..if length.is_none() { 6 } else { 4 }] {
            if length == Some(2 * 1_200 + 44) && !between.is_empty() {
                continue;
            }
            let stream = [file(length, &first), between.to_vec(), file(length, &second), between.to_vec()].concat();
            for piece in [1, 2, 5, 11, 12, 64, 4_096] {
                let samples = read_in_pieces(&stream, piece).unwrap();
                assert_eq!(samples, [&first[..], &second].concat(), "{length:x?} {between:x?} pieces of {piece}");
            }
        }
    }
}

#[test]
fn a_later_file_is_heard_at_the_rate_of_the_first() {
    for (first_hz, second_hz) in [(24_000_u32, 16_000_u32), (16_000, 24_000), (22_050, 8_000), (8_000, 48_000)] {
        let file = |hz: u32, seconds: f32| {
            let samples = tone(hz as f32, 440.0, (hz as f32 * seconds) as usize);
            [header(1, 1, hz, 16, samples.len() as u32 * 2), bytes_of(&samples)].concat()
        };
        let audio = read(&[file(first_hz, 0.5), file(second_hz, 0.5)].concat()).unwrap();
        let expected = audio.rate.hz() as usize;
        assert!(
            audio.samples.len().abs_diff(expected) < expected / 50,
            "{first_hz}, {second_hz}: {}",
            audio.samples.len()
        );
        let second = &audio.samples[expected * 6 / 10..expected * 9 / 10];
        let crossings = second.windows(2).filter(|two| two[0] < 0 && two[1] >= 0).count();
        assert!((131..=133).contains(&crossings), "440 Hz for 0.3 s: {crossings} periods");
    }
}

#[test]
fn a_later_file_that_is_not_supported_is_named_behind_what_was_heard() {
    let stream = [write(&[1, 2, 3], SampleRate::Hz8000), header(0x55, 1, 8_000, 16, 0)].concat();
    let (mut reader, mut samples) = (WavReader::new(), Vec::new());
    let error = reader.push(&stream, &mut samples).unwrap_err();
    assert_eq!((error, samples), (WavError::UnsupportedEncoding { tag: 0x55, bits: 16 }, vec![1, 2, 3]));
}

#[test]
fn an_endless_row_of_files_without_audio_is_refused() {
    let empty = header(1, 1, 16_000, 16, 0);
    let mut reader = WavReader::new();
    let refused = (0..30_000).find_map(|_| reader.push(&empty, &mut Vec::new()).err());
    assert!(matches!(refused, Some(WavError::NoAudio { .. })), "{refused:?}");
}

#[test]
fn a_file_with_lengths_of_64_bits_is_read() {
    let plain = write(&[5, 6], SampleRate::Hz16000);
    let mut file = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    file.extend([0; 28]);
    file.extend(&plain[12..40]);
    file.extend(u32::MAX.to_le_bytes());
    file.extend(&plain[44..]);
    assert_eq!(read(&file).unwrap().samples, [5, 6]);
}

#[test]
fn two_channels_are_mixed_to_one() {
    let mut file = header(1, 2, 8_000, 16, 0);
    file.extend([100_i16, 300, -50, 50].iter().flat_map(|s| s.to_le_bytes()));
    assert_eq!(read(&file).unwrap().samples, [200, 0]);
}

#[test]
fn an_extensible_format_is_what_its_subformat_says() {
    let mut file = header(0xfffe, 1, 16_000, 16, 0);
    file.truncate(36);
    file[16] = 40;
    file.extend([22, 0, 16, 0, 4, 0, 0, 0, 1, 0]);
    file.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
    file.extend(b"data\x04\0\0\0\x07\0\x08\0");
    assert_eq!(read(&file).unwrap().samples, [7, 8]);
    file[30 + 16] = 1;
    assert!(matches!(read(&file), Err(WavError::UnsupportedEncoding { tag: 0xfffe, .. })));
}

#[test]
fn what_is_not_supported_is_named() {
    let cases = [
        (header(0x55, 1, 16_000, 16, 0), WavError::UnsupportedEncoding { tag: 0x55, bits: 16 }),
        (header(1, 1, 16_000, 12, 0), WavError::UnsupportedEncoding { tag: 1, bits: 12 }),
        (header(1, 6, 16_000, 16, 0), WavError::UnsupportedChannels { channels: 6 }),
        (header(1, 0, 16_000, 16, 0), WavError::UnsupportedChannels { channels: 0 }),
        (header(1, 1, 96_000, 16, 0), WavError::UnsupportedRate { hz: 96_000 }),
        (header(1, 1, 0, 16, 0), WavError::UnsupportedRate { hz: 0 }),
        (b"ID3\x04and so on, an MP3".to_vec(), WavError::NotWav { found: *b"ID3\x04", at: 0 }),
        (b"RIFF\0\0\0\0AVI data".to_vec(), WavError::NotWav { found: *b"AVI ", at: 8 }),
        (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0".to_vec(), WavError::FormatMissing),
        (b"RIFF\0\0\0\0WAVE".to_vec(), WavError::Truncated { bytes: 12 }),
        (Vec::new(), WavError::Truncated { bytes: 0 }),
    ];
    for (file, error) in cases {
        assert_eq!(read(&file), Err(error));
    }
    let text = WavError::UnsupportedRate { hz: 96_000 }.to_string();
    assert!(text.contains("8000, 16000, 24000 and 48000"), "{text}");
}

#[test]
fn an_error_stays() {
    let mut reader = WavReader::new();
    let error = reader.push(b"HTTP/1.1 500", &mut Vec::new()).unwrap_err();
    assert_eq!(reader.push(&write(&[1], SampleRate::Hz8000), &mut Vec::new()), Err(error));
}

#[test]
fn a_flood_before_the_audio_is_refused() {
    let mut reader = WavReader::new();
    let mut out = Vec::new();
    reader.push(b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff", &mut out).unwrap();
    let flood = [0_u8; 4096];
    let refused = (0..1000).find_map(|_| reader.push(&flood, &mut out).err());
    assert!(matches!(refused, Some(WavError::NoAudio { .. })));
}

#[test]
fn rates_that_are_not_carried_become_the_next_higher_one() {
    for (hz, rate) in [
        (11_025, SampleRate::Hz16000),
        (22_050, SampleRate::Hz24000),
        (32_000, SampleRate::Hz48000),
        (44_100, SampleRate::Hz48000),
    ] {
        let mut file = header(1, 1, hz, 16, 0);
        file.extend(tone(hz as f32, 440.0, hz as usize).iter().flat_map(|s| s.to_le_bytes()));
        let audio = read(&file).unwrap();
        assert_eq!(audio.rate, rate);
        // One second stays one second, and the same tone in the same place.
        assert!(audio.samples.len().abs_diff(rate.hz() as usize) < rate.hz() as usize / 100, "{}", audio.samples.len());
        let heard: Vec<f64> =
            audio.samples[4000..4000 + rate.hz() as usize / 2].iter().map(|s| f64::from(*s)).collect();
        let turn = |n: usize| std::f64::consts::TAU * 440.0 * (4000 + n) as f64 / f64::from(rate.hz());
        let project = |wave: fn(f64) -> f64| {
            2.0 / heard.len() as f64 * heard.iter().enumerate().map(|(n, s)| s * wave(turn(n))).sum::<f64>()
        };
        let (sine, cosine) = (project(f64::sin), project(f64::cos));
        assert!((sine.hypot(cosine) / 12_000.0 - 1.0).abs() < 0.01, "{hz} Hz: {sine} {cosine}");
        assert!(cosine.atan2(sine).abs() < std::f64::consts::TAU * 440.0 * 1.5 / f64::from(hz), "{hz} Hz is late");
        let noise: f64 = heard
            .iter()
            .enumerate()
            .map(|(n, s)| (s - sine * turn(n).sin() - cosine * turn(n).cos()).powi(2))
            .sum::<f64>();
        let snr = 10.0 * (heard.iter().map(|s| s * s).sum::<f64>() / noise).log10();
        assert!(snr > 55.0, "{hz} Hz: {snr} dB");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic_and_give_no_more_than_they_hold(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        patched in any::<bool>(),
        format in prop::collection::vec(any::<u8>(), 24),
    ) {
        let mut bytes = bytes;
        if patched {
            // A valid beginning gets past the first check more often than chance would.
            bytes.splice(0..0, [&b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"[..], &format].concat());
        }
        if let Ok(audio) = read(&bytes) {
            // 8-bit audio at 8001 Hz becomes 16 kHz.
            prop_assert!(audio.samples.len() <= bytes.len() * 3 + 1000);
        }
    }

    #[test]
    fn any_samples_of_any_format_are_read(
        audio in prop::collection::vec(any::<u8>(), 0..1000),
        (tag, bits) in prop::sample::select(vec![(1_u16, 8_u16), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (6, 8), (7, 8)]),
        channels in 1..=2_u16,
        rate_hz in 8_000..=48_000_u32,
    ) {
        let mut file = header(tag, channels, rate_hz, bits, u32::MAX);
        file.extend(audio);
        prop_assert!(read(&file).is_ok());
    }

    #[test]
    fn it_does_not_matter_where_the_stream_is_cut(
        samples in prop::collection::vec(any::<i16>(), 0..300),
        rate_hz in prop::sample::select(vec![8_000_u32, 22_050, 48_000]),
        cuts in prop::collection::vec(1_usize..40, 1..60),
    ) {
        let mut file = header(1, 1, rate_hz, 16, 0);
        file.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        let whole = read(&file).unwrap().samples;
        let (mut parts, mut rest) = (Vec::new(), &file[..]);
        let mut reader = WavReader::new();
        for cut in cuts.into_iter().cycle() {
            let (bytes, after) = rest.split_at(cut.min(rest.len()));
            reader.push(bytes, &mut parts).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        reader.finish(&mut parts).unwrap();
        prop_assert_eq!(whole, parts);
    }

    #[test]
    fn it_does_not_matter_where_a_row_of_files_is_cut(
        files in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..200), prop::sample::select(vec![8_000_u32, 16_000, 22_050]), 0..4_usize),
            1..5,
        ),
        piece in 1_usize..60,
    ) {
        let between: [&[u8]; 4] = [b"", b"RIFFRIFF", b"LIST\x04\0\0\0INFO", b"JUNK\x02\0"];
        let stream: Vec<u8> = files
            .iter()
            .flat_map(|(audio, rate, gap)| [&header(1, 1, *rate, 16, 0)[..], audio, between[*gap]].concat())
            .collect();
        prop_assert_eq!(read_in_pieces(&stream, piece), read_in_pieces(&stream, stream.len()));
    }
}
