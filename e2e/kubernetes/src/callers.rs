//! The callers in a pod that stands in for FreeSWITCH: placed and asked through the API server's proxy to that pod, so that the
//! scenarios need no way into the cluster's network.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use sofia_dataplane::call::{STATE_VARIABLE, state};
use sofia_dataplane::turn::state::SavedState;
use switchsim::control::{
    CallState, Client as Control, LoadState, LoadStatus, NewCall, NewLevel, NewLoad, SwitchState, Transport,
};
use switchsim::{CallOutcome, Happening, Snapshot};

use crate::wait::{PATIENCE, eventually, when};

/// Port of the control API in the stand-in's pod.
const CONTROL_PORT: u16 = 8099;

/// Where callers call from: one of the addresses that a trunk takes calls from when it names none.
const CALLER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// The callers in one pod.
pub struct Callers {
    control: Control<PodProxy>,
}

/// The API server's proxy to a pod.
struct PodProxy(Client);

impl Transport for PodProxy {
    type Error = kube::Error;

    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, kube::Error> {
        let (parts, body) = self.0.send(request.map(Body::from)).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect_bytes().await?.to_vec()))
    }
}

impl Callers {
    pub(crate) fn new(client: Client, namespace: &str, pod: &str) -> Self {
        let prefix = format!("/api/v1/namespaces/{namespace}/pods/http:{pod}:{CONTROL_PORT}/proxy");
        Self { control: Control::new(PodProxy(client), prefix) }
    }

    /// Places a caller and returns the call's id.
    pub async fn place(&self, call: &NewCall) -> String {
        let mut call = call.clone();
        call.network_addr.get_or_insert(CALLER_ADDRESS);
        // The scenario decides how long it waits, and a caller that it waits with does not hang up before.
        call.step_timeout = PATIENCE * 3;
        eventually("a caller to be placed", async || self.control.place(&call).await.map_err(|error| error.to_string()))
            .await
    }

    /// A caller who hears the greeting and stays, silent.
    pub async fn place_and_greet(&self) -> String {
        let id = self.place(&NewCall::new("15550100").script(["wait-for-agent", "wait-for-hangup"])).await;
        self.until(&id, "the greeting", |call| call.agent_speaks).await;
        id
    }

    /// A caller who asks something after the greeting, and stays.
    pub async fn place_and_ask(&self) -> String {
        let script = ["wait-for-agent", "say five_five", "wait-for-agent", "wait-for-hangup"];
        self.place(&NewCall::new("15550100").script(script)).await
    }

    /// Waits until the question of [`Self::place_and_ask`] has its whole answer.
    pub async fn until_answered(&self, id: &str) -> Snapshot {
        let asked = |call: &Snapshot| {
            call.timeline.iter().find_map(|event| match event.what {
                Happening::Said { ms } => Some(event.at_ms + ms),
                _ => None,
            })
        };
        let pause = Duration::from_secs(1);
        self.until(id, "an answer", |call| asked(call).is_some_and(|since| call.agent_finished(since, pause))).await
    }

    /// Waits until a call is as wanted.
    ///
    /// # Panics
    /// When the call ends before.
    pub async fn until(&self, id: &str, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        eventually(what, async || {
            let call = self.control.call(id).await.map_err(|error| error.to_string())?;
            if let Some(report) = call.report {
                panic!("waited for {what}, but the call has ended:\n{report}\n{:#?}", report.timeline);
            }
            let now = call.now.ok_or("no snapshot")?;
            if wanted(&now) { Ok(now) } else { Err(format!("{} attempts, gaps {:?}", now.legs.len(), now.gaps)) }
        })
        .await
    }

    /// The call as it is now, while it runs.
    pub async fn now(&self, id: &str) -> Option<Snapshot> {
        self.control.call(id).await.ok().and_then(|call| call.now)
    }

    /// Lets the caller hang up and returns what became of the call. The switch must outlive the call: see [`Self::ask_to_hang_up`].
    pub async fn hang_up(&self, id: &str) -> CallOutcome {
        self.ask_to_hang_up(id).await;
        self.outcome(id).await
    }

    /// Lets the caller hang up, where nobody can be asked afterwards: a switch that is drained goes with its last call.
    pub async fn ask_to_hang_up(&self, id: &str) {
        eventually("the caller to hang up", async || self.control.hang_up(id).await.map_err(|error| error.to_string()))
            .await;
    }

    /// What became of a call, when it is over.
    pub async fn outcome(&self, id: &str) -> CallOutcome {
        eventually("the end of a call", async || {
            let call = self.control.call(id).await.map_err(|error| error.to_string())?;
            when(call.state == CallState::Ended, call.state)?;
            call.report.ok_or_else(|| "no report".to_owned())
        })
        .await
    }

    /// Starts a load.
    pub async fn start_load(&self, load: &NewLoad) -> String {
        let mut load = load.clone();
        load.network_addr.get_or_insert(CALLER_ADDRESS);
        eventually("a load to begin", async || self.control.start_load(&load).await.map_err(|error| error.to_string()))
            .await
    }

    /// Waits until a load is as wanted.
    pub async fn load_until(&self, id: &str, what: &str, wanted: impl Fn(&LoadStatus) -> bool) -> LoadStatus {
        eventually(what, async || {
            let load = self.control.load(id).await.map_err(|error| error.to_string())?;
            if wanted(&load) { Ok(load) } else { Err(format!("{:?}, refused {:?}", load.running, load.report.refused)) }
        })
        .await
    }

    /// Gives a load another level.
    pub async fn set_level(&self, id: &str, calls: usize) {
        eventually("a load to change", async || {
            self.control.set_level(id, NewLevel { calls, rate: None }).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Lets all callers of a load hang up and returns what became of it.
    pub async fn stop_load(&self, id: &str) -> LoadStatus {
        eventually("a load to stop", async || self.control.stop_load(id).await.map_err(|error| error.to_string()))
            .await;
        self.load_until(id, "the end of a load", |load| load.state == LoadState::Ended).await
    }

    /// The switch as it is now; nothing when its pod does not answer.
    pub async fn state(&self) -> Option<SwitchState> {
        self.control.state().await.ok()
    }
}

/// What the pods kept of a conversation on the caller's leg.
///
/// # Panics
/// When they kept none, or something that they can't read themselves.
#[must_use]
pub fn kept_conversation(call: &CallOutcome) -> SavedState {
    let kept = call.variables.get(STATE_VARIABLE).unwrap_or_else(|| panic!("nothing was kept: {:?}", call.variables));
    state::read::<SavedState>(kept).expect("pods keep what pods can read")
}
