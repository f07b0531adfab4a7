//! `tempoform blocks` on copies of blocks that Grafana Tempo wrote, and wrong use of it.

#![expect(clippy::unwrap_used, reason = "a test crate: a failure is to stop the test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const KIND: &str = "v2.10.8-vp4-default";
const BLOCK: &str = "00000000-0000-4000-8000-000000000024";

struct Transcript {
    code: i32,
    out: String,
    err: String,
}

/// Runs `tempoform blocks` without a terminal.
fn blocks(arguments: &[&str]) -> Transcript {
    blocks_with(arguments, &[])
}

fn blocks_with(arguments: &[&str], environment: &[(&str, &str)]) -> Transcript {
    let output = Command::new(env!("CARGO_BIN_EXE_tempoform"))
        .arg("blocks")
        .args(arguments)
        .env_remove("TEMPOFORM_FILE")
        .envs(environment.iter().copied())
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Transcript { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A bucket with a copy of a real block.
struct Bucket {
    folder: TempDir,
    url: String,
}

impl Bucket {
    fn of(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        copy(&source(kind).join("single-tenant"), &folder.path().join("single-tenant"));
        Self { folder, url }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn block(&self, object: &str) -> PathBuf {
        self.path("single-tenant").join(BLOCK).join(object)
    }

    fn run(&self, arguments: &[&str]) -> Transcript {
        blocks(&[arguments, &["--bucket", &self.url]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let Transcript { code, out, err } = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    }
}

fn source(kind: &str) -> PathBuf {
    let folder = std::env::var("TEMPOFORM_TEST_BLOCKS")
        .expect("set TEMPOFORM_TEST_BLOCKS to the folder with the real blocks (`cargo xtask test` does)");
    Path::new(&folder).join(kind)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// What Tempo answers: trace ids, and traces.
fn golden() -> Vec<(String, Value)> {
    let text = fs::read_to_string(source(KIND).join("golden.tempo2.10.8.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (line["traceID"].as_str().unwrap().to_owned(), line["trace"].clone())).collect()
}

#[test]
fn a_block_that_compaction_has_set_aside_is_told_with_the_reason() {
    let bucket = Bucket::of(KIND);
    let note = r#"{"why": "its data.parquet has 7 of 9 bytes", "since": "2026-11-01T10:00:00Z", "version": "0.1.0"}"#;
    fs::write(bucket.block("tempoform.aside.json"), note).unwrap();
    let Transcript { code, out, err } = bucket.run(&["list"]);
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("1 block set aside") && out.contains("its data.parquet has 7 of 9 bytes"), "{out}");
    let listing: Value = serde_json::from_str(&bucket.run(&["list", "-o", "json"]).out).unwrap();
    assert_eq!(listing["totals"]["setAside"], 1);
    assert_eq!(listing["blocks"][0]["setAside"]["since"], "2026-11-01T10:00:00Z");
    let verified = bucket.run(&["verify"]);
    assert_eq!(verified.code, 0, "a note is no finding: {}", verified.out);
}

#[test]
fn a_bucket_of_tempo_is_listed_inspected_and_whole() {
    let bucket = Bucket::of(KIND);
    copy(&bucket.path("single-tenant"), &bucket.path("team-b"));
    fs::rename(
        bucket.path("team-b").join(BLOCK).join("meta.json"),
        bucket.path("team-b").join(BLOCK).join("meta.compacted.json"),
    )
    .unwrap();
    fs::create_dir_all(bucket.path("team-b/00000000-0000-4000-8000-000000000001")).unwrap();
    fs::write(bucket.path("team-b/00000000-0000-4000-8000-000000000001/data.parquet"), "PAR1").unwrap();

    let Transcript { code, out, err } = bucket.run(&["list"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..7], ["single-tenant", BLOCK, "live", "vParquet4", "0", "1", "308"]);
    assert_eq!(lines[2][..4], ["team-b", BLOCK, "compacted", "vParquet4"]);
    assert_eq!(lines[3][2], "half-written");
    assert!(
        out.contains("3 blocks of 2 tenants: 1 live with 308 traces, 1 compacted, 1 half-written"),
        "{out}"
    );
    let listing = bucket.json(&["list", "--tenant", "single-tenant"]);
    assert_eq!(listing["blocks"][0]["block"], BLOCK);
    assert_eq!(
        (&listing["totals"]["traces"], &listing["totals"]["live"]),
        (&Value::from(308), &Value::from(1))
    );

    let Transcript { code, out, .. } = bucket.run(&["inspect", &format!("single-tenant/{BLOCK}")]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("inspect", out);
    let inspected = bucket.json(&["inspect", BLOCK]);
    assert_eq!(inspected["file"]["columns"].as_array().unwrap().len(), 103);

    let Transcript { code, out, err } = bucket.run(&["verify"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.starts_with("2 blocks checked with 616 traces") && out.contains("all are whole; 1 folder"),
        "{out}"
    );
}

#[test]
fn damage_is_named_with_block_and_object_and_gives_exit_code_1() {
    let bucket = Bucket::of(KIND);
    let mut data = fs::read(bucket.block("data.parquet")).unwrap();
    data[2000] ^= 1;
    fs::write(bucket.block("data.parquet"), data).unwrap();
    fs::remove_file(bucket.block("bloom-0")).unwrap();
    let Transcript { code, out, .. } = bucket.run(&["verify", BLOCK]);
    assert_eq!(code, 1);
    assert!(out.contains(&format!("single-tenant/{BLOCK}: bloom-0 is missing\n")), "{out}");
    assert!(out.contains(&format!("single-tenant/{BLOCK}: data.parquet, ")), "{out}");
    assert!(out.ends_with("2 findings in 1 block\n"), "{out}");
    let Transcript { code, out, .. } = bucket.run(&["verify", "-o", "json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, found["findings"][0]["object"].as_str()), (1, Some("bloom-0")));
    fs::write(bucket.block("meta.json"), "{").unwrap();
    let Transcript { code, out, .. } = bucket.run(&["list"]);
    assert!(code == 1 && out.contains("problem: ") && out.contains("meta.json is not a meta"), "{out}");
}

#[test]
fn what_could_not_be_read_is_named_where_a_trace_is_not_found() {
    let bucket = Bucket::of(KIND);
    let other = "00000000-0000-4000-8000-000000000099";
    copy(&bucket.path("single-tenant").join(BLOCK), &bucket.path("single-tenant").join(other));
    fs::write(bucket.block("meta.json"), "{").unwrap();
    let may_be = format!(
        "trace 00000000000000000000000000abcdef is in none of the 1 block of tenant single-tenant that could be read; it \
         may be in 1 block that could not: {BLOCK}\n"
    );
    let Transcript { code, out, err } = bucket.run(&["trace", "abcdef"]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains(&format!("error: {may_be}")), "{err}");
    let again = format!("blocks find 00000000000000000000000000abcdef --bucket {}`", bucket.url);
    assert!(err.contains(&again), "advice can be copied: {err}");

    let drop = ["drop-trace", "abcdef", "--tenant", "single-tenant", "--yes"];
    fs::write(bucket.block("data.parquet"), "").unwrap();
    let Transcript { code, out, err } = bucket.run(&drop);
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains(&may_be), "{err}");
    assert!(out.contains(&format!("may be held by {BLOCK}")) && out.contains("NOT erased"), "{out}");
    assert!(out.contains(&again), "{out}");
}

#[test]
fn where_no_blocks_are_none_is_called_whole() {
    let bucket = Bucket::of(KIND);
    fs::remove_dir_all(bucket.path("single-tenant")).unwrap();
    let Transcript { code, out, err } = bucket.run(&["verify"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with(&format!("error: there are no blocks in {}\n", bucket.url)), "{err}");
    fs::create_dir_all(bucket.block("")).unwrap();
    fs::write(bucket.block("data.parquet"), "PAR1").unwrap();
    let Transcript { code, out, .. } = bucket.run(&["verify"]);
    assert!(
        code == 1 && out.contains("there is none that could be checked; 1 folder without a meta"),
        "{out}"
    );
}

#[test]
fn a_trace_is_dumped_as_tempo_answers_it_and_found() {
    let bucket = Bucket::of(KIND);
    let (id, expected) = golden().swap_remove(100);
    let Transcript { code, out, err } = bucket.run(&["trace", &id]);
    assert_eq!((code, err.as_str()), (0, ""));
    let found: Value = serde_json::from_str(&out).unwrap();
    let spans = |trace: &Value| {
        let resources = trace["resourceSpans"].as_array().unwrap().iter();
        let scopes = resources.flat_map(|resource| resource["scopeSpans"].as_array().unwrap());
        let spans = scopes.flat_map(|scope| scope["spans"].as_array().unwrap());
        let mut ids: Vec<_> =
            spans.map(|span| (span["spanId"].to_string(), span["name"].to_string())).collect();
        ids.sort();
        ids
    };
    assert_eq!(spans(&found["trace"]), spans(&expected));

    let file = bucket.path("trace.bin");
    let written = bucket.run(&["trace", &id, "-o", "otlp", "--to", file.to_str().unwrap()]);
    assert!(written.code == 0 && written.err.starts_with("wrote "), "{}", written.err);
    let bytes = fs::read(&file).unwrap();
    let trace = <tempoform_wire::otlp::TracesData as prost::Message>::decode(bytes.as_slice()).unwrap();
    let count: usize = trace.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum();
    assert_eq!(count, spans(&expected).len());

    let found = bucket.json(&["find", &id]);
    assert_eq!(
        (&found["heldBy"][0]["block"], &found["heldBy"][0]["spans"]),
        (&Value::from(BLOCK), &Value::from(count))
    );
    assert!(found["requests"].as_u64().unwrap() > 0 && found["bytes"].as_u64().unwrap() > 0);
    let Transcript { code, out, .. } = bucket.run(&["find", "abcdef"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with(
            "No block is known to hold trace 00000000000000000000000000abcdef.\n\n1 block of 1 tenant"
        ),
        "{out}"
    );
    let Transcript { code, err, .. } = bucket.run(&["trace", "abcdef"]);
    assert!(code == 1 && err.contains("is in no block of tenant single-tenant"), "{err}");
}

#[test]
fn a_block_is_written_again_in_the_format_that_is_written() {
    let bucket = Bucket::of("v2.10.8-vp3-default");
    let old = bucket.json(&["list"])["blocks"][0]["block"].as_str().unwrap().to_owned();
    let columns = ["--dedicated-column", "span.a.str", "--dedicated-column", "resource.a.str"];
    let Transcript { code, out, err } = bucket.run(&[&["rewrite", &old][..], &columns].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("is now vParquet4") && out.contains("308 traces"), "{out}");
    let listing = bucket.json(&["list"]);
    let states: Vec<_> =
        listing["blocks"].as_array().unwrap().iter().map(|b| (&b["state"], &b["version"])).collect();
    assert!(states.contains(&(&"live".into(), &"vParquet4".into())), "{listing}");
    assert!(states.contains(&(&"compacted".into(), &"vParquet3".into())), "{listing}");
    let new = out.lines().next().unwrap();
    let inspected = bucket.json(&["inspect", new]);
    assert_eq!(inspected["meta"]["dedicatedColumns"].as_array().unwrap().len(), 2);
    let Transcript { code, err, .. } = bucket.run(&["rewrite", &old]);
    assert!(code == 1 && err.contains("is marked as compacted"), "{err}");
    let promoted = bucket.run(&["rewrite", new, "--dedicated-column", "span.http.url"]);
    assert!(
        promoted.code == 2 && promoted.err.contains("has a column in every block already"),
        "{}",
        promoted.err
    );
}

#[test]
fn a_trace_is_dropped_only_by_who_says_so_and_only_once() {
    let bucket = Bucket::of(KIND);
    let (id, _) = golden().swap_remove(7);
    let drop = ["drop-trace", &id, "--tenant", "single-tenant"];
    let Transcript { code, out, err } = bucket.run(&drop);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(BLOCK) && err.contains("will be removed for good"), "{err}");
    assert!(err.ends_with("run the command again with --yes\n"), "{err}");
    assert!(bucket.block("meta.json").exists());

    // Without --purge it is hidden; the compactor would delete the old block.
    let receipt = bucket.json(&[&drop[..], &["--yes"]].concat());
    assert_eq!(receipt["outcome"], "pending");
    assert_eq!(receipt["proof"]["stillHeldBy"][0]["state"], "compacted");
    assert!(receipt["notCovered"][0].as_str().unwrap().contains("run again after /flush"), "{receipt}");
    assert!(bucket.block("meta.compacted.json").exists());

    let file = bucket.path("receipt.json");
    let named = ["--yes", "--purge", "--receipt", file.to_str().unwrap()];
    let Transcript { code, out, err } = bucket.run(&[&drop[..], &named].concat());
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.ends_with("Erased: no block holds it.\n"), "{out}");
    let receipt: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((&receipt["outcome"], &receipt["blocks"][0]["block"]), (&"erased".into(), &BLOCK.into()));
    assert!(!bucket.path("single-tenant").join(BLOCK).exists());
    let Transcript { code, err, .. } = bucket.run(&[&drop[..], &named].concat());
    assert!(code == 1 && err.contains("cannot make the receipt"), "{err}");
    assert_eq!(bucket.json(&[&drop[..], &["--yes"]].concat())["outcome"], "notFound");
    assert_eq!(bucket.run(&["verify"]).code, 0);
}

#[test]
fn wrong_use_is_told_with_exit_code_2() {
    let bucket = Bucket::of(KIND);
    for (arguments, told) in [
        (&["find", "xyz"][..], "trace IDs can only contain hex characters"),
        (&["inspect", "not-a-block"], "a block is UUID or TENANT/UUID"),
        (&["verify", "--tenant", "a/b"], "contains '/'"),
        (&["drop-trace", "1"], "--tenant"),
        (&["list", "--config", "tempo.yaml"], "--bucket and --config both say where"),
        (&["rewrite", BLOCK, "--dedicated-column", "color"], "an attribute is span.NAME or resource.NAME"),
        (&["inspect", &format!("a/{BLOCK}"), "--tenant", "b"], "is not one of tenant b"),
    ] {
        let Transcript { code, out, err } = bucket.run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(told), "{arguments:?}: {err}");
    }
    let Transcript { code, err, .. } = blocks(&["list"]);
    assert_eq!(code, 2);
    assert!(
        err.starts_with("error: it is not said where the blocks are\nhelp: name the bucket with"),
        "{err}"
    );
    let Transcript { code, err, .. } = blocks(&["list", "--bucket", "ftp://traces"]);
    assert!(code == 2 && err.contains("ftp is no kind of storage"), "{err}");
    copy(&bucket.path("single-tenant"), &bucket.path("team-b"));
    let Transcript { code, err, .. } = bucket.run(&["trace", "1"]);
    assert!(code == 2 && err.contains("name one with --tenant: single-tenant, team-b"), "{err}");
}

#[test]
fn what_is_not_there_is_named_with_exit_code_1() {
    let bucket = Bucket::of(KIND);
    for (arguments, told) in [
        (
            &["inspect", "00000000-0000-4000-8000-0000000000ff"][..],
            "there is no block 00000000-0000-4000-8000-0000000000ff",
        ),
        (&["list", "--tenant", "nobody"], "tenant nobody has no blocks"),
        (&["drop-trace", "1", "--tenant", "nobody", "--yes"], "tenant nobody has no blocks"),
    ] {
        let Transcript { code, out, err } = bucket.run(arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {err}");
        assert!(err.contains(told), "{arguments:?}: {err}");
    }
    let nowhere = bucket.path("nowhere");
    let Transcript { code, err, .. } =
        blocks(&["list", "--bucket", &format!("file://{}", nowhere.display())]);
    assert_eq!(code, 1);
    assert!(err.contains("cannot read the folder of blocks") && !nowhere.exists(), "{err}");
}

#[test]
fn a_store_that_refuses_is_told_with_the_rights_that_are_needed() {
    // What S3 answers whoever has no right.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            if stream.read(&mut request).is_err() {
                continue;
            }
            let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
            let head = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // Whoever asked may be gone.
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let url = format!("s3://traces?endpoint=http://{address}&region=eu-west-1");
    let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    for arguments in
        [&["list"][..], &["verify"], &["find", "1"], &["drop-trace", "1", "--tenant", "t", "--yes"]]
    {
        let Transcript { code, out, err } = blocks_with(&[arguments, &["--bucket", &url]].concat(), &keys);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("AccessDenied") || err.contains("403"), "{err}");
        assert!(!err.contains("secret"), "{err}");
    }
    let Transcript { err, .. } = blocks_with(&["list", "--bucket", &url], &keys);
    assert!(err.contains("help: the store refuses: check the credentials"), "{err}");
}

#[test]
fn the_bucket_of_a_configuration_and_of_a_document_is_found() {
    let bucket = Bucket::of(KIND);
    let config = bucket.path("tempo.yaml");
    let path = bucket.folder.path().display();
    fs::write(&config, "storage:\n  trace:\n    backend: local\n    local:\n      path: ${WHERE}\n").unwrap();
    let environment = [("WHERE", path.to_string())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let listed = blocks_with(&["--config", config.to_str().unwrap(), "list"], &environment);
    assert!(listed.code == 0 && listed.out.contains(BLOCK), "{}", listed.err);

    let document = bucket.path("document.yaml");
    let text = format!(
        "apiVersion: tempoform.io/v1alpha1\nkind: Tempo\nmetadata:\n  name: traces\nspec:\n  mode: singleBinary\n  \
         storage:\n    trace:\n      backend: local\n      local: {{ path: {path} }}\n"
    );
    fs::write(&document, text).unwrap();
    let listed = blocks(&["list", "-f", document.to_str().unwrap()]);
    assert!(listed.code == 0 && listed.out.contains(BLOCK), "{}", listed.err);
    let listed = blocks_with(&["list"], &[("TEMPOFORM_FILE", document.to_str().unwrap())]);
    assert!(listed.code == 0 && listed.out.contains(BLOCK), "{}", listed.err);
}

#[test]
fn help_has_examples() {
    let Transcript { code, out, err } = blocks(&["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("blocks_help", out);
    assert!(blocks(&["drop-trace", "--help"]).out.contains("Example:\n  tempoform blocks drop-trace"));
}
