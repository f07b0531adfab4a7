use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine booted.
    pub started: u64,
}

/// Set in the environment of every component: `STATE_DIRECTORY/INSTANCE`.
pub(crate) const MARK: &str = "TEMPOFORM_SUPERVISED";

impl ProcessIdentity {
    /// The process that has this id now; none if there is none, or if it has ended and only waits
    /// to be reaped.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the command in parentheses, and may contain anything.
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        let state = fields.first()?;
        let started = fields.get(19)?.parse().ok()?;
        (!matches!(*state, "Z" | "X")).then_some(Self { pid, started })
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal, if the process still runs.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        match pid {
            Some(pid) if self.is_alive() => Ok(kill_process(pid, signal)?),
            _ => Ok(()),
        }
    }
}

/// A running process that carries this mark. Finds what a supervisor started and could not write
/// down any more.
pub(crate) fn find_marked(mark: &str) -> Option<ProcessIdentity> {
    let wanted = format!("{MARK}={mark}");
    process_ids().find_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let marked = environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
        marked.then(|| ProcessIdentity::of(pid)).flatten()
    })
}

/// The ids of all processes that we can see.
pub(crate) fn process_ids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The command line of a process, for people.
pub(crate) fn command_of(pid: u32) -> Option<String> {
    let bytes = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let text: String = text.trim().chars().take(120).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!ProcessIdentity { started: me.started + 1, ..me }.is_alive());
    }

    #[test]
    fn an_ended_process_is_not_alive_before_it_is_reaped() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap();
        identity.signal(Signal::KILL).unwrap();
        for _ in 0..200 {
            if !identity.is_alive() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!identity.is_alive());
        child.wait().unwrap();
        identity.signal(Signal::TERM).unwrap();
    }

    #[test]
    fn a_marked_process_is_found() {
        let mark = format!("/nowhere/{}/ingester-0", std::process::id());
        assert_eq!(find_marked(&mark), None);
        let mut child = Command::new("sleep").arg("60").env(MARK, &mark).spawn().unwrap();
        // The environment shows up a moment after the program was started.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while find_marked(&mark).is_none() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(find_marked(&mark), ProcessIdentity::of(child.id()));
        assert_eq!(command_of(child.id()).as_deref(), Some("sleep 60"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
