//! Structural operators: relations between spans of one trace by their tree numbers.

use std::collections::{HashMap, HashSet};

use crate::ast::{Relation, Structural, StructuralMode};
use crate::batch::TreeNumbers;

/// The spans that `lhs op rhs` returns, ascending. Both sides are span rows of one trace, ascending.
pub(crate) fn related(op: Structural, tree: &[TreeNumbers], lhs: &[u32], rhs: &[u32]) -> Vec<u32> {
    match op.mode {
        StructuralMode::Right => with_relation(op.relation, tree, lhs, rhs, true),
        StructuralMode::NotRight => with_relation(op.relation, tree, lhs, rhs, false),
        StructuralMode::Both => {
            let right = with_relation(op.relation, tree, lhs, rhs, true);
            let left = with_relation(op.relation.inverse(), tree, rhs, lhs, true);
            union(&left, &right)
        }
    }
}

/// Both, ascending and without doubles.
pub(crate) fn union(one: &[u32], two: &[u32]) -> Vec<u32> {
    let mut all = [one, two].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// Those of `rhs` that are (or are not) `relation` of some span of `lhs`.
fn with_relation(
    relation: Relation,
    tree: &[TreeNumbers],
    lhs: &[u32],
    rhs: &[u32],
    wanted: bool,
) -> Vec<u32> {
    let relatives = Relatives::new(relation, tree, lhs);
    rhs.iter().copied().filter(|span| relatives.include(*span, tree) == wanted).collect()
}

/// What a span is looked up in. Spans that are not connected to a root (numbers 0) have no relations.
enum Relatives<'a> {
    /// `left` of the possible parents.
    Children(HashSet<i64>),
    /// `parent` of the possible children.
    Parents(HashSet<i64>),
    /// (`left`, highest `right` up to here) of the possible ancestors, by `left`.
    Descendants(Vec<(i64, i64)>),
    /// `left` of the possible descendants, ascending.
    Ancestors(Vec<i64>),
    /// Number of possible siblings by `parent`, and these themselves, ascending.
    Siblings(HashMap<i64, u32>, &'a [u32]),
}

impl<'a> Relatives<'a> {
    fn new(relation: Relation, tree: &[TreeNumbers], spans: &'a [u32]) -> Self {
        let connected = || spans.iter().map(|span| numbers(tree, *span)).filter(|one| one.left > 0);
        match relation {
            Relation::Child => Self::Children(connected().map(|one| one.left).collect()),
            Relation::Parent => Self::Parents(connected().map(|one| one.parent).collect()),
            Relation::Descendant => {
                let mut intervals: Vec<_> = connected().map(|one| (one.left, one.right)).collect();
                intervals.sort_unstable();
                let mut highest = i64::MIN;
                for (_, right) in &mut intervals {
                    highest = highest.max(*right);
                    *right = highest;
                }
                Self::Descendants(intervals)
            }
            Relation::Ancestor => {
                let mut lefts: Vec<_> = connected().map(|one| one.left).collect();
                lefts.sort_unstable();
                Self::Ancestors(lefts)
            }
            Relation::Sibling => {
                let mut counts = HashMap::new();
                connected().for_each(|one| *counts.entry(one.parent).or_default() += 1);
                Self::Siblings(counts, spans)
            }
        }
    }

    fn include(&self, span: u32, tree: &[TreeNumbers]) -> bool {
        let span_numbers = numbers(tree, span);
        let TreeNumbers { left, right, parent } = span_numbers;
        if left <= 0 {
            return false;
        }
        match self {
            Self::Children(lefts) => lefts.contains(&parent),
            Self::Parents(parents) => parents.contains(&left),
            Self::Descendants(intervals) => {
                // Intervals nest or are apart: one that starts before and ends after encloses.
                let before = intervals.partition_point(|(other, _)| *other < left);
                before > 0 && intervals[before - 1].1 > right
            }
            Self::Ancestors(lefts) => {
                let next = lefts.partition_point(|other| *other <= left);
                lefts.get(next).is_some_and(|other| *other < right)
            }
            Self::Siblings(counts, spans) => {
                let itself = u32::from(spans.binary_search(&span).is_ok());
                counts.get(&parent).is_some_and(|count| *count > itself)
            }
        }
    }
}

fn numbers(tree: &[TreeNumbers], span: u32) -> TreeNumbers {
    tree.get(span as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Parent of each span by row, below it; `None` is a root, `Some(None)` an orphan.
    type Parents = Vec<Option<Option<usize>>>;

    fn parents() -> impl Strategy<Value = Parents> {
        prop::collection::vec((0_u8..10, any::<prop::sample::Index>()), 1..14).prop_map(|choices| {
            choices
                .into_iter()
                .enumerate()
                .map(|(row, (choice, index))| match choice {
                    0 => None,
                    1 => Some(None),
                    _ if row == 0 => None,
                    _ => Some(Some(index.index(row))),
                })
                .collect()
        })
    }

    fn is_connected(parents: &Parents, span: usize) -> bool {
        match parents[span] {
            None => true,
            Some(None) => false,
            Some(Some(parent)) => is_connected(parents, parent),
        }
    }

    fn is_ancestor(parents: &Parents, ancestor: usize, span: usize) -> bool {
        match parents[span] {
            Some(Some(parent)) => parent == ancestor || is_ancestor(parents, ancestor, parent),
            _ => false,
        }
    }

    fn number(parents: &Parents) -> Vec<TreeNumbers> {
        fn walk(parents: &Parents, span: usize, parent: i64, next: &mut i64, tree: &mut [TreeNumbers]) {
            *next += 1;
            let left = *next;
            for child in (0..parents.len()).filter(|child| parents[*child] == Some(Some(span))) {
                walk(parents, child, left, next, tree);
            }
            *next += 1;
            tree[span] = TreeNumbers { left, right: *next, parent };
        }
        let mut tree = vec![TreeNumbers::default(); parents.len()];
        let mut next = 0;
        for root in (0..parents.len()).filter(|span| parents[*span].is_none()) {
            walk(parents, root, -1, &mut next, &mut tree);
        }
        tree
    }

    /// Whether `span` is `relation` of `other`, from the definition.
    fn holds(parents: &Parents, relation: Relation, span: usize, other: usize) -> bool {
        let parent = |span: usize| parents[span].flatten();
        is_connected(parents, span)
            && is_connected(parents, other)
            && match relation {
                Relation::Child => parent(span) == Some(other),
                Relation::Parent => parent(other) == Some(span),
                Relation::Descendant => is_ancestor(parents, other, span),
                Relation::Ancestor => is_ancestor(parents, span, other),
                Relation::Sibling => span != other && parents[span] == parents[other],
            }
    }

    proptest! {
        #[test]
        fn operators_say_what_the_tree_says(
            parents in parents(),
            lhs in prop::collection::vec(any::<bool>(), 14),
            rhs in prop::collection::vec(any::<bool>(), 14),
        ) {
            let tree = number(&parents);
            let side = |flags: &[bool]| -> Vec<u32> {
                (0..parents.len()).filter(|span| flags[*span]).map(|span| span as u32).collect()
            };
            let (lhs, rhs) = (side(&lhs), side(&rhs));
            for (symbol, op) in Structural::ALL {
                let has = |relation, span: u32, others: &[u32]| {
                    others.iter().any(|other| holds(&parents, relation, span as usize, *other as usize))
                };
                let expected: Vec<u32> = (0..parents.len() as u32)
                    .filter(|span| {
                        let right = rhs.contains(span) && has(op.relation, *span, &lhs);
                        match op.mode {
                            StructuralMode::Right => right,
                            StructuralMode::NotRight => rhs.contains(span) && !right,
                            StructuralMode::Both => {
                                right || lhs.contains(span) && has(op.relation.inverse(), *span, &rhs)
                            }
                        }
                    })
                    .collect();
                prop_assert_eq!(related(op, &tree, &lhs, &rhs), expected, "{}", symbol);
            }
        }
    }
}
