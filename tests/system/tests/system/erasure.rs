//! A trace erased from a folder of blocks: its bytes are in no object any more, and everything else is as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use tempoform_test_support::{Exporter, Server, ServerConfig, executable};
use tempoform_wire::otlp::{
    AnyValue, ExportTraceServiceRequest, KeyValue, ResourceSpans, ScopeSpans, Span, any_value,
};

/// Ids whose bytes do not stand anywhere by chance.
const ERASED: [u8; 16] = *b"\xe5erased-trace-id";
const KEPT: [u8; 16] = *b"\xe6a-trace-to-keep";
const SECRET: &str = "xq7-unique-secret-of-the-erased-trace-93kd";

fn request(trace: [u8; 16], number: u8, value: &str) -> Bytes {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let text = any_value::Value::StringValue(value.to_owned());
    let attribute = KeyValue { key: "user.secret".to_owned(), value: Some(AnyValue { value: Some(text) }) };
    let span = Span {
        trace_id: trace.to_vec(),
        span_id: vec![number; 8],
        name: format!("span {number}"),
        start_time_unix_nano: now.as_nanos() as u64,
        end_time_unix_nano: now.as_nanos() as u64 + 1_000_000,
        attributes: vec![attribute],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// The files that hold some bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in files(folder)? {
        if std::fs::read(&file)?.windows(bytes.len()).any(|window| window == bytes) {
            found.push(file);
        }
    }
    Ok(found)
}

fn blocks(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let bucket = format!("file://{}", folder.display());
    let command = Command::new(executable("tempoform")?)
        .arg("blocks")
        .args(arguments)
        .args(["--bucket", &bucket])
        .output();
    Ok(command?)
}

fn json(output: &Output) -> Result<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Spans of a trace by id, with whatever stands in them.
fn spans(folder: &Path, trace: &[u8; 16]) -> Result<BTreeMap<String, Value>> {
    let trace = json(&blocks(folder, &["trace", &hex(trace)])?)?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut found = BTreeMap::new();
    for resource in list(&trace["trace"], "resourceSpans") {
        for scope in list(&resource, "scopeSpans") {
            found.extend(list(&scope, "spans").into_iter().map(|span| (span["spanId"].to_string(), span)));
        }
    }
    Ok(found)
}

#[tokio::test]
async fn no_object_holds_the_bytes_of_an_erased_trace() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    // Three blocks; the second has nothing else in it.
    for number in 1..=3 {
        exporter.export(request(ERASED, number, SECRET)).await?;
        if number != 2 {
            exporter.export(request(KEPT, number, "to be kept")).await?;
        }
        server.flush().await?;
    }
    drop(server);
    let bucket = folder.path().join("blocks");
    let listing = json(&blocks(&bucket, &["list", "-o", "json"])?)?;
    let live: Vec<&Value> = listing["blocks"].as_array().context("a list")?.iter().collect();
    ensure!(live.len() == 3 && live.iter().all(|block| block["state"] == "live"), "{listing:#}");
    let kept = spans(&bucket, &KEPT)?;
    ensure!(kept.len() == 2, "{kept:?}");
    // A block that was merged into others and waits to be deleted: readers do not search it, but its bytes are there.
    let folder_of = |block: &Value| block["block"].as_str().map(|id| bucket.join("single-tenant").join(id));
    let folders: Vec<PathBuf> = live.iter().filter_map(|block| folder_of(block)).collect();
    let merged = live.iter().find(|block| block["traces"] == 2).and_then(|block| folder_of(block));
    let compacted = bucket.join("single-tenant/00000000-0000-4000-8000-000000000001");
    std::fs::create_dir(&compacted)?;
    for file in files(&merged.context("a block of two traces")?)? {
        std::fs::copy(&file, compacted.join(file.file_name().context("a name")?))?;
    }
    std::fs::rename(compacted.join("meta.json"), compacted.join("meta.compacted.json"))?;
    for bytes in [&ERASED[..], SECRET.as_bytes()] {
        let data = holding(&bucket, bytes)?.into_iter().filter(|file| file.ends_with("data.parquet")).count();
        ensure!(data == 4, "the search finds it where it is: in {data} files");
    }

    let receipt = folder.path().join("receipt.json");
    let receipt_name = receipt.to_str().context("UTF-8")?;
    let erased = hex(&ERASED);
    let arguments = [
        "drop-trace",
        &erased,
        "--tenant",
        "single-tenant",
        "--purge",
        "--yes",
        "--receipt",
        receipt_name,
        "-o",
        "json",
    ];
    let told = json(&blocks(&bucket, &arguments)?)?;
    let written: Value = serde_json::from_slice(&std::fs::read(&receipt)?)?;
    ensure!(told == written, "what is printed is what is written");

    for bytes in [&ERASED[..], erased.as_bytes(), SECRET.as_bytes()] {
        let left = holding(&bucket, bytes)?;
        ensure!(left.is_empty(), "{left:?}");
    }
    ensure!(folders.iter().chain([&compacted]).all(|folder| !folder.exists()), "the old objects are deleted");
    ensure!(spans(&bucket, &KEPT)? == kept, "the other trace reads back as it was");
    let verified = blocks(&bucket, &["verify"])?;
    ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    let steps = written["blocks"].as_array().context("steps")?;
    ensure!(written["outcome"] == "erased" && steps.len() == 4, "{written:#}");
    ensure!(written["proof"]["stillHeldBy"] == Value::Array(Vec::new()), "{written:#}");
    let removed: u64 = steps.iter().filter_map(|step| step["spansRemoved"].as_u64()).sum();
    ensure!(removed == 4, "{written:#}");
    let live_steps = steps.iter().filter(|step| step["state"] == "live");
    let (mut rewritten, mut gone) = (0, 0);
    for step in live_steps {
        match step["newBlock"].as_str() {
            Some(new) => {
                rewritten += 1;
                let data = bucket.join("single-tenant").join(new).join("data.parquet");
                let sum = Command::new("sha256sum").arg(&data).output()?;
                let sum =
                    String::from_utf8_lossy(&sum.stdout).split(' ').next().unwrap_or_default().to_owned();
                ensure!(step["newDataSha256"] == sum.as_str(), "{step:#} and {sum}");
            }
            None => gone += 1,
        }
    }
    ensure!((rewritten, gone) == (2, 1), "{written:#}");
    let not_covered = written["notCovered"].to_string();
    ensure!(not_covered.contains("recent spans in ingesters are not covered"), "{not_covered}");
    Ok(())
}
