//! Names and values of attributes, of all spans or of those that a filter matches.

use std::collections::{BTreeMap, BTreeSet};

use tempoform_block::{BlockMeta, BlockReader, Evaluated, TagScope, int_tag_value};
use tempoform_core::{Account, Error, ErrorKind, Result};
use tempoform_traceql::{AttributeScope, Column, Field, Query, lenient_filter, parse_attribute};
use tempoform_wire::internal::{
    Failure, TagNamesRequest, TagNamesResponse, TagValuesRequest, TagValuesResponse,
};
use tempoform_wire::tempopb::{SearchTagsV2Scope, TagValue};

use crate::collected::Collected;
use crate::columns::{self, MatchingRows};
use crate::metrics::BLOCKS_READ;
use crate::retriever::{BlockQuery, BlockWork};

/// Names looked for at once in the columns of a filtered query.
const NAMES_AT_ONCE: usize = 64;

type Names = BTreeMap<TagScope, BTreeSet<String>>;
type Values = BTreeSet<(&'static str, String)>;

/// Attribute names by scope. With a filter that is understood, only those that a matching span, or its resource, scope,
/// events or links, has with a value that can be searched.
pub(crate) async fn names(query: BlockQuery<'_>, request: TagNamesRequest) -> Result<TagNamesResponse> {
    let asked = |scope: &TagScope| request.scope.is_empty() || scope.as_str() == request.scope;
    let work = NamesWork {
        scopes: TagScope::ALL.into_iter().filter(asked).collect(),
        filter: lenient_filter(&request.query),
        collected: Collected::new(query.options.max_tag_bytes, &query.options.memory),
    };
    let mut failures = query.each_block(&work).await?;
    failures.extend(work.collected.cut("tag names"));

    let mut by_scope = Names::new();
    for (scope, name) in work.collected.into_items() {
        by_scope.entry(scope).or_default().insert(name);
    }
    let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
    let scopes = by_scope.into_iter().map(|(scope, names)| SearchTagsV2Scope {
        name: scope.as_str().to_owned(),
        tags: names.into_iter().take(limit).collect(),
    });
    let account = Some(query.account.snapshot());
    Ok(TagNamesResponse { scopes: scopes.collect(), fresh_blocks: Vec::new(), failures, account })
}

/// Distinct values of one attribute or intrinsic.
pub(crate) async fn values(
    mut query: BlockQuery<'_>,
    request: TagValuesRequest,
) -> Result<TagValuesResponse> {
    let identifier = parse_attribute(&request.tag)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("invalid tag {:?}: {error}", request.tag)))?;
    let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
    let work = ValuesWork {
        fields: identifier.fields(),
        filter: lenient_filter(&request.query),
        limit,
        collected: Collected::new(query.options.max_tag_bytes, &query.options.memory),
    };
    let max_blocks = if request.max_blocks == 0 { usize::MAX } else { request.max_blocks as usize };
    if query.blocks.len() > max_blocks {
        query.failures.push(Failure {
            source: "tag values".to_owned(),
            message: format!("are of {max_blocks} blocks, the latest of {}", query.blocks.len()),
        });
        // The latest come first.
        query.blocks.truncate(max_blocks);
    }
    let mut failures = query.each_block(&work).await?;
    // With as many as were asked for, nothing is missing.
    failures.extend(work.collected.cut("tag values").filter(|_| work.collected.len() < limit));

    let values = work.collected.into_items().into_iter().take(limit);
    let values = values.map(|(kind, value)| TagValue { r#type: kind.to_owned(), value }).collect();
    let account = Some(query.account.snapshot());
    Ok(TagValuesResponse { values, fresh_blocks: Vec::new(), failures, account })
}

struct NamesWork {
    scopes: Vec<TagScope>,
    filter: Option<Query>,
    collected: Collected<(TagScope, String)>,
}

#[async_trait::async_trait]
impl BlockWork for NamesWork {
    async fn run(&self, query: &BlockQuery<'_>, meta: &BlockMeta, account: &Account) -> Result<()> {
        if self.collected.is_full() {
            return Ok(());
        }
        BLOCKS_READ.with_label_values(&["metadata"]).inc();
        let reader = query.open(meta, account).await?;
        let (mut names, mut room) = (Names::new(), self.collected.max_bytes());
        for row_group in 0..reader.row_groups() {
            let bytes = reader.memory_of_tag_names(row_group, &self.scopes);
            let reader = reader.holding(query.admission.memory(bytes).await?);
            let found = reader.tag_names(row_group, &self.scopes, &names, account).await?;
            if !add_within(&mut room, &mut names, found) {
                self.collected.set_full();
                break;
            }
        }
        if let Some(filter) = &self.filter
            && let Some(found) =
                understood(names_of_matches(query, &reader, filter, names.clone(), account).await)?
        {
            names = found;
        }
        let pairs =
            names.into_iter().flat_map(|(scope, names)| names.into_iter().map(move |name| (scope, name)));
        self.collected.add(pairs)
    }
}

struct ValuesWork {
    fields: Vec<Field>,
    filter: Option<Query>,
    limit: usize,
    collected: Collected<(&'static str, String)>,
}

#[async_trait::async_trait]
impl BlockWork for ValuesWork {
    async fn run(&self, query: &BlockQuery<'_>, meta: &BlockMeta, account: &Account) -> Result<()> {
        if self.has_enough() {
            return Ok(());
        }
        BLOCKS_READ.with_label_values(&["metadata"]).inc();
        let reader = query.open(meta, account).await?;
        for row_group in 0..reader.row_groups() {
            if self.has_enough() {
                return Ok(());
            }
            if let Some(filter) = &self.filter
                && let Some(found) =
                    understood(self.matching(query, &reader, row_group, filter, account).await)?
            {
                self.collected.add(found)?;
                continue;
            }
            for field in &self.fields {
                let bytes = reader.memory_of(row_group, std::slice::from_ref(field));
                let reader = reader.holding(query.admission.memory(bytes).await?);
                let found = reader.tag_values(row_group, field, self.collected.max_bytes(), account);
                self.collected.add(found.await?)?;
            }
        }
        Ok(())
    }
}

impl ValuesWork {
    fn has_enough(&self) -> bool {
        self.collected.is_full() || self.collected.len() >= self.limit
    }

    /// Values of the spans of a row group that the filter matches.
    async fn matching(
        &self,
        query: &BlockQuery<'_>,
        reader: &BlockReader,
        row_group: usize,
        filter: &Query,
        account: &Account,
    ) -> Result<Values> {
        let (_held, evaluated) =
            columns::evaluate(reader, row_group, filter, &self.fields, query.admission, account).await?;
        let rows = MatchingRows::new(&evaluated);
        let mut values = Values::new();
        for field in &self.fields {
            if let Some(column) = evaluated.batch.columns.get(field) {
                collect_matching(field, column, &rows.at(column.level), &mut values);
            }
        }
        Ok(values)
    }
}

/// What a filter gave; `None` when it fails on the data. Filters come half-typed: one that cannot be run is ignored like
/// one that cannot be parsed.
fn understood<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Invalid => Ok(None),
        outcome => outcome.map(Some),
    }
}

async fn names_of_matches(
    query: &BlockQuery<'_>,
    reader: &BlockReader,
    filter: &Query,
    names: Names,
    account: &Account,
) -> Result<Names> {
    let mut unknown: Vec<(TagScope, String)> = names
        .into_iter()
        .flat_map(|(scope, names)| names.into_iter().map(move |name| (scope, name)))
        .collect();
    let mut found = Names::new();
    for row_group in 0..reader.row_groups() {
        let mut still_unknown = Vec::new();
        for chunk in unknown.chunks(NAMES_AT_ONCE) {
            let fields: Vec<Field> = chunk.iter().map(|(scope, name)| attribute(*scope, name)).collect();
            let (_held, evaluated) =
                columns::evaluate(reader, row_group, filter, &fields, query.admission, account).await?;
            for ((scope, name), field) in chunk.iter().zip(&fields) {
                if has_value(&evaluated, field) {
                    found.entry(*scope).or_default().insert(name.clone());
                } else {
                    still_unknown.push((*scope, name.clone()));
                }
            }
        }
        unknown = still_unknown;
    }
    Ok(found)
}

fn has_value(evaluated: &Evaluated, field: &Field) -> bool {
    let Some(column) = evaluated.batch.columns.get(field) else { return false };
    let matching = MatchingRows::new(evaluated).at(column.level);
    let matches = |row: &u32| matching.get(*row as usize).copied().unwrap_or(false);
    let lists = [&column.strings.ids.rows, &column.ints.rows, &column.floats.rows, &column.bools.rows];
    lists.into_iter().flatten().any(matches)
}

fn collect_matching(field: &Field, column: &Column, matching: &[bool], values: &mut Values) {
    fn of<'a, T>(
        sparse: &'a tempoform_traceql::Sparse<T>,
        matching: &'a [bool],
    ) -> impl Iterator<Item = &'a T> {
        let matches = |row: u32| matching.get(row as usize).copied().unwrap_or(false);
        sparse.rows.iter().zip(&sparse.values).filter(move |(row, _)| matches(**row)).map(|(_, value)| value)
    }
    let used: BTreeSet<u32> = of(&column.strings.ids, matching).copied().collect();
    let strings = used.iter().filter_map(|id| column.strings.dictionary.get(*id as usize));
    values.extend(strings.map(|value| ("string", value.clone())));
    values.extend(of(&column.ints, matching).map(|value| int_tag_value(field, *value)));
    values.extend(of(&column.floats, matching).map(|value| ("float", value.to_string())));
    values.extend(of(&column.bools, matching).map(|value| ("bool", value.to_string())));
}

fn attribute(scope: TagScope, name: &str) -> Field {
    let scope = match scope {
        TagScope::Event => AttributeScope::Event,
        TagScope::Instrumentation => AttributeScope::Instrumentation,
        TagScope::Link => AttributeScope::Link,
        TagScope::Resource => AttributeScope::Resource,
        TagScope::Span => AttributeScope::Span,
    };
    Field::Attribute { scope, name: name.to_owned() }
}

/// Adds names while there is room for their text; whether all are in.
fn add_within(room: &mut usize, names: &mut Names, more: Names) -> bool {
    for (scope, more) in more {
        let names = names.entry(scope).or_default();
        for name in more {
            let left = if names.contains(&name) { Some(*room) } else { room.checked_sub(name.len()) };
            let Some(left) = left else { return false };
            *room = left;
            names.insert(name);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_block_stay_within_their_room() {
        let of = |names: &[&str]| {
            Names::from([(TagScope::Span, names.iter().map(|name| (*name).to_owned()).collect())])
        };
        let (mut room, mut names) = (6, Names::new());
        assert!(add_within(&mut room, &mut names, of(&["abc", "de"])));
        assert!(add_within(&mut room, &mut names, of(&["abc"])), "it is there");
        assert!(!add_within(&mut room, &mut names, of(&["fgh"])));
        assert_eq!((room, names), (1, of(&["abc", "de"])));
    }
}
