//! The shell against an API server that has one lease.

use std::convert::Infallible;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server with at most one Lease, and what it does to requests.
#[derive(Default)]
struct ApiServer {
    lease: Option<Value>,
    version: u64,
    failing: bool,
    hanging: bool,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<ApiServer>>);

impl Fake {
    fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                if fake.with(|api| api.hanging) {
                    std::future::pending::<()>().await;
                }
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a body in memory");
                let (status, answer) = fake.with(|api| api.answer(&parts, serde_json::from_slice(&body).ok()));
                let response = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, Infallible>(response.expect("a response"))
            }
        });
        kube::Client::new(service, "operators")
    }

    fn with<T>(&self, act: impl FnOnce(&mut ApiServer) -> T) -> T {
        act(&mut self.0.lock().expect("no test panics in here"))
    }

    fn candidate(&self, identity: &str) -> Candidate {
        Candidate::new(Api::namespaced(self.client(), "operators"), "operator", identity, QUICK)
    }

    fn holder(&self) -> Option<String> {
        self.with(|api| api.lease.as_ref()?["spec"]["holderIdentity"].as_str().map(str::to_owned))
    }

    async fn until(&self, holds: impl Fn(&ApiServer) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !self.with(|api| holds(api)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("it happens in the end");
    }
}

impl ApiServer {
    fn answer(&mut self, request: &Parts, body: Option<Value>) -> (StatusCode, Value) {
        let failure = |code: StatusCode| {
            let reason = match code {
                StatusCode::NOT_FOUND => "NotFound",
                StatusCode::CONFLICT => "Conflict",
                _ => "InternalError",
            };
            (code, json!({ "kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason }))
        };
        if self.failing {
            return failure(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let version = body.as_ref().map(|body| body["metadata"]["resourceVersion"].clone());
        match (&request.method, &self.lease) {
            (&Method::GET, Some(lease)) => (StatusCode::OK, lease.clone()),
            (&Method::POST, None) => (StatusCode::CREATED, self.store(body)),
            (&Method::PUT, Some(lease)) if version.as_ref() == Some(&lease["metadata"]["resourceVersion"]) => {
                (StatusCode::OK, self.store(body))
            }
            (&Method::POST | &Method::PUT, Some(_)) => failure(StatusCode::CONFLICT),
            _ => failure(StatusCode::NOT_FOUND),
        }
    }

    fn store(&mut self, body: Option<Value>) -> Value {
        let mut lease = body.expect("a Lease was sent");
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }

    fn hand_to(&mut self, holder: &str) {
        let mut lease = self.lease.clone().expect("a lease");
        lease["spec"]["holderIdentity"] = json!(holder);
        self.store(Some(lease));
    }
}

const QUICK: Timing = Timing {
    lease_duration: Duration::from_secs(1),
    renew_deadline: Duration::from_millis(600),
    retry_period: Duration::from_millis(20),
};

async fn leader(fake: &Fake, identity: &str) -> Leader {
    fake.candidate(identity).acquire(&CancellationToken::new()).await.expect("nobody stops it")
}

#[tokio::test]
async fn the_first_candidate_makes_the_lease_and_renews_it() {
    let fake = Fake::default();
    let leader = leader(&fake, "a").await;
    let stop = CancellationToken::new();
    let tenure = leader.tenure();
    let keeping = tokio::spawn(leader.keep(stop.clone()));
    fake.until(|api| api.version >= 5).await;
    assert!(tenure.holds(Instant::now()));
    let spec = fake.with(|api| api.lease.clone()).expect("a lease")["spec"].clone();
    assert_eq!((&spec["holderIdentity"], &spec["leaseDurationSeconds"]), (&json!("a"), &json!(1)));
    assert_eq!(spec["leaseTransitions"], json!(0));
    assert!(spec["acquireTime"].as_str() < spec["renewTime"].as_str(), "{spec}");
    stop.cancel();
    assert_eq!(keeping.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_lease_that_is_given_back_goes_to_the_other_one() {
    let fake = Fake::default();
    let first = leader(&fake, "a").await;
    let tenure = first.tenure();
    let stop = CancellationToken::new();
    let second = {
        let candidate = fake.candidate("b");
        tokio::spawn(async move { candidate.acquire(&CancellationToken::new()).await.is_some() })
    };
    stop.cancel();
    assert_eq!(first.keep(stop).await, Ok(()));
    assert!(!tenure.holds(Instant::now()));
    assert!(second.await.expect("no panic"));
    assert_eq!(fake.holder().as_deref(), Some("b"));
    assert_eq!(fake.with(|api| api.lease.clone()).expect("a lease")["spec"]["leaseTransitions"], json!(1));
}

#[tokio::test]
async fn a_candidate_waits_until_the_dead_holders_lease_has_run_out() {
    let fake = Fake::default();
    let began = Instant::now();
    drop(leader(&fake, "dead").await);
    leader(&fake, "b").await;
    assert!(began.elapsed() >= QUICK.lease_duration);
    assert_eq!(fake.holder().as_deref(), Some("b"));
}

#[tokio::test]
async fn a_candidate_that_is_stopped_takes_nothing() {
    let fake = Fake::default();
    fake.with(|api| api.failing = true);
    let stop = CancellationToken::new();
    let waiting = {
        let (candidate, stop) = (fake.candidate("a"), stop.clone());
        tokio::spawn(async move { candidate.acquire(&stop).await.is_none() })
    };
    stop.cancel();
    assert!(waiting.await.expect("no panic"));
    assert_eq!(fake.holder(), None);
}

#[tokio::test]
async fn a_leader_whose_lease_is_taken_learns_by_whom() {
    let fake = Fake::default();
    let leader = leader(&fake, "a").await;
    let tenure = leader.tenure();
    fake.with(|api| api.hand_to("b"));
    assert_eq!(leader.keep(CancellationToken::new()).await, Err(Lost::Taken("b".to_owned())));
    assert!(!tenure.holds(Instant::now()));
    assert_eq!(fake.holder().as_deref(), Some("b"), "what is another's is left alone");
}

#[tokio::test]
async fn someone_elses_change_to_the_lease_is_no_loss() {
    let fake = Fake::default();
    let leader = leader(&fake, "a").await;
    fake.with(|api| api.hand_to("a"));
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(leader.keep(stop.clone()));
    fake.until(|api| api.version >= 4).await;
    stop.cancel();
    assert_eq!(keeping.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_lease_that_was_deleted_is_made_anew() {
    let fake = Fake::default();
    let leader = leader(&fake, "a").await;
    fake.with(|api| api.lease = None);
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(leader.keep(stop.clone()));
    fake.until(|api| api.lease.is_some()).await;
    stop.cancel();
    assert_eq!(keeping.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn an_api_that_fails_for_a_moment_costs_nothing() {
    let fake = Fake::default();
    let leader = leader(&fake, "a").await;
    fake.with(|api| api.failing = true);
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(leader.keep(stop.clone()));
    tokio::time::sleep(QUICK.retry_period * 3).await;
    let before = fake.with(|api| {
        api.failing = false;
        api.version
    });
    fake.until(|api| api.version > before).await;
    stop.cancel();
    assert_eq!(keeping.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_leader_that_gets_no_answers_stops_before_its_lease_can_be_taken() {
    for hanging in [false, true] {
        let fake = Fake::default();
        let leader = leader(&fake, "a").await;
        let tenure = leader.tenure();
        let (tell, told) = tokio::sync::oneshot::channel();
        tenure.guard(move || tell.send(Instant::now()).expect("someone listens")).expect("a thread");
        let began = Instant::now();
        fake.with(|api| (api.failing, api.hanging) = (!hanging, hanging));
        let lost = leader.keep(CancellationToken::new()).await;
        assert_eq!(lost, Err(Lost::NotRenewed(QUICK.renew_deadline)), "hanging: {hanging}");
        assert!(!tenure.holds(began + QUICK.renew_deadline), "hanging: {hanging}");
        told.await.expect("the guard notices too");
    }
}

#[tokio::test]
async fn the_guard_leaves_a_leader_alone_that_gave_the_lease_back() {
    let fake = Fake::default();
    let leader = leader(&fake, "a").await;
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    leader.tenure().guard(move || tell.send(()).expect("someone listens")).expect("a thread");
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(leader.keep(stop).await, Ok(()));
    // The guard ends without a word: its sender is dropped unused.
    assert!(told.await.is_err());
}
