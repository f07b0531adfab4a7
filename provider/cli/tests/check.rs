//! `tempoform check` on folders, and wrong use of it. Buckets are tried by the system tests.

#![expect(clippy::unwrap_used, reason = "a test crate: a failure is to stop the test")]

use std::fs;
use std::process::Command;

struct Transcript {
    code: i32,
    out: String,
    err: String,
}

fn check(url: &str) -> Transcript {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tempoform"));
    command.args(["check", "--bucket", url]);
    for variable in ["TEMPOFORM_FILE", "AZURE_STORAGE_ACCOUNT_NAME"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Transcript { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_folder_can_be_tried_and_a_missing_one_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let Transcript { code, out, err } = check(&format!("file://{path}"));
    assert_eq!((code, out.lines().filter(|line| line.starts_with("ok")).count()), (0, 8), "{out}{err}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays");
    let Transcript { code, err, .. } = check(&format!("file://{path}/missing"));
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("storage.trace.local.path") && err.contains("make the folder"), "{err}");
    let Transcript { code, err, .. } = check(&path.to_string());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains(&format!("has no scheme: it is taken for the folder file://{path}\n")), "{err}");
}

#[test]
fn a_file_system_that_takes_no_files_is_given_up() {
    // Its folder can be listed, and making a file there is refused as if the folder were missing, for ever.
    let Transcript { code, out, err } = check("file:///proc");
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains("ok    list\nfail  write") && out.contains("\"write\" did not end within 10s"),
        "{out}"
    );
    assert!(out.contains("name another folder (storage.trace.local.path"), "{out}");
}

#[test]
fn wrong_use_is_told_with_exit_code_2() {
    for (url, told) in [
        ("http://traces", "http is no kind of storage"),
        ("traces", "has no scheme"),
        ("s3:///prefix", "names no bucket"),
        ("az:///prefix", "names no bucket"),
        ("az://traces", "names no account"),
    ] {
        let Transcript { code, out, err } = check(url);
        assert_eq!((code, out.as_str()), (2, ""), "{url}: {err}");
        assert!(err.contains(told), "{url}: {err}");
    }
}
