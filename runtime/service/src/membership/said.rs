//! What processes say of themselves and of each other in gossip, as key values.

use std::collections::{BTreeMap, HashSet};

use chitchat::{Chitchat, ChitchatId, NodeState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tempoform_config::Target;

use super::{Member, State};

const TARGET: &str = "target";
const STATE: &str = "state";
const SINCE: &str = "since";
const GENERATION: &str = "generation";
const UNFLUSHED: &str = "unflushed_segments";
const GRPC: &str = "grpc";
const HTTP: &str = "http";
const ZONE: &str = "zone";
/// Before the name of an ingester that does not answer: [`Away`].
const AWAY: &str = "away/";
/// Before the name of a member that is not waited for any more: its generation.
const FORGOTTEN: &str = "forgotten/";

/// An ingester that does not answer. All others say this of it, so that it is known for longer than gossip remembers
/// the silent, to processes that start later too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Away {
    pub(super) generation: u64,
    pub(super) since: Timestamp,
    pub(super) target: Target,
    pub(super) grpc: String,
    pub(super) http: String,
    pub(super) zone: String,
    /// Segments of its log that were not in storage when it was last heard of.
    #[serde(default)]
    pub(super) unflushed: Option<u64>,
}

/// One process in gossip.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Whether it is this process.
    pub(super) is_own: bool,
    /// Whether it answers.
    pub(super) is_live: bool,
    /// What it says of itself; `None` while some of it has not come yet, or is of a later version.
    pub(super) of_itself: Option<Member>,
    pub(super) unflushed: Option<u64>,
    pub(super) away: BTreeMap<String, Away>,
    pub(super) forgotten: BTreeMap<String, u64>,
}

/// What everybody says, this process included.
pub(super) fn by_everybody(gossip: &Chitchat) -> Vec<Said> {
    let live: HashSet<&ChitchatId> = gossip.live_nodes().collect();
    gossip
        .node_states()
        .iter()
        .map(|(id, state)| Said {
            is_own: id == gossip.self_chitchat_id(),
            is_live: live.contains(id),
            of_itself: member(id, state),
            unflushed: state.get(UNFLUSHED).and_then(|segments| segments.parse().ok()),
            away: by_name(state, AWAY, |text| serde_json::from_str(text).ok()),
            forgotten: by_name(state, FORGOTTEN, |text| text.parse().ok()),
        })
        .collect()
}

/// What a process says of itself at its start.
pub(super) fn at_start(own: &Member) -> Vec<(String, String)> {
    let Member { name: _, target, state, since, generation, grpc, http, zone } = own;
    let since = since.map(|since| (SINCE, since.to_string()));
    [
        (TARGET, target.to_string()),
        (STATE, state.as_str().to_owned()),
        (GENERATION, generation.to_string()),
        (GRPC, grpc.clone()),
        (HTTP, http.clone()),
        (ZONE, zone.clone()),
    ]
    .into_iter()
    .chain(since)
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// Says that this process is in `state`.
pub(super) fn say_state(own: &mut NodeState, state: State, since: Timestamp) {
    own.set(STATE, state.as_str());
    own.set(SINCE, since);
}

/// Says that this process came back after others forgot it.
pub(super) fn say_generation(own: &mut NodeState, generation: u64) {
    own.set(GENERATION, generation);
}

/// Says how many segments of this process's log are not in storage.
pub(super) fn say_unflushed(own: &mut NodeState, segments: u64) {
    own.set(UNFLUSHED, segments);
}

/// Says who is away, and that others are not any more.
pub(super) fn say_away(own: &mut NodeState, away: &BTreeMap<String, Away>) {
    let back: Vec<String> = own
        .iter_prefix(AWAY)
        .map(|(key, _)| key.to_owned())
        .filter(|key| !away.contains_key(&key[AWAY.len()..]))
        .collect();
    back.iter().for_each(|key| own.delete(key));
    for (name, away) in away {
        // Text keys and finite numbers only: always has a form.
        if let Ok(text) = serde_json::to_string(away) {
            own.set(format!("{AWAY}{name}"), text);
        }
    }
}

/// Says who is forgotten.
pub(super) fn say_forgotten(own: &mut NodeState, forgotten: &BTreeMap<String, u64>) {
    for (name, generation) in forgotten {
        own.set(format!("{FORGOTTEN}{name}"), generation);
    }
}

fn member(id: &ChitchatId, state: &NodeState) -> Option<Member> {
    Some(Member {
        name: id.node_id.to_string(),
        target: serde_json::from_value(state.get(TARGET)?.into()).ok()?,
        state: State::parse(state.get(STATE)?)?,
        since: state.get(SINCE).and_then(|since| since.parse().ok()),
        generation: state
            .get(GENERATION)
            .and_then(|generation| generation.parse().ok())
            .unwrap_or(id.generation_id),
        grpc: state.get(GRPC)?.to_owned(),
        http: state.get(HTTP)?.to_owned(),
        zone: state.get(ZONE)?.to_owned(),
    })
}

fn by_name<T>(state: &NodeState, prefix: &str, parse: impl Fn(&str) -> Option<T>) -> BTreeMap<String, T> {
    state
        .iter_prefix(prefix)
        .filter_map(|(key, value)| Some((key[prefix.len()..].to_owned(), parse(&value.value)?)))
        .collect()
}
