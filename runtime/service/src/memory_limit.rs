//! The memory ceiling of this process.

use std::fs;
use std::path::Path;

use tempoform_config::Memory;
use tempoform_core::MemoryBudget;

/// Room for what is not counted, however small the limit: code, stacks, connections' buffers, and what the allocator
/// keeps. A share alone would leave too little of a small limit.
const NOT_COUNTED: u64 = 96 << 20;
/// Where systems mount control groups.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// From the configuration, else a share of the control group's limit, else of the machine's memory.
pub(crate) fn budget(settings: &Memory) -> MemoryBudget {
    let configured = settings.limit_bytes.0;
    if configured > 0 {
        return MemoryBudget::new(configured);
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_limit(&own, Path::new(CONTROL_GROUPS));
    let available = group.into_iter().chain(machine_memory()).min().unwrap_or(1 << 30);
    let counted = share(available, settings.automemlimit_ratio);
    tracing::info!(available, counted, of_control_group = group.is_some(), "the memory ceiling");
    MemoryBudget::new(counted)
}

/// What may be counted of `available` bytes: all but a share, and all but [`NOT_COUNTED`], but no less than half.
fn share(available: u64, ratio: f64) -> u64 {
    let by_ratio = (available as f64 * ratio) as u64;
    by_ratio.min(available.saturating_sub(NOT_COUNTED).max(available / 2))
}

/// The lowest limit of this process's control group and those around it. `own` is `/proc/self/cgroup`; `mount` has the
/// one hierarchy of version 2, or the folder `memory` of version 1.
///
/// In a container the path may be the host's, whose folders are not there; the container's own group is then the root of
/// the mount, which is looked at as the last of those around. No limit reads `max` (version 2), or as a number larger than
/// any memory (version 1).
fn group_limit(own: &str, mount: &Path) -> Option<u64> {
    let limits = own.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (mount.join("memory"), "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let relative = Path::new(path.trim_start_matches('/'));
        let groups = relative.ancestors().map(|group| root.join(group).join(file));
        groups.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
    });
    limits.min()
}

fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount with these files.
    fn mount(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().expect("a folder");
        for (path, content) in files {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, content).expect("written");
        }
        mount
    }

    #[test]
    fn the_lowest_limit_around_counts_in_both_versions() {
        let v1 = mount(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/pod/memory.limit_in_bytes", "500\n"),
            ("memory/pod/one/memory.limit_in_bytes", "700\n"),
        ]);
        let own = "5:cpu,cpuacct:/pod\n4:memory:/pod/one\n0::/\n";
        assert_eq!(group_limit(own, v1.path()), Some(500));
        let v2 = mount(&[("pod/memory.max", "max\n"), ("pod/one/memory.max", "900\n")]);
        assert_eq!(group_limit("0::/pod/one\n", v2.path()), Some(900));
        assert_eq!(group_limit("0::/pod\n", v2.path()), None, "no limit");
        assert_eq!(group_limit("", v2.path()), None, "no control groups");
    }

    #[test]
    fn a_container_that_sees_the_hosts_path_finds_its_own_limit() {
        let v1 = mount(&[("memory/memory.limit_in_bytes", "300\n")]);
        assert_eq!(group_limit("4:memory:/docker/3f2a\n", v1.path()), Some(300));
        let v2 = mount(&[("memory.max", "400\n")]);
        assert_eq!(group_limit("0::/docker/3f2a\n", v2.path()), Some(400));
    }

    #[test]
    fn a_small_limit_leaves_room_for_what_is_not_counted() {
        assert_eq!(share(10 << 30, 0.8), (10_u64 << 30) / 10 * 8);
        assert_eq!(share(256 << 20, 0.8), 160 << 20);
        assert_eq!(share(100 << 20, 0.8), 50 << 20);
        assert_eq!(share(1 << 30, 0.1), (1_u64 << 30) / 10, "a smaller share is taken as it is");
    }
}
