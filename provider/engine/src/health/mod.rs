//! Whether a running Tempo serves: every component ready, the ring complete, and a canary trace
//! that comes back.

mod account;
mod canary;
mod probe;
mod receiver;
mod ring;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::object::Instance;

pub use account::{ObjectStoreAccount, object_store_account};
pub use probe::ready;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Not as it should be, and not a reason to call the system unhealthy.
    Warn,
    /// Not serving.
    Fail,
}

/// One check of the health of a running Tempo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked: `ready/ingester-0`, `ring`, `canary/write`, `canary/by-id`, …
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What was seen, or why it failed.
    pub reason: String,
}

/// Every check of a running Tempo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// No check failed.
    pub healthy: bool,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

/// What is checked and how long it may take.
#[derive(Clone, Debug)]
pub struct HealthOptions {
    /// Tenant of the canary; absent where requests name none.
    pub tenant: Option<String>,
    /// How many ingesters the ring must have.
    pub ingesters: usize,
    /// One request.
    pub request_timeout: Duration,
    /// Until the ring is complete: members learn of each other by gossip.
    pub ring_within: Duration,
    /// From the canary's write until it is read by id.
    pub by_id_within: Duration,
    /// From the canary's write until a search finds it; later is a warning.
    pub search_within: Duration,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            tenant: None,
            ingesters: 1,
            request_timeout: Duration::from_secs(5),
            ring_within: Duration::from_secs(10),
            by_id_within: Duration::from_secs(5),
            search_within: Duration::from_secs(10),
        }
    }
}

/// The components that take spans in, in the order of preference.
const WRITERS: [&str; 2] = ["distributor", "tempo"];
/// The components that answer queries, in the order of preference.
const READERS: [&str; 3] = ["queryFrontend", "tempo", "querier"];

/// Makes every check. The canary is only sent when every component is ready.
pub async fn check(instances: &[Instance], options: &HealthOptions) -> Report {
    let client = match probe::client(options.request_timeout) {
        Ok(client) => client,
        Err(reason) => return Report::of(vec![Check::new("client", Instant::now(), Outcome::Fail, reason)]),
    };
    let mut checks = probe::readiness(&client, instances).await;
    if checks.is_empty() {
        checks.push(Check::new("ready", Instant::now(), Outcome::Fail, "nothing is applied".to_owned()));
    }
    let all_ready = checks.iter().all(|check| check.outcome == Outcome::Pass);
    if all_ready {
        if let Some(check) = ring::check(&client, instances, options.ingesters, options.ring_within).await {
            checks.push(check);
        }
        checks.extend(canary::check(&client, instances, options).await);
    }
    Report::of(checks)
}

impl Report {
    fn of(checks: Vec<Check>) -> Self {
        let healthy = checks.iter().all(|check| check.outcome != Outcome::Fail);
        Self { healthy, checks }
    }
}

impl Check {
    fn new(name: impl Into<String>, began: Instant, outcome: Outcome, reason: String) -> Self {
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self { name: name.into(), outcome, duration_ms, reason }
    }
}

/// The first instance of the most preferred component that has the endpoint.
fn endpoint<'a>(instances: &'a [Instance], components: &[&str], endpoint: &str) -> Option<&'a str> {
    components.iter().find_map(|component| {
        let mut of_component = instances.iter().filter(|instance| instance.name == *component);
        of_component.find_map(|instance| instance.endpoints.get(endpoint).map(String::as_str))
    })
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
