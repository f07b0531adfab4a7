//! From a document to the place where it runs.

use std::path::Path;

use tempoform_api::{Target as Place, ValidatedTempo};
use tempoform_engine::guard::guarded;
use tempoform_engine::health::HealthOptions;
use tempoform_engine::object::Desired;
use tempoform_engine::render;
use tempoform_engine::target::Target;
use tempoform_kubernetes::{Access, ClusterOptions, ClusterTarget};
use tempoform_local::LocalTarget;

use super::local;
use crate::args::{Destination, Files};
use crate::documents::{self, Declared, Purpose};
use crate::failure::Failure;

/// The tenant of canary traces where the document lists none.
const CANARY_TENANT: &str = "tempoform-canary";

/// A target of one of the kinds.
pub(crate) enum Running {
    Local(Box<LocalTarget>),
    Cluster(Box<ClusterTarget>),
}

impl Running {
    /// Keeps others from changing what runs in a cluster.
    pub(crate) async fn lock(&self) -> Result<(), Failure> {
        match self {
            // That one is locked by a file, by who needs it.
            Self::Local(_) => Ok(()),
            Self::Cluster(target) => Ok(target.lock().await?),
        }
    }

    /// Lets others change it.
    pub(crate) async fn unlock(&self) {
        if let Self::Cluster(target) = self {
            target.unlock().await;
        }
    }

    pub(crate) fn target(&self) -> &dyn Target {
        match self {
            Self::Local(target) => target.as_ref(),
            Self::Cluster(target) => target.as_ref(),
        }
    }
}

/// The document that is to be applied.
pub(crate) fn load(files: &Files, destination: &Destination) -> Result<Declared, Failure> {
    destination.check()?;
    documents::load_one(
        files,
        match destination.target() {
            Place::Local => Purpose::Processes,
            Place::Kubernetes => Purpose::Manifests,
        },
    )
}

/// The target as it was left, without anything declared.
pub(crate) async fn open(declared: &Declared, destination: &Destination) -> Result<Running, Failure> {
    destination.check()?;
    Ok(match destination.target() {
        Place::Local => Running::Local(Box::new(local::open(declared)?)),
        Place::Kubernetes => Running::Cluster(Box::new(cluster(declared, destination).await?)),
    })
}

/// The target with what is declared.
pub(crate) async fn declare(
    declared: &Declared,
    destination: &Destination,
) -> Result<(Running, Desired), Failure> {
    let place = destination.target();
    declared.document.check_target(place)?;
    super::render::warn(&declared.document, &[place])?;
    let tempo = &declared.document.validated;
    match place {
        Place::Local => {
            let definitions = render::local(tempo).map_err(|error| declared.failure(error))?;
            let mut target = local::open(declared)?;
            let facts = guarded(tempo, target.directory().path());
            let desired = target.declare(&definitions, facts)?;
            Ok((Running::Local(Box::new(target)), desired))
        }
        Place::Kubernetes => {
            let mut target = cluster(declared, destination).await?;
            let objects =
                render::kubernetes(tempo, target.namespace()).map_err(|error| declared.failure(error))?;
            let facts = guarded(tempo, Path::new(POD_DATA));
            let desired = target.declare(&tempo.name, objects, facts);
            Ok((Running::Cluster(Box::new(target)), desired))
        }
    }
}

/// Where a pod's blocks are when they are in no bucket.
pub(super) const POD_DATA: &str = "/var/tempo";

async fn cluster(declared: &Declared, destination: &Destination) -> Result<ClusterTarget, Failure> {
    let tempo = &declared.document.validated;
    let Destination { target: _, context, kubeconfig, namespace } = destination.clone();
    if let (Some(own), Some(named)) = (&tempo.namespace, &namespace)
        && own != named
    {
        return Err(Failure::usage(format!(
            "{} is declared for namespace {own:?}, and --namespace says {named:?}",
            declared.file.display()
        ))
        .help("leave --namespace out, or metadata.namespace of the document"));
    }
    let options = ClusterOptions {
        access: Access { kubeconfig, context },
        // What a document says about itself holds.
        namespace: tempo.namespace.clone().or(namespace),
        tempo: tempo.name.clone(),
    };
    Ok(ClusterTarget::open(options).await?)
}

/// What is checked of a document's Tempo.
pub(crate) fn health_options(tempo: &ValidatedTempo) -> HealthOptions {
    let ingester = tempo.component(tempoform_api::Component::Ingester);
    let tenant = tempo.tenancy.enabled.then(|| {
        let first = tempo.tenancy.tenants.first();
        first.map_or_else(|| CANARY_TENANT.to_owned(), |tenant| tenant.id.clone())
    });
    HealthOptions {
        tenant,
        ingesters: ingester.map_or(0, |ingester| usize::try_from(ingester.replicas).unwrap_or(usize::MAX)),
        ..HealthOptions::default()
    }
}
