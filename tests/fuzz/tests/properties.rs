//! The fuzz targets over their seeds and quick mutations, the same at each run.

use std::sync::{Mutex, PoisonError};

use tempoform_fuzz::{Mutations, TARGETS};

/// Memory is measured for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn hold(name: &str) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let inputs = target.inputs();
    assert!(!inputs.is_empty(), "{name} has no seeds");
    inputs.iter().for_each(|input| (target.check)(input));
    Mutations::of(inputs).take(target.mutations).for_each(|input| (target.check)(&input));
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                hold(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_tested_here() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(tested.to_vec(), TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
        }
    };
}

targets!(
    wal,
    followed,
    stored_batches,
    meta,
    tenant_index,
    bloom,
    extra,
    parquet_footer,
    parquet_column,
    block,
    otlp,
    otlp_json,
    otlp_block,
    zipkin_json,
    zipkin_proto,
    jaeger_proto,
    jaeger_thrift,
    jaeger_compact,
    jaeger_binary,
    document,
    config,
    tenant_limits,
    traceql,
    push,
    compressed,
    tenant,
);

#[test]
fn every_target_has_a_binary_for_libfuzzer() {
    let manifest =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/libfuzzer/Cargo.toml")).expect("there");
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"\n", target.name)), "{}", target.name);
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
