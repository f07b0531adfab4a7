//! Attribute names, from dictionaries alone; attribute values.

use std::collections::{BTreeMap, BTreeSet};

use tempoform_core::Account;
use tempoform_traceql::{Column, Field};
use tempoform_wire::tempopb::TagValue;

use super::attributes::{Owner, text};
use super::{BlockReader, Fetched};
use crate::error::Result;

/// Where attributes with names stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagScope {
    /// `event`
    Event,
    /// `instrumentation`
    Instrumentation,
    /// `link`
    Link,
    /// `resource`
    Resource,
    /// `span`
    Span,
}

impl TagScope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Event, Self::Instrumentation, Self::Link, Self::Resource, Self::Span];

    /// As in the API and in TraceQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Instrumentation => "instrumentation",
            Self::Link => "link",
            Self::Resource => "resource",
            Self::Span => "span",
        }
    }

    fn owner(self) -> Owner {
        match self {
            Self::Event => Owner::Event,
            Self::Instrumentation => Owner::Scope,
            Self::Link => Owner::Link,
            Self::Resource => Owner::Resource,
            Self::Span => Owner::Span,
        }
    }
}

/// Names by scope.
pub type TagNames = BTreeMap<TagScope, BTreeSet<String>>;

impl BlockReader {
    /// The names of the attributes that occur in a block: reads dictionaries, not values.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn tag_names(&self, scopes: &[TagScope], account: &Account) -> Result<TagNames> {
        let mut names = TagNames::new();
        let scopes = scopes.iter().filter(|scope| self.searches(scope.owner()));
        let scopes: Vec<_> = scopes.copied().collect();
        let keys: Vec<_> = scopes.iter().map(|scope| key_column(*scope)).collect();
        let own: Vec<_> = scopes
            .iter()
            .flat_map(|scope| scope.owner().own_columns(self).into_iter().map(|own| (*scope, own)))
            .collect();
        for row_group in 0..self.row_groups() {
            let key_names: Vec<_> = keys.iter().map(String::as_str).collect();
            let dictionaries = self.fetch_dictionaries(row_group, &key_names, account).await?;
            // A column is read only until one row group has a value in it.
            let unknown = own.iter().filter(|(scope, (key, _))| {
                !names.get(scope).is_some_and(|known: &BTreeSet<String>| known.contains(key))
            });
            let unknown: Vec<_> = unknown.cloned().collect();
            let columns: Vec<_> = unknown.iter().map(|(_, (_, column))| column.as_str()).collect();
            let values = self.fetch(row_group, &columns, account).await?;
            let scopes = scopes.clone();
            let found = self.compute(move || names_in(&dictionaries, &values, &scopes, &unknown)).await?;
            for (scope, found) in found {
                names.entry(scope).or_default().extend(found);
            }
        }
        Ok(names)
    }

    /// Distinct values of a field, in no order, `limit` at most (0 = all).
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn tag_values(&self, field: &Field, limit: usize, account: &Account) -> Result<Vec<TagValue>> {
        let mut values = BTreeSet::new();
        for row_group in 0..self.row_groups() {
            let batch = self.stored_values(row_group, field, account).await?;
            if let Some(column) = batch.columns.get(field) {
                collect_values(field, column, &mut values);
            }
            if limit > 0 && values.len() >= limit {
                break;
            }
        }
        let limit = if limit == 0 { usize::MAX } else { limit };
        let values = values.into_iter().take(limit);
        Ok(values.map(|(kind, value)| TagValue { r#type: kind.to_owned(), value }).collect())
    }

    /// vParquet3 stores events and links in a form that cannot be searched.
    pub(crate) fn searches(&self, owner: Owner) -> bool {
        let by_columns = matches!(owner, Owner::Resource | Owner::Span);
        by_columns || self.meta().version != crate::BlockVersion::VParquet3
    }
}

fn key_column(scope: TagScope) -> String {
    format!("{}.Attrs.Key", scope.owner().group())
}

/// A scope's attribute key and the column of its own that holds it.
type OwnColumn = (TagScope, (String, String));

fn names_in(
    dictionaries: &Fetched,
    values: &Fetched,
    scopes: &[TagScope],
    own: &[OwnColumn],
) -> Result<TagNames> {
    let mut names = TagNames::new();
    for scope in scopes {
        if let Some(keys) = dictionaries.dictionary(&key_column(*scope))? {
            let keys = (0..keys.entries() as u32).map(|id| text(keys.entry(id)));
            names.entry(*scope).or_default().extend(keys);
        }
    }
    for (scope, (key, column)) in own {
        if values.placed(column, scope.owner().level())?.is_some_and(|placed| !placed.rows.is_empty()) {
            names.entry(*scope).or_default().insert(key.clone());
        }
    }
    Ok(names)
}

/// Adds a column's distinct values: type and text.
fn collect_values(field: &Field, column: &Column, out: &mut BTreeSet<(&'static str, String)>) {
    let used: BTreeSet<u32> = column.strings.ids.values.iter().copied().collect();
    let strings = used.iter().filter_map(|id| column.strings.dictionary.get(*id as usize));
    out.extend(strings.map(|value| ("string", value.clone())));
    let ints: BTreeSet<i64> = column.ints.values.iter().copied().collect();
    out.extend(ints.iter().map(|value| crate::columns::int_tag_value(field, *value)));
    out.extend(column.floats.values.iter().map(|value| ("float", value.to_string())));
    out.extend(column.bools.values.iter().map(|value| ("bool", value.to_string())));
}
