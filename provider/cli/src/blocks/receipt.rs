//! What is left in writing of an erasure.

use jiff::Timestamp;
use serde::Serialize;
use tempoform_block::BlockState;
use tempoform_core::TraceId;
use uuid::Uuid;

use super::find::{Held, Unread};
use super::table::{count, size, time};

/// How an erasure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// No object of a block holds the trace any more.
    Erased,
    /// Only blocks that are marked for deletion hold it.
    Pending,
    /// Something holds it still, or it cannot be told.
    Incomplete,
    /// Nothing held it in the first place.
    NotFound,
}

/// The receipt. Fields are added, never renamed or removed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    pub(super) format_version: u32,
    pub(super) written_by: String,
    pub(super) bucket: String,
    pub(super) tenant: String,
    pub(super) trace_id: String,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
    /// Whether old objects were to be deleted at once.
    pub(super) purge: bool,
    pub(super) outcome: Outcome,
    pub(super) blocks: Vec<Step>,
    pub(super) proof: Proof,
    pub(super) warnings: Vec<String>,
    pub(super) not_covered: Vec<String>,
}

/// What was done about one block.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) block: Uuid,
    /// What it was before.
    pub(super) state: BlockState,
    /// `null` where they could not be counted.
    pub(super) spans_removed: Option<u64>,
    pub(super) data_sha256: Option<String>,
    /// `null` when the block held only this trace, or was not live.
    pub(super) new_block: Option<Uuid>,
    pub(super) new_data_sha256: Option<String>,
    /// Keys below the bucket's prefix.
    pub(super) objects_deleted: Vec<String>,
    /// Why nothing was done, or not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// A second look at every block of the tenant, by their ids and not by bloom filters, with nothing cached.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof {
    pub(super) at: Timestamp,
    pub(super) blocks_looked_at: usize,
    pub(super) still_held_by: Vec<Held>,
    pub(super) unknown: Vec<Unread>,
    /// Why there was no such look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

impl Outcome {
    /// From what was done and what the second look found.
    pub(super) fn of(steps: &[Step], proof: &Proof) -> Self {
        let failed = steps.iter().any(|step| step.error.is_some());
        let only_marked = proof.still_held_by.iter().all(|held| held.state == BlockState::Compacted);
        match (proof.still_held_by.is_empty(), only_marked) {
            _ if failed || proof.error.is_some() || !proof.unknown.is_empty() => Self::Incomplete,
            (true, _) if steps.is_empty() => Self::NotFound,
            (true, _) => Self::Erased,
            (false, true) => Self::Pending,
            (false, false) => Self::Incomplete,
        }
    }
}

impl Receipt {
    /// What no erasure in a bucket reaches, in words.
    pub(super) fn not_covered(id: TraceId) -> Vec<String> {
        vec![
            "recent spans in ingesters are not covered: they become blocks later; run again after /flush on every ingester"
                .to_owned(),
            format!(
                "a compactor that was merging one of these blocks meanwhile, or an upload that was under way, may still write \
                 the trace: run `tempoform blocks find {id}` again once they are done"
            ),
            "unfinished multipart uploads, older versions of objects, soft-deleted objects, snapshots, backups and copies of \
             the bucket are the store's affair"
                .to_owned(),
            "links of other traces that name this trace's id stay with those traces".to_owned(),
            format!("other tenants are not covered; `tempoform blocks find {id}` looks at all"),
        ]
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { bucket, tenant, trace_id, finished_at, blocks, proof, warnings, not_covered, .. } = self;
        let mut text = format!("Trace {trace_id} of tenant {tenant} in {bucket}, {}\n", time(*finished_at));
        for step in blocks {
            text.push_str(&step.text());
        }
        text.push_str(&format!(
            "Looked again at {}: {}, {} from the store\n",
            count(proof.blocks_looked_at as u64, "block"),
            count(proof.requests, "request"),
            size(proof.bytes),
        ));
        if let Some(error) = &proof.error {
            text.push_str(&format!("  which failed: {error}\n"));
        }
        for held in &proof.still_held_by {
            text.push_str(&format!("  still held by {}, {}\n", held.block, held.state.as_str()));
        }
        for unread in &proof.unknown {
            text.push_str(&format!(
                "  may be held by {}, {}: {}\n",
                unread.block,
                unread.state.as_str(),
                unread.why
            ));
        }
        for warning in warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text.push_str("Not covered:\n");
        for line in not_covered {
            text.push_str(&format!("  * {line}\n"));
        }
        text.push_str(match self.outcome {
            Outcome::Erased => "Erased: no block holds it.\n",
            Outcome::Pending => {
                "Hidden, not erased yet: blocks that are marked for deletion hold it until the compactor deletes them; \
                 --purge deletes them at once.\n"
            }
            Outcome::Incomplete => "NOT erased: see above what holds it, or may hold it.\n",
            Outcome::NotFound => "Nothing to erase: no block holds it.\n",
        });
        text
    }
}

impl Step {
    fn text(&self) -> String {
        let Self {
            block,
            state,
            spans_removed,
            data_sha256,
            new_block,
            new_data_sha256,
            objects_deleted,
            error,
        } = self;
        let state = state.as_str();
        if let Some(error) = error {
            return format!("  {block}, {state}: FAILED: {error}\n");
        }
        let spans =
            spans_removed.map_or_else(|| "spans not counted".to_owned(), |spans| count(spans, "span"));
        let digest = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "-".to_owned());
        let mut text = format!(
            "  {block}, {state}: {spans}, {} deleted\n",
            count(objects_deleted.len() as u64, "object")
        );
        text.push_str(&format!("    old data sha256 {}\n", digest(data_sha256)));
        match (new_block, self.state) {
            (Some(new), _) => {
                text.push_str(&format!("    new block {new}, data sha256 {}\n", digest(new_data_sha256)));
            }
            (None, BlockState::Live) => text.push_str("    no new block: it held only this trace\n"),
            (None, _) => {}
        }
        text
    }
}
