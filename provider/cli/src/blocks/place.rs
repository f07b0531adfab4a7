//! Where the blocks are: a bucket by its URL, a configuration file, or a document.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use serde_json::json;
use tempoform_block::{BlockStore, StoreOptions};
use tempoform_compactor::Settings;
use tempoform_config::{Backend, Config, Trace};
use tempoform_core::MemoryBudget;
use tempoform_engine::render::{self, EnvironmentName, ResolvedPorts};
use url::Url;

use super::args::Place;
use crate::args::Files;
use crate::commands::local::state_directory;
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::output;

/// Enough for what one command reads again and again: dictionaries, blooms, footers.
pub(super) const CACHE: usize = 64 << 20;
/// The variable by which Google's client finds its key.
const GOOGLE_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Where the blocks are, and how new ones are written there.
#[derive(Debug)]
pub(crate) struct Location {
    /// As the user may know it.
    pub(crate) name: String,
    trace: Trace,
}

impl Location {
    /// Opens the store. `cache` is how much of it is kept in memory, bytes.
    pub(super) fn open(&self, cache: usize) -> Result<BlockStore, Failure> {
        if self.trace.backend == Some(Backend::Local) {
            // Opening would make it, and a wrong path look like an empty bucket.
            let path = &self.trace.local.path;
            fs::read_dir(path).map_err(|error| {
                Failure::new(format!("cannot read the folder of blocks {path}")).because(&error)
            })?;
        }
        let options = StoreOptions { cache_bytes: cache, ..StoreOptions::default() };
        Ok(BlockStore::open(&self.trace, options, None)?)
    }

    /// The section of the configuration.
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether it is a folder of this machine.
    pub(crate) fn is_folder(&self) -> bool {
        self.trace.backend == Some(Backend::Local)
    }

    /// How blocks are written, by the configuration.
    pub(super) fn settings(&self) -> Settings {
        let block = &self.trace.block;
        Settings {
            row_group_bytes: usize::try_from(block.parquet_row_group_size_bytes.0).unwrap_or(usize::MAX),
            bloom_false_positive: block.bloom_filter_false_positive,
            bloom_shard_size_bytes: u32::try_from(block.bloom_filter_shard_size_bytes.0).unwrap_or(u32::MAX),
            // Whoever runs a command sees what it takes.
            memory: MemoryBudget::new(u64::MAX),
            max_sidecar_bytes: tempoform_block::extra::MAX_BYTES,
        }
    }
}

/// The place that the arguments name.
pub(crate) fn locate(place: &Place) -> Result<Location, Failure> {
    match (&place.bucket, &place.config) {
        (Some(_), Some(_)) => Err(Failure::usage("--bucket and --config both say where the blocks are")
            .help("leave one of them out")),
        (Some(url), None) => {
            let (url, assumed) = with_scheme(url);
            let trace = of_url(&url).map_err(|problem| wrong_url(&url, &problem))?;
            for assumed in [assumed, assumed_of_endpoint(&trace)].into_iter().flatten() {
                output::note(&format!("note: {assumed}"));
            }
            Ok(Location { name: without_secrets(&url), trace })
        }
        (None, Some(file)) => of_config(file),
        (None, None) if !place.files.is_empty() => of_document(&Files { files: place.files.clone() }),
        (None, None) => Err(Failure::usage("it is not said where the blocks are").help(
            "name the bucket with --bucket URL, a configuration file with --config FILE, or a document with -f FILE",
        )),
    }
}

fn of_config(file: &Path) -> Result<Location, Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("cannot read the configuration {name}")).because(&error))?;
    let trace = Config::load(&text, &name, true)?.storage.trace;
    Ok(Location { name: described(&trace), trace })
}

/// The storage of a document.
pub(crate) fn of_document(files: &Files) -> Result<Location, Failure> {
    let declared = documents::load_one(files, Purpose::Name)?;
    let state = state_directory(&declared)?;
    let definitions = render::local(&declared.document.validated).map_err(|error| declared.failure(error))?;
    let mut definition = definitions
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new("the document has no component, and thus no configuration"))?;
    // The rest has ports in it that are not known before an apply.
    definition.config = json!({ "storage": definition.config.get("storage") });
    let text = definition
        .resolve(&ResolvedPorts::default(), state.path())
        .map_err(|error| Failure::new("cannot tell the document's storage").because(&error))?;
    let environment = definition.environment;
    google_key(&environment)?;
    let name = declared.file.display().to_string();
    let config = Config::load_with(&text, &name, &|variable| value(&environment, variable))?;
    Ok(Location { name: described(&config.storage.trace), trace: config.storage.trace })
}

/// The value of a process's variable, from where the document says it comes.
fn value(environment: &[EnvironmentName], variable: &str) -> Option<String> {
    let known = environment.iter().find(|known| known.name == variable);
    match known {
        Some(EnvironmentName { value: Some(value), .. }) => Some(value.clone()),
        Some(EnvironmentName { source, .. }) => std::env::var(source).ok(),
        None => std::env::var(variable).ok(),
    }
}

/// Google's client reads its variable itself, under its own name.
fn google_key(environment: &[EnvironmentName]) -> Result<(), Failure> {
    let source = environment.iter().find(|known| known.name == GOOGLE_CREDENTIALS).map(|known| &known.source);
    match source {
        Some(source) if source != GOOGLE_CREDENTIALS && std::env::var_os(GOOGLE_CREDENTIALS).is_none() => {
            let message =
                format!("the document has the key of Google Cloud Storage in the variable {source}");
            Err(Failure::new(message)
                .help(format!("set {GOOGLE_CREDENTIALS} to the same file for this command")))
        }
        _ => Ok(()),
    }
}

/// A path is taken for a folder of this machine; the second says so.
fn with_scheme(text: &str) -> (Cow<'_, str>, Option<String>) {
    let is_path =
        ["/", "./", "../"].iter().any(|begin| text.starts_with(begin)) || text == "." || text == "..";
    let url =
        std::path::absolute(text).ok().filter(|_| is_path).and_then(|path| Url::from_file_path(path).ok());
    match url {
        Some(url) => {
            let assumed = format!("--bucket {text} has no scheme: it is taken for the folder {url}");
            (Cow::Owned(url.into()), Some(assumed))
        }
        None => (Cow::Borrowed(text), None),
    }
}

/// How an endpoint without a scheme is spoken to.
fn assumed_of_endpoint(trace: &Trace) -> Option<String> {
    let endpoint = match trace.backend? {
        Backend::Local => return None,
        Backend::S3 => &trace.s3.endpoint,
        Backend::Gcs => &trace.gcs.endpoint,
        Backend::Azure => &trace.azure.endpoint_suffix,
    };
    let is_asked = !endpoint.is_empty() && !endpoint.contains("://");
    is_asked.then(|| match trace.backend {
        Some(Backend::Azure) => format!(
            "endpoint {endpoint} has no scheme: it is taken for the end of https://{}.{endpoint}; of an emulator, write \
             http://{endpoint}",
            trace.azure.storage_account_name
        ),
        _ => format!(
            "endpoint {endpoint} has no scheme: https://{endpoint} is assumed; write http://{endpoint} where the server does \
             not speak TLS"
        ),
    })
}

fn of_url(text: &str) -> Result<Trace, String> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            "it has no scheme, which says what kind of storage it is".to_owned()
        }
        other => other.to_string(),
    })?;
    let mut trace = Trace::default();
    let bucket =
        || url.host_str().filter(|host| !host.is_empty()).map(str::to_owned).ok_or("it names no bucket");
    let prefix = url.path().trim_matches('/').to_owned();
    let mut known: Vec<(&str, &mut String)> = Vec::new();
    match url.scheme() {
        "file" => {
            trace.backend = Some(Backend::Local);
            let path =
                url.to_file_path().map_err(|()| "it is no path on this machine; write file:///PATH")?;
            trace.local.path = path.display().to_string();
        }
        "s3" => {
            trace.backend = Some(Backend::S3);
            (trace.s3.bucket, trace.s3.prefix) = (bucket()?, prefix);
            known = vec![("endpoint", &mut trace.s3.endpoint), ("region", &mut trace.s3.region)];
        }
        "gs" => {
            trace.backend = Some(Backend::Gcs);
            (trace.gcs.bucket_name, trace.gcs.prefix) = (bucket()?, prefix);
            known = vec![("endpoint", &mut trace.gcs.endpoint)];
        }
        "az" => {
            trace.backend = Some(Backend::Azure);
            (trace.azure.container_name, trace.azure.prefix) = (bucket()?, prefix);
            trace.azure.storage_account_name =
                std::env::var("AZURE_STORAGE_ACCOUNT_NAME").unwrap_or_default();
            known = vec![
                ("account", &mut trace.azure.storage_account_name),
                ("endpoint", &mut trace.azure.endpoint_suffix),
            ];
        }
        other => return Err(format!("{other} is no kind of storage; there are s3, gs, az and file")),
    }
    for (key, value) in url.query_pairs() {
        let setting = known.iter_mut().find(|(name, _)| *name == key);
        let (_, setting) = setting.ok_or_else(|| format!("{key:?} is no setting of {}", url.scheme()))?;
        **setting = value.into_owned();
    }
    if trace.backend == Some(Backend::Azure) && trace.azure.storage_account_name.is_empty() {
        return Err(
            "it names no account, and AZURE_STORAGE_ACCOUNT_NAME is not set; add ?account=NAME".to_owned()
        );
    }
    Ok(trace)
}

fn wrong_url(url: &str, problem: &str) -> Failure {
    Failure::usage(format!("--bucket {}: {problem}", without_secrets(url)))
        .help("write s3://BUCKET/PREFIX?endpoint=URL&region=NAME, gs://BUCKET, az://CONTAINER?account=NAME or file:///PATH")
}

/// A user name and password have no place there, and are not shown should somebody write them.
pub(crate) fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.split_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

fn described(trace: &Trace) -> String {
    let Trace { local, s3, gcs, azure, .. } = trace;
    let (scheme, bucket, prefix) = match trace.backend {
        Some(Backend::Local) | None => ("file", &local.path, ""),
        Some(Backend::S3) => ("s3", &s3.bucket, s3.prefix.as_str()),
        Some(Backend::Gcs) => ("gs", &gcs.bucket_name, gcs.prefix.as_str()),
        Some(Backend::Azure) => ("az", &azure.container_name, azure.prefix.as_str()),
    };
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!("{scheme}://{bucket}{slash}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_buckets_prefixes_and_endpoints() {
        let trace = of_url("s3://traces/a/b?endpoint=http://minio:9000&region=eu-west-1").unwrap();
        assert_eq!(trace.backend, Some(Backend::S3));
        assert_eq!((trace.s3.bucket.as_str(), trace.s3.prefix.as_str()), ("traces", "a/b"));
        assert_eq!(
            (trace.s3.endpoint.as_str(), trace.s3.region.as_str()),
            ("http://minio:9000", "eu-west-1")
        );
        assert_eq!(described(&trace), "s3://traces/a/b");
        let trace = of_url("gs://traces").unwrap();
        assert_eq!((trace.gcs.bucket_name.as_str(), trace.gcs.prefix.as_str()), ("traces", ""));
        let trace = of_url("az://traces/p?account=us&endpoint=http://localhost:10000").unwrap();
        assert_eq!(trace.azure.storage_account_name, "us");
        assert_eq!((trace.azure.container_name.as_str(), trace.azure.prefix.as_str()), ("traces", "p"));
        let trace = of_url("file:///var/tempo/my%20traces").unwrap();
        assert_eq!(trace.local.path, "/var/tempo/my traces");
    }

    #[test]
    fn wrong_urls_are_told_what_is_wrong() {
        for (url, problem) in [
            ("traces", "has no scheme"),
            ("az:///prefix", "names no bucket"),
            ("az://traces?account=", "names no account"),
            ("az://traces?acount=us", "\"acount\" is no setting of az"),
            ("http://traces", "http is no kind of storage"),
            ("s3:///prefix", "names no bucket"),
            ("s3://traces?regoin=x", "\"regoin\" is no setting of s3"),
            ("file://traces/x", "no path on this machine"),
        ] {
            let said = of_url(url).unwrap_err();
            assert!(said.contains(problem), "{url}: {said}");
        }
        assert_eq!(without_secrets("s3://key:secret@traces/p"), "s3://traces/p");
    }

    #[test]
    fn what_is_assumed_without_a_scheme_is_told() {
        let (url, assumed) = with_scheme("/var/tempo/my traces");
        assert_eq!(of_url(&url).unwrap().local.path, "/var/tempo/my traces");
        assert!(assumed.unwrap().contains("file:///var/tempo/my%20traces"));
        assert_eq!(with_scheme("traces"), (Cow::Borrowed("traces"), None));
        let told = |url: &str| assumed_of_endpoint(&of_url(url).unwrap());
        assert!(told("s3://traces?endpoint=minio:9000").unwrap().contains("https://minio:9000 is assumed"));
        assert!(
            told("az://traces?account=us&endpoint=blob.local").unwrap().contains("https://us.blob.local")
        );
        assert_eq!(told("s3://traces?endpoint=http://minio:9000"), None);
        assert_eq!(told("s3://traces"), None);
    }
}
