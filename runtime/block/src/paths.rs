//! Where the objects of a block lie in the bucket, below the configured prefix.

use std::fmt;

use object_store::path::Path;
use tempoform_core::TenantId;
use uuid::Uuid;

/// `meta.json`.
pub const META: &str = "meta.json";
/// `meta.compacted.json`.
pub const COMPACTED_META: &str = "meta.compacted.json";
/// `data.parquet`.
pub const DATA: &str = "data.parquet";
/// `index`.
pub const INDEX: &str = "index";
/// `nocompact.flg`.
pub const NO_COMPACT: &str = "nocompact.flg";
/// `tempoform.aside.json`, of our own: why merging leaves a block out. Tempo passes over it.
pub const ASIDE: &str = "tempoform.aside.json";
/// What names of objects of our own in a block's folder begin with.
const OUR_OBJECTS: &str = "tempoform.";

/// A block's folder: `<tenant>/<uuid>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockPath {
    tenant: TenantId,
    block: Uuid,
}

/// One object of a block's folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockObject {
    /// `meta.json`: the block is live.
    Meta,
    /// `meta.compacted.json`: compacted or expired; when is the object's modification time.
    CompactedMeta,
    /// `data.parquet`.
    Data,
    /// `bloom-<i>`.
    Bloom(u32),
    /// `index`: last trace id of each row group.
    Index,
    /// `nocompact.flg`.
    NoCompact,
    /// A sidecar of ours, which Tempo ignores.
    Sidecar(&'static str),
}

impl fmt::Display for BlockObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta => f.write_str(META),
            Self::CompactedMeta => f.write_str(COMPACTED_META),
            Self::Data => f.write_str(DATA),
            Self::Bloom(shard) => write!(f, "bloom-{shard}"),
            Self::Index => f.write_str(INDEX),
            Self::NoCompact => f.write_str(NO_COMPACT),
            Self::Sidecar(name) => f.write_str(name),
        }
    }
}

impl BlockPath {
    /// The folder of a tenant's block.
    pub fn new(tenant: TenantId, block: Uuid) -> Self {
        Self { tenant, block }
    }

    /// Whose block.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which block.
    pub fn block(&self) -> Uuid {
        self.block
    }

    /// The folder.
    pub fn folder(&self) -> Path {
        below(&self.tenant, &self.block.hyphenated())
    }

    /// An object in it.
    pub fn object(&self, object: &BlockObject) -> Path {
        below(&self.tenant, &format_args!("{}/{object}", self.block.hyphenated()))
    }
}

impl fmt::Display for BlockPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.block.hyphenated())
    }
}

/// A tenant's folder.
pub fn tenant_folder(tenant: &TenantId) -> Path {
    verbatim(tenant.as_str())
}

fn below(tenant: &TenantId, rest: &dyn fmt::Display) -> Path {
    verbatim(&format!("{tenant}/{rest}"))
}

/// `Path`'s other constructors escape characters that tenant names may hold; Tempo does not.
fn verbatim(key: &str) -> Path {
    Path::parse(key).expect("a tenant id has no slash or control character, and is not . or ..")
}

/// `<tenant>/index.pb.zst`, the index that wins.
pub fn tenant_index(tenant: &TenantId) -> Path {
    below(tenant, &"index.pb.zst")
}

/// `<tenant>/index.json.gz`.
pub fn tenant_index_json(tenant: &TenantId) -> Path {
    below(tenant, &"index.json.gz")
}

/// The tenant a first-level folder of the bucket stands for, if it is one.
pub fn tenant_of_folder(name: &str) -> Option<TenantId> {
    name.parse().ok()
}

/// Whether an object of this name may lie in a block's folder, put there by us or by Tempo.
pub fn is_block_object(name: &str) -> bool {
    let is_bloom = |name: &str| {
        name.strip_prefix("bloom-").is_some_and(|shard| shard.bytes().all(|digit| digit.is_ascii_digit()))
    };
    [META, COMPACTED_META, DATA, INDEX, NO_COMPACT].contains(&name)
        || name.strip_prefix(OUR_OBJECTS).is_some_and(|rest| !rest.contains('/'))
        || is_bloom(name)
}

/// The block of a key `<uuid>/meta.json` or `<uuid>/meta.compacted.json` below a tenant's folder, and
/// whether it is the live meta. Everything else is not a block.
pub fn block_of_key(below_tenant: &str) -> Option<(Uuid, BlockObject)> {
    let (folder, name) = below_tenant.split_once('/')?;
    let object = match name {
        META => BlockObject::Meta,
        COMPACTED_META => BlockObject::CompactedMeta,
        _ => return None,
    };
    let block = Uuid::try_parse(folder).ok()?;
    (block.hyphenated().to_string() == folder).then_some((block, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000024";

    #[test]
    fn objects_lie_where_tempo_has_them() {
        let path = BlockPath::new("team-a".parse().unwrap(), Uuid::try_parse(ID).unwrap());
        assert_eq!(path.object(&BlockObject::Bloom(12)).as_ref(), format!("team-a/{ID}/bloom-12"));
        assert_eq!(path.object(&BlockObject::Data).as_ref(), format!("team-a/{ID}/data.parquet"));
        assert_eq!(tenant_index(path.tenant()).as_ref(), "team-a/index.pb.zst");
    }

    #[test]
    fn tenant_names_with_special_characters_stay_verbatim() {
        let tenant: TenantId = "a!b-c_d.e*f'g(h)".parse().unwrap();
        assert_eq!(tenant_folder(&tenant).as_ref(), tenant.as_str());
        assert_eq!(tenant_index_json(&tenant).as_ref(), format!("{tenant}/index.json.gz"));
    }

    #[test]
    fn only_metas_in_uuid_folders_are_blocks() {
        let id = Uuid::try_parse(ID).unwrap();
        assert_eq!(block_of_key(&format!("{ID}/meta.json")), Some((id, BlockObject::Meta)));
        assert_eq!(
            block_of_key(&format!("{ID}/meta.compacted.json")),
            Some((id, BlockObject::CompactedMeta))
        );
        for key in
            ["index.pb.zst", "folder/meta.json", &format!("{ID}/bloom-0"), &format!("{ID}/x/meta.json")]
        {
            assert_eq!(block_of_key(key), None, "{key}");
        }
    }

    #[test]
    fn objects_of_blocks_are_told_from_others() {
        for name in ["meta.json", "data.parquet", "bloom-0", "bloom-12", "index", ASIDE, "tempoform.extra"] {
            assert!(is_block_object(name), "{name}");
        }
        for name in ["photo.jpg", "bloom-x", "x/meta.json", "tempoform.x/y", "meta.json.bak"] {
            assert!(!is_block_object(name), "{name}");
        }
    }

    #[test]
    fn tempos_own_objects_are_not_tenants() {
        assert!(tenant_of_folder("tempo_cluster_seed.json").is_none());
        assert!(tenant_of_folder("work.json").is_none());
        assert!(tenant_of_folder("").is_none());
        assert_eq!(tenant_of_folder("t1").unwrap().as_str(), "t1");
    }
}
