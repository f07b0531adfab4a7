//! Generates the messages, their protobuf JSON form and the gRPC services. There is no `protoc`:
//! `protox` compiles the files.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["otlp.proto", "tempopb.proto", "internal.proto"];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;

    tonic_prost_build::configure().bytes(".tempoform").compile_fds(descriptors.clone())?;
    pbjson_build::Builder::new()
        .register_descriptors(&descriptors.encode_to_vec())?
        .ignore_unknown_fields()
        .build(&[".otlp", ".tempopb"])?;
    Ok(())
}
