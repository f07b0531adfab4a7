use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Client;

use super::{Check, Outcome, chain};
use crate::object::Instance;
use crate::target::Readiness;

/// Longest part of an answer's body that is shown.
const SHOWN_BODY: usize = 300;

pub(super) fn client(timeout: Duration) -> Result<Client, String> {
    // Components are reached directly, whatever proxy the user's shell names.
    Client::builder()
        .no_proxy()
        .timeout(timeout)
        .build()
        .map_err(|error| format!("no HTTP client: {}", chain(&error)))
}

pub(super) async fn readiness(client: &Client, instances: &[Instance]) -> Vec<Check> {
    join_all(instances.iter().map(|instance| one(client, instance))).await
}

async fn one(client: &Client, instance: &Instance) -> Check {
    let began = Instant::now();
    let name = format!("ready/{}", instance.instance);
    let Some(address) = instance.endpoints.get("http") else {
        return Check::new(name, began, Outcome::Fail, "has no http endpoint".to_owned());
    };
    match ready(client, address).await {
        Readiness::Ready => Check::new(name, began, Outcome::Pass, "ready".to_owned()),
        Readiness::Waiting(reason) | Readiness::Failed(reason) => {
            let note = instance.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            Check::new(name, began, Outcome::Fail, format!("{reason}{note}"))
        }
    }
}

/// Asks `http://ADDRESS/ready`.
pub async fn ready(client: &Client, address: &str) -> Readiness {
    match client.get(format!("http://{address}/ready")).send().await {
        Err(error) if error.is_connect() => Readiness::Waiting(format!("nothing listens on {address} yet")),
        Err(error) => Readiness::Waiting(chain(&error)),
        Ok(answer) if answer.status().is_success() => Readiness::Ready,
        Ok(answer) => Readiness::Waiting(describe(answer).await),
    }
}

/// Status and the beginning of the body of an answer that was not the wanted one.
pub(super) async fn describe(answer: reqwest::Response) -> String {
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    let body: String = body.trim().chars().take(SHOWN_BODY).collect();
    if body.is_empty() { format!("answered {status}") } else { format!("answered {status}: {body}") }
}
