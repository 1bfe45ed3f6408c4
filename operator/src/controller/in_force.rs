//! Which spec a trunk is run by: the one that it has or, while that one can't be carried out, the last that could. Reads, never writes.
//!
//! A spec with a mistake in it, or one that names a Secret that is not there, must not leave the pods to themselves: nodes are drained,
//! load rises and pods end all the same. The last spec that was carried out stands on the data plane's Deployment
//! ([`labels::LAST_SPEC`]), so an operator that has just started knows it too.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt as _, core::ObjectMeta};
use sofia_crds::{VoiceTrunk, VoiceTrunkSpec, validate::validate};
use tracing::{info, warn};

use super::{
    Context,
    dereference::{self, Referenced, dereference, made},
    memory::{Memory, about},
    stores::TrunkKey,
};
use crate::vocabulary::{labels, names};

/// What a trunk is run by.
#[derive(Debug)]
pub struct InForce<'a> {
    /// The trunk with the spec that is in force.
    pub trunk: Cow<'a, VoiceTrunk>,
    /// Generation of that spec; none when it was read from the Deployment.
    pub generation: Option<i64>,
    /// What it refers to.
    pub means: Means,
}

/// What can be done with a spec.
#[derive(Clone, Debug)]
pub enum Means {
    /// All of it: everything that it refers to is known.
    Whole(Arc<Referenced>),
    /// The objects can't be built anew, since a Secret is gone and was never read by this process. The pods are looked after: of what it
    /// refers to, their admin token alone is known.
    Pods(Arc<Referenced>),
}

impl Means {
    /// What is known of what the spec refers to.
    pub fn referenced(&self) -> &Arc<Referenced> {
        match self {
            Self::Whole(referenced) | Self::Pods(referenced) => referenced,
        }
    }
}

/// The last spec of a trunk that could be carried out.
#[derive(Clone, Debug)]
pub struct LastGood {
    /// Its generation; none when it was read from the Deployment.
    generation: Option<i64>,
    spec: Arc<VoiceTrunkSpec>,
    means: Means,
    /// When what it lacks is looked for again.
    until: Instant,
}

/// The trunk's own spec can be carried out: it is in force, and remembered as the last good one.
pub fn own<'a>(trunk: &'a VoiceTrunk, referenced: Arc<Referenced>, memory: &mut Memory) -> InForce<'a> {
    let generation = trunk.metadata.generation;
    let means = Means::Whole(referenced);
    match &mut memory.last_good {
        Some(last) if last.generation == generation => last.means = means.clone(),
        last => {
            let spec = Arc::new(trunk.spec.clone());
            *last = Some(LastGood { generation, spec, means: means.clone(), until: Instant::now() });
        }
    }
    InForce { trunk: Cow::Borrowed(trunk), generation, means }
}

/// The trunk's own spec can't be carried out: the last one that could is in force, if there was one.
pub async fn last(
    context: &Context,
    key: &TrunkKey,
    metadata: &ObjectMeta,
    exists: bool,
    memory: &mut Memory,
) -> Option<InForce<'static>> {
    if memory.last_good.is_none() && exists && memory.looked_for_spec.is_none_or(|until| Instant::now() >= until) {
        memory.looked_for_spec = Some(Instant::now() + pause(context));
        memory.last_good = found(context, key).await;
    }
    let last = memory.last_good.as_mut()?;
    let spec = VoiceTrunkSpec::clone(&last.spec);
    let trunk = VoiceTrunk { metadata: metadata.clone(), spec, status: None };
    if matches!(last.means, Means::Pods(_)) && Instant::now() >= last.until {
        last.means = means(context, key, &trunk).await;
        last.until = Instant::now() + pause(context);
    }
    Some(InForce { trunk: Cow::Owned(trunk), generation: last.generation, means: last.means.clone() })
}

fn pause(context: &Context) -> Duration {
    about(context.settings.repair_interval, context.chance())
}

/// The spec that stands on the Deployment, if it is one that this release understands.
async fn found(context: &Context, key: &TrunkKey) -> Option<LastGood> {
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &key.namespace);
    let name = names::data_plane(&key.name);
    let read = api.get_opt(&name).await;
    let deployment =
        read.inspect_err(|error| warn!(trunk = %key, %error, name, "could not read the Deployment")).ok()??;
    let text = deployment.annotations().get(labels::LAST_SPEC)?;
    let spec: VoiceTrunkSpec = serde_json::from_str(text)
        .inspect_err(|error| warn!(trunk = %key, %error, "the last spec that was carried out does not parse"))
        .ok()?;
    if !validate(&spec).is_empty() {
        warn!(trunk = %key, "the last spec that was carried out is not one that this release takes");
        return None;
    }
    info!(trunk = %key, "the spec can't be carried out; the last one that could stays in force");
    Some(LastGood {
        generation: None,
        spec: Arc::new(spec),
        means: Means::Pods(Arc::new(Referenced::token_only(None))),
        until: Instant::now(),
    })
}

/// What a spec refers to, as far as it is there.
async fn means(context: &Context, key: &TrunkKey, trunk: &VoiceTrunk) -> Means {
    let own = [names::esl(&key.name), names::internal(&key.name)];
    let secrets = match dereference::read(&context.client, key, &trunk.spec, own).await {
        Ok(secrets) => secrets,
        Err(error) => {
            warn!(trunk = %key, %error, "could not read the Secrets of the spec that is in force");
            return Means::Pods(Arc::new(Referenced::token_only(None)));
        }
    };
    match context.with_random(|random| dereference(trunk, &secrets, None, random)) {
        Ok(referenced) => Means::Whole(Arc::new(referenced)),
        Err(_) => {
            let uid = trunk.metadata.uid.as_deref().unwrap_or_default();
            let token = made(&secrets, uid, &names::internal(&key.name), names::ADMIN_TOKEN_KEY);
            Means::Pods(Arc::new(Referenced::token_only(token)))
        }
    }
}
