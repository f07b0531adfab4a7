use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{ByteSize, GoDuration};

/// How processes find each other: gossip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memberlist {
    /// Name of this process among the others, stable over restarts; empty means the host name.
    /// Default empty.
    pub node_name: String,
    /// Address gossip listens on, at most one; none means every address. Default none.
    pub bind_addr: Vec<String>,
    /// Port gossip listens on (UDP). Default 7946.
    pub bind_port: u16,
    /// Address others reach this process at; empty means that of the first private network interface.
    /// Default empty.
    pub advertise_addr: String,
    /// Port others reach gossip at; 0 means `bind_port`. Default 0.
    pub advertise_port: u16,
    /// `host:port` of processes to ask first; a host name may stand for many. Default none: a process
    /// on its own.
    pub join_members: Vec<String>,
    /// Name that keeps clusters apart: processes with another one are not listened to. Default empty.
    pub cluster_label: String,
    /// Time between two rounds of gossip. Default 1s.
    pub gossip_interval: GoDuration,
    /// How long a process that went away stays known; an ingester that did not say goodbye stays longer, see
    /// `ingester.lifecycler.ring.forget_unhealthy_after`. Default 5m.
    pub left_ingesters_timeout: GoDuration,
    /// Whether a process that reaches none of `join_members` at its start gives up. Default false.
    pub abort_if_cluster_join_fails: bool,
}

impl Default for Memberlist {
    fn default() -> Self {
        Self {
            node_name: String::new(),
            bind_addr: Vec::new(),
            bind_port: 7946,
            advertise_addr: String::new(),
            advertise_port: 0,
            join_members: Vec::new(),
            cluster_label: String::new(),
            gossip_interval: GoDuration::from_secs(1),
            left_ingesters_timeout: GoDuration::from_mins(5),
            abort_if_cluster_join_fails: false,
        }
    }
}

/// The process's memory ceiling; over it, load is shed with a reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Bytes that queues, live traces, caches and queries may hold together; 0 means
    /// `automemlimit_ratio` of the control group's limit, or of the machine's memory without one.
    /// Default 0.
    pub limit_bytes: ByteSize,
    /// Share of the control group's limit to use, above 0 and up to 1; 96 MiB of it are left over in any case, or half
    /// where it is less than 192 MiB. Default 0.8.
    pub automemlimit_ratio: f64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit_bytes: ByteSize(0), automemlimit_ratio: 0.8 }
    }
}
