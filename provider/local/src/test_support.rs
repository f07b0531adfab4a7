//! A state directory with a real supervisor process, for tests. Everything ends with it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::directory::StateDirectory;
use crate::ownership::Owner;
use crate::process::ProcessIdentity;
use crate::supervisor::{self, Client, InstanceStatus, Launcher};

const SUPERVISE: &str = "TEMPOFORM_TEST_SUPERVISE";
const PATIENCE: Duration = Duration::from_secs(20);

/// The body of the supervisor processes of these tests.
#[test]
#[ignore = "run by other tests as a process of its own"]
fn supervisor_process() {
    let directory = std::env::var_os(SUPERVISE).expect("set by the launcher of the tests");
    supervisor::supervise(&StateDirectory::new(directory.as_ref()).unwrap()).unwrap();
}

pub(crate) struct Bench {
    _folder: TempDir,
    pub(crate) directory: StateDirectory,
    pub(crate) launcher: Launcher,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Deeper than a socket's path may be long.
        let deep = folder.path().join("deep".repeat(30)).join("state");
        let directory = StateDirectory::new(&deep).unwrap();
        directory.claim(&Bench::owner()).unwrap();
        let this = std::env::current_exe().unwrap().display().to_string();
        let body = "test_support::supervisor_process";
        let arguments = [
            format!("{SUPERVISE}={}", deep.display()),
            this,
            "--exact".to_owned(),
            body.to_owned(),
            "--ignored".to_owned(),
            "--nocapture".to_owned(),
        ];
        let launcher = Launcher { executable: PathBuf::from("/usr/bin/env"), arguments: arguments.to_vec() };
        Self { _folder: folder, directory, launcher }
    }

    pub(crate) fn owner() -> Owner {
        Owner { namespace: None, name: "traces".to_owned() }
    }

    pub(crate) async fn client(&self) -> Client {
        supervisor::connect_or_launch(&self.directory, &self.launcher).await.unwrap()
    }

    pub(crate) async fn status(&self, instance: &str) -> InstanceStatus {
        let statuses = self.client().await.status().await.unwrap();
        statuses.into_iter().find(|status| status.spec.instance == instance).expect("the instance is known")
    }

    /// Waits until the status of an instance is as wanted.
    pub(crate) async fn until(
        &self,
        instance: &str,
        wanted: impl Fn(&InstanceStatus) -> bool,
    ) -> InstanceStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(instance).await;
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "not as wanted: {status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn supervisor_pid(&self) -> Option<ProcessIdentity> {
        let text = fs::read_to_string(self.directory.supervisor_lock()).ok()?;
        ProcessIdentity::of(text.trim().strip_prefix("pid ")?.parse().ok()?)
    }

    /// `kill -9` of the supervisor.
    pub(crate) fn kill_supervisor(&self) {
        if let Some(supervisor) = self.supervisor_pid() {
            kill(supervisor);
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill_supervisor();
        let left = supervisor::recorded(&self.directory).into_iter().filter_map(|status| status.process);
        left.for_each(|process| process.signal(Signal::KILL).unwrap());
    }
}

/// `kill -9`, until the process is gone.
pub(crate) fn kill(process: ProcessIdentity) {
    process.signal(Signal::KILL).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while process.is_alive() {
        assert!(Instant::now() < deadline, "{process:?} survives a kill");
        std::thread::sleep(Duration::from_millis(5));
    }
}
