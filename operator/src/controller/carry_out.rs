//! The one step of a pass that changes the cluster: what was decided about the fleet, and what the spec in force asks for. Decides
//! nothing.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use tracing::info;

use super::{
    Context,
    act::{Acted, Fleet},
    apply::{self, Applied, BuiltFrom, Target},
    build::{self, BuildError, Inputs, kind::Kind},
    events::Done,
    in_force::{InForce, Means},
    memory::Memory,
    status::{Problem, WorkloadView},
    stores::TrunkKey,
};
use crate::fleet::{
    decide::Decision,
    execute::{Hands, Size, execute},
};
use crate::vocabulary::names;

/// What was done, for the status and the events.
#[derive(Default)]
pub struct Carried {
    /// To the trunk's objects.
    pub applied: Applied,
    /// To its pods.
    pub acted: Acted,
    /// What people are told of.
    pub done: Done,
    /// Pods that shall serve.
    pub serving: u32,
}

/// One trunk, to be worked on.
pub struct Site<'a> {
    /// What every pass needs.
    pub context: &'a Context,
    /// The trunk.
    pub key: &'a TrunkKey,
    /// What it is run by.
    pub in_force: &'a InForce<'a>,
    /// Address, or name, of its Service of type LoadBalancer.
    pub load_balancer_address: Option<&'a str>,
    /// Its data plane's Deployment, if it exists.
    pub data_plane: Option<&'a Deployment>,
    /// Its data-plane pods.
    pub fleet: Fleet<'a>,
    /// Now.
    pub now: Timestamp,
    /// What is remembered of it.
    pub memory: &'a mut Memory,
}

/// Does what was decided.
pub async fn carry_out(site: Site<'_>, decision: &Decision) -> Carried {
    let mut worker = Worker { site, acted: Acted::default(), applied: Applied::default() };
    execute(decision, &mut worker).await;
    let Worker { site, acted, applied } = worker;
    let Site { key, data_plane, memory, .. } = site;
    let name = names::data_plane(&key.name);
    let mut done = Done { began: acted.began.clone(), ..Done::default() };
    if let Some(&(generation, replicas)) = applied.deployments.get(&name) {
        memory.data_plane = Some((generation, replicas));
        let before = data_plane.map(|deployment| WorkloadView::of(deployment).desired);
        done.replicas = before.filter(|before| *before != replicas).map(|before| (before, replicas));
        done.created = applied.created.contains(&(Kind::Deployment, name));
        if let Some((before, after)) = done.replicas {
            info!(trunk = %key, before, after, serving = decision.serving, "the data plane's replicas were changed");
        }
    }
    Carried { applied, acted, done, serving: decision.serving }
}

/// Whoever does it in the cluster.
struct Worker<'a> {
    site: Site<'a>,
    acted: Acted,
    applied: Applied,
}

impl Hands for Worker<'_> {
    async fn unmark(&mut self, pods: &[String]) {
        let Site { fleet, memory, .. } = &mut self.site;
        self.acted.extend(fleet.unmark(pods, &mut memory.written).await);
    }

    async fn mark(&mut self, pods: &[String]) {
        let Site { fleet, memory, .. } = &mut self.site;
        self.acted.extend(fleet.mark(pods, &mut memory.written).await);
    }

    async fn resize(&mut self, size: Size) {
        self.applied = self.site.resize(size).await;
    }

    async fn drain(&mut self, pods: &[String]) {
        let Site { fleet, memory, now, in_force, .. } = &mut self.site;
        let token = &in_force.means.referenced().admin_token;
        self.acted.extend(fleet.drain(pods, *now, token, &mut memory.written).await);
    }

    async fn delete(&mut self, pods: &[String]) {
        self.acted.extend(self.site.fleet.delete(pods).await);
    }
}

impl Site<'_> {
    /// Brings the trunk's objects to what its spec asks for with so many pods; where they can't be built, only the number of pods.
    async fn resize(&mut self, size: Size) -> Applied {
        let Self { context, key, in_force, load_balancer_address, data_plane, memory, .. } = self;
        let referenced = in_force.means.referenced();
        let inputs = Inputs {
            trunk: &in_force.trunk,
            referenced,
            release: &context.release,
            data_plane_replicas: size.replicas,
            data_plane_serving: size.serving,
            crowded: size.crowded,
            pod_monitors: context.stores.owned.contains_key(&Kind::PodMonitor),
            load_balancer_address: *load_balancer_address,
        };
        let Memory { uid, seen, .. } = &mut **memory;
        let token = &referenced.admin_token;
        let target = Target { client: &context.client, stores: &context.stores, trunk: key, uid, key: token };
        let failed = |error: BuildError| {
            let problem = Some(Problem::Build { message: error.to_string() });
            Applied { problem, ..Applied::default() }
        };
        match &in_force.means {
            Means::Whole(_) => {
                let from = BuiltFrom::of(&inputs, in_force.generation, referenced);
                if apply::is_as_seen(target, &from, seen) {
                    return Applied::default();
                }
                match build::build(&inputs) {
                    Ok(objects) => apply::apply(target, from, objects.manifests(), seen).await,
                    Err(error) => failed(error),
                }
            }
            Means::Pods(_) => match build::build_followers(&inputs) {
                Ok(objects) => apply::resize(target, *data_plane, size.replicas, objects.manifests(), seen).await,
                Err(error) => failed(error),
            },
        }
    }
}
