//! Who is a member, from what everybody says in gossip.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tempoform_config::Target;

use super::said::{Away, Said};
use super::{Member, State};

/// What this process makes of what everybody says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct View {
    pub(super) members: BTreeMap<String, Member>,
    /// Segments not in storage, of members that told.
    pub(super) unflushed: BTreeMap<String, u64>,
    /// What to say of ingesters that do not answer.
    pub(super) away: BTreeMap<String, Away>,
    /// What to say of members that are not waited for: their generations.
    pub(super) forgotten: BTreeMap<String, u64>,
    /// The generation to take, where this process itself was forgotten and is there all the same.
    pub(super) own_generation: Option<u64>,
}

/// `before` are the members of the last view; an ingester away for `forget_after` is forgotten (zero: never).
pub(super) fn view(
    said: &[Said],
    before: &BTreeMap<String, Member>,
    forget_after: Duration,
    now: Timestamp,
) -> View {
    let mut view = View { forgotten: forgotten(said), ..View::default() };
    for said in best(said).into_values() {
        let Some(member) = &said.of_itself else { continue };
        if let Some(unflushed) = said.unflushed {
            view.unflushed.insert(member.name.clone(), unflushed);
        }
        view.members.insert(member.name.clone(), member.clone());
        if said.is_own {
            let forgotten = view.forgotten.get(&member.name).copied().filter(|it| *it >= member.generation);
            view.own_generation = forgotten.map(|it| (it + 1).max(now.as_millisecond().unsigned_abs()));
        } else if !said.is_live && member.state != State::Left {
            view.falls_silent(&member.name, before, now);
        }
    }
    let live = |name: &str| {
        said.iter().any(|said| {
            (said.is_live || said.is_own) && said.of_itself.as_ref().is_some_and(|member| member.name == name)
        })
    };
    for said in said {
        for (name, away) in said.away.iter().filter(|(name, _)| !live(name)) {
            view.is_said_away(name, away);
        }
    }
    view.forget(forget_after, now, live);
    view.away =
        view.members.iter().filter_map(|(name, member)| Some((name.clone(), away(member, &view)?))).collect();
    view
}

/// The last generation of each member that somebody forgot.
fn forgotten(said: &[Said]) -> BTreeMap<String, u64> {
    let mut forgotten = BTreeMap::new();
    for (name, generation) in said.iter().flat_map(|said| &said.forgotten) {
        let last: &mut u64 = forgotten.entry(name.clone()).or_default();
        *last = (*last).max(*generation);
    }
    forgotten
}

/// Of a name that stands twice (a restart) the one that answers, else the later one. Generations are times of
/// machines whose clocks may differ: alone they would let a dead process hide its successor.
fn best(said: &[Said]) -> BTreeMap<&str, &Said> {
    let rank = |said: &Said| {
        (said.is_own, said.is_live, said.of_itself.as_ref().map_or(0, |member| member.generation))
    };
    let mut best: BTreeMap<&str, &Said> = BTreeMap::new();
    for said in said {
        let Some(member) = &said.of_itself else { continue };
        let known = best.entry(&member.name).or_insert(said);
        if rank(known) < rank(said) {
            *known = said;
        }
    }
    best
}

impl View {
    fn falls_silent(&mut self, name: &str, before: &BTreeMap<String, Member>, now: Timestamp) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.state = State::Unhealthy;
        let known = before
            .get(name)
            .filter(|before| before.state == State::Unhealthy && before.generation == member.generation);
        member.since = known.map_or(Some(now), |known| known.since);
    }

    /// Others say that an ingester, which does not answer here either, is away.
    fn is_said_away(&mut self, name: &str, away: &Away) {
        let Away { generation, since, target, grpc, http, zone, unflushed } = away.clone();
        let known = self.members.get(name);
        if known.is_some_and(|known| {
            // Of the same process the first who missed it counts: others may have started later.
            let is_earlier = known.since.is_some_and(|known| known <= since);
            known.generation > generation
                || known.generation == generation && (known.state == State::Left || is_earlier)
        }) {
            return;
        }
        if let Some(unflushed) = unflushed {
            self.unflushed.entry(name.to_owned()).or_insert(unflushed);
        }
        let name = name.to_owned();
        let member = Member {
            name: name.clone(),
            target,
            state: State::Unhealthy,
            since: Some(since),
            generation,
            grpc,
            http,
            zone,
        };
        self.members.insert(name, member);
    }

    fn forget(&mut self, after: Duration, now: Timestamp, live: impl Fn(&str) -> bool) {
        for member in self.members.values().filter(|member| !after.is_zero() && holds_spans(member)) {
            let away = member.since.map(|since| now.duration_since(since));
            if away.is_some_and(|away| Duration::try_from(away).is_ok_and(|away| away >= after)) {
                self.forgotten.insert(member.name.clone(), member.generation);
            }
        }
        let Self { members, forgotten, unflushed, .. } = self;
        members.retain(|name, member| {
            // One that answers is there, whatever was said of it.
            live(name) || forgotten.get(name).is_none_or(|forgotten| *forgotten < member.generation)
        });
        unflushed.retain(|name, _| members.contains_key(name));
    }
}

fn away(member: &Member, view: &View) -> Option<Away> {
    let Member { name, target, state: _, since, generation, grpc, http, zone } = member;
    holds_spans(member).then(|| Away {
        generation: *generation,
        since: since.unwrap_or_default(),
        target: *target,
        grpc: grpc.clone(),
        http: http.clone(),
        zone: zone.clone(),
        unflushed: view.unflushed.get(name).copied(),
    })
}

/// Whether it is away with spans on its disk that nobody else may have.
fn holds_spans(member: &Member) -> bool {
    member.state == State::Unhealthy && member.target.runs(Target::Ingester)
}
