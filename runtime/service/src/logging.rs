//! Logs to standard error, as the configuration says; `RUST_LOG` overrides the level by module.

use tempoform_config::{LogFormat, LogLevel, Server};
use tracing_subscriber::EnvFilter;

pub(crate) fn start(settings: &Server) {
    let level = match settings.log_level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},chitchat=warn,h2=warn,hyper=warn,tower=warn")));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let started = match settings.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Logfmt => builder.try_init(),
    };
    // A program that embeds this one may have its own logging.
    drop(started);
}
