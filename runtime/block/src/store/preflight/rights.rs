//! Which right each request needs, by the kind of store, and what to do where something is wrong.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>,
//! <https://cloud.google.com/storage/docs/access-control/iam-permissions>,
//! <https://learn.microsoft.com/azure/role-based-access-control/permissions/storage>.

use tempoform_config::{Backend, Trace};

use super::{Action, Cause};

/// The setting that names a folder of blocks.
pub(super) const LOCAL_PATH: &str = "storage.trace.local.path";

/// A bucket, as its owner knows it.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    backend: Backend,
    name: String,
    prefix: String,
    /// Where the server is, as the configuration has it.
    endpoint: String,
    region: String,
    /// Whether keys, or a place to ask for them, are known without asking the network.
    has_keys: bool,
}

/// Variables of the environment from which the client for S3 takes keys, or the address of who gives them.
const S3_KEYS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

impl Bucket {
    pub(super) fn of(config: &Trace) -> Option<Self> {
        let Trace { local, s3, gcs, azure, .. } = config;
        let backend = config.backend?;
        let or = |text: &str, otherwise: &str| {
            if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
        };
        let (name, prefix, endpoint) = match backend {
            Backend::Local => (&local.path, "", String::new()),
            Backend::S3 => (&s3.bucket, s3.prefix.as_str(), or(&s3.endpoint, "Amazon's endpoint")),
            Backend::Gcs => (&gcs.bucket_name, gcs.prefix.as_str(), or(&gcs.endpoint, "Google's endpoint")),
            Backend::Azure => (&azure.container_name, azure.prefix.as_str(), azure.endpoint_suffix.clone()),
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_matches('/')) };
        let has_keys = backend != Backend::S3
            || !s3.access_key.is_empty()
            || S3_KEYS.iter().any(|variable| std::env::var_os(variable).is_some());
        let region = or(&s3.region, "us-east-1");
        Some(Self { backend, name: name.clone(), prefix, endpoint, region, has_keys })
    }

    /// Why a request ends without an answer. Without keys the client asks for them at an address that many machines do
    /// not have.
    pub(super) fn cause_of_silence(&self) -> Cause {
        if self.has_keys { Cause::Unreachable } else { Cause::NoCredentials }
    }

    /// Whether uploads in parts can be given up.
    pub(super) fn has_aborts(&self) -> bool {
        self.backend != Backend::Azure
    }

    /// The right that an action needs.
    pub(super) fn right(&self, action: Action) -> &'static str {
        match (self.backend, action) {
            (Backend::S3, Action::List) => "s3:ListBucket",
            (Backend::S3, Action::Put | Action::Parts) => "s3:PutObject",
            (Backend::S3, Action::Get | Action::GetRange | Action::Head) => "s3:GetObject",
            (Backend::S3, Action::Abort) => "s3:AbortMultipartUpload",
            (Backend::S3, Action::Delete) => "s3:DeleteObject",
            (Backend::Gcs, Action::List) => "storage.objects.list",
            (Backend::Gcs, Action::Put) => "storage.objects.create",
            (Backend::Gcs, Action::Parts) => "storage.multipartUploads.create and storage.objects.create",
            (Backend::Gcs, Action::Get | Action::GetRange | Action::Head) => "storage.objects.get",
            (Backend::Gcs, Action::Abort) => "storage.multipartUploads.abort",
            (Backend::Gcs, Action::Delete) => "storage.objects.delete",
            (Backend::Azure, Action::List | Action::Get | Action::GetRange | Action::Head) => {
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
            }
            (Backend::Azure, Action::Put | Action::Parts | Action::Abort) => {
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
            }
            (Backend::Azure, Action::Delete) => {
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete"
            }
            (Backend::Local, Action::List | Action::Get | Action::GetRange | Action::Head) => "read",
            (Backend::Local, _) => "write",
        }
    }

    /// What to do about it.
    pub(super) fn advice(&self, action: Action, cause: Cause) -> String {
        let Self { backend, name, endpoint, region, .. } = self;
        match cause {
            Cause::Denied => self.grant(action),
            Cause::NoBucket => match backend {
                Backend::Local => {
                    format!("make the folder {name}, or name another ({LOCAL_PATH} of a configuration)")
                }
                Backend::Azure => format!("make the container {name}, or mend its name or the account's"),
                _ => format!("make the bucket {name}, or mend its name or the endpoint ({endpoint})"),
            },
            Cause::WrongRegion => {
                format!("bucket {name} is not in {region}, or not at {endpoint}: set region to the bucket's own")
            }
            Cause::WrongScheme => format!(
                "{endpoint}: one side speaks TLS and the other does not. Write the endpoint with the scheme that the server \
                 speaks, http:// or https:// (without a scheme, `insecure` decides)"
            ),
            Cause::UnknownCertificate => format!(
                "nobody that this machine trusts has signed the certificate of {endpoint}: name its authority's file in \
                 tls_ca_path. (Or it is for another name, or has expired)"
            ),
            Cause::ClockSkew => "set this machine's clock right: stores refuse what was signed minutes ago, or hence".to_owned(),
            Cause::NoCredentials => match backend {
                Backend::S3 => {
                    "there are no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or storage.trace.s3.access_key and \
                     secret_key of a configuration), or run where there is an identity (web identity token, container or instance role)"
                }
                Backend::Gcs => "give GOOGLE_APPLICATION_CREDENTIALS, or run where there is a workload identity",
                Backend::Azure => "give the account's key, or run where there is a managed or workload identity",
                Backend::Local => "a folder needs none",
            }
            .to_owned(),
            Cause::WrongCredentials => match backend {
                Backend::S3 => "the store does not take the keys: compare access key, secret key and session token, and whether they have expired",
                Backend::Gcs => "the store does not take the credentials: compare the service account and its key",
                Backend::Azure => "the store does not take the key: compare it with the account's, and the account's name",
                Backend::Local => "a folder needs none",
            }
            .to_owned(),
            Cause::ReadOnly => format!(
                "the file system of {name} is mounted read-only: mount it for writing, or name another folder ({LOCAL_PATH} \
                 of a configuration)"
            ),
            Cause::Full => match backend {
                Backend::Local => format!(
                    "there is no space left where the folder {name} is, or no quota: free some, or name another folder \
                     ({LOCAL_PATH} of a configuration)"
                ),
                _ => format!("the store of bucket {name} is full, or its quota is used up: free some, or raise it"),
            },
            Cause::Unreachable if *backend == Backend::Local => format!(
                "the file system of {name} does not do it: a server of files may be away, or it is none for data (like \
                 /proc). Mend it, or name another folder ({LOCAL_PATH} of a configuration)"
            ),
            Cause::Unreachable => format!(
                "nothing answers at {endpoint}: check the address and port, name resolution, and network policies or proxies \
                 between"
            ),
            Cause::Other => "the store's own words are all that is known".to_owned(),
        }
    }

    fn grant(&self, action: Action) -> String {
        let Self { backend, name, prefix, .. } = self;
        let right = self.right(action);
        match (backend, action) {
            (Backend::S3, Action::List) if prefix.is_empty() => {
                format!("grant {right} on arn:aws:s3:::{name}")
            }
            (Backend::S3, Action::List) => {
                format!(
                    "grant {right} on arn:aws:s3:::{name} (a condition on s3:prefix must let {prefix}* pass)"
                )
            }
            (Backend::S3, _) => format!("grant {right} on arn:aws:s3:::{name}/{prefix}*"),
            (Backend::Gcs, _) => {
                format!("grant {right} on bucket {name}; roles/storage.objectUser has all that is needed")
            }
            (Backend::Azure, _) => {
                format!(
                    "grant {right} on container {name}; the role Storage Blob Data Contributor has all that is needed"
                )
            }
            (Backend::Local, _) => format!(
                "let the user that runs this {right} in the folder {name} (chown or chmod it), or name another folder \
                 ({LOCAL_PATH} of a configuration)"
            ),
        }
    }
}
