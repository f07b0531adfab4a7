//! Which tenants and which block are meant.

use tempoform_block::{BlockFolder, BlockPath, BlockStore};
use tempoform_core::{Account, TenantId};

use super::args::BlockName;
use super::place::Location;
use crate::failure::Failure;

/// Tenants named in a message.
const NAMED: usize = 10;

/// The named tenant, or all.
pub(super) async fn tenants(
    store: &BlockStore,
    named: Option<&TenantId>,
    account: &Account,
) -> Result<Vec<TenantId>, Failure> {
    match named {
        Some(tenant) => Ok(vec![tenant.clone()]),
        None => Ok(store.tenants(account).await?),
    }
}

/// The named tenant, or the only one.
pub(super) async fn one_tenant(
    store: &BlockStore,
    location: &Location,
    named: Option<&TenantId>,
    account: &Account,
) -> Result<TenantId, Failure> {
    let mut tenants = tenants(store, named, account).await?;
    match tenants.pop() {
        Some(tenant) if tenants.is_empty() => Ok(tenant),
        None => Err(Failure::new(format!("there is no tenant in {}", location.name))),
        Some(last) => {
            let names: Vec<&str> = tenants.iter().chain([&last]).map(TenantId::as_str).take(NAMED).collect();
            let more = if tenants.len() + 1 > NAMED { ", …" } else { "" };
            let message = format!("there are {} tenants in {}", tenants.len() + 1, location.name);
            Err(Failure::usage(message).help(format!("name one with --tenant: {}{more}", names.join(", "))))
        }
    }
}

/// The folders of a tenant; that there is none is an error where the user named the tenant.
pub(super) async fn folders(
    store: &BlockStore,
    location: &Location,
    tenant: &TenantId,
    is_named: bool,
    account: &Account,
) -> Result<Vec<BlockFolder>, Failure> {
    let folders = store.folders(tenant, account).await?;
    if folders.is_empty() && is_named {
        return Err(no_blocks(tenant, location));
    }
    Ok(folders)
}

pub(super) fn no_blocks(tenant: &TenantId, location: &Location) -> Failure {
    Failure::new(format!("tenant {tenant} has no blocks in {}", location.name))
        .help("`tempoform blocks list` shows who has")
}

/// The block of that name, wherever it is.
pub(super) async fn block(
    store: &BlockStore,
    location: &Location,
    name: &BlockName,
    tenant: Option<&TenantId>,
    account: &Account,
) -> Result<(BlockPath, BlockFolder), Failure> {
    let BlockName { tenant: of_name, block } = name;
    if let (Some(a), Some(b)) = (of_name, tenant)
        && a != b
    {
        return Err(Failure::usage(format!("block {a}/{block} is not one of tenant {b}")));
    }
    for tenant in tenants(store, of_name.as_ref().or(tenant), account).await? {
        let path = BlockPath::new(tenant, *block);
        match store.folder(&path, account).await {
            Ok(folder) => return Ok((path, folder)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new(format!("there is no block {block} in {}", location.name))
        .help("`tempoform blocks list` shows those that there are"))
}
