use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex as StdMutex;

use serde_json::json;
use tempoform_engine::apply::{Applied, ApplyError, ApplyOptions, Observer, Progress, apply};
use tempoform_engine::object::Condition;
use tempoform_engine::plan::{Plan, plan};
use tempoform_engine::render::{Component, EnvironmentName, PortRequest};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::test_support::{Bench, kill};

mod removal;

const STANDIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/target/standin.py");

fn definition(component: Component, number: u32) -> ProcessDefinition {
    let instance = format!("{}-{number}", component.kubernetes_name());
    let mut config = json!({"server": {"http_listen_port": format!("@(port:{instance}/http)")}});
    if component.has_wal() {
        config["storage"] = json!({"trace": {"wal": {"path": format!("@(state)/data/{instance}/wal")}}});
    }
    ProcessDefinition {
        component,
        target: component.target().to_owned(),
        extra_args: Vec::new(),
        host: "127.0.0.1".parse().unwrap(),
        config,
        overrides: "overrides: {}\n".to_owned(),
        endpoints: BTreeMap::from([
            (Endpoint::Http, PortRequest::Choose),
            (Endpoint::Gossip, PortRequest::Choose),
        ]),
        environment: Vec::new(),
        directories: vec![format!("data/{instance}")],
        depends_on: if component == Component::Distributor { vec![Component::Ingester] } else { Vec::new() },
        stop_grace_seconds: 5,
        instance,
    }
}

fn definitions(ingesters: u32) -> Vec<ProcessDefinition> {
    let mut all: Vec<_> = (0..ingesters).map(|number| definition(Component::Ingester, number)).collect();
    all.push(definition(Component::Distributor, 0));
    all
}

fn guarded() -> Guarded {
    Guarded { replication_factor: 1, ingesters: 2, storage: "local:/blocks".to_owned(), multitenancy: false }
}

fn options(bench: &Bench) -> LocalOptions {
    LocalOptions {
        owner: Bench::owner(),
        directory: bench.directory.clone(),
        program: Program { executable: "python3".into(), arguments: vec![STANDIN.to_owned()] },
        launcher: bench.launcher.clone(),
    }
}

fn open(bench: &Bench) -> LocalTarget {
    LocalTarget::open(options(bench)).unwrap()
}

async fn finish(target: &LocalTarget, plan: &Plan, desired: &Desired) {
    let options = ApplyOptions { timeout: Duration::from_secs(20), ..ApplyOptions::default() };
    apply(target, plan, desired, options, &Heard::default(), &CancellationToken::new()).await.unwrap();
}

#[derive(Default)]
struct Heard(StdMutex<Vec<String>>);

impl Observer for Heard {
    fn progress(&self, progress: Progress) {
        if let Progress::Started { object, action } = progress {
            self.0.lock().unwrap().push(format!("{} {}", action.word(), object.name));
        }
    }
}

async fn planned(bench: &Bench, definitions: &[ProcessDefinition]) -> (LocalTarget, Desired, Plan) {
    let mut target = open(bench);
    let desired = target.declare(definitions, guarded()).unwrap();
    let plan = plan("local", &desired, &target.observe().await.unwrap());
    (target, desired, plan)
}

/// What one command does: opens the target, plans and applies.
async fn applied(
    bench: &Bench,
    definitions: &[ProcessDefinition],
) -> Result<(Applied, Vec<String>), ApplyError> {
    let (target, desired, plan) = planned(bench, definitions).await;
    let heard = Heard::default();
    let options = ApplyOptions { timeout: Duration::from_secs(20), ..ApplyOptions::default() };
    let applied = apply(&target, &plan, &desired, options, &heard, &CancellationToken::new()).await?;
    let mut heard = heard.0.into_inner().unwrap();
    heard.sort();
    Ok((applied, heard))
}

async fn pids(bench: &Bench) -> BTreeMap<String, Option<u32>> {
    let instances = open(bench).endpoints().await.unwrap();
    instances.into_iter().map(|instance| (instance.instance, instance.pid)).collect()
}

async fn write_span(bench: &Bench, instance: &str) {
    let target = open(bench);
    let address = target.http_address(instance).unwrap();
    let answer = target.client.post(format!("http://{address}/write")).send().await.unwrap();
    assert!(answer.status().is_success());
}

#[tokio::test]
async fn applying_twice_changes_nothing_the_second_time() {
    let bench = Bench::new();
    let (first, _) = applied(&bench, &definitions(2)).await.unwrap();
    assert_eq!(first, Applied { created: 4, ..Applied::default() });
    let before = pids(&bench).await;
    assert!(before.values().all(Option::is_some), "{before:?}");
    let (_, _, plan) = planned(&bench, &definitions(2)).await;
    assert!(plan.is_empty(), "{}", plan.to_json());
    assert_eq!(applied(&bench, &definitions(2)).await.unwrap().0, Applied::default());
    assert_eq!(pids(&bench).await, before);
}

#[tokio::test]
async fn scaling_touches_only_what_comes_and_goes() {
    let bench = Bench::new();
    applied(&bench, &definitions(2)).await.unwrap();
    let before = pids(&bench).await;
    assert_eq!(applied(&bench, &definitions(3)).await.unwrap().1, ["create ingester-2"]);
    write_span(&bench, "ingester-2").await;
    assert_eq!(applied(&bench, &definitions(2)).await.unwrap().1, ["delete ingester-2"]);
    assert_eq!(pids(&bench).await, before);
    assert!(!bench.directory.data_folder().join("ingester-2").exists());
    assert!(!bench.directory.config_file("ingester-2").exists());
}

#[tokio::test]
async fn only_a_changed_process_is_restarted() {
    let bench = Bench::new();
    applied(&bench, &definitions(2)).await.unwrap();
    let before = pids(&bench).await;
    let mut changed = definitions(2);
    changed[1].config["ingester"] = json!({"max_block_bytes": 7});
    let (_, _, plan) = planned(&bench, &changed).await;
    let fields: Vec<String> =
        plan.changes.iter().flat_map(|change| &change.fields).map(|field| field.path.to_string()).collect();
    assert_eq!(fields, ["config.ingester.max_block_bytes"]);
    assert_eq!(applied(&bench, &changed).await.unwrap().1, ["update ingester-1"]);
    let after = pids(&bench).await;
    let different: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(different, ["ingester-1"]);
}

#[tokio::test]
async fn limits_of_tenants_restart_nothing() {
    let bench = Bench::new();
    applied(&bench, &definitions(1)).await.unwrap();
    let before = pids(&bench).await;
    let mut changed = definitions(1);
    for definition in &mut changed {
        definition.overrides = "overrides:\n  team-a:\n    max_traces: 7\n".to_owned();
    }
    assert_eq!(applied(&bench, &changed).await.unwrap().1, ["update overrides"]);
    assert_eq!(pids(&bench).await, before);
    assert!(fs::read_to_string(bench.directory.overrides_file()).unwrap().contains("team-a"));
}

#[tokio::test]
async fn a_changed_file_is_put_right() {
    let bench = Bench::new();
    applied(&bench, &definitions(1)).await.unwrap();
    let file = bench.directory.config_file("ingester-0");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, "server: {}\n").unwrap();
    let (_, _, plan) = planned(&bench, &definitions(1)).await;
    let change = plan.changes.iter().find(|change| change.object.name == "ingester-0").unwrap();
    assert_eq!(change.reason, "its configuration file was changed or removed by hand");
    applied(&bench, &definitions(1)).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_owner() {
    let bench = Bench::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let mut pinned = definitions(1);
    pinned[0].endpoints.insert(Endpoint::Http, PortRequest::Pinned(port));
    let (_, _, plan) = planned(&bench, &pinned).await;
    let owner = format!("127.0.0.1:{port}, the http of ingester-0, is taken by pid {}", std::process::id());
    assert!(plan.notes.iter().any(|note| note.starts_with(&owner)), "{:?}", plan.notes);
    let error = applied(&bench, &pinned).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("ingester-0 cannot listen on 127.0.0.1:{port}: it is taken by pid")),
        "{error}"
    );
    drop(held);
    applied(&bench, &pinned).await.unwrap();
}

#[tokio::test]
async fn a_crash_loop_ends_the_wait_early_and_is_not_recorded_as_good() {
    let bench = Bench::new();
    let mut broken = definitions(1);
    broken[0].config["broken"] = json!("yes");
    let began = std::time::Instant::now();
    let error = applied(&bench, &broken).await.unwrap_err().to_string();
    assert!(error.contains("ingester-0 does not stay up: exited with code 64"), "{error}");
    assert!(error.contains("the configuration is broken"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15));
    let (_, _, plan) = planned(&bench, &broken).await;
    assert!(!plan.is_empty());
    applied(&bench, &definitions(1)).await.unwrap();
    assert!(planned(&bench, &definitions(1)).await.2.is_empty());
}

#[tokio::test]
async fn former_crashes_do_not_fail_an_apply_that_comes_up() {
    let bench = Bench::new();
    applied(&bench, &definitions(1)).await.unwrap();
    for crashes in 1..=CRASH_LOOP {
        kill(bench.status("ingester-0").await.running().unwrap());
        let again =
            |status: &supervisor::InstanceStatus| status.restarts == crashes && status.running().is_some();
        bench.until("ingester-0", again).await;
    }
    // Something to finish that needs no restart.
    let file = bench.directory.config_file("ingester-0");
    fs::remove_file(&file).unwrap();
    assert_eq!(applied(&bench, &definitions(1)).await.unwrap().1, ["update ingester-0"]);
    assert!(planned(&bench, &definitions(1)).await.2.is_empty());
}

#[tokio::test]
async fn a_literal_of_the_document_is_kept_in_one_place_only() {
    let bench = Bench::new();
    let variable = |value: &str| EnvironmentName {
        name: "RUST_LOG".to_owned(),
        value: Some(value.to_owned()),
        source: "RUST_LOG".to_owned(),
        purpose: "extraEnv of ingester".to_owned(),
    };
    let mut given = definitions(1);
    given[0].environment = vec![variable("hunter2")];
    let (_, _, plan) = planned(&bench, &given).await;
    assert!(!plan.to_json().to_string().contains("hunter2"));
    applied(&bench, &given).await.unwrap();
    for file in [bench.directory.state_file(), bench.directory.processes_file()] {
        assert!(!fs::read_to_string(&file).unwrap().contains("hunter2"), "{}", file.display());
    }
    let kept = bench.directory.environment_file("ingester-0");
    assert!(fs::read_to_string(&kept).unwrap().contains("hunter2"));
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(planned(&bench, &given).await.2.is_empty());

    given[0].environment = vec![variable("hunter3")];
    let (_, _, plan) = planned(&bench, &given).await;
    let field = &plan.changes.iter().find(|change| change.object.name == "ingester-0").unwrap().fields[0];
    assert_eq!(field.path.to_string(), "environment.RUST_LOG");
    assert_eq!(field.note.as_deref(), Some("its value changes, and is not shown"));
    applied(&bench, &given).await.unwrap();
    assert!(planned(&bench, &given).await.2.is_empty());
}

#[tokio::test]
async fn a_changed_secret_of_the_configuration_is_planned() {
    let bench = Bench::new();
    let with = |secret: &str| {
        let mut all = definitions(1);
        all[0].config["storage"]["trace"]["s3"] = json!({"secret_key": secret});
        all
    };
    applied(&bench, &with("hunter2")).await.unwrap();
    assert!(planned(&bench, &with("hunter2")).await.2.is_empty());
    let (_, _, plan) = planned(&bench, &with("hunter3")).await;
    let text = plan.to_json().to_string();
    assert!(text.contains("config.storage.trace.s3.secret_key") && !text.contains("hunter"), "{text}");
    assert_eq!(applied(&bench, &with("hunter3")).await.unwrap().1, ["update ingester-0"]);
}

#[tokio::test]
async fn another_build_of_the_program_is_rolled_out() {
    let bench = Bench::new();
    let program = bench.directory.path().parent().unwrap().join("program");
    let build = |text: &str| {
        fs::write(&program, format!("#!/bin/sh\n# {text}\nexec python3 {STANDIN} \"$@\"\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let opened = || {
        let program = Program { executable: program.clone(), arguments: Vec::new() };
        let mut target = LocalTarget::open(LocalOptions { program, ..options(&bench) }).unwrap();
        let desired = target.declare(&definitions(1), guarded()).unwrap();
        (target, desired)
    };
    build("one");
    let (target, desired) = opened();
    let first = plan("local", &desired, &target.observe().await.unwrap());
    finish(&target, &first, &desired).await;
    let (target, desired) = opened();
    assert!(plan("local", &desired, &target.observe().await.unwrap()).is_empty());
    let before = pids(&bench).await;

    build("two");
    let (target, desired) = opened();
    let second = plan("local", &desired, &target.observe().await.unwrap());
    let fields: Vec<String> =
        second.changes.iter().flat_map(|change| &change.fields).map(|field| field.path.to_string()).collect();
    assert_eq!(fields, ["executable", "executable"]);
    finish(&target, &second, &desired).await;
    let after = pids(&bench).await;
    assert!(before.iter().all(|(instance, pid)| after[instance] != *pid), "{before:?} {after:?}");
}

#[tokio::test]
async fn receivers_with_a_certificate_are_told() {
    let bench = Bench::new();
    let mut secured = definitions(1);
    secured[1].endpoints.insert(Endpoint::OtlpHttp, PortRequest::Choose);
    secured[1].config["distributor"] = json!({"receivers": {"otlp": {"protocols": {
        "grpc": {}, "http": {"tls": {"cert_file": "tls.crt", "key_file": "tls.key"}},
    }}}});
    applied(&bench, &secured).await.unwrap();
    let instances = open(&bench).endpoints().await.unwrap();
    let distributor = instances.iter().find(|instance| instance.name == "distributor").unwrap();
    assert!(distributor.url("otlpHttp").unwrap().starts_with("https://127.0.0.1:"));
    assert!(distributor.url("http").unwrap().starts_with("http://127.0.0.1:"));
    assert_eq!(distributor.tls["otlpHttp"].certificate, bench.directory.path().join("tls.crt"));
}

#[tokio::test]
async fn an_interrupted_apply_is_finished_by_the_next() {
    let bench = Bench::new();
    let (target, desired, plan) = planned(&bench, &definitions(2)).await;
    // Killed after the first process was started: nothing was settled.
    let change = plan.changes.iter().find(|change| change.object.name == "ingester-0").unwrap();
    let object = desired.objects.iter().find(|object| object.id == change.object).unwrap();
    target.apply_change(change, Some(object)).await.unwrap();
    drop(target);
    let started = pids(&bench).await;

    let (_, _, plan) = planned(&bench, &definitions(2)).await;
    let reason = &plan.changes.iter().find(|change| change.object.name == "ingester-0").unwrap().reason;
    assert_eq!(reason, "the last apply did not finish with it");
    let (done, _) = applied(&bench, &definitions(2)).await.unwrap();
    assert_eq!((done.created, done.changed), (3, 1));
    // What ran already as declared was not started anew.
    assert_eq!(pids(&bench).await["ingester-0"], started["ingester-0"]);
}

#[tokio::test]
async fn without_a_supervisor_the_next_command_adopts() {
    let bench = Bench::new();
    applied(&bench, &definitions(1)).await.unwrap();
    let before = pids(&bench).await;
    bench.kill_supervisor();
    let (_, _, plan) = planned(&bench, &definitions(1)).await;
    assert!(plan.is_empty(), "{}", plan.to_json());
    assert_eq!(pids(&bench).await, before);
}

#[tokio::test]
async fn after_a_reboot_everything_is_planned_to_be_restarted() {
    let bench = Bench::new();
    applied(&bench, &definitions(1)).await.unwrap();
    bench.kill_supervisor();
    for status in supervisor::recorded(&bench.directory) {
        kill(status.process.unwrap());
    }
    let (_, _, plan) = planned(&bench, &definitions(1)).await;
    assert_eq!(plan.summary().restart, 2);
    assert!(bench.supervisor_pid().is_none(), "a plan starts nothing");
    assert_eq!(applied(&bench, &definitions(1)).await.unwrap().0.changed, 2);
}

#[tokio::test]
async fn a_missing_variable_is_named_and_its_value_is_kept_nowhere() {
    let bench = Bench::new();
    let mut needy = definitions(1);
    needy[0].environment = vec![EnvironmentName {
        name: "AWS_SECRET_ACCESS_KEY".to_owned(),
        value: None,
        source: "TEMPOFORM_TEST_UNSET".to_owned(),
        purpose: "entry secret of secret tempo-s3".to_owned(),
    }];
    let (_, _, plan) = planned(&bench, &needy).await;
    let text = "the environment variable TEMPOFORM_TEST_UNSET is not set: entry secret of secret tempo-s3";
    assert_eq!(plan.notes, [text]);
    assert!(applied(&bench, &needy).await.unwrap_err().to_string().contains(text));
    // Any variable that is set will do.
    needy[0].environment[0].source = "PATH".to_owned();
    applied(&bench, &needy).await.unwrap();
    assert!(planned(&bench, &needy).await.2.is_empty());
    let path = std::env::var("PATH").unwrap();
    assert!(!fs::read_to_string(bench.directory.state_file()).unwrap().contains(&path));
}

#[tokio::test]
async fn logs_are_chosen_by_component_and_instance() {
    let bench = Bench::new();
    applied(&bench, &definitions(2)).await.unwrap();
    let target = open(&bench);
    let query = |selector: &str| LogQuery { selector: Some(selector.to_owned()), follow: false, tail: 1 };
    let mut lines = target.logs(query("ingester")).await.unwrap();
    let mut from = Vec::new();
    while let Some(line) = lines.recv().await {
        assert_eq!(line.text, "serving");
        from.push(line.instance);
    }
    assert_eq!(from, ["ingester-0", "ingester-1"]);
    let error = target.logs(query("injester")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no component or instance \"injester\"");
    assert_eq!(error.advice(), Some("there are distributor-0, ingester-0, ingester-1 and supervisor"));
}

#[tokio::test]
async fn one_apply_at_a_time() {
    let bench = Bench::new();
    let first = open(&bench).lock().unwrap();
    let error = open(&bench).lock().unwrap_err().to_string();
    assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
    drop(first);
    open(&bench).lock().unwrap();
}
