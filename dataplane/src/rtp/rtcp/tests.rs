use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

fn report_block(ssrc: u32) -> ReportBlock {
    ReportBlock {
        ssrc,
        fraction_lost: 12,
        cumulative_lost: -3,
        highest_sequence: 0x0001_0002,
        jitter: 40,
        last_sender_report: 0x1234_5678,
        delay_since_last_sender_report: 65_536,
    }
}

fn sender_info() -> SenderInfo {
    SenderInfo { ntp: NtpTime::from_bits(0x0102_0304_0506_0708), rtp_timestamp: 160, packets: 9, octets: 1440 }
}

#[test]
fn a_sender_report_with_name_and_bye_is_read_back() {
    let blocks = [report_block(5), report_block(6)];
    let mut bytes = Vec::new();
    Report { ssrc: 7, sender: Some(sender_info()), blocks: &blocks, canonical_name: "sofia", bye: true }
        .write(&mut bytes);
    assert!(super::super::packet::is_rtcp(&bytes));
    let packets: Vec<_> = Compound::parse(&bytes).unwrap().packets().collect();
    let [RtcpPacket::SenderReport { ssrc: 7, info, blocks: read }, RtcpPacket::SourceDescription(names), bye] =
        packets[..]
    else {
        panic!("unexpected packets {packets:?}");
    };
    assert_eq!(info, sender_info());
    assert_eq!(read.collect::<Vec<_>>(), blocks);
    assert_eq!(names.collect::<Vec<_>>(), [(7, &b"sofia"[..])]);
    let RtcpPacket::Bye { sources, reason: None } = bye else { panic!("unexpected {bye:?}") };
    assert_eq!(sources.collect::<Vec<_>>(), [7]);
}

#[test]
fn a_party_that_sends_nothing_writes_a_receiver_report() {
    let mut bytes = Vec::new();
    Report { ssrc: 7, sender: None, blocks: &[], canonical_name: "", bye: false }.write(&mut bytes);
    let first = Compound::parse(&bytes).unwrap().packets().next().unwrap();
    assert!(matches!(first, RtcpPacket::ReceiverReport { ssrc: 7, .. }));
}

#[test]
fn packets_of_unknown_types_are_skipped() {
    let mut bytes = vec![0x80, 205, 0, 1, 1, 2, 3, 4];
    Report { ssrc: 7, sender: None, blocks: &[], canonical_name: "x", bye: false }.write(&mut bytes);
    assert_eq!(Compound::parse(&bytes).unwrap().packets().count(), 2);
}

#[test]
fn a_bye_may_give_its_reason_and_padding_may_follow() {
    let bytes = [0xa1, 203, 0, 4, 0, 0, 0, 9, 4, b'd', b'o', b'n', b'e', 0, 0, 0, 0, 0, 0, 4];
    let packets: Vec<_> = Compound::parse(&bytes).unwrap().packets().collect();
    assert!(matches!(packets[..], [RtcpPacket::Bye { reason: Some(b"done"), .. }]));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    assert_eq!(Compound::parse(&[]).unwrap_err(), RtcpError::TooShort { offset: 0, len: 0 });
    let fine = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let with = |second: &[u8]| [&fine, second].concat();
    assert_eq!(Compound::parse(&with(&[0x80, 203])).unwrap_err(), RtcpError::TooShort { offset: 8, len: 2 });
    assert_eq!(Compound::parse(&with(&[0x40, 203, 0, 0])).unwrap_err(), RtcpError::Version { offset: 8, found: 1 });
    assert_eq!(
        Compound::parse(&with(&[0x80, 203, 0, 9])).unwrap_err(),
        RtcpError::Length { offset: 8, announced: 40, len: 4 }
    );
    assert_eq!(
        Compound::parse(&with(&[0x82, 203, 0, 1, 0, 0, 0, 1])).unwrap_err(),
        RtcpError::Truncated { offset: 8, packet_type: 203, count: 2 }
    );
    assert_eq!(
        Compound::parse(&with(&[0xa0, 203, 0, 1, 0, 0, 0, 5])).unwrap_err(),
        RtcpError::Padding { offset: 8, padding: 5 }
    );
    let padded_first = [&[0xa0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4][..], &fine].concat();
    assert_eq!(Compound::parse(&padded_first).unwrap_err(), RtcpError::Padding { offset: 0, padding: 4 });
}

#[test]
fn ntp_time_counts_from_1900() {
    let time = NtpTime::from_wall_clock(UNIX_EPOCH + Duration::from_millis(1500));
    assert_eq!(time.to_bits(), 2_208_988_801 << 32 | 0x8000_0000);
    assert_eq!(time.middle(), (2_208_988_801_u64 << 16) as u32 | 0x8000);
}

#[test]
fn the_round_trip_leaves_out_the_time_that_the_peer_held_the_report() {
    let sent = NtpTime::from_wall_clock(UNIX_EPOCH + Duration::from_secs(1000));
    let now = NtpTime::from_wall_clock(UNIX_EPOCH + Duration::from_millis(1_003_250));
    let block = ReportBlock {
        last_sender_report: sent.middle(),
        delay_since_last_sender_report: 3 * 65_536,
        ..report_block(7)
    };
    assert_eq!(block.round_trip(now), Some(Duration::from_millis(250)));
    assert_eq!(ReportBlock { last_sender_report: 0, ..block }.round_trip(now), None);
    assert_eq!(block.round_trip(sent), None);
}

#[test]
fn reports_are_spread_around_five_seconds() {
    assert_eq!(report_interval(0.0), Duration::from_millis(2500));
    assert_eq!(report_interval(0.5), Duration::from_secs(5));
    assert_eq!(report_interval(f64::INFINITY), Duration::from_millis(7500));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        kind in 199u8..206,
        first in 0x80u8..0xc0,
    ) {
        let words = (bytes.len() / 4).saturating_sub(1) as u16;
        if let [a, b, c, d, ..] = &mut bytes[..] {
            (*a, *b) = (first, kind);
            [*c, *d] = words.to_be_bytes();
        }
        if let Ok(compound) = Compound::parse(&bytes) {
            for packet in compound.packets() {
                match packet {
                    RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                        prop_assert!(blocks.count() <= 31);
                    }
                    RtcpPacket::SourceDescription(names) => prop_assert!(names.count() <= 31),
                    RtcpPacket::Bye { sources, .. } => prop_assert!(sources.count() <= 31),
                }
            }
        }
    }

    #[test]
    fn every_report_that_is_written_is_read_back(
        ssrc: u32, name in "[ -~]{0,300}", losses in proptest::collection::vec(-0x80_0000i32..0x80_0000, 0..31), bye: bool,
    ) {
        let blocks: Vec<_> =
            losses.iter().map(|&lost| ReportBlock { cumulative_lost: lost, ..report_block(1) }).collect();
        let mut bytes = Vec::new();
        Report { ssrc, sender: None, blocks: &blocks, canonical_name: &name, bye }.write(&mut bytes);
        let packets: Vec<_> = Compound::parse(&bytes).unwrap().packets().collect();
        prop_assert_eq!(packets.len(), 2 + usize::from(bye));
        let RtcpPacket::ReceiverReport { blocks: read, .. } = packets[0] else { panic!("no report first") };
        prop_assert_eq!(read.collect::<Vec<_>>(), blocks);
        let RtcpPacket::SourceDescription(mut names) = packets[1] else { panic!("no name second") };
        let written = &name.as_bytes()[..name.len().min(255)];
        prop_assert_eq!(names.next(), Some((ssrc, written)));
    }
}
