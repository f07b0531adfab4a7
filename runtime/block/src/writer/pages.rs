//! Turns buffered columns into one page each.

use super::WriteError;
use super::attributes::{AttributeBuffers, AttributeColumns, code};
use super::chunk::{Chunk, Compressor, Levels};
use super::columns::{ByteColumn, DictColumn, SlotColumn};
use super::dictionary::Dictionary;
use super::encode::{put_bools, put_deltas_32, put_deltas_64, put_levels, put_numbers};
use super::resources::{ResourceColumns, ScopeColumns};
use super::rows::TraceColumns;
use super::shred::{EventColumns, LinkColumns, SpanColumns};
use crate::schema::v4::{at, attribute};
use crate::schema::{LeafEncoding, LeafType};

/// Writes pages of the same rows to all chunks.
pub(super) struct PageEncoder<'a> {
    pub(super) chunks: &'a mut [Chunk],
    pub(super) compressor: &'a mut Compressor,
    pub(super) rows: usize,
    pub(super) scratch: &'a mut Scratch,
}

/// Memory that is used again for each page.
#[derive(Default)]
pub(super) struct Scratch {
    values: Vec<u8>,
    levels: Vec<u8>,
    seen: Vec<u64>,
}

/// Levels that several leaves share, encoded.
#[derive(Default)]
struct SharedLevels {
    entries: usize,
    nulls: usize,
    rep: Vec<u8>,
    def: Vec<u8>,
}

impl SharedLevels {
    /// Levels of required leaves of something that is always there.
    fn of_present(reps: &[u8], level: u8) -> Self {
        let mut shared = Self { entries: reps.len(), ..Self::default() };
        put_levels(&mut shared.rep, reps, level);
        let run = [level; 8];
        // All definition levels are the same: one run.
        if reps.len() < run.len() {
            put_levels(&mut shared.def, &run[..reps.len()], level);
        } else {
            tempoform_core::protobuf::put_varint(&mut shared.def, (reps.len() as u64) << 1);
            shared.def.push(level);
        }
        shared
    }

    /// Levels of required leaves of something that may lack.
    fn of_parts(reps: &[u8], defs: &[u8], level: u8) -> Self {
        let nulls = defs.iter().filter(|def| **def < level).count();
        let mut shared = Self { entries: reps.len(), nulls, ..Self::default() };
        put_levels(&mut shared.rep, reps, level);
        put_levels(&mut shared.def, defs, level);
        shared
    }

    fn levels(&self) -> Levels<'_> {
        Levels { entries: self.entries, nulls: self.nulls, rep: &self.rep, def: &self.def }
    }
}

type Written = Result<(), WriteError>;

impl PageEncoder<'_> {
    pub(super) fn traces(&mut self, columns: &TraceColumns) -> Written {
        let levels = Levels { entries: self.rows, ..Levels::default() };
        self.bytes(at::TRACE_ID, levels, &columns.id)?;
        self.bytes(at::TRACE_ID_TEXT, levels, &columns.id_text)?;
        self.ints_64(at::START_TIME, levels, &columns.start)?;
        self.ints_64(at::END_TIME, levels, &columns.end)?;
        self.ints_64(at::DURATION, levels, &columns.duration)?;
        self.texts(at::ROOT_SERVICE_NAME, levels, &columns.root_service)?;
        self.texts(at::ROOT_SPAN_NAME, levels, &columns.root_name)?;
        let stats = SharedLevels::of_present(&columns.stats_reps, 1);
        self.bytes(at::STATS_SERVICE, stats.levels(), &columns.stats_service)?;
        self.ints_32(at::STATS_SPANS, stats.levels(), &columns.stats_spans)?;
        self.ints_32(at::STATS_ERRORS, stats.levels(), &columns.stats_errors)
    }

    pub(super) fn resources(&mut self, columns: &ResourceColumns) -> Written {
        let shared = SharedLevels::of_present(&columns.reps, 1);
        let levels = shared.levels();
        self.attributes(at::RESOURCE_ATTRIBUTES, &columns.attributes)?;
        self.ints_32(at::RESOURCE_DROPPED_ATTRIBUTES, levels, &columns.dropped_attributes)?;
        self.texts(at::SERVICE_NAME, levels, &columns.service)?;
        for (slot, leaf) in columns.slots.iter().zip(at::RESOURCE_PROMOTED..) {
            self.slot(leaf, levels, slot)?;
        }
        Ok(())
    }

    pub(super) fn scopes(&mut self, columns: &ScopeColumns) -> Written {
        let shared = SharedLevels::of_present(&columns.reps, 2);
        let levels = shared.levels();
        self.texts(at::SCOPE_NAME, levels, &columns.name)?;
        self.texts(at::SCOPE_VERSION, levels, &columns.version)?;
        self.attributes(at::SCOPE_ATTRIBUTES, &columns.attributes)?;
        self.ints_32(at::SCOPE_DROPPED_ATTRIBUTES, levels, &columns.dropped_attributes)
    }

    pub(super) fn spans(&mut self, columns: &SpanColumns) -> Written {
        let shared = SharedLevels::of_present(&columns.reps, 3);
        let levels = shared.levels();
        self.bytes(at::SPAN_ID, levels, &columns.id)?;
        self.bytes(at::PARENT_SPAN_ID, levels, &columns.parent_id)?;
        self.ints_32(at::PARENT_ID, levels, &columns.parent)?;
        self.ints_32(at::NESTED_SET_LEFT, levels, &columns.left)?;
        self.ints_32(at::NESTED_SET_RIGHT, levels, &columns.right)?;
        self.texts(at::SPAN_NAME, levels, &columns.name)?;
        self.ints_64(at::KIND, levels, &columns.kind)?;
        self.bytes(at::TRACE_STATE, levels, &columns.trace_state)?;
        self.ints_64(at::SPAN_START_TIME, levels, &columns.start)?;
        self.ints_64(at::SPAN_DURATION, levels, &columns.duration)?;
        self.ints_64(at::STATUS_CODE, levels, &columns.status_code)?;
        self.bytes(at::STATUS_MESSAGE, levels, &columns.status_message)?;
        self.attributes(at::SPAN_ATTRIBUTES, &columns.attributes)?;
        self.ints_32(at::SPAN_DROPPED_ATTRIBUTES, levels, &columns.dropped_attributes)?;
        self.events(&columns.events)?;
        self.ints_32(at::DROPPED_EVENTS, levels, &columns.dropped_events)?;
        self.links(&columns.links)?;
        self.ints_32(at::DROPPED_LINKS, levels, &columns.dropped_links)?;
        let (promoted, dedicated) = columns.slots.split_at(at::HTTP_STATUS_CODE - at::HTTP_METHOD);
        for (slot, leaf) in promoted.iter().zip(at::HTTP_METHOD..) {
            self.slot(leaf, levels, slot)?;
        }
        self.http_status(levels, &columns.http_status)?;
        for (slot, leaf) in dedicated.iter().zip(at::SPAN_DEDICATED..) {
            self.slot(leaf, levels, slot)?;
        }
        Ok(())
    }

    fn events(&mut self, columns: &EventColumns) -> Written {
        let shared = SharedLevels::of_parts(&columns.reps, &columns.defs, 4);
        let levels = shared.levels();
        self.ints_64(at::EVENT_TIME, levels, &columns.time)?;
        self.texts(at::EVENT_NAME, levels, &columns.name)?;
        self.attributes(at::EVENT_ATTRIBUTES, &columns.attributes)?;
        self.ints_32(at::EVENT_DROPPED_ATTRIBUTES, levels, &columns.dropped_attributes)
    }

    fn links(&mut self, columns: &LinkColumns) -> Written {
        let shared = SharedLevels::of_parts(&columns.reps, &columns.defs, 4);
        let levels = shared.levels();
        self.bytes(at::LINK_TRACE_ID, levels, &columns.trace_id)?;
        self.bytes(at::LINK_SPAN_ID, levels, &columns.span_id)?;
        self.bytes(at::LINK_TRACE_STATE, levels, &columns.trace_state)?;
        self.attributes(at::LINK_ATTRIBUTES, &columns.attributes)?;
        self.ints_32(at::LINK_DROPPED_ATTRIBUTES, levels, &columns.dropped_attributes)
    }

    /// The seven leaves of generic attributes from `first` on.
    fn attributes(&mut self, first: usize, columns: &AttributeColumns) -> Written {
        let AttributeColumns { buffers, level, keys, values, .. } = columns;
        let level = *level;
        let mut shared = SharedLevels { entries: buffers.codes.len(), ..SharedLevels::default() };
        shared.nulls = buffers.codes.len() - buffers.keys.len();
        put_levels(&mut shared.rep, &buffers.reps, level);
        self.level_scratch(buffers, level, None);
        put_levels(&mut shared.def, &self.scratch.levels, level);
        self.numbers(first + attribute::KEY, shared.levels(), &buffers.keys, keys)?;
        self.bools(first + attribute::IS_ARRAY, shared.levels(), &buffers.is_array)?;

        // What no attribute of the page has shares the levels of "nothing here", in the width of one more level.
        let mut absent =
            SharedLevels { nulls: shared.entries, entries: shared.entries, ..SharedLevels::default() };
        put_levels(&mut absent.rep, &buffers.reps, level + 1);
        put_levels(&mut absent.def, &self.scratch.levels, level + 1);

        let of = |this: &mut Self, code, values: usize| {
            (values > 0).then(|| this.element_levels(buffers, level, code, values))
        };
        let texts = of(self, code::TEXT, buffers.texts.len());
        let levels = texts.as_ref().unwrap_or(&absent).levels();
        self.numbers(first + attribute::VALUE, levels, &buffers.texts, values)?;
        let ints = of(self, code::INT, buffers.ints.len());
        let levels = ints.as_ref().unwrap_or(&absent).levels();
        self.ints_64(first + attribute::VALUE_INT, levels, &buffers.ints)?;
        let doubles = of(self, code::DOUBLE, buffers.doubles.len());
        let levels = doubles.as_ref().unwrap_or(&absent).levels();
        self.doubles(first + attribute::VALUE_DOUBLE, levels, &buffers.doubles)?;
        let bools = of(self, code::BOOL, buffers.bools.len());
        let levels = bools.as_ref().unwrap_or(&absent).levels();
        self.bools(first + attribute::VALUE_BOOL, levels, &buffers.bools)?;

        // Not a list: its repetition levels are those of the attribute.
        let mut unsupported = SharedLevels {
            entries: shared.entries,
            nulls: shared.entries - buffers.unsupported.lengths.len(),
            rep: shared.rep,
            def: absent.def,
        };
        if unsupported.nulls < unsupported.entries {
            self.level_scratch(buffers, level, Some(code::UNSUPPORTED));
            unsupported.def.clear();
            put_levels(&mut unsupported.def, &self.scratch.levels, level + 1);
        }
        self.bytes(first + attribute::VALUE_UNSUPPORTED, unsupported.levels(), &buffers.unsupported)
    }

    /// Definition levels of a leaf that has a value where the code is `code`, one an entry.
    fn level_scratch(&mut self, buffers: &AttributeBuffers, level: u8, code: Option<u8>) {
        let code = code.unwrap_or(u8::MAX);
        self.scratch.levels.clear();
        self.scratch.levels.extend(buffers.codes.iter().map(|c| (*c).min(level) + u8::from(*c == code)));
    }

    /// Levels of a list leaf whose `values` elements are where the code is `code`.
    fn element_levels(
        &mut self,
        buffers: &AttributeBuffers,
        level: u8,
        code: u8,
        values: usize,
    ) -> SharedLevels {
        self.level_scratch(buffers, level, Some(code));
        let long = || buffers.long_arrays.iter().filter(|(at, _)| buffers.codes[*at as usize] == code);
        let defs = &mut self.scratch.levels;
        let mut more_reps = Vec::new();
        let has_long = long().next().is_some();
        if has_long {
            (more_reps, *defs) = with_more_elements(&buffers.reps, defs, long(), level + 1);
        }
        let reps = if has_long { &more_reps } else { &buffers.reps };
        let mut shared = SharedLevels { entries: defs.len(), ..SharedLevels::default() };
        shared.nulls = shared.entries - values;
        put_levels(&mut shared.rep, reps, level + 1);
        put_levels(&mut shared.def, defs, level + 1);
        shared
    }

    fn texts(&mut self, leaf: usize, levels: Levels<'_>, column: &DictColumn) -> Written {
        self.numbers(leaf, levels, &column.numbers, &column.dictionary)
    }

    pub(super) fn numbers(
        &mut self,
        leaf: usize,
        levels: Levels<'_>,
        numbers: &[u32],
        dictionary: &Dictionary,
    ) -> Written {
        let Scratch { values, seen, .. } = &mut *self.scratch;
        values.clear();
        put_numbers(values, numbers, dictionary.len());
        let bounds = text_bounds(numbers, dictionary, seen);
        self.chunks[leaf].add_page(self.rows, levels, values, bounds, self.compressor)
    }

    /// An optional text of something whose own levels are `levels`.
    fn slot(&mut self, leaf: usize, levels: Levels<'_>, column: &SlotColumn) -> Written {
        let numbers: Vec<u32> = column.entries.iter().map(|(_, number)| *number).collect();
        let def = self.optional_levels(leaf, levels.entries, column.entries.iter().map(|(at, _)| *at));
        let levels = Levels { nulls: levels.entries - numbers.len(), def: &def, ..levels };
        self.numbers(leaf, levels, &numbers, &column.dictionary)
    }

    fn http_status(&mut self, levels: Levels<'_>, entries: &[(u32, i64)]) -> Written {
        let codes: Vec<i64> = entries.iter().map(|(_, code)| *code).collect();
        let leaf = at::HTTP_STATUS_CODE;
        let def = self.optional_levels(leaf, levels.entries, entries.iter().map(|(at, _)| *at));
        let levels = Levels { nulls: levels.entries - codes.len(), def: &def, ..levels };
        self.ints_64(leaf, levels, &codes)
    }

    /// Definition levels of an optional leaf that is there `at` some of `entries`.
    fn optional_levels(&mut self, leaf: usize, entries: usize, at: impl Iterator<Item = u32>) -> Vec<u8> {
        let max = self.chunks[leaf].leaf().max_def;
        let levels = &mut self.scratch.levels;
        levels.clear();
        levels.resize(entries, max - 1);
        for at in at {
            levels[at as usize] = max;
        }
        let mut encoded = Vec::new();
        put_levels(&mut encoded, levels, max);
        encoded
    }

    pub(super) fn bytes(&mut self, leaf: usize, levels: Levels<'_>, column: &ByteColumn) -> Written {
        let values = &mut self.scratch.values;
        values.clear();
        put_deltas_32(values, &column.lengths);
        values.extend_from_slice(&column.bytes);
        let bounds = column.values().min().zip(column.values().max());
        self.chunks[leaf].add_page(self.rows, levels, values, bounds, self.compressor)
    }

    pub(super) fn ints_64(&mut self, leaf: usize, levels: Levels<'_>, ints: &[i64]) -> Written {
        let chunk = &mut self.chunks[leaf];
        let values = &mut self.scratch.values;
        values.clear();
        if chunk.leaf().encoding == LeafEncoding::Delta {
            put_deltas_64(values, ints);
        } else {
            ints.iter().for_each(|int| values.extend_from_slice(&int.to_le_bytes()));
        }
        let unsigned = chunk.leaf().leaf_type == LeafType::UInt64;
        let key = |int: i64| if unsigned { int ^ i64::MIN } else { int };
        let bounds =
            ints.iter().copied().min_by_key(|i| key(*i)).zip(ints.iter().copied().max_by_key(|i| key(*i)));
        let bounds = bounds.map(|(min, max)| (min.to_le_bytes(), max.to_le_bytes()));
        let bounds = bounds.as_ref().map(|(min, max)| (min.as_slice(), max.as_slice()));
        chunk.add_page(self.rows, levels, values, bounds, self.compressor)
    }

    pub(super) fn ints_32(&mut self, leaf: usize, levels: Levels<'_>, ints: &[i32]) -> Written {
        let chunk = &mut self.chunks[leaf];
        let values = &mut self.scratch.values;
        values.clear();
        if chunk.leaf().encoding == LeafEncoding::Delta {
            put_deltas_32(values, ints);
        } else {
            ints.iter().for_each(|int| values.extend_from_slice(&int.to_le_bytes()));
        }
        let unsigned = chunk.leaf().leaf_type == LeafType::UInt32;
        let key = |int: i32| if unsigned { int ^ i32::MIN } else { int };
        let bounds =
            ints.iter().copied().min_by_key(|i| key(*i)).zip(ints.iter().copied().max_by_key(|i| key(*i)));
        let bounds = bounds.map(|(min, max)| (min.to_le_bytes(), max.to_le_bytes()));
        let bounds = bounds.as_ref().map(|(min, max)| (min.as_slice(), max.as_slice()));
        chunk.add_page(self.rows, levels, values, bounds, self.compressor)
    }

    pub(super) fn doubles(&mut self, leaf: usize, levels: Levels<'_>, doubles: &[f64]) -> Written {
        let values = &mut self.scratch.values;
        values.clear();
        doubles.iter().for_each(|double| values.extend_from_slice(&double.to_le_bytes()));
        self.chunks[leaf].add_page(self.rows, levels, values, None, self.compressor)
    }

    pub(super) fn bools(&mut self, leaf: usize, levels: Levels<'_>, bools: &[bool]) -> Written {
        let values = &mut self.scratch.values;
        values.clear();
        put_bools(values, bools);
        self.chunks[leaf].add_page(self.rows, levels, values, None, self.compressor)
    }
}

/// Levels with an entry for each element of the arrays in `long`, which have one for the first.
fn with_more_elements<'l>(
    reps: &[u8],
    defs: &[u8],
    long: impl Iterator<Item = &'l (u32, u32)>,
    level: u8,
) -> (Vec<u8>, Vec<u8>) {
    let (mut more_reps, mut more_defs) = (Vec::new(), Vec::new());
    let mut done = 0;
    for (at, more) in long {
        let end = *at as usize + 1;
        more_reps.extend_from_slice(&reps[done..end]);
        more_defs.extend_from_slice(&defs[done..end]);
        more_reps.resize(more_reps.len() + *more as usize, level);
        more_defs.resize(more_defs.len() + *more as usize, level);
        done = end;
    }
    more_reps.extend_from_slice(&reps[done..]);
    more_defs.extend_from_slice(&defs[done..]);
    (more_reps, more_defs)
}

/// Least and greatest of the values that `numbers` stand for.
fn text_bounds<'d>(
    numbers: &[u32],
    dictionary: &'d Dictionary,
    seen: &mut Vec<u64>,
) -> Option<(&'d [u8], &'d [u8])> {
    let first = dictionary.get(*numbers.first()?);
    let (mut min, mut max) = (first, first);
    seen.clear();
    seen.resize(dictionary.len().div_ceil(64), 0);
    for number in numbers {
        let word = &mut seen[*number as usize / 64];
        let bit = 1 << (number % 64);
        if *word & bit == 0 {
            *word |= bit;
            let value = dictionary.get(*number);
            min = min.min(value);
            max = max.max(value);
        }
    }
    Some((min, max))
}
