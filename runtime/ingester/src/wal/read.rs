//! Spans back out of a segment file, still encoded.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tempoform_core::protobuf::{bytes_field_len, put_bytes, put_bytes_header};

use super::index::{Place, Run, ScopePlace};

/// Reads parts of a segment. Cheap to clone; keeps the file readable after it was removed.
#[derive(Clone, Debug)]
pub(crate) struct SegmentReader(Arc<File>);

/// The surroundings of spans that were read lately: not of all, since a trace may have as many as it has spans.
#[derive(Debug, Default)]
pub(crate) struct KnownScopes(HashMap<u32, ScopePlace>);

impl KnownScopes {
    const MOST: usize = 4096;

    /// The scope at an index, from what is known or by `read`.
    pub(crate) fn get(
        &mut self,
        at: u32,
        read: impl FnOnce(u32) -> io::Result<ScopePlace>,
    ) -> io::Result<ScopePlace> {
        if let Some(known) = self.0.get(&at) {
            return Ok(*known);
        }
        let found = read(at)?;
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(at, found);
        Ok(found)
    }
}

impl SegmentReader {
    pub(crate) fn new(file: File) -> Self {
        Self(Arc::new(file))
    }

    /// Appends a part of the file to `out`.
    pub(crate) fn read_into(&self, place: Place, out: &mut Vec<u8>) -> io::Result<()> {
        let at = out.len();
        out.resize(at + place.length as usize, 0);
        self.0.read_exact_at(&mut out[at..], u64::from(place.start))
    }

    pub(crate) fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(place.length as usize);
        self.read_into(place, &mut bytes)?;
        Ok(bytes)
    }

    /// The runs as an encoded `TracesData`; `scopes` gives the surroundings of each.
    pub(crate) fn piece(
        &self,
        runs: &[Run],
        mut scopes: impl FnMut(u32) -> io::Result<ScopePlace>,
    ) -> io::Result<Vec<u8>> {
        let mut surroundings = KnownScopes::default();
        let mut piece = Vec::new();
        for runs in runs.chunk_by(|a, b| a.scope == b.scope) {
            let Some(first) = runs.first() else { continue };
            let found = surroundings.get(first.scope, &mut scopes)?;
            self.put_resource_spans(runs, &found, &mut piece)?;
        }
        Ok(piece)
    }

    fn put_resource_spans(&self, runs: &[Run], around: &ScopePlace, piece: &mut Vec<u8>) -> io::Result<()> {
        let spans: usize = runs.iter().map(|run| run.place.length as usize).sum();
        let scope_spans = field_len(around.scope) + spans + if_present(around.scope_schema_url, field_len);
        let resource_spans = field_len(around.resource)
            + bytes_field_len(scope_spans)
            + if_present(around.resource_schema_url, field_len);
        put_bytes_header(piece, 1, resource_spans);
        put_bytes(piece, 1, &self.read(around.resource)?);
        if around.resource_schema_url.length > 0 {
            put_bytes(piece, 3, &self.read(around.resource_schema_url)?);
        }
        put_bytes_header(piece, 2, scope_spans);
        put_bytes(piece, 1, &self.read(around.scope)?);
        for run in runs {
            self.read_into(run.place, piece)?;
        }
        if around.scope_schema_url.length > 0 {
            put_bytes(piece, 3, &self.read(around.scope_schema_url)?);
        }
        Ok(())
    }
}

const fn field_len(place: Place) -> usize {
    bytes_field_len(place.length as usize)
}

fn if_present(place: Place, length: impl Fn(Place) -> usize) -> usize {
    if place.length == 0 { 0 } else { length(place) }
}
