//! Telephone-event packets: any payloads in any order end as digits of a telephone, and not more than were sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::rtp::dtmf::{DtmfReceiver, EventReport};
use sofia_dataplane::rtp::{RtpHeader, RtpPacket};
use std::time::{Duration, Instant};

fuzz_target!(|input: Vec<(u8, bool, u16, [u8; 4], Vec<u8>)>| {
    let mut now = Instant::now();
    let mut receiver = DtmfReceiver::new(8000);
    let (mut reports, mut digits) = (0, 0);
    for (sequence, (wait_ms, marker, timestamp, report, more)) in input.iter().enumerate() {
        now += Duration::from_millis(u64::from(*wait_ms));
        let report_read = EventReport::from_bytes(*report);
        assert_eq!(EventReport::from_bytes(report_read.to_bytes()), report_read);

        let header = RtpHeader {
            payload_type: 101,
            marker: *marker,
            sequence: sequence as u16,
            timestamp: u32::from(*timestamp),
            ssrc: 1,
        };
        let mut datagram = header.to_bytes().to_vec();
        datagram.extend(report);
        datagram.extend(more);
        let packet = RtpPacket::parse(&datagram).expect("a plain header is valid");
        receiver.push(now, &packet);
        reports += 1 + more.len() / 4;
        while receiver.poll(now).is_some() {
            digits += 1;
        }
    }
    receiver.reset();
    while receiver.poll(now).is_some() {
        digits += 1;
    }
    assert!(digits <= reports, "{digits} digits of {reports} reports");
});
