//! RTCP datagrams: what the parser accepts must be readable to the end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::rtp::rtcp::{Compound, NtpTime, RtcpPacket};

fuzz_target!(|input: (u64, &[u8])| {
    let (now, datagram) = input;
    let Ok(compound) = Compound::parse(datagram) else { return };
    let entries: usize = compound
        .packets()
        .map(|packet| match packet {
            RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                blocks.filter_map(|block| block.round_trip(NtpTime::from_bits(now))).count()
            }
            RtcpPacket::SourceDescription(names) => names.count(),
            RtcpPacket::Bye { sources, .. } => sources.count(),
        })
        .sum();
    assert!(entries <= datagram.len());
});
