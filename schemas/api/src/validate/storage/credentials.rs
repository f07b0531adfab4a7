//! Where credentials come from. The document only ever holds names.

use crate::defaults;
use crate::spec::{AzureCredentialsSpec, GcsCredentialsSpec, S3CredentialsSpec};
use crate::validate::names;
use crate::validate::report::Report;
use crate::validated::{AzureCredentials, GcsCredentials, S3Credentials};

pub(super) fn s3(path: &str, spec: Option<&S3CredentialsSpec>, report: &mut Report) -> S3Credentials {
    let S3CredentialsSpec { secret_ref, workload_identity, env } = spec.cloned().unwrap_or_default();
    refuse_several(path, [secret_ref.is_some(), workload_identity.is_some(), env.is_some()], report);
    if let Some(secret) = secret_ref {
        let path = format!("{path}.secretRef");
        report.check(format!("{path}.name"), names::dns_name(&secret.name));
        return S3Credentials::Secret {
            name: secret.name,
            access_key_id_key: key(
                &path,
                "accessKeyIdKey",
                secret.access_key_id_key,
                defaults::S3_ACCESS_KEY_ID_KEY,
                report,
            ),
            secret_access_key_key: key(
                &path,
                "secretAccessKeyKey",
                secret.secret_access_key_key,
                defaults::S3_SECRET_ACCESS_KEY_KEY,
                report,
            ),
            session_token_key: secret
                .session_token_key
                .map(|name| key(&path, "sessionTokenKey", Some(name), "", report)),
        };
    }
    if let Some(identity) = workload_identity {
        check_role(&format!("{path}.workloadIdentity.roleArn"), identity.role_arn.as_deref(), report);
        return S3Credentials::WorkloadIdentity {
            role_arn: identity.role_arn,
            audience: identity.audience.unwrap_or_else(|| defaults::S3_AUDIENCE.to_owned()),
        };
    }
    let Some(env) = env else { return S3Credentials::Ambient };
    let path = format!("{path}.env");
    S3Credentials::Env {
        access_key_id: variable(
            &path,
            "accessKeyId",
            env.access_key_id,
            defaults::S3_ACCESS_KEY_ID_ENV,
            report,
        ),
        secret_access_key: variable(
            &path,
            "secretAccessKey",
            env.secret_access_key,
            defaults::S3_SECRET_ACCESS_KEY_ENV,
            report,
        ),
        session_token: env.session_token.map(|name| variable(&path, "sessionToken", Some(name), "", report)),
    }
}

pub(super) fn gcs(path: &str, spec: Option<&GcsCredentialsSpec>, report: &mut Report) -> GcsCredentials {
    let GcsCredentialsSpec { secret_ref, workload_identity, env } = spec.cloned().unwrap_or_default();
    refuse_several(path, [secret_ref.is_some(), workload_identity.is_some(), env.is_some()], report);
    if let Some(secret) = secret_ref {
        let path = format!("{path}.secretRef");
        report.check(format!("{path}.name"), names::dns_name(&secret.name));
        return GcsCredentials::Secret {
            name: secret.name,
            key: key(&path, "key", secret.key, defaults::GCS_KEY, report),
        };
    }
    if let Some(identity) = workload_identity {
        check_email(
            &format!("{path}.workloadIdentity.serviceAccountEmail"),
            identity.service_account_email.as_deref(),
            report,
        );
        return GcsCredentials::WorkloadIdentity { service_account_email: identity.service_account_email };
    }
    let Some(env) = env else { return GcsCredentials::Ambient };
    let file = variable(
        &format!("{path}.env"),
        "credentialsFile",
        env.credentials_file,
        defaults::GCS_CREDENTIALS_FILE_ENV,
        report,
    );
    GcsCredentials::Env { credentials_file: file }
}

pub(super) fn azure(
    path: &str,
    spec: Option<&AzureCredentialsSpec>,
    report: &mut Report,
) -> AzureCredentials {
    let AzureCredentialsSpec { secret_ref, workload_identity, env } = spec.cloned().unwrap_or_default();
    refuse_several(path, [secret_ref.is_some(), workload_identity.is_some(), env.is_some()], report);
    if let Some(secret) = secret_ref {
        let path = format!("{path}.secretRef");
        report.check(format!("{path}.name"), names::dns_name(&secret.name));
        return AzureCredentials::Secret {
            name: secret.name,
            account_key_key: key(
                &path,
                "accountKeyKey",
                secret.account_key_key,
                defaults::AZURE_ACCOUNT_KEY_KEY,
                report,
            ),
        };
    }
    if let Some(identity) = workload_identity {
        return AzureCredentials::WorkloadIdentity {
            client_id: identity.client_id,
            tenant_id: identity.tenant_id,
        };
    }
    let Some(env) = env else { return AzureCredentials::Ambient };
    let account_key = variable(
        &format!("{path}.env"),
        "accountKey",
        env.account_key,
        defaults::AZURE_ACCOUNT_KEY_ENV,
        report,
    );
    AzureCredentials::Env { account_key }
}

fn refuse_several(path: &str, present: [bool; 3], report: &mut Report) {
    if present.into_iter().filter(|present| *present).count() > 1 {
        report.refuse(
            path,
            "the credentials must come from one place",
            "keep one of secretRef, workloadIdentity and env, or none of them for what the machine offers",
        );
    }
}

/// An entry of a secret: the given one or the default.
fn key(path: &str, field: &str, given: Option<String>, default: &str, report: &mut Report) -> String {
    let key = given.unwrap_or_else(|| default.to_owned());
    report.check(format!("{path}.{field}"), names::data_key(&key));
    key
}

/// The name of an environment variable: the given one or the default.
fn variable(path: &str, field: &str, given: Option<String>, default: &str, report: &mut Report) -> String {
    let name = given.unwrap_or_else(|| default.to_owned());
    report.check(format!("{path}.{field}"), names::env_name(&name));
    name
}

fn check_role(path: &str, role: Option<&str>, report: &mut Report) {
    let good = |role: &str| role.starts_with("arn:") && role.contains(":role/");
    if let Some(role) = role.filter(|role| !good(role)) {
        report.refuse(
            path,
            format!("{role:?} is not an IAM role"),
            "write arn:aws:iam::123456789012:role/traces",
        );
    }
}

fn check_email(path: &str, email: Option<&str>, report: &mut Report) {
    let good = |email: &str| {
        email.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'))
    };
    if let Some(email) = email.filter(|email| !good(email)) {
        report.refuse(
            path,
            format!("{email:?} is not a Google service account"),
            "write traces@my-project.iam.gserviceaccount.com",
        );
    }
}
