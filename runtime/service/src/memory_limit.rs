//! The memory ceiling of this process.

use std::fs;
use std::path::Path;

use tempoform_config::Memory;
use tempoform_core::MemoryBudget;

/// From the configuration, else a share of the control group's limit, else of the machine's memory.
pub(crate) fn budget(settings: &Memory) -> MemoryBudget {
    let configured = settings.limit_bytes.0;
    if configured > 0 {
        return MemoryBudget::new(configured);
    }
    let available = cgroup_limit().into_iter().chain(machine_memory()).min().unwrap_or(1 << 30);
    MemoryBudget::new((available as f64 * settings.automemlimit_ratio) as u64)
}

/// The lowest `memory.max` of this process's control group (v2) and those around it; no limit reads `max`.
fn cgroup_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let groups = Path::new(own).ancestors().map(|group| Path::new("/sys/fs/cgroup").join(group));
    groups.filter_map(|group| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok()).min()
}

fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
