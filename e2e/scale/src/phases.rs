//! A run, from an empty API server to its end, phase by phase.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kube::Client;

use crate::{
    Arguments,
    audit::{self, Log, Request},
    chart::Chart,
    control_plane::ControlPlane,
    kubelet::Kubelet,
    operator::{Operator, Start},
    process::{self, Memory, PeakOfPss},
    table::{Report, Table, Verdict},
    trunks::{self, Place},
};

/// How long nothing must be asked but Secrets for the operator to have settled.
const SETTLED: Duration = Duration::from_secs(8);
/// How long anything may take at most.
const PATIENCE: Duration = Duration::from_secs(900);
/// The goals.
const MEMORY: u64 = 64 << 20;
const LATENCY: Duration = Duration::from_secs(1);

/// What runs, and what was found out so far.
struct Run<'a> {
    arguments: &'a Arguments,
    control_plane: ControlPlane,
    client: Client,
    log: Log,
    kubelet: std::sync::Arc<Kubelet>,
    start: Start,
    places: Vec<Place>,
    report: Report,
    requests: Table,
    memory: Table,
    rests: Table,
    latencies: Table,
    still: bool,
}

/// Measures everything; whether nothing was written at rest.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<(Report, bool)> {
    let chart = Chart::render(&arguments.tools.join("helm"), &arguments.chart).await?;
    say("etcd and the API server start");
    let control_plane = ControlPlane::start(&arguments.place, &arguments.tools, &chart.user()?).await?;
    let client = control_plane.client().await?;
    chart.install(&client).await?;
    let kubeconfig = arguments.place.join("operator.kubeconfig");
    std::fs::write(&kubeconfig, serde_json::to_string(&control_plane.kubeconfig(&chart.token(&client).await?)?)?)?;
    let start = Start {
        program: arguments.operator.clone(),
        place: arguments.place.clone(),
        kubeconfig,
        environment: chart.environment()?,
    };
    let mut run = Run {
        arguments,
        log: Log::new(&control_plane.audit_log()),
        kubelet: Kubelet::start(client.clone()).await?,
        control_plane,
        client,
        start,
        places: trunks::places(arguments.trunks, arguments.namespaces),
        report: Report::default(),
        requests: Table::new(
            "Requests of the operator",
            "By the API server's audit log; how long the API server took. Without the renewals of the Lease.",
            &["while", "verb", "of", "number", "a trunk", "p50", "p99"],
        ),
        memory: Table::new(
            "Memory of the operator",
            "MB of 2^20 bytes. Peak: the most since its start; PSS sampled twice a second.",
            &["when", "RSS", "PSS", "peak RSS", "peak PSS"],
        ),
        rests: Table::new(
            "At rest",
            "Nobody changes anything. CPU: of one core.",
            &[
                "state",
                "seconds",
                "reads",
                "writes",
                "asks of pods",
                "passes",
                "CPU operator",
                "CPU API server",
                "CPU etcd",
            ],
        ),
        latencies: Table::new(
            "Changes",
            "From before the trunk's PATCH is sent until a watch of another client shows the changed Deployment.",
            &["what", "changes", "p50", "p95", "longest", "all done after", "load average"],
        ),
        still: true,
    };
    run.whole().await?;
    let Run { mut report, requests, memory, rests, latencies, still, .. } = run;
    report.tables.extend([requests, memory, rests, latencies]);
    Ok((report, still))
}

impl Run<'_> {
    async fn whole(&mut self) -> anyhow::Result<()> {
        self.circumstances();
        let trunks = self.places.len();
        trunks::prepare(&self.client, &self.places).await?;
        let empty = self.control_plane.stored_bytes().await?;
        say("the operator starts");
        let mut operator = Operator::start(&self.start).await?;
        let peak = PeakOfPss::of(operator.id());
        self.remember("no trunks", &operator, &peak)?;
        self.first_time(&operator).await?;
        self.remember(&format!("{trunks} trunks, no pods"), &operator, &peak)?;
        let stored = self.control_plane.stored_bytes().await?.saturating_sub(empty);
        let each = |bytes: u64| format!("{:.0} kB", bytes as f64 / trunks as f64 / 1000.0);
        self.rest("no pods", &operator).await?;

        say("pods appear");
        self.kubelet.switch_on().await;
        self.until_told("ready", |(_, ready)| ready == trunks).await?;
        self.settle().await?;
        self.log.news()?;
        self.remember("pods ready", &operator, &peak)?;
        let with_pods = self.control_plane.stored_bytes().await?.saturating_sub(empty);
        self.rest("pods ready", &operator).await?;
        self.remember("pods ready, after the rest", &operator, &peak)?;
        self.busy(&operator).await?;
        self.one_by_one().await?;
        self.burst("at once", false).await?;
        self.burst("at once, API server killed in between", true).await?;
        self.settle().await?;
        self.remember("after all changes", &operator, &peak)?;
        let before = (Memory::of(operator.id())?.peak_rss, peak.bytes());
        drop(peak);
        operator.end().await?;
        operator = self.anew().await?;
        let again = PeakOfPss::of(operator.id());
        self.rest("after a restart", &operator).await?;
        self.remember("after a restart", &operator, &again)?;
        let peak_rss = before.0.max(Memory::of(operator.id())?.peak_rss);
        self.report.goal(
            format!("memory of the operator, {trunks} trunks, peak RSS of the whole run"),
            "< 64 MB",
            format!("{} MB (PSS {})", megabytes(peak_rss), megabytes(before.1.max(again.bytes()))),
            Verdict::of(peak_rss < MEMORY),
            "the kernel's account of the process",
        );
        let mut storage = Table::new(
            "What it takes beside",
            "etcd: bytes in use after compaction, the Secrets that trunks name not counted.",
            &["what", "no pods", "pods ready"],
        );
        storage.row(["etcd, a trunk".to_owned(), each(stored), each(with_pods)]);
        if let Some([api_server, etcd]) = self.control_plane.ids() {
            let now = |id| Memory::of(id).map_or("?".to_owned(), |memory| format!("{} MB", megabytes(memory.rss)));
            storage.row(["API server, RSS at the end".to_owned(), String::new(), now(api_server)]);
            storage.row(["etcd, RSS at the end".to_owned(), String::new(), now(etcd)]);
        }
        self.report.tables.push(storage);
        operator.end().await
    }

    fn circumstances(&mut self) {
        let Arguments { trunks, namespaces, rest, changes, burst, .. } = self.arguments;
        self.report.circumstances.extend([
            process::machine(),
            format!("load average {} at the start: whatever else runs here is in the times", process::load_average()),
            format!("{trunks} trunks in {namespaces} namespaces, {rest} s of rest, {changes} changes one by one, {burst} at once"),
            "real: etcd, kube-apiserver with RBAC, the operator with its own account and the chart's roles. Simulated: pods and what \
             Kubernetes' controllers and kubelets write about them"
                .to_owned(),
        ]);
    }

    /// All trunks are made at once; until everything exists.
    async fn first_time(&mut self, operator: &Operator) -> anyhow::Result<()> {
        self.log.news()?;
        let trunks = self.places.len();
        say("trunks are made");
        let (began, cpu) = (Timestamp::now(), process::cpu(operator.id())?);
        trunks::make(&self.client, &self.places).await?;
        let made = Timestamp::now();
        let requests = self.settle_from(Vec::new(), |run| run.kubelet.deployments() >= 2 * trunks).await?;
        self.until_told("told", |(told, _)| told == trunks).await?;
        let last = requests
            .iter()
            .filter(|request| request.writes() && !request.of_the_lease())
            .map(|request| request.at)
            .max();
        let took = seconds(last.context("nothing was written")?.duration_since(began));
        let cpu = (process::cpu(operator.id())? - cpu).as_secs_f64();
        self.report.goal(
            format!("{trunks} trunks made at once: all their objects exist and every status is told"),
            "–",
            format!(
                "{took:.1} s ({:.1} of them to make the trunks; {cpu:.1} s of CPU)",
                seconds(made.duration_since(began))
            ),
            Verdict::Open,
            "first POST to the operator's last write",
        );
        let refused: Vec<&Request> = requests.iter().filter(|request| matches!(request.code, 401 | 403)).collect();
        self.report.goal(
            "the chart's roles are enough",
            "0 refused",
            refused.len().to_string(),
            Verdict::of(refused.is_empty()),
            "401 and 403 in the audit log",
        );
        self.list("trunks are made", &requests);
        Ok(())
    }

    /// Nothing happens for a while.
    async fn rest(&mut self, state: &str, operator: &Operator) -> anyhow::Result<()> {
        say(&format!("rest: {state}"));
        self.settle().await?;
        let ids = self.control_plane.ids().context("the control plane has ended")?;
        let cpu = || -> anyhow::Result<[Duration; 3]> {
            Ok([process::cpu(operator.id())?, process::cpu(ids[0])?, process::cpu(ids[1])?])
        };
        let (asked, passes) = (self.kubelet.asked(), operator.figure("sofia_operator_reconciles_total").await?);
        self.log.news()?;
        let (began, before) = (Instant::now(), cpu()?);
        tokio::time::sleep(Duration::from_secs(self.arguments.rest)).await;
        let (after, took) = (cpu()?, began.elapsed().as_secs_f64());
        let requests: Vec<Request> = self.log.news()?.into_iter().filter(|request| !request.of_the_lease()).collect();
        let writes: Vec<&Request> = requests.iter().filter(|request| request.writes()).collect();
        for write in writes.iter().take(5) {
            eprintln!("written at rest: {} {} {}/{}", write.verb, write.resource, write.namespace, write.name);
        }
        let share = |index: usize| format!("{:.1} %", 100.0 * (after[index] - before[index]).as_secs_f64() / took);
        let passes = operator.figure("sofia_operator_reconciles_total").await? - passes;
        let row = [
            state.to_owned(),
            format!("{took:.0}"),
            format!("{} ({:.1}/s)", requests.len() - writes.len(), (requests.len() - writes.len()) as f64 / took),
            writes.len().to_string(),
            format!("{:.0}/s", (self.kubelet.asked() - asked) as f64 / took),
            format!("{:.0}/s", passes / took),
            share(0),
            share(1),
            share(2),
        ];
        eprintln!("scale: {row:?}");
        self.rests.row(row);
        self.report.goal(
            format!("writes at rest, {state}, {took:.0} s"),
            "0",
            writes.len().to_string(),
            Verdict::of(writes.is_empty()),
            "audit log, without the Lease",
        );
        self.still &= writes.is_empty();
        self.list(&format!("rest, {state}"), &requests);
        Ok(())
    }

    /// Calls come and go in every trunk.
    async fn busy(&mut self, operator: &Operator) -> anyhow::Result<()> {
        say("calls come and go");
        self.kubelet.calls_come_and_go(true);
        // The first sums are all told at once.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let cpu = process::cpu(operator.id())?;
        self.log.news()?;
        let began = Instant::now();
        tokio::time::sleep(Duration::from_secs(30)).await;
        let took = began.elapsed().as_secs_f64();
        let requests = self.log.news()?;
        let writes = requests.iter().filter(|request| request.writes() && !request.of_the_lease()).count();
        let cpu = (process::cpu(operator.id())? - cpu).as_secs_f64();
        self.report.goal(
            "writes while the calls of every trunk change all the time",
            "–",
            format!("{:.1}/s, CPU {:.1} % of a core", writes as f64 / took, 100.0 * cpu / took),
            Verdict::Open,
            "sums of calls in the status, once in 15 s a trunk",
        );
        self.list("calls come and go", &requests);
        self.kubelet.calls_come_and_go(false);
        self.settle().await.map(drop)
    }

    /// One change after the other.
    async fn one_by_one(&mut self) -> anyhow::Result<()> {
        say("changes one by one");
        let mut took = Vec::new();
        let began = Instant::now();
        for index in 0..self.arguments.changes {
            // Far apart in the order in which they were made.
            let place = &self.places[(index * 37) % self.places.len()];
            let calls = 101 + u32::try_from(index)?;
            let sent = Instant::now();
            trunks::change(&self.client, place, calls).await?;
            took.push(self.kubelet.shows(place, calls, PATIENCE).await?.saturating_duration_since(sent));
        }
        let p95 = quantile(&mut took, 0.95);
        self.report.goal(
            "one change: a trunk's spec to its Deployment, p95",
            "< 1 s",
            milliseconds(p95),
            Verdict::of(p95 < LATENCY),
            format!("{} changes, one after the other", took.len()),
        );
        self.latency("one after the other", took, began.elapsed());
        Ok(())
    }

    /// Many changes at once; perhaps with the API server killed half way.
    async fn burst(&mut self, what: &str, kill: bool) -> anyhow::Result<()> {
        say(&format!("changes {what}"));
        self.settle().await?;
        let calls = if kill { 301 } else { 201 };
        let places: Vec<Place> = self.places.iter().take(self.arguments.burst).cloned().collect();
        let (first, rest) = places.split_at(if kill { places.len() / 2 } else { places.len() });
        let began = Instant::now();
        let mut took = self.change_all(first, calls, !kill).await?;
        let mut label = what.to_owned();
        if kill {
            self.control_plane.restart_api_server().await?;
            label = format!("{what} (away for {:.1} s)", began.elapsed().as_secs_f64());
            took.extend(self.change_all(rest, calls, true).await?);
            let shown = first.iter().map(|place| self.kubelet.shows(place, calls, PATIENCE));
            for shown in futures_util::future::try_join_all(shown).await? {
                took.push(shown.saturating_duration_since(began));
            }
        }
        self.latency(&label, took, began.elapsed());
        Ok(())
    }

    /// Changes many trunks at a time; how long each took to be shown, if that is waited for.
    async fn change_all(&self, places: &[Place], calls: u32, wait: bool) -> anyhow::Result<Vec<Duration>> {
        let one = async |place: &Place| -> anyhow::Result<Option<Duration>> {
            let sent = Instant::now();
            trunks::change(&self.client, place, calls).await?;
            if !wait {
                return Ok(None);
            }
            Ok(Some(self.kubelet.shows(place, calls, PATIENCE).await?.saturating_duration_since(sent)))
        };
        let all: Vec<Option<Duration>> =
            stream::iter(places).map(one).buffer_unordered(places.len().max(1)).try_collect().await?;
        Ok(all.into_iter().flatten().collect())
    }

    fn latency(&mut self, what: &str, mut took: Vec<Duration>, all: Duration) {
        let [p50, p95, longest] = [0.5, 0.95, 1.0].map(|part| milliseconds(quantile(&mut took, part)));
        let (number, all) = (took.len().to_string(), format!("{:.1} s", all.as_secs_f64()));
        self.latencies.row([what.to_owned(), number, p50, p95, longest, all, process::load_average()]);
    }

    /// The operator started anew, with everything there.
    async fn anew(&mut self) -> anyhow::Result<Operator> {
        say("the operator starts anew");
        self.log.news()?;
        let began = Timestamp::now();
        let operator = Operator::start(&self.start).await?;
        let requests = self.settle_from(Vec::new(), |_| true).await?;
        // The reads of user's Secrets go on for ever; what is read only at the start are the operator's own objects.
        let of_the_start =
            |request: &&Request| request.verb == "get" && !matches!(request.resource.as_str(), "secrets" | "leases");
        let last = requests.iter().filter(of_the_start).map(|request| request.at).max();
        let writes = requests.iter().filter(|request| request.writes() && !request.of_the_lease()).count();
        self.report.goal(
            "the operator started anew: every object looked at",
            "–",
            last.map_or("nothing to read".to_owned(), |last| format!("{:.1} s", seconds(last.duration_since(began)))),
            Verdict::Open,
            "start of the process to the last object read",
        );
        self.report.goal(
            "… and written",
            "0",
            writes.to_string(),
            Verdict::of(writes == 0),
            "audit log, without the Lease",
        );
        self.still &= writes == 0;
        self.list("started anew", &requests);
        Ok(operator)
    }

    /// Waits until nothing was done for a while.
    async fn settle(&mut self) -> anyhow::Result<Vec<Request>> {
        self.settle_from(Vec::new(), |_| true).await
    }

    async fn settle_from(
        &mut self,
        mut requests: Vec<Request>,
        done: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<Vec<Request>> {
        let began = Instant::now();
        let mut quiet = Instant::now();
        while quiet.elapsed() < SETTLED || !done(self) {
            if began.elapsed() > PATIENCE {
                bail!("it does not settle; {} Deployments", self.kubelet.deployments());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            let news = self.log.news()?;
            // Secrets that trunks name are read for ever; everything else is asked only while something is to be done.
            if news.iter().any(|request| !request.of_the_lease() && (request.writes() || request.resource != "secrets"))
            {
                quiet = Instant::now();
            }
            requests.extend(news);
        }
        Ok(requests)
    }

    async fn until_told(&mut self, what: &str, enough: impl Fn((usize, usize)) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let told = trunks::told(&self.client).await?;
            if enough(told) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "not all trunks are {what}: of {} {} are looked at and {} ready",
                    self.places.len(),
                    told.0,
                    told.1
                );
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn remember(&mut self, when: &str, operator: &Operator, peak: &PeakOfPss) -> anyhow::Result<()> {
        let Memory { rss, pss, peak_rss } = Memory::of(operator.id())?;
        let row = [rss, pss, peak_rss, peak.bytes().max(pss)].map(megabytes);
        eprintln!("scale: memory, {when}: {row:?}");
        self.memory.row([when.to_owned()].into_iter().chain(row));
        Ok(())
    }

    fn list(&mut self, when: &str, requests: &[Request]) {
        for ((verb, resource), mut took) in audit::by_kind(requests) {
            if resource == "leases" {
                continue;
            }
            let a_trunk = format!("{:.2}", took.len() as f64 / self.places.len() as f64);
            let number = took.len().to_string();
            let [p50, p99] = [0.5, 0.99].map(|part| milliseconds(quantile(&mut took, part)));
            self.requests.row([when.to_owned(), verb, resource, number, a_trunk, p50, p99]);
        }
    }
}

fn say(what: &str) {
    eprintln!("scale: {what} (load average {})", process::load_average());
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn seconds(time: jiff::SignedDuration) -> f64 {
    time.as_secs_f64()
}

/// The value below which this part of all values lies: the nearest rank.
fn quantile(values: &mut [Duration], part: f64) -> Duration {
    values.sort_unstable();
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<Duration> = (1..=40).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut values, 0.5), Duration::from_millis(20));
        assert_eq!(quantile(&mut values, 0.95), Duration::from_millis(38));
        assert_eq!(quantile(&mut values, 1.0), Duration::from_millis(40));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }
}
