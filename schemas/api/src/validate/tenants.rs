//! Tenants, and what holds for each: limits and retention, inherited from the global ones and keyed by id.

use std::collections::{BTreeMap, HashSet};

use super::names;
use super::report::Report;
use crate::defaults;
use crate::spec::{
    IngestionLimitsSpec, LimitsSpec, QueryLimitsSpec, RetentionSpec, TenancySpec, TenantLimitsSpec,
};
use crate::validated::{IngestionLimits, Limits, QueryLimits, Retention, Tenancy, Tenant, TenantLimits};
use tempoform_document::{GoDuration, path};

pub(super) fn tenancy(spec: Option<&TenancySpec>, report: &mut Report) -> Tenancy {
    let listed = spec.map(|spec| spec.tenants.as_slice()).unwrap_or_default();
    let enabled = spec.and_then(|spec| spec.enabled).unwrap_or(!listed.is_empty());
    if !enabled && !listed.is_empty() {
        report.refuse(
            "spec.tenancy.tenants",
            "tenants are listed, but tenancy is not enabled",
            "set enabled: true, or remove the list",
        );
    }
    let tenants: Vec<_> = listed
        .iter()
        .map(|tenant| Tenant {
            name: tenant.name.clone(),
            id: tenant.id.clone().unwrap_or_else(|| tenant.name.clone()),
        })
        .collect();
    check_tenants(&tenants, report);
    Tenancy { enabled, tenants }
}

fn check_tenants(tenants: &[Tenant], report: &mut Report) {
    let (mut names, mut ids) = (HashSet::new(), HashSet::new());
    for (index, tenant) in tenants.iter().enumerate() {
        let path = format!("spec.tenancy.tenants[{index}]");
        if tenant.name.is_empty() {
            report.refuse(format!("{path}.name"), "the name is empty", "name the tenant");
        }
        // A name that is no id needs one beside it.
        let field = if tenant.id == tenant.name { "name" } else { "id" };
        report.check(format!("{path}.{field}"), names::tenant(&tenant.id));
        if !names.insert(tenant.name.as_str()) {
            report.refuse(
                format!("{path}.name"),
                format!("tenant {:?} is listed twice", tenant.name),
                "keep one of them",
            );
        } else if !ids.insert(tenant.id.as_str()) {
            report.refuse(
                format!("{path}.id"),
                format!("two tenants have the id {:?}, so they would share their traces", tenant.id),
                "give each an id of its own",
            );
        }
    }
}

/// The id of the tenant that an entry at `path` is for; `None` if there can be no such tenant.
fn tenant_id(path: &str, name: &str, tenancy: &Tenancy, report: &mut Report) -> Option<String> {
    if let Some(tenant) = tenancy.tenants.iter().find(|tenant| tenant.name == name) {
        return Some(tenant.id.clone());
    }
    if tenancy.tenants.is_empty() {
        report.check(path, names::tenant(name));
        return Some(name.to_owned());
    }
    let known: Vec<_> = tenancy.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    report.refuse(
        path,
        format!("no tenant is called {name:?}"),
        format!("spec.tenancy.tenants lists {}", known.join(", ")),
    );
    None
}

fn refuse_without_tenancy(path: &str, any: bool, tenancy: &Tenancy, report: &mut Report) {
    if any && !tenancy.enabled {
        report.refuse(path, "there are no tenants: tenancy is not enabled", "set spec.tenancy.enabled: true");
    }
}

pub(super) fn limits(spec: Option<&LimitsSpec>, tenancy: &Tenancy, report: &mut Report) -> Limits {
    let entries = "spec.limits.perTenant";
    let spec = spec.cloned().unwrap_or_default();
    let unset = TenantLimitsSpec::default();
    let given = spec.global.as_ref().unwrap_or(&unset);
    let global = inherit("spec.limits.global", given, &defaults::LIMITS, report);
    refuse_without_tenancy(entries, !spec.per_tenant.is_empty(), tenancy, report);
    let mut per_tenant = BTreeMap::new();
    for (name, entry) in &spec.per_tenant {
        let path = path::child(entries, name);
        let resolved = inherit(&path, entry, &global, report);
        if let Some(id) = tenant_id(&path, name, tenancy, report) {
            per_tenant.insert(id, resolved);
        }
    }
    Limits { global, per_tenant }
}

/// What the entry says, and for the rest what it inherits.
fn inherit(path: &str, spec: &TenantLimitsSpec, base: &TenantLimits, report: &mut Report) -> TenantLimits {
    let ingestion = spec.ingestion.clone().unwrap_or_default();
    let query = spec.query.clone().unwrap_or_default();
    let resolved = TenantLimits {
        ingestion: inherit_ingestion(&ingestion, &base.ingestion),
        query: inherit_query(&query, &base.query),
    };
    check_rate(&format!("{path}.ingestion"), &resolved.ingestion, report);
    resolved
}

fn inherit_ingestion(spec: &IngestionLimitsSpec, base: &IngestionLimits) -> IngestionLimits {
    let IngestionLimitsSpec {
        rate_strategy,
        rate_limit_bytes,
        burst_size_bytes,
        max_bytes_per_trace,
        max_traces_per_user,
        max_attribute_bytes,
    } = *spec;
    let rate = rate_limit_bytes.unwrap_or(base.rate_limit_bytes);
    IngestionLimits {
        rate_strategy: rate_strategy.unwrap_or(base.rate_strategy),
        rate_limit_bytes: rate,
        // Whoever raises only the rate means the burst too.
        burst_size_bytes: burst_size_bytes.unwrap_or(base.burst_size_bytes.max(rate)),
        max_bytes_per_trace: max_bytes_per_trace.unwrap_or(base.max_bytes_per_trace),
        max_traces_per_user: max_traces_per_user.unwrap_or(base.max_traces_per_user),
        max_attribute_bytes: max_attribute_bytes.unwrap_or(base.max_attribute_bytes),
    }
}

fn inherit_query(spec: &QueryLimitsSpec, base: &QueryLimits) -> QueryLimits {
    let QueryLimitsSpec { max_bytes_per_tag_values, max_search_duration } = *spec;
    QueryLimits {
        max_bytes_per_tag_values: max_bytes_per_tag_values.unwrap_or(base.max_bytes_per_tag_values),
        max_search_duration: max_search_duration.unwrap_or(base.max_search_duration),
    }
}

fn check_rate(path: &str, limits: &IngestionLimits, report: &mut Report) {
    if limits.rate_limit_bytes.0 == 0 {
        report.refuse(
            format!("{path}.rateLimitBytes"),
            "a rate of 0 refuses every span",
            "write bytes per second, for example 30MB",
        );
    }
    if limits.burst_size_bytes.0 == 0 {
        report.refuse(
            format!("{path}.burstSizeBytes"),
            "a burst of 0 refuses every span",
            "write at least the size of the largest request, for example 30MB",
        );
    }
}

pub(super) fn retention(
    spec: Option<&RetentionSpec>,
    tenancy: &Tenancy,
    block_duration: GoDuration,
    report: &mut Report,
) -> Retention {
    let entries = "spec.retention.perTenant";
    let spec = spec.cloned().unwrap_or_default();
    let global = spec.global.unwrap_or(defaults::RETENTION);
    check_retention("spec.retention.global", global, block_duration, report);
    refuse_without_tenancy(entries, !spec.per_tenant.is_empty(), tenancy, report);
    let mut per_tenant = BTreeMap::new();
    for (name, kept) in &spec.per_tenant {
        let path = path::child(entries, name);
        check_retention(&path, *kept, block_duration, report);
        if let Some(id) = tenant_id(&path, name, tenancy, report) {
            per_tenant.insert(id, *kept);
        }
    }
    Retention { global, per_tenant }
}

fn check_retention(path: &str, kept: GoDuration, block_duration: GoDuration, report: &mut Report) {
    if kept.is_zero() {
        report.refuse(
            path,
            "a retention of 0 keeps nothing",
            "write how long traces are kept, for example 336h or 14d",
        );
    } else if kept < block_duration {
        report.refuse(
            path,
            format!("traces would be dropped after {kept}, while blocks are written every {block_duration}"),
            format!("keep traces for at least {block_duration} (spec.blocks.maxDuration)"),
        );
    }
}
