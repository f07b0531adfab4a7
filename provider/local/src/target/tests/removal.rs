//! What goes and what stays.

use super::*;

#[tokio::test]
async fn a_removal_that_cannot_flush_keeps_the_ingester_and_the_next_apply_finishes() {
    let bench = Bench::new();
    let mut stubborn = definitions(2);
    stubborn[1].config["stubborn"] = json!("yes");
    applied(&bench, &stubborn).await.unwrap();
    write_span(&bench, "ingester-1").await;
    let segment = bench.directory.data_folder().join("ingester-1/wal/segment");

    let error = applied(&bench, &definitions(1)).await.unwrap_err().to_string();
    assert!(error.contains("ingester-1 is not removed: 5 bytes of acknowledged spans"), "{error}");
    assert!(segment.exists());
    let observed = open(&bench).observe().await.unwrap();
    let kept = observed.objects.iter().find(|found| found.object.id.name == "ingester-1").unwrap();
    assert!(matches!(&kept.condition, Condition::Unfinished(_)), "{:?}", kept.condition);

    // Storage is back: the component flushes when it is asked again.
    let config = bench.directory.config_file("ingester-1");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("stubborn", "willing")).unwrap();
    kill(bench.status("ingester-1").await.running().unwrap());
    assert_eq!(applied(&bench, &definitions(1)).await.unwrap().1, ["delete ingester-1"]);
    assert!(!segment.exists());
}

#[tokio::test]
async fn destroy_keeps_data_unless_told_otherwise() {
    let bench = Bench::new();
    let mut with_blocks = definitions(1);
    with_blocks[0].directories.push("blocks".to_owned());
    applied(&bench, &with_blocks).await.unwrap();
    let blocks = bench.directory.path().join("blocks");
    fs::write(blocks.join("block"), "data").unwrap();
    let running: Vec<_> =
        supervisor::recorded(&bench.directory).into_iter().filter_map(|s| s.process).collect();
    let target = open(&bench);
    let left = target.destroy(DataPolicy::Keep, &|_: &str| {}).await.unwrap();
    assert_eq!(left, [format!("data in {}", blocks.display())]);
    assert!(running.iter().all(|process| !process.is_alive()));
    assert!(!bench.directory.exists() && blocks.join("block").exists());

    applied(&bench, &definitions(1)).await.unwrap();
    assert!(open(&bench).destroy(DataPolicy::Delete, &|_: &str| {}).await.unwrap().is_empty());
    assert!(!bench.directory.path().exists());
}

#[tokio::test]
async fn destroy_keeps_what_cannot_be_flushed_and_says_so() {
    let bench = Bench::new();
    let mut stubborn = definitions(1);
    stubborn[0].config["stubborn"] = json!("yes");
    applied(&bench, &stubborn).await.unwrap();
    write_span(&bench, "ingester-0").await;
    let left = open(&bench).destroy(DataPolicy::Keep, &|_: &str| {}).await.unwrap();
    let wal = bench.directory.data_folder().join("ingester-0/wal");
    assert_eq!(left[0], format!("5 bytes of ingester-0's write-ahead log, in {}", wal.display()));
    assert!(wal.join("segment").exists());
}

#[tokio::test]
async fn one_that_was_asked_to_leave_and_is_wanted_again_is_started_anew() {
    let bench = Bench::new();
    let mut stubborn = definitions(2);
    stubborn[1].config["stubborn"] = json!("yes");
    applied(&bench, &stubborn).await.unwrap();
    write_span(&bench, "ingester-1").await;
    let before = pids(&bench).await;
    applied(&bench, &definitions(1)).await.unwrap_err();
    assert_eq!(pids(&bench).await, before);

    applied(&bench, &stubborn).await.unwrap();
    assert_ne!(pids(&bench).await["ingester-1"], before["ingester-1"]);
    assert_eq!(bench.status("ingester-1").await.goal, supervisor::Goal::Run);
    assert_eq!(pids(&bench).await["ingester-0"], before["ingester-0"]);
}

#[tokio::test]
async fn destroy_deletes_nothing_that_it_did_not_make() {
    let bench = Bench::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("block"), "data").unwrap();
    let mut outside = definitions(1);
    outside[0].config["storage"]["trace"]["backend"] = json!("local");
    outside[0].config["storage"]["trace"]["local"] = json!({"path": elsewhere.path()});
    applied(&bench, &outside).await.unwrap();
    let thesis = bench.directory.path().join("thesis.tex");
    fs::write(&thesis, "years").unwrap();
    let notes = bench.directory.path().join("config/notes.txt");
    fs::write(&notes, "days").unwrap();

    assert_eq!(open(&bench).data_outside().unwrap(), [elsewhere.path()]);
    let left = open(&bench).destroy(DataPolicy::Delete, &|_: &str| {}).await.unwrap();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left[0].starts_with(&format!("data in {}", elsewhere.path().display())), "{left:?}");
    assert!(left[2].starts_with(&thesis.display().to_string()), "{left:?}");
    assert!(thesis.exists() && notes.exists() && elsewhere.path().join("block").exists());
    assert!(!bench.directory.data_folder().exists());
}

#[tokio::test]
async fn data_that_a_destroy_kept_can_be_deleted_by_the_next() {
    let bench = Bench::new();
    let mut with_blocks = definitions(1);
    with_blocks[0].directories.push("some/where/blocks".to_owned());
    applied(&bench, &with_blocks).await.unwrap();
    let blocks = bench.directory.path().join("some/where/blocks");
    fs::write(blocks.join("block"), "data").unwrap();
    open(&bench).destroy(DataPolicy::Keep, &|_: &str| {}).await.unwrap();
    assert!(blocks.join("block").exists());
    assert!(open(&bench).destroy(DataPolicy::Delete, &|_: &str| {}).await.unwrap().is_empty());
    assert!(!bench.directory.path().exists());
}

#[tokio::test]
async fn a_state_directory_serves_one_document() {
    let bench = Bench::new();
    applied(&bench, &definitions(1)).await.unwrap();
    for other in [Some("team-a"), None] {
        let name = if other.is_some() { "traces" } else { "others" };
        let owner = Owner { namespace: other.map(str::to_owned), name: name.to_owned() };
        let error = LocalTarget::open(LocalOptions { owner, ..options(&bench) }).err().unwrap();
        assert!(error.to_string().ends_with("belongs to the Tempo traces"), "{error}");
    }
}
