//! Taking objects away without losing what they hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempoform_engine::object::ObjectId;
use tempoform_engine::target::{DataPolicy, Listener, Readiness, Target as _, TargetError};

use super::LocalTarget;
use super::cleanup::{clean, lies_in, remove_data};
use crate::definitions::{environment_values, local_blocks};
use crate::files::remove_if_there;
use crate::literals;
use crate::state::{Phase, ProcessRecord, Record};
use crate::supervisor::{self, Client};

const POLL: Duration = Duration::from_millis(50);
/// How long a component may take to come up again for the sake of flushing.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(600);

impl LocalTarget {
    /// Removes one object. One with acknowledged data in its write-ahead log is asked to flush it
    /// first, and is kept if it does not.
    pub(super) async fn remove(&self, id: &ObjectId) -> Result<(), TargetError> {
        let Some(record) = self.lock_state().record(id).cloned() else { return Ok(()) };
        self.record(|state| {
            if let Some(record) = state.record_mut(id) {
                record.phase = Phase::Deleting;
            }
        })?;
        if let Some(process) = &record.process {
            let supervisor = self.supervisor().await?;
            self.flush_and_stop(&supervisor, &record, process).await?;
            let left = unflushed(process);
            if left > 0 {
                return Err(kept(&id.name, process, left));
            }
            remove_data(self.directory(), &process.data)?;
        }
        self.forget(id)
    }

    async fn flush_and_stop(
        &self,
        supervisor: &Client,
        record: &Record,
        process: &ProcessRecord,
    ) -> Result<(), TargetError> {
        let id = &record.object.id;
        let instance = id.name.as_str();
        if record.object.stateful {
            if !is_running(supervisor, instance).await? && unflushed(process) > 0 {
                self.revive(supervisor, id, process).await?;
            }
            self.leave(supervisor, instance, process).await?;
        }
        Ok(supervisor.remove(instance).await?)
    }

    /// Starts a component that does not run, so that it can flush what it left.
    async fn revive(
        &self,
        supervisor: &Client,
        id: &ObjectId,
        process: &ProcessRecord,
    ) -> Result<(), TargetError> {
        let mut environment = environment_values(&process.environment)?;
        environment.extend(literals::load(self.directory(), &id.name)?);
        supervisor.start(process.spec.clone(), environment).await?;
        let deadline = Instant::now() + REPLAY_TIMEOUT;
        while Instant::now() < deadline {
            match self.readiness(id).await? {
                Readiness::Ready => return Ok(()),
                Readiness::Failed(reason) => {
                    return Err(kept(&id.name, process, unflushed(process)).caused_by(reason));
                }
                Readiness::Waiting(_) => tokio::time::sleep(POLL).await,
            }
        }
        Err(kept(&id.name, process, unflushed(process)))
    }

    /// Asks a component to flush and end, and waits for that. One that does not know the request is
    /// stopped by signal afterwards.
    async fn leave(
        &self,
        supervisor: &Client,
        instance: &str,
        process: &ProcessRecord,
    ) -> Result<(), TargetError> {
        if !is_running(supervisor, instance).await? {
            return Ok(());
        }
        supervisor.retire(instance).await?;
        let Some(address) = self.http_address(instance) else { return Ok(()) };
        let grace = Duration::from_secs(u64::from(process.spec.stop_grace_seconds));
        let deadline = Instant::now() + grace;
        match self.client.post(format!("http://{address}/shutdown")).timeout(grace).send().await {
            Ok(answer) if answer.status().is_success() => {}
            // The component goes on, so that nothing is lost.
            Ok(answer) if answer.status().is_server_error() => {
                let reason = answer.text().await.unwrap_or_default();
                return Err(kept(instance, process, unflushed(process)).caused_by(reason));
            }
            _ => return Ok(()),
        }
        while is_running(supervisor, instance).await? && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn forget(&self, id: &ObjectId) -> Result<(), TargetError> {
        for file in [self.file_of(id), self.directory().environment_file(&id.name)] {
            remove_if_there(&file).map_err(|error| {
                TargetError::new(format!("cannot remove {}", file.display())).caused_by(error)
            })?;
        }
        self.record(|state| {
            state.objects.remove(&id.to_string());
            state.ports.0.remove(&id.name);
        })
    }

    pub(super) async fn destroy_all(
        &self,
        data: DataPolicy,
        progress: &Listener<'_>,
    ) -> Result<Vec<String>, TargetError> {
        let mut records: Vec<Record> = self.lock_state().objects.values().cloned().collect();
        records.sort_by_key(|record| std::cmp::Reverse((record.object.wave, record.object.id.clone())));
        let folders = self.data_folders()?;
        let mut left = Vec::new();
        // Where nothing runs, none is started: it would start everything first.
        let supervisor = match supervisor::connect(self.directory()).await? {
            None if self.something_runs() => Some(self.supervisor().await?),
            found => found,
        };
        for record in &records {
            progress(&format!("{}: stopping", record.object.id.name));
            if let Some(process) = &record.process {
                self.take_down(supervisor.as_ref(), record, process, data).await?;
                let unflushed = unflushed(process);
                if data == DataPolicy::Keep && unflushed > 0 {
                    let folder = process.wal.as_deref().unwrap_or(&process.data).display();
                    let instance = &record.object.id.name;
                    left.push(format!("{unflushed} bytes of {instance}'s write-ahead log, in {folder}"));
                }
            }
            self.forget(&record.object.id)?;
            progress(&format!("{}: gone", record.object.id.name));
        }
        if let Some(supervisor) = &supervisor {
            supervisor.shutdown().await?;
        }
        left.extend(clean(self.directory(), &folders, data)?);
        Ok(left)
    }

    /// Folders with data that lie elsewhere than in the state directory, and so are never deleted.
    ///
    /// # Errors
    /// When it cannot be read which folders there are.
    pub fn data_outside(&self) -> Result<Vec<PathBuf>, TargetError> {
        let folders = self.data_folders()?.into_iter();
        Ok(folders.filter(|folder| folder.exists() && !lies_in(self.directory(), folder)).collect())
    }

    /// Every folder that data were ever kept in: what was noted, and what the records tell.
    fn data_folders(&self) -> Result<BTreeSet<PathBuf>, TargetError> {
        let mut folders = self.directory().remembered()?;
        for record in self.lock_state().objects.values() {
            let Some(process) = &record.process else { continue };
            let config = record.object.value.get("config");
            let blocks = config.and_then(local_blocks).map(|path| self.directory().path().join(path));
            folders.extend([process.data.clone()].into_iter().chain(process.wal.clone()).chain(blocks));
        }
        Ok(folders)
    }

    async fn take_down(
        &self,
        supervisor: Option<&Client>,
        record: &Record,
        process: &ProcessRecord,
        data: DataPolicy,
    ) -> Result<(), TargetError> {
        let Some(supervisor) = supervisor else { return Ok(()) };
        let instance = &record.object.id.name;
        // What is to be deleted needs no flush; what cannot be flushed now stays in the log.
        if data == DataPolicy::Keep
            && record.object.stateful
            && let Err(error) = self.leave(supervisor, instance, process).await
        {
            tracing::warn!(instance, %error, "stopped without a flush");
        }
        Ok(supervisor.remove(instance).await?)
    }
}

async fn is_running(supervisor: &Client, instance: &str) -> Result<bool, TargetError> {
    let statuses = supervisor.status().await?;
    Ok(statuses.iter().any(|status| status.spec.instance == instance && status.running().is_some()))
}

/// Bytes of spans in a component's write-ahead log. `.flushed` and `.batches` files are not among them: they only
/// remember which block a segment became.
fn unflushed(process: &ProcessRecord) -> u64 {
    let counts = |file: &Path| {
        file.extension().is_none_or(|extension| extension != "flushed" && extension != "batches")
    };
    process.wal.as_deref().map_or(0, |wal| bytes_below(wal, &counts))
}

pub(super) fn bytes_below(folder: &Path, counts: &dyn Fn(&Path) -> bool) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path(), counts),
            Ok(kind) if kind.is_file() && counts(&entry.path()) => {
                entry.metadata().map_or(0, |metadata| metadata.len())
            }
            _ => 0,
        })
        .sum()
}

fn kept(instance: &str, process: &ProcessRecord, bytes: u64) -> TargetError {
    let folder = process.wal.as_deref().unwrap_or(&process.data).display();
    TargetError::new(format!(
        "{instance} is not removed: {bytes} bytes of acknowledged spans are still in its write-ahead log {folder}"
    ))
    .help(format!("see `tempoform logs {instance}`; the next apply starts it again and lets it flush"))
}
