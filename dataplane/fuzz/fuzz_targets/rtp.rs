//! Datagrams as a call's receiving side takes them: statistics and playout must bear any sequence of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::rtp::{JitterBuffer, JitterSettings, Popped, RtpPacket, Source, packet};
use std::time::{Duration, Instant};

const CLOCK_HZ: u32 = 8000;
const PACKET_TIME: Duration = Duration::from_millis(20);

fuzz_target!(|input: Vec<(u8, Vec<u8>)>| {
    let mut now = Instant::now();
    let mut source = Source::new(CLOCK_HZ, now);
    let mut jitter = JitterBuffer::new(JitterSettings::new(CLOCK_HZ, PACKET_TIME, 1));
    for (wait_ms, datagram) in &input {
        now += Duration::from_millis(u64::from(*wait_ms));
        let _ = packet::is_rtcp(datagram);
        if let Ok(packet) = RtpPacket::parse(datagram) {
            assert!(packet.payload().len() <= datagram.len());
            if source.push(now, &packet).is_accepted() {
                let _ = jitter.push(now, &packet);
            }
        }
        // One tick; the bound is far above the packets that a tick may need.
        for _ in 0..100 {
            if matches!(jitter.pop(now), Popped::Empty) {
                break;
            }
        }
        assert!(jitter.depth() <= Duration::from_secs(2), "{:?}", jitter.depth());
    }
    let _ = (source.report(now), source.quality());
});
