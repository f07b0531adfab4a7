//! The control plane itself: what other tests stand on.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use tempoform_test_support::ControlPlane;

/// The release, from the module that it is built from.
fn release() -> Result<&'static str> {
    let required = include_str!("../../fixture/go.mod").lines();
    let mut required = required.filter_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    required.next().context("go.mod does not require k8s.io/kubernetes")
}

#[tokio::test]
async fn comes_up_as_the_release_that_was_built_and_keeps_what_it_stores() -> Result<()> {
    let Some(mut plane) = ControlPlane::start().await? else { return Ok(()) };
    eprintln!("ready after {:.1?}", plane.ready_after);
    for (name, usage) in plane.usage()? {
        eprintln!("{name}: {} MiB, {:.1?} of CPU", usage.rss >> 20, usage.cpu);
    }
    assert_eq!(plane.client().apiserver_version().await?.git_version, release()?);

    let maps = Api::<ConfigMap>::default_namespaced(plane.client());
    let mut map = ConfigMap::default();
    map.metadata.name = Some("kept".to_owned());
    maps.create(&PostParams::default(), &map).await?;
    plane.stop_api_server();
    maps.get("kept").await.expect_err("nobody is there to answer");
    plane.restart_api_server().await?;
    maps.get("kept").await?;

    let folder = plane.kubeconfig().parent().context("it lies in a folder")?.to_owned();
    plane.stop()?;
    assert!(!folder.exists(), "{} is left", folder.display());
    maps.get("kept").await.expect_err("it has ended");
    Ok(())
}
