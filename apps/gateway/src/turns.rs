//! Turns at the database: requests wait for one where waiting costs nothing, and for no longer than they must.
use std::{future::Future, sync::Arc, time::Duration};

use actix_web::web;
use crm_core::{Error, Result, database::Database};

use crate::app::App;

/// How long a request waits for its turn at the database before it is told to come again.
pub(crate) const TURN_DEADLINE: Duration = Duration::from_secs(2);

/// How long a request is worked on before it is asked whether the database answers anybody at all, and for how long that
/// question waits.
const LONG: Duration = Duration::from_secs(4);
const LAST_QUESTION: Duration = Duration::from_secs(3);

/// Runs `work` on a blocking thread when a connection is likely to be free. Requests wait here, where waiting costs
/// nothing, and not as blocked threads.
///
/// # Errors
/// [`Error::Unavailable`] when the turn does not come in time, [`Error::Internal`] when `work` panics.
pub async fn turn<T: Send + 'static>(
    app: &web::Data<App>,
    work: impl FnOnce(&App) -> Result<T> + Send + 'static,
) -> Result<T> {
    let permit = tokio::time::timeout(TURN_DEADLINE, Arc::clone(&app.turns).acquire_owned());
    let busy = || Error::Unavailable("every connection is busy".into());
    let permit = permit.await.map_err(|_| busy())?.map_err(|_| busy())?;
    let app = app.clone();
    let database = app.door.database().clone();
    let done = web::block(move || {
        let _permit = permit;
        work(&app)
    });
    while_the_database_answers(database, done).await?.unwrap_or_else(|_| Err(Error::internal("a request panicked")))
}

/// Waits for what a blocking thread does. A statement on a server that hangs ends nobody knows when: then nobody waits for
/// it, and its thread keeps its turn. Work that merely takes long goes on.
///
/// # Errors
/// [`Error::Unavailable`].
pub(crate) async fn while_the_database_answers<T>(database: Database, done: impl Future<Output = T>) -> Result<T> {
    let mut done = std::pin::pin!(done);
    loop {
        if let Ok(done) = tokio::time::timeout(LONG, &mut done).await {
            return Ok(done);
        }
        let asked = database.clone();
        let answers = tokio::time::timeout(LAST_QUESTION, tokio::task::spawn_blocking(move || asked.answers())).await;
        if !matches!(answers, Ok(Ok(true))) {
            return Err(Error::Unavailable("the database does not answer".into()));
        }
    }
}
