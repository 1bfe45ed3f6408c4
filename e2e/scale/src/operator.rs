//! The operator's own process, started as its container would be.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

use crate::control_plane::OutputTo as _;

/// How an operator is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) place: PathBuf,
    /// Its way to the API server.
    pub(crate) kubeconfig: PathBuf,
    /// The chart's environment.
    pub(crate) environment: BTreeMap<String, String>,
}

/// The operator as it runs. Dropped, it is killed.
pub(crate) struct Operator {
    child: Child,
    id: u32,
    http: reqwest::Client,
}

impl Operator {
    /// Starts it and waits until it leads and has read everything.
    pub(crate) async fn start(start: &Start) -> anyhow::Result<Self> {
        let Start { program, place, kubeconfig, environment } = start;
        let child = Command::new(program)
            .env_clear()
            .envs(environment)
            .envs(std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MALLOC_")))
            .env("KUBECONFIG", kubeconfig)
            .output_to(place, "operator.log")?
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let id = child.id().context("the operator ended at once")?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        let mut operator = Self { child, id, http };
        operator.leads(place).await?;
        Ok(operator)
    }

    async fn leads(&mut self, place: &Path) -> anyhow::Result<()> {
        for _ in 0..1200 {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(place.join("operator.log")).unwrap_or_default();
                bail!("the operator ended ({status}): {}", log.lines().last().unwrap_or_default());
            }
            // Its passes begin once its lists are complete, which it counts from then on.
            if self.figures().await.is_ok_and(|text| text.contains("sofia_operator_leader 1")) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the operator does not lead")
    }

    /// Its metrics.
    async fn figures(&self) -> reqwest::Result<String> {
        self.http.get("http://127.0.0.1:8081/metrics").send().await?.text().await
    }

    /// The sum of all series of one of its metrics.
    pub(crate) async fn figure(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.figures().await?;
        let of_it = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')));
        Ok(of_it.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Tells it to end, as a kubelet does, and waits for that.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        Command::new("kill").arg(self.id.to_string()).status().await?;
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("it does not end")??;
        Ok(())
    }
}
