//! What a compactor has left to do, as operators see it.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;
use serde::Serialize;
use tempoform_core::TenantId;
use uuid::Uuid;

use crate::metrics;
use crate::plan::Backlog;

/// What is left to do, by tenant; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Status(RwLock<BTreeMap<TenantId, TenantStatus>>);

/// What is left to do. Fields are added, never renamed or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Blocks that merging would take off the lists of all tenants: the backlog in one number.
    pub backlog_blocks: u64,
    /// Bytes that the next merges would read.
    pub backlog_bytes: u64,
    /// Blocks that merging leaves out.
    pub set_aside_blocks: u64,
    /// The same, and which blocks, by tenant.
    pub tenants: BTreeMap<String, TenantStatus>,
}

/// What is left to do for one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Blocks that merging would take off the list.
    pub backlog_blocks: u64,
    /// Bytes that the next merges would read.
    pub backlog_bytes: u64,
    /// Blocks that merging leaves out.
    pub set_aside: Vec<SetAsideBlock>,
}

/// A block that merging leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAsideBlock {
    /// Which.
    pub block: Uuid,
    /// What is wrong with it.
    pub why: String,
    /// When that was found.
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
}

impl Status {
    /// As it is now.
    pub fn overview(&self) -> Overview {
        let tenants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Overview {
            backlog_blocks: tenants.values().map(|tenant| tenant.backlog_blocks).sum(),
            backlog_bytes: tenants.values().map(|tenant| tenant.backlog_bytes).sum(),
            set_aside_blocks: tenants.values().map(|tenant| tenant.set_aside.len() as u64).sum(),
            tenants: tenants.iter().map(|(id, tenant)| (id.to_string(), tenant.clone())).collect(),
        }
    }

    pub(crate) fn set_backlog(&self, tenant: &TenantId, backlog: Backlog) {
        let Backlog { blocks, bytes } = backlog;
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        metrics::OUTSTANDING.with_label_values(&[tenant.as_str()]).set(gauge(blocks));
        metrics::OUTSTANDING_BYTES.with_label_values(&[tenant.as_str()]).set(gauge(bytes));
        self.change(tenant, |status| (status.backlog_blocks, status.backlog_bytes) = (blocks, bytes));
    }

    /// A merge is done.
    pub(crate) fn take_off(&self, tenant: &TenantId, done: Backlog) {
        let backlog = {
            let tenants = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let (blocks, bytes) =
                tenants.get(tenant).map_or((0, 0), |status| (status.backlog_blocks, status.backlog_bytes));
            Backlog { blocks: blocks.saturating_sub(done.blocks), bytes: bytes.saturating_sub(done.bytes) }
        };
        self.set_backlog(tenant, backlog);
    }

    pub(crate) fn set_aside(&self, tenant: &TenantId, blocks: Vec<SetAsideBlock>) {
        let number = i64::try_from(blocks.len()).unwrap_or(i64::MAX);
        metrics::SET_ASIDE.with_label_values(&[tenant.as_str()]).set(number);
        self.change(tenant, |status| status.set_aside = blocks);
    }

    /// A tenant without blocks has no backlog, and no series.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        for gauge in [
            &metrics::OUTSTANDING,
            &metrics::OUTSTANDING_BYTES,
            &metrics::SET_ASIDE,
            &metrics::BLOCKLIST_LENGTH,
        ] {
            // The error is that there is no such series: that is what is wanted.
            gauge.remove_label_values(&[tenant.as_str()]).ok();
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    fn change(&self, tenant: &TenantId, change: impl FnOnce(&mut TenantStatus)) {
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(tenants.entry(tenant.clone()).or_default());
    }
}
