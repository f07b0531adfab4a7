use std::cmp::Ordering;
use std::time::{Duration, Instant};

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
    name: String,
    target: String,
    state: String,
}

const POLL: Duration = Duration::from_millis(100);

/// Whether the component that writes sees as many live ingesters as are declared. None where there
/// is no ring: a single binary.
pub(super) async fn check(
    client: &Client,
    instances: &[Instance],
    ingesters: usize,
    within: Duration,
) -> Option<Check> {
    if !instances.iter().any(|instance| instance.name == "ingester") {
        return None;
    }
    let began = Instant::now();
    let address = endpoint(instances, &WRITERS, "http")?;
    loop {
        let (outcome, reason) = match fetch(client, address).await {
            Ok(ring) => judge(&ring, ingesters, address),
            Err(reason) => (Outcome::Fail, format!("http://{address}/status/ring: {reason}")),
        };
        if outcome != Outcome::Fail || began.elapsed() >= within {
            return Some(Check::new("ring", began, outcome, reason));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn fetch(client: &Client, address: &str) -> Result<Ring, String> {
    let request = client.get(format!("http://{address}/status/ring")).header("accept", "application/json");
    let answer = request.send().await.map_err(|error| chain(&error))?;
    if !answer.status().is_success() {
        return Err(describe(answer).await);
    }
    answer.json().await.map_err(|error| chain(&error))
}

fn judge(ring: &Ring, declared: usize, address: &str) -> (Outcome, String) {
    let of_ring: Vec<&Member> = ring.members.iter().filter(|member| member.target == "ingester").collect();
    let (live, away): (Vec<&Member>, Vec<&Member>) =
        of_ring.into_iter().partition(|member| member.state == "active");
    let unhealthy: Vec<&str> =
        away.iter().filter(|member| member.state == "unhealthy").map(|member| member.name.as_str()).collect();
    let away: Vec<String> =
        away.iter().map(|member| format!("{} is {}", member.name, member.state)).collect();
    let mut seen = format!("{} ingesters are live, {declared} are declared", live.len());
    if !away.is_empty() {
        seen = format!("{seen}; {}", away.join(", "));
    }
    if let [first, ..] = unhealthy[..] {
        // It is waited for until it returns, since its disk may hold spans that nobody else has.
        seen = format!(
            "{seen}; queries miss what only its disk holds until it is back. If it will never be, forget it: curl -X POST 'http://{address}/status/ring?forget={first}'"
        );
    }
    match live.len().cmp(&declared) {
        Ordering::Less => (Outcome::Fail, seen),
        Ordering::Equal if away.is_empty() => (Outcome::Pass, seen),
        // One that went is remembered for a while.
        Ordering::Equal | Ordering::Greater => (Outcome::Warn, seen),
    }
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
            r#"{"members":[{"name":"ingester-0","target":"ingester","state":"active","grpc":"127.0.0.1:1"},
                {"name":"ingester-1","target":"ingester","state":"active"},
                {"name":"distributor-0","target":"distributor","state":"active"}]}"#,
        );
        assert_eq!(
            judge(&ring, 2, "127.0.0.1:3200"),
            (Outcome::Pass, "2 ingesters are live, 2 are declared".to_owned())
        );
    }

    #[test]
    fn a_missing_ingester_fails_by_name() {
        let ring = ring(
            r#"{"members":[{"name":"ingester-0","target":"ingester","state":"active"},
                {"name":"ingester-1","target":"ingester","state":"joining"}]}"#,
        );
        let (outcome, reason) = judge(&ring, 2, "127.0.0.1:3200");
        assert_eq!(outcome, Outcome::Fail);
        assert_eq!(reason, "1 ingesters are live, 2 are declared; ingester-1 is joining");
    }

    #[test]
    fn a_leaving_member_warns() {
        let ring = ring(
            r#"{"members":[{"name":"ingester-0","target":"ingester","state":"active"},
                {"name":"ingester-1","target":"ingester","state":"leaving"}]}"#,
        );
        assert_eq!(judge(&ring, 1, "127.0.0.1:3200").0, Outcome::Warn);
    }

    #[test]
    fn an_unhealthy_member_is_named_with_the_way_to_forget_it() {
        let ring = ring(
            r#"{"members":[{"name":"ingester-0","target":"ingester","state":"active"},
                {"name":"ingester-1","target":"ingester","state":"unhealthy","since":"2026-01-01T00:00:00Z"}]}"#,
        );
        for (declared, expected) in [(1, Outcome::Warn), (2, Outcome::Fail)] {
            let (outcome, reason) = judge(&ring, declared, "127.0.0.1:3200");
            assert_eq!(outcome, expected);
            assert!(reason.contains("ingester-1 is unhealthy"), "{reason}");
            assert!(
                reason.ends_with("curl -X POST 'http://127.0.0.1:3200/status/ring?forget=ingester-1'"),
                "{reason}"
            );
        }
    }
}
