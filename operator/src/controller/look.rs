//! FreeSWITCH's pods are looked at now and then; what is known of them in between is remembered. Decides nothing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use sofia_crds::spec::FreeSwitch;

use super::status::PodFacts;
use crate::{
    secret_text::SecretText,
    switch::{Figures, GatewayState, Look, SessionRate, Switches},
};

/// How many looks in a row may fail before what was known is known no more.
const LOOKS_LEFT_OUT: u32 = 3;

/// What is remembered of FreeSWITCH's pods, by their uid.
#[derive(Debug, Default)]
pub struct Sights(HashMap<String, Sight>);

#[derive(Debug)]
struct Sight {
    /// When it is looked at next.
    next: Instant,
    /// Looks in a row that failed.
    failed: u32,
    /// What it said last.
    figures: Option<Figures>,
}

/// What is known of a trunk's FreeSWITCH, all of its pods that take calls together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchView {
    /// Channels; nothing while a pod's are not known.
    pub channels: Option<u32>,
    /// The highest rate, in one of them, and the limit of each.
    pub rate: Option<SessionRate>,
    /// Gateways in the order of the spec, each in the worst state that it has in any of them.
    pub gateways: Vec<(String, GatewayState)>,
    /// Looks of this pass that failed.
    pub failed: u32,
}

/// Looks at those pods that take calls and were not looked at for about the interval. `chance` (0 to 1) spreads them.
pub async fn look(
    switches: &dyn Switches,
    namespace: &str,
    free_switch: &FreeSwitch,
    password: Option<&SecretText>,
    pods: &[Arc<Pod>],
    sights: &mut Sights,
    next: impl Fn() -> Duration,
) -> SwitchView {
    let now = Instant::now();
    let taking: Vec<(String, String)> = pods
        .iter()
        .filter(|pod| {
            let facts = PodFacts::of(pod, None);
            facts.ready && !facts.draining
        })
        .filter_map(|pod| Some((pod.uid()?, pod.name_any())))
        .collect();
    sights.0.retain(|uid, _| taking.iter().any(|(there, _)| there == uid));
    let names: Vec<&str> = free_switch.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
    let mut failed = 0;
    if let Some(password) = password {
        let due = taking.iter().filter(|(uid, _)| sights.0.get(uid).is_none_or(|sight| sight.next <= now));
        let looks = due.map(|(uid, pod)| {
            let look = Look { namespace, pod, password, gateways: &names };
            async move { (uid.clone(), switches.look(look).await) }
        });
        for (uid, seen) in join_all(looks).await {
            let sight = sights.0.entry(uid).or_insert(Sight { next: now, failed: 0, figures: None });
            sight.next = now + next();
            match seen {
                Some(figures) => (sight.failed, sight.figures) = (0, Some(figures)),
                None => {
                    failed += 1;
                    sight.failed += 1;
                    if sight.failed >= LOOKS_LEFT_OUT {
                        sight.figures = None;
                    }
                }
            }
        }
    }
    let known: Vec<Option<&Figures>> =
        taking.iter().map(|(uid, _)| sights.0.get(uid).and_then(|sight| sight.figures.as_ref())).collect();
    SwitchView { failed, ..together(&names, &known) }
}

fn together(gateways: &[&str], pods: &[Option<&Figures>]) -> SwitchView {
    let state = |name: &str| {
        let states = pods.iter().map(|figures| figures.and_then(|figures| figures.gateways.get(name)).copied());
        states.map(Option::unwrap_or_default).max_by_key(|state| rank(*state)).unwrap_or_default()
    };
    let rates: Vec<SessionRate> = pods.iter().filter_map(|figures| figures.as_ref()?.rate).collect();
    let channels = pods.iter().map(|figures| figures.as_ref()?.channels);
    SwitchView {
        channels: channels.sum::<Option<u32>>().filter(|_| !pods.is_empty()),
        rate: rates.into_iter().max_by_key(|rate| rate.peak),
        gateways: gateways.iter().map(|name| ((*name).to_owned(), state(name))).collect(),
        failed: 0,
    }
}

/// The worse the higher.
fn rank(state: GatewayState) -> u8 {
    match state {
        GatewayState::Registered | GatewayState::Reachable => 0,
        GatewayState::Unknown => 1,
        GatewayState::Registering => 2,
        GatewayState::Unreachable => 3,
        GatewayState::Failed => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, PoisonError},
    };

    use futures_util::future::BoxFuture;
    use serde_json::json;

    use super::*;

    /// Says what it is told to, and counts.
    #[derive(Default)]
    struct Told {
        says: Mutex<HashMap<String, Figures>>,
        asked: Mutex<Vec<String>>,
    }

    impl Told {
        fn says(&self, pod: &str, state: Option<GatewayState>) {
            let mut says = self.says.lock().unwrap_or_else(PoisonError::into_inner);
            match state {
                Some(state) => says.insert(pod.to_owned(), figures(state)),
                None => says.remove(pod),
            };
        }

        fn asked(&self) -> usize {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
        }
    }

    impl Switches for Told {
        fn look<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Option<Figures>> {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(look.pod.to_owned());
            let said = self.says.lock().unwrap_or_else(PoisonError::into_inner).get(look.pod).cloned();
            Box::pin(std::future::ready(said))
        }
    }

    fn figures(state: GatewayState) -> Figures {
        Figures {
            channels: Some(3),
            rate: Some(SessionRate { now: 1, peak: 4, limit: 1000 }),
            gateways: BTreeMap::from([("carrier".to_owned(), state)]),
        }
    }

    fn pod(name: &str, ready: &str) -> Arc<Pod> {
        let pod = json!({
            "metadata": { "name": name, "uid": format!("uid-of-{name}") },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        });
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    async fn seen(told: &Told, pods: &[Arc<Pod>], sights: &mut Sights, next: Duration) -> SwitchView {
        let free_switch = json!({ "gateways": [{ "name": "carrier", "proxy": "sip.example.com" }] });
        let free_switch: FreeSwitch = serde_json::from_value(free_switch).expect("a FreeSWITCH");
        look(told, "voice", &free_switch, Some(&SecretText::new("hush")), pods, sights, || next).await
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_gateway_is_as_bad_as_where_it_is_worst() {
        let told = Told::default();
        let pods = [pod("a", "True"), pod("b", "True"), pod("starts", "False")];
        told.says("a", Some(GatewayState::Registered));
        for (state, expected) in [
            (Some(GatewayState::Registered), GatewayState::Registered),
            (Some(GatewayState::Failed), GatewayState::Failed),
            (Some(GatewayState::Unreachable), GatewayState::Unreachable),
            (None, GatewayState::Unknown),
        ] {
            told.says("b", state);
            let view = seen(&told, &pods, &mut Sights::default(), HOUR).await;
            assert_eq!(view.gateways, [("carrier".to_owned(), expected)]);
            assert_eq!(view.channels, state.map(|_| 6), "of all or of none");
            assert_eq!(view.failed, u32::from(state.is_none()));
        }
    }

    #[tokio::test]
    async fn a_pod_is_looked_at_once_an_interval_and_at_once_when_it_is_new() {
        let told = Told::default();
        told.says("a", Some(GatewayState::Registered));
        told.says("b", Some(GatewayState::Registered));
        let mut sights = Sights::default();
        for _ in 0..3 {
            let view = seen(&told, &[pod("a", "True")], &mut sights, HOUR).await;
            assert_eq!(view.gateways[0].1, GatewayState::Registered, "also in between");
        }
        assert_eq!(told.asked(), 1);
        seen(&told, &[pod("a", "True"), pod("b", "True")], &mut sights, HOUR).await;
        assert_eq!(told.asked(), 2);
        seen(&told, &[], &mut sights, HOUR).await;
        seen(&told, &[pod("a", "True")], &mut sights, HOUR).await;
        assert_eq!(told.asked(), 3, "what is gone is forgotten");
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_unknown_after_three_looks() {
        let told = Told::default();
        let (pods, mut sights) = ([pod("a", "True")], Sights::default());
        told.says("a", Some(GatewayState::Registered));
        seen(&told, &pods, &mut sights, Duration::ZERO).await;
        told.says("a", None);
        let mut states = Vec::new();
        for _ in 0..3 {
            states.push(seen(&told, &pods, &mut sights, Duration::ZERO).await.gateways[0].1);
        }
        assert_eq!(states, [GatewayState::Registered, GatewayState::Registered, GatewayState::Unknown]);
    }
}
