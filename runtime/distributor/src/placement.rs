//! Which ingesters a trace belongs to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempoform_core::{Error, Push, PushOutcome, Result, SpanSink, TenantId, TraceId};
use tokio::time::Instant;

use crate::complaints::Complaints;
use crate::lane::Lane;
use crate::metrics;
use crate::rendezvous::Rendezvous;
use crate::replication::Held;

/// An ingester that takes writes.
#[derive(Clone)]
pub struct Member {
    name: String,
    zone: String,
    way: Way,
    /// Until when it comes last; `None` if it answers as it should.
    suspect_until: Arc<Mutex<Option<Instant>>>,
    complaints: Arc<Complaints>,
}

/// How a member is written to.
#[derive(Clone)]
enum Way {
    /// Each push by itself.
    Direct(Arc<dyn SpanSink>),
    Lane(Lane),
}

/// How long a member that did not answer in time comes last.
const SUSPECT_FOR: Duration = Duration::from_secs(5);

/// The ingesters at one moment, and how many of them hold each trace.
#[derive(Clone, Debug)]
pub struct Placement {
    members: Vec<Member>,
    rendezvous: Rendezvous,
    replication_factor: usize,
}

impl Member {
    /// The ingester `name` in `zone` (empty = zones do not matter), written to through `sink`. The name decides
    /// which traces it gets, so it outlives restarts.
    pub fn new(name: impl Into<String>, zone: impl Into<String>, sink: Arc<dyn SpanSink>) -> Self {
        Self::by(name.into(), zone.into(), Way::Direct(sink))
    }

    /// The same for one in another process: what waits for it goes in one write, which may take `timeout`.
    pub fn remote(
        name: impl Into<String>,
        zone: impl Into<String>,
        sink: Arc<dyn SpanSink>,
        timeout: Duration,
    ) -> Self {
        Self::by(name.into(), zone.into(), Way::Lane(Lane::new(sink, timeout)))
    }

    fn by(name: String, zone: String, way: Way) -> Self {
        Self { name, zone, way, suspect_until: Arc::default(), complaints: Arc::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As [`SpanSink::push`]; `held` is what the push holds of the budgets.
    pub(crate) async fn push(&self, tenant: &TenantId, push: Push, held: Held) -> Result<Vec<PushOutcome>> {
        match &self.way {
            Way::Direct(sink) => {
                let _held = held;
                sink.push(tenant, push).await
            }
            Way::Lane(lane) => lane.push(tenant, push, held).await,
        }
    }

    /// It did not take a write. Told in the log now and then: while it is down every request hears of it.
    pub(crate) fn failed(&self, error: &Error) {
        metrics::INGESTER_FAILURES.with_label_values(&[&self.name]).inc();
        self.complaints.tell(|untold| {
            let (ingester, kind) = (&self.name, error.kind());
            tracing::warn!(ingester, ?kind, %error, untold, "an ingester refused a write");
        });
    }

    /// It did not answer in time: for a while others come first, so that not every request waits for it.
    pub(crate) fn suspect(&self) {
        let until = Instant::now() + SUSPECT_FOR;
        *self.suspect_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn is_suspect(&self) -> bool {
        let until = *self.suspect_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Member").field(&self.name).finish()
    }
}

impl Placement {
    /// `members` with each trace on `replication_factor` of them (at least one).
    pub fn new(members: Vec<Member>, replication_factor: usize) -> Self {
        let named: Vec<(&str, &str)> = members.iter().map(|member| (&*member.name, &*member.zone)).collect();
        let rendezvous = Rendezvous::new(&named, replication_factor);
        Self { members, rendezvous, replication_factor: replication_factor.max(1) }
    }

    /// The ingesters.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member to which all goes as it is: there is no other, and one copy is enough.
    pub(crate) fn only(&self) -> Option<&Member> {
        match (&self.members[..], self.replication_factor) {
            ([only], 1) => Some(only),
            _ => None,
        }
    }

    /// Copies of each trace.
    pub fn replication_factor(&self) -> usize {
        self.replication_factor
    }

    /// Copies that must be durable before a span is acknowledged: a majority.
    pub fn quorum(&self) -> usize {
        self.replication_factor / 2 + 1
    }

    /// Members that come last for now, by position.
    pub(crate) fn suspects(&self) -> Vec<bool> {
        self.members.iter().map(Member::is_suspect).collect()
    }

    /// Positions of all members, the trace's owners first, then those that stand in for them. Owners are in as
    /// many zones as there are; `suspects` come last.
    pub(crate) fn preference(&self, id: &TraceId, suspects: &[bool], order: &mut Vec<u32>) {
        self.rendezvous.order(id, order);
        if suspects.contains(&true) {
            order.sort_by_key(|at| suspects[*at as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    #[async_trait::async_trait]
    impl SpanSink for Nowhere {
        async fn push(&self, _: &TenantId, _: Push) -> Result<Vec<PushOutcome>> {
            Ok(Vec::new())
        }
    }

    fn placement(names: &[&str]) -> Placement {
        Placement::new(names.iter().map(|name| Member::new(*name, "", Arc::new(Nowhere))).collect(), 1)
    }

    fn owners(placement: &Placement) -> Vec<String> {
        let mut order = Vec::new();
        (0..3000u128)
            .map(|id| {
                placement.preference(
                    &TraceId::new((id * 0x9e37_79b9).to_be_bytes()),
                    &placement.suspects(),
                    &mut order,
                );
                placement.members()[order[0] as usize].name().to_owned()
            })
            .collect()
    }

    #[test]
    fn traces_spread_evenly_and_only_those_of_a_lost_member_move() {
        let before = owners(&placement(&["ingester-0", "ingester-1", "ingester-2"]));
        for name in ["ingester-0", "ingester-1", "ingester-2"] {
            let share = before.iter().filter(|owner| *owner == name).count();
            assert!((850..=1150).contains(&share), "{name} owns {share} of 3000");
        }
        let after = owners(&placement(&["ingester-2", "ingester-0"]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || before == "ingester-1");
        }
    }

    #[test]
    fn owners_are_in_as_many_zones_as_there_are() {
        let members = [("a-0", "a"), ("a-1", "a"), ("a-2", "a"), ("b-0", "b"), ("c-0", "c")];
        let members = members.map(|(name, zone)| Member::new(name, zone, Arc::new(Nowhere))).into();
        let placement = Placement::new(members, 3);
        let mut order = Vec::new();
        for id in 0..500u128 {
            placement.preference(
                &TraceId::new((id * 0x9e37_79b9).to_be_bytes()),
                &placement.suspects(),
                &mut order,
            );
            let mut zones: Vec<_> =
                order[..3].iter().map(|at| placement.members()[*at as usize].zone.as_str()).collect();
            zones.sort_unstable();
            assert_eq!(zones, ["a", "b", "c"]);
            let mut all = order.clone();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4], "nobody is lost");
        }
    }
}
