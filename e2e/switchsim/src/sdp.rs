//! The offers that leg B makes, in FreeSWITCH's words, and what it takes from the pod's answer. Written apart from the data
//! plane's own SDP on purpose: a mistake must not be made twice the same way.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use sofia_dataplane::audio::{Codec, SampleRate};

/// A codec of `outbound-codec-prefs` or `absolute_codec_string`: `PCMU`, `PCMU@30i`, `L16@16000h@20i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCodec {
    /// Encoding name, upper case.
    pub name: String,
    /// RTP clock, in hertz.
    pub clock_hz: u32,
    /// Packet time, in milliseconds.
    pub ptime_ms: u32,
}

impl OfferedCodec {
    /// Reads a comma-separated list. With a comma inside `[…]` of a dial string FreeSWITCH would cut the list, so `^^:` names
    /// another separator there: `^^:G722:PCMU`. A name that FreeSWITCH does not know is dropped, as it does.
    #[must_use]
    pub fn list(text: &str) -> Vec<Self> {
        let (separator, text) = match text.strip_prefix("^^").and_then(|rest| Some((rest.chars().next()?, rest))) {
            Some((separator, rest)) => (separator, &rest[separator.len_utf8()..]),
            None => (',', text),
        };
        text.split(separator).filter_map(Self::one).collect()
    }

    fn one(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('@');
        let name = parts.next()?.to_ascii_uppercase();
        let mut clock_hz = match name.as_str() {
            "PCMU" | "PCMA" | "G722" | "L16" => 8_000,
            "OPUS" => 48_000,
            _ => return None,
        };
        let mut ptime_ms = 20;
        for part in parts {
            if let Some(rate) = part.strip_suffix('h').and_then(|value| value.parse::<u32>().ok()) {
                // G.722 and Opus are named by their audio rate, but their RTP clock is fixed (RFC 3551 §4.5.2, RFC 7587 §4.1).
                if name == "L16" {
                    clock_hz = rate;
                }
            } else if let Some(time) = part.strip_suffix('i').and_then(|value| value.parse::<u32>().ok()) {
                ptime_ms = time.clamp(10, 120);
            }
        }
        Some(Self { name, clock_hz, ptime_ms })
    }

    /// The module that the codec needs, `None` for those built in.
    #[must_use]
    pub fn module(&self) -> Option<&'static str> {
        match self.name.as_str() {
            "G722" => Some("mod_spandsp"),
            "OPUS" => Some("mod_opus"),
            _ => None,
        }
    }

    /// The codec, if this switch can speak it; Opus is only offered.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        match self.name.as_str() {
            "PCMU" => Some(Codec::Pcmu),
            "PCMA" => Some(Codec::Pcma),
            "G722" => Some(Codec::G722),
            "L16" => SampleRate::try_from(self.clock_hz).ok().map(Codec::L16),
            _ => None,
        }
    }

    /// The element of `ep_codec_string`.
    #[must_use]
    pub fn endpoint_name(&self) -> String {
        let module = self.module().unwrap_or("CORE_PCM_MODULE");
        if self.name == "OPUS" {
            return format!("{module}.opus@{}h@{}i@2c", self.clock_hz, self.ptime_ms);
        }
        let bits = if self.name == "L16" { self.clock_hz * 16 } else { 64_000 };
        format!("{module}.{}@{}h@{}i@{bits}b", self.name, self.clock_hz, self.ptime_ms)
    }

    fn rtpmap(&self) -> String {
        match self.name.as_str() {
            "OPUS" => "opus/48000/2".to_owned(),
            name => format!("{name}/{}", self.clock_hz),
        }
    }

    const fn static_payload_type(name: &str) -> Option<u8> {
        match name.as_bytes() {
            b"PCMU" => Some(0),
            b"PCMA" => Some(8),
            b"G722" => Some(9),
            _ => None,
        }
    }
}

/// Whether leg B asks for SRTP (`rtp_secure_media`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain RTP.
    None,
    /// Two m-lines on one port, SRTP first.
    Optional,
    /// SRTP only: a plain answer is refused.
    Mandatory,
}

impl Security {
    /// Reads `true`, `mandatory:SUITE`, `optional`, … .
    #[must_use]
    pub fn parse(value: &str) -> Self {
        match value.split(':').next().unwrap_or_default() {
            "mandatory" | "true" => Self::Mandatory,
            "optional" => Self::Optional,
            _ => Self::None,
        }
    }
}

/// What an offer says.
#[derive(Debug)]
pub struct Offer<'a> {
    /// Where leg B listens for RTP.
    pub address: SocketAddr,
    /// Best first; none gives an offer without media.
    pub codecs: &'a [OfferedCodec],
    /// Payload type of telephone-event at 8 kHz.
    pub dtmf_payload_type: u8,
    /// SRTP.
    pub security: Security,
    /// The `o=` line's number.
    pub session: u64,
    /// The caller holds, and the offer says so: a pod is to send nothing.
    pub held: bool,
}

/// A payload type of an offer, what it means, and its format parameters.
type Format = (u8, String, Option<String>);

impl Offer<'_> {
    /// The offer as text, lines ended by CR LF.
    #[must_use]
    pub fn to_sdp(&self) -> String {
        let ip = self.address.ip();
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let (session, version) = (self.session, self.session + 1);
        let mut sdp = format!(
            "v=0\r\no=FreeSWITCH {session} {version} IN {family} {ip}\r\ns=FreeSWITCH\r\nc=IN {family} {ip}\r\nt=0 0\r\n"
        );
        if self.codecs.is_empty() {
            return sdp;
        }
        if self.security != Security::None {
            self.write_media(&mut sdp, true);
        }
        if self.security != Security::Mandatory {
            self.write_media(&mut sdp, false);
        }
        sdp
    }

    fn write_media(&self, sdp: &mut String, secure: bool) {
        let formats = self.formats();
        let profile = if secure { "RTP/SAVP" } else { "RTP/AVP" };
        let types: Vec<String> = formats.iter().map(|(payload_type, ..)| payload_type.to_string()).collect();
        let _ = write!(sdp, "m=audio {} {profile} {}\r\n", self.address.port(), types.join(" "));
        for (payload_type, name, parameters) in &formats {
            let _ = write!(sdp, "a=rtpmap:{payload_type} {name}\r\n");
            if let Some(parameters) = parameters {
                let _ = write!(sdp, "a=fmtp:{payload_type} {parameters}\r\n");
            }
        }
        if secure {
            let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 30]>());
            let _ = write!(sdp, "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
        }
        let _ = write!(sdp, "a=ptime:{}\r\n", self.codecs[0].ptime_ms);
        if self.held {
            sdp.push_str("a=sendonly\r\n");
        }
    }

    /// Codecs, then telephone-event and comfort noise for each clock rate, 8 kHz last.
    fn formats(&self) -> Vec<Format> {
        let mut next_dynamic = 102;
        let mut dynamic = || {
            next_dynamic += 1;
            next_dynamic - 1
        };
        let mut formats: Vec<Format> = Vec::new();
        let mut clocks: Vec<u32> = Vec::new();
        for codec in self.codecs {
            let payload_type = OfferedCodec::static_payload_type(&codec.name).unwrap_or_else(&mut dynamic);
            let parameters = (codec.name == "OPUS").then(|| {
                "useinbandfec=0; cbr=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40"
                    .to_owned()
            });
            formats.push((payload_type, codec.rtpmap(), parameters));
            if codec.clock_hz != 8_000 && !clocks.contains(&codec.clock_hz) {
                clocks.push(codec.clock_hz);
            }
        }
        for clock in clocks {
            formats.push((dynamic(), format!("telephone-event/{clock}"), Some("0-15".to_owned())));
            formats.push((dynamic(), format!("CN/{clock}"), None));
        }
        formats.push((self.dtmf_payload_type, "telephone-event/8000".to_owned(), Some("0-15".to_owned())));
        formats.push((13, "CN/8000".to_owned(), None));
        formats
    }
}

/// Telephone-event as the answer has it (RFC 4733).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DtmfFormat {
    /// Payload type.
    pub payload_type: u8,
    /// Clock of the durations, in hertz.
    pub clock_hz: u32,
}

/// What leg B takes from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnsweredMedia {
    /// Where leg B sends, and the only address that it hears.
    pub remote: SocketAddr,
    /// The codec.
    pub codec: Codec,
    /// Its payload type, both ways.
    pub payload_type: u8,
    /// Packet time, in milliseconds.
    pub ptime_ms: u32,
    /// How digits are sent, if they can be.
    pub dtmf: Option<DtmfFormat>,
}

/// Why leg B refuses an answer; each ends the leg with `INCOMPATIBLE_DESTINATION`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No `m=audio` with a port.
    #[error("the answer has no audio")]
    NoAudio,
    /// A line that cannot be read.
    #[error("answer line {line:?}: expected {expected}")]
    Line {
        /// The line.
        line: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The transport is not what was offered.
    #[error("offered {offered:?}, answered with {transport}")]
    Transport {
        /// What was asked for.
        offered: Security,
        /// The m-line's transport.
        transport: String,
    },
    /// No payload type that was offered.
    #[error("none of the answered payload types {types:?} was offered")]
    NoCodec {
        /// As answered.
        types: Vec<u8>,
    },
}

/// Reads the pod's answer to `offer`.
///
/// # Errors
/// See [`AnswerError`].
pub fn read_answer(answer: &str, offer: &Offer<'_>) -> Result<AnsweredMedia, AnswerError> {
    let mut address: Option<IpAddr> = None;
    let mut media: Option<(u16, Vec<u8>)> = None;
    let mut maps: Vec<(u8, String)> = Vec::new();
    let mut ptime_ms = None;
    for line in answer.lines().map(str::trim_end) {
        let bad = |expected| AnswerError::Line { line: line.to_owned(), expected };
        if let Some(connection) = line.strip_prefix("c=IN IP") {
            let ip = connection.get(2..).and_then(|ip| ip.trim().split('/').next()?.parse().ok());
            address = Some(ip.ok_or_else(|| bad("c=IN IP4 or IP6 and an address"))?);
        } else if let Some(rest) = line.strip_prefix("m=audio ") {
            let mut words = rest.split_whitespace();
            let port = words.next().and_then(|port| port.parse().ok()).ok_or_else(|| bad("a port"))?;
            let transport = words.next().ok_or_else(|| bad("a transport"))?;
            let types =
                words.map(|word| word.parse().map_err(|_| bad("payload types"))).collect::<Result<Vec<u8>, _>>()?;
            let plain = transport == "RTP/AVP";
            if port == 0 || media.is_some() {
                // Of two offered m-lines one is refused with port 0.
                continue;
            }
            if !plain || offer.security == Security::Mandatory {
                return Err(AnswerError::Transport { offered: offer.security, transport: transport.to_owned() });
            }
            media = Some((port, types));
        } else if let Some(map) = line.strip_prefix("a=rtpmap:") {
            let (payload_type, name) = map.split_once(' ').ok_or_else(|| bad("a payload type and a name"))?;
            maps.push((payload_type.parse().map_err(|_| bad("a payload type"))?, name.to_owned()));
        } else if let Some(time) = line.strip_prefix("a=ptime:") {
            ptime_ms =
                Some(time.trim().parse::<u32>().ok().filter(|ms| (5..=200).contains(ms)).ok_or_else(|| bad("ms"))?);
        }
    }
    let (port, types) = media.ok_or(AnswerError::NoAudio)?;
    let address = address.ok_or(AnswerError::NoAudio)?;
    let offered = offer.formats();
    let chosen = types.iter().find_map(|payload_type| {
        let at = offered.iter().position(|format| format.0 == *payload_type)?;
        let codec = offer.codecs.get(at)?;
        Some((*payload_type, codec.codec()?, codec.ptime_ms))
    });
    let (payload_type, codec, offered_ptime_ms) =
        chosen.ok_or_else(|| AnswerError::NoCodec { types: types.clone() })?;
    let wanted = format!("telephone-event/{}", codec.rtp_clock_hz());
    let dtmf = types.iter().find(|payload_type| {
        let name = maps.iter().find(|map| map.0 == **payload_type).map(|map| map.1.as_str());
        name.is_some_and(|name| name.eq_ignore_ascii_case(&wanted))
    });
    Ok(AnsweredMedia {
        remote: SocketAddr::new(address, port),
        codec,
        payload_type,
        ptime_ms: ptime_ms.unwrap_or(offered_ptime_ms),
        dtmf: dtmf.map(|payload_type| DtmfFormat { payload_type: *payload_type, clock_hz: codec.rtp_clock_hz() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer<'a>(codecs: &'a [OfferedCodec], port: u16, session: u64) -> Offer<'a> {
        Offer {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            codecs,
            dtmf_payload_type: 101,
            security: Security::None,
            session,
            held: false,
        }
    }

    #[test]
    fn a_narrowband_offer_reads_as_recorded() {
        let codecs = OfferedCodec::list("PCMU,PCMA");
        let expected = "v=0\r\no=FreeSWITCH 1795313174 1795313175 IN IP4 127.0.0.1\r\ns=FreeSWITCH\r\nc=IN IP4 127.0.0.1\r\n\
            t=0 0\r\nm=audio 23158 RTP/AVP 0 8 101 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\n";
        assert_eq!(offer(&codecs, 23158, 1_795_313_174).to_sdp(), expected);
    }

    #[test]
    fn a_wideband_offer_has_a_telephone_event_for_each_clock() {
        let codecs = OfferedCodec::list("^^:L16@16000h:OPUS:PCMU:PCMA");
        let sdp = offer(&codecs, 20674, 1).to_sdp();
        assert!(sdp.contains("m=audio 20674 RTP/AVP 102 103 0 8 104 105 106 107 101 13\r\n"), "{sdp}");
        for line in ["a=rtpmap:102 L16/16000", "a=rtpmap:104 telephone-event/16000", "a=rtpmap:107 CN/48000"] {
            assert!(sdp.contains(line), "{line} in {sdp}");
        }
    }

    #[test]
    fn an_empty_codec_list_gives_an_offer_without_media() {
        assert!(!offer(&[], 20000, 1).to_sdp().contains("m="));
    }

    #[test]
    fn an_answer_gives_codec_address_and_digits() {
        let codecs = OfferedCodec::list("G722,PCMU,L16@16000h");
        let offer = offer(&codecs, 20000, 1);
        let answer = "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 16384 RTP/AVP 102 103\r\na=rtpmap:102 L16/16000\r\n\
            a=rtpmap:103 telephone-event/16000\r\na=ptime:20\r\n";
        let media = read_answer(answer, &offer).unwrap();
        assert_eq!(media.codec, Codec::L16(SampleRate::Hz16000));
        assert_eq!(media.remote, "192.0.2.7:16384".parse().unwrap());
        assert_eq!(media.dtmf, Some(DtmfFormat { payload_type: 103, clock_hz: 16_000 }));
    }

    #[test]
    fn digits_at_another_clock_than_the_codecs_are_not_sent() {
        let codecs = OfferedCodec::list("L16@16000h,PCMU");
        let answer = "c=IN IP4 192.0.2.7\nm=audio 4 RTP/AVP 102 101\na=rtpmap:101 telephone-event/8000\n";
        assert_eq!(read_answer(answer, &offer(&codecs, 20000, 1)).unwrap().dtmf, None);
    }

    #[test]
    fn a_plain_answer_to_mandatory_srtp_is_refused() {
        let codecs = OfferedCodec::list("PCMU");
        let offer = Offer { security: Security::Mandatory, ..offer(&codecs, 20000, 1) };
        assert!(offer.to_sdp().contains("RTP/SAVP") && !offer.to_sdp().contains("RTP/AVP "));
        let answer = "c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 0\n";
        assert!(matches!(read_answer(answer, &offer), Err(AnswerError::Transport { .. })));
    }

    #[test]
    fn answers_that_make_no_sense_are_named() {
        let codecs = OfferedCodec::list("PCMU");
        let offer = offer(&codecs, 20000, 1);
        assert_eq!(read_answer("", &offer), Err(AnswerError::NoAudio));
        assert_eq!(read_answer("c=IN IP4 192.0.2.7\nm=audio 0 RTP/AVP 0\n", &offer), Err(AnswerError::NoAudio));
        let other = read_answer("c=IN IP4 192.0.2.7\nm=audio 7 RTP/AVP 8\n", &offer);
        assert_eq!(other, Err(AnswerError::NoCodec { types: vec![8] }));
        assert!(matches!(read_answer("c=IN IP4 \nm=audio x", &offer), Err(AnswerError::Line { .. })));
    }
}
