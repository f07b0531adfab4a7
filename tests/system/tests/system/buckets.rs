//! Buckets that cannot be used, and what is said about them; the cap on requests; uploads that nobody finished.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequestBody;
use tempoform_block::preflight::{Cause, Outcome, Preflight, preflight};
use tempoform_block::{BlockPath, BlockStore, StoreOptions};
use tempoform_config::{Backend, Trace};
use tempoform_core::{Account, ReadLimits, TenantId};
use tempoform_document::Secret;
use tempoform_test_support::{Cli, Minio, Server, ServerConfig, skipped};
use uuid::Uuid;

use crate::object_storage::{document, minio_program};
use crate::stores::{AZURE_ACCOUNT, Azurite, BUCKET};
use crate::tls::Authority;

const PATIENCE: Duration = Duration::from_secs(60);

/// Temporary keys that may do all in the bucket but `missing`.
async fn without(minio: &Minio, missing: &str) -> Result<Trace> {
    const RIGHTS: [&str; 7] = [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:ListBucketMultipartUploads",
    ];
    let rights: Vec<&str> = RIGHTS.into_iter().filter(|right| *right != missing).collect();
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": rights, "Resource": ["arn:aws:s3:::*"]}],
    });
    let policy: String = policy.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600&Policy={policy}");
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}/", minio.address()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(HttpRequestBody::from(body.clone()))?;
    let credential =
        AwsCredential { key_id: Minio::KEY.to_owned(), secret_key: Minio::SECRET.to_owned(), token: None };
    AwsAuthorizer::new(&credential, "sts", "us-east-1").try_authorize(&mut request, None)?;
    let (head, _) = request.into_parts();
    let answer = reqwest::Client::new().post(head.uri.to_string()).headers(head.headers).body(body);
    let answer = answer.send().await?.text().await?;
    let part = |tag: &str| {
        let (_, rest) = answer.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0.to_owned())
    };
    let part = |tag| part(tag).with_context(|| format!("no {tag} in {answer}"));
    let mut config = minio.trace();
    config.s3.access_key = part("AccessKeyId")?;
    config.s3.secret_key = Secret::new(part("SecretAccessKey")?);
    config.s3.session_token = Secret::new(part("SessionToken")?);
    Ok(config)
}

/// The first thing that fails: its cause, and the advice.
fn failure(report: &Preflight) -> Option<(Cause, Option<&'static str>, &str)> {
    report.steps.iter().find_map(|step| match &step.outcome {
        Outcome::Fails { cause, right, advice, .. } => Some((*cause, *right, advice.as_str())),
        _ => None,
    })
}

async fn expect(what: &str, config: &Trace, expected: Cause, advice: &str) -> Result<()> {
    let report = preflight(config).await.with_context(|| what.to_owned())?;
    let found = failure(&report).with_context(|| format!("{what}: {report:?}"))?;
    ensure!(found.0 == expected && found.2.contains(advice), "{what}: {report:#?}");
    Ok(())
}

fn keys(minio: &Minio) -> Result<usize> {
    let entries = fs::read_dir(minio.folder().join(Minio::BUCKET))?;
    Ok(entries.filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name() != "tempo")).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_that_is_missing_is_named() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let mut config = minio.trace();
    config.s3.prefix = "tempo".to_owned();
    let report = preflight(&config).await?;
    ensure!(report.is_fine() && report.steps.len() == 8 && keys(&minio)? == 0, "{report:#?}");
    let fine = preflight(&without(&minio, "none").await?).await?;
    ensure!(fine.is_fine(), "with the listed rights alone: {fine:#?}");

    for missing in
        ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"]
    {
        let mut config = without(&minio, missing).await?;
        config.s3.prefix = "tempo".to_owned();
        let report = preflight(&config).await?;
        let (cause, right, advice) = failure(&report).with_context(|| format!("{missing}: {report:?}"))?;
        ensure!(
            cause == Cause::Denied && right == Some(missing) && advice.contains("arn:aws:s3:::traces"),
            "without {missing}: {report:#?}"
        );
        println!("without {missing}: {advice}; left behind: {}", report.left_behind.len());
        let is_kept = missing == "s3:DeleteObject";
        ensure!(is_kept != report.left_behind.is_empty(), "without {missing}: {report:#?}");
    }
    ensure!(keys(&minio)? == 0, "only what could not be deleted stays, below the prefix");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_bucket_is_told_apart() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let with = |change: &dyn Fn(&mut Trace)| {
        let mut config = minio.trace();
        change(&mut config);
        config
    };
    let bucket = with(&|c| c.s3.bucket = "no-such".to_owned());
    expect("another bucket", &bucket, Cause::NoBucket, "make the bucket no-such").await?;
    let secret = with(&|c| c.s3.secret_key = Secret::new("wrong-secret"));
    expect("a wrong secret", &secret, Cause::WrongCredentials, "secret key").await?;
    let key = with(&|c| c.s3.access_key = "nobody".to_owned());
    expect("an unknown key", &key, Cause::WrongCredentials, "access key").await?;
    let scheme = with(&|c| c.s3.endpoint = c.s3.endpoint.replace("http://", "https://"));
    expect("https to http", &scheme, Cause::WrongScheme, "http:// or https://").await?;
    let port = with(&|c| c.s3.endpoint = "http://127.0.0.1:1".to_owned());
    expect("a port where nothing listens", &port, Cause::Unreachable, "127.0.0.1:1").await?;
    let name = with(&|c| c.s3.endpoint = "http://no-such-host.invalid:9000".to_owned());
    expect("a name that nobody knows", &name, Cause::Unreachable, "no-such-host").await?;

    let certificates = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let (certificate, private) = authority.issue("localhost")?;
    fs::write(certificates.path().join("public.crt"), certificate)?;
    fs::write(certificates.path().join("private.key"), private)?;
    fs::write(certificates.path().join("authority.pem"), authority.pem())?;
    let secure = Minio::start_with_tls(&program, certificates.path()).await?;
    let port = secure.address().rsplit_once(':').context("a port")?.1;
    let mut config = secure.trace();
    config.s3.endpoint = format!("https://localhost:{port}");
    expect("an unknown authority", &config, Cause::UnknownCertificate, "tls_ca_path").await?;
    config.s3.tls_ca_path = certificates.path().join("authority.pem").display().to_string();
    let report = preflight(&config).await?;
    ensure!(report.is_fine(), "with the authority's file: {report:#?}");
    config.s3.endpoint = format!("http://localhost:{port}");
    expect("http to https", &config, Cause::WrongScheme, "http:// or https://").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_of_azure_is_told() -> Result<()> {
    let Some(program) = std::env::var_os("TEMPOFORM_TEST_AZURITE") else {
        skipped("TEMPOFORM_TEST_AZURITE is not set; run `cargo xtask test`");
        return Ok(());
    };
    let azurite = Azurite::start(&program).await?;
    let mut config = Trace { backend: Some(Backend::Azure), ..Trace::default() };
    config.azure.storage_account_name = AZURE_ACCOUNT.to_owned();
    config.azure.storage_account_key = Secret::new(crate::stores::AZURE_KEY);
    config.azure.container_name = BUCKET.to_owned();
    config.azure.endpoint_suffix.clone_from(&azurite.url);
    let report = preflight(&config).await?;
    ensure!(report.is_fine() && report.left_behind.is_empty(), "{report:#?}");
    let mut other = config.clone();
    other.azure.container_name = "no-such".to_owned();
    expect("another container", &other, Cause::NoBucket, "make the container no-such").await?;
    config.azure.storage_account_key = Secret::new("d3Jvbmcta2V5");
    expect("a wrong key", &config, Cause::WrongCredentials, "the account's").await
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_tells_before_it_changes_anything() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let mut cli = Cli::document(&document(minio.address()))?;
    cli.set_environment("TEST_S3_KEY", Minio::KEY);
    cli.set_environment("TEST_S3_SECRET", "wrong");
    // A plan needs no network, unless asked.
    cli.expect(0, "plan", &[])?;
    cli.expect(1, "plan", &["--check-storage"])?;
    let before = fs::read_dir(cli.folder())?.count();
    let refused = cli.run("apply", &["--auto-approve"])?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(1) && told.contains("does not take the keys"), "{told}");
    ensure!(told.contains("--skip-storage-check") && told.contains("nothing was changed"), "{told}");
    println!("{told}");
    let after: Vec<_> = fs::read_dir(cli.folder())?.filter_map(|e| Some(e.ok()?.file_name())).collect();
    ensure!(after.len() <= before + 1, "a lock at most: {after:?}");

    cli.set_environment("TEST_S3_SECRET", Minio::SECRET);
    println!("{}", cli.expect(0, "check", &[])?);
    let json: serde_json::Value = serde_json::from_str(&cli.expect(0, "check", &["-o", "json"])?)?;
    ensure!(json["usable"] == true && json["steps"][0]["outcome"] == "works", "{json}");

    let Some(library) = std::env::var_os("TEMPOFORM_TEST_FAKETIME") else {
        skipped("TEMPOFORM_TEST_FAKETIME is not set; run `cargo xtask test`");
        return Ok(());
    };
    cli.set_environment("LD_PRELOAD", &library.to_string_lossy());
    for (name, value) in
        [("FAKETIME", "+2d"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")]
    {
        cli.set_environment(name, value);
    }
    let told = cli.expect(1, "check", &[])?;
    ensure!(told.contains("set this machine's clock right"), "{told}");
    println!("{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_stay_below_the_cap() -> Result<()> {
    const CAP: u32 = 40;
    const READS: usize = 200;
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let registry = prometheus::Registry::new();
    let config = Trace { max_requests_per_second: CAP, ..minio.trace() };
    let store = BlockStore::open(&config, StoreOptions::default(), Some(&registry))?;
    minio.forget_log().await?;
    let started = Instant::now();
    let reads = (0..READS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let path = BlockPath::new(TenantId::single(), Uuid::new_v4());
            store.read_meta(&path, &Account::default()).await
        })
    });
    for read in reads.collect::<Vec<_>>() {
        ensure!(read.await?.is_err_and(|error| error.is_not_found()), "there is no such block");
    }
    let took = started.elapsed().as_secs_f64();
    let sent = minio.take_log(|log| log.len() >= READS).await?.len();
    println!("{sent} requests in {took:.2} s: {:.1} a second, the cap is {CAP}", sent as f64 / took);
    ensure!(sent == READS, "no read was sent twice: {sent}");
    // A tenth of the cap may go at once.
    ensure!(sent as f64 <= f64::from(CAP) * took + f64::from(CAP) / 10.0 + 1.0, "{sent} in {took} s");

    // Waiting ends with the query's time.
    let deadline = tokio::time::Instant::now() + Duration::from_millis(300);
    let reads = (0..READS).map(|_| {
        let store = store.clone();
        let account = Account::limited(ReadLimits { max_requests: 0, deadline: Some(deadline) });
        tokio::spawn(async move {
            let path = BlockPath::new(TenantId::single(), Uuid::new_v4());
            store.read_meta(&path, &account).await
        })
    });
    let mut late = 0;
    for read in reads.collect::<Vec<_>>() {
        late += usize::from(read.await?.is_err_and(|error| !error.is_not_found()));
    }
    ensure!(late > 0 && late < READS, "{late} of {READS} had to give up");
    let metrics = registry.gather();
    let names: Vec<&str> = metrics.iter().map(|family| family.name()).collect();
    ensure!(names.contains(&"tempoform_object_store_wait_seconds"), "{names:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_finished_are_removed_when_old() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let (store, account) = (minio.store()?, Account::default());
    let block = BlockPath::new(TenantId::single(), Uuid::new_v4());
    let mut upload = store.upload(block.clone());
    for _ in 0..3 {
        upload.write(Bytes::from(vec![7; 9 << 20]), &account).await?;
    }
    // As a killed process does: nothing tells the store.
    std::mem::forget(upload);
    let listed = store.unfinished_uploads(&account).await?;
    ensure!(listed.len() == 1 && listed[0].block == block, "{listed:?}");

    let folder = tempfile::tempdir()?;
    let mut config = ServerConfig::new(folder.path())?;
    config.storage = Minio::storage_yaml(&format!("http://{}", minio.address()));
    let age = |age: &str| {
        format!("compactor:\n  compaction:\n    compaction_cycle: 1s\n    unfinished_upload_age: {age}\n")
    };
    config.extra = age("1h");
    let server = Server::start(config).await?;
    wait_for(&server, "tempodb_retention_duration_seconds_count", 2.0).await?;
    ensure!(store.unfinished_uploads(&account).await? == listed, "a young one stays");

    let mut config = server.kill()?;
    config.extra = age("1s");
    let server = Server::start(config).await?;
    wait_for(&server, "tempodb_retention_unfinished_uploads_aborted_total", 1.0).await?;
    ensure!(store.unfinished_uploads(&account).await?.is_empty(), "it is gone");
    let status: serde_json::Value = reqwest::get(server.url("/status/compactor")).await?.json().await?;
    ensure!(status["backlogBlocks"] == 0 && status["setAsideBlocks"] == 0, "{status}");
    Ok(())
}

/// Waits until a metric without labels has at least this value.
async fn wait_for(server: &Server, name: &str, value: f64) -> Result<()> {
    let started = Instant::now();
    loop {
        let metrics = reqwest::get(server.url("/metrics")).await?.text().await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        if line.is_some_and(|now| now >= value) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "{name} is {line:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
