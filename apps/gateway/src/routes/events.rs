//! What happens, told as it happens: server-sent events (the HTML standard, section 9.2) that go on where a client
//! stopped, at whatever gateway.
use std::{io, time::Duration};

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_TYPE, ContentEncoding},
    web::{self, Bytes},
};
use crm_core::{
    Error, Result, Tx, clock,
    door::Caller,
    events::{self, SeenEvent},
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    app::App,
    call::{self, Call, Reply, Request, malformed, refuse},
    endpoint::Endpoint,
    live::{Live, MOST_STREAMS, Seat},
};

/// How many events one look reads.
const PAGE: i64 = 200;
/// A client that has missed more than this reads its lists anew more cheaply than event by event.
const MOST_MISSED: i64 = 1_000;
/// How many pieces wait for a client at most; one that does not take them is let go, and comes again.
const WAITING: usize = 16;
/// How many seconds pass between signs of life.
const HEARTBEAT: u64 = 15;

/// The endpoint of the stream.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = format!(
        "Each event says what happened to which record, at which version, and which of its fields changed, as far as you \
         see them; it holds no values. `id` goes on where you stopped when you send it back as `Last-Event-ID`, which a \
         browser does by itself. `reset` says that too much was missed, or that it is no longer kept: read anew what you \
         show. `end` says that you are no longer signed in. `notification.created` tells of a notification of yours. A \
         comment comes every {HEARTBEAT} seconds. At most {MOST_STREAMS} streams of a user are open at a gateway."
    );
    let events =
        json!({"type": "string", "description": "Blocks of `id`, `event` and `data`; see `SeenEvent` for the data."});
    vec![
        Endpoint::get("/api/events", "streamEvents", stream)
            .says("Notifications", "Hear what happens", &words)
            .parameters(vec![crate::schemas::parameter(
                "header",
                "Last-Event-ID",
                false,
                &json!({"type": "string"}),
                "The `id` of the last event that you have got. Without it, you hear of what happens from now on.",
            )])
            .with_schema::<SeenEvent>()
            .answer(200, "The stream, until one of us ends it.", Some(("text/event-stream", events))),
    ]
}

/// How far a client is told of what has happened.
struct Position {
    seq: i64,
    first: String,
}

async fn stream(call: Call) -> Reply {
    let (app, caller, request) = call.into_parts();
    let id = request.id.clone();
    let asking = caller.clone();
    match call::turn(&app, move |app| begin(app, &asking, &request)).await {
        Ok((seat, position)) => {
            let (sender, pieces) = mpsc::channel(WAITING);
            actix_web::rt::spawn(Stream { app, caller, seat, seq: position.seq, sender }.run(position.first));
            // Compressed, an event would wait in the compressor for the next one.
            let mut response = HttpResponse::Ok();
            response.insert_header((CONTENT_TYPE, "text/event-stream")).insert_header(ContentEncoding::Identity);
            response.insert_header(("x-accel-buffering", "no")).streaming(ReceiverStream::new(pieces))
        }
        Err(error) => refuse(error, &id),
    }
}

/// Finds out who listens, and where they are.
fn begin(app: &App, caller: &Caller, request: &Request) -> Result<(Seat, Position)> {
    let (organization, user, seen) = app.door.read(caller, |tx| {
        request.parameters([])?;
        let reason = "Events are told to somebody, and nobody is signed in.".to_owned();
        let user = tx.ctx.actor.user().ok_or(Error::Forbidden { code: "no_owner", reason })?;
        Ok((tx.ctx.organization, user, last_seen(request)?))
    })?;
    let (head, oldest) =
        app.door.system_write(organization, caller.now, |tx| Ok((events::number(tx)?, events::oldest(tx)?)))?;
    let seat = Live::join(&app.live, &app.door, organization, user, head)?;
    Ok((seat, position(seen, oldest, head)))
}

fn last_seen(request: &Request) -> Result<Option<i64>> {
    let parse = |text: &String| text.parse().ok().filter(|seq| *seq >= 0);
    let refusal = || malformed("invalid_last_event_id", "`Last-Event-ID` takes the `id` of an event of this stream.");
    request.last_event_id.as_ref().map(|text| parse(text).ok_or_else(refusal)).transpose()
}

/// Where a stream begins: behind what the client has seen, or at the head where that does not lead there any more.
fn position(seen: Option<i64>, oldest: i64, head: i64) -> Position {
    let first = |seq: i64, event: &str| format!("retry: 3000\nid: {seq}\n{event}\n");
    match seen {
        Some(seq) if seq <= head && seq + 1 >= oldest && head - seq <= MOST_MISSED => {
            Position { seq, first: first(seq, "") }
        }
        Some(_) => Position { seq: head, first: first(head, "event: reset\ndata: {}\n") },
        None => Position { seq: head, first: first(head, "") },
    }
}

/// An open stream.
struct Stream {
    app: web::Data<App>,
    caller: Caller,
    seat: Seat,
    seq: i64,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Stream {
    /// Tells what happens until the client goes or is too slow, its session ends, or the process does.
    async fn run(mut self, first: String) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let (mut is_open, mut passed) = (self.send(first), 0);
        let mut is_new = true;
        while is_open {
            if is_new || passed >= HEARTBEAT {
                is_open = self.tell(passed >= HEARTBEAT).await;
                passed = if passed >= HEARTBEAT { 0 } else { passed };
            }
            let sender = self.sender.clone();
            is_new = tokio::select! {
                changed = self.seat.head.changed() => {
                    is_open &= changed.is_ok();
                    true
                }
                _ = seconds.tick() => {
                    passed += 1;
                    is_open &= !self.app.draining.load(std::sync::atomic::Ordering::Relaxed);
                    false
                }
                () = sender.closed() => return,
            };
        }
    }

    /// Sends what is new, and with a heartbeat a comment in any case. Says whether the stream goes on.
    async fn tell(&mut self, is_heartbeat: bool) -> bool {
        loop {
            let (seq, caller) = (self.seq, Caller { now: clock::now(), ..self.caller.clone() });
            let read = call::turn(&self.app, move |app| app.door.read(&caller, |tx| news(tx, seq))).await;
            let (next, text) = match read {
                Ok(News { seq, .. }) if seq == self.seq && !is_heartbeat => return true,
                Ok(News { seq, events }) => (seq, events.iter().map(frame).collect::<String>()),
                Err(Error::Unavailable(_) | Error::Contended(_)) => (self.seq, String::new()),
                Err(Error::Unauthenticated { .. }) => {
                    self.send("event: end\ndata: {}\n\n".into());
                    return false;
                }
                Err(error) => {
                    tracing::warn!(request_id = self.caller.request_id, "a stream of events ends: {error}");
                    return false;
                }
            };
            // The id alone moves a client on past what it does not see.
            let is_last = next - self.seq < PAGE;
            self.seq = next;
            if !self.send(format!("{text}: alive\nid: {next}\n\n")) {
                return false;
            }
            if is_last {
                return true;
            }
        }
    }

    /// Hands a piece to the client. `false` where it has gone, or does not take what waits for it.
    fn send(&self, piece: String) -> bool {
        self.sender.try_send(Ok(Bytes::from(piece))).is_ok()
    }
}

/// What has happened since, as the caller sees it, and how far that goes.
struct News {
    seq: i64,
    events: Vec<SeenEvent>,
}

fn news(tx: &mut Tx<'_>, seq: i64) -> Result<News> {
    let events = events::after(tx, seq, PAGE)?;
    let seq = events.last().map_or(seq, |last| last.seq);
    Ok(News { seq, events: events::seen(tx.ctx, events) })
}

/// An event as it goes over the wire.
fn frame(event: &SeenEvent) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.seq, event.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_where_the_client_stopped_or_says_that_it_cannot() {
        for (seen, oldest, head, expected, is_reset) in [
            (None, 1, 0, 0, false),
            (None, 1, 50, 50, false),
            (Some(50), 1, 50, 50, false),
            (Some(10), 11, 50, 10, false),
            (Some(9), 11, 50, 50, true),
            (Some(0), 1, 1_000, 0, false),
            (Some(0), 1, 1_001, 1_001, true),
            (Some(51), 1, 50, 50, true),
            (Some(50), 51, 50, 50, false),
        ] {
            let position = position(seen, oldest, head);
            let told = (position.seq, position.first.contains("event: reset"));
            assert_eq!(told, (expected, is_reset), "{seen:?} of {oldest}..={head}");
            assert!(position.first.contains(&format!("id: {expected}\n")) && position.first.ends_with("\n\n"));
        }
    }
}
