//! A worker's UDP sockets: RTP in batches (`recvmmsg`, `sendmmsg`), RTCP one by one. It moves datagrams and never
//! looks into them.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams moved by one system call.
const BATCH: usize = 32;
/// Largest datagram that is read whole, in bytes: an Ethernet frame's worth. RTP audio stays far below; what is longer
/// arrives cut and fails to parse.
const DATAGRAM_BYTES: usize = 1_500;
/// Socket buffers asked for, in bytes: a thousand calls' packets for about 100 ms. The kernel may grant less
/// (`net.core.rmem_max`).
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Binds a non-blocking UDP socket on `address`; an IPv6 wildcard takes IPv4 too.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Best effort: the default sizes work, they only absorb less of a hiccup.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    // Expedited forwarding, DSCP 46 (RFC 3246), as voice is marked; a network that does not care ignores it.
    let _ = if address.is_ipv4() { socket.set_tos_v4(46 << 2) } else { socket.set_tclass_v6(46 << 2) };
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// IPv4 addresses as IPv4, also where a dual-stack socket shows them mapped into IPv6 (RFC 4291 §2.5.5.2).
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Packets to be sent, collected over a tick and then sent in as few system calls as possible.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    packets: Vec<(usize, SocketAddr)>,
}

impl Outbox {
    /// Appends one packet to `destination`: `write` puts its bytes behind what the vector already holds.
    pub(super) fn push(&mut self, destination: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > start {
            self.packets.push((self.bytes.len(), destination));
        }
    }

    /// Packets that wait to be sent.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// The packets, each with its destination.
    pub(super) fn packets(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let mut start = 0;
        self.packets.iter().map(move |(end, to)| (*to, &self.bytes[std::mem::replace(&mut start, *end)..*end]))
    }

    /// Forgets the packets.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
    }

    /// What would be sent, with its destinations.
    #[cfg(test)]
    pub(super) fn take(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let taken = self.packets().map(|(to, packet)| (to, packet.to_vec())).collect();
        self.clear();
        taken
    }
}

/// The RTP socket of one worker with the buffers of its batches.
pub(super) struct RtpSocket {
    socket: UdpSocket,
    /// Whether the socket speaks IPv6, and IPv4 by mapped addresses.
    ipv6: bool,
    receive_headers: MultiHeaders<SockaddrStorage>,
    send_headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[u8]>,
}

/// What a flush did.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flushed {
    pub(super) sent: u64,
    pub(super) failed: u64,
}

impl RtpSocket {
    /// Takes over a bound, non-blocking socket.
    pub(super) fn new(socket: UdpSocket) -> Self {
        Self {
            ipv6: socket.local_addr().is_ok_and(|address| address.is_ipv6()),
            socket,
            receive_headers: MultiHeaders::preallocate(BATCH, None),
            send_headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![0; BATCH * DATAGRAM_BYTES].into_boxed_slice(),
        }
    }

    /// Reads what has arrived, at most one batch, and hands the datagrams over with their senders. Says how many there
    /// were; fewer than [`RtpSocket::BATCH`] means that the socket is empty.
    pub(super) fn receive(&mut self, take: impl FnOnce(&[(SocketAddr, &[u8])])) -> io::Result<usize> {
        let mut chunks = self.buffers.chunks_exact_mut(DATAGRAM_BYTES);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(chunks.next().expect("one chunk for each message of a batch"))]);
        let received = match recvmmsg(
            self.socket.as_raw_fd(),
            &mut self.receive_headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        ) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        };
        let nobody: (SocketAddr, &[u8]) = (SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), &[]);
        let (mut datagrams, mut count, mut known) = ([nobody; BATCH], 0, 0);
        for message in received {
            count += 1;
            let Some(sender) = message.address.as_ref().and_then(socket_address) else { continue };
            datagrams[known] = (canonical(sender), message.iovs().next().unwrap_or_default());
            known += 1;
        }
        take(&datagrams[..known]);
        Ok(count)
    }

    /// Messages in a full batch.
    pub(super) const BATCH: usize = BATCH;

    /// Sends all that is in `outbox` and empties it. A packet that the kernel refuses is counted and let go: audio has
    /// no use for a late copy.
    pub(super) fn flush(&mut self, outbox: &mut Outbox) -> Flushed {
        let mut flushed = Flushed::default();
        let mut next = 0;
        while next < outbox.packets.len() {
            let batch = &outbox.packets[next..outbox.packets.len().min(next + BATCH)];
            let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|i| {
                let Some((end, _)) = batch.get(i) else { return [IoSlice::new(&[])] };
                let start = (next + i).checked_sub(1).map_or(0, |before| outbox.packets[before].0);
                [IoSlice::new(&outbox.bytes[start..*end])]
            });
            let mut addresses: [Option<SockaddrStorage>; BATCH] = [None; BATCH];
            for ((_, destination), address) in batch.iter().zip(&mut addresses) {
                *address = Some(self.reachable(*destination).into());
            }
            let sent = sendmmsg(
                self.socket.as_raw_fd(),
                &mut self.send_headers,
                &slices[..batch.len()],
                &addresses[..batch.len()],
                [],
                MsgFlags::MSG_DONTWAIT,
            )
            .map(Iterator::count);
            match sent {
                Ok(count) if count > 0 => {
                    flushed.sent += count as u64;
                    next += count;
                }
                Err(Errno::EINTR) => {}
                // The first packet of the batch is what failed; those behind it may go elsewhere.
                _ => {
                    flushed.failed += 1;
                    next += 1;
                }
            }
        }
        outbox.clear();
        flushed
    }

    /// The address as this socket can send to it: IPv4 is mapped where the socket speaks IPv6.
    fn reachable(&self, destination: SocketAddr) -> SocketAddr {
        match destination.ip() {
            IpAddr::V4(v4) if self.ipv6 => SocketAddr::new(v4.to_ipv6_mapped().into(), destination.port()),
            _ => destination,
        }
    }
}

impl AsFd for RtpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::new(v6.ip().into(), v6.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: &str, to: &str) -> (RtpSocket, RtpSocket) {
        let open = |address: &str| RtpSocket::new(bind(address.parse().expect("an address")).expect("a free port"));
        (open(from), open(to))
    }

    fn local(socket: &RtpSocket) -> SocketAddr {
        socket.socket.local_addr().expect("a bound socket")
    }

    fn await_packets(socket: &mut RtpSocket, wanted: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut packets = Vec::new();
        while packets.len() < wanted {
            let mut fds = [nix::poll::PollFd::new(socket.socket.as_fd(), nix::poll::PollFlags::POLLIN)];
            assert_eq!(nix::poll::poll(&mut fds, 5_000u16), Ok(1), "a packet within five seconds");
            socket
                .receive(|batch| packets.extend(batch.iter().map(|(from, bytes)| (*from, bytes.to_vec()))))
                .expect("readable");
        }
        packets
    }

    #[test]
    fn more_packets_than_a_batch_arrive_whole_and_in_order() {
        let (mut from, mut to) = pair("127.0.0.1:0", "127.0.0.1:0");
        let mut outbox = Outbox::default();
        for n in 0..100u8 {
            outbox.push(local(&to), |bytes| bytes.extend_from_slice(&vec![n; 12 + usize::from(n)]));
        }
        assert_eq!(from.flush(&mut outbox), Flushed { sent: 100, failed: 0 });
        assert_eq!(from.flush(&mut outbox), Flushed::default(), "a flush empties the outbox");
        let packets = await_packets(&mut to, 100);
        for (n, (sender, bytes)) in packets.iter().enumerate() {
            assert_eq!((*sender, bytes.as_slice()), (local(&from), vec![n as u8; 12 + n].as_slice()));
        }
    }

    #[test]
    fn a_dual_stack_socket_names_ipv4_peers_by_their_ipv4_address() {
        let (mut v4, mut dual) = pair("127.0.0.1:0", "[::]:0");
        let mut outbox = Outbox::default();
        let dual_by_v4 = SocketAddr::new(local(&v4).ip(), local(&dual).port());
        outbox.push(dual_by_v4, |bytes| bytes.push(1));
        v4.flush(&mut outbox);
        assert_eq!(await_packets(&mut dual, 1), [(local(&v4), vec![1])]);
        outbox.push(local(&v4), |bytes| bytes.push(2));
        assert_eq!(dual.flush(&mut outbox).sent, 1);
        assert_eq!(await_packets(&mut v4, 1), [(dual_by_v4, vec![2])]);
    }

    #[test]
    fn a_packet_that_cannot_be_sent_does_not_hold_up_the_next() {
        let (mut from, mut to) = pair("127.0.0.1:0", "127.0.0.1:0");
        let mut outbox = Outbox::default();
        outbox.push("[2001:db8::1]:9".parse().expect("an address"), |bytes| bytes.push(0));
        outbox.push(local(&to), |bytes| bytes.push(7));
        assert_eq!(from.flush(&mut outbox), Flushed { sent: 1, failed: 1 });
        assert_eq!(await_packets(&mut to, 1)[0].1, [7]);
    }
}
