use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{ByteSize, GoDuration};

/// Keeps recent spans readable and on disk, and cuts them into blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingester {
    /// How long after its last span a trace counts as live, see
    /// `overrides.defaults.ingestion.max_traces_per_user`. Default 10s.
    pub trace_idle_period: GoDuration,
    /// Age at which the current block is cut. Default 5m (Tempo 2: 30m).
    pub max_block_duration: GoDuration,
    /// Size of logged spans at which the current block is cut, bytes. Default 256 MiB (Tempo 2: 500 MB).
    pub max_block_bytes: ByteSize,
    /// How often age and size are looked at. Default 10s.
    pub flush_check_period: GoDuration,
    /// Blocks built and uploaded at once. Default 4.
    pub concurrent_flushes: u32,
    /// How long building and uploading one block may take before it is tried again. Default 5m.
    pub flush_op_timeout: GoDuration,
    /// How long a block stays readable here after its upload; at least twice
    /// `storage.trace.blocklist_poll`, so that no trace is out of sight in between. Default 15m.
    pub complete_block_timeout: GoDuration,
    /// Whether everything is flushed before the process stops; otherwise the log is replayed at the next
    /// start. Default true (Tempo: false).
    pub flush_all_on_shutdown: bool,
    /// What an acknowledged write has survived. Default sync.
    pub durability: Durability,
    /// With `durability: async`, how often the log is synced to disk: the time span a power cut may
    /// lose. Default 1s.
    pub async_sync_period: GoDuration,
    /// With a replication factor above 1, how long after the disappearance of an ingester another one makes blocks of
    /// the spans that it kept for it. Default 5m.
    pub take_over_after: GoDuration,
    /// This ingester's place among the others.
    pub lifecycler: Lifecycler,
}

impl Default for Ingester {
    fn default() -> Self {
        Self {
            trace_idle_period: GoDuration::from_secs(10),
            max_block_duration: GoDuration::from_mins(5),
            max_block_bytes: ByteSize::from_mib(256),
            flush_check_period: GoDuration::from_secs(10),
            concurrent_flushes: 4,
            flush_op_timeout: GoDuration::from_mins(5),
            complete_block_timeout: GoDuration::from_mins(15),
            flush_all_on_shutdown: true,
            durability: Durability::Sync,
            async_sync_period: GoDuration::from_secs(1),
            take_over_after: GoDuration::from_mins(5),
            lifecycler: Lifecycler::default(),
        }
    }
}

/// What an acknowledged write has survived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It is on disk: a power cut loses nothing. Writes wait for a shared sync.
    #[default]
    Sync,
    /// It is with the operating system: a crash of the process loses nothing, a power cut up to
    /// `async_sync_period`.
    Async,
}

/// An ingester's place among the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycler {
    /// How traces are spread over ingesters.
    pub ring: IngesterRing,
    /// Zone of this ingester; replicas of a trace are put into different zones. Default empty.
    pub availability_zone: String,
}

/// How traces are spread over ingesters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngesterRing {
    /// Copies of each trace in different ingesters; a write is acknowledged by more than half. Default 1.
    pub replication_factor: u32,
    /// How long an ingester may be silent before it gets no more traces. Default 10s (Tempo: 1m).
    pub heartbeat_timeout: GoDuration,
    /// Whether replicas must be in different zones. Default false.
    pub zone_awareness_enabled: bool,
    /// How long an ingester that does not answer is waited for before nobody looks for its spans any more; 0 means
    /// until it returns, or an operator forgets it on `/status/ring`. Default 0s.
    pub forget_unhealthy_after: GoDuration,
}

impl Default for IngesterRing {
    fn default() -> Self {
        Self {
            replication_factor: 1,
            heartbeat_timeout: GoDuration::from_secs(10),
            zone_awareness_enabled: false,
            forget_unhealthy_after: GoDuration::ZERO,
        }
    }
}
