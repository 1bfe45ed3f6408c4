//! Offers that no call can come of are refused, with their reason, before anything is sent anywhere.

use std::net::UdpSocket;

use std::time::Duration;

use e2e::{BareCall, PodProcess, Verdict, eventually};

const INCOMPATIBLE: &str = "INCOMPATIBLE_DESTINATION";

fn offer(connection: &str, port: u16) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc={connection}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
}

#[tokio::test]
async fn an_offer_with_the_pods_own_address_or_with_none_of_a_switch_is_refused_with_its_reason() {
    let pod = PodProcess::builder().set("RTP_WORKERS", 2).start().await;
    let own: Vec<u16> = pod.rtp_ports().iter().flat_map(|rtp| [*rtp, *rtp + 1]).collect();
    let mut hostile: Vec<(String, u16, &str)> =
        own.iter().map(|port| ("IN IP4 127.0.0.1".to_owned(), *port, "this pod's own")).collect();
    hostile.push(("IN IP6 ::ffff:127.0.0.1".to_owned(), own[0], "this pod's own"));
    for (address, fault) in [
        ("IN IP4 0.0.0.0", "unspecified"),
        ("IN IP4 224.0.0.1", "multicast"),
        ("IN IP6 ff02::1", "multicast"),
        ("IN IP4 255.255.255.255", "broadcast"),
        ("IN IP4 0.1.2.3", "no host"),
        ("IN IP6 fe80::1", "link-local"),
    ] {
        hostile.push((address.to_owned(), 4000, fault));
    }
    for (connection, port, fault) in &hostile {
        let call = BareCall::dial(&pod.esl(), &offer(connection, *port)).await;
        assert_eq!(call.verdict, Verdict::Refused(INCOMPATIBLE.to_owned()), "{connection} {port}");
        eventually("a line that says why", async || {
            pod.log().iter().any(|line| line.contains(fault) && line.contains(&port.to_string())).then_some(())
        })
        .await;
    }
    let refused = pod.metric("sofia_phone_calls_refused_total{reason=\"address\"}").await;
    assert_eq!(refused as usize, hostile.len());
    pod.await_empty().await;
    assert_eq!(pod.metric("sofia_phone_rtp_packets_sent_total").await, 0.0, "nobody was sent anything");

    // Its neighbour is nobody of ours.
    let switch = UdpSocket::bind("127.0.0.1:0").unwrap();
    let good = BareCall::dial(&pod.esl(), &offer("IN IP4 127.0.0.1", switch.local_addr().unwrap().port())).await;
    assert!(good.answer().contains("m=audio"), "{}", good.answer());
}

#[tokio::test]
async fn an_offer_of_rtp_with_feedback_is_answered_in_kind_and_heard() {
    let pod = PodProcess::start().await;
    let switch = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = switch.local_addr().unwrap().port();
    let offer = offer("IN IP4 127.0.0.1", port).replace("RTP/AVP 0", "RTP/AVPF 0") + "a=rtcp-fb:0 nack\r\n";
    let call = BareCall::dial(&pod.esl(), &offer).await;
    assert!(call.answer().contains(&format!("m=audio {} RTP/AVPF 0\r\n", pod.rtp_ports()[0])), "{}", call.answer());
    switch.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut packet = [0; 1_500];
    let length = switch.recv(&mut packet).expect("the pod sends from the answer on");
    assert_eq!((length, packet[0] >> 6, packet[1] & 0x7f), (172, 2, 0), "20 ms of PCMU");
}

#[tokio::test]
async fn keys_at_8_khz_beside_wideband_audio_alone_are_heard() {
    let pod = PodProcess::start().await;
    let switch = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = switch.local_addr().unwrap().port();
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 96 101\r\n\
         a=rtpmap:96 L16/16000\r\na=rtpmap:101 telephone-event/8000\r\n"
    );
    let call = BareCall::dial(&pod.esl(), &offer).await;
    assert!(call.answer().contains("a=rtpmap:101 telephone-event/8000\r\n"), "{}", call.answer());
    // One press of 9: five reports and two more ends, as RFC 4733 has them, 160 units of its own clock apart.
    for n in 0..7_u16 {
        let end = if n < 4 { 10 } else { 0x80 | 10 };
        let mut packet = vec![0x80, if n == 0 { 0x80 | 101 } else { 101 }];
        packet.extend_from_slice(&(100 + n).to_be_bytes());
        packet.extend_from_slice(&8_000_u32.to_be_bytes());
        packet.extend_from_slice(&7_u32.to_be_bytes());
        packet.extend_from_slice(&[9, end]);
        packet.extend_from_slice(&((n + 1).min(5) * 160).to_be_bytes());
        switch.send_to(&packet, ("127.0.0.1", pod.rtp_ports()[0])).unwrap();
    }
    pod.await_metric("sofia_phone_dtmf_received_total", |keys| keys == 1.0).await;
}

#[tokio::test]
async fn an_offer_in_which_no_keys_can_come_is_warned_of() {
    let pod = PodProcess::start().await;
    let switch = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _call = BareCall::dial(&pod.esl(), &offer("IN IP4 127.0.0.1", switch.local_addr().unwrap().port())).await;
    eventually("a warning", async || pod.log().iter().any(|line| line.contains("no telephone-event")).then_some(()))
        .await;
}
