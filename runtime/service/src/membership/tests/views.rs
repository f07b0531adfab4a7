//! What is made of what is said, case by case.

use super::super::said::{Away, Said};
use super::super::view::{View, view};
use super::*;

fn said(name: &str, generation: u64, is_live: bool, state: State) -> Said {
    let of_itself = Member {
        name: name.to_owned(),
        target: Target::Ingester,
        state,
        since: Some(Timestamp::UNIX_EPOCH),
        generation,
        grpc: String::new(),
        http: String::new(),
        zone: String::new(),
    };
    Said {
        is_own: name == "own",
        is_live,
        of_itself: Some(of_itself),
        unflushed: None,
        away: BTreeMap::new(),
        forgotten: BTreeMap::new(),
    }
}

fn own() -> Said {
    said("own", 5, true, State::Active)
}

fn away(generation: u64, seconds: i64) -> Away {
    Away {
        generation,
        since: at(seconds),
        target: Target::Ingester,
        grpc: String::new(),
        http: String::new(),
        zone: String::new(),
        unflushed: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

fn seen(said: &[Said]) -> View {
    view(said, &BTreeMap::new(), Duration::ZERO, at(1000))
}

fn state_of(view: &View, name: &str) -> Option<State> {
    view.members.get(name).map(|member| member.state)
}

#[test]
fn the_dead_process_with_the_faster_clock_does_not_hide_its_successor() {
    let view = seen(&[own(), said("a", 9, false, State::Active), said("a", 7, true, State::Active)]);
    assert_eq!((state_of(&view, "a"), view.members["a"].generation), (Some(State::Active), 7));
    let view = seen(&[own(), said("a", 9, false, State::Active), said("a", 7, false, State::Left)]);
    assert_eq!((state_of(&view, "a"), view.members["a"].generation), (Some(State::Unhealthy), 9));
}

#[test]
fn a_goodbye_ends_what_others_say_of_the_same_process_only() {
    let mut other = said("b", 1, true, State::Active);
    other.away.insert("a".to_owned(), away(7, 10));
    assert_eq!(
        state_of(&seen(&[own(), other.clone(), said("a", 7, false, State::Left)]), "a"),
        Some(State::Left)
    );
    assert_eq!(
        state_of(&seen(&[own(), other.clone(), said("a", 6, false, State::Left)]), "a"),
        Some(State::Unhealthy)
    );
    assert_eq!(state_of(&seen(&[own(), other, said("a", 6, true, State::Active)]), "a"), Some(State::Active));
}

#[test]
fn who_missed_it_first_tells_since_when() {
    let mut other = said("b", 1, true, State::Active);
    other.away.insert("a".to_owned(), away(7, 10));
    let view = seen(&[own(), other, said("a", 7, false, State::Active)]);
    assert_eq!(view.members["a"].since, Some(at(10)));
    assert_eq!(view.away["a"], away(7, 10), "and is repeated");
}

#[test]
fn forgotten_is_a_generation_and_nobody_who_answers() {
    let mut other = said("b", 1, true, State::Active);
    other.forgotten.insert("a".to_owned(), 7);
    let view = seen(&[own(), other.clone(), said("a", 7, false, State::Active)]);
    assert_eq!((state_of(&view, "a"), view.forgotten["a"]), (None, 7));
    assert!(view.away.is_empty());
    assert_eq!(
        state_of(&seen(&[own(), other.clone(), said("a", 8, false, State::Active)]), "a"),
        Some(State::Unhealthy)
    );
    assert_eq!(
        state_of(&seen(&[own(), other.clone(), said("a", 7, true, State::Active)]), "a"),
        Some(State::Active)
    );
    other.forgotten.insert("own".to_owned(), 5);
    assert_eq!(seen(&[own(), other]).own_generation, Some(1_000_000), "it speaks up for itself");
}

#[test]
fn only_ingesters_that_are_away_are_forgotten_by_age() {
    let gone = said("a", 7, false, State::Active);
    let mut other = said("b", 1, true, State::Active);
    other.away.insert("a".to_owned(), away(7, 900));
    let with = |seconds| {
        view(&[own(), other.clone(), gone.clone()], &BTreeMap::new(), Duration::from_secs(seconds), at(1000))
    };
    assert_eq!(state_of(&with(101), "a"), Some(State::Unhealthy));
    let after = with(100);
    assert_eq!((state_of(&after, "a"), after.forgotten.get("a")), (None, Some(&7)));
    assert_eq!(state_of(&after, "b"), Some(State::Active));
}
