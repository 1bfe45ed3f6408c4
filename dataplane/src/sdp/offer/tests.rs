use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

fn parse(rest: &str) -> Result<Offer, SdpError> {
    Offer::parse(&format!("{HEAD}{rest}"))
}

/// The only section of an offer with these lines.
fn section(rest: &str) -> MediaDescription {
    let offer = parse(rest).expect("a valid offer");
    let [media] = <[MediaDescription; 1]>::try_from(offer.media).expect("one section");
    media
}

fn v4(d: u8) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, d)))
}

#[test]
fn a_section_says_what_is_offered() {
    let media = section(
        "m=audio 23158 RTP/AVP 0 102 103\r\na=rtpmap:102 L16/16000\r\na=rtpmap:103 opus/48000/2\r\na=ptime:30\r\n\
         a=maxptime:60\r\na=recvonly\r\na=rtcp:5000\r\n",
    );
    let names: Vec<_> = media.formats.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["PCMU/8000", "L16/16000", "opus/48000/2"]);
    assert_eq!((media.port, media.address, media.rtcp), (23158, v4(1), Some((5000, None))));
    assert_eq!((media.ptime_ms, media.max_ptime_ms), (Some(30), Some(60)));
    assert_eq!(media.direction, Direction::RecvOnly);
}

#[test]
fn lines_may_end_in_a_bare_line_feed() {
    let offer = Offer::parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 2 RTP/AVP 0\na=ptime:20\n").expect("valid");
    assert_eq!((offer.media[0].address, offer.media[0].ptime_ms), (v4(1), Some(20)));
}

#[test]
fn a_sections_own_address_wins_over_the_sessions() {
    assert_eq!(section("m=audio 2 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\n").address, v4(9));
    let six = section("m=audio 2 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n").address;
    assert_eq!(six, Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))));
    assert_eq!(section("m=audio 2 RTP/AVP 0\r\nc=IN IP4 phone.example\r\n").address, None);
    assert_eq!(section("m=audio 2 RTP/AVP 0\r\nc=IN IP6 192.0.2.9\r\n").address, None);
}

#[test]
fn session_attributes_hold_where_a_section_says_nothing() {
    let offer =
        parse("a=sendonly\r\na=ptime:40\r\nm=audio 2 RTP/AVP 0\r\nm=audio 4 RTP/AVP 0\r\na=inactive\r\na=ptime:10\r\n")
            .expect("valid");
    let [first, second] = &offer.media[..] else { panic!("two sections") };
    assert_eq!((first.direction, first.ptime_ms), (Direction::SendOnly, Some(40)));
    assert_eq!((second.direction, second.ptime_ms), (Direction::Inactive, Some(10)));
}

#[test]
fn hold_by_address_zero_does_not_want_to_receive() {
    let held = |direction| {
        section(&format!("m=audio 2 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\na={direction}\r\n")).effective_direction()
    };
    assert_eq!(held("sendrecv"), Direction::SendOnly);
    assert_eq!(held("recvonly"), Direction::Inactive);
    assert_eq!(held("inactive"), Direction::Inactive);
}

#[test]
fn the_rtcp_address_may_be_another() {
    assert_eq!(section("m=audio 2 RTP/AVP 0\r\na=rtcp:9 IN IP4 192.0.2.7\r\n").rtcp, Some((9, v4(7))));
    assert_eq!(section("m=audio 2 RTP/AVP 0\r\na=rtcp:0\r\n").rtcp, None);
    assert_eq!(section("m=audio 2 RTP/AVP 0\r\na=rtcp:x\r\n").rtcp, None);
}

#[test]
fn crypto_suites_are_listed_without_their_keys() {
    let media = section(
        "m=audio 2 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\na=crypto:2\r\n\
         a=crypto:3 AEAD_AES_256_GCM inline:c2VjcmV0\r\n",
    );
    assert_eq!(media.crypto_suites, ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"]);
    assert!(!format!("{media:?}").contains("c2VjcmV0"));
}

#[test]
fn broken_and_unknown_attributes_are_passed_over() {
    let media = section(
        "m=audio 2 RTP/AVP 0 96 x 200\r\na=rtpmap:96\r\na=rtpmap:96 opus\r\na=rtpmap:x opus/48000\r\n\
         a=rtpmap:97 opus/48000\r\na=ptime:\r\na=ptime:-20\r\na=ptime:+20\r\na=\r\na=nonesuch:1\r\nz=1\r\nnonsense\r\n\r\n",
    );
    let names: Vec<_> = media.formats.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["PCMU/8000", "payload type 96"]);
    assert_eq!(media.ptime_ms, None);
}

#[test]
fn a_port_count_is_passed_over() {
    assert_eq!(section("m=audio 2000/2 RTP/AVP 0\r\n").port, 2000);
}

#[test]
fn what_is_no_description_is_refused() {
    assert_eq!(Offer::parse(""), Err(SdpError::NotSdp));
    assert_eq!(Offer::parse("\r\nv=0\r\n"), Err(SdpError::NotSdp));
    assert_eq!(Offer::parse("v=1\r\n"), Err(SdpError::NotSdp));
    assert_eq!(parse("a=x\0\r\n"), Err(SdpError::ControlCharacter { line: 6 }));
    let length = MAX_BYTES + 1;
    assert_eq!(Offer::parse(&"v".repeat(length)), Err(SdpError::TooLong { length, limit: MAX_BYTES }));
}

#[test]
fn a_broken_media_line_is_refused() {
    let lines = ["", "audio", "audio 1 RTP/AVP", "audio x RTP/AVP 0", "audio 70000 RTP/AVP 0", "audio -1 RTP/AVP 0"];
    for line in lines.into_iter().chain(["au${x}dio 1 RTP/AVP 0", "audio 1 RTP\\AVP 0", "audio 1 RTP/AVP $0"]) {
        assert_eq!(parse(&format!("m={line}\r\n")), Err(SdpError::MalformedMedia { line: 6 }), "{line}");
    }
}

#[test]
fn sections_and_formats_are_bounded() {
    let media = "m=audio 2 RTP/AVP 0\r\n";
    assert_eq!(parse(&media.repeat(MAX_MEDIA)).map(|offer| offer.media.len()), Ok(MAX_MEDIA));
    assert_eq!(parse(&media.repeat(MAX_MEDIA + 1)), Err(SdpError::TooManyMedia { limit: MAX_MEDIA }));
    let formats = |count| format!("m=audio 2 RTP/AVP{}\r\n", " 0".repeat(count));
    assert_eq!(section(&formats(MAX_FORMATS)).formats.len(), MAX_FORMATS);
    assert_eq!(parse(&formats(MAX_FORMATS + 1)), Err(SdpError::TooManyFormats { line: 6, limit: MAX_FORMATS }));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = Offer::parse(&text);
        let _ = parse(&text);
    }

    #[test]
    fn arbitrary_lines_never_panic(
        lines in proptest::collection::vec(("[macvost]", "[ -~]{0,40}"), 0..30),
    ) {
        let text: String = lines.iter().map(|(name, value)| format!("{name}={value}\r\n")).collect();
        let _ = parse(&text);
        let _ = parse(&format!("m=audio 2 RTP/AVP 0 96\r\n{text}"));
    }
}
