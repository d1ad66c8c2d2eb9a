//! Who listens for events at this gateway, and the thread that tells them when there are any.
//!
//! One thread to a gateway holds a connection on which the database rings, numbers what is new in the organizations that
//! somebody listens to, and tells their streams how far the numbers go. It lives as long as somebody listens.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crm_core::{
    Error, Id, Result, clock,
    door::Door,
    events::{self, Listener},
    organizations::Organization,
    users::User,
};
use tokio::sync::watch;

/// The most streams of one user at one gateway: a few windows on a few machines.
pub const MOST_STREAMS: usize = 10;
/// How often the thread listens.
const PAUSE: Duration = Duration::from_millis(100);
/// Each so many times it looks without having heard anything: a bell may have been lost.
const PATIENCE: u32 = 20;

/// The streams of this gateway.
#[derive(Default)]
pub struct Live(Mutex<Listeners>);

#[derive(Default)]
struct Listeners {
    is_watched: bool,
    organizations: BTreeMap<Id<Organization>, Audience>,
}

/// The streams of one organization: how far its numbers go, and how many streams each user has.
struct Audience {
    head: watch::Sender<i64>,
    users: BTreeMap<Id<User>, usize>,
}

/// A place among the listeners, given back when it is dropped.
pub struct Seat {
    live: Arc<Live>,
    organization: Id<Organization>,
    user: Id<User>,
    /// How far the organization's numbers go.
    pub head: watch::Receiver<i64>,
}

impl Live {
    /// Takes a place for a stream of a user, whose organization's numbers go to `head` now.
    ///
    /// # Errors
    /// [`Error::Limited`] where the user has [`MOST_STREAMS`] already; [`Error::Unavailable`] where no thread can be had.
    pub fn join(
        self: &Arc<Self>,
        door: &Door,
        organization: Id<Organization>,
        user: Id<User>,
        head: i64,
    ) -> Result<Seat> {
        let mut listeners = self.lock();
        let new = || Audience { head: watch::Sender::new(head), users: BTreeMap::new() };
        let audience = listeners.organizations.entry(organization).or_insert_with(new);
        let streams = audience.users.entry(user).or_default();
        if *streams >= MOST_STREAMS {
            let detail = format!("You have {MOST_STREAMS} event streams open here already; close one of them.");
            return Err(Error::Limited { retry_after: 10, detail });
        }
        *streams += 1;
        let head = audience.head.subscribe();
        let seat = Seat { live: Arc::clone(self), organization, user, head };
        if !listeners.is_watched {
            let (live, door) = (Arc::clone(self), door.clone());
            let thread = std::thread::Builder::new().name("events".into());
            match thread.spawn(move || live.watch(&door)) {
                Ok(_) => listeners.is_watched = true,
                Err(error) => {
                    drop(listeners);
                    return Err(Error::Unavailable(error.to_string()));
                }
            }
        }
        Ok(seat)
    }

    /// Tells streams of new events until nobody listens any more.
    fn watch(&self, door: &Door) {
        let (mut listener, mut times) = (None, 0_u32);
        while let Some(listened) = self.listened() {
            let heard = hear(&mut listener, door);
            times = times.wrapping_add(1);
            let looked: BTreeSet<_> = match times.is_multiple_of(PATIENCE) {
                true => listened,
                false => heard.intersection(&listened).copied().collect(),
            };
            for organization in looked {
                match door.system_write(organization, clock::now(), events::number) {
                    Ok(head) => self.tell(organization, head),
                    Err(error) => tracing::debug!("events could not be numbered: {error}"),
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The organizations that somebody listens to. `None` where there is none: the thread is let go with that.
    fn listened(&self) -> Option<BTreeSet<Id<Organization>>> {
        let mut listeners = self.lock();
        listeners.is_watched = !listeners.organizations.is_empty();
        listeners.is_watched.then(|| listeners.organizations.keys().copied().collect())
    }

    fn tell(&self, organization: Id<Organization>, head: i64) {
        if let Some(audience) = self.lock().organizations.get(&organization) {
            audience.head.send_if_modified(|known| std::mem::replace(known, head.max(*known)) < head);
        }
    }

    fn leave(&self, organization: Id<Organization>, user: Id<User>) {
        let mut listeners = self.lock();
        let Some(audience) = listeners.organizations.get_mut(&organization) else { return };
        if let Some(streams) = audience.users.get_mut(&user) {
            *streams -= 1;
            if *streams == 0 {
                audience.users.remove(&user);
            }
        }
        if audience.users.is_empty() {
            listeners.organizations.remove(&organization);
        }
    }

    /// What a panic left behind is whole: no change of it is made in two steps that can fail.
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.leave(self.organization, self.user);
    }
}

/// What the database has rung for. A lost connection is opened anew.
fn hear(listener: &mut Option<Listener>, door: &Door) -> BTreeSet<Id<Organization>> {
    if listener.is_none() {
        *listener = Listener::open(door.database()).ok();
    }
    match listener.as_mut().map(Listener::heard) {
        Some(Ok(heard)) => heard,
        Some(Err(error)) => {
            tracing::debug!("the connection that hears of events is lost: {error}");
            *listener = None;
            BTreeSet::new()
        }
        None => BTreeSet::new(),
    }
}
