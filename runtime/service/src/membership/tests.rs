use std::time::Duration;

use tempoform_document::GoDuration;

use super::*;

mod relay;
mod views;

use relay::Relay;

/// Of everything that must come about: far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(40);
/// After which gossip itself forgets the silent.
const GOSSIP_FORGETS: Duration = Duration::from_millis(1500);

/// Processes that gossip with each other over loopback, through a relay.
pub(crate) struct Cluster {
    relay: Relay,
    forget_after: Duration,
}

/// Where a process is, seen from the relay.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        Self { relay: Relay::new().await, forget_after: Duration::ZERO }
    }

    pub(crate) async fn start(&self, name: &str, target: Target, side: Side) -> Membership {
        let (port, relayed) = self.relay.place(side).await;
        let mut config = Config::default();
        config.ingester.lifecycler.ring.heartbeat_timeout = GoDuration(Duration::from_millis(600));
        config.ingester.lifecycler.ring.forget_unhealthy_after = GoDuration(self.forget_after);
        config.memberlist = Memberlist {
            bind_addr: vec!["127.0.0.1".to_owned()],
            bind_port: port,
            advertise_port: relayed,
            join_members: self.relay.seeds(),
            gossip_interval: GoDuration(INTERVAL),
            left_ingesters_timeout: GoDuration(GOSSIP_FORGETS),
            ..Memberlist::default()
        };
        let own = Member::starting(name.to_owned(), target, String::new(), String::new(), String::new());
        let membership = Membership::join(own, &config).await.expect("joins");
        membership.set_state(State::Active).await;
        membership
    }
}

/// The state of `name` as `member` sees it.
fn state(member: &Membership, name: &str) -> Option<State> {
    member.members().get(name).map(|member| member.state)
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENCE, "never came about: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

pub(crate) async fn until_all_see(members: &[&Membership], name: &str, wanted: Option<State>) {
    until(&format!("{name} is {wanted:?}"), || members.iter().all(|member| state(member, name) == wanted))
        .await;
}

/// Watches for twice as long as gossip itself remembers that none of `names` is out of sight.
async fn stay_known(members: &[&Membership], names: &[&str]) {
    let started = Instant::now();
    while started.elapsed() < GOSSIP_FORGETS * 2 {
        for (member, name) in members.iter().flat_map(|member| names.iter().map(move |name| (member, name))) {
            assert!(state(member, name).is_some(), "{name} is out of {}'s sight", member.own_name());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingester_that_died_is_known_to_those_who_start_later_and_others_are_not() {
    let cluster = Cluster::new().await;
    let one = cluster.start("ingester-1", Target::Ingester, Side::Left).await;
    let two = cluster.start("ingester-2", Target::Ingester, Side::Left).await;
    let querier = cluster.start("querier-0", Target::Querier, Side::Left).await;
    until_all_see(&[&one, &querier], "ingester-2", Some(State::Active)).await;
    until_all_see(&[&one, &two], "querier-0", Some(State::Active)).await;
    two.set_unflushed(3).await;
    until("segments are told", || one.unflushed().get("ingester-2") == Some(&3)).await;

    // Without a goodbye.
    drop((two, querier));
    until_all_see(&[&one], "ingester-2", Some(State::Unhealthy)).await;
    until_all_see(&[&one], "querier-0", None).await;
    stay_known(&[&one], &["ingester-2"]).await;
    let since = one.members()["ingester-2"].since;

    let late = cluster.start("querier-1", Target::Querier, Side::Left).await;
    until_all_see(&[&late], "ingester-2", Some(State::Unhealthy)).await;
    until("since when is told", || late.members()["ingester-2"].since == since).await;
    assert_eq!(late.unflushed().get("ingester-2"), Some(&3));
    assert_eq!(state(&late, "querier-0"), None);
    // It has it from the one who is gone now.
    drop(one);
    until_all_see(&[&late], "ingester-1", Some(State::Unhealthy)).await;
    stay_known(&[&late], &["ingester-1", "ingester-2"]).await;

    let back = cluster.start("ingester-2", Target::Ingester, Side::Left).await;
    until_all_see(&[&late, &back], "ingester-2", Some(State::Active)).await;
    back.leave(true).await;
    until_all_see(&[&late], "ingester-2", Some(State::Left)).await;
    until_all_see(&[&late], "ingester-2", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_forgets_all_forget_until_it_returns() {
    let cluster = Cluster::new().await;
    let one = cluster.start("ingester-1", Target::Ingester, Side::Left).await;
    let two = cluster.start("ingester-2", Target::Ingester, Side::Left).await;
    let ordered = cluster.start("querier-0", Target::Querier, Side::Left).await;
    until_all_see(&[&one, &ordered], "ingester-2", Some(State::Active)).await;
    assert_eq!(ordered.forget("ingester-2").await, Err(NotForgotten::Present(State::Active)));
    assert_eq!(ordered.forget("ingester-9").await, Err(NotForgotten::Unknown));

    drop(two);
    until_all_see(&[&one, &ordered], "ingester-2", Some(State::Unhealthy)).await;
    ordered.forget("ingester-2").await.expect("it is gone");
    assert_eq!(state(&ordered, "ingester-2"), None, "at once where it was ordered");
    until_all_see(&[&one], "ingester-2", None).await;
    // The order outlives who took it.
    drop(ordered);
    until_all_see(&[&one], "querier-0", None).await;
    let late = cluster.start("querier-1", Target::Querier, Side::Left).await;
    until_all_see(&[&one], "querier-1", Some(State::Active)).await;
    assert_eq!(state(&late, "ingester-2"), None);

    let back = cluster.start("ingester-2", Target::Ingester, Side::Left).await;
    until_all_see(&[&one, &late], "ingester-2", Some(State::Active)).await;
    // And is missed again when it goes.
    drop(back);
    until_all_see(&[&one, &late], "ingester-2", Some(State::Unhealthy)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingester_is_forgotten_by_itself_where_that_is_configured() {
    let cluster = Cluster { forget_after: Duration::from_secs(2), ..Cluster::new().await };
    let one = cluster.start("ingester-1", Target::Ingester, Side::Left).await;
    let two = cluster.start("ingester-2", Target::Ingester, Side::Left).await;
    until_all_see(&[&one], "ingester-2", Some(State::Active)).await;
    drop(two);
    until_all_see(&[&one], "ingester-2", Some(State::Unhealthy)).await;
    until_all_see(&[&one], "ingester-2", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn divided_members_miss_each_other_and_find_together_again() {
    let cluster = Cluster::new().await;
    let left = [
        cluster.start("ingester-1", Target::Ingester, Side::Left).await,
        cluster.start("querier-1", Target::Querier, Side::Left).await,
    ];
    let right = [
        cluster.start("ingester-2", Target::Ingester, Side::Right).await,
        cluster.start("querier-2", Target::Querier, Side::Right).await,
    ];
    let restarted = cluster.start("ingester-3", Target::Ingester, Side::Right).await;
    let left: Vec<&Membership> = left.iter().collect();
    let right: Vec<&Membership> = right.iter().collect();
    let all: Vec<&Membership> = left.iter().chain(&right).copied().collect();
    for name in ["ingester-1", "ingester-2", "ingester-3"] {
        until_all_see(&all, name, Some(State::Active)).await;
    }
    let first_generation = left[0].members()["ingester-3"].generation;

    cluster.relay.divide(true);
    // Never out of sight, neither before they are missed nor after.
    until("each side misses the other", || {
        let sees = |members: &[&Membership], name: &str| {
            members.iter().all(|member| {
                let state = state(member, name);
                assert!(state.is_some(), "{name} is out of {}'s sight", member.own_name());
                state == Some(State::Unhealthy)
            })
        };
        sees(&left, "ingester-2") & sees(&left, "ingester-3") & sees(&right, "ingester-1")
    })
    .await;
    until_all_see(&right, "ingester-2", Some(State::Active)).await;
    drop(restarted);
    let restarted = cluster.start("ingester-3", Target::Ingester, Side::Right).await;
    until_all_see(&right, "ingester-3", Some(State::Active)).await;
    stay_known(&left, &["ingester-2", "ingester-3"]).await;
    stay_known(&right, &["ingester-1"]).await;
    // It lives, where the operator cannot see it.
    let forgotten = left[1].members()["ingester-2"].generation;
    left[1].forget("ingester-2").await.expect("it is away, from here");
    until_all_see(&left, "ingester-2", None).await;

    cluster.relay.divide(false);
    let healed = Instant::now();
    until("all are back", || {
        assert!(healed.elapsed() < INTERVAL * 1000, "a thousand rounds of gossip");
        let active = |name| all.iter().all(|member| state(member, name) == Some(State::Active));
        active("ingester-1") && active("ingester-2") && active("ingester-3")
    })
    .await;
    for member in &all {
        let generation = member.members()["ingester-3"].generation;
        assert_eq!(generation, restarted.members()["ingester-3"].generation, "the later one wins");
        assert!(generation > first_generation);
    }
    // It was forgotten while it was there, said so, and is missed all the same when it goes.
    until("the forgotten one spoke up", || {
        all.iter().all(|member| member.members()["ingester-2"].generation > forgotten)
    })
    .await;
    drop(right[0].gossip.lock().await.take());
    until_all_see(&left, "ingester-2", Some(State::Unhealthy)).await;
}
