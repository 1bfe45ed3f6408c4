//! The programs and images that `make e2e` hands over in the environment.

use std::process::Stdio;

/// Images of the product and of the stand-in for FreeSWITCH, as the cluster knows them.
#[derive(Clone, Debug)]
pub struct Images {
    /// The data plane.
    pub data_plane: String,
    /// The same under another name: what a rollout rolls to.
    pub data_plane_next: String,
    /// The stand-in for FreeSWITCH.
    pub switch: String,
}

impl Images {
    /// The images that the environment names.
    ///
    /// # Panics
    /// When it names none: the scenarios are run by `make e2e`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self {
            data_plane: variable("E2E_DATA_PLANE_IMAGE"),
            data_plane_next: variable("E2E_DATA_PLANE_IMAGE_NEXT"),
            switch: variable("E2E_SWITCH_IMAGE"),
        }
    }
}

pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the scenarios by `make e2e`"))
}

/// A finished program.
#[derive(Debug)]
pub struct Command {
    /// Whether it ended with status 0.
    pub success: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Command {
    /// Runs a program to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(program: &str, arguments: &[&str]) -> Self {
        let output = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        Self {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it printed, when it went well.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn printed(self) -> String {
        assert!(self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs kubectl against the cluster of the scenarios.
pub async fn kubectl(arguments: &[&str]) -> Command {
    Command::run(&variable("E2E_KUBECTL"), arguments).await
}
