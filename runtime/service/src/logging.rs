//! Logs to standard error, as the configuration says; `RUST_LOG` overrides the level by module. Traces of this process's
//! own work go where OpenTelemetry's variables say.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tempoform_config::{LogFormat, LogLevel, Server};
use tempoform_core::SELF_TRACE;
use tempoform_core::{Error, ErrorKind, Result};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Sends what is left of the process's own traces when it ends.
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Starts logging, and tracing if `OTEL_EXPORTER_OTLP_ENDPOINT` (or the one for traces alone) is set.
    ///
    /// # Errors
    /// When what the variables say cannot be done.
    pub(crate) fn start(settings: &Server) -> Result<Self> {
        let provider = is_wanted().then(provider).transpose()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("tempoform"))
                .with_filter(Targets::new().with_target(SELF_TRACE, LevelFilter::INFO))
        });
        let started = tracing_subscriber::registry().with(log(settings)).with(traces).try_init();
        // A program that embeds this one may have its own logging.
        drop(started);
        Ok(Self(provider))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last of this process's own traces were not sent");
        }
    }
}

fn log<S>(settings: &Server) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let level = match settings.log_level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let quiet =
        "chitchat=warn,foyer=warn,foyer_storage=warn,h2=warn,hyper=warn,tower=warn,opentelemetry=warn";
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},{quiet},{SELF_TRACE}=off")));
    let layer: Box<dyn Layer<S> + Send + Sync> = match settings.log_format {
        LogFormat::Json => Box::new(fmt::layer().json().with_writer(std::io::stderr)),
        LogFormat::Logfmt => Box::new(tracing_logfmt::builder().layer().with_writer(std::io::stderr)),
    };
    layer.with_filter(filter)
}

fn is_wanted() -> bool {
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()))
}

/// Service name, sampler and batches come from the environment too, as the SDK reads it.
fn provider() -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build();
    let exporter = exporter
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}")))?;
    let resource = Resource::builder().build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
