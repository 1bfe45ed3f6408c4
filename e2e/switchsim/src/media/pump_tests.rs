use sofia_dataplane::audio::Codec;

use super::super::rtp;
use super::*;
use crate::sdp::AnsweredMedia;
use crate::stats::Reception;

const SOON: Duration = Duration::from_secs(20);
/// Enough that each network has lost, doubled and overtaken some.
const PACKETS: u64 = 60;

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// A caller with its pod's end of the line.
struct Line {
    id: u64,
    monitor: Arc<Monitor>,
    pod: UdpSocket,
    /// The media thread's word about mute pods is of no interest here.
    _events: mpsc::UnboundedReceiver<MediaEvent>,
}

impl Line {
    fn attach(pump: &Pump, id: u64) -> Self {
        let (pod, socket) = (bound(), bound());
        let monitor = Arc::new(Monitor::new(Instant::now(), None));
        let impairments = Impairments {
            loss: 0.05,
            jitter: Duration::from_millis(60),
            reorder: 0.2,
            duplicate: 0.05,
            seed: id,
            ..Impairments::default()
        };
        let timeline = Arc::new(Timeline::new(id, Instant::now()));
        pump.order(id, Order::Add { monitor: monitor.clone(), timeline, impairments });
        let remote = pod.local_addr().unwrap();
        let media = AnsweredMedia { remote, codec: Codec::Pcmu, payload_type: 0, ptime_ms: 20, dtmf: None };
        let (events, _events) = mpsc::unbounded_channel();
        let format = LegFormat { media };
        let leg = NewLeg { attempt: 1, socket, format, media_timeout: None, events };
        pump.order(id, Order::Attach(Box::new(leg)));
        Self { id, monitor, pod, _events }
    }

    fn sent(&self) -> u64 {
        self.monitor.lock().legs().first().map_or(0, |leg| leg.sent)
    }

    /// Everything that came, as the pod counts it.
    fn received(&self) -> Reception {
        let (mut reception, mut buffer) = (Reception::default(), [0; 2048]);
        while let Ok(length) = self.pod.recv(&mut buffer) {
            reception.on_packet(&rtp::parse(&buffer[..length]).unwrap(), Instant::now(), 8_000, false);
        }
        reception
    }
}

#[test]
fn a_pod_misses_no_more_than_the_network_lost_and_still_held_when_the_call_ended() {
    let pump = Pump::start().unwrap();
    let lines: Vec<Line> = (1..=100).map(|id| Line::attach(&pump, id)).collect();
    let deadline = Instant::now() + SOON;
    while lines.iter().any(|line| line.sent() < PACKETS) {
        assert!(Instant::now() < deadline, "{:?}", lines.iter().map(Line::sent).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(5));
    }
    let (mut overtaken, mut undelivered) = (0, 0);
    for line in &lines {
        let (removed, gone) = oneshot::channel();
        pump.order(line.id, Order::Remove { removed });
        gone.blocking_recv().unwrap();
        let leg = line.monitor.lock().legs().pop().unwrap();
        let reception = line.received();
        let lost = reception.lost_so_far();
        assert_eq!((reception.received, leg.send_errors), (leg.sent, 0), "loopback loses nothing: {leg:?}");
        assert!(lost <= leg.dropped + leg.undelivered, "seed {}: {lost} are missing: {leg:?}", line.id);
        overtaken += u64::from(lost > leg.dropped);
        undelivered += leg.undelivered;
    }
    println!("{undelivered} held back at the end; {overtaken} of {} pods missed more than was lost", lines.len());
    assert!(undelivered > 0, "no line had anything on its way at the end");
}
