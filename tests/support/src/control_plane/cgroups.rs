//! Control groups of a node's own, so that two nodes on one machine do not take each other's pods for lost ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use uuid::Uuid;

/// A group of the same name in each hierarchy; removed when dropped, after the processes in it have ended.
#[derive(Debug)]
pub(super) struct Cgroups {
    /// From the root of the hierarchies on, with a slash.
    pub name: String,
    folders: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes them, in all hierarchies of versions 1 and 2.
    pub(super) fn new() -> Result<Self> {
        let mut groups = Self { name: format!("/tempoform-test-{}", Uuid::new_v4()), folders: Vec::new() };
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        for mount in mounts.lines() {
            let mut fields = mount.split(' ').skip(1);
            if let (Some(place), Some("cgroup" | "cgroup2")) = (fields.next(), fields.next()) {
                let folder = PathBuf::from(format!("{place}{}", groups.name));
                fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
                groups.folders.push(folder);
            }
        }
        Ok(groups)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.folders.iter().for_each(|folder| remove(folder));
    }
}

/// Removes a group and those below it, as far as the kernel lets us.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    drop(fs::remove_dir(group));
}
