//! What came of each fault, as a table.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// A fault and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) fault: String,
    pub(crate) acknowledged: u64,
    pub(crate) missing: u64,
    pub(crate) exports_refused: u64,
    pub(crate) queries_failed: u64,
    pub(crate) queries_partial: u64,
    pub(crate) queries_whole: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            acknowledged,
            missing,
            exports_refused,
            queries_failed,
            queries_partial,
            queries_whole,
        } = self;
        write!(
            f,
            "| {fault} | {acknowledged} | {missing} | {exports_refused} | {queries_failed} | {queries_partial} | {queries_whole} |"
        )
    }
}

const HEAD: &str = "# Faults

Each fault comes while spans are sent and traces are read back by id, on a cluster of processes: a distributor, three ingesters that keep
three copies of each span (one ingester where the compactor is killed), a retriever, a querier and a compactor. A refused export is sent again until it is acknowledged. *Missing* counts
acknowledged spans that cannot be read once the fault is over; it must be 0. While a fault lasts a query may fail, or say that its answer is partial. One that
says \"not found\", or calls an answer whole that is not, fails the test.

`cargo xtask faults` makes this table; the figures of exports and queries differ from run to run.

| fault | spans acknowledged | spans missing | exports refused | queries failed | queries partial | queries whole |
|---|---|---|---|---|---|---|
";

/// Lines so far, of all tests of this process.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Adds a row, prints it, and writes the table anew where `TEMPOFORM_FAULT_TABLE` says.
pub(crate) fn record(row: &Row) -> Result<()> {
    add(row.to_string())
}

/// A fault that cannot be made here.
pub(crate) fn skip(fault: &str, why: &str) -> Result<()> {
    tempoform_test_support::skipped(&format!("{fault}: {why}"));
    add(format!("| {fault} | skipped: {why} | | | | | |"))
}

/// Tells whoever watches.
#[expect(clippy::print_stdout, reason = "the harness shows it with --nocapture, and when a test fails")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

fn add(line: String) -> Result<()> {
    say(&line);
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.push(line);
    let Some(file) = std::env::var_os("TEMPOFORM_FAULT_TABLE") else { return Ok(()) };
    let table = HEAD.to_owned() + &lines.join("\n") + "\n";
    std::fs::write(&file, table).with_context(|| file.display().to_string())
}
