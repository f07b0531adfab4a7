//! Every manifest and generated configuration file, as handlebars templates.
//!
//! The crate only embeds the files below it and knows no logic. Sizing, defaulting and arithmetic are done before,
//! in typed values; a template places them.
//!
//! * `config/`: the runtime's configuration and what else is a file inside a config map
//! * `kubernetes/COMPONENT/`: the objects of a component
//! * `kubernetes/common/`, `kubernetes/exposure/`, `kubernetes/monitoring/`: the objects of a whole Tempo
//! * `partials/`: what several templates have in common, included as `{{> NAME}}`
//! * `dashboards/`: Grafana dashboards; plain JSON, not templates

/// An embedded template.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// `kubernetes/ingester/statefulset.yaml`; for a partial its name alone.
    pub name: &'static str,
    /// The handlebars text.
    pub text: &'static str,
}

macro_rules! embed {
    (partials: [$($partial:literal),* $(,)?], templates: [$($template:literal),* $(,)?] $(,)?) => {
        &[
            $(Template { name: $partial, text: include_str!(concat!("../partials/", $partial, ".hbs")) },)*
            $(Template { name: $template, text: include_str!(concat!("../", $template, ".hbs")) },)*
        ]
    };
}

/// Every template and partial.
pub const ALL: &[Template] = embed! {
    partials: [
        "autoscaler",
        "claim",
        "container-security",
        "datasource",
        "deployment",
        "env",
        "labels",
        "limits",
        "metadata",
        "placement",
        "pod",
        "pod-security",
        "probes",
        "route",
        "selector",
        "service-ports",
        "stateful-set",
    ],
    templates: [
        "config/grafana-datasource.yaml",
        "config/overrides.yaml",
        "config/tempo.yaml",
        "kubernetes/common/gossip-service.yaml",
        "kubernetes/common/networkpolicy.yaml",
        "kubernetes/common/overrides-configmap.yaml",
        "kubernetes/common/serviceaccount.yaml",
        "kubernetes/compactor/configmap.yaml",
        "kubernetes/compactor/deployment.yaml",
        "kubernetes/compactor/service.yaml",
        "kubernetes/distributor/configmap.yaml",
        "kubernetes/distributor/deployment.yaml",
        "kubernetes/distributor/horizontalpodautoscaler.yaml",
        "kubernetes/distributor/poddisruptionbudget.yaml",
        "kubernetes/distributor/service.yaml",
        "kubernetes/exposure/grpcroute.yaml",
        "kubernetes/exposure/httproute.yaml",
        "kubernetes/exposure/ingress.yaml",
        "kubernetes/ingester/configmap.yaml",
        "kubernetes/ingester/headless-service.yaml",
        "kubernetes/ingester/poddisruptionbudget.yaml",
        "kubernetes/ingester/service.yaml",
        "kubernetes/ingester/statefulset.yaml",
        "kubernetes/monitoring/dashboards-configmap.yaml",
        "kubernetes/monitoring/grafana-datasource-configmap.yaml",
        "kubernetes/monitoring/grafana-datasource.yaml",
        "kubernetes/monitoring/prometheusrule.yaml",
        "kubernetes/monitoring/servicemonitor.yaml",
        "kubernetes/querier/configmap.yaml",
        "kubernetes/querier/deployment.yaml",
        "kubernetes/querier/horizontalpodautoscaler.yaml",
        "kubernetes/querier/poddisruptionbudget.yaml",
        "kubernetes/querier/service.yaml",
        "kubernetes/query-frontend/configmap.yaml",
        "kubernetes/query-frontend/deployment.yaml",
        "kubernetes/query-frontend/discovery-service.yaml",
        "kubernetes/query-frontend/horizontalpodautoscaler.yaml",
        "kubernetes/query-frontend/poddisruptionbudget.yaml",
        "kubernetes/query-frontend/service.yaml",
        "kubernetes/retriever/configmap.yaml",
        "kubernetes/retriever/headless-service.yaml",
        "kubernetes/retriever/poddisruptionbudget.yaml",
        "kubernetes/retriever/service.yaml",
        "kubernetes/retriever/statefulset.yaml",
        "kubernetes/tempo/configmap.yaml",
        "kubernetes/tempo/headless-service.yaml",
        "kubernetes/tempo/poddisruptionbudget.yaml",
        "kubernetes/tempo/service.yaml",
        "kubernetes/tempo/statefulset.yaml",
    ],
};

/// The dashboard of a Tempo: requests, ingest, ingesters, storage, compaction.
pub const DASHBOARD: &str = include_str!("../dashboards/tempo.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn files(folder: &Path, extension: &str, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, extension, out);
            } else if path.extension().is_some_and(|e| e == extension) {
                out.push(path);
            }
        }
    }

    #[test]
    fn every_file_is_embedded_under_its_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        files(root, "hbs", &mut found);
        let expected: BTreeSet<String> = found
            .iter()
            .map(|path| {
                let name = path.strip_prefix(root).unwrap().with_extension("");
                let name = name.to_str().unwrap().to_owned();
                name.strip_prefix("partials/").map_or(name.clone(), str::to_owned)
            })
            .collect();
        let embedded: BTreeSet<String> = ALL.iter().map(|t| t.name.to_owned()).collect();
        assert_eq!(embedded, expected);
        assert_eq!(embedded.len(), ALL.len(), "a name is used twice");
    }

    /// The metrics that dashboards and rules ask for.
    const METRICS: [&str; 18] = [
        "tempo_build_info",
        "tempo_discarded_spans_total",
        "tempo_distributor_bytes_received_total",
        "tempo_distributor_push_duration_seconds",
        "tempo_distributor_spans_received_total",
        "tempo_ingester_blocks_flushed_total",
        "tempo_ingester_failed_flushes_total",
        "tempo_ingester_live_traces",
        "tempo_query_frontend_bytes_inspected_total",
        "tempo_request_duration_seconds",
        "tempo_runtime_config_last_reload_successful",
        "tempodb_backend_request_duration_seconds",
        "tempodb_blocklist_length",
        "tempodb_blocklist_tenant_index_age_seconds",
        "tempodb_compaction_bytes_written_total",
        "tempodb_compaction_outstanding_blocks",
        "tempodb_retention_deleted_total",
        "tempodb_retention_errors_total",
    ];

    fn metrics_in(text: &str) -> impl Iterator<Item = &str> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let ours = |name: &&str| {
            ["tempo_", "tempodb_", "process_", "go_"].iter().any(|prefix| name.starts_with(prefix))
        };
        let names = text.split(move |c| !word(c)).filter(ours);
        names.map(|name| {
            ["_bucket", "_count", "_sum"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
        })
    }

    #[test]
    fn dashboards_and_rules_ask_for_metrics_that_there_are() {
        let rules = ALL.iter().find(|t| t.name == "kubernetes/monitoring/prometheusrule.yaml").unwrap();
        let asked: BTreeSet<&str> = metrics_in(DASHBOARD).chain(metrics_in(rules.text)).collect();
        assert_eq!(asked, BTreeSet::from(METRICS));
        let registered: BTreeSet<String> = registered().into_iter().collect();
        let missing: Vec<_> = METRICS.iter().filter(|name| !registered.contains(**name)).collect();
        assert!(missing.is_empty(), "the runtime has no {missing:?}");
    }

    /// A process with all components has them in one registry, which panics at the second of a name.
    #[test]
    fn every_metric_of_the_runtime_has_a_name_of_its_own() {
        let mut names = registered();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
        assert!(!names.is_empty() && twice.is_empty(), "{twice:?}");
    }

    /// Names of metrics in the runtime's code, as often as they stand there outside of tests.
    fn registered() -> Vec<String> {
        let mut sources = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime"), "rs", &mut sources);
        let is_test = |path: &PathBuf| {
            let stem = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
            stem || path.iter().any(|part| part == "tests")
        };
        sources.retain(|path| !is_test(path));
        let mut names = Vec::new();
        for path in sources {
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let literals = code.split('"').skip(1).step_by(2);
            names.extend(literals.filter(|text| is_metric(text)).map(str::to_owned));
        }
        names
    }

    fn is_metric(text: &str) -> bool {
        let ours = ["tempo_", "tempodb_", "tempoform_"].iter().any(|prefix| text.starts_with(prefix));
        ours && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}
