//! A memory control group of fixed size, of version 1 or 2, whichever the system has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::skipped;

/// A control group that processes can be started in; removed when dropped.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug)]
enum Version {
    One,
    Two,
}

/// How a group fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// The most that was in use, page cache included, bytes; 0 where the kernel does not tell.
    pub peak: u64,
    /// How often the limit was met, and something was taken back.
    pub limit_met: u64,
    /// Processes that were killed for want of memory.
    pub killed: u64,
}

impl MemoryGroup {
    /// A group of `limit` bytes, below this process's own; `None`, and said so, where that is not allowed.
    ///
    /// # Errors
    /// When the system does not tell this process's groups.
    pub fn new(limit: u64) -> Result<Option<Self>> {
        let own = fs::read_to_string("/proc/self/cgroup").context("/proc/self/cgroup")?;
        let mut refusals = Vec::new();
        for (version, folder) in places(&own) {
            match Self::create(folder, version, limit) {
                Ok(group) => return Ok(Some(group)),
                Err(error) => refusals.push(format!("{error:#}")),
            }
        }
        skipped(&format!("no right to make a memory control group: {}", refusals.join("; ")));
        Ok(None)
    }

    fn create(parent: PathBuf, version: Version, limit: u64) -> Result<Self> {
        let folder = parent.join(format!("tempoform-test-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        // Removed again by the drop of the group, should it fail.
        let group = Self { folder, version };
        match version {
            Version::One => {
                group.write("memory.limit_in_bytes", limit)?;
                // The default is the machine's; nothing is to be swapped out here.
                drop(group.write("memory.swappiness", 0));
            }
            Version::Two => {
                group.write("memory.max", limit)?;
                drop(group.write("memory.swap.max", 0));
            }
        }
        Ok(group)
    }

    /// Where a process writes its id to belong to it.
    pub fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// How it fared so far.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn usage(&self) -> Result<GroupUsage> {
        Ok(match self.version {
            Version::One => GroupUsage {
                peak: self.number("memory.max_usage_in_bytes")?,
                limit_met: self.number("memory.failcnt")?,
                killed: self.of_list("memory.oom_control", "oom_kill")?,
            },
            Version::Two => GroupUsage {
                // Linux 5.19 and later.
                peak: self.number("memory.peak").unwrap_or_default(),
                limit_met: self.of_list("memory.events", "max")?,
                killed: self.of_list("memory.events", "oom_kill")?,
            },
        })
    }

    fn write(&self, file: &str, value: u64) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, value.to_string()).with_context(|| path.display().to_string())
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    fn number(&self, file: &str) -> Result<u64> {
        Ok(self.read(file)?.trim().parse()?)
    }

    /// A number of a file of names and numbers.
    fn of_list(&self, file: &str, name: &str) -> Result<u64> {
        let text = self.read(file)?;
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(found.with_context(|| format!("{file} has no {name}"))?.trim().parse()?)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A group goes once its processes have, which may take the kernel a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Groups below which one may be made, the nearest first.
fn places(own: &str) -> Vec<(Version, PathBuf)> {
    let mount = Path::new("/sys/fs/cgroup");
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next().unwrap_or_default().to_owned();
        let path = fields.next().unwrap_or_default().trim_start_matches('/').to_owned();
        let (version, root) = match controllers.as_str() {
            "" => (Version::Two, mount.to_owned()),
            _ if controllers.split(',').any(|one| one == "memory") => (Version::One, mount.join("memory")),
            _ => return Vec::new(),
        };
        let folders = Path::new(&path).ancestors().map(|group| (version, root.join(group)));
        folders.filter(|(_, folder)| folder.is_dir()).collect()
    };
    own.lines().flat_map(of_line).collect()
}
