//! The limits of a tenant in the shape of Tempo's overrides, and the overrides file.

use std::collections::BTreeMap;

use serde::Serialize;
use tempoform_api::spec::RateStrategy;
use tempoform_api::{ByteSize, Component, DEFAULT_LIMITS, GoDuration, TenantLimits, ValidatedTempo};

use super::Process;
use crate::render::flavour::Flavour;
use crate::render::{RenderError, engine, yaml};

/// Limits of a tenant. In the overrides file none is left to inheritance, which Grafana Tempo does not know.
#[derive(Serialize)]
pub(super) struct LimitsValues {
    ingestion: Option<IngestionValues>,
    read: Option<ReadValues>,
    compaction: Option<CompactionValues>,
    global: GlobalValues,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IngestionValues {
    rate_strategy: RateStrategy,
    rate_limit_bytes: ByteSize,
    burst_size_bytes: ByteSize,
    max_traces_per_user: u32,
    max_attribute_bytes: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadValues {
    max_bytes_per_tag_values_query: ByteSize,
    max_search_duration: GoDuration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactionValues {
    block_retention: GoDuration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GlobalValues {
    max_bytes_per_trace: ByteSize,
}

/// The limits that hold for every tenant without an entry, as far as a component heeds them: a change of one restarts
/// only whom it concerns.
pub(super) fn defaults(tempo: &ValidatedTempo, process: &Process<'_>) -> LimitsValues {
    use Component::{Compactor, Distributor, Ingester, Querier, QueryFrontend};
    let heeded = |by: &[Component]| process.component == Component::Tempo || by.contains(&process.component);
    let all = complete(&tempo.limits.global, tempo.retention.global, process.flavour);
    LimitsValues {
        ingestion: all.ingestion.filter(|_| heeded(&[Distributor, Ingester])),
        read: all.read.filter(|_| heeded(&[Querier, QueryFrontend])),
        compaction: all.compaction.filter(|_| heeded(&[Compactor])),
        global: all.global,
    }
}

fn complete(limits: &TenantLimits, retention: GoDuration, flavour: Flavour) -> LimitsValues {
    let TenantLimits { ingestion, query } = limits;
    LimitsValues {
        ingestion: Some(IngestionValues {
            rate_strategy: ingestion.rate_strategy,
            rate_limit_bytes: ingestion.rate_limit_bytes,
            burst_size_bytes: ingestion.burst_size_bytes,
            max_traces_per_user: ingestion.max_traces_per_user,
            max_attribute_bytes: max_attribute_bytes(ingestion.max_attribute_bytes, flavour),
        }),
        read: Some(ReadValues {
            max_bytes_per_tag_values_query: query.max_bytes_per_tag_values,
            max_search_duration: query.max_search_duration,
        }),
        compaction: Some(CompactionValues { block_retention: retention }),
        global: GlobalValues { max_bytes_per_trace: ingestion.max_bytes_per_trace },
    }
}

/// The document's 0 means no limit, the configuration's that of the distributor. Early versions of Tempo 2 do not
/// know the key, so that it is left out for them where it says no more than the default.
fn max_attribute_bytes(limit: u32, flavour: Flavour) -> Option<u32> {
    let default = DEFAULT_LIMITS.ingestion.max_attribute_bytes;
    match limit {
        0 => Some(u32::MAX),
        bytes => Some(bytes).filter(|bytes| flavour == Flavour::Native || *bytes != default),
    }
}

/// The file with the limits of single tenants, read again by every process while it runs.
///
/// # Errors
/// When the template does not fit, which is a defect of ours.
pub(crate) fn overrides_file(tempo: &ValidatedTempo, flavour: Flavour) -> Result<String, RenderError> {
    #[derive(Serialize)]
    struct Values<'a> {
        tenants: BTreeMap<&'a str, LimitsValues>,
    }
    let tenants = tempo
        .tenant_overrides()
        .into_iter()
        .map(|(tenant, settings)| (tenant, complete(settings.limits, settings.retention, flavour)))
        .collect();
    let template = "config/overrides.yaml";
    Ok(yaml::to_string(&engine::render_value(template, &Values { tenants })?))
}
