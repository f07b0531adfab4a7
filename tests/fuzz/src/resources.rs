//! What a parser may take.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What comes beside: threads of the runtime, buffers of a fixed size.
const NOISE: usize = 256 << 10;

/// Runs `work`, which may have `most` bytes more in memory at once than there were before. Nothing else may run beside.
pub(crate) fn within<T>(most: usize, work: impl FnOnce() -> T) -> T {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let done = work();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(taken <= most.saturating_add(NOISE), "took {taken} bytes of memory, more than {most}");
    done
}
