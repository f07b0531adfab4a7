//! Every page of every column: it decodes, lies where the index says, and columns of one list have the same rows.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _, stream};
use tempoform_core::Account;

use super::{COLUMNS_AT_ONCE, Check, PageCheck, walk_column};
use crate::error::Result;
use crate::paths;
use crate::reader::{
    BlockReader, Leaf, MAX_LEVELS, Malformed, PageLocation, WalkedPage, count_rows, offset_index,
};

/// The list of spans in a trace, in every format.
const SPANS: &str = "rs.ss.Spans";

impl Check<'_> {
    pub(super) async fn columns(&mut self, reader: &BlockReader) -> Result<()> {
        for row_group in 0..reader.row_groups() {
            self.row_group(reader, row_group).await?;
        }
        Ok(())
    }

    async fn row_group(&mut self, reader: &BlockReader, row_group: usize) -> Result<()> {
        let account = self.account;
        let count = reader.file().footer.leaves.len();
        let mut walked = stream::iter(0..count)
            // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
            .map(|column| column_pages(reader, row_group, column, account).boxed())
            .buffered(COLUMNS_AT_ONCE);
        let mut lists: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let mut column = 0;
        while let Some(outcome) = walked.next().await {
            let (leaf, name) = (reader.leaf(column), reader.name(column));
            column += 1;
            let Some((pages, rows)) = self.note(outcome)? else { continue };
            self.found.pages += pages.pages;
            self.found.pages_with_checksum += pages.with_checksum;
            let object = format!("{}, {name}", paths::DATA);
            if rows != reader.traces_in(row_group) {
                let expected = reader.traces_in(row_group);
                self.finding(
                    &object,
                    format!("has {rows} rows in row group {row_group}, which has {expected}"),
                );
            }
            for (list, count) in lists_of(leaf).into_iter().zip(&pages.counts[1..]) {
                let (expected, other) = lists.entry(list.clone()).or_insert((*count, name.clone()));
                if expected != count {
                    let what = format!(
                        "has {count} elements of {list} in row group {row_group}, and {other} has {expected}"
                    );
                    self.finding(&object, what);
                }
            }
        }
        self.found.spans += lists.get(SPANS).map_or(0, |(count, _)| *count);
        Ok(())
    }
}

async fn column_pages(
    reader: &BlockReader,
    row_group: usize,
    column: usize,
    account: &Account,
) -> Result<(ColumnPages, u64)> {
    let index = reader.chunk(row_group, column).offset_index.clone();
    let index = match index {
        None => None,
        Some(range) => {
            let bytes = reader.read_page_index(&[range], account).await?.pop().unwrap_or_default();
            Some(offset_index(&bytes).map_err(|error| reader.damaged(&reader.name(column), error))?)
        }
    };
    let check = ColumnPages {
        reader: reader.clone(),
        column,
        index,
        counts: [0; MAX_LEVELS],
        pages: 0,
        with_checksum: 0,
    };
    let (check, rows) = walk_column(reader, row_group, column, check, account).await?;
    if check.index.as_ref().is_some_and(|index| index.len() as u64 != check.pages) {
        let wrong = Malformed::new("has other pages than its offset index");
        return Err(reader.damaged(&reader.name(column), wrong));
    }
    Ok((check, rows))
}

/// The pages of a column so far.
struct ColumnPages {
    reader: BlockReader,
    column: usize,
    index: Option<Vec<PageLocation>>,
    /// Rows at each level.
    counts: [u64; MAX_LEVELS],
    pages: u64,
    with_checksum: u64,
}

impl PageCheck for ColumnPages {
    fn page(&mut self, page: &WalkedPage<'_>) -> Result<(), Malformed> {
        let WalkedPage { offset, length, first_row, column, has_checksum } = *page;
        count_rows(self.reader.leaf(self.column), column, &mut self.counts)?;
        if let Some(index) = &self.index {
            let place = PageLocation { offset, length, first_row };
            if index.get(self.pages as usize) != Some(&place) {
                return Err(Malformed::new("has a page elsewhere than its offset index says"));
            }
        }
        self.pages += 1;
        self.with_checksum += u64::from(has_checksum);
        Ok(())
    }
}

/// The lists that a column lies in, outermost first, named without the wrappers that some formats have.
fn lists_of(leaf: &Leaf) -> Vec<String> {
    let is_wrapper = |part: &&str| ["list", "element", "key_value"].contains(part);
    let name = |end: &usize| leaf.path[..*end].iter().map(String::as_str).filter(|part| !is_wrapper(part));
    leaf.lists.iter().map(|end| name(end).collect::<Vec<_>>().join(".")).collect()
}
