//! Which cluster, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tempoform_engine::target::TargetError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The first answer of an API server; later ones have longer.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// How a cluster is reached, as `kubectl` is told. Default: `$KUBECONFIG`, else `~/.kube/config`, and in a pod its service
/// account.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// One of its contexts; default: the current one.
    pub context: Option<String>,
}

/// A client, and what the context says about itself.
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// The context's name, or `in-cluster`.
    pub(crate) context: String,
    /// The namespace that the context means when none is named.
    pub(crate) namespace: String,
}

impl Access {
    pub(crate) async fn connect(&self) -> Result<Connection, TargetError> {
        let (mut config, context) = self.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let namespace = config.default_namespace.clone();
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| {
            TargetError::new(format!("cannot make a client for context {context:?} ({server})"))
                .help("look at the certificates and credentials in the kubeconfig")
                .caused_by(error)
        })?;
        reach(&client, &context, &server).await?;
        Ok(Connection { client, context, namespace })
    }

    async fn config(&self) -> Result<(Config, String), TargetError> {
        let read = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = match read {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if self.kubeconfig.is_none() && self.context.is_none() => {
                return in_cluster().ok_or_else(|| self.unreadable(error));
            }
            Err(error) => return Err(self.unreadable(error)),
        };
        let context = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        let context = context.ok_or_else(|| {
            TargetError::new("the kubeconfig has no current context").help(format!(
                "name one with --context: {}",
                kubeconfig
                    .contexts
                    .iter()
                    .map(|context| context.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ))
        })?;
        if !kubeconfig.contexts.iter().any(|known| known.name == context) {
            let known: Vec<&str> = kubeconfig.contexts.iter().map(|known| known.name.as_str()).collect();
            return Err(TargetError::new(format!("the kubeconfig has no context {context:?}")).help(
                format!("it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") }),
            ));
        }
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| {
            TargetError::new(format!("context {context:?} of the kubeconfig cannot be used")).caused_by(error)
        })?;
        Ok((config, context))
    }

    fn unreadable(&self, error: KubeconfigError) -> TargetError {
        let message = match &self.kubeconfig {
            Some(file) => format!("cannot read the kubeconfig {}", file.display()),
            None => "there is no kubeconfig that can be read".to_owned(),
        };
        TargetError::new(message)
            .help("name one with --kubeconfig or $KUBECONFIG; `kubectl config view` shows what kubectl uses")
            .caused_by(error)
    }
}

/// A server that was never there is not waited for, unlike one that is away for a moment.
async fn reach(client: &Client, context: &str, server: &str) -> Result<(), TargetError> {
    let answer = tokio::time::timeout(FIRST_ANSWER, client.apiserver_version()).await;
    let unreachable = || {
        TargetError::new(format!("the API server of context {context:?} ({server}) cannot be reached"))
            .help("is it the right context, and does `kubectl version` get an answer with it?")
    };
    match answer {
        Ok(Ok(_)) => Ok(()),
        // It is there, and refuses this one question, as hardened ones do.
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Ok(()),
        Ok(Err(error @ kube::Error::Api(_))) => {
            Err(crate::failure::explain(&format!("context {context:?} ({server})"), error))
        }
        Ok(Err(error)) => Err(unreachable().caused_by(error)),
        Err(_) => Err(unreachable()),
    }
}

/// The service account of the pod that this runs in, if it is one.
fn in_cluster() -> Option<(Config, String)> {
    Some((Config::incluster().ok()?, "in-cluster".to_owned()))
}
