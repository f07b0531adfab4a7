use std::collections::BTreeMap;
use std::fs;

use crate::supervisor::{Goal, ProcessSpec, SupervisorError};
use crate::test_support::{Bench, kill};

fn shell(bench: &Bench, instance: &str, script: &str) -> ProcessSpec {
    ProcessSpec {
        instance: instance.to_owned(),
        executable: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: Vec::new(),
        digest: "d".to_owned(),
        environment_digest: String::new(),
        log: bench.directory.log_file(instance),
        stop_grace_seconds: 1,
    }
}

async fn start(bench: &Bench, script: &str) {
    bench.client().await.start(shell(bench, "a-0", script), BTreeMap::new()).await.unwrap();
}

#[tokio::test]
async fn what_ends_is_started_again_and_its_end_is_recorded() {
    let bench = Bench::new();
    start(&bench, "echo first; echo boom >&2; exit 3").await;
    let status = bench.until("a-0", |status| status.restarts >= 2).await;
    let exit = status.last_exit.unwrap();
    assert_eq!((exit.reason.as_str(), exit.code), ("exited with code 3", Some(3)));
    assert_eq!(exit.log_tail, ["first", "boom"], "only those of the last run");
    assert_eq!(exit.summary(), "exited with code 3; its last log line: boom");
}

#[tokio::test]
async fn a_killed_component_comes_back() {
    let bench = Bench::new();
    start(&bench, "exec sleep 1000").await;
    let first = bench.status("a-0").await.running().unwrap();
    kill(first);
    let status = bench.until("a-0", |status| status.running().is_some_and(|now| now != first)).await;
    assert_eq!(status.restarts, 1);
    assert_eq!(status.last_exit.unwrap().reason, "killed by signal 9");
}

#[tokio::test]
async fn a_new_supervisor_adopts_what_runs_and_keeps_it_running() {
    let bench = Bench::new();
    start(&bench, "exec sleep 1000").await;
    let component = bench.status("a-0").await.running().unwrap();
    let first_supervisor = bench.supervisor_pid().unwrap();
    bench.kill_supervisor();
    assert!(component.is_alive());

    let adopted = bench.status("a-0").await;
    assert_ne!(bench.supervisor_pid().unwrap(), first_supervisor);
    assert_eq!((adopted.running(), adopted.restarts), (Some(component), 0));
    kill(component);
    bench.until("a-0", |status| status.running().is_some_and(|now| now != component)).await;
}

#[tokio::test]
async fn what_was_never_written_down_is_found_by_its_mark() {
    let bench = Bench::new();
    start(&bench, "exec sleep 1000").await;
    let status = bench.status("a-0").await;
    let component = status.running().unwrap();
    bench.kill_supervisor();
    // As if the supervisor had been killed between the start and the note of it.
    let mut forgotten = vec![status];
    forgotten[0].process = None;
    fs::write(bench.directory.processes_file(), serde_json::to_vec(&forgotten).unwrap()).unwrap();
    assert_eq!(bench.status("a-0").await.running(), Some(component));
}

#[tokio::test]
async fn what_ended_without_a_supervisor_is_started_by_the_next() {
    let bench = Bench::new();
    start(&bench, "exec sleep 1000").await;
    let component = bench.status("a-0").await.running().unwrap();
    bench.kill_supervisor();
    kill(component);
    let status = bench.until("a-0", |status| status.running().is_some()).await;
    assert_ne!(status.running(), Some(component));
    assert_eq!(status.last_exit.unwrap().reason, "ended while there was no supervisor");
}

#[tokio::test]
async fn what_does_not_stop_when_asked_is_killed() {
    let bench = Bench::new();
    start(&bench, "trap '' TERM; echo ready; while :; do sleep 0.05; done").await;
    let log = bench.directory.log_file("a-0");
    bench.until("a-0", |_| fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))).await;
    let component = bench.status("a-0").await.running().unwrap();
    bench.client().await.stop("a-0").await.unwrap();
    assert!(!component.is_alive());
    let status = bench.status("a-0").await;
    assert_eq!((status.goal, status.process), (Goal::Stop, None));
    assert_eq!(status.last_exit.unwrap().reason, "killed by signal 9");
}

#[tokio::test]
async fn what_is_retired_is_not_started_again() {
    let bench = Bench::new();
    start(&bench, "exec sleep 1000").await;
    bench.client().await.retire("a-0").await.unwrap();
    kill(bench.status("a-0").await.running().unwrap());
    let status = bench.until("a-0", |status| status.process.is_none()).await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(bench.status("a-0").await.restarts, status.restarts);
    assert_eq!(bench.status("a-0").await.process, None);
}

#[tokio::test]
async fn a_hand_over_leaves_components_and_a_shutdown_does_not() {
    let bench = Bench::new();
    start(&bench, "exec sleep 1000").await;
    let component = bench.status("a-0").await.running().unwrap();
    bench.client().await.hand_over().await.unwrap();
    assert!(component.is_alive());
    assert!(crate::supervisor::connect(&bench.directory).await.unwrap().is_none());
    bench.client().await.shutdown().await.unwrap();
    assert!(!component.is_alive());
    assert!(crate::supervisor::recorded(&bench.directory).is_empty());
}

#[tokio::test]
async fn what_cannot_be_started_is_said() {
    let bench = Bench::new();
    let client = bench.client().await;
    let missing = ProcessSpec { executable: "/no/such/program".into(), ..shell(&bench, "a-0", "") };
    let error = client.start(missing, BTreeMap::new()).await.unwrap_err();
    assert!(matches!(&error, SupervisorError::Refused(text) if text.contains("/no/such/program")), "{error}");
    let needy = ProcessSpec { environment: vec!["TEMPOFORM_NOT_SET".to_owned()], ..shell(&bench, "b-0", "") };
    let error = client.start(needy, BTreeMap::new()).await.unwrap_err();
    assert!(error.to_string().contains("TEMPOFORM_NOT_SET"), "{error}");
}

#[tokio::test]
async fn a_value_reaches_the_component_and_no_file() {
    let bench = Bench::new();
    let client = bench.client().await;
    let spec = ProcessSpec {
        environment: vec!["KEY".to_owned()],
        ..shell(&bench, "a-0", "echo got $KEY; sleep 1000")
    };
    client.start(spec, BTreeMap::from([("KEY".to_owned(), "hunter2".to_owned())])).await.unwrap();
    let log = bench.directory.log_file("a-0");
    bench.until("a-0", |_| fs::read_to_string(&log).is_ok_and(|text| text.contains("got hunter2"))).await;
    assert!(!fs::read_to_string(bench.directory.processes_file()).unwrap().contains("hunter2"));
}
