use std::process::ExitCode;

use tempoform_api::spec::DeletionPolicy;
use tempoform_engine::plan::{Detail, plan_removal};
use tempoform_engine::target::{DataPolicy, Target as _};

use super::local;
use crate::args::Destroy;
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: &Destroy) -> Result<ExitCode, Failure> {
    let declared = documents::load_one(&args.files, Purpose::Name)?;
    let tempo = &declared.document.validated;
    let first = local::open(&declared)?;
    let delete = args.delete_data || tempo.deletion_policy == DeletionPolicy::Delete;
    if !first.directory().path().exists() {
        output::note(&format!("{} is not applied here: there is nothing to destroy.", tempo.name));
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = first.lock()?;
    let target = local::open(&declared)?;
    let plan = plan_removal(&tempo.name, target.name(), &target.observe().await?);
    output::data(&plan.to_human(Detail::Summary, output::colour()))?;
    let place = target.directory().path().display();
    output::note(&match delete {
        true => format!("Write-ahead logs and blocks in {place} are DELETED. A bucket is not touched."),
        false => format!("Data in {place} stay; --delete-data deletes them."),
    });
    for folder in target.data_outside()? {
        output::note(&format!("Data in {} stay: the folder is not in {place}.", folder.display()));
    }
    if !args.auto_approve && !output::confirm("Destroy it?", "--auto-approve")? {
        output::note("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    let data = if delete { DataPolicy::Delete } else { DataPolicy::Keep };
    let left = target.destroy(data, &output::note).await?;
    output::note(&format!("{} is destroyed.", tempo.name));
    for line in left {
        output::note(&format!("left: {line}"));
    }
    Ok(ExitCode::SUCCESS)
}
