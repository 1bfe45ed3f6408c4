use super::*;
use crate::esl::command::Command;
use proptest::prelude::*;

const L16: Codec = Codec::L16(SampleRate::Hz16000);

fn params() -> AnswerParams<'static> {
    let address = "10.1.2.3:16384".parse().expect("an address");
    // The recorded offers are those of a switch on the same host.
    let surroundings = Surroundings { own: &[], switch_is_here: true };
    AnswerParams { address, codecs: &WIDEBAND_FIRST, session_id: 7, surroundings }
}

fn answer(offer: &str) -> Result<Answer, AnswerError> {
    Offer::parse(offer).expect("a readable offer").answer(&params())
}

/// Answers an offer with these lines after the session's own.
fn answer_to(rest: &str) -> Result<Answer, AnswerError> {
    answer(&format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{rest}"))
}

fn media_of(rest: &str) -> NegotiatedMedia {
    answer_to(rest).expect("an answer").media
}

const ANSWER_HEAD: &str = "v=0\r\no=sofia-phone 7 1 IN IP4 10.1.2.3\r\ns=sofia-phone\r\nc=IN IP4 10.1.2.3\r\nt=0 0\r\n";

#[test]
fn a_narrowband_offer_of_freeswitch_is_answered() {
    let answer = answer(include_str!("../../../tests/fixtures/offers/pcmu-pcma.sdp")).expect("an answer");
    assert_eq!(
        answer.sdp,
        format!(
            "{ANSWER_HEAD}m=audio 16384 RTP/AVP 0 101 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        )
    );
    let remote = "127.0.0.1:23158".parse().expect("an address");
    let expected = NegotiatedMedia {
        codec: Codec::Pcmu,
        payload_type: 0,
        remote,
        remote_rtcp: "127.0.0.1:23159".parse().expect("an address"),
        ptime_ms: 20,
        dtmf: Some(DtmfFormat { payload_type: 101, clock_hz: 8000 }),
        comfort_noise: Some(13),
        direction: Direction::SendRecv,
    };
    assert_eq!(answer.media, expected);
}

#[test]
fn a_wideband_offer_of_freeswitch_gets_l16_with_events_at_its_clock() {
    let answer = answer(include_str!("../../../tests/fixtures/offers/wideband.sdp")).expect("an answer");
    assert_eq!((answer.media.codec, answer.media.payload_type), (L16, 102));
    assert_eq!(answer.media.dtmf, Some(DtmfFormat { payload_type: 104, clock_hz: 16000 }));
    assert_eq!(answer.media.comfort_noise, Some(105));
    assert!(answer.sdp.contains("m=audio 16384 RTP/AVP 102 104 105\r\n"), "{}", answer.sdp);
    assert!(answer.sdp.contains("a=rtpmap:104 telephone-event/16000\r\na=fmtp:104 0-15\r\n"), "{}", answer.sdp);
}

#[test]
fn thirty_milliseconds_are_kept() {
    let answer = answer(include_str!("../../../tests/fixtures/offers/ptime30.sdp")).expect("an answer");
    assert_eq!(answer.media.ptime_ms, 30);
    assert!(answer.sdp.contains("a=ptime:30\r\n"), "{}", answer.sdp);
}

#[test]
fn an_offer_without_media_has_no_answer() {
    let error = answer(include_str!("../../../tests/fixtures/offers/no-media.sdp")).expect_err("no media");
    assert_eq!(error, AnswerError::NoMedia);
    assert_eq!(error.hangup_cause().as_str(), "INCOMPATIBLE_DESTINATION");
}

#[test]
fn mandatory_srtp_is_refused_by_name() {
    let error = answer(include_str!("../../../tests/fixtures/offers/srtp-mandatory.sdp")).expect_err("SRTP only");
    let suites = vec!["AES_CM_128_HMAC_SHA1_80".to_owned(), "AEAD_AES_256_GCM_8".to_owned()];
    assert_eq!(error, AnswerError::SrtpOnly { suites });
    assert!(error.to_string().contains("SRTP (AES_CM_128_HMAC_SHA1_80"), "{error}");
    assert_eq!(error.hangup_cause().as_str(), "INCOMPATIBLE_DESTINATION");
}

#[test]
fn of_optional_srtp_the_plain_section_is_taken_and_the_other_refused_in_its_place() {
    let answer = answer(include_str!("../../../tests/fixtures/offers/srtp-optional.sdp")).expect("an answer");
    let sections: Vec<_> = answer.sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(sections, ["m=audio 0 RTP/SAVP 0", "m=audio 16384 RTP/AVP 0 101 13"]);
    assert_eq!(answer.media.remote.port(), 27030);
}

#[test]
fn our_order_of_codecs_decides_and_not_the_offers() {
    let rest = "m=audio 2 RTP/AVP 8 0 9 96\r\na=rtpmap:96 l16/16000\r\n";
    assert_eq!((media_of(rest).codec, media_of(rest).payload_type), (L16, 96));
    let offer = Offer::parse(&format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{rest}")).expect("readable");
    let with = |codecs: &[Codec]| offer.answer(&AnswerParams { codecs, ..params() }).map(|answer| answer.media.codec);
    assert_eq!(with(&[Codec::G722, Codec::Pcmu]), Ok(Codec::G722));
    assert_eq!(with(&[Codec::Pcma]), Ok(Codec::Pcma));
    assert!(matches!(with(&[]), Err(AnswerError::NoCommonCodec { .. })));
}

#[test]
fn g722_has_its_events_at_8_khz_because_its_clock_says_so() {
    let media = media_of(
        "m=audio 2 RTP/AVP 9 100 101\r\na=rtpmap:100 telephone-event/16000\r\na=rtpmap:101 telephone-event/8000\r\n",
    );
    assert_eq!((media.codec, media.payload_type), (Codec::G722, 9));
    assert_eq!(media.dtmf, Some(DtmfFormat { payload_type: 101, clock_hz: 8000 }));
}

#[test]
fn events_at_another_clock_only_are_taken_at_their_own() {
    let wideband = "a=rtpmap:96 L16/16000\r\n";
    for (rest, codec, dtmf) in [
        (format!("m=audio 2 RTP/AVP 96 101\r\n{wideband}a=rtpmap:101 telephone-event/8000\r\n"), L16, (101, 8_000)),
        (format!("m=audio 2 RTP/AVP 96 0 101\r\n{wideband}a=rtpmap:101 telephone-event/8000\r\n"), L16, (101, 8_000)),
        ("m=audio 2 RTP/AVP 0 100\r\na=rtpmap:100 telephone-event/16000\r\n".to_owned(), Codec::Pcmu, (100, 16_000)),
        (
            format!(
                "m=audio 2 RTP/AVP 96 99 101\r\n{wideband}a=rtpmap:99 telephone-event/48000\r\na=rtpmap:101 telephone-event/8000\r\n"
            ),
            L16,
            (101, 8_000),
        ),
    ] {
        let answer = answer_to(&rest).expect("an answer");
        let (payload_type, clock_hz) = dtmf;
        assert_eq!(
            (answer.media.codec, answer.media.dtmf),
            (codec, Some(DtmfFormat { payload_type, clock_hz })),
            "{rest}"
        );
        let line = format!("a=rtpmap:{payload_type} telephone-event/{clock_hz}\r\n");
        assert!(answer.sdp.contains(&line), "{}", answer.sdp);
    }
}

#[test]
fn events_at_no_clock_of_audio_and_noise_at_another_clock_are_left_out() {
    let media = media_of("m=audio 2 RTP/AVP 0 100 105\r\na=rtpmap:100 telephone-event/7\r\na=rtpmap:105 CN/16000\r\n");
    assert_eq!((media.dtmf, media.comfort_noise), (None, None));
}

#[test]
fn a_mapping_wins_over_the_static_payload_type() {
    let error = answer_to("m=audio 2 RTP/AVP 0\r\na=rtpmap:0 X-LAW/8000\r\n");
    assert_eq!(error, Err(AnswerError::NoCommonCodec { offered: vec!["X-LAW/8000".to_owned()] }));
}

#[test]
fn no_common_codec_names_what_was_offered() {
    let error = answer_to("m=audio 2 RTP/AVP 18 96 97 10\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 L16/16000/2\r\n")
        .expect_err("nothing in common");
    assert_eq!(error.to_string(), "no codec in common: offered G729/8000, opus/48000/2, L16/16000/2, L16/44100/2");
    assert_eq!(error.hangup_cause().as_str(), "INCOMPATIBLE_DESTINATION");
}

#[test]
fn the_direction_is_mirrored() {
    for (offered, answered) in [
        ("sendrecv", Direction::SendRecv),
        ("sendonly", Direction::RecvOnly),
        ("recvonly", Direction::SendOnly),
        ("inactive", Direction::Inactive),
    ] {
        let answer = answer_to(&format!("m=audio 2 RTP/AVP 0\r\na={offered}\r\n")).expect("an answer");
        assert_eq!(answer.media.direction, answered);
        assert!(answer.sdp.ends_with(&format!("a={}\r\n", answered.as_str())), "{}", answer.sdp);
    }
}

#[test]
fn hold_by_address_zero_is_answered_without_sending() {
    for (offered, answered) in [("sendonly", Direction::RecvOnly), ("inactive", Direction::Inactive)] {
        let media = media_of(&format!("m=audio 2 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\na={offered}\r\n"));
        assert_eq!(media.direction, answered);
        assert!(media.remote.ip().is_unspecified());
    }
}

#[test]
fn an_offer_to_be_sent_to_at_no_address_is_refused() {
    for (connection, direction) in
        [("IN IP4 0.0.0.0", "sendrecv"), ("IN IP4 0.0.0.0", "recvonly"), ("IN IP6 ::", "sendrecv")]
    {
        let offer = format!("m=audio 2 RTP/AVP 0\r\nc={connection}\r\na={direction}\r\n");
        let error = answer_to(&offer).expect_err("nowhere to send to");
        let AnswerError::UnusableAddress { fault, .. } = error else { panic!("{error}") };
        assert_eq!(fault, AddressFault::Unspecified, "{connection} {direction}");
    }
}

#[test]
fn rtcp_goes_where_the_offer_wants_it() {
    let rtcp = |rest: &str| media_of(&format!("m=audio 2000 RTP/AVP 0\r\n{rest}")).remote_rtcp.to_string();
    assert_eq!(rtcp(""), "192.0.2.1:2001");
    assert_eq!(rtcp("a=rtcp:3000\r\n"), "192.0.2.1:3000");
    assert_eq!(rtcp("a=rtcp:3000 IN IP4 192.0.2.2\r\n"), "192.0.2.2:3000");
    assert_eq!(media_of("m=audio 65535 RTP/AVP 0\r\n").remote_rtcp.port(), 65535);
}

#[test]
fn addresses_that_cannot_be_sent_to_are_refused_by_name() {
    let unusable =
        |remote: &str, fault| AnswerError::UnusableAddress { remote: remote.parse().expect("an address"), fault };
    for (connection, error) in [
        ("IN IP4 phone.example", AnswerError::NoAddress),
        ("IN IP4 224.2.1.1/127", unusable("224.2.1.1:2", AddressFault::Multicast)),
        ("IN IP4 255.255.255.255", unusable("255.255.255.255:2", AddressFault::Broadcast)),
        ("IN IP6 ff02::1", unusable("[ff02::1]:2", AddressFault::Multicast)),
        ("IN IP6 fe80::1", unusable("[fe80::1]:2", AddressFault::LinkLocal)),
        ("IN IP6 2001:db8::1", AnswerError::AddressFamilyMismatch),
    ] {
        assert_eq!(error.reason(), "address");
        assert_eq!(error.hangup_cause().as_str(), "INCOMPATIBLE_DESTINATION");
        assert_eq!(answer_to(&format!("m=audio 2 RTP/AVP 0\r\nc={connection}\r\n")), Err(error), "{connection}");
    }
    let without = Offer::parse("v=0\r\nm=audio 2 RTP/AVP 0\r\n").expect("readable").answer(&params());
    assert_eq!(without, Err(AnswerError::NoAddress));
}

#[test]
fn an_offer_with_this_pods_own_address_is_refused() {
    let own: [SocketAddr; 2] = ["192.0.2.1:16384".parse().expect("one"), "192.0.2.1:16385".parse().expect("another")];
    let surroundings = Surroundings { own: &own, switch_is_here: false };
    let answer = |rest: &str| {
        let offer = Offer::parse(&format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{rest}")).expect("readable");
        offer.answer(&AnswerParams { surroundings, ..params() }).map(|answer| answer.media)
    };
    for (port, remote) in [(16384, own[0]), (16385, own[1])] {
        let error = answer(&format!("m=audio {port} RTP/AVP 0\r\n")).expect_err("it would talk to itself");
        assert_eq!(error, AnswerError::UnusableAddress { remote, fault: AddressFault::Own });
        assert!(error.to_string().contains(&remote.to_string()), "{error}");
    }
    let mapped = answer("m=audio 16384 RTP/AVP 0\r\nc=IN IP6 ::ffff:192.0.2.1\r\n");
    assert!(matches!(mapped, Err(AnswerError::UnusableAddress { fault: AddressFault::Own, .. })), "{mapped:?}");
    let second = answer("m=audio 16384 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 0\r\n").expect("the other section is good");
    assert_eq!(second.remote.port(), 4000);
    let reports = answer("m=audio 4000 RTP/AVP 0\r\na=rtcp:16384\r\n").expect("its RTP is good");
    assert_eq!(reports.remote_rtcp.port(), 4001, "reports are not sent to ourselves either");
}

#[test]
fn loopback_is_taken_from_a_switch_on_this_host_only() {
    let offer = Offer::parse("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 2 RTP/AVP 0\r\n").expect("readable");
    assert!(offer.answer(&params()).is_ok());
    let from_elsewhere = offer.answer(&AnswerParams { surroundings: Surroundings::default(), ..params() });
    assert!(
        matches!(from_elsewhere, Err(AnswerError::UnusableAddress { fault: AddressFault::Loopback, .. })),
        "{from_elsewhere:?}"
    );
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_one() {
    let media = media_of("m=audio 2000 RTP/AVP 0\r\nc=IN IP6 ::ffff:192.0.2.9\r\n");
    assert_eq!(media.remote.to_string(), "192.0.2.9:2000");
}

#[test]
fn an_ipv6_offer_is_answered_from_an_ipv6_pod() {
    let offer = Offer::parse("v=0\r\nc=IN IP6 2001:db8::1\r\nm=audio 2000 RTP/AVP 0\r\n").expect("readable");
    let address = "[2001:db8::2]:16384".parse().expect("an address");
    let answer = offer.answer(&AnswerParams { address, ..params() }).expect("an answer");
    assert!(answer.sdp.contains("c=IN IP6 2001:db8::2\r\n"), "{}", answer.sdp);
    assert_eq!(answer.media.remote.to_string(), "[2001:db8::1]:2000");
}

#[test]
fn sections_that_are_not_taken_are_refused_in_their_places() {
    let answer = answer_to(
        "m=video 4 RTP/AVP 31\r\nm=audio 0 RTP/AVP 0\r\nm=audio 6 RTP/AVP 3\r\nm=audio 8 RTP/AVP 0\r\n\
         m=audio 10 RTP/AVP 8\r\nm=application 12 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    )
    .expect("an answer");
    let sections: Vec<_> = answer.sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        sections,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/AVP 0",
            "m=audio 0 RTP/AVP 3",
            "m=audio 16384 RTP/AVP 0",
            "m=audio 0 RTP/AVP 8",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
    assert_eq!(answer.media.remote.port(), 8);
}

#[test]
fn of_several_refusals_the_most_telling_is_given() {
    let error = answer_to("m=video 4 RTP/AVP 31\r\nm=image 4 udptl t38\r\n");
    assert_eq!(error, Err(AnswerError::NoAudio { offered: vec!["video".to_owned(), "image".to_owned()] }));
    assert_eq!(answer_to("m=video 4 RTP/AVP 31\r\nm=audio 0 RTP/AVP 0\r\n"), Err(AnswerError::Disabled));
    let error = answer_to("m=audio 2 RTP/AVP 3\r\nm=audio 4 RTP/SAVPF 0\r\n");
    assert_eq!(error, Err(AnswerError::NoCommonCodec { offered: vec!["GSM/8000".to_owned()] }));
    for protocol in ["TCP/RTP/AVP", "udptl", "RTP/XAVP"] {
        let error = answer_to(&format!("m=audio 2 {protocol} 0\r\n"));
        assert_eq!(error, Err(AnswerError::UnsupportedProtocol { protocol: protocol.to_owned() }));
    }
}

#[test]
fn a_profile_with_feedback_is_answered_in_kind_and_without_any() {
    let answer = answer_to(
        "m=audio 2 RTP/AVPF 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp-fb:* nack\r\na=rtcp-fb:0 trr-int 100\r\n",
    )
    .expect("an answer");
    assert!(answer.sdp.contains("m=audio 16384 RTP/AVPF 0 101\r\n"), "{}", answer.sdp);
    assert!(!answer.sdp.contains("rtcp-fb"), "{}", answer.sdp);
    assert_eq!(answer.media.codec, Codec::Pcmu);
    let small = answer_to("m=AUDIO 2 rtp/avp 0\r\n").expect("names are written in any case");
    assert!(small.sdp.contains("m=audio 16384 rtp/avp 0\r\n"), "{}", small.sdp);
    for secure in ["RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"] {
        let error = answer_to(&format!("m=audio 2 {secure} 0\r\n"));
        assert_eq!(error, Err(AnswerError::SrtpOnly { suites: vec![] }), "{secure}");
    }
}

#[test]
fn of_two_profiles_the_first_that_can_be_taken_is_and_each_is_answered_in_its_own() {
    let answer =
        answer_to("m=audio 2 RTP/SAVPF 0\r\nm=audio 4 RTP/AVPF 0\r\nm=audio 6 RTP/AVP 0\r\n").expect("an answer");
    let sections: Vec<_> = answer.sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(sections, ["m=audio 0 RTP/SAVPF 0", "m=audio 16384 RTP/AVPF 0", "m=audio 0 RTP/AVP 0"]);
}

#[test]
fn crypto_in_a_plain_section_is_passed_over() {
    let media = media_of("m=audio 2 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n");
    assert_eq!(media.codec, Codec::Pcmu);
}

proptest! {
    /// What the pod answers is a description itself, as long as the offer and for the switch to take.
    #[test]
    fn every_answer_is_readable_and_has_a_section_for_each_offered(
        sections in proptest::collection::vec(
            ("(audio|video)", 0u16..4, "RTP/(AVP|SAVP|AVPF)", proptest::collection::vec(0u8..128, 1..8), "[ -~]{0,30}"),
            0..8,
        ),
    ) {
        let rest: String = sections
            .iter()
            .map(|(kind, port, protocol, formats, attribute)| {
                let formats: String = formats.iter().map(|format| format!(" {format}")).collect();
                format!("m={kind} {port} {protocol}{formats}\r\na=rtpmap:96 L16/16000\r\na={attribute}\r\n")
            })
            .collect();
        if let Ok(answer) = answer_to(&rest) {
            let read = Offer::parse(&answer.sdp).expect("our own answer is readable");
            prop_assert_eq!(read.media.len(), sections.len());
            prop_assert_eq!(read.media.iter().filter(|section| section.port != 0).count(), 1);
            prop_assert!(Command::set_local_sdp(&answer.sdp).is_ok());
        }
    }
}
