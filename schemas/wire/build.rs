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
    write_unnamed_enums(&["kind", "code"])
}

/// The generated code refuses to write an enum's number that has no name. Protobuf JSON writes the number,
/// and a newer client's span kind must not make its trace unreadable.
fn write_unnamed_enums(fields: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let path = std::path::Path::new(&std::env::var("OUT_DIR")?).join("otlp.serde.rs");
    let mut code = std::fs::read_to_string(&path)?;
    for field in fields {
        let refusal = format!(
            ".map_err(|_| serde::ser::Error::custom(format!(\"Invalid variant {{}}\", self.{field})))?;"
        );
        let (named, any) = (
            format!("struct_ser.serialize_field(\"{field}\", &v)?;"),
            format!("struct_ser.serialize_field(\"{field}\", &crate::json_enum::NameOrNumber(v))?;"),
        );
        if code.matches(&refusal).count() != 1 || code.matches(&named).count() != 1 {
            return Err(format!("pbjson writes the enum field {field} in another way than it did").into());
        }
        code = code.replace(&refusal, &format!(".map_err(|_| self.{field});")).replace(&named, &any);
    }
    std::fs::write(path, code)?;
    Ok(())
}
