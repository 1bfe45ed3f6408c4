//! The operator is killed in mid-rollout and in mid-scale-down, loses its lease, and finds its API server restarted and flaky: it
//! converges all the same, and calls never notice.

use e2e_kubernetes::{Command, Namespace, OPERATOR_NAMESPACE, Trunk, cluster_tool, eventually, own_network, when};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use switchsim::control::NewLoad;

const OPERATOR: &str = "app.kubernetes.io/name=sofia-phone-operator";

#[tokio::test]
async fn it_converges_and_calls_never_notice() {
    let namespace = Namespace::create("operator-killed").await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 2},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 1},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(2).await;
    let callers = trunk.callers().await;
    let load = callers.start_load(&NewLoad::new("15550100", 4)).await;
    callers.load_until(&load, "four calls", |load| load.running.answered == 4).await;
    namespace.say("four calls are up");

    trunk.change(greeting("one")).await;
    template_has(&trunk, "one").await;
    kill_operators(&namespace).await;
    converged(&trunk, "one", 2).await;
    namespace.say("killed in mid-rollout: converged");

    trunk.change(json!({"scaling": {"replicas": 3}})).await;
    converged(&trunk, "one", 3).await;
    trunk.change(json!({"scaling": {"replicas": 1}})).await;
    trunk.condition("Draining", "True").await;
    kill_operators(&namespace).await;
    converged(&trunk, "one", 1).await;
    namespace.say("killed in mid-scale-down: converged");

    let leases: Api<Lease> = Api::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE);
    let lease = leases.list(&ListParams::default()).await.expect("leases").items.remove(0);
    let name = lease.metadata.name.expect("leases have names");
    let stolen = Patch::Merge(json!({"spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3}}));
    leases.patch(&name, &PatchParams::default(), &stolen).await.expect("the lease can be taken");
    trunk.change(greeting("two")).await;
    converged(&trunk, "two", 1).await;
    namespace.say("leadership lost: converged");

    match cluster_tool() {
        Some(tool) => {
            drop(Command::run(&tool, &["restart", "apiserver"]).await.printed());
            eventually("the API server to be back", async || {
                trunk.api().get(&trunk.name).await.map(drop).map_err(|error| error.to_string())
            })
            .await;
            trunk.change(greeting("three")).await;
            converged(&trunk, "three", 1).await;
            namespace.say("API server restarted: converged");
        }
        None => println!("skipped: the API server of this cluster can't be restarted from here"),
    }
    if own_network() {
        let flaky = Flaky::begin();
        trunk.change(greeting("four")).await;
        converged(&trunk, "four", 1).await;
        drop(flaky);
        namespace.say("a tenth of the API server's packets lost: converged");
    } else {
        println!("skipped: the network of this cluster is not the test's own");
    }

    let end = callers.stop_load(&load).await;
    println!(
        "{} calls, cut {}, handed over {}, lost {}",
        end.offered, end.report.cut, end.report.taken_over, end.report.lost
    );
    assert_eq!((end.report.cut, end.report.lost), (0, 0), "{:?} {:#?}", end.report.cut_causes, end.notable);
    namespace.delete().await;
}

/// While it lasts a tenth of the packets to the API server is lost.
struct Flaky;

impl Flaky {
    fn begin() -> Self {
        Self::rule("-I");
        Self
    }

    fn rule(verb: &str) {
        let which =
            ["INPUT", "-p", "tcp", "--dport", "6443", "-m", "statistic", "--mode", "random", "--probability", "0.1"];
        let done = std::process::Command::new("iptables").arg(verb).args(which).args(["-j", "DROP"]).status();
        assert!(done.as_ref().is_ok_and(std::process::ExitStatus::success), "iptables {verb}: {done:?}");
    }
}

impl Drop for Flaky {
    fn drop(&mut self) {
        Self::rule("-D");
    }
}

fn greeting(text: &str) -> Value {
    json!({"conversation": {"greeting": text}})
}

async fn kill_operators(namespace: &Namespace) {
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE);
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete_collection(&at_once, &ListParams::default().labels(OPERATOR))
        .await
        .expect("the operator can be killed");
}

async fn deployment(trunk: &Trunk) -> Result<Deployment, String> {
    let deployments: Api<Deployment> = trunk.namespace.api();
    deployments.get(&format!("{}-dataplane", trunk.name)).await.map_err(|error| error.to_string())
}

fn has_greeting(deployment: &Deployment, text: &str) -> bool {
    let containers = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).map(|spec| &spec.containers);
    containers
        .into_iter()
        .flatten()
        .flat_map(|container| container.env.iter().flatten())
        .any(|variable| variable.name == "SOFIA_PHONE_GREETING" && variable.value.as_deref() == Some(text))
}

async fn template_has(trunk: &Trunk, greeting: &str) {
    eventually("the rollout to begin", async || when(has_greeting(&deployment(trunk).await?, greeting), greeting))
        .await;
}

async fn converged(trunk: &Trunk, greeting: &str, pods: i32) {
    eventually("the fleet to be as wanted", async || {
        let deployment = deployment(trunk).await?;
        let status = deployment.status.clone().unwrap_or_default();
        let right = has_greeting(&deployment, greeting)
            && deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(pods)
            && status.observed_generation == deployment.metadata.generation
            && [status.replicas, status.updated_replicas, status.ready_replicas] == [Some(pods); 3];
        when(right, status)
    })
    .await;
}
