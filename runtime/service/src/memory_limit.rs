//! The memory ceiling of this process.

use std::fs;

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

/// `memory.max` of control groups v2; no limit reads `max`.
fn cgroup_limit() -> Option<u64> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
