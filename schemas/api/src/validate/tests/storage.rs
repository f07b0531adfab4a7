use super::*;

fn resolved(section: Value) -> crate::S3Storage {
    match single(s3(section)).storage {
        Storage::S3(s3) => s3,
        other => panic!("{other:?}"),
    }
}

#[test]
fn amazons_endpoint_follows_the_region() {
    let s3 = resolved(json!({}));
    assert_eq!(
        (s3.endpoint.as_str(), s3.insecure, s3.force_path_style),
        ("s3.eu-west-1.amazonaws.com", false, false)
    );
    assert_eq!(s3.credentials, S3Credentials::Ambient);
    assert_eq!(resolved(json!({ "region": "cn-north-1" })).endpoint, "s3.cn-north-1.amazonaws.com.cn");
}

#[test]
fn the_scheme_decides_on_tls() {
    let minio = resolved(json!({ "endpoint": "http://minio:9000", "region": null }));
    assert_eq!(
        (minio.endpoint.as_str(), minio.insecure, minio.region.as_str()),
        ("minio:9000", true, "us-east-1")
    );
    assert!(minio.force_path_style);
    assert!(!resolved(json!({ "endpoint": "https://minio:9000" })).insecure);
    assert!(!resolved(json!({ "endpoint": "minio:9000" })).insecure, "TLS unless told otherwise");
    assert!(resolved(json!({ "endpoint": "minio:9000", "insecure": true })).insecure);
    let path = "spec.storage.trace.s3.insecure";
    refused(
        "singleBinary",
        s3(json!({ "endpoint": "https://minio", "insecure": true })),
        path,
        "contradicts",
    );
    refused(
        "singleBinary",
        s3(json!({ "endpoint": "http://minio", "insecure": false })),
        path,
        "contradicts",
    );
    refused("singleBinary", s3(json!({ "insecure": true })), path, "TLS");
}

#[test]
fn credentials_have_the_usual_names_by_default() {
    let credentials = |credentials: Value| resolved(json!({ "credentials": credentials })).credentials;
    assert_eq!(
        credentials(json!({ "secretRef": { "name": "keys" } })),
        S3Credentials::Secret {
            name: "keys".into(),
            access_key_id_key: "access_key_id".into(),
            secret_access_key_key: "access_key_secret".into(),
            session_token_key: None,
        }
    );
    assert_eq!(
        credentials(json!({ "env": {} })),
        S3Credentials::Env {
            access_key_id: "AWS_ACCESS_KEY_ID".into(),
            secret_access_key: "AWS_SECRET_ACCESS_KEY".into(),
            session_token: None,
        }
    );
    let role = "arn:aws:iam::123456789012:role/traces";
    assert_eq!(
        credentials(json!({ "workloadIdentity": { "roleArn": role } })),
        S3Credentials::WorkloadIdentity { role_arn: Some(role.into()), audience: "sts.amazonaws.com".into() }
    );
    assert_eq!(credentials(json!({})), S3Credentials::Ambient);
}

#[test]
fn bad_values_are_named() {
    for (section, field, words) in [
        (json!({ "bucket": "My_Bucket" }), "bucket", "My_Bucket"),
        (json!({ "bucket": "192.168.0.1" }), "bucket", "192.168.0.1"),
        (json!({ "bucket": "s3://traces" }), "bucket", "s3://"),
        (json!({ "region": null }), "region", "missing"),
        (json!({ "endpoint": "ftp://minio" }), "endpoint", "ftp"),
        (json!({ "endpoint": "https://minio/traces" }), "endpoint", "path"),
        (json!({ "endpoint": "https://key:secret@minio" }), "endpoint", "credentials"),
        (json!({ "prefix": "a//b" }), "prefix", "a//b"),
        (json!({ "prefix": "../b" }), "prefix", "../b"),
        (
            json!({ "credentials": { "secretRef": { "name": "My Keys" } } }),
            "credentials.secretRef.name",
            "My Keys",
        ),
        (
            json!({ "credentials": { "secretRef": { "name": "k", "accessKeyIdKey": "a b" } } }),
            "credentials.secretRef.accessKeyIdKey",
            "a b",
        ),
        (json!({ "credentials": { "secretRef": { "name": "k" }, "env": {} } }), "credentials", "one place"),
        (
            json!({ "credentials": { "workloadIdentity": { "roleArn": "traces" } } }),
            "credentials.workloadIdentity.roleArn",
            "traces",
        ),
        (json!({ "tls": { "ca": {} } }), "tls.ca", "one place"),
        (json!({ "tls": { "ca": { "secret": { "name": "ca" }, "file": "ca.pem" } } }), "tls.ca", "one place"),
    ] {
        refused("singleBinary", s3(section), &format!("spec.storage.trace.s3.{field}"), words);
    }
}

#[test]
fn the_section_is_the_backends() {
    let only = |trace: Value| json!({ "storage": { "trace": trace } });
    refused(
        "singleBinary",
        only(json!({ "s3": null })),
        "spec.storage.trace.backend",
        "needs the section s3",
    );
    refused(
        "singleBinary",
        only(json!({ "gcs": { "bucket": "abc" } })),
        "spec.storage.trace.gcs",
        "no effect",
    );
    refused("singleBinary", only(json!({ "backend": "local" })), "spec.storage.trace.s3", "no effect");
}

#[test]
fn google_and_azure_are_resolved_too() {
    let google = json!({ "backend": "gcs", "s3": null, "gcs": {
        "bucket": "my_traces", "endpoint": "http://fake-gcs:4443",
        "credentials": { "workloadIdentity": { "serviceAccountEmail": "traces@project.iam.gserviceaccount.com" } } } });
    let Storage::Gcs(gcs) = single(json!({ "storage": { "trace": google } })).storage else { panic!("gcs") };
    assert_eq!((gcs.endpoint.as_deref(), gcs.insecure), (Some("http://fake-gcs:4443"), true));
    assert!(matches!(gcs.credentials, GcsCredentials::WorkloadIdentity { service_account_email: Some(_) }));
    let azure =
        json!({ "backend": "azure", "s3": null, "azure": { "container": "traces", "account": "myaccount" } });
    let Storage::Azure(azure) = single(json!({ "storage": { "trace": azure } })).storage else {
        panic!("azure")
    };
    assert_eq!(azure.endpoint_suffix, "blob.core.windows.net");
    let bad = json!({ "backend": "azure", "s3": null, "azure": { "container": "traces", "account": "my-account" } });
    refused(
        "singleBinary",
        json!({ "storage": { "trace": bad } }),
        "spec.storage.trace.azure.account",
        "my-account",
    );
}
