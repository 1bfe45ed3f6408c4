//! A switch without a caller or a configuration: it brings a pod one call with an offer of the test's own, and says what the pod did
//! with it. For offers that no FreeSWITCH makes, or that `switchsim` does not.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// What a pod made of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, with this description.
    Answered(String),
    /// It hung up, for this cause.
    Refused(String),
}

/// One call that a pod was brought; it ends when dropped.
#[derive(Debug)]
pub struct BareCall {
    /// What the pod made of the offer.
    pub verdict: Verdict,
    connection: JoinHandle<()>,
}

impl BareCall {
    /// Brings the pod at `esl` a call with this offer.
    ///
    /// # Panics
    /// When the pod neither answers nor refuses.
    pub async fn dial(esl: &str, offer: &str) -> Self {
        let stream = TcpStream::connect(esl).await.expect("the pod takes connections");
        let (verdict, told) = oneshot::channel();
        let connection = tokio::spawn(serve(stream, channel_data(offer), verdict));
        let verdict = tokio::time::timeout(PATIENCE, told).await.expect("in time").expect("the pod answers or refuses");
        Self { verdict, connection }
    }

    /// The answer.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn answer(&self) -> &str {
        match &self.verdict {
            Verdict::Answered(sdp) => sdp,
            Verdict::Refused(cause) => panic!("expected an answer, came {cause}"),
        }
    }
}

/// A call that another pod had before, on a switch that does not say what is kept of it. It ends when dropped.
#[derive(Debug)]
pub struct SlowTakeover {
    commands: Arc<Mutex<String>>,
    connection: JoinHandle<()>,
}

impl SlowTakeover {
    /// Brings the pod at `esl` the call, as the second attempt.
    ///
    /// # Panics
    /// When the pod takes no connection.
    pub async fn dial(esl: &str, offer: &str) -> Self {
        let mut stream = TcpStream::connect(esl).await.expect("the pod takes connections");
        let commands = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&commands);
        let channel = channel_data(offer).replace("X-Attempt: 1", "X-Attempt: 2\nvariable_sip_h_X-Answered: true");
        let connection = tokio::spawn(async move {
            let mut received = Vec::new();
            let mut buffer = [0; 8 << 10];
            loop {
                while let Some((head, _)) = take_command(&mut received) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&head);
                    let reply = if head.starts_with("connect") {
                        channel.as_str()
                    } else if head.starts_with("api uuid_getvar") {
                        continue;
                    } else if head.starts_with("api ") {
                        "Content-Type: api/response\nContent-Length: 3\n\n+OK"
                    } else {
                        "Content-Type: command/reply\nReply-Text: +OK\n\n"
                    };
                    if stream.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
                match stream.read(&mut buffer).await {
                    Ok(length) if length > 0 => received.extend_from_slice(&buffer[..length]),
                    _ => return,
                }
            }
        });
        Self { commands, connection }
    }

    /// All that the pod has said, without bodies.
    #[must_use]
    pub fn commands(&self) -> String {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SlowTakeover {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Drop for BareCall {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What FreeSWITCH says of the channel when it is asked to `connect`: the headers that matter to a pod.
fn channel_data(offer: &str) -> String {
    let offer: String = offer
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let id = uuid::Uuid::new_v4();
    format!(
        "Event-Name: CHANNEL_DATA\nCaller-Caller-ID-Number: %2B15550001\nCaller-Destination-Number: 15550100\n\
         Unique-ID: {id}\nvariable_sip_h_X-Call-UUID: {id}\nvariable_sip_h_X-Attempt: 1\n\
         variable_switch_r_sdp: {offer}\nContent-Type: command/reply\nReply-Text: %2BOK%0A\nSocket-Mode: async\n\
         Control: full\n\n"
    )
}

/// Answers each command as FreeSWITCH does that finds nothing wrong with it, and looks for the pod's verdict.
async fn serve(mut stream: TcpStream, channel: String, verdict: oneshot::Sender<Verdict>) {
    let mut verdict = Some(verdict);
    let mut received = Vec::new();
    let mut buffer = [0; 8 << 10];
    loop {
        while let Some((head, body)) = take_command(&mut received) {
            let reply = if head.starts_with("connect") {
                channel.clone()
            } else if head.starts_with("api ") {
                "Content-Type: api/response\nContent-Length: 3\n\n+OK".to_owned()
            } else {
                "Content-Type: command/reply\nReply-Text: +OK\n\n".to_owned()
            };
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
            let cause = head.lines().find_map(|line| line.strip_prefix("hangup-cause: "));
            let told = match (body.strip_prefix("switch_m_sdp="), cause) {
                (Some(sdp), _) => Verdict::Answered(sdp.to_owned()),
                (None, Some(cause)) => Verdict::Refused(cause.to_owned()),
                (None, None) => continue,
            };
            if let Some(verdict) = verdict.take() {
                let _ = verdict.send(told);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(length) if length > 0 => received.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
}

/// The first whole command, head and body.
fn take_command(received: &mut Vec<u8>) -> Option<(String, String)> {
    let end = received.windows(2).position(|pair| pair == b"\n\n")? + 2;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let whole = end + length.unwrap_or(0);
    if received.len() < whole {
        return None;
    }
    let body = String::from_utf8_lossy(&received[end..whole]).into_owned();
    received.drain(..whole);
    Some((head, body))
}
