//! The runtime's configuration file for each process.

mod check;
mod escape_hatch;
pub(crate) mod files;
mod limits;
mod self_tracing;
pub(crate) mod storage;
mod values;

use serde_json::Value;
use tempoform_api::{BLOCKS_FOLDER, Component, ComponentSettings, ValidatedTempo};

pub(crate) use check::check;
pub(crate) use limits::overrides_file;
pub(crate) use storage::Access;

use super::flavour::Flavour;
use super::{RenderError, engine};

/// A process that gets a configuration: a component with its runtime.
#[derive(Clone, Copy)]
pub(crate) struct Process<'a> {
    pub(crate) component: Component,
    pub(crate) flavour: Flavour,
    pub(crate) settings: &'a ComponentSettings,
}

impl<'a> Process<'a> {
    pub(crate) fn new(settings: &'a ComponentSettings) -> Self {
        Self { component: settings.component, flavour: Flavour::of(settings), settings }
    }

    /// The processes of a Tempo that its runtime has, in the order of the data path.
    pub(crate) fn all(tempo: &'a ValidatedTempo) -> impl Iterator<Item = Self> {
        tempo.components.values().map(Self::new).filter(|process| process.flavour.has(process.component))
    }
}

/// What the place where a process runs decides about its configuration.
pub(crate) struct Place {
    /// Address that every listener binds to; `None`: all.
    pub(crate) address: Option<String>,
    pub(crate) http_port: Value,
    pub(crate) grpc_port: Value,
    pub(crate) gossip_port: Value,
    /// `host:port` on which OTLP is received.
    pub(crate) otlp_grpc: String,
    pub(crate) otlp_http: String,
    pub(crate) cluster_label: String,
    pub(crate) node_name: String,
    pub(crate) advertise_address: Option<String>,
    pub(crate) join_members: Vec<String>,
    /// Time between rounds of gossip, where the runtime's default is not right.
    pub(crate) gossip_interval: Option<&'static str>,
    /// `host:port` of the query-frontends, for runtimes whose queriers call them.
    pub(crate) frontend_address: String,
    /// Folder of the process's own data.
    pub(crate) data: String,
    /// Folder that a relative path of local storage starts at.
    pub(crate) blocks_root: String,
    pub(crate) overrides_path: String,
    pub(crate) zone: Option<String>,
    /// Whether the memory limit stands in the configuration, because no control group sets it.
    pub(crate) states_memory_limit: bool,
}

impl Place {
    /// The folder of local storage, by what the document says.
    fn blocks(&self, path: Option<&str>) -> String {
        match path {
            Some(path) if path.starts_with('/') => path.to_owned(),
            Some(path) => format!("{}/{path}", self.blocks_root),
            None => format!("{}/{BLOCKS_FOLDER}", self.blocks_root),
        }
    }
}

/// A process's configuration, and what it needs besides.
pub(crate) struct Rendered {
    pub(crate) config: Value,
    pub(crate) access: Access,
}

/// Renders the configuration of a process and lays the document's own over it; [`check`] says whether that is sound.
///
/// # Errors
/// When the template does not fit, which is a defect of ours.
pub(crate) fn render(
    tempo: &ValidatedTempo,
    process: &Process<'_>,
    place: &Place,
) -> Result<Rendered, RenderError> {
    let (values, mut access) = values::collect(tempo, process, place);
    self_tracing::add(tempo, process.component, &mut access);
    let mut config = engine::render_value("config/tempo.yaml", &values)?;
    escape_hatch::lay_over(&mut config, &tempo.config, process);
    Ok(Rendered { config, access })
}
