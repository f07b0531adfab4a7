//! Certificates, and where they come from.

use super::names;
use super::report::Report;
use crate::defaults;
use crate::spec::{CaBundleRef, ClientTlsSpec, KeyRef, ServerTlsSpec};
use crate::validated::{CaBundle, Certificate, ClientTls, ServerTls};

pub(super) fn client(path: &str, spec: Option<&ClientTlsSpec>, report: &mut Report) -> ClientTls {
    let Some(spec) = spec else { return ClientTls::default() };
    let skip = spec.insecure_skip_verify.unwrap_or(false);
    if skip {
        report.warn(
            format!("{path}.insecureSkipVerify"),
            "any certificate is accepted, so anyone on the way can read and change the traces",
            "name the store's authority in ca instead",
        );
    }
    ClientTls {
        ca: spec.ca.as_ref().and_then(|ca| ca_bundle(&format!("{path}.ca"), ca, report)),
        server_name: spec.server_name.clone(),
        insecure_skip_verify: skip,
        min_version: spec.min_version.unwrap_or_default(),
    }
}

pub(super) fn server(path: &str, spec: &ServerTlsSpec, report: &mut Report) -> Option<ServerTls> {
    Some(ServerTls {
        client_ca: spec.client_ca.as_ref().and_then(|ca| ca_bundle(&format!("{path}.clientCa"), ca, report)),
        certificate: certificate(path, spec, report)?,
        min_version: spec.min_version.unwrap_or_default(),
        path: path.to_owned(),
    })
}

fn certificate(path: &str, spec: &ServerTlsSpec, report: &mut Report) -> Option<Certificate> {
    match (&spec.secret_name, &spec.cert_file, &spec.key_file) {
        (Some(name), None, None) => {
            report.check(format!("{path}.secretName"), names::dns_name(name));
            Some(Certificate::Secret { name: name.clone() })
        }
        (None, Some(cert_file), Some(key_file)) => {
            Some(Certificate::Files { cert_file: cert_file.clone(), key_file: key_file.clone() })
        }
        (None, None, None) => {
            report.refuse(
                path,
                "no certificate is named",
                "name a secret in secretName, or both certFile and keyFile",
            );
            None
        }
        (Some(_), ..) => {
            report.refuse(path, "two certificates are named", "keep secretName, or certFile and keyFile");
            None
        }
        (None, ..) => {
            report.refuse(
                path,
                "a certificate and its key belong together",
                "name both certFile and keyFile",
            );
            None
        }
    }
}

pub(super) fn ca_bundle(path: &str, spec: &CaBundleRef, report: &mut Report) -> Option<CaBundle> {
    match (&spec.config_map, &spec.secret, &spec.file) {
        (Some(config_map), None, None) => {
            let (name, key) = key_ref(&format!("{path}.configMap"), config_map, report);
            Some(CaBundle::ConfigMap { name, key })
        }
        (None, Some(secret), None) => {
            let (name, key) = key_ref(&format!("{path}.secret"), secret, report);
            Some(CaBundle::Secret { name, key })
        }
        (None, None, Some(file)) => Some(CaBundle::File(file.clone())),
        _ => {
            report.refuse(
                path,
                "the certificates must come from one place",
                "name one of configMap, secret and file",
            );
            None
        }
    }
}

fn key_ref(path: &str, spec: &KeyRef, report: &mut Report) -> (String, String) {
    report.check(format!("{path}.name"), names::dns_name(&spec.name));
    let key = spec.key.clone().unwrap_or_else(|| defaults::CA_KEY.to_owned());
    report.check(format!("{path}.key"), names::data_key(&key));
    (spec.name.clone(), key)
}
