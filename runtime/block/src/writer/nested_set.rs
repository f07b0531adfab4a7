//! Nested set numbers: a span's place in the tree of its trace, for structural queries.

/// A span as the tree sees it.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The span id.
    pub id: u64,
    /// The parent's id; `None` for a root.
    pub parent: Option<u64>,
    /// OTLP's span kind.
    pub kind: i64,
}

/// Numbers of one span; all 0 when not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// On entering the span, depth first, from 1.
    pub left: i32,
    /// On leaving it, from the same counter.
    pub right: i32,
    /// The parent's `left`; -1 for a root.
    pub parent: i32,
}

/// The numbers of one trace's spans, in their order.
pub fn numbers(spans: &[Node]) -> Vec<Numbers> {
    NestedSet::default().number(spans).to_vec()
}

/// Numbers the spans of a trace, and keeps the memory for the next.
#[derive(Clone, Debug, Default)]
pub(super) struct NestedSet {
    by_id: Vec<(u64, u32)>,
    links: Vec<Links>,
    numbers: Vec<Numbers>,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    parent: u32,
    first_child: u32,
    next_sibling: u32,
}

const NONE: u32 = u32::MAX;
const NO_LINKS: Links = Links { parent: NONE, first_child: NONE, next_sibling: NONE };

const SERVER: i64 = 2;
const CLIENT: i64 = 3;

impl NestedSet {
    /// The numbers of `spans`, in their order, which is that of the block's row.
    ///
    /// Two spans may share an id, as Zipkin's client and server do. Three make the whole trace unknown, and
    /// so does the lack of a root.
    pub(super) fn number(&mut self, spans: &[Node]) -> &[Numbers] {
        self.numbers.clear();
        self.numbers.resize(spans.len(), Numbers::default());
        self.by_id.clear();
        self.by_id.extend(spans.iter().zip(0..).map(|(span, row)| (span.id, row)));
        self.by_id.sort_unstable();
        let tripled = self.by_id.windows(3).any(|spans| spans[0].0 == spans[2].0);
        if !tripled && spans.iter().any(|span| span.parent.is_none()) {
            self.link(spans);
            self.walk(spans);
        }
        &self.numbers
    }

    fn link(&mut self, spans: &[Node]) {
        self.links.clear();
        self.links.resize(spans.len(), NO_LINKS);
        // From the last, so that each becomes the first child of its parent in turn.
        for (row, span) in spans.iter().enumerate().rev() {
            let Some(parent) = self.parent_of(span, spans) else { continue };
            self.links[row].parent = parent;
            self.links[row].next_sibling = self.links[parent as usize].first_child;
            self.links[parent as usize].first_child = row as u32;
        }
    }

    fn parent_of(&self, span: &Node, spans: &[Node]) -> Option<u32> {
        let id = span.parent?;
        let start = self.by_id.partition_point(|(other, _)| *other < id);
        let mut candidates =
            self.by_id[start..].iter().take_while(|(other, _)| *other == id).map(|(_, row)| *row);
        let first = candidates.next()?;
        let Some(second) = candidates.next() else { return Some(first) };
        let wanted = if span.kind == SERVER { CLIENT } else { SERVER };
        [first, second].into_iter().find(|row| spans[*row as usize].kind == wanted)
    }

    fn walk(&mut self, spans: &[Node]) {
        let Self { links, numbers, .. } = self;
        let mut counter = 0;
        let mut next = || {
            counter += 1;
            counter
        };
        for (root, _) in spans.iter().enumerate().filter(|(_, span)| span.parent.is_none()) {
            numbers[root] = Numbers { left: next(), right: 0, parent: -1 };
            let mut at = root;
            loop {
                let child = links[at].first_child;
                if child != NONE {
                    links[at].first_child = links[child as usize].next_sibling;
                    numbers[child as usize] = Numbers { left: next(), right: 0, parent: numbers[at].left };
                    at = child as usize;
                    continue;
                }
                numbers[at].right = next();
                if at == root {
                    break;
                }
                at = links[at].parent as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERNAL: i64 = 1;

    fn numbers(spans: &[(u64, u64, i64)]) -> Vec<(i32, i32, i32)> {
        let nodes: Vec<Node> = spans
            .iter()
            .map(|(id, parent, kind)| Node {
                id: *id,
                parent: (*parent != 0).then_some(*parent),
                kind: *kind,
            })
            .collect();
        let mut set = NestedSet::default();
        set.number(&[Node { id: 1, parent: None, kind: 0 }]);
        set.number(&nodes).iter().map(|n| (n.left, n.right, n.parent)).collect()
    }

    #[test]
    fn children_are_numbered_in_row_order_within_their_parent() {
        // 1 -> (2 -> 4, 3), with the rows mixed up.
        let spans = [(4, 2, INTERNAL), (2, 1, INTERNAL), (1, 0, INTERNAL), (3, 1, INTERNAL)];
        assert_eq!(numbers(&spans), [(3, 4, 2), (2, 5, 1), (1, 8, -1), (6, 7, 1)]);
    }

    #[test]
    fn roots_share_one_counter_and_orphans_are_unknown() {
        let spans =
            [(1, 0, INTERNAL), (2, 0, INTERNAL), (3, 99, INTERNAL), (4, 3, INTERNAL), (5, 2, INTERNAL)];
        assert_eq!(numbers(&spans), [(1, 2, -1), (3, 6, -1), (0, 0, 0), (0, 0, 0), (4, 5, 3)]);
    }

    #[test]
    fn without_a_root_nothing_is_known() {
        assert_eq!(numbers(&[(1, 9, INTERNAL), (2, 1, INTERNAL)]), [(0, 0, 0); 2]);
        assert_eq!(numbers(&[]), []);
    }

    #[test]
    fn a_shared_id_is_told_apart_by_kind() {
        // Client 2 and server 2; 3 is a child of the server side, the server's parent is the client side.
        let spans = [(1, 0, SERVER), (2, 1, CLIENT), (2, 2, SERVER), (3, 2, INTERNAL)];
        assert_eq!(numbers(&spans), [(1, 8, -1), (2, 7, 1), (3, 6, 2), (4, 5, 3)]);
    }

    #[test]
    fn a_shared_id_of_other_kinds_is_no_parent() {
        let spans = [(1, 0, SERVER), (2, 1, INTERNAL), (2, 1, CLIENT), (3, 2, INTERNAL)];
        assert_eq!(numbers(&spans), [(1, 6, -1), (2, 3, 1), (4, 5, 1), (0, 0, 0)]);
    }

    #[test]
    fn an_id_that_three_share_makes_all_unknown() {
        let spans = [(1, 0, SERVER), (2, 1, CLIENT), (2, 1, SERVER), (2, 1, INTERNAL)];
        assert_eq!(numbers(&spans), [(0, 0, 0); 4]);
    }

    #[test]
    fn a_cycle_is_never_entered() {
        let spans = [(1, 0, INTERNAL), (2, 3, INTERNAL), (3, 2, INTERNAL), (4, 4, INTERNAL)];
        assert_eq!(numbers(&spans), [(1, 2, -1), (0, 0, 0), (0, 0, 0), (0, 0, 0)]);
    }

    #[test]
    fn a_very_deep_trace_needs_no_deep_stack() {
        let spans: Vec<_> = (1..=200_000).map(|i| (i, i - 1, INTERNAL)).collect();
        let numbers = numbers(&spans);
        assert_eq!(numbers[0], (1, 400_000, -1));
        assert_eq!(numbers[199_999], (200_000, 200_001, 199_999));
    }
}
