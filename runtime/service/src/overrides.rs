//! Limits by tenant: the configuration's, and those of the file that is read again and again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use prometheus::{IntGauge, register_int_gauge};
use tempoform_config::{Limits, Overrides};
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
    overrides: RwLock<Arc<Overrides>>,
    file: Option<PathBuf>,
}

impl TenantLimits {
    /// Reads the file, if one is configured.
    pub(crate) fn load(settings: Overrides) -> Result<Arc<Self>> {
        let path = &settings.per_tenant_override_config;
        let file: Option<PathBuf> = (!path.is_empty()).then(|| path.into());
        let overrides = match &file {
            Some(file) => read(&settings, file)?,
            None => settings,
        };
        LAST_RELOAD_SUCCESSFUL.set(1);
        Ok(Arc::new(Self { overrides: RwLock::new(Arc::new(overrides)), file }))
    }

    /// All of it.
    pub(crate) fn overrides(&self) -> Arc<Overrides> {
        Arc::clone(&self.overrides.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something of the limits of one tenant.
    pub(crate) fn of<T>(&self, tenant: &TenantId, wanted: impl FnOnce(&Limits) -> T) -> T {
        wanted(self.overrides().for_tenant(tenant.as_str()))
    }

    /// Reads the file again, for ever; one with an error changes nothing.
    pub(crate) async fn follow(self: Arc<Self>) {
        let Some(file) = &self.file else { return };
        loop {
            let period = self.overrides().per_tenant_override_period.0;
            tokio::time::sleep(period).await;
            match read(&self.overrides(), file) {
                Ok(overrides) => {
                    LAST_RELOAD_SUCCESSFUL.set(1);
                    *self.overrides.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(overrides);
                }
                Err(error) => {
                    LAST_RELOAD_SUCCESSFUL.set(0);
                    tracing::error!(%error, "the per-tenant overrides stay as they were");
                }
            }
        }
    }
}

fn read(settings: &Overrides, file: &Path) -> Result<Overrides> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("overrides.per_tenant_override_config {name}: {error}"))
    })?;
    let mut overrides = settings.clone();
    overrides
        .reload_tenants(&text, name)
        .map_err(|problems| Error::new(ErrorKind::Invalid, problems.to_string()))?;
    // Once, and not at every look at the file.
    if overrides.tenants.warnings() != settings.tenants.warnings() {
        for warning in overrides.tenants.warnings() {
            tracing::warn!("{warning}");
        }
    }
    Ok(overrides)
}
