//! Images, and the runtime that each holds.

use std::collections::BTreeMap;

use super::names;
use super::report::{Refusal, Report};
use crate::Component;
use crate::defaults;
use crate::spec::TempoSpec;
use crate::validated::{ComponentSettings, Image};

/// Refuses what is no image, and versions of Grafana Tempo whose configuration is not written here.
pub(super) fn image(reference: &str) -> Result<(), Refusal> {
    names::image(reference)?;
    let image = Image(reference.to_owned());
    if !image.is_grafana_tempo() {
        return Ok(());
    }
    let example = "name a version of 2.x, for example docker.io/grafana/tempo:2.10.5, or leave the image out";
    match image.tag() {
        Some(tag) if tag == "2" || tag.starts_with("2.") => Ok(()),
        Some(tag) => Err(Refusal::new(
            format!(
                "Grafana Tempo {tag:?} is not known to be 2.x, and 3.x refuses the configuration that 2.x needs"
            ),
            example,
        )),
        None => Err(Refusal::new(
            format!(
                "{reference:?} does not tell the version of Grafana Tempo, which decides about its configuration"
            ),
            example,
        )),
    }
}

/// Whether the components are Grafana Tempo's.
pub(super) fn are_upstream(components: &BTreeMap<Component, ComponentSettings>) -> bool {
    components.values().any(|settings| settings.image.is_grafana_tempo())
}

/// Our components and Grafana Tempo's cannot find each other: one gossips over UDP, the other over TCP.
pub(super) fn refuse_mixture(
    spec: &TempoSpec,
    components: &BTreeMap<Component, ComponentSettings>,
    report: &mut Report,
) {
    let shared = Image(spec.image.clone().unwrap_or_else(defaults::image));
    let strangers =
        components.values().filter(|settings| settings.image.is_grafana_tempo() != shared.is_grafana_tempo());
    if strangers.clone().count() == components.len() {
        return;
    }
    for settings in strangers {
        report.refuse(
            format!("spec.{}.image", settings.component),
            format!(
                "{} and {shared} of the other components do not find each other: Grafana Tempo gossips in another way",
                settings.image
            ),
            "use images of one kind for all components: set spec.image alone",
        );
    }
}
