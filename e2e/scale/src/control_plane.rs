//! etcd and an API server, and nothing else of Kubernetes. They have the network to themselves, so their ports are the usual ones.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::http::Request;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const SERVER: &str = "https://127.0.0.1:6443";
const ETCD: &str = "http://127.0.0.1:2379";

/// Only the operator is written down: its name in the log is that of its ServiceAccount.
fn policy(user: &str) -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata", "users": [user] }, { "level": "None" }],
    })
}

/// The control plane as it runs. Dropped, it ends.
pub(crate) struct ControlPlane {
    place: PathBuf,
    program: PathBuf,
    etcd: Child,
    api_server: Child,
    admin: String,
}

impl ControlPlane {
    /// Starts etcd and the API server in `place` and waits until they answer. Requests of `user` go to the audit log.
    pub(crate) async fn start(place: &Path, tools: &Path, user: &str) -> anyhow::Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        fs::write(place.join("service-accounts.key"), key.serialize_pem())?;
        fs::write(place.join("service-accounts.pub"), key.public_key_pem())?;
        let admin =
            rcgen::KeyPair::generate()?.public_key_raw()[..32].iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(place.join("tokens.csv"), format!("{admin},admin,admin,system:masters\n"))?;
        fs::write(place.join("policy.json"), policy(user).to_string())?;
        let etcd = Command::new("etcd")
            .arg(format!("--data-dir={}", place.join("etcd").display()))
            .args([format!("--listen-client-urls={ETCD}"), format!("--advertise-client-urls={ETCD}")])
            .args(["--listen-peer-urls=http://127.0.0.1:2380", "--auto-compaction-retention=10m"])
            .output_to(place, "etcd.log")?
            .spawn()
            .context("etcd does not start")?;
        let program = tools.join("kube-apiserver");
        let api_server = start_api_server(place, &program)?;
        let mut control_plane = Self { place: place.to_owned(), program, etcd, api_server, admin };
        control_plane.answers().await?;
        Ok(control_plane)
    }

    /// Where the audit log is.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.place.join("audit.log")
    }

    /// A kubeconfig for whoever has this token.
    pub(crate) fn kubeconfig(&self, token: &str) -> anyhow::Result<Kubeconfig> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "scale",
            "contexts": [{ "name": "scale", "context": { "cluster": "scale", "user": "scale" } }],
            "clusters": [{ "name": "scale", "cluster": {
                "server": SERVER, "certificate-authority": self.place.join("certificates/apiserver.crt"),
            } }],
            "users": [{ "name": "scale", "user": { "token": token } }],
        }))?)
    }

    /// A client that may do everything.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let config = self.kubeconfig(&self.admin)?;
        Ok(Client::try_from(Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?)
    }

    /// Kills the API server and starts it anew; comes back when it answers.
    pub(crate) async fn restart_api_server(&mut self) -> anyhow::Result<()> {
        self.api_server.kill().await?;
        self.api_server = start_api_server(&self.place, &self.program)?;
        self.answers().await
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        // Its certificate is made at the first start.
        let certificate = self.place.join("certificates/apiserver.crt");
        for _ in 0..600 {
            if let Some(status) = self.etcd.try_wait()? {
                bail!("etcd ended ({status}): {}", self.end_of("etcd.log"));
            }
            if let Some(status) = self.api_server.try_wait()? {
                bail!("the API server ended ({status}): {}", self.end_of("apiserver.log"));
            }
            if certificate.exists()
                && let Ok(client) = self.client().await
            {
                let ready = Request::get("/readyz").body(Vec::new()).expect("a constant path is a URI");
                if client.request_text(ready).await.is_ok() {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the API server does not answer: {}", self.end_of("apiserver.log"))
    }

    /// The last lines of a log, the last one first.
    fn end_of(&self, log: &str) -> String {
        let text = fs::read_to_string(self.place.join(log)).unwrap_or_default();
        text.lines().rev().take(5).collect::<Vec<_>>().join("\n")
    }

    /// Process ids of the API server and etcd.
    pub(crate) fn ids(&self) -> Option<[u32; 2]> {
        Some([self.api_server.id()?, self.etcd.id()?])
    }

    /// Bytes in use in etcd once all that was overwritten or deleted is compacted away.
    pub(crate) async fn stored_bytes(&self) -> anyhow::Result<u64> {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        let ask = async |path: &str, body: Value| -> anyhow::Result<Value> {
            let answer = http.post(format!("{ETCD}{path}")).body(body.to_string()).send().await?;
            Ok(serde_json::from_str(&answer.text().await?)?)
        };
        let status = ask("/v3/maintenance/status", json!({})).await?;
        let revision = status["header"]["revision"].clone();
        ask("/v3/kv/compaction", json!({ "revision": revision, "physical": true })).await?;
        // Pages are given back when the next transaction is written.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let status = ask("/v3/maintenance/status", json!({})).await?;
        status["dbSizeInUse"]
            .as_str()
            .and_then(|bytes| bytes.parse().ok())
            .with_context(|| format!("no size: {status}"))
    }
}

fn start_api_server(place: &Path, program: &Path) -> anyhow::Result<Child> {
    let file = |name: &str| place.join(name).display().to_string();
    Command::new(program)
        .args([format!("--etcd-servers={ETCD}"), format!("--cert-dir={}", file("certificates"))])
        .args(["--bind-address=127.0.0.1", "--advertise-address=10.64.0.1", "--endpoint-reconciler-type=none"])
        .args(["--service-cluster-ip-range=10.96.0.0/12", "--authorization-mode=RBAC", "--profiling=false"])
        .arg(format!("--token-auth-file={}", file("tokens.csv")))
        .arg(format!("--service-account-key-file={}", file("service-accounts.pub")))
        .arg(format!("--service-account-signing-key-file={}", file("service-accounts.key")))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .args([
            format!("--audit-policy-file={}", file("policy.json")),
            format!("--audit-log-path={}", file("audit.log")),
        ])
        // One file: it is read from where the last reading ended.
        .arg("--audit-log-maxsize=100000")
        .output_to(place, "apiserver.log")?
        .spawn()
        .context("kube-apiserver does not start")
}

/// Output to the end of a file in `place`.
pub(crate) trait OutputTo {
    fn output_to(&mut self, place: &Path, name: &str) -> std::io::Result<&mut Self>;
}

impl OutputTo for Command {
    fn output_to(&mut self, place: &Path, name: &str) -> std::io::Result<&mut Self> {
        let file = File::options().create(true).append(true).open(place.join(name))?;
        Ok(self.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true))
    }
}
