//! `switchsim demo`: one call with the real pod, told on the terminal while it happens, and a page about it afterwards.
//! Never takes longer than its deadline, and never succeeds unless the call did what it should.

mod folder;
mod log;
mod pod;
mod screen;
mod story;
mod summary;
mod tally;
mod voices;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use switchsim::{CallOutcome, CallPlan, SwitchBuilder};
use tokio::sync::mpsc::{self, Receiver};

use folder::Folder;
use log::PodEvent;
use pod::Pod;
use screen::{Screen, Who};
use story::Scene;
use tally::Tally;

/// The whole demo takes no longer, whatever happens.
const DEADLINE: Duration = Duration::from_secs(29);
/// How long the pod may take to be ready, and to be gone.
const POD_PATIENCE: Duration = Duration::from_secs(4);
/// Who calls, of the numbers that are kept for fiction.
const CALLER: &str = "+12025550143";
/// Whom.
const DIALED: &str = "12025550100";

/// What the demo needs to know.
#[derive(clap::Args)]
pub struct Arguments {
    /// The sofia-dataplane binary.
    #[arg(long, value_name = "PATH")]
    dataplane: PathBuf,
    /// Where the call's page, sound and record go; created if it is not there.
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
}

/// Something to tell on the terminal.
enum Told {
    Pod(PodEvent),
    Caller(Scene),
}

/// Runs the demo.
///
/// # Errors
/// When it could not be told; a call that went wrong is an exit status.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let folder = Folder::prepare(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    let mut screen = Screen::stdout();
    let mut tally = Tally::default();
    screen.title()?;
    // Dropped at the deadline, the call takes the pod's process with it.
    let call = make_call(&arguments, &folder, &mut screen, &mut tally);
    let outcome = match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(outcome)) => Some(outcome),
        Ok(Err(error)) => {
            tally.problems.push(format!("{error:#}"));
            None
        }
        Err(_) => {
            tally.problems.push(format!("given up after {} s", DEADLINE.as_secs()));
            None
        }
    };
    let kept = outcome.as_ref().and_then(|outcome| match folder.collect(&outcome.uuid) {
        Ok(kept) => Some(kept),
        Err(error) => {
            tally.problems.push(format!("the call's record: {error:#}"));
            None
        }
    });
    summary::print(&mut screen, &tally, outcome.as_ref(), kept.as_ref(), &folder)?;
    let good = kept.is_some() && tally.is_good();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The call, from the pod's start to the pod's end.
async fn make_call(
    arguments: &Arguments,
    folder: &Folder,
    screen: &mut Screen,
    tally: &mut Tally,
) -> Result<CallOutcome> {
    let (told, telling) = mpsc::channel(256);
    let (mut pod, ready) = Pod::start(&arguments.dataplane, folder, told.clone(), POD_PATIENCE)
        .await
        .with_context(|| arguments.dataplane.display().to_string())?;
    let switch = SwitchBuilder::demo()?.with_esl_hosts(&[&ready.esl]).start()?;
    screen.line(Duration::ZERO, Who::Call, &format!("{CALLER} calls {DIALED}"))?;
    let begun = Instant::now();
    let call = switch.dial(CallPlan::new(DIALED).from(CALLER));
    let caller = async {
        let played = story::play(&call, &told).await;
        call.hang_up();
        let outcome = call.outcome().await;
        pod.stop(POD_PATIENCE).await;
        drop(told);
        (played, outcome)
    };
    let ((played, outcome), shown) = tokio::join!(caller, tell(telling, begun, screen, tally));
    shown?;
    if let Err(error) = played {
        tally.problems.push(error.to_string());
    }
    Ok(outcome)
}

/// Tells what happens, until nobody has anything to say any more.
async fn tell(mut telling: Receiver<Told>, begun: Instant, screen: &mut Screen, tally: &mut Tally) -> Result<()> {
    let mut shown = Ok(());
    while let Some(told) = telling.recv().await {
        let now = begun.elapsed();
        tally.note(&told);
        // Who tells must not be kept waiting, even when nobody listens on the terminal any more.
        if shown.is_ok() {
            shown = match told {
                Told::Pod(event) => screen.pod(now, &event),
                Told::Caller(scene) => screen.scene(now, &scene),
            };
        }
    }
    Ok(shown?)
}
