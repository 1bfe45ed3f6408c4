//! Command line of the stand-in: one call from a script, many, the demo, or a server. Under the names `freeswitch` and `fs_cli` it
//! is those two.

mod demo;
mod freeswitch;
mod fs_cli;
mod serve;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use switchsim::load::{self, LoadPlan};
use switchsim::pod::{Behaviour, TestPod};
use switchsim::{CallPlan, Clip, Impairments, Switch, SwitchBuilder};
use tracing_subscriber::EnvFilter;

/// Longest wait for connections that linger after the last call.
const SETTLE: Duration = Duration::from_secs(5);

/// A stand-in for FreeSWITCH and its callers: takes calls to pods as a freeswitch.xml says.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make one call and tell what the caller heard.
    Call(Call),
    /// Make many calls and tell how the pods kept up.
    Load(Load),
    /// Be a pod that sends every packet back: what the load generator is measured with.
    Echo {
        /// Where to listen for ESL.
        #[arg(long, default_value = "127.0.0.1:8084")]
        listen: String,
    },
    /// Take FreeSWITCH's place until SIGTERM: SIP ports, event socket, and callers over HTTP.
    Serve {
        #[command(flatten)]
        switch: SwitchArguments,
        /// Where the control API listens.
        #[arg(long, default_value = "127.0.0.1:8099")]
        control: SocketAddr,
    },
    /// Read a configuration and say what is wrong with it.
    Check(SwitchArguments),
    /// Start a pod, make one call to it, tell what happens, and leave a page about it.
    Demo(demo::Arguments),
}

#[derive(Args)]
struct SwitchArguments {
    /// The freeswitch.xml; the built-in one if not given.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Sets a global $${NAME}; can be given more than once.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// The pods, as host:port, in the order in which they are tried; can be given more than once.
    #[arg(long = "pod", value_name = "HOST:PORT")]
    pods: Vec<String>,
    /// Connects to ACTUAL where the dialplan says WRITTEN, both host:port; can be given more than once.
    #[arg(long = "alias", value_name = "WRITTEN=ACTUAL")]
    aliases: Vec<String>,
}

#[derive(Args)]
struct Call {
    #[command(flatten)]
    switch: SwitchArguments,
    /// Number to dial.
    #[arg(long, default_value = "15550100")]
    to: String,
    /// The caller's number.
    #[arg(long, default_value = "+15550001")]
    from: String,
    /// WAV files to say, each when the agent has finished; can be given more than once.
    #[arg(long, value_name = "FILE.wav")]
    say: Vec<PathBuf>,
    /// A script of steps instead of --say.
    #[arg(long, conflicts_with = "say")]
    script: Option<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Writes what the caller heard.
    #[arg(long, value_name = "FILE.wav")]
    heard: Option<PathBuf>,
    /// Longest wait of a step, in seconds.
    #[arg(long, default_value_t = 30)]
    timeout_seconds: u64,
    #[command(flatten)]
    network: Network,
}

/// The network between the caller and the pod.
#[derive(Args)]
struct Network {
    /// Share of the caller's packets that are lost, in percent.
    #[arg(long, default_value_t = 0.0)]
    loss_percent: f64,
    /// The caller's packets are late by up to so many milliseconds.
    #[arg(long, default_value_t = 0)]
    jitter_ms: u64,
    /// Share of the caller's packets that are overtaken, in percent.
    #[arg(long, default_value_t = 0.0)]
    reorder_percent: f64,
    /// Share of the caller's packets that come twice, in percent.
    #[arg(long, default_value_t = 0.0)]
    duplicate_percent: f64,
    /// How much too fast the caller's clock runs, in parts per million.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    drift_ppm: f64,
    /// Seed of the chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct Load {
    #[command(flatten)]
    switch: SwitchArguments,
    /// Number to dial.
    #[arg(long, default_value = "15550100")]
    to: String,
    /// How many calls.
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// New calls a second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// How long each call lasts, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// What every caller says, again and again.
    #[arg(long, value_name = "FILE.wav")]
    say: Option<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("freeswitch") => return runtime()?.block_on(freeswitch::run(arguments)),
        Some("fs_cli") => return Ok(fs_cli::run(arguments)),
        _ => {}
    }
    let arguments = Arguments::parse();
    runtime()?.block_on(async {
        match arguments.command {
            Command::Serve { switch, control } => serve::run(builder(switch)?, control, serve::Term::Now).await,
            Command::Call(call) => make_call(call).await,
            Command::Load(load) => make_load(load).await,
            Command::Echo { listen } => {
                let pod = TestPod::start(&listen, Behaviour::Echo).await.with_context(|| listen.clone())?;
                println!("an echo at {}", pod.address());
                tokio::signal::ctrl_c().await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Check(switch) => {
                start(switch)?;
                println!("the configuration can be used");
                Ok(ExitCode::SUCCESS)
            }
            Command::Demo(arguments) => demo::run(arguments).await,
        }
    })
}

fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once('=').with_context(|| format!("{text:?}: expected NAME=VALUE"))
}

fn start(arguments: SwitchArguments) -> Result<Switch> {
    Ok(builder(arguments)?.start()?)
}

fn builder(arguments: SwitchArguments) -> Result<SwitchBuilder> {
    let mut builder = match &arguments.config {
        Some(path) => SwitchBuilder::from_file(path)?,
        None => SwitchBuilder::demo()?,
    };
    if !arguments.pods.is_empty() {
        builder = builder.with_esl_hosts(&arguments.pods);
    }
    for variable in &arguments.variables {
        let (name, value) = pair(variable)?;
        builder = builder.with_variable(name, value);
    }
    for alias in &arguments.aliases {
        let (written, actual) = pair(alias)?;
        builder = builder.with_host_alias(written, actual);
    }
    Ok(builder)
}

/// Lets the pods hear how their calls ended, for as long as they linger.
async fn settle(switch: &Switch) {
    // A pod that hangs is not waited for.
    let _ = tokio::time::timeout(SETTLE, switch.settled()).await;
}

async fn make_call(call: Call) -> Result<ExitCode> {
    let switch = start(call.switch)?;
    let network = &call.network;
    let mut plan = CallPlan::new(&call.to)
        .from(&call.from)
        .step_timeout(Duration::from_secs(call.timeout_seconds))
        .impairments(Impairments {
            loss: network.loss_percent / 100.0,
            jitter: Duration::from_millis(network.jitter_ms),
            reorder: network.reorder_percent / 100.0,
            duplicate: network.duplicate_percent / 100.0,
            clock_drift_ppm: network.drift_ppm,
            seed: network.seed,
        });
    if let Some(path) = &call.script {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        plan = plan.script(&text, path.parent().unwrap_or(Path::new(".")))?;
    } else {
        plan = plan.wait_for_agent();
        for path in &call.say {
            plan = plan.say(&Clip::from_wav(path)?).wait_for_agent();
        }
    }
    let outcome = switch.call(plan).await;
    settle(&switch).await;
    println!("{outcome}");
    if let Some(path) = &call.report {
        std::fs::write(path, serde_json::to_vec_pretty(&outcome)?).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &call.heard {
        outcome.write_heard(path).with_context(|| path.display().to_string())?;
    }
    Ok(if outcome.answered && outcome.script_error.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn make_load(load: Load) -> Result<ExitCode> {
    if load.calls == 0 {
        bail!("--calls 0: nothing to do");
    }
    let switch = start(load.switch)?;
    let speech = load.say.as_ref().map(Clip::from_wav).transpose()?;
    let plan = LoadPlan {
        to: load.to,
        calls: load.calls,
        rate: load.rate,
        duration: Duration::from_secs(load.seconds),
        speech,
    };
    let report = load::run(&switch, &plan).await;
    settle(&switch).await;
    println!("{report}");
    if let Some(path) = &load.report {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| path.display().to_string())?;
    }
    Ok(if report.answered == report.calls { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
