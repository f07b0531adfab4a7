//! `spec.config`: the document's own words in the runtime's configuration.

use serde_json::{Map, Value};
use tempoform_api::Component;

use super::Process;
use crate::render::merge;

/// Lays the document's configuration over the rendered one; the document wins.
///
/// A process gets only the sections that it reads, so that it restarts only for what concerns it.
pub(super) fn lay_over(config: &mut Value, own: &Map<String, Value>, process: &Process<'_>) {
    for (section, value) in own {
        if concerns(section, process)
            && let Value::Object(config) = &mut *config
        {
            merge::deep(config.entry(section.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Whether a process reads a section of the configuration.
pub(super) fn concerns(section: &str, process: &Process<'_>) -> bool {
    use Component::{Compactor, Distributor, Ingester, Querier, QueryFrontend, Retriever, Tempo};
    let readers: &[Component] = match section {
        "distributor" => &[Distributor],
        // Its ring says where distributors write to and queriers read from.
        "ingester" => &[Ingester, Distributor, Querier],
        // It says how frontends call queriers, too.
        "ingester_client" => &[Distributor, Querier, QueryFrontend],
        "querier" => process.flavour.query_sections().queriers,
        "query_frontend" => process.flavour.query_sections().frontends,
        "retriever" => &[Retriever],
        "compactor" => &[Compactor],
        _ => return true,
    };
    process.component == Tempo || readers.contains(&process.component)
}
