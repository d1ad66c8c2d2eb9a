//! Turns at the database: as many threads as there are connections, and one queue before them.
//!
//! A request waits here as a value in the queue, which holds neither a thread nor a connection, and its turn begins on a
//! thread that is awake already where there is much to do: waking threads is what a short request costs most.
use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crm_core::{Error, Result, database::Database};
use tokio::runtime::{Builder, Runtime};

/// How long a request waits for its turn before it is told to come again.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// How long a request is worked on before it is asked whether the database answers anybody at all, and for how long that
/// question waits.
const LONG: Duration = Duration::from_secs(4);
const LAST_QUESTION: Duration = Duration::from_secs(3);

/// The threads on which the database is spoken to.
pub struct Turns {
    threads: Option<Runtime>,
    deadline: Duration,
}

impl Turns {
    /// As many turns at a time as there are connections.
    ///
    /// # Errors
    /// What the system says where it gives no threads.
    pub fn new(connections: usize) -> io::Result<Self> {
        let threads =
            Builder::new_current_thread().max_blocking_threads(connections.max(1)).thread_name("turn").build()?;
        Ok(Self { threads: Some(threads), deadline: DEADLINE })
    }

    /// Runs `work` on a thread that may block. A request that is given up while it waits, since its client has gone, is
    /// not begun.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the turn does not come in time, [`Error::Internal`] when `work` panics, and what `work`
    /// returns.
    pub async fn take<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let Some(threads) = &self.threads else { return Err(busy()) };
        let (place, called) = Place::pair();
        let mut done = threads.spawn_blocking(move || called.take().then(work));
        let done = match tokio::time::timeout(self.deadline, &mut done).await {
            Ok(done) => done,
            Err(_) if place.take() => return Err(busy()),
            Err(_) => done.await,
        };
        done.unwrap_or_else(|_| Some(Err(Error::internal("a request panicked")))).unwrap_or_else(|| Err(busy()))
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// Waits for what a thread does. A statement on a server that hangs ends nobody knows when: then nobody waits for it, and its
/// thread keeps its turn. Work that merely takes long goes on.
///
/// # Errors
/// [`Error::Unavailable`].
pub(crate) async fn while_the_database_answers<T>(database: &Database, done: impl Future<Output = T>) -> Result<T> {
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

/// A place in the queue: taken once, by the thread that begins or by the request that gives up.
struct Place(Arc<AtomicBool>);

impl Place {
    fn pair() -> (Self, Self) {
        let is_taken = Arc::new(AtomicBool::new(false));
        (Self(Arc::clone(&is_taken)), Self(is_taken))
    }

    /// True for whoever comes first.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.take();
    }
}

fn busy() -> Error {
    Error::Unavailable("every connection is busy".into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn a_turn_that_does_not_come_is_refused_and_never_begun() {
        let mut turns = Turns::new(1).unwrap();
        turns.deadline = Duration::from_millis(20);
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        runtime().block_on(async {
            let first = turns.take(move || {
                let _ = held.recv();
                Ok(1)
            });
            let mut first = std::pin::pin!(first);
            assert!(tokio::time::timeout(Duration::from_millis(1), &mut first).await.is_err());
            let second = turns.take(move || Ok(tell.send(())));
            assert!(matches!(second.await, Err(Error::Unavailable(_))));
            release.send(()).unwrap();
            assert_eq!(first.await.unwrap(), 1);
            assert_eq!(turns.take(|| Ok(3)).await.unwrap(), 3);
        });
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn what_is_given_up_in_the_queue_is_not_begun() {
        let turns = Turns::new(1).unwrap();
        let (tell, told) = mpsc::channel();
        runtime().block_on(async {
            let (release, held) = mpsc::channel::<()>();
            let first = turns.take(move || Ok(held.recv().is_ok()));
            let mut first = std::pin::pin!(first);
            assert!(tokio::time::timeout(Duration::from_millis(1), &mut first).await.is_err());
            let gone = turns.take(move || Ok(tell.send(())));
            assert!(tokio::time::timeout(Duration::from_millis(1), gone).await.is_err());
            release.send(()).unwrap();
            assert!(first.await.unwrap());
            assert_eq!(turns.take(|| Ok(3)).await.unwrap(), 3);
        });
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn a_panic_is_an_error_and_the_turn_is_free_again() {
        let turns = Turns::new(1).unwrap();
        runtime().block_on(async {
            let outcome: Result<()> = turns.take(|| panic!("on purpose")).await;
            assert!(matches!(outcome, Err(Error::Internal(_))));
            assert_eq!(turns.take(|| Ok(3)).await.unwrap(), 3);
        });
    }
}
