//! A pod that is only good for tests: answers over ESL, echoes or sends RTP from one port, does what it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What a pod does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "every user of this file needs some of them")]
pub enum Behaviour {
    /// Answers and sends back every packet.
    Echo,
    /// Answers and sends a tone, whatever comes.
    Tone,
    /// Answers and sends nothing.
    Mute,
    /// Accepts the connection and says nothing.
    Hang,
}

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
#[derive(Clone)]
pub struct PodCall {
    write: mpsc::UnboundedSender<Option<String>>,
    log: Arc<Mutex<String>>,
}

#[allow(dead_code, reason = "every user of this file needs some of them")]
impl PodCall {
    /// Writes commands as they are.
    pub fn send(&self, text: &str) {
        let _ = self.write.send(Some(text.to_owned()));
    }

    /// Closes the connection without a word, as a dying pod does.
    pub fn close(&self) {
        let _ = self.write.send(None);
    }

    /// All that FreeSWITCH's side wrote so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The value of a header of the first message, still encoded.
    pub fn header(&self, name: &str) -> Option<String> {
        let log = self.log();
        let (head, _) = log.split_once("\n\n")?;
        head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    }

    /// Waits until FreeSWITCH's side wrote that.
    pub async fn heard(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "waited for {text:?} in {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A pod.
pub struct TestPod {
    /// Its ESL address.
    pub address: String,
    calls: Arc<Mutex<Vec<PodCall>>>,
    /// RTP packets that came.
    pub packets: Arc<AtomicU64>,
    /// RTP payloads of the first packets that came, with their payload type.
    pub heard: Arc<Mutex<Vec<Vec<u8>>>>,
    tasks: Vec<JoinHandle<()>>,
}

#[allow(dead_code, reason = "every user of this file needs some of them")]
impl TestPod {
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::start_at("127.0.0.1:0", behaviour).await
    }

    pub async fn start_at(address: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let rtp = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap().to_string();
        let calls: Arc<Mutex<Vec<PodCall>>> = Arc::default();
        let packets = Arc::new(AtomicU64::new(0));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let media = tokio::spawn(media(rtp.clone(), behaviour, packets.clone(), heard.clone()));
        let list = calls.clone();
        let accept = tokio::spawn(async move {
            let local = rtp.local_addr().unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (write, commands) = mpsc::unbounded_channel();
                let log = Arc::<Mutex<String>>::default();
                tokio::spawn(serve(stream, commands, log.clone()));
                let call = PodCall { write, log };
                if behaviour != Behaviour::Hang {
                    call.send(&greeting(local));
                }
                list.lock().unwrap().push(call);
            }
        });
        Self { address, calls, packets, heard, tasks: vec![media, accept] }
    }

    /// The call number `at` from 0 on, as soon as it is there.
    pub async fn call(&self, at: usize) -> PodCall {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(call) = self.calls.lock().unwrap().get(at) {
                return call.clone();
            }
            assert!(Instant::now() < deadline, "call {at} never came");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn call_count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// Dies: no connection, no RTP, nobody listens.
    pub fn kill(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.calls.lock().unwrap().iter().for_each(PodCall::close);
    }

    /// Stops sending RTP and keeps its connections, as a stopped process does.
    pub fn freeze(&self) {
        self.tasks[0].abort();
    }
}

impl Drop for TestPod {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(mut stream: TcpStream, mut commands: mpsc::UnboundedReceiver<Option<String>>, log: Arc<Mutex<String>>) {
    let mut buffer = vec![0; 64 * 1024];
    stream.set_nodelay(true).unwrap();
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Some(text)) => if stream.write_all(text.as_bytes()).await.is_err() { return },
                _ => return,
            },
            read = stream.read(&mut buffer) => match read {
                Ok(count) if count > 0 => log.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count])),
                _ => {
                    log.lock().unwrap().push_str("<closed>");
                    return;
                }
            },
        }
    }
}

/// One socket for all calls. The tone is a square wave: loud in any G.711 decoder.
async fn media(rtp: Arc<UdpSocket>, behaviour: Behaviour, packets: Arc<AtomicU64>, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut peers: Vec<SocketAddr> = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut buffer = [0; 2048];
    let mut frame = 0_u16;
    loop {
        tokio::select! {
            received = rtp.recv_from(&mut buffer) => {
                let Ok((count, peer)) = received else { continue };
                packets.fetch_add(1, Ordering::Relaxed);
                if behaviour == Behaviour::Echo {
                    let _ = rtp.send_to(&buffer[..count], peer).await;
                    continue;
                }
                let mut heard = heard.lock().unwrap();
                if heard.len() < 10_000 {
                    heard.push(buffer[..count].to_vec());
                }
                if !peers.contains(&peer) {
                    peers.push(peer);
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
