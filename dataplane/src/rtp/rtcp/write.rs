//! Writing the compound packet that a party of a call sends: a report, its canonical name, and BYE at the end.
//! Never more than one datagram's worth.

use super::{
    ReportBlock, SDES_CNAME, SenderInfo, TYPE_BYE, TYPE_RECEIVER_REPORT, TYPE_SENDER_REPORT, TYPE_SOURCE_DESCRIPTION,
};

/// One compound packet: SR when `sender` is given, else RR; then SDES with the canonical name; then BYE if asked.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Our own synchronisation source.
    pub ssrc: u32,
    /// What we have sent; `None` makes a receiver report.
    pub sender: Option<SenderInfo>,
    /// What we have received; the first 31 are written.
    pub blocks: &'a [ReportBlock],
    /// Our canonical name (RFC 7022); its first 255 octets are written.
    pub canonical_name: &'a str,
    /// Whether our source leaves now.
    pub bye: bool,
}

impl Report<'_> {
    /// Appends the compound packet to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let blocks = &self.blocks[..self.blocks.len().min(31)];
        let count = blocks.len() as u8;
        match &self.sender {
            Some(info) => {
                packet(out, TYPE_SENDER_REPORT, count, |out| {
                    word(out, self.ssrc);
                    out.extend_from_slice(&info.ntp.to_bits().to_be_bytes());
                    word(out, info.rtp_timestamp);
                    word(out, info.packets);
                    word(out, info.octets);
                    blocks.iter().for_each(|b| block(out, b));
                });
            }
            None => {
                packet(out, TYPE_RECEIVER_REPORT, count, |out| {
                    word(out, self.ssrc);
                    blocks.iter().for_each(|b| block(out, b));
                });
            }
        }
        let name = self.canonical_name.as_bytes();
        let name = &name[..name.len().min(255)];
        packet(out, TYPE_SOURCE_DESCRIPTION, 1, |out| {
            word(out, self.ssrc);
            out.extend_from_slice(&[SDES_CNAME, name.len() as u8]);
            out.extend_from_slice(name);
            // The list of items ends with a zero octet, then zeros to the next word.
            out.push(0);
        });
        if self.bye {
            packet(out, TYPE_BYE, 1, |out| word(out, self.ssrc));
        }
    }
}

/// Appends one packet, padded with zeros to whole words, its length field set from what `body` wrote.
fn packet(out: &mut Vec<u8>, packet_type: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[2 << 6 | count, packet_type, 0, 0]);
    body(out);
    let len = (out.len() - start).next_multiple_of(4);
    out.resize(start + len, 0);
    let words = (len / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn block(out: &mut Vec<u8>, block: &ReportBlock) {
    word(out, block.ssrc);
    let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
    word(out, u32::from(block.fraction_lost) << 24 | lost);
    word(out, block.highest_sequence);
    word(out, block.jitter);
    word(out, block.last_sender_report);
    word(out, block.delay_since_last_sender_report);
}

fn word(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}
