//! Columns by name: the three formats' leaves under one name each.

use std::collections::HashMap;

use super::parquet::footer::{Footer, Leaf};
use super::parquet::{Malformed, Result};
use crate::dedicated::{DedicatedColumn, DedicatedScope, assign_slots};

/// Levels of nesting. A row at a level is one element of its list.
pub(crate) mod level {
    pub(crate) const TRACE: u8 = 0;
    pub(crate) const RESOURCE: u8 = 1;
    pub(crate) const SCOPE: u8 = 2;
    pub(crate) const SPAN: u8 = 3;
    pub(crate) const EVENT: u8 = 4;
    pub(crate) const LINK: u8 = 4;
}

/// Most slots a format has; which of them a file has is seen in its schema.
const STRING_SLOTS: u32 = 20;
const INT_SLOTS: u32 = 5;

/// A column's name without the wrappers of lists: `rs.ss.Spans.Attrs.Key` in every format.
#[derive(Debug)]
pub(super) struct Schema {
    leaves: HashMap<String, usize>,
}

impl Schema {
    pub(super) fn new(footer: &Footer) -> Self {
        let leaves = footer.leaves.iter().enumerate();
        Self { leaves: leaves.map(|(i, leaf)| (plain_name(leaf), i)).collect() }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.leaves.get(name).copied()
    }

    /// The columns that hold a scope's dedicated attributes: key and column name, in the meta's order.
    pub(super) fn dedicated(
        &self,
        columns: &[DedicatedColumn],
        scope: DedicatedScope,
    ) -> Vec<(String, String)> {
        let group = match scope {
            DedicatedScope::Resource => "rs.Resource.DedicatedAttributes",
            DedicatedScope::Span => "rs.ss.Spans.DedicatedAttributes",
            DedicatedScope::Event => "rs.ss.Spans.Events.DedicatedAttributes",
        };
        assign_slots(columns, STRING_SLOTS, INT_SLOTS)
            .filter(|(column, _)| column.scope == scope)
            .map(|(column, slot)| (column.name.clone(), format!("{group}.{}", slot.column_name())))
            .filter(|(_, leaf)| self.find(leaf).is_some())
            .collect()
    }
}

fn plain_name(leaf: &Leaf) -> String {
    let name = leaf.path.iter().map(String::as_str);
    let name: Vec<_> = name.filter(|part| !["list", "element", "key_value"].contains(part)).collect();
    // vParquet4 has a map here, vParquet5 a list.
    match name.as_slice() {
        ["ServiceStats", "key"] => "ServiceStats.ServiceName".to_owned(),
        ["ServiceStats", "value", count] => format!("ServiceStats.{count}"),
        parts => parts.join("."),
    }
}

/// Whether a leaf nests as blocks do: every list above `level` adds one to both levels, and the leaf
/// itself may repeat or be missing, not both.
pub(super) fn check_nesting(leaf: &Leaf, level: u8) -> Result<()> {
    let Leaf { max_def, max_rep, .. } = *leaf;
    let fits = (max_rep == level && (max_def == level || max_def == level + 1))
        || (max_rep == level + 1 && max_def == level + 1);
    if fits { Ok(()) } else { Err(Malformed::new("does not nest as the block format says")) }
}
