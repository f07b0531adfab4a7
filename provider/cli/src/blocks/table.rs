//! Tables, sizes and times for people.

use jiff::{SignedDuration, Timestamp, Unit};

/// Rows below their headings, columns as wide as needed. Columns whose heading begins with `>` are aligned to the
/// right.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let name = |heading: &str| heading.trim_start_matches('>').to_owned();
    let head: Vec<String> = headings.iter().map(|heading| name(heading)).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for row in [&head].into_iter().chain(rows) {
        let cells = row.iter().zip(headings).zip(&widths).map(|((cell, heading), width)| {
            if heading.starts_with('>') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes in the largest fitting unit: `512 B`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration in its two largest units: `3d 4h`, `12m 5s`.
pub(super) fn age(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let parts =
        [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let shown = parts[first..].iter().take(2).map(|(count, unit)| format!("{count}{unit}"));
    shown.collect::<Vec<_>>().join(" ")
}

/// A time to the second.
pub(super) fn time(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

/// A number and a word in the singular or plural.
pub(super) fn count(number: impl Into<u64>, word: &str) -> String {
    match number.into() {
        1 => format!("1 {word}"),
        several => format!("{several} {word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_units() {
        assert_eq!([0, 1023, 1536, 5 << 30].map(size), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        let ages = [0, 59, 61, 90_000].map(|seconds| age(SignedDuration::from_secs(seconds)));
        assert_eq!(ages, ["0s", "59s", "1m 1s", "1d 1h"]);
        assert_eq!(
            (count(1_u64, "block"), count(2_u64, "block")),
            ("1 block".to_owned(), "2 blocks".to_owned())
        );
    }

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows = [vec!["a".to_owned(), "10".to_owned()], vec!["long".to_owned(), "7".to_owned()]];
        assert_eq!(table(&["NAME", ">N"], &rows), "NAME   N\na     10\nlong   7\n");
    }
}
