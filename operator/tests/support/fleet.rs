//! Data-plane pods that answer what a test told them to, instead of processes with calls.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::future::BoxFuture;
use sofia_operator::{
    controller::act::Pods,
    fleet::scrape::PodFigures,
    secret_text::SecretText,
    switch::{Figures, GatewayState, Look, Switches},
};

use serde_json::json;

use super::{api::Api, world::NAMESPACE};

/// All pods of a test, by address. One of which nothing was said is idle.
#[derive(Clone)]
pub struct FakeFleet {
    api: Api,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pods: HashMap<IpAddr, PodFigures>,
    silent: bool,
    stay_ready: bool,
    drained: Vec<Drain>,
    gateway: GatewayState,
    passwords: Vec<String>,
}

/// A request to drain that a pod got.
#[derive(Clone, Debug)]
pub struct Drain {
    /// The pod's address.
    pub address: IpAddr,
    /// Whether the pod's annotation already said since when.
    pub annotated: bool,
    /// The bearer token.
    pub token: String,
}

const IDLE: PodFigures = PodFigures { active: 0, capacity: 100, accepting: true, draining: false };

impl FakeFleet {
    /// Pods that run in the cluster of this API server.
    pub fn new(api: Api) -> Self {
        Self { api, state: Arc::default() }
    }

    /// Gives a pod calls.
    pub fn calls(&self, address: IpAddr, active: u32) {
        self.lock().pods.entry(address).or_insert(IDLE).active = active;
    }

    /// Has a pod forget that it drains, as one does whose container is started anew.
    pub fn restarts(&self, address: IpAddr) {
        self.lock().pods.insert(address, IDLE);
    }

    /// Has no pod answer any more, or all again.
    pub fn silence(&self, silent: bool) {
        self.lock().silent = silent;
    }

    /// Has every FreeSWITCH say this of all its gateways.
    pub fn gateways(&self, state: GatewayState) {
        self.lock().gateway = state;
    }

    /// The passwords with which FreeSWITCH was asked.
    pub fn passwords(&self) -> Vec<String> {
        self.lock().passwords.clone()
    }

    /// Has pods be ready even when they drain, as they are for a while after a probe.
    pub fn stay_ready(&self) {
        self.lock().stay_ready = true;
    }

    /// The requests to drain so far.
    pub fn drains(&self) -> Vec<Drain> {
        self.lock().drained.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the pods")
    }
}

impl Pods for FakeFleet {
    fn figures(&self, address: IpAddr) -> BoxFuture<'_, Option<PodFigures>> {
        let state = self.lock();
        let figures = (!state.silent).then(|| state.pods.get(&address).copied().unwrap_or(IDLE));
        Box::pin(std::future::ready(figures))
    }

    fn drain<'a>(&'a self, address: IpAddr, token: &'a SecretText) -> BoxFuture<'a, Result<(), String>> {
        let pods = self.api.all("", "pods");
        let pod = pods.iter().find(|pod| pod["status"]["podIP"] == address.to_string().as_str());
        let annotated =
            pod.is_some_and(|pod| !pod["metadata"]["annotations"]["sofia-phone.io/draining-since"].is_null());
        let stays = self.lock().stay_ready;
        if let Some(name) = pod.and_then(|pod| pod["metadata"]["name"].as_str()).filter(|_| !stays) {
            let drains = json!({ "metadata": { "annotations": { "test/drains": "true" } } });
            self.api.change("", "pods", NAMESPACE, name, &drains);
        }
        let mut state = self.lock();
        state.drained.push(Drain { address, annotated, token: token.expose().to_owned() });
        let figures = state.pods.entry(address).or_insert(IDLE);
        figures.draining = true;
        figures.accepting = false;
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Switches for FakeFleet {
    fn look(&self, look: Look) -> BoxFuture<'static, Option<Figures>> {
        let mut state = self.lock();
        state.passwords.push(look.password.expose().to_owned());
        let gateways = look.gateways.into_iter().map(|name| (name, state.gateway)).collect();
        let figures = Figures { channels: Some(0), gateways, ..Figures::default() };
        Box::pin(std::future::ready((!state.silent).then_some(figures)))
    }
}
