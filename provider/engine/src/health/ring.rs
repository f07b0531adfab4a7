use std::time::Instant;

use reqwest::Client;
use serde::Deserialize;

use super::probe::describe;
use super::{Check, Outcome, WRITERS, chain, endpoint};
use crate::object::Instance;

/// The answer of `/status/ring`, as far as it is looked at.
#[derive(Deserialize)]
struct Ring {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    #[serde(alias = "id", alias = "instance")]
    name: String,
    #[serde(default, alias = "role")]
    component: String,
    #[serde(default)]
    state: String,
}

/// Whether the component that writes sees as many live ingesters as are declared. None where there
/// is no ring: a single binary.
pub(super) async fn check(client: &Client, instances: &[Instance], ingesters: usize) -> Option<Check> {
    if !instances.iter().any(|instance| instance.name == "ingester") {
        return None;
    }
    let began = Instant::now();
    let address = endpoint(instances, &WRITERS, "http")?;
    let (outcome, reason) = match fetch(client, address).await {
        Ok(ring) => judge(&ring, ingesters),
        Err(reason) => (Outcome::Fail, format!("http://{address}/status/ring: {reason}")),
    };
    Some(Check::new("ring", began, outcome, reason))
}

async fn fetch(client: &Client, address: &str) -> Result<Ring, String> {
    let request = client.get(format!("http://{address}/status/ring")).header("accept", "application/json");
    let answer = request.send().await.map_err(|error| chain(&error))?;
    if !answer.status().is_success() {
        return Err(describe(answer).await);
    }
    answer.json().await.map_err(|error| chain(&error))
}

fn judge(ring: &Ring, declared: usize) -> (Outcome, String) {
    let of_ring: Vec<&Member> = ring
        .members
        .iter()
        .filter(|member| {
            let component = if member.component.is_empty() { &member.name } else { &member.component };
            component.starts_with("ingester")
        })
        .collect();
    let (live, away): (Vec<&Member>, Vec<&Member>) = of_ring.into_iter().partition(|member| is_live(&member.state));
    let away: Vec<String> = away.iter().map(|member| format!("{} is {}", member.name, member.state)).collect();
    let seen = format!("{} of {declared} ingesters are live", live.len());
    match (live.len() >= declared, away.is_empty()) {
        (true, true) => (Outcome::Pass, seen),
        (true, false) => (Outcome::Warn, format!("{seen}; {}", away.join(", "))),
        (false, true) => (Outcome::Fail, seen),
        (false, false) => (Outcome::Fail, format!("{seen}; {}", away.join(", "))),
    }
}

fn is_live(state: &str) -> bool {
    state.is_empty() || ["active", "live", "alive", "ready"].iter().any(|live| state.eq_ignore_ascii_case(live))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(json: &str) -> Ring {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_complete_ring_passes() {
        let ring = ring(
            r#"{"members":[{"name":"ingester-0","component":"ingester","state":"ACTIVE"},
                {"name":"ingester-1","component":"ingester","state":"ACTIVE"},
                {"name":"distributor-0","component":"distributor","state":"ACTIVE"}]}"#,
        );
        assert_eq!(judge(&ring, 2), (Outcome::Pass, "2 of 2 ingesters are live".to_owned()));
    }

    #[test]
    fn a_missing_ingester_fails_by_name() {
        let ring = ring(
            r#"{"members":[{"name":"ingester-0","state":"ACTIVE"},{"name":"ingester-1","state":"DEAD"}]}"#,
        );
        let (outcome, reason) = judge(&ring, 2);
        assert_eq!(outcome, Outcome::Fail);
        assert_eq!(reason, "1 of 2 ingesters are live; ingester-1 is DEAD");
    }

    #[test]
    fn a_leftover_member_warns() {
        let ring = ring(
            r#"{"members":[{"name":"ingester-0","state":"ACTIVE"},{"name":"ingester-1","state":"LEAVING"}]}"#,
        );
        assert_eq!(judge(&ring, 1).0, Outcome::Warn);
    }
}
