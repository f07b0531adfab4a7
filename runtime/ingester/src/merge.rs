//! Goes through segments trace by trace.

use std::io;

use tempoform_core::{Error, MemoryBudget, Reservation, TraceId};

use crate::tenant_log::View;
use crate::wal::{DiskIndex, Run, RunList, sort_runs};

/// The runs of one trace, or of a part of it.
#[derive(Debug)]
pub(crate) struct TraceRuns {
    pub(crate) id: TraceId,
    /// Which part, from 0.
    pub(crate) part: u32,
    /// None where there is no room for them.
    pub(crate) runs: RunList,
    /// Encoded bytes of its spans.
    bytes: u64,
    no_room: Option<Error>,
}

/// The traces of a sealed segment, ascending by id; one with more than `part_bytes` bytes comes in parts, one after the
/// other. A part is larger only where one run is.
pub(crate) fn by_trace(index: &DiskIndex, part_bytes: u64) -> impl Iterator<Item = io::Result<TraceRuns>> {
    SortedTraces {
        runs: SortedRuns::Sealed { index, at: 0, read: Vec::new().into_iter() },
        part_bytes,
        // Whoever goes by parts has room for one.
        memory: MemoryBudget::new(u64::MAX),
        next: None,
        failed: false,
    }
}

/// One trace with its runs in each segment it is in.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) id: TraceId,
    /// Position of the segment among the views, and the runs there.
    pub(crate) parts: Vec<(usize, RunList)>,
    /// Encoded bytes of its spans.
    pub(crate) bytes: u64,
    /// Why there are not all runs, if that is so.
    pub(crate) no_room: Option<Error>,
}

/// The traces of several segments, ascending by id, each once.
pub(crate) struct MergedTraces<'a> {
    /// For the copies of indexes in memory.
    _held: Vec<Reservation>,
    sources: Vec<std::iter::Peekable<SortedTraces<'a>>>,
}

impl<'a> MergedTraces<'a> {
    /// # Errors
    /// When there is no memory for a copy of the open segments' indexes.
    pub(crate) fn new(views: &'a [View], memory: &MemoryBudget) -> Result<Self, Error> {
        let mut held = Vec::new();
        let mut sources = Vec::with_capacity(views.len());
        for view in views {
            let runs = match view {
                View::Open(segment) => {
                    // Writes wait for the lock, so it is held for a copy only, not for sorting.
                    let mut runs =
                        {
                            let index = segment.index();
                            held.push(memory.reserve(
                                size_of_val(&index.runs[..]) as u64,
                                "a search over recent traces",
                            )?);
                            index.runs.clone()
                        };
                    sort_runs(&mut runs);
                    SortedRuns::Memory(runs.into_iter())
                }
                View::Sealed(segment) => {
                    SortedRuns::Sealed { index: &segment.index, at: 0, read: Vec::new().into_iter() }
                }
            };
            let memory = memory.clone();
            let traces = SortedTraces { runs, part_bytes: u64::MAX, memory, next: None, failed: false };
            sources.push(traces.peekable());
        }
        Ok(Self { _held: held, sources })
    }
}

impl Iterator for MergedTraces<'_> {
    /// An error names the segment that failed, by position; it gives no more.
    type Item = Result<Merged, (usize, io::Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut lowest: Option<TraceId> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            match source.peek() {
                Some(Ok(trace)) => lowest = Some(lowest.map_or(trace.id, |id| id.min(trace.id))),
                Some(Err(_)) => {
                    let error = source.next().and_then(Result::err)?;
                    return Some(Err((at, error)));
                }
                None => {}
            }
        }
        let id = lowest?;
        let mut merged = Merged { id, parts: Vec::new(), bytes: 0, no_room: None };
        for (at, source) in self.sources.iter_mut().enumerate() {
            if let Some(Ok(trace)) = source.next_if(|trace| trace.as_ref().is_ok_and(|trace| trace.id == id))
            {
                merged.bytes += trace.bytes;
                merged.no_room = merged.no_room.or(trace.no_room);
                merged.parts.push((at, trace.runs));
            }
        }
        Some(Ok(merged))
    }
}

/// Runs ascending by trace id, from memory or read from an index in strides.
enum SortedRuns<'a> {
    Memory(std::vec::IntoIter<Run>),
    Sealed { index: &'a DiskIndex, at: usize, read: std::vec::IntoIter<Run> },
}

impl SortedRuns<'_> {
    fn next(&mut self) -> io::Result<Option<Run>> {
        match self {
            Self::Memory(runs) => Ok(runs.next()),
            Self::Sealed { index, at, read } => {
                if read.len() == 0 {
                    let runs = index.runs_from(*at)?;
                    *at += runs.len();
                    *read = runs.into_iter();
                }
                Ok(read.next())
            }
        }
    }
}

struct SortedTraces<'a> {
    runs: SortedRuns<'a>,
    part_bytes: u64,
    /// What long lists of runs are reserved from.
    memory: MemoryBudget,
    /// The first run of what comes next, and the number of its part.
    next: Option<(Run, u32)>,
    failed: bool,
}

impl TraceRuns {
    fn add(&mut self, run: Run) {
        self.bytes += u64::from(run.place.length);
        if self.no_room.is_none()
            && let Err(error) = self.runs.push(run)
        {
            self.runs.clear();
            self.no_room = Some(error);
        }
    }
}

impl SortedTraces<'_> {
    fn trace(&mut self) -> io::Result<Option<TraceRuns>> {
        let (first, part) = match self.next.take() {
            Some(next) => next,
            None => match self.runs.next()? {
                Some(run) => (run, 0),
                None => return Ok(None),
            },
        };
        let runs = RunList::new(&self.memory);
        let mut trace = TraceRuns { id: first.trace_id, part, runs, bytes: 0, no_room: None };
        trace.add(first);
        while let Some(run) = self.runs.next()? {
            if run.trace_id != trace.id {
                self.next = Some((run, 0));
                break;
            }
            if trace.bytes + u64::from(run.place.length) > self.part_bytes {
                self.next = Some((run, part + 1));
                break;
            }
            trace.add(run);
        }
        Ok(Some(trace))
    }
}

impl Iterator for SortedTraces<'_> {
    type Item = io::Result<TraceRuns>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let trace = self.trace().transpose();
        self.failed = matches!(trace, Some(Err(_)));
        trace
    }
}
