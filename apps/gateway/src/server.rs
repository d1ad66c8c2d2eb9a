//! The HTTP server: limits, deadlines, and an end that answers what it has accepted.
use std::{
    any::Any,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix_web::{
    App as Actix, HttpServer,
    dev::Server,
    middleware::{Compress, from_fn},
    rt::net::TcpStream,
    web,
};
use socket2::SockRef;
use tokio::signal::unix::{SignalKind, signal};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    app::{self, App},
    closing::LastOnes,
    config::Listening,
    metrics, routes,
};

/// How long a client may take over its headers.
const HEADER_DEADLINE: Duration = Duration::from_secs(5);
/// How long an answer may wait for a client that takes nothing of it. Without an end, somebody who only asks would hold
/// what waits for them, and with a file the connection to the database that it comes from.
const UNTAKEN_DEADLINE: Duration = Duration::from_secs(30);
/// How often recorded durations are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long accepted requests may take after the end has begun.
const LAST_ANSWERS: u64 = 25;

/// Serves until SIGTERM or Ctrl-C. `app.draining` tells others in this process that the end has begun.
///
/// # Errors
/// Where the address cannot be listened on, in words that say what to do.
pub async fn serve(app: App, listening: &Listening) -> io::Result<()> {
    let listener = listen(SocketAddr::new(listening.listen, listening.port))?;
    let address = listener.local_addr()?;
    let stopping = Arc::clone(&app.draining);
    let last_ones = LastOnes::of(&listener)?;
    let server = build(app, listener, std::thread::available_parallelism().map_or(2, usize::from))?;
    let handle = server.handle();
    let drain = Duration::from_secs(listening.drain_seconds);
    // Whoever reads that the program listens may end it at once.
    let end = end_is_wanted();
    tracing::info!("listening on http://{address}");
    let ending = actix_web::rt::spawn(async move {
        let is_asked_politely = end.await;
        stopping.store(true, Ordering::Relaxed);
        if is_asked_politely {
            tokio::time::sleep(drain).await;
        }
        let answers = last_ones.close().await;
        handle.stop(true).await;
        answers.await
    });
    server.await?;
    drop(ending.await);
    Ok(())
}

/// The server of an application on a listener, ready to run. It ends when its handle says so.
///
/// # Errors
/// Where the listener cannot be used.
pub fn build(app: App, listener: TcpListener, workers: usize) -> io::Result<Server> {
    keep_metrics();
    let data = web::Data::new(app);
    let server = HttpServer::new(move || {
        Actix::new()
            .app_data(data.clone())
            .wrap(Compress::default())
            .wrap(from_fn(app::around))
            .service(docs())
            .service(web::redirect("/docs", "/docs/"))
            .service(web::redirect("/", "/docs/"))
            .configure(|config| app::mount(config, routes::all()))
    });
    let server = server
        .on_connect(|connection, _| end_where_nothing_is_taken(connection))
        .client_request_timeout(HEADER_DEADLINE)
        .keep_alive(Duration::from_secs(75))
        .workers(workers)
        .shutdown_timeout(LAST_ANSWERS)
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

/// Has the kernel end a connection whose client takes nothing of what is sent.
fn end_where_nothing_is_taken(connection: &dyn Any) {
    #[cfg(target_os = "linux")]
    if let Some(stream) = connection.downcast_ref::<TcpStream>()
        && let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(UNTAKEN_DEADLINE))
    {
        tracing::debug!("a connection has no deadline: {error}");
    }
}

/// Records metrics from now on, and keeps what was recorded small until somebody reads it.
fn keep_metrics() {
    match metrics::recorder() {
        Ok(recorder) => drop(actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                recorder.run_upkeep();
            }
        })),
        Err(why) => tracing::error!(why, "metrics are not recorded"),
    }
}

/// The documentation, from the program itself: nothing is loaded from elsewhere.
fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}")
        .config(Config::from("/openapi.json").try_it_out_enabled(true).persist_authorization(false))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => io::Error::new(
            error.kind(),
            format!(
                "{address} is in use by another program. Stop that one, or choose another port with --port (or PORT)."
            ),
        ),
        _ => io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Waits for SIGTERM (`true`: others route requests here and need a moment) or Ctrl-C (`false`). Signals are received from
/// the call on, which is made within a runtime; without it they kill.
pub fn end_is_wanted() -> impl Future<Output = bool> {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            tracing::error!("signals cannot be received; the process ends by kill -9 alone");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => true,
            _ = interrupt.recv() => false,
        }
    }
}
