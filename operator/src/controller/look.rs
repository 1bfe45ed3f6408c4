//! FreeSWITCH's pods are looked at now and then; what is known of them in between is remembered. Decides nothing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use sofia_crds::spec::FreeSwitch;
use tokio::task::JoinSet;

use super::status::PodFacts;
use crate::{
    secret_text::SecretText,
    switch::{Figures, GatewayState, Look, SessionRate, Switches},
};

/// How many looks in a row may fail before what was known is known no more.
const LOOKS_LEFT_OUT: u32 = 3;

/// What is remembered of FreeSWITCH's pods.
#[derive(Debug, Default)]
pub struct Sights {
    /// By the pods' uid.
    pods: HashMap<String, Sight>,
    /// Looks whose answers have not come: no pass waits for them. They end with this.
    looks: JoinSet<(String, Option<Figures>)>,
    /// Looks that failed and were not counted yet.
    failed: u32,
}

#[derive(Debug)]
struct Sight {
    /// When it is looked at next.
    next: Instant,
    /// Whether it is being looked at.
    asked: bool,
    /// Looks in a row that failed.
    failed: u32,
    /// What it said last.
    figures: Option<Figures>,
}

impl Sights {
    /// Takes the answers that have come.
    fn gather(&mut self) {
        while let Some(answer) = self.looks.try_join_next() {
            let Ok((uid, seen)) = answer else { continue };
            self.failed += u32::from(seen.is_none());
            let Some(sight) = self.pods.get_mut(&uid) else { continue };
            sight.asked = false;
            match seen {
                Some(figures) => (sight.failed, sight.figures) = (0, Some(figures)),
                None => {
                    sight.failed += 1;
                    if sight.failed >= LOOKS_LEFT_OUT {
                        sight.figures = None;
                    }
                }
            }
        }
    }
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
    /// Whether every pod has been looked at, well or in vain. Until then what was known before stands: an operator that has just started, or a
    /// pod that is new, is no news of a carrier.
    pub settled: bool,
    /// Looks that failed since the last pass.
    pub failed: u32,
}

/// What is known of those pods that take calls. Those that were not looked at for about the interval, of which `next` tells each time, are
/// looked at; what they say is known at a later pass, so that a switch that hangs holds up nothing.
pub fn look(
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
    sights.gather();
    sights.pods.retain(|uid, _| taking.iter().any(|(there, _)| there == uid));
    let names: Vec<String> = free_switch.gateways.iter().map(|gateway| gateway.name.clone()).collect();
    for (uid, pod) in &taking {
        let Some(password) = password else { break };
        let new = Sight { next: now, asked: false, failed: 0, figures: None };
        let sight = sights.pods.entry(uid.clone()).or_insert(new);
        if sight.asked || sight.next > now {
            continue;
        }
        (sight.asked, sight.next) = (true, now + next());
        let answer = switches.look(Look {
            namespace: namespace.to_owned(),
            pod: pod.clone(),
            password: password.clone(),
            gateways: names.clone(),
        });
        let uid = uid.clone();
        sights.looks.spawn(async move { (uid, answer.await) });
    }
    let known: Vec<Option<&Figures>> =
        taking.iter().map(|(uid, _)| sights.pods.get(uid).and_then(|sight| sight.figures.as_ref())).collect();
    let answered = |uid: &String| sights.pods.get(uid).is_some_and(|sight| sight.figures.is_some() || sight.failed > 0);
    let settled = taking.iter().all(|(uid, _)| answered(uid));
    SwitchView { failed: std::mem::take(&mut sights.failed), settled, ..together(&names, &known) }
}

fn together(gateways: &[String], pods: &[Option<&Figures>]) -> SwitchView {
    let state = |name: &str| {
        let states = pods.iter().map(|figures| figures.and_then(|figures| figures.gateways.get(name)).copied());
        states.map(Option::unwrap_or_default).max_by_key(|state| rank(*state)).unwrap_or_default()
    };
    let rates: Vec<SessionRate> = pods.iter().filter_map(|figures| figures.as_ref()?.rate).collect();
    let channels = pods.iter().map(|figures| figures.as_ref()?.channels);
    SwitchView {
        channels: channels.sum::<Option<u32>>().filter(|_| !pods.is_empty()),
        rate: rates.into_iter().max_by_key(|rate| rate.peak),
        gateways: gateways.iter().map(|name| (name.clone(), state(name))).collect(),
        ..SwitchView::default()
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
        fn look(&self, look: Look) -> BoxFuture<'static, Option<Figures>> {
            let said = self.says.lock().unwrap_or_else(PoisonError::into_inner).get(&look.pod).cloned();
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(look.pod);
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

    /// Two passes: what the first asks is known at the second, which asks nothing again.
    async fn seen(told: &Told, pods: &[Arc<Pod>], sights: &mut Sights, next: Duration) -> SwitchView {
        let free_switch = json!({ "gateways": [{ "name": "carrier", "proxy": "sip.example.com" }] });
        let free_switch: FreeSwitch = serde_json::from_value(free_switch).expect("a FreeSWITCH");
        let password = SecretText::new("hush");
        look(told, "voice", &free_switch, Some(&password), pods, sights, || next);
        while !sights.looks.is_empty() {
            tokio::task::yield_now().await;
            sights.gather();
        }
        look(told, "voice", &free_switch, None, pods, sights, || next)
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
            assert!(view.settled, "a look in vain is one");
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

    /// Never answers.
    struct Hung;

    impl Switches for Hung {
        fn look(&self, _: Look) -> BoxFuture<'static, Option<Figures>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn one_that_hangs_holds_up_no_pass_and_is_asked_once() {
        let (pods, mut sights) = ([pod("a", "True")], Sights::default());
        let password = SecretText::new("hush");
        for _ in 0..3 {
            let free_switch = FreeSwitch::default();
            look(&Hung, "voice", &free_switch, Some(&password), &pods, &mut sights, || Duration::ZERO);
            tokio::task::yield_now().await;
        }
        assert_eq!(sights.looks.len(), 1);
        let free_switch = FreeSwitch::default();
        assert!(!look(&Hung, "voice", &free_switch, None, &pods, &mut sights, || Duration::ZERO).settled);
    }
}
