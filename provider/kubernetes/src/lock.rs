//! One apply at a time: a lease beside the inventory, renewed while it lasts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Client, Error, ResourceExt as _};
use tempoform_engine::target::TargetError;
use tokio_util::task::AbortOnDropHandle;

use crate::FIELD_MANAGER;
use crate::failure::explain;
use crate::inventory::Place;
use crate::requests::persist;

/// After how long without a sign its holder counts as gone.
const HELD: Duration = Duration::from_secs(30);
const RENEWED: Duration = Duration::from_secs(10);

/// A lease that is held. Dropped without [`release`](Self::release), it ends by itself.
#[derive(Debug)]
pub(crate) struct Lock {
    api: Api<Lease>,
    name: String,
    holder: String,
    /// Who has taken it over since.
    lost_to: Arc<OnceLock<String>>,
    _renewal: AbortOnDropHandle<()>,
}

impl Lock {
    /// Takes the lease of a Tempo. `None` when there is no namespace yet that it could be in.
    pub(crate) async fn take(client: &Client, place: &Place) -> Result<Option<Self>, TargetError> {
        let api: Api<Lease> = Api::namespaced(client.clone(), &place.namespace);
        let (name, holder) = (place.name(), holder());
        let failed = |error| explain(&format!("cannot take Lease/{}/{name}", place.namespace), error);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let new = lease(place, &holder);
        match persist(|| api.create(&params, &new)).await {
            Ok(_) => {}
            Err(Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(Error::Api(status)) if status.code == 409 => {
                let held = persist(|| api.get(&name)).await.map_err(failed)?;
                // An answer that got lost was the one that it was taken.
                let is_ours =
                    held.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()) == Some(&holder);
                if let Some(left) = left(&held).filter(|_| !is_ours) {
                    return Err(in_use(place, &held, left));
                }
                // With its version, so that one of two who see it ended gets it.
                let next = Lease { spec: new.spec, ..held };
                match persist(|| api.replace(&name, &params, &next)).await {
                    Ok(_) => {}
                    Err(Error::Api(status)) if status.code == 409 => return Err(in_use(place, &next, HELD)),
                    Err(error) => return Err(failed(error)),
                }
            }
            Err(error) => return Err(failed(error)),
        }
        let lost_to = Arc::default();
        let renewal = tokio::spawn(renew(api.clone(), name.clone(), holder.clone(), Arc::clone(&lost_to)));
        Ok(Some(Self { api, name, holder, lost_to, _renewal: AbortOnDropHandle::new(renewal) }))
    }

    /// Who holds it now, if that is somebody else.
    pub(crate) fn lost_to(&self) -> Option<&String> {
        self.lost_to.get()
    }

    /// Gives it back.
    pub(crate) async fn release(self) {
        let released = async {
            let lease = self.api.get(&self.name).await?;
            let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref());
            if holder == Some(&self.holder) {
                let preconditions =
                    Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                self.api.delete(&self.name, &params).await?;
            }
            Ok::<(), Error>(())
        };
        // It ends by itself otherwise.
        if let Err(error) = released.await {
            tracing::debug!(%error, lease = %self.name, "the lease could not be given back");
        }
    }
}

async fn renew(api: Api<Lease>, name: String, holder: String, lost_to: Arc<OnceLock<String>>) {
    loop {
        tokio::time::sleep(RENEWED).await;
        let renewed = async {
            let mut lease = api.get(&name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&holder) {
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                api.replace(&name, &PostParams::default(), &lease).await?;
            } else {
                let other = spec.holder_identity.clone();
                // The first stays.
                drop(lost_to.set(other.unwrap_or_else(|| "somebody".to_owned())));
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = renewed.await {
            tracing::debug!(%error, lease = %name, "the lease could not be renewed");
        }
    }
}

fn lease(place: &Place, holder: &str) -> Lease {
    let now = Some(MicroTime(Timestamp::now()));
    Lease {
        metadata: ObjectMeta {
            name: Some(place.name()),
            namespace: Some(place.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(HELD.as_secs()).ok(),
            acquire_time: now.clone(),
            renew_time: now,
            ..LeaseSpec::default()
        }),
    }
}

/// How long a lease still holds; `None` when it has ended.
fn left(lease: &Lease) -> Option<Duration> {
    let spec = lease.spec.as_ref()?;
    spec.holder_identity.as_ref()?;
    let renewed = spec.renew_time.as_ref()?.0;
    let held = Duration::from_secs(u64::try_from(spec.lease_duration_seconds?).ok()?);
    // A clock that is behind ours by more than it lasts is no reason to wait for ever.
    let age = Duration::try_from(Timestamp::now().duration_since(renewed)).unwrap_or_default();
    held.checked_sub(age).filter(|left| !left.is_zero())
}

fn in_use(place: &Place, held: &Lease, left: Duration) -> TargetError {
    let holder = held.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or("somebody");
    TargetError::new(format!("{} is being applied by {holder}", place.tempo)).help(format!(
        "wait until that is done; if it is gone, Lease/{}/{} ends within {} s",
        place.namespace,
        place.name(),
        left.as_secs() + 1
    ))
}

/// Who applies, for people; another each time.
fn holder() -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.map(|name| name.trim().to_owned()).unwrap_or_else(|_| "unknown host".to_owned());
    let started = Timestamp::now();
    format!("tempoform {}-{number} on {host} since {started:.0}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_with_its_time() {
        let place = Place { namespace: "tracing".to_owned(), tempo: "shop".to_owned() };
        let mut held = lease(&place, "me");
        assert!(left(&held).is_some_and(|left| left <= HELD));
        let renewed = |seconds: i64| {
            let mut lease = held.clone();
            lease.spec.as_mut().unwrap().renew_time =
                Some(MicroTime(Timestamp::now() - jiff_seconds(seconds)));
            lease
        };
        assert!(left(&renewed(29)).is_some());
        assert_eq!(left(&renewed(31)), None);
        assert!(in_use(&place, &held, HELD).to_string().contains("is being applied by me"));
        assert_ne!(holder(), holder(), "one process may apply twice");
        held.spec.as_mut().unwrap().holder_identity = None;
        assert_eq!(left(&held), None);
    }

    fn jiff_seconds(seconds: i64) -> k8s_openapi::jiff::SignedDuration {
        k8s_openapi::jiff::SignedDuration::from_secs(seconds)
    }
}
