//! Answering requests and doing jobs.
use std::sync::{Arc, atomic::AtomicBool};

use crm_core::clock;
use gateway::{
    config::{Listening, Storage},
    demo::{self, Filled, Scale},
    equipment, server, worker,
};

use super::{Failure, house::House};

/// Serves until somebody ends it.
pub(crate) fn serve(storage: &Storage, listening: &Listening) -> Result<(), Failure> {
    run(House::open(storage)?, storage, listening)
}

fn run(house: House, storage: &Storage, listening: &Listening) -> Result<(), Failure> {
    let equipment = equipment::equip(storage)?;
    let worker = match listening.no_workers {
        true => None,
        false => Some(worker::start(house.door.database().clone(), Arc::clone(&house.gates), &equipment)?),
    };
    let stopping = Arc::new(AtomicBool::new(false));
    let served = actix_web::rt::System::new().block_on(server::serve(
        house.door.clone(),
        equipment,
        storage.connections,
        listening,
        stopping,
    ));
    if let Some(worker) = worker {
        report(worker.stop());
    }
    house.close()?;
    served.map_err(Failure::from)
}

/// Does jobs, and answers nobody, until somebody ends it.
pub(crate) fn work(storage: &Storage) -> Result<(), Failure> {
    let house = House::open(storage)?;
    let equipment = equipment::equip(storage)?;
    let worker = worker::start(house.door.database().clone(), Arc::clone(&house.gates), &equipment)?;
    tracing::info!("waiting for jobs");
    actix_web::rt::System::new().block_on(server::end_is_wanted());
    report(worker.stop());
    house.close()
}

fn report(left: usize) {
    if left > 0 {
        tracing::warn!(left, "jobs were given back to be done by another worker");
    }
}

/// Fills a database with demo data, where it has none yet, and serves it.
pub(crate) fn demonstrate(storage: &Storage, listening: &Listening) -> Result<(), Failure> {
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
    run(house, storage, listening)
}
