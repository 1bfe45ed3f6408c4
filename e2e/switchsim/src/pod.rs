//! The simplest pod there can be, for trying the switch itself: answers over ESL, echoes or sends RTP from one port, dies,
//! hangs or falls mute when told to. It shows what the switch does when a pod misbehaves, and what the load generator can do
//! when the pod costs next to nothing. Never a measure of the real data plane.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(2);
/// Packets and text kept for a test to look at.
const MAX_KEPT_PACKETS: usize = 10_000;
const MAX_KEPT_TEXT: usize = 1 << 20;
/// Ends a message's headers.
const HEAD_END: &str = "\n\n";

/// What a pod does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers and sends back every packet.
    Echo,
    /// Answers and sends a tone, whatever comes.
    Tone,
    /// Answers and sends nothing.
    Mute,
    /// Accepts the connection and says nothing.
    Hang,
    /// Closes the connection without a word.
    Close,
    /// Says that it takes no call.
    Refuse,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pod says that takes no call.
const REFUSAL: &str = "connect\n\nsendmsg\ncall-command: hangup\nhangup-cause: NORMAL_TEMPORARY_FAILURE\n\n";

/// Everything that leads to the answer, as one write.
fn greeting(rtp: SocketAddr) -> String {
    let ip = rtp.ip();
    let sdp = format!(
        "v=0\r\no=pod 1 1 IN IP4 {ip}\r\ns=pod\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n",
        rtp.port()
    );
    let body = format!("switch_m_sdp={sdp}");
    format!(
        "connect\n\nlinger 1\n\nmyevents plain\n\nsendmsg\ncall-command: execute\nexecute-app-name: set\nevent-lock: true\n\
         content-type: text/plain\ncontent-length: {}\n\n{body}\nsendmsg\ncall-command: execute\nexecute-app-name: answer\n\
         event-lock: true\n\n",
        body.len()
    )
}

/// One connection.
#[derive(Debug, Clone)]
pub struct PodCall {
    write: mpsc::UnboundedSender<Option<String>>,
    log: Arc<Mutex<String>>,
}

impl PodCall {
    /// Writes commands as they are.
    pub fn send(&self, text: &str) {
        let _ = self.write.send(Some(text.to_owned()));
    }

    /// Closes the connection without a word, as a dying pod does.
    pub fn close(&self) {
        let _ = self.write.send(None);
    }

    /// All that the switch wrote so far (the first mebibyte of it).
    #[must_use]
    pub fn log(&self) -> String {
        locked(&self.log).clone()
    }

    /// Whether the first message came to its end.
    fn told(&self) -> bool {
        locked(&self.log).contains(HEAD_END)
    }

    /// A header's value in the first message, `CHANNEL_DATA`, still encoded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let log = self.log();
        let (head, _) = log.split_once(HEAD_END)?;
        head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    }

    /// Waits until the switch wrote `text`; false after `timeout`.
    pub async fn hears(&self, text: &str, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while !locked(&self.log).contains(text) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }
}

/// A pod; it ends when it is dropped.
#[derive(Debug)]
pub struct TestPod {
    address: String,
    /// Whether it sends `connect`, which the switch answers with all that it knows of the call.
    connects: bool,
    calls: Arc<Mutex<Vec<PodCall>>>,
    packets: Arc<Mutex<Vec<Vec<u8>>>>,
    media: JoinHandle<()>,
    accept: JoinHandle<()>,
}

impl TestPod {
    /// Starts a pod on `address` (`ip:port`, port 0 for a free one). RTP goes to another port of the same address.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(address: &str, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let rtp = UdpSocket::bind((local.ip(), 0)).await?;
        // A thousand callers' packets while this process does not run; the kernel may grant less.
        let _ = socket2::SockRef::from(&rtp).set_recv_buffer_size(4 << 20);
        let rtp = Arc::new(rtp);
        let answer = greeting(rtp.local_addr()?);
        let calls: Arc<Mutex<Vec<PodCall>>> = Arc::default();
        let packets: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let media = tokio::spawn(media(rtp, behaviour, packets.clone()));
        let list = calls.clone();
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (write, commands) = mpsc::unbounded_channel();
                let log = Arc::<Mutex<String>>::default();
                tokio::spawn(serve(stream, commands, log.clone()));
                let call = PodCall { write, log };
                match behaviour {
                    Behaviour::Hang => {}
                    Behaviour::Close => call.close(),
                    Behaviour::Refuse => call.send(REFUSAL),
                    Behaviour::Echo | Behaviour::Tone | Behaviour::Mute => call.send(&answer),
                }
                locked(&list).push(call);
            }
        });
        let connects = !matches!(behaviour, Behaviour::Hang | Behaviour::Close);
        Ok(Self { address: local.to_string(), connects, calls, packets, media, accept })
    }

    /// Where it listens for ESL: `ip:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the call number `at`, from 0 on, and, of a pod that asks for it by itself, for `CHANNEL_DATA`, whole: who asks
    /// for a header then asks for one that came. `None` after `timeout`.
    pub async fn call(&self, at: usize, timeout: Duration) -> Option<PodCall> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(call) = locked(&self.calls).get(at).filter(|call| !self.connects || call.told()) {
                return Some(call.clone());
            }
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Connections so far.
    #[must_use]
    pub fn call_count(&self) -> usize {
        locked(&self.calls).len()
    }

    /// The first RTP packets that came, whole; an echo keeps none.
    #[must_use]
    pub fn packets(&self) -> Vec<Vec<u8>> {
        locked(&self.packets).clone()
    }

    /// Waits until the packets that came are as `condition` says; false after `timeout`.
    pub async fn receives(&self, timeout: Duration, condition: impl Fn(&[Vec<u8>]) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        while !condition(&locked(&self.packets)) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Dies: no connection, no RTP, nobody listens.
    pub fn kill(&self) {
        self.media.abort();
        self.accept.abort();
        locked(&self.calls).iter().for_each(PodCall::close);
    }

    /// Sends no more RTP and keeps its connections, as a stopped process does.
    pub fn freeze(&self) {
        self.media.abort();
    }
}

impl Drop for TestPod {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(mut stream: TcpStream, mut commands: mpsc::UnboundedReceiver<Option<String>>, log: Arc<Mutex<String>>) {
    let mut buffer = vec![0; 16 * 1024];
    // Only a matter of delay.
    let _ = stream.set_nodelay(true);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Some(text)) => if stream.write_all(text.as_bytes()).await.is_err() { return },
                _ => return,
            },
            read = stream.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    let mut log = locked(&log);
                    if log.len() < MAX_KEPT_TEXT {
                        log.push_str(&String::from_utf8_lossy(&buffer[..count]));
                    }
                }
                _ => return,
            },
        }
    }
}

/// One socket for all calls. The tone is a square wave: loud in any decoder.
async fn media(rtp: Arc<UdpSocket>, behaviour: Behaviour, packets: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut peers: Vec<SocketAddr> = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut buffer = [0; 2048];
    let mut frame = 0_u16;
    loop {
        tokio::select! {
            received = rtp.recv_from(&mut buffer) => {
                let Ok((count, peer)) = received else { continue };
                if behaviour == Behaviour::Echo {
                    let _ = rtp.send_to(&buffer[..count], peer).await;
                    continue;
                }
                if !peers.contains(&peer) {
                    peers.push(peer);
                }
                let mut packets = locked(&packets);
                if packets.len() < MAX_KEPT_PACKETS {
                    packets.push(buffer[..count].to_vec());
                }
            }
            _ = tick.tick(), if behaviour == Behaviour::Tone => {
                frame = frame.wrapping_add(1);
                let mut packet = vec![0x80, 0];
                packet.extend_from_slice(&frame.to_be_bytes());
                packet.extend_from_slice(&(u32::from(frame) * 160).to_be_bytes());
                packet.extend_from_slice(&7_u32.to_be_bytes());
                packet.extend((0..160).map(|at| if at / 8 % 2 == 0 { 0x9F } else { 0x1F }));
                for peer in &peers {
                    let _ = rtp.send_to(&packet, peer).await;
                }
            }
        }
    }
}
