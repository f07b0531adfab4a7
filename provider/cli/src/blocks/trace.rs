use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use futures::{FutureExt as _, StreamExt as _, stream};
use prost::Message as _;
use tempoform_block::{
    BlockError, BlockFolder, BlockPath, BlockReader, BlockState, BlockStore, combine_traces, may_contain,
};
use tempoform_core::{Account, TenantId, TraceId};
use tempoform_wire::otlp::TracesData;
use uuid::Uuid;

use super::args::{Trace, TraceFormat};
use super::find::may_be_in;
use super::place::{CACHE, Location};
use super::progress::Progress;
use super::{choice, code};
use crate::failure::Failure;
use crate::output;

/// Blocks asked at once.
const AT_ONCE: usize = 16;

pub(super) async fn run(location: &Location, args: &Trace) -> Result<ExitCode, Failure> {
    if args.output == TraceFormat::Otlp && args.to.is_none() && io::stdout().is_terminal() {
        return Err(Failure::usage("protobuf is nothing for a terminal").help("name a file with --to FILE"));
    }
    let (store, account) = (location.open(CACHE)?, Account::default());
    let tenant = choice::one_tenant(&store, location, args.tenant.as_ref(), &account).await?;
    let folders = choice::folders(&store, location, &tenant, true, &account).await?;
    let (total, progress) = (folders.len(), Progress::of("blocks asked"));
    let asked = folders.into_iter().map(|folder| {
        let path = BlockPath::new(tenant.clone(), folder.block);
        let (store, account) = (&store, &account);
        // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
        async move { (piece(store, &path, &folder, args.id, account).await, path) }.boxed()
    });
    let mut asked = stream::iter(asked).buffered(AT_ONCE).enumerate();
    let (mut pieces, mut unread) = (Vec::new(), Vec::new());
    while let Some((number, (piece, path))) = asked.next().await {
        progress.tell(number + 1, total);
        match piece {
            Ok(piece) => pieces.extend(piece),
            Err(gone) if gone.is_not_found() && store.folder(&path, &account).await.is_err() => {}
            Err(error) => {
                output::note(&format!(
                    "warning: block {path} cannot be read: {}",
                    tempoform_core::Error::from(error)
                ));
                unread.push(path.block());
            }
        }
    }
    let trace = combine_traces(pieces);
    if trace.resource_spans.is_empty() {
        return Err(not_found(args.id, &tenant, &unread, total));
    }
    write(&encoded(&trace, args.output)?, args.to.as_deref())?;
    Ok(code(unread.is_empty()))
}

fn not_found(id: TraceId, tenant: &TenantId, unread: &[Uuid], total: usize) -> Failure {
    let find =
        format!("`tempoform blocks find {id}` looks at every tenant, and at ids instead of bloom filters");
    if unread.is_empty() {
        return Failure::new(format!("trace {id} is in no block of tenant {tenant}")).help(find);
    }
    Failure::new(may_be_in(id, tenant, unread, total))
        .help(format!("see above why they could not be read; {find}"))
}

async fn piece(
    store: &BlockStore,
    path: &BlockPath,
    folder: &BlockFolder,
    id: TraceId,
    account: &Account,
) -> Result<Option<TracesData>, BlockError> {
    if folder.state == BlockState::HalfWritten {
        return Ok(None);
    }
    let meta = store.meta_of(path, folder.state, account).await?;
    if !may_contain(store, path, &meta, id, account).await? {
        return Ok(None);
    }
    BlockReader::open(store, path.clone(), &meta, account).await?.find_trace(id, account).await
}

fn encoded(trace: &TracesData, format: TraceFormat) -> Result<Vec<u8>, Failure> {
    match format {
        TraceFormat::Otlp => Ok(trace.encode_to_vec()),
        TraceFormat::Json => {
            let mut json = tempoform_querier::trace_json(trace)
                .map_err(|error| Failure::new("cannot write the trace as JSON").because(&error))?;
            json.push(b'\n');
            Ok(json)
        }
    }
}

fn write(bytes: &[u8], file: Option<&Path>) -> Result<(), Failure> {
    match file {
        Some(file) => {
            fs::write(file, bytes)
                .map_err(|error| Failure::new(format!("cannot write {}", file.display())).because(&error))?;
            output::note(&format!("wrote {} bytes to {}", bytes.len(), file.display()));
            Ok(())
        }
        None => {
            let mut out = io::stdout().lock();
            match out.write_all(bytes).and_then(|()| out.flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
                _ => Ok(()),
            }
        }
    }
}
