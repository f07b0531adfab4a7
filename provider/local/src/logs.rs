//! Log files: bounded, read from their end, followed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempoform_engine::target::LogLine;
use tokio::sync::mpsc;

/// A log larger than this is moved aside, bytes. One older file is kept, so an instance has at
/// most about twice this much.
const LARGEST: u64 = 32 << 20;
/// Of a log's end, at most this much is read for its last lines, bytes.
const LONGEST_TAIL: u64 = 4 << 20;
const FOLLOW_POLL: Duration = Duration::from_millis(200);

/// Moves a log's content aside when it has grown too large. The writer holds the file open, so it
/// is copied and emptied; what is written in between is lost.
pub(crate) fn bound(log: &Path) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(metadata) if metadata.len() > LARGEST => {
            fs::copy(log, older(log))?;
            OpenOptions::new().write(true).open(log)?.set_len(0)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn older(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// The last lines of a log; none if it does not exist.
pub(crate) fn tail(log: &Path, lines: usize) -> io::Result<Vec<String>> {
    tail_since(log, 0, lines)
}

/// The last lines of what was written to a log after its first `offset` bytes.
pub(crate) fn tail_since(log: &Path, offset: u64, lines: usize) -> io::Result<Vec<String>> {
    Ok(tail_with_end(log, offset, lines)?.0)
}

/// How long a log is now, bytes; 0 if it does not exist.
pub(crate) fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |metadata| metadata.len())
}

/// The last lines of a log after an offset, and where the file ended.
fn tail_with_end(log: &Path, offset: u64, lines: usize) -> io::Result<(Vec<String>, u64)> {
    let mut file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    let end = file.metadata()?.len();
    // A log that is shorter than the offset was moved aside since.
    let offset = if offset > end { 0 } else { offset };
    let start = end.saturating_sub(LONGEST_TAIL).max(offset);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found: Vec<String> = text.lines().rev().take(lines).map(str::to_owned).collect();
    found.reverse();
    Ok((found, end))
}

/// Sends the last lines of each log, then, if asked to, new lines as they come, until the receiver
/// is dropped.
pub(crate) async fn send(
    logs: Vec<(String, PathBuf)>,
    lines: usize,
    follow: bool,
    to: mpsc::Sender<LogLine>,
) {
    let mut places = Vec::new();
    for (instance, path) in logs {
        let (found, end) = tail_with_end(&path, 0, lines).unwrap_or_default();
        for text in found {
            if to.send(LogLine { instance: instance.clone(), text }).await.is_err() {
                return;
            }
        }
        places.push(Place { instance, path, offset: end, partial: Vec::new() });
    }
    while follow && !to.is_closed() {
        for place in &mut places {
            for line in place.new_lines().unwrap_or_default() {
                if to.send(line).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(FOLLOW_POLL).await;
    }
}

/// How far a followed log was read.
struct Place {
    instance: String,
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
}

impl Place {
    fn new_lines(&mut self) -> io::Result<Vec<LogLine>> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        if end < self.offset {
            // Moved aside: what is there now is new.
            self.offset = 0;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.take((end - self.offset).min(LONGEST_TAIL)).read_to_end(&mut self.partial)?;
        self.offset += u64::try_from(read).unwrap_or_default();
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text: Vec<u8> = self.partial.drain(..whole).collect();
        let lines = String::from_utf8_lossy(&text);
        Ok(lines
            .lines()
            .map(|line| LogLine { instance: self.instance.clone(), text: line.to_owned() })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn last_lines_come_first_then_new_ones_also_after_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&log, 2).unwrap(), ["two", "three"]);
        assert_eq!(tail_since(&log, 8, 2).unwrap(), ["three"]);
        assert_eq!(tail_since(&log, 800, 1).unwrap(), ["three"]);
        assert_eq!(tail(&folder.path().join("none.log"), 2).unwrap(), Vec::<String>::new());

        let (sender, mut lines) = mpsc::channel(10);
        let follower = tokio::spawn(send(vec![("a".to_owned(), log.clone())], 1, true, sender));
        assert_eq!(lines.recv().await.unwrap().text, "three");
        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(b"four\nfi").unwrap();
        assert_eq!(lines.recv().await.unwrap().text, "four");
        file.write_all(b"ve\n").unwrap();
        assert_eq!(lines.recv().await.unwrap().text, "five");
        file.set_len(0).unwrap();
        tokio::time::sleep(FOLLOW_POLL * 2).await;
        file.write_all(b"six\n").unwrap();
        assert_eq!(lines.recv().await.unwrap(), LogLine { instance: "a".to_owned(), text: "six".to_owned() });
        drop(lines);
        follower.await.unwrap();
    }

    #[test]
    fn a_large_log_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        writer.write_all(b"first\n").unwrap();
        bound(&log).unwrap();
        assert!(!older(&log).exists());
        writer.set_len(LARGEST + 1).unwrap();
        bound(&log).unwrap();
        writer.write_all(b"next\n").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"next\n");
        assert_eq!(fs::metadata(older(&log)).unwrap().len(), LARGEST + 1);
    }
}
