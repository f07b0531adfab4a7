//! Attribute names, from dictionaries alone; attribute values.

use std::collections::{BTreeMap, BTreeSet};

use tempoform_core::Account;
use tempoform_traceql::{Column, Field};

use super::attributes::{Owner, text};
use super::{BlockReader, Fetched};
use crate::columns::int_tag_value;
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
    /// The names of the attributes that occur in a row group: reads dictionaries, and values only of columns for one
    /// attribute, whose names are not `known` yet, where the footer does not tell whether they have any.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn tag_names(
        &self,
        row_group: usize,
        scopes: &[TagScope],
        known: &TagNames,
        account: &Account,
    ) -> Result<TagNames> {
        let scopes: Vec<_> = scopes.iter().filter(|scope| self.searches(scope.owner())).copied().collect();
        let keys: Vec<_> = scopes.iter().map(|scope| key_column(*scope)).collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let dictionaries = self.fetch_dictionaries(row_group, &keys, 100, true, account).await?;
        let mut found = TagNames::new();
        let mut undecided = Vec::new();
        for (scope, key, column) in self.own_columns(&scopes) {
            let Some(chunk) = self.chunk_named(row_group, &column) else { continue };
            // A missing service name stands there as an empty one: it is listed as Tempo lists it.
            match chunk.nulls {
                _ if known.get(&scope).is_some_and(|known| known.contains(&key)) => {}
                Some(_) if chunk.is_empty() => {}
                Some(_) => {
                    found.entry(scope).or_default().insert(key);
                }
                None => undecided.push((scope, (key, column))),
            }
        }
        let columns: Vec<_> = undecided.iter().map(|(_, (_, column))| column.as_str()).collect();
        let values = self.fetch(row_group, &columns, account).await?;
        let more = self.compute(move || names_in(&dictionaries, &values, &scopes, &undecided)).await?;
        for (scope, more) in more {
            found.entry(scope).or_default().extend(more);
        }
        Ok(found)
    }

    /// Bytes that [`tag_names`](Self::tag_names) takes in memory at most, roughly.
    pub fn memory_of_tag_names(&self, row_group: usize, scopes: &[TagScope]) -> u64 {
        let keys = scopes.iter().map(|scope| key_column(*scope));
        let own = self.own_columns(scopes).into_iter().map(|(_, _, column)| column);
        let own =
            own.filter(|name| self.chunk_named(row_group, name).is_some_and(|chunk| chunk.nulls.is_none()));
        let names: Vec<String> = keys.chain(own).collect();
        self.memory_of_columns(row_group, &names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn own_columns(&self, scopes: &[TagScope]) -> Vec<(TagScope, String, String)> {
        let of_scope = |scope: &TagScope| {
            let scope = *scope;
            scope.owner().own_columns(self).into_iter().map(move |(key, column)| (scope, key, column))
        };
        scopes.iter().flat_map(of_scope).collect()
    }

    /// Distinct values of a field in a row group, in no order: as many as fit in `most_bytes` of text, and one more if
    /// there are more.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn tag_values(
        &self,
        row_group: usize,
        field: &Field,
        most_bytes: usize,
        account: &Account,
    ) -> Result<BTreeSet<(&'static str, String)>> {
        let batch = self.stored_values(row_group, field, account).await?;
        let field = field.clone();
        self.compute(move || {
            let column = batch.columns.get(&field);
            Ok(column.map(|column| distinct_values(&field, column, most_bytes)).unwrap_or_default())
        })
        .await
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

/// A column's distinct values: type and text.
fn distinct_values(field: &Field, column: &Column, most_bytes: usize) -> BTreeSet<(&'static str, String)> {
    let used: BTreeSet<u32> = column.strings.ids.values.iter().copied().collect();
    let strings = used.iter().filter_map(|id| column.strings.dictionary.get(*id as usize));
    let ints: BTreeSet<i64> = column.ints.values.iter().copied().collect();
    let values = strings.map(|value| ("string", value.clone()));
    let values = values.chain(ints.iter().map(|value| int_tag_value(field, *value)));
    let values = values.chain(column.floats.values.iter().map(|value| ("float", value.to_string())));
    let values = values.chain(column.bools.values.iter().map(|value| ("bool", value.to_string())));
    let mut distinct = BTreeSet::new();
    let mut bytes = 0;
    for value in values {
        let length = value.1.len();
        if distinct.insert(value) {
            bytes += length;
            if bytes > most_bytes {
                break;
            }
        }
    }
    distinct
}
