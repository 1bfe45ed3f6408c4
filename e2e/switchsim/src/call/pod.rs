//! Leg C, the pod's: runs context `agent`, connects out to a pod, carries ESL both ways until one side ends it. Never sees
//! RTP.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::api::SwitchApi;
use super::names::Presented;
use super::{CallShared, LegCommand, LegEvent};
use crate::cause::Cause;
use crate::channel::{Channel, SharedChannel};
use crate::config::{Action, Profile};
use crate::dialplan::{self, expand, socket_targets};
use crate::esl::{self, Effect, Ending, EslSession, LegIdentity};
use crate::report::Happening;
use crate::switch::{Reach, Registered};

/// A pod that does not take what is written to it for so long is lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `socket` waits for a connection that is neither made nor refused.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest linger, whatever a pod asks for.
const MAX_LINGER: Duration = Duration::from_secs(60);

/// What leg B's INVITE says.
pub(super) struct NewPodLeg {
    pub(super) profile: Profile,
    pub(super) source: SocketAddr,
    pub(super) destination: String,
    pub(super) presented: Presented,
    pub(super) sip_headers: Vec<(String, String)>,
    pub(super) offer: String,
    pub(super) codec_string: String,
    pub(super) max_forwards: u32,
    pub(super) attempt: u32,
    pub(super) rtp: SocketAddr,
}

/// Leg B's hold on leg C.
pub(super) struct PodLeg {
    commands: mpsc::UnboundedSender<LegCommand>,
    pub(super) events: mpsc::UnboundedReceiver<LegEvent>,
}

impl PodLeg {
    /// Nobody hears it when the leg is over.
    pub(super) fn command(&self, command: LegCommand) {
        let _ = self.commands.send(command);
    }
}

struct Runner {
    shared: Arc<CallShared>,
    channel: SharedChannel,
    commands: mpsc::UnboundedReceiver<LegCommand>,
    events: mpsc::UnboundedSender<LegEvent>,
}

/// How `socket` ended.
enum SocketEnd {
    /// The channel is over; its end was told to leg B.
    ChannelOver,
    /// No pod, or not any more: the dialplan goes on.
    GoOn,
}

/// Starts leg C.
pub(super) fn start(shared: &Arc<CallShared>, new: NewPodLeg) -> PodLeg {
    let core = &shared.core;
    let uuid = Uuid::new_v4().to_string();
    let Presented { number, name } = new.presented;
    let host = new.profile.sip_ip;
    let mut channel = Channel::new(
        &uuid,
        format!("sofia/{}/{number}@{host}", new.profile.name),
        &number,
        &name,
        &new.destination,
        &new.profile.context,
    );
    channel.network_addr = new.source.ip().to_string();
    channel.globals = core.globals.clone();
    let identity = LegIdentity {
        session_id: core.next_id(),
        profile: &new.profile,
        network_port: new.source.port(),
        max_forwards: new.max_forwards,
        sip_headers: &new.sip_headers,
        offer: &new.offer,
        codec_string: &new.codec_string,
    };
    esl::set_sip_variables(&mut channel, &identity);
    let channel = SharedChannel::new(channel);
    let (commands, command_receiver) = mpsc::unbounded_channel();
    let (event_sender, events) = mpsc::unbounded_channel();
    core.channels()
        .insert(uuid.clone(), Registered { channel: channel.clone(), control: Reach::Pod(commands.clone()) });
    shared.note(Happening::LegStarted { attempt: new.attempt, uuid: uuid.clone(), rtp: new.rtp.to_string() });
    let mut runner = Runner { shared: shared.clone(), channel, commands: command_receiver, events: event_sender };
    core.pod_legs.send_modify(|legs| *legs += 1);
    tokio::spawn(async move {
        runner.run(&uuid).await;
        runner.shared.core.pod_legs.send_modify(|legs| *legs -= 1);
        // Later than the channel's end while the connection lingers: `uuid_…` on it must fail by then, see `Runner::over`.
        runner.shared.core.channels().remove(&uuid);
    });
    PodLeg { commands, events }
}

impl Runner {
    async fn run(&mut self, uuid: &str) {
        let actions = {
            let mut channel = self.channel.lock();
            let context = channel.context.clone();
            let set = |channel: &mut Channel, action: &Action| dialplan::set(channel, &action.data);
            let actions = dialplan::hunt(&self.shared.core.dialplan(), &mut channel, &context, set);
            channel.variables.set("call_uuid", uuid);
            actions
        };
        let Some(actions) = actions else {
            self.shared.problem("nothing in the pod's context matches");
            return self.over(Cause::NO_ROUTE_DESTINATION);
        };
        for action in actions {
            let data = expand(&action.data, &self.channel.lock());
            match action.application.as_str() {
                "set" | "export" => dialplan::set(&mut self.channel.lock(), &action.data),
                "unset" => self.channel.lock().variables.remove(data.trim()),
                "log" | "info" | "ring_ready" => {}
                "sleep" => sleep(Duration::from_millis(data.trim().parse().unwrap_or(0))).await,
                "socket" => {
                    if let SocketEnd::ChannelOver = self.socket(&data).await {
                        return;
                    }
                }
                "hangup" => {
                    return self.over(if data.is_empty() { Cause::NORMAL_CLEARING } else { Cause::named(&data) });
                }
                "respond" => return self.over(Cause::NORMAL_TEMPORARY_FAILURE),
                unknown => {
                    self.shared.problem(format!("invalid application {unknown} on a pod's leg"));
                    return self.over(Cause::DESTINATION_OUT_OF_ORDER);
                }
            }
        }
        self.over(Cause::NORMAL_CLEARING);
    }

    /// The channel is gone; a connection may linger.
    fn over(&self, cause: Cause) {
        let uuid = self.channel.lock().uuid.clone();
        self.shared.core.channels().remove(&uuid);
        let _ = self.events.send(LegEvent::Ended(cause));
    }

    async fn socket(&mut self, data: &str) -> SocketEnd {
        {
            let mut channel = self.channel.lock();
            // FreeSWITCH writes the name once more before the application runs.
            channel.variables.set("current_application_data", data);
            channel.variables.set("current_application", "socket");
        }
        for target in socket_targets(data) {
            let written = format!("{}:{}", target.host, target.port);
            let host = self.shared.core.resolve(&written);
            let connect = timeout(CONNECT_TIMEOUT, connect(&host));
            let connected = tokio::select! {
                connected = connect => connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
                end = self.told_to_end() => {
                    self.over(end);
                    return SocketEnd::ChannelOver;
                }
            };
            match connected {
                Ok(stream) => {
                    // Commands and replies are small and wait for each other.
                    let _ = stream.set_nodelay(true);
                    self.shared.note(Happening::EslConnected { host });
                    self.channel.lock().variables.set("socket_host", target.host.as_str());
                    return self.connected(stream, data).await;
                }
                Err(error) => self.shared.note(Happening::EslRefused { host, error: error.to_string() }),
            }
        }
        SocketEnd::GoOn
    }

    /// Waits for an end from outside while nothing is connected.
    async fn told_to_end(&mut self) -> Cause {
        loop {
            match self.commands.recv().await {
                Some(LegCommand::Ack) => {}
                Some(LegCommand::Bye(cause) | LegCommand::Kill(cause)) => return cause,
                Some(LegCommand::Cancel) => return Cause::ORIGINATOR_CANCEL,
                // Leg B's task is gone without a word: the runtime is being shut down.
                None => return pending().await,
            }
        }
    }

    async fn connected(&mut self, stream: TcpStream, data: &str) -> SocketEnd {
        let connected_at = Instant::now();
        let mut pod = Pod {
            session: EslSession::new(self.channel.clone(), self.shared.core.events.clone(), data),
            stream,
            buffer: vec![0; 16 * 1024],
        };
        let mut run_at: Option<Instant> = None;
        let mut answer_asked: Option<f64> = None;
        let lost = loop {
            if let Err(error) = pod.flush().await {
                break error;
            }
            if run_at.is_none() && pod.session.has_queued() {
                run_at = Some(Instant::now() + self.shared.core.tick);
            }
            tokio::select! {
                effects = pod.read(&self.shared) => match effects {
                    Err(error) => break error,
                    Ok(effects) => {
                        for effect in effects {
                            match effect {
                                Effect::Command(command) => {
                                    if command.contains("execute answer") {
                                        answer_asked.get_or_insert(connected_at.elapsed().as_secs_f64() * 1e3);
                                    }
                                    self.shared.note(Happening::Command { command });
                                }
                                Effect::Exit => {
                                    pod.goodbye().await;
                                    sleep(self.shared.core.tick).await;
                                    return SocketEnd::GoOn;
                                }
                                _ => {}
                            }
                        }
                    }
                },
                () = sleep_until(run_at.unwrap_or_else(Instant::now)), if run_at.is_some() => {
                    run_at = None;
                    while pod.session.has_queued() {
                        match pod.session.run_next() {
                            Some(Effect::Answer(sdp)) => {
                                let setup_ms = answer_asked.unwrap_or_default();
                                let _ = self.events.send(LegEvent::Answered { sdp, setup_ms });
                            }
                            Some(Effect::HangUp(cause)) => {
                                self.over(cause);
                                pod.linger(&self.shared).await;
                                return SocketEnd::ChannelOver;
                            }
                            _ => {}
                        }
                    }
                },
                Some(command) = self.commands.recv() => {
                    let (cause, ending) = match command {
                        LegCommand::Ack => {
                            pod.session.confirmed();
                            continue;
                        }
                        LegCommand::Bye(cause) => (cause, Ending::Bye),
                        LegCommand::Cancel => (Cause::ORIGINATOR_CANCEL, Ending::Cancel),
                        LegCommand::Kill(cause) => (cause, Ending::Own),
                    };
                    // BYE is answered at once, the channel's own thread looks up once a frame.
                    sleep(self.shared.core.tick).await;
                    pod.session.hang_up(cause, ending);
                    self.over(cause);
                    pod.linger(&self.shared).await;
                    return SocketEnd::ChannelOver;
                }
            }
        };
        self.shared.note(Happening::EslLost { error: lost });
        if !pod.session.is_connected() {
            // FreeSWITCH still waits for `connect`, and does not look whether anybody is there to say it.
            let cause = self.told_to_end().await;
            self.over(cause);
            return SocketEnd::ChannelOver;
        }
        pod.goodbye().await;
        sleep(self.shared.core.tick).await;
        SocketEnd::GoOn
    }
}

/// As FreeSWITCH does it: the name service is asked anew for each try, and its first answer counts.
async fn connect(host: &str) -> std::io::Result<TcpStream> {
    let address = lookup_host(host).await?.next();
    TcpStream::connect(address.ok_or(std::io::ErrorKind::HostUnreachable)?).await
}

/// The connection to a pod.
struct Pod {
    session: EslSession,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Pod {
    async fn flush(&mut self) -> Result<(), String> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        match timeout(WRITE_TIMEOUT, self.stream.write_all(&output)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("write: {error}")),
            Err(_) => Err("the pod reads nothing".to_owned()),
        }
    }

    /// Cancel-safe: nothing is taken before it is handed over.
    async fn read(&mut self, shared: &Arc<CallShared>) -> Result<Vec<Effect>, String> {
        match self.stream.read(&mut self.buffer).await {
            Ok(0) => Err("closed by the pod".to_owned()),
            Err(error) => Err(format!("read: {error}")),
            Ok(count) => {
                let mut api = SwitchApi { core: &shared.core };
                self.session.input(&self.buffer[..count], &mut api).map_err(|error| error.to_string())
            }
        }
    }

    /// After the hang-up: the connection stays as long as the pod asked for, and commands are still answered.
    async fn linger(&mut self, shared: &Arc<CallShared>) {
        if let Some(seconds) = self.session.linger_seconds() {
            let deadline = Instant::now() + Duration::from_secs(seconds).min(MAX_LINGER);
            'lingering: loop {
                if self.flush().await.is_err() {
                    return;
                }
                tokio::select! {
                    () = sleep_until(deadline) => break,
                    effects = self.read(shared) => match effects {
                        Err(_) => break,
                        Ok(effects) => for effect in effects {
                            match effect {
                                Effect::Exit => break 'lingering,
                                Effect::Command(command) => shared.note(Happening::Command { command }),
                                _ => {}
                            }
                        },
                    }
                }
            }
        }
        self.goodbye().await;
    }

    async fn goodbye(&mut self) {
        self.session.say_goodbye();
        // The pod may be gone already.
        let _ = self.flush().await;
        let _ = self.stream.shutdown().await;
    }
}
