//! What of a row group a query can do without: decided by the footer, then by dictionaries, then by the columns that are
//! cheap to read.

use std::collections::BTreeSet;

use tempoform_core::Account;
use tempoform_traceql::{Batch, Condition, Field, Query, Reads, Types};

use crate::columns::{Absent, Plan, owner, source};
use crate::dedicated::SERVICE_NAME;
use crate::error::Result;
use crate::reader::{BlockReader, Chunk, Fetched, Owner};

/// A dictionary of values that is more than this share of its column, percent, is not worth a read before the column's.
const WORTH_A_READ: u64 = 50;

/// Where values of a field may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A column of its own.
    Own { column: String, is_plain_text: bool, empty_is_missing: bool },
    /// Among all attributes.
    Generic { owner: Owner, name: String },
}

/// The traces of a row group that may match.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// `None`: all.
    pub(crate) rows: Option<Vec<u32>>,
    /// What was read to find out, of all rows; its fields need not be read again.
    pub(crate) read: Option<Batch>,
}

impl BlockReader {
    /// What generic attributes need not be looked into for; `None` when nothing in the row group can match.
    pub(crate) async fn prune(
        &self,
        row_group: usize,
        query: &Query,
        account: &Account,
    ) -> Result<Option<Absent>> {
        let conditions = query.prune();
        let may_hold = |condition: &Condition| {
            self.places(condition).iter().any(|place| self.footer_allows(row_group, place, condition))
        };
        if !conditions.iter().all(may_hold) {
            return Ok(None);
        }
        let attributes: Vec<(Owner, String)> = query
            .reads()
            .into_iter()
            .filter_map(|(field, _)| match field {
                Field::Attribute { scope, name } => Some((owner(scope), name)),
                Field::Intrinsic(_) => None,
            })
            .collect();
        let mut names: BTreeSet<String> = attributes.iter().map(|(owner, _)| keys(*owner)).collect();
        let of_text = conditions.iter().filter(|condition| condition.reads() == Reads::Strings);
        names.extend(of_text.flat_map(|condition| self.places(condition)).filter_map(|place| match place {
            Place::Own { column, is_plain_text: true, .. } => Some(column),
            _ => None,
        }));
        let dictionaries = self.dictionaries(row_group, &names, 100, account).await?;
        let mut absent = Absent::new();
        for (owner, name) in attributes {
            if let Some(known) = dictionaries.dictionary(&keys(owner))?
                && !(0..known.entries() as u32).any(|id| known.entry(id) == name.as_bytes())
            {
                absent.insert((owner, name));
            }
        }
        let mut left = Vec::new();
        for condition in &conditions {
            let mut places = self.places(condition);
            places.retain(|place| self.footer_allows(row_group, place, condition));
            places = kept(places, |place| place.is_possible(condition, &dictionaries, &absent))?;
            if places.is_empty() {
                return Ok(None);
            }
            left.push((condition, places));
        }
        Ok(self.values_allow(row_group, &left, account).await?.then_some(absent))
    }

    /// Whether conditions on text that only generic attributes can satisfy have a value there that does.
    async fn values_allow(
        &self,
        row_group: usize,
        conditions: &[(&Condition, Vec<Place>)],
        account: &Account,
    ) -> Result<bool> {
        let is_generic = |place: &Place| matches!(place, Place::Generic { .. });
        let generic = conditions.iter().filter(|(condition, places)| {
            condition.reads() == Reads::Strings && places.iter().all(is_generic)
        });
        let generic: Vec<(&Condition, BTreeSet<String>)> = generic
            .map(|(condition, places)| (*condition, places.iter().filter_map(Place::texts).collect()))
            .collect();
        let names = generic.iter().flat_map(|(_, names)| names).cloned().collect();
        let dictionaries = self.dictionaries(row_group, &names, WORTH_A_READ, account).await?;
        for (condition, names) in generic {
            let mut possible = false;
            for name in names {
                possible |= text_matches(&dictionaries, &name, condition, false)?;
            }
            if !possible {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Which traces may match, by the conditions on columns that are cheaper than the rest of what the query reads.
    pub(crate) async fn candidates(
        &self,
        row_group: usize,
        query: &Query,
        absent: &Absent,
        account: &Account,
    ) -> Result<Candidates> {
        let all = Candidates { rows: None, read: None };
        let reads = query.reads();
        let is_cheap = |field: &Field| match field {
            Field::Intrinsic(_) => true,
            Field::Attribute { scope, name } => absent.contains(&(owner(*scope), name.clone())),
        };
        let mut conditions = query.prune();
        conditions.retain(|condition| condition.fields.iter().all(is_cheap));
        let is_used = |field: &Field| conditions.iter().any(|condition| condition.fields.contains(field));
        let cheap: Vec<_> = reads.iter().filter(|(field, _)| is_used(field)).cloned().collect();
        if conditions.is_empty() || cheap.len() == reads.len() {
            return Ok(all);
        }
        let plan = Plan::new(self, row_group, &cheap, absent);
        let stored = |plan: &Plan| -> u64 {
            let names: BTreeSet<_> = plan.names().into_iter().collect();
            let chunks = names.into_iter().filter_map(|name| self.chunk_named(row_group, name));
            chunks.map(|chunk| chunk.range.end - chunk.range.start).sum()
        };
        if stored(&plan) * 2 > stored(&Plan::new(self, row_group, &reads, absent)) {
            return Ok(all);
        }
        let batch = self.run(plan, row_group, account).await?;
        self.compute(move || {
            let rows = conditions.iter().map(|condition| condition.traces(&batch)).reduce(|rows, more| {
                rows.into_iter().filter(|row| more.binary_search(row).is_ok()).collect()
            });
            Ok(Candidates { rows, read: Some(batch) })
        })
        .await
    }

    async fn dictionaries(
        &self,
        row_group: usize,
        names: &BTreeSet<String>,
        share: u64,
        account: &Account,
    ) -> Result<Fetched> {
        let has_all = |name: &&String| {
            self.chunk_named(row_group, name).is_some_and(|chunk| !chunk.leaves_dictionary)
                && self.may_hold(name, Types { strings: true, ..Types::default() })
        };
        let names: Vec<_> = names.iter().filter(has_all).map(String::as_str).collect();
        self.fetch_dictionaries(row_group, &names, share, false, account).await
    }

    /// Where values that a condition looks at may stand.
    fn places(&self, condition: &Condition) -> Vec<Place> {
        let mut places = Vec::new();
        for field in &condition.fields {
            match field {
                Field::Intrinsic(intrinsic) => {
                    let source = source(*intrinsic);
                    if self.searches(source.owner()) {
                        let is_plain_text = source.is_plain_text();
                        let column = source.column.to_owned();
                        places.push(Place::Own { column, is_plain_text, empty_is_missing: false });
                    }
                }
                Field::Attribute { scope, name } if self.searches(owner(*scope)) => {
                    let owner = owner(*scope);
                    let own = owner.own_columns(self).into_iter().filter(|(key, _)| key == name);
                    places.extend(own.map(|(key, column)| Place::Own {
                        column,
                        is_plain_text: true,
                        empty_is_missing: key == SERVICE_NAME,
                    }));
                    places.push(Place::Generic { owner, name: name.clone() });
                }
                Field::Attribute { .. } => {}
            }
        }
        places
    }

    /// Whether, as far as the footer tells, a place has a value that satisfies the condition.
    fn footer_allows(&self, row_group: usize, place: &Place, condition: &Condition) -> bool {
        let allows = |name: &str| {
            let chunk = self.chunk_named(row_group, name);
            self.may_hold(name, condition.reads().into())
                && chunk.is_some_and(|chunk| chunk_allows(chunk, condition))
        };
        match place {
            Place::Own { column, .. } => allows(column),
            Place::Generic { owner, .. } => {
                let has_any =
                    self.chunk_named(row_group, &keys(*owner)).is_some_and(|chunk| !chunk.is_empty());
                let leaf = match condition.reads() {
                    Reads::Strings => "Value",
                    Reads::Ints => "ValueInt",
                    Reads::Floats => "ValueDouble",
                    Reads::Bools => "ValueBool",
                    Reads::Any | Reads::Absence => return has_any,
                };
                has_any && allows(&format!("{}.Attrs.{leaf}", owner.group()))
            }
        }
    }
}

impl Place {
    /// Whether, as far as dictionaries tell, the place has a value that satisfies the condition.
    fn is_possible(&self, condition: &Condition, dictionaries: &Fetched, absent: &Absent) -> Result<bool> {
        match self {
            Self::Generic { owner, name } => Ok(!absent.contains(&(*owner, name.clone()))),
            Self::Own { column, is_plain_text: true, empty_is_missing }
                if condition.reads() == Reads::Strings =>
            {
                text_matches(dictionaries, column, condition, *empty_is_missing)
            }
            Self::Own { .. } => Ok(true),
        }
    }

    /// The column of text among generic attributes.
    fn texts(&self) -> Option<String> {
        match self {
            Self::Generic { owner, .. } => Some(format!("{}.Attrs.Value", owner.group())),
            Self::Own { .. } => None,
        }
    }
}

fn keys(owner: Owner) -> String {
    format!("{}.Attrs.Key", owner.group())
}

fn kept(places: Vec<Place>, keep: impl Fn(&Place) -> Result<bool>) -> Result<Vec<Place>> {
    let mut left = Vec::with_capacity(places.len());
    for place in places {
        if keep(&place)? {
            left.push(place);
        }
    }
    Ok(left)
}

/// Whether a dictionary has a text that satisfies the condition; one that is not known may have.
fn text_matches(
    dictionaries: &Fetched,
    column: &str,
    condition: &Condition,
    empty_is_missing: bool,
) -> Result<bool> {
    let Some(known) = dictionaries.dictionary(column)? else { return Ok(true) };
    let mut entries = (0..known.entries() as u32).map(|id| known.entry(id));
    Ok(entries.any(|text| {
        !(empty_is_missing && text.is_empty()) && condition.matches_string(&String::from_utf8_lossy(text))
    }))
}

fn chunk_allows(chunk: &Chunk, condition: &Condition) -> bool {
    if chunk.is_empty() {
        return false;
    }
    match condition.reads() {
        Reads::Ints => chunk.int_bounds().is_none_or(|(least, most)| condition.may_match_ints(least, most)),
        Reads::Floats => {
            chunk.float_bounds().is_none_or(|(least, most)| condition.may_match_floats(least, most))
        }
        Reads::Strings | Reads::Bools | Reads::Any | Reads::Absence => true,
    }
}

impl Chunk {
    /// Least and greatest number of a column of integers.
    pub(crate) fn int_bounds(&self) -> Option<(i64, i64)> {
        let int = |bytes: &[u8]| match *bytes {
            [a, b, c, d] => Some(i64::from(i32::from_le_bytes([a, b, c, d]))),
            _ => bytes.try_into().ok().map(i64::from_le_bytes),
        };
        let (least, greatest) = self.bounds.as_ref()?;
        // Unsigned numbers above the greatest signed one are ordered otherwise.
        int(least).zip(int(greatest)).filter(|(least, greatest)| least <= greatest)
    }

    fn float_bounds(&self) -> Option<(f64, f64)> {
        let float = |bytes: &[u8]| bytes.try_into().ok().map(f64::from_le_bytes);
        let (least, greatest) = self.bounds.as_ref()?;
        float(least).zip(float(greatest)).filter(|(least, greatest)| least <= greatest)
    }
}
