use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Error, ErrorKind};

/// Header and gRPC metadata key that names the tenant.
pub const TENANT_HEADER: &str = "x-scope-orgid";

/// A tenant's name, checked: it becomes a folder in the bucket. Cheap to clone.
///
/// 1 to 150 bytes of letters, digits and `! - _ . * ' ( )`, not `.` or `..`, as Tempo has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The one tenant of a deployment without multi-tenancy.
    pub fn single() -> Self {
        Self(Arc::from("single-tenant"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::Invalid, format!("tenant id {name:?}: {why}")));
        if name.is_empty() {
            return invalid("is empty");
        }
        if name.len() > 150 {
            return invalid("is longer than 150 bytes");
        }
        if name == "." || name == ".." {
            return invalid("is not a name");
        }
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"!-_.*'()".contains(*c)) {
            Some(c) => invalid(&format!("contains {c:?}; allowed are letters, digits and ! - _ . * ' ( )")),
            None => Ok(Self(Arc::from(name))),
        }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
