//! Offers: reading and answering never panics, and every answer is a description that the switch can be given, with one
//! section taken and one for each that was offered.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::esl::Command;
use sofia_dataplane::sdp::{AnswerParams, Offer, Surroundings, WIDEBAND_FIRST};

fuzz_target!(|text: &str| {
    let Ok(offer) = Offer::parse(text) else { return };
    for address in ["192.0.2.1:16384", "[2001:db8::1]:16384"] {
        let address = address.parse().expect("an address");
        let params = AnswerParams {
            address,
            codecs: &WIDEBAND_FIRST,
            session_id: 1,
            surroundings: Surroundings { own: &[address], switch_is_here: true },
        };
        let Ok(answer) = offer.answer(&params) else { continue };
        assert_ne!(answer.media.remote, address, "the pod does not talk to itself");
        let read = Offer::parse(&answer.sdp).expect("our own answer is readable");
        assert_eq!(read.media.len(), offer.media.len());
        assert_eq!(read.media.iter().filter(|section| section.port != 0).count(), 1);
        assert!(Command::set_local_sdp(&answer.sdp).is_ok());
        assert!((10..=60).contains(&answer.media.ptime_ms));
        assert!(!answer.media.direction.sends() || !answer.media.remote.ip().is_unspecified());
    }
});
