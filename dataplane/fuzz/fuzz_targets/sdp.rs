//! Offers: reading and answering never panics, and every answer is a description that the switch can be given, with one
//! section taken and one for each that was offered.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::esl::Command;
use sofia_dataplane::sdp::{AnswerParams, Offer, WIDEBAND_FIRST};

fuzz_target!(|text: &str| {
    let Ok(offer) = Offer::parse(text) else { return };
    for address in ["192.0.2.1:16384", "[2001:db8::1]:16384"] {
        let address = address.parse().expect("an address");
        let Ok(answer) = offer.answer(&AnswerParams { address, codecs: &WIDEBAND_FIRST, session_id: 1 }) else {
            continue;
        };
        let read = Offer::parse(&answer.sdp).expect("our own answer is readable");
        assert_eq!(read.media.len(), offer.media.len());
        assert_eq!(read.media.iter().filter(|section| section.port != 0).count(), 1);
        assert!(Command::set_local_sdp(&answer.sdp).is_ok());
        assert!((10..=60).contains(&answer.media.ptime_ms));
        assert!(!answer.media.direction.sends() || !answer.media.remote.ip().is_unspecified());
    }
});
