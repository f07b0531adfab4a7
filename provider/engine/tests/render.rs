//! Whole outputs of the renderer, one case per reason.
//!
//! Update them with `INSTA_UPDATE=always cargo test --release -p tempoform-engine --test render`.

use std::path::Path;

use tempoform_api::{ValidatedTempo, Target};
use tempoform_engine::render;

fn print(path: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(path)).unwrap();
    let docs = tempoform_api::load(path, &text).unwrap_or_else(|e| panic!("{e}"));
    for doc in &docs {
        let v: &ValidatedTempo = &doc.validated;
        let _ = Target::Local;
        match render::manifests(v) {
            Ok(m) => println!("{}", render::to_yaml_stream(&m)),
            Err(e) => panic!("{e} {:?}", std::error::Error::source(&e)),
        }
        for p in render::local(v).unwrap() {
            println!("{}", serde_json::to_string_pretty(&p).unwrap());
        }
    }
}

#[test]
fn quick() {
    print("examples/quickstart/tempo.yaml");
}
#[test]
fn dist() {
    print("examples/distributed-local/tempo.yaml");
}
#[test]
fn s3() {
    print("examples/distributed-s3/tempo.yaml");
}
