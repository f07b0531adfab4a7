use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{ByteSize, GoDuration};

/// The two listeners every process has, and the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address the HTTP API listens on; empty means every address. Default empty.
    pub http_listen_address: String,
    /// Port of the HTTP API; 0 lets the system choose. Default 3200.
    pub http_listen_port: u16,
    /// Address gRPC between components listens on; empty means every address. Default empty.
    pub grpc_listen_address: String,
    /// Port of gRPC between components; 0 lets the system choose. Default 9095.
    pub grpc_listen_port: u16,
    /// Least severe level that is logged. Default info.
    pub log_level: LogLevel,
    /// How log lines are written. Default logfmt.
    pub log_format: LogFormat,
    /// How long requests in flight may take to end when the process stops. Default 30s.
    pub graceful_shutdown_timeout: GoDuration,
    /// Largest gRPC message taken in from other components, bytes; what receivers take must fit into it.
    /// Default 32 MiB (Tempo: 16 MiB).
    pub grpc_server_max_recv_msg_size: ByteSize,
    /// Most gRPC calls at once on one connection. Default 1000 (Tempo: 100).
    pub grpc_server_max_concurrent_streams: u32,
    /// Certificate of the HTTP listener; without one it speaks plain HTTP. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_tls_config: Option<ServerTls>,
    /// Certificate of the gRPC listener; without one it speaks plain gRPC. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_tls_config: Option<ServerTls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            http_listen_address: String::new(),
            http_listen_port: 3200,
            grpc_listen_address: String::new(),
            grpc_listen_port: 9095,
            log_level: LogLevel::Info,
            log_format: LogFormat::Logfmt,
            graceful_shutdown_timeout: GoDuration::from_secs(30),
            grpc_server_max_recv_msg_size: ByteSize::from_mib(32),
            grpc_server_max_concurrent_streams: 1000,
            http_tls_config: None,
            grpc_tls_config: None,
        }
    }
}

/// A listener's certificate, and whom it lets in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file with the certificate chain. Required.
    pub cert_file: String,
    /// PEM file with the private key. Required.
    pub key_file: String,
    /// PEM file with the authorities whose client certificates are accepted; empty asks for none.
    /// Default empty.
    pub client_ca_file: String,
}

/// Severity of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What should not happen.
    Warn,
    /// What went wrong.
    Error,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// How a process calls the others: distributors and queriers ingesters, queriers retrievers, frontends
/// queriers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngesterClient {
    /// How long a push to an ingester may take before it counts as failed. Default 5s.
    pub remote_timeout: GoDuration,
    /// The connections.
    pub grpc_client_config: GrpcClient,
}

impl Default for IngesterClient {
    fn default() -> Self {
        Self { remote_timeout: GoDuration::from_secs(5), grpc_client_config: GrpcClient::default() }
    }
}

/// A gRPC client's connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcClient {
    /// Largest answer taken, bytes. Default 100 MiB.
    pub max_recv_msg_size: ByteSize,
    /// Whether to speak TLS. Default false.
    pub tls_enabled: bool,
    /// PEM file with the client certificate; empty shows none. Default empty.
    pub tls_cert_path: String,
    /// PEM file with the client certificate's key. Default empty.
    pub tls_key_path: String,
    /// PEM file with the authorities that sign the servers' certificates; empty means the system's.
    /// Default empty.
    pub tls_ca_path: String,
    /// Name expected in the servers' certificates; empty means the address called. Default empty.
    pub tls_server_name: String,
}

impl Default for GrpcClient {
    fn default() -> Self {
        Self {
            max_recv_msg_size: ByteSize::from_mib(100),
            tls_enabled: false,
            tls_cert_path: String::new(),
            tls_key_path: String::new(),
            tls_ca_path: String::new(),
            tls_server_name: String::new(),
        }
    }
}
