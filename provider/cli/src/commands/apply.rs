use std::process::ExitCode;

use serde_json::json;
use tempoform_engine::apply::{Applied, ApplyOptions, apply};
use tempoform_engine::health::{self, Report};
use tempoform_engine::object::Instance;
use tempoform_engine::plan::{DangerKind, Detail, Plan, plan};
use tempoform_engine::target::Target as _;
use tokio_util::sync::CancellationToken;

use super::{check, health as health_command, local};
use crate::args::{Apply, Format};
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::progress::Lines;

pub(crate) async fn run(args: &Apply, invocation: &Invocation) -> Result<ExitCode, Failure> {
    let declared = documents::load_one(&args.files, Purpose::Processes)?;
    let tempo = &declared.document.validated;
    // Held from before the plan, so that what is shown is what is done.
    let lock = local::open(&declared)?.lock()?;
    let (target, desired) = local::declare(&declared)?;
    let plan = plan(target.name(), &desired, &target.observe().await?);
    show(&plan, args)?;
    refuse_dangers(&plan, &args.allow)?;

    let mut applied = Applied::default();
    let mut cancel = CancellationToken::new();
    if !plan.is_empty() {
        if !args.skip_storage_check {
            check::before_change(&args.files, "--skip-storage-check").await?;
        }
        if !args.auto_approve && !output::confirm("Make these changes?", "--auto-approve")? {
            output::note("Nothing was changed.");
            return Ok(ExitCode::from(1));
        }
        // Not before: at the question, Ctrl-C simply ends the command.
        cancel = interrupt();
        let options = ApplyOptions { timeout: args.timeout, ..ApplyOptions::default() };
        applied = apply(&target, &plan, &desired, options, &Lines, &cancel).await?;
        let Applied { created, changed, destroyed } = applied;
        output::note(&format!("\nApplied: {created} created, {changed} changed, {destroyed} destroyed."));
    }
    drop(lock);

    let instances = target.endpoints().await?;
    let options = local::health_options(tempo);
    let report = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Failure::new("interrupted: everything is applied, its health is not known")),
        report = health::check(&instances, &options) => report,
    };
    match args.output {
        Format::Json => output::json(&result(&applied, &report))?,
        Format::Text => {
            output::data(&health_command::to_text(&report))?;
            if report.healthy {
                output::data(&next_steps(&instances, options.tenant.as_deref(), invocation))?;
            }
        }
    }
    if report.healthy {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new("everything is applied, and it is not healthy")
        .help("look at `tempoform logs`, then apply again"))
}

fn show(plan: &Plan, args: &Apply) -> Result<(), Failure> {
    let detail = if args.full { Detail::Full } else { Detail::Summary };
    match args.output {
        Format::Json => {
            output::note(&plan.to_human(detail, false));
            Ok(())
        }
        Format::Text => output::data(&(plan.to_human(detail, output::colour()) + "\n")),
    }
}

fn refuse_dangers(plan: &Plan, allowed: &[DangerKind]) -> Result<(), Failure> {
    let refused = plan.refused(allowed);
    if refused.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        refused.iter().map(|danger| format!("  {}: {}", danger.kind, danger.message)).collect();
    let words: Vec<String> = refused.iter().map(|danger| format!("--allow {}", danger.kind)).collect();
    Err(Failure::new(format!("the plan has dangerous changes, so nothing was changed\n{}", list.join("\n")))
        .help(format!("if they are meant, run the command again with {}", words.join(" "))))
}

/// Cancelled by Ctrl-C: the apply then begins nothing more, and the next one goes on.
fn interrupt() -> CancellationToken {
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            output::note("\nInterrupted. Components that run go on running.");
            token.cancel();
        }
    });
    cancel
}

fn result(applied: &Applied, report: &Report) -> serde_json::Value {
    let Applied { created, changed, destroyed } = applied;
    json!({"applied": {"created": created, "changed": changed, "destroyed": destroyed}, "health": report})
}

/// Where to send spans and how to ask for them, to be copied into a shell.
fn next_steps(instances: &[Instance], tenant: Option<&str>, invocation: &Invocation) -> String {
    let endpoint = |components: [&str; 2], key: &str| {
        components
            .iter()
            .find_map(|component| instances.iter().filter(|i| i.name == *component).find_map(|i| i.url(key)))
    };
    let header = tenant.map(|tenant| format!(" -H 'X-Scope-OrgID: {tenant}'")).unwrap_or_default();
    let mut text = String::from("\nSend spans to\n");
    for (key, label) in [("otlpGrpc", "OTLP over gRPC"), ("otlpHttp", "OTLP over HTTP")] {
        if let Some(url) = endpoint(["distributor", "tempo"], key) {
            text.push_str(&format!("  {label}  {url}\n"));
        }
    }
    if let Some(url) = endpoint(["queryFrontend", "tempo"], "http") {
        text.push_str(&format!(
            "Ask for traces (the data source URL for Grafana, type Tempo, is {url})\n  \
             curl{header} -G {url}/api/search --data-urlencode 'q={{ resource.service.name != \"tempoform-canary\" }}'\n  \
             curl{header} {url}/api/v2/traces/TRACE_ID\n"
        ));
    }
    text.push_str(&format!("Look at it\n  {}\n", invocation.command("status")));
    text
}
