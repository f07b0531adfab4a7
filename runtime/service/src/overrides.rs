//! Limits by tenant: the configuration's, and those of the file that is read again and again.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{IntGauge, register_int_gauge};
use tempoform_config::{Limits, Overrides, TenantOverrides};
use tempoform_core::{Error, ErrorKind, Result, TenantId};

static LAST_RELOAD_SUCCESSFUL: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!(
        "tempo_runtime_config_last_reload_successful",
        "Whether the file of per-tenant overrides could be read the last time."
    )
    .expect("the name is registered once, here")
});

/// The limits in force.
pub(crate) struct TenantLimits {
    settings: Overrides,
    tenants: RwLock<Arc<TenantOverrides>>,
}

impl TenantLimits {
    /// Reads the file, if one is configured.
    pub(crate) fn load(settings: Overrides) -> Result<Arc<Self>> {
        let tenants = match file(&settings) {
            Some(path) => read(&path)?,
            None => TenantOverrides::default(),
        };
        LAST_RELOAD_SUCCESSFUL.set(1);
        Ok(Arc::new(Self { settings, tenants: RwLock::new(Arc::new(tenants)) }))
    }

    /// The limits of one tenant.
    pub(crate) fn of(&self, tenant: &TenantId) -> Limits {
        let tenants = Arc::clone(&self.tenants.read().unwrap_or_else(PoisonError::into_inner));
        self.settings.for_tenant(&tenants, tenant.as_str())
    }

    /// Reads the file again, for ever; one with an error changes nothing.
    pub(crate) async fn follow(self: Arc<Self>) {
        let Some(path) = file(&self.settings) else { return };
        let period: Duration = self.settings.per_tenant_override_period.0;
        loop {
            tokio::time::sleep(period).await;
            match read(&path) {
                Ok(tenants) => {
                    LAST_RELOAD_SUCCESSFUL.set(1);
                    *self.tenants.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tenants);
                }
                Err(error) => {
                    LAST_RELOAD_SUCCESSFUL.set(0);
                    tracing::error!(%error, "the per-tenant overrides stay as they were");
                }
            }
        }
    }
}

fn file(settings: &Overrides) -> Option<PathBuf> {
    let path = &settings.per_tenant_override_config;
    (!path.is_empty()).then(|| path.into())
}

fn read(path: &std::path::Path) -> Result<TenantOverrides> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("overrides.per_tenant_override_config {name}: {error}"))
    })?;
    TenantOverrides::load(&text, &name).map_err(|problems| Error::new(ErrorKind::Invalid, problems.to_string()))
}
