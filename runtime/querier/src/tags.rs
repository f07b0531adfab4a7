//! Tag names and values: unions of what the sources know.

use std::collections::{BTreeMap, BTreeSet};

use tempoform_core::{Result, TenantId};
use tempoform_traceql::{AttributeScope, Identifier, Intrinsic, Kind, Status, parse_attribute};
use tempoform_wire::internal;
use tempoform_wire::tempopb::{MetadataMetrics, SearchTagsV2Scope, TagValue};

use crate::fanout::Asking;
use crate::gathered::Gathered;
use crate::params::TimeRange;
use crate::request::{TagNamesRequest, TagValuesRequest, Version};
use crate::search::{Answer, block_range};
use crate::{ApiError, ApiOptions};

/// What v2 lists under the scope `intrinsic`.
const INTRINSICS: [&str; 25] = [
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "link:spanID",
    "link:traceID",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:id",
    "span:kind",
    "span:name",
    "span:parentID",
    "span:status",
    "span:statusMessage",
    "status",
    "statusMessage",
    "trace:duration",
    "trace:id",
    "trace:rootName",
    "trace:rootService",
    "traceDuration",
];

/// Names by scope; in each sorted and without duplicates.
pub(crate) async fn names(
    asking: Asking<'_>,
    tenants: &[TenantId],
    version: Version,
    request: TagNamesRequest,
    options: &ApiOptions,
) -> Result<Answer<Vec<SearchTagsV2Scope>>> {
    let intrinsics = request.scope == "intrinsic" || (request.scope.is_empty() && version == Version::V2);
    let mut scopes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    if intrinsics {
        scopes.insert("intrinsic", INTRINSICS.iter().map(|name| (*name).to_owned()).collect());
    }
    let mut rest = Gathered::default();
    let answers: Vec<internal::TagNamesResponse>;
    // Traces have intrinsics, but no attributes.
    if !matches!(request.scope.as_str(), "intrinsic" | "trace") {
        let question = |range: Option<TimeRange>| internal::TagNamesRequest {
            scope: request.scope.clone(),
            query: request.query.clone(),
            start: range.map_or(0, |range| range.start),
            end: range.map_or(0, |range| range.end),
            limit: request.limit,
            ..internal::TagNamesRequest::default()
        };
        let (recent, blocks) = (question(request.range), question(Some(block_range(request.range, options))));
        let gathered = asking.gather_all(tenants, Some(recent), Some(blocks)).await?;
        (answers, rest) = gathered.split();
        for scope in answers.iter().flat_map(|answer| &answer.scopes) {
            scopes.entry(&scope.name).or_default().extend(scope.tags.iter().cloned());
        }
    }
    let mut room = Room::of(tenants, options);
    let most = if request.limit == 0 { usize::MAX } else { request.limit as usize };
    let scopes = scopes
        .into_iter()
        .map(|(name, tags)| SearchTagsV2Scope {
            name: name.to_owned(),
            tags: tags.into_iter().take(most).take_while(|tag| room.take(tag.len())).collect(),
        })
        .filter(|scope| !scope.tags.is_empty())
        .collect();
    room.tell("tag names", &mut rest);
    Ok((scopes, rest))
}

/// Values of one attribute, sorted and without duplicates.
pub(crate) async fn values(
    asking: Asking<'_>,
    tenants: &[TenantId],
    version: Version,
    request: TagValuesRequest,
    options: &ApiOptions,
) -> Result<Answer<Vec<TagValue>>, ApiError> {
    let identifier = match version {
        Version::V1 => plain_name(&request.tag),
        Version::V2 => parse_attribute(&request.tag)
            .map_err(|error| ApiError::invalid(format!("invalid tag {:?}: {error}", request.tag)))?,
    };
    if version == Version::V1 && request.tag == "error" {
        let value = TagValue { r#type: "bool".to_owned(), value: "true".to_owned() };
        return Ok((vec![value], Gathered::default()));
    }
    if let Some(values) = fixed_values(&identifier) {
        return Ok((values, Gathered::default()));
    }
    let question = |range: Option<TimeRange>| internal::TagValuesRequest {
        tag: identifier.to_string(),
        query: request.query.clone(),
        start: range.map_or(0, |range| range.start),
        end: range.map_or(0, |range| range.end),
        limit: request.limit,
        max_blocks: (options.limits)(&tenants[0]).max_blocks_per_tag_values_query,
        ..internal::TagValuesRequest::default()
    };
    let (recent, blocks) = (question(request.range), question(Some(block_range(request.range, options))));
    let (answers, mut rest) = asking.gather_all(tenants, Some(recent), Some(blocks)).await?.split();
    let distinct: BTreeSet<(String, String)> = answers
        .into_iter()
        .flat_map(|answer| answer.values)
        .filter(|value| version == Version::V2 || value.r#type == "string")
        .map(|value| (value.value, value.r#type))
        .collect();
    let mut room = Room::of(tenants, options);
    let most = if request.limit == 0 { usize::MAX } else { request.limit as usize };
    let values = distinct
        .into_iter()
        .take(most)
        .take_while(|(value, r#type)| room.take(value.len() + r#type.len()))
        .map(|(value, r#type)| TagValue { r#type, value })
        .collect();
    room.tell("tag values", &mut rest);
    Ok((values, rest))
}

/// What the first version of the endpoint means by a name.
fn plain_name(name: &str) -> Identifier {
    match name {
        "name" => Identifier::Intrinsic(Intrinsic::Name),
        "root.name" => Identifier::Intrinsic(Intrinsic::RootName),
        "root.service.name" => Identifier::Intrinsic(Intrinsic::RootService),
        "status.code" => Identifier::Intrinsic(Intrinsic::Status),
        "service.name" => Identifier::Scoped(AttributeScope::Resource, name.to_owned()),
        _ => Identifier::Unscoped(name.to_owned()),
    }
}

/// Values that need no data: of words the language fixes, and of numbers and ids, which nobody lists.
fn fixed_values(identifier: &Identifier) -> Option<Vec<TagValue>> {
    let keyword = |value: &str| TagValue { r#type: "keyword".to_owned(), value: value.to_owned() };
    let Identifier::Intrinsic(intrinsic) = identifier else { return None };
    match intrinsic {
        Intrinsic::Status => Some(Status::ALL.iter().map(|status| keyword(status.as_str())).collect()),
        Intrinsic::Kind => Some(Kind::ALL.iter().map(|kind| keyword(kind.as_str())).collect()),
        Intrinsic::Duration
        | Intrinsic::TraceDuration
        | Intrinsic::TraceId
        | Intrinsic::SpanId
        | Intrinsic::ParentId
        | Intrinsic::LinkTraceId
        | Intrinsic::LinkSpanId
        | Intrinsic::EventTimeSinceStart
        | Intrinsic::ChildCount
        | Intrinsic::NestedSetLeft
        | Intrinsic::NestedSetRight
        | Intrinsic::NestedSetParent => Some(Vec::new()),
        Intrinsic::Name
        | Intrinsic::StatusMessage
        | Intrinsic::RootName
        | Intrinsic::RootService
        | Intrinsic::EventName
        | Intrinsic::InstrumentationName
        | Intrinsic::InstrumentationVersion => None,
    }
}

/// Costs in the form of the tag endpoints.
pub(crate) fn metrics(gathered: &Gathered<()>) -> MetadataMetrics {
    let account = gathered.account.snapshot();
    MetadataMetrics {
        inspected_bytes: account.bytes + account.cache_bytes,
        total_jobs: gathered.asked,
        completed_jobs: gathered.asked.saturating_sub(gathered.unanswered()),
        ..MetadataMetrics::default()
    }
}

/// Bytes that an answer may have.
struct Room {
    max: usize,
    left: usize,
    is_cut: bool,
}

impl Room {
    fn of(tenants: &[TenantId], options: &ApiOptions) -> Self {
        let of_tenant = |tenant| match (options.limits)(tenant).max_bytes_per_tag_values_query {
            0 => usize::MAX,
            bytes => bytes,
        };
        let max = tenants.iter().map(of_tenant).min().unwrap_or(usize::MAX);
        Self { max, left: max, is_cut: false }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.is_cut |= left.is_none();
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Says so when something was left out.
    fn tell(&self, what: &str, rest: &mut Gathered<()>) {
        if self.is_cut {
            rest.add_missing(what, format!("are cut at {} bytes, there are more", self.max));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_intrinsics_are_attributes_of_the_language() {
        assert!(INTRINSICS.is_sorted());
        for name in INTRINSICS {
            parse_attribute(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn names_of_the_first_version() {
        assert_eq!(plain_name("service.name").to_string(), "resource.service.name");
        assert_eq!(plain_name("name").to_string(), "name");
        assert_eq!(plain_name("http.url").to_string(), ".http.url");
        let words: Vec<_> =
            fixed_values(&plain_name("status.code")).unwrap().into_iter().map(|value| value.value).collect();
        assert_eq!(words, ["error", "ok", "unset"]);
    }
}
