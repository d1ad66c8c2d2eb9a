//! Answering requests and doing jobs.
use std::sync::{Arc, atomic::AtomicBool};

use crm_core::{alerts::Channel, clock, sessions::tokens::Secret};
use crm_ops::{
    discord::DiscordWebhook,
    runner::Running,
    traces::{Collector, Exporting},
    watch::Watch,
};
use gateway::{
    app::App,
    config::{Listening, Storage, Tracing, Watching},
    demo::{self, Filled, Scale},
    equipment::{self, Equipment},
    notes::NoteKeeper,
    server, worker,
};

use super::{Failure, house::House};

/// Serves until somebody ends it.
pub(crate) fn serve(storage: &Storage, listening: &Listening, watching: &Watching) -> Result<(), Failure> {
    run(House::open(storage)?, storage, listening, watching)
}

fn run(house: House, storage: &Storage, listening: &Listening, watching: &Watching) -> Result<(), Failure> {
    let (channel, metrics_token) = (channel(watching)?, metrics_token(watching)?);
    let equipment = equipment::equip(storage, watching.allow_private_addresses)?;
    let traces = traces(&watching.tracing)?;
    let worker = match listening.no_workers {
        true => None,
        false => Some(start_worker(&house, channel, &equipment, traces.as_ref())?),
    };
    let notes = NoteKeeper::start(house.door.clone())?;
    let stopping = Arc::new(AtomicBool::new(false));
    let watch = Watch::start(house.door.clone(), storage.home.clone())?;
    let connections = usize::try_from(storage.connections).unwrap_or(8);
    let app = App::new(house.door.clone(), connections, stopping)?;
    let tracer = traces.as_ref().map(|traces| traces.tracer().clone());
    let app = App { data_folder: storage.home.clone(), metrics_token, tracer, ..app }.equipped(equipment);
    let served = actix_web::rt::System::new().block_on(server::serve(app, listening));
    drop(watch);
    if let Some(worker) = worker {
        report(worker.stop());
    }
    notes.stop();
    drop(traces);
    house.close()?;
    served.map_err(Failure::from)
}

/// Does jobs, and answers nobody, until somebody ends it.
pub(crate) fn work(storage: &Storage, watching: &Watching) -> Result<(), Failure> {
    let channel = channel(watching)?;
    let house = House::open(storage)?;
    let equipment = equipment::equip(storage, watching.allow_private_addresses)?;
    let traces = traces(&watching.tracing)?;
    let worker = start_worker(&house, channel, &equipment, traces.as_ref())?;
    let watch = Watch::start(house.door.clone(), storage.home.clone())?;
    let notes = NoteKeeper::start(house.door.clone())?;
    actix_web::rt::System::new().block_on(async {
        let end = server::end_is_wanted();
        tracing::info!("waiting for jobs");
        end.await
    });
    drop(watch);
    report(worker.stop());
    notes.stop();
    drop(traces);
    house.close()
}

fn start_worker(
    house: &House,
    channel: Option<Arc<dyn Channel>>,
    equipment: &Equipment,
    traces: Option<&Exporting>,
) -> Result<Running, Failure> {
    let runner = worker::runner(house.door.database().clone(), Arc::clone(&house.gates));
    let runner = equipment.plugged_into(runner);
    let runner = match channel {
        Some(channel) => runner.plug(channel),
        None => runner,
    };
    let runner = match traces {
        Some(traces) => runner.plug(Arc::new(traces.tracer().clone())),
        None => runner,
    };
    Ok(runner.start()?)
}

/// Where alerts are told outside, if that is wanted.
fn channel(watching: &Watching) -> Result<Option<Arc<dyn Channel>>, Failure> {
    let Some(address) = watching.discord_webhook_url.as_deref().filter(|address| !address.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Arc::new(DiscordWebhook::new(&Secret::new(address), watching.allow_private_addresses)?)))
}

/// Sends traces to the collector, if there is one.
fn traces(tracing: &Tracing) -> Result<Option<Exporting>, Failure> {
    let Some(endpoint) = tracing.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Collector::new(endpoint, &tracing.otlp_headers, &tracing.service_name)?.start()?))
}

/// The shortest token that nobody guesses.
const SHORTEST_TOKEN: usize = 16;

fn metrics_token(watching: &Watching) -> Result<Option<Secret>, Failure> {
    match watching.metrics_token.as_deref().filter(|token| !token.is_empty()) {
        Some(token) if token.len() < SHORTEST_TOKEN => {
            Err(format!("HEIMDELL_METRICS_TOKEN must have at least {SHORTEST_TOKEN} characters.").into())
        }
        token => Ok(token.map(Secret::new)),
    }
}

fn report(left: usize) {
    if left > 0 {
        tracing::warn!(left, "jobs were given back to be done by another worker");
    }
}

/// Fills a database with demo data, where it has none yet, and serves it.
pub(crate) fn demonstrate(storage: &Storage, listening: &Listening, watching: &Watching) -> Result<(), Failure> {
    println!("Opening the database in {} …", storage.home.display());
    let house = House::open(storage)?;
    let filled = demo::fill(&house.door, clock::now(), Scale::FULL, |phase| println!("{phase} …"))?;
    if let Filled::Now(counts) = filled {
        println!(
            "Made {} companies, {} contacts, {} leads, {} deals, {} activities and {} tasks.",
            counts.companies, counts.contacts, counts.leads, counts.deals, counts.activities, counts.tasks
        );
    }
    println!(
        "\nHeimdell is at http://localhost:{}/ . Sign in, with the password {}, as",
        listening.port,
        demo::PASSWORD
    );
    for account in demo::ACCOUNTS {
        println!("  {account}");
    }
    println!("End with Ctrl-C; start again and it goes on where it stopped.\n");
    run(house, storage, listening, watching)
}
