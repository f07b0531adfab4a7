//! Copies, zones and the write-ahead log.

use std::collections::{BTreeMap, HashSet};

use super::names;
use super::report::Report;
use crate::Component;
use crate::defaults;
use crate::spec::{Mode, ReplicationSpec, TempoSpec, WalDurability, WalSpec};
use crate::validated::{ComponentSettings, Replication, Wal, Zone};

const PATH: &str = "spec.replication";

pub(super) fn resolve(
    spec: &TempoSpec,
    components: &BTreeMap<Component, ComponentSettings>,
    report: &mut Report,
) -> Replication {
    let unset = ReplicationSpec::default();
    let given = spec.replication.as_ref().unwrap_or(&unset);
    let ingesters = components.get(&Component::Ingester).map_or(1, |ingester| ingester.replicas);
    let factor = given.factor.unwrap_or_else(|| defaults::replication_factor(spec.mode, ingesters));
    let replication = Replication {
        factor,
        zones: share_out(ingesters, &given.zones),
        topology_key: given.topology_key.clone().unwrap_or_else(|| defaults::TOPOLOGY_KEY.to_owned()),
    };
    if let Some(key) = &given.topology_key {
        report.check(format!("{PATH}.topologyKey"), names::label_key(key));
    }
    match spec.mode {
        Mode::SingleBinary => check_single(&replication, report),
        Mode::Distributed => {
            check_factor(&replication, ingesters, report);
            check_zones(&replication, ingesters, report);
        }
    }
    replication
}

/// Ingesters by zone, as evenly as they go.
fn share_out(ingesters: u32, zones: &[String]) -> Vec<Zone> {
    let count = u32::try_from(zones.len()).unwrap_or(u32::MAX).max(1);
    let share = |index: u32| ingesters / count + u32::from(index < ingesters % count);
    zones.iter().zip(0..).map(|(name, index)| Zone { name: name.clone(), ingesters: share(index) }).collect()
}

fn check_single(replication: &Replication, report: &mut Report) {
    if replication.factor != 1 {
        report.refuse(
            format!("{PATH}.factor"),
            format!("a single binary keeps one copy, not {}", replication.factor),
            "set factor: 1, or mode: distributed",
        );
    }
    if !replication.zones.is_empty() {
        report.refuse(
            format!("{PATH}.zones"),
            "a single binary runs in one zone",
            "remove the zones, or set mode: distributed",
        );
    }
}

fn check_factor(replication: &Replication, ingesters: u32, report: &mut Report) {
    let (factor, path) = (replication.factor, format!("{PATH}.factor"));
    if factor == 0 {
        report.refuse(
            path,
            "without a copy nothing is kept",
            "set 1, or 3 to survive the loss of an ingester",
        );
    } else if ingesters > 0 && factor > ingesters {
        report.refuse(
            path,
            format!("{factor} copies need {factor} ingesters, there are {ingesters}"),
            format!("set factor: {ingesters} or less, or spec.ingester.replicas: {factor} or more"),
        );
    } else if factor > 1 && factor.is_multiple_of(2) {
        report.warn(
            path,
            format!(
                "with {factor} copies a write needs {} of them, so no more ingesters may fail than with {}",
                replication.write_quorum(),
                factor - 1
            ),
            format!("set factor: {}, or {} to survive one more", factor - 1, factor + 1),
        );
    } else if factor == 1 && ingesters > 1 {
        report.warn(
            path,
            "each recent trace is in one ingester: while it is away, its traces are not found",
            "set factor: 3, with three ingesters or more",
        );
    }
}

fn check_zones(replication: &Replication, ingesters: u32, report: &mut Report) {
    let path = format!("{PATH}.zones");
    let mut seen = HashSet::new();
    for (index, zone) in replication.zones.iter().enumerate() {
        let path = format!("{path}[{index}]");
        report.check(&path, names::label_value(&zone.name));
        if !seen.insert(zone.name.as_str()) {
            report.refuse(path, format!("zone {:?} is named twice", zone.name), "keep one of them");
        }
    }
    let zones = u32::try_from(replication.zones.len()).unwrap_or(u32::MAX);
    if zones == 0 {
        return;
    }
    if zones < replication.factor {
        report.refuse(
            &path,
            format!("{} copies cannot be in {zones} zones, each in its own", replication.factor),
            format!("name {} zones, or set factor: {zones}", replication.factor),
        );
    }
    if ingesters > 0 && ingesters < zones {
        report.refuse(
            &path,
            format!("{ingesters} ingesters cannot be in {zones} zones"),
            format!("set spec.ingester.replicas: {zones} or more, or name fewer zones"),
        );
    } else if !ingesters.is_multiple_of(zones) {
        report.warn(
            &path,
            format!(
                "{ingesters} ingesters do not divide evenly by {zones} zones, so some carry more than others"
            ),
            format!("set spec.ingester.replicas to a multiple of {zones}"),
        );
    }
}

pub(super) fn wal(spec: Option<&WalSpec>, replication: &Replication, report: &mut Report) -> Wal {
    let durability = spec.and_then(|spec| spec.durability).unwrap_or_default();
    if durability == WalDurability::Async && replication.factor == 1 {
        report.warn(
            "spec.wal.durability",
            "with one copy and no sync, a crash of the machine loses acknowledged spans",
            "set durability: sync, or a replication factor of 3",
        );
    }
    Wal { durability }
}
