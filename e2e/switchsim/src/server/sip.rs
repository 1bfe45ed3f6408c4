//! What there is of SIP: OPTIONS is answered, so that probes and peers see that the switch is there and whether it takes calls.
//! Everything else is read and left without an answer.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use crate::switch::Core;

/// Longest request that is looked at, in bytes.
const MAX_REQUEST: usize = 16 * 1024;
/// TCP connections at once; probes close theirs at once.
const MAX_CONNECTIONS: usize = 64;
/// A connection on which nothing came for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// After an error of accepting: no descriptors are left, for the moment.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve_udp(socket: UdpSocket, core: Arc<Core>) {
    let mut buffer = vec![0; MAX_REQUEST];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let request = String::from_utf8_lossy(&buffer[..length]);
        if let Some(answer) = answer(&request, core.run_state.refuses_inbound(), &Uuid::new_v4().simple().to_string()) {
            // Nobody is told when a probe's answer cannot be sent: it asks again.
            let _ = socket.send_to(answer.as_bytes(), peer).await;
        }
    }
}

pub(super) async fn serve_tcp(listener: TcpListener, core: Arc<Core>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let core = core.clone();
                tokio::spawn(async move {
                    connection(stream, &core).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn connection(mut stream: TcpStream, core: &Core) {
    let mut received = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        match timeout(IDLE, stream.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 && received.len() + length <= MAX_REQUEST => {
                received.extend_from_slice(&buffer[..length]);
            }
            _ => return,
        }
        while let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let request: Vec<u8> = received.drain(..end + 4).collect();
            let request = String::from_utf8_lossy(&request);
            let tag = Uuid::new_v4().simple().to_string();
            let answer = answer(&request, core.run_state.refuses_inbound(), &tag);
            if let Some(answer) = answer
                && stream.write_all(answer.as_bytes()).await.is_err()
            {
                return;
            }
        }
    }
}

/// The response to an OPTIONS request (RFC 3261 §11.2, §8.2.6): 200, or 503 while no calls are taken, as mod_sofia has it.
/// `None` for everything else.
fn answer(request: &str, refuses: bool, tag: &str) -> Option<String> {
    let head = request.split_once("\r\n\r\n").map_or(request, |(head, _)| head);
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next()?.split(' ').collect();
    if !matches!(first.as_slice(), ["OPTIONS", _, "SIP/2.0"]) {
        return None;
    }
    let mut answer = if refuses {
        "SIP/2.0 503 Maximum Calls In Progress\r\nRetry-After: 300\r\n".to_owned()
    } else {
        "SIP/2.0 200 OK\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nAccept: application/sdp\r\n".to_owned()
    };
    let mut seen = 0;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = match name.trim().to_ascii_lowercase().as_str() {
            "via" | "v" => "Via",
            "from" | "f" => "From",
            "to" | "t" => "To",
            "call-id" | "i" => "Call-ID",
            "cseq" => "CSeq",
            _ => continue,
        };
        seen += usize::from(name != "Via");
        // Writing to memory does not fail.
        let _ = write!(answer, "{name}: {}", value.trim());
        if name == "To" && !value.contains(";tag=") {
            let _ = write!(answer, ";tag={tag}");
        }
        answer.push_str("\r\n");
    }
    if seen != 4 {
        return None;
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx\r\n\
        f: <sip:probe@192.0.2.9>;tag=1\r\nTo: <sip:192.0.2.1>\r\nCall-ID: abc\r\nCSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn options_is_answered_with_its_own_headers() {
        let answer = answer(OPTIONS, false, "t").unwrap();
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        for line in [
            "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx",
            "From: <sip:probe@192.0.2.9>;tag=1",
            "To: <sip:192.0.2.1>;tag=t",
            "Call-ID: abc",
            "CSeq: 7 OPTIONS",
        ] {
            assert!(answer.lines().any(|found| found == line), "{line} in {answer}");
        }
    }

    #[test]
    fn a_paused_switch_says_so() {
        let answer = answer(OPTIONS, true, "t").unwrap();
        assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("\r\nRetry-After: 300\r\n"), "{answer}");
    }

    #[test]
    fn everything_else_is_left_without_an_answer() {
        for request in
            ["", "\r\n\r\n", "INVITE sip:1@192.0.2.1 SIP/2.0\r\n\r\n", "OPTIONS sip:x SIP/2.0\r\nnonsense\r\n\r\n"]
        {
            assert_eq!(answer(request, false, "t"), None, "{request:?}");
        }
        assert_eq!(answer(&OPTIONS.replace("Call-ID: abc\r\n", ""), false, "t"), None);
    }
}
