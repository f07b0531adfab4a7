//! What a user of the command line sees, without any component running: output, errors, exit codes.

#![expect(clippy::unwrap_used, reason = "a test crate: a failure is to stop the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const GOOD: &str = "\
apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata:
  name: traces
spec:
  mode: singleBinary
  storage:
    trace:
      backend: local
  tempo:
    ports:
      http: 23200
      grpc: 29095
      otlpGrpc: 24317
      otlpHttp: 24318
";

struct Folder(TempDir);

struct Transcript {
    code: i32,
    out: String,
    err: String,
}

impl Folder {
    fn with(documents: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in documents {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("tempo.yaml")
    }

    /// Runs `tempoform` on the folder's documents, without a terminal.
    fn run(&self, arguments: &[&str]) -> Transcript {
        let documents = self.path().display().to_string();
        let all: Vec<&str> = arguments.iter().copied().chain(["-f", &documents]).collect();
        self.run_plain(&all)
    }

    fn run_plain(&self, arguments: &[&str]) -> Transcript {
        let output = Command::new(env!("CARGO_BIN_EXE_tempoform"))
            .args(arguments)
            .env_remove("TEMPOFORM_FILE")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let readable = |bytes: Vec<u8>| self.redact(&String::from_utf8(bytes).unwrap());
        Transcript {
            code: output.status.code().unwrap(),
            out: readable(output.stdout),
            err: readable(output.stderr),
        }
    }

    /// Chosen ports depend on the folder's path, and that is a new one each time; so is the program.
    fn redact(&self, text: &str) -> String {
        let text = text.replace(&self.path().display().to_string(), "DIR");
        let text = without_build(&text.replace(env!("CARGO_BIN_EXE_tempoform"), "tempoform"));
        let mut pieces = text.split("127.0.0.1:");
        let mut redacted = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
            let pinned = ["23200", "29095", "24317", "24318"].contains(&&piece[..digits]);
            redacted.push_str("127.0.0.1:");
            redacted.push_str(if pinned { &piece[..digits] } else { "CHOSEN" });
            redacted.push_str(&piece[digits..]);
        }
        redacted
    }
}

/// The digest of the program differs with every build.
fn without_build(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line.split_once("+ executable ") {
        Some((indent, rest)) => {
            let equals = rest.find('=').unwrap_or_default();
            format!("{indent}+ executable {}= \"BUILD\"\n", &rest[..equals])
        }
        None => line.to_owned(),
    });
    lines.collect()
}

fn good() -> Folder {
    Folder::with(&[("tempo.yaml", GOOD)])
}

#[test]
fn a_valid_document_is_called_so() {
    let Transcript { code, out, err } = good().run(&["validate"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "DIR/tempo.yaml: traces is valid for kubernetes and local\n", "")
    );
}

#[test]
fn a_document_for_one_target_is_told_so() {
    let secret = "backend: s3\n      s3: { bucket: my-traces, region: eu-west-1, credentials: { secretRef: { name: keys } } }";
    let folder = Folder::with(&[("tempo.yaml", &GOOD.replace("backend: local", secret))]);
    let Transcript { code, out, err } = folder.run(&["validate"]);
    assert_eq!((code, out.as_str()), (0, "DIR/tempo.yaml: traces is valid for kubernetes\n"), "{err}");
    assert!(err.contains("cannot run on target local"), "{err}");
    assert!(err.contains("without effect on Kubernetes: tempo.ports"), "{err}");
    let Transcript { code, out, err } = folder.run(&["validate", "--target", "local"]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert_eq!(folder.run(&["validate", "--target", "kubernetes"]).code, 0);
}

#[test]
fn manifests_are_rendered_only_of_what_can_run_on_kubernetes() {
    let folder = Folder::with(&[("tempo.yaml", &GOOD.replace("singleBinary", "distributed").replace("  tempo:\n    ports:\n      http: 23200\n      grpc: 29095\n      otlpGrpc: 24317\n      otlpHttp: 24318\n", ""))]);
    for form in ["manifests", "tempo"] {
        let Transcript { code, out, err } = folder.run(&["render", "--as", form]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(
            err.contains("spec.storage.trace.backend: on Kubernetes the components do not share a disk"),
            "{err}"
        );
    }
    assert_eq!(folder.run(&["render", "--as", "processes"]).code, 0);
}

#[test]
fn every_problem_of_every_file_is_told_at_once_with_its_place() {
    let bad = GOOD.replace("backend: local", "backend: locl").replace("http: 23200", "htp: 23200");
    let folder = Folder::with(&[("a.yaml", &bad), ("b.yaml", "kind: [\n")]);
    let Transcript { code, out, err } = folder.run(&["validate"]);
    assert_eq!((code, out.as_str()), (1, ""));
    insta::assert_snapshot!("problems_of_two_files", err);
    assert_eq!(folder.run(&["plan"]).err, err);
}

#[test]
fn a_missing_file_is_named() {
    let folder = good();
    let Transcript { code, err, .. } = folder.run_plain(&["plan", "-f", "no/such/file.yaml"]);
    assert_eq!(code, 1);
    assert!(
        err.starts_with(
            "error: 1 problem; nothing was changed\nno/such/file.yaml: cannot be read: No such file"
        ),
        "{err}"
    );
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_problems_of_others() {
    let bad = GOOD.replace("backend: local", "backend: locl");
    let folder = Folder::with(&[("tempo.yaml", &bad)]);
    let Transcript { err, .. } = folder.run(&["validate", "-f", "no/such/file.yaml"]);
    assert!(err.starts_with("error: 2 problems"), "{err}");
    assert!(err.contains("no/such/file.yaml: cannot be read") && err.contains("tempo.yaml:9:7: "), "{err}");
}

#[test]
fn problems_of_the_own_configuration_are_told_with_their_places_and_with_all_others() {
    let config = "  config:\n    ingester:\n      max_block_bytes: many\n";
    let first = format!("{GOOD}{config}");
    let second = format!("{GOOD}{config}").replace("name: traces", "name: others");
    let third = GOOD.replace("name: traces", "name: third").replace("backend: local", "backend: locl");
    // One file for two of them: what is wrong with one document hides nothing of the other.
    let second = format!("{second}---\n{third}");
    let folder = Folder::with(&[("a.yaml", &first), ("b.yaml", &second)]);
    let Transcript { code, err, .. } = folder.run(&["validate"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("error: 3 problems"), "{err}");
    for place in ["a.yaml:18:7: spec.config.ingester.max_block_bytes", "b.yaml:18:7: ", "b.yaml:28:7: "] {
        assert!(err.contains(place), "{err}");
    }
}

#[test]
fn one_tempo_in_two_files_is_refused_and_one_file_named_twice_is_not() {
    let folder = Folder::with(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    let Transcript { code, err, .. } = folder.run(&["validate"]);
    assert_eq!(code, 1);
    assert!(err.contains("b.yaml:4:3: metadata.name: \"traces\" is declared in DIR/a.yaml too"), "{err}");
    let folder = good();
    assert_eq!(folder.run(&["validate", "-f", folder.file().to_str().unwrap()]).code, 0);
}

#[test]
fn tempos_of_one_name_in_two_namespaces_have_their_own_state() {
    let named = GOOD.replace("name: traces", "name: traces\n  namespace: team-a");
    let state = |text: &str| {
        let folder = Folder::with(&[("tempo.yaml", text)]);
        let status: Value = serde_json::from_str(&folder.run(&["status", "-o", "json"]).out).unwrap();
        status["stateDirectory"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(GOOD), "DIR/.tempoform/traces");
    assert_eq!(state(&named), "DIR/.tempoform/team-a.traces");
}

#[test]
fn a_folder_with_the_users_files_is_never_a_state_directory() {
    for place in [".", "../", "work"] {
        let text = format!("{GOOD}  local:\n    stateDirectory: {place}\n");
        let folder = Folder::with(&[("README", "mine")]);
        let project = folder.path().join("project");
        fs::create_dir_all(project.join("work/config")).unwrap();
        fs::write(project.join("tempo.yaml"), text).unwrap();
        fs::write(project.join("work/config/thesis.tex"), "years").unwrap();
        let document = project.join("tempo.yaml");
        for command in ["apply", "destroy"] {
            let arguments = [command, "--auto-approve", "-f", document.to_str().unwrap()];
            let Transcript { code, err, .. } = folder.run_plain(&arguments);
            assert_eq!(code, 1, "{err}");
            assert!(err.contains("has files in it that are not tempoform's"), "{err}");
        }
        let arguments = ["destroy", "--auto-approve", "--delete-data", "-f", document.to_str().unwrap()];
        assert_eq!(folder.run_plain(&arguments).code, 1);
        assert!(document.exists() && project.join("work/config/thesis.tex").exists());
        assert!(folder.path().join("README").exists() && !project.join("logs").exists());
    }
}

#[test]
fn a_plan_of_something_new_shows_it_and_changes_nothing() {
    let folder = good();
    let Transcript { code, out, err } = folder.run(&["plan"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("new_plan", out);
    assert_eq!(folder.run(&["plan"]).out, out, "the same ports are chosen again");
    assert_eq!(folder.run(&["plan", "--detailed-exitcode"]).code, 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a plan writes nothing");
}

#[test]
fn a_plan_for_programs_has_the_documented_shape() {
    let Transcript { code, out, .. } = good().run(&["plan", "-o", "json"]);
    let plan: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(plan["formatVersion"], 1);
    assert_eq!((&plan["name"], &plan["target"]), (&Value::from("traces"), &Value::from("local")));
    let objects: Vec<&str> =
        plan["changes"].as_array().unwrap().iter().map(|c| c["object"]["name"].as_str().unwrap()).collect();
    assert_eq!(objects, ["overrides", "tempo-0"]);
    let fields = plan["changes"][1]["fields"].as_array().unwrap();
    let http = fields.iter().find(|field| field["path"] == "endpoints.http").unwrap();
    assert_eq!((&http["before"], &http["after"]), (&Value::Null, &Value::from("127.0.0.1:23200")));
}

#[test]
fn apply_without_a_terminal_needs_a_word() {
    let folder = good();
    let Transcript { code, out, err } = folder.run(&["apply"]);
    assert_eq!(code, 1);
    assert!(out.contains("Plan: 2 to create, 0 to change, 0 to destroy."), "{out}");
    assert_eq!(
        err,
        "error: there is no terminal to ask for confirmation\n\
         help: look at the plan above, then run the command again with --auto-approve\n"
    );
    assert!(!folder.path().join(".tempoform/traces/state.json").exists());
}

#[test]
fn apply_for_programs_shows_people_the_plan_before_it_asks() {
    let Transcript { code, out, err } = good().run(&["apply", "-o", "json"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("Plan: 2 to create, 0 to change, 0 to destroy."), "{err}");
}

#[test]
fn what_is_not_applied_is_not_healthy() {
    let folder = good();
    let Transcript { code, out, .. } = folder.run(&["status", "-o", "json"]);
    assert_eq!(code, 0);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["components"], Value::Array(Vec::new()));
    assert_eq!(status["storage"]["backend"], "local");
    assert_eq!(status["storage"]["path"], "DIR/.tempoform/traces/blocks");
    assert_eq!(status["health"]["healthy"], false);
    assert_eq!(folder.run(&["status", "--detailed-exitcode"]).code, 2);
    assert_eq!(folder.run(&["health"]).code, 1);
    assert_eq!(folder.run(&["health", "--detailed-exitcode"]).code, 2);
    assert_eq!(folder.run(&["destroy"]).code, 0);
    let Transcript { code, err, .. } = folder.run(&["logs"]);
    assert_eq!(
        (code, err.as_str()),
        (1, "error: nothing is applied, so there are no logs\nhelp: run `tempoform apply -f DIR`\n")
    );
}

#[test]
fn every_form_is_rendered_the_same_each_time() {
    let folder = good();
    for form in ["manifests", "tempo", "processes"] {
        let json = folder.run(&["render", "--as", form, "-o", "json"]);
        assert_eq!(json.code, 0, "{}", json.err);
        let objects: Vec<Value> = serde_json::from_str(&json.out).unwrap();
        let yaml = folder.run(&["render", "--as", form]);
        assert_eq!(yaml.out.matches("\nkind: ").count(), objects.len(), "{form}");
        assert_eq!(folder.run(&["render", "--as", form]).out, yaml.out);
    }
}

#[test]
fn rendering_into_a_folder_writes_one_file_an_object() {
    let folder = good();
    let target = folder.path().join("out");
    let arguments = ["render", "--as", "processes", "--output-dir", target.to_str().unwrap()];
    let Transcript { code, out, err } =
        folder.run_plain(&[&arguments[..], &["-f", folder.file().to_str().unwrap()]].concat());
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "wrote DIR/out/process-tempo-0.yaml\n"));
    assert!(fs::read_to_string(target.join("process-tempo-0.yaml")).unwrap().contains("kind: Process"));
}

#[test]
fn a_command_on_one_tempo_refuses_two() {
    let other = GOOD.replace("name: traces", "name: others");
    let folder = Folder::with(&[("a.yaml", GOOD), ("b.yaml", &other)]);
    assert_eq!(folder.run(&["validate"]).code, 0);
    let Transcript { code, err, .. } = folder.run(&["plan"]);
    assert_eq!(code, 1);
    assert!(err.contains("there are 2: traces, others"), "{err}");
}

#[test]
fn help_is_data_and_a_wrong_flag_is_an_error() {
    let folder = good();
    let Transcript { code, out, err } = folder.run_plain(&["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("help", out);
    let Transcript { code, out, err } = folder.run(&["apply", "--allow", "everything"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("storage-move"), "{err}");
}

#[test]
fn the_definition_and_the_completions_are_printed() {
    let folder = good();
    let Transcript { code, out, .. } = folder.run_plain(&["crd"]);
    assert_eq!(code, 0);
    assert!(out.contains("kind: CustomResourceDefinition"));
    for shell in ["bash", "zsh", "fish"] {
        let Transcript { code, out, .. } = folder.run_plain(&["completions", shell]);
        assert!(code == 0 && out.contains("tempoform") && !out.contains("supervise --"), "{shell}");
    }
    assert_eq!(folder.run_plain(&["version"]).out, concat!("tempoform ", env!("CARGO_PKG_VERSION"), "\n"));
}
