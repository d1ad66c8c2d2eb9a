//! The thread that sends what has ended, and the queue in which it waits. Nobody waits for it but the end of the process, and
//! that only for a few seconds.
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crm_core::{Id, sessions::tokens::Secret};
use thiserror::Error;
use ureq::{Agent, http::Uri};

use super::{Ended, Tracer, encoding};
use crate::runner::named;

/// How many spans wait at most, and how many go at a time: as OpenTelemetry's own exporters have it.
const MOST: usize = 2_048;
const BATCH: usize = 512;
/// How long spans wait for others to go with them.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a collector may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where spans go, and in whose name.
pub struct Collector {
    url: String,
    headers: Vec<(String, Secret)>,
    service: String,
}

/// Why a collector cannot be used. Says nothing of the headers, which mostly hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// No address of HTTP.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://localhost:4318.")]
    Endpoint,
    /// No headers.
    #[error("OTEL_EXPORTER_OTLP_HEADERS must be of the form name=value, with commas between them.")]
    Headers,
}

impl Collector {
    /// A collector at an endpoint of OTLP over HTTP, to which `v1/traces` is added, with headers of the form
    /// `name=value,name=value`. `service` is the program's name in the traces.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(endpoint: &str, headers: &str, service: &str) -> Result<Self, SettingsError> {
        let url = format!("{}/v1/traces", endpoint.trim().trim_end_matches('/'));
        let uri: Uri = url.parse().map_err(|_| SettingsError::Endpoint)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(SettingsError::Endpoint);
        }
        let pairs = headers.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let headers = pairs.map(|pair| header(pair).ok_or(SettingsError::Headers)).collect::<Result<_, _>>()?;
        Ok(Self { url, headers, service: service.trim().to_owned() })
    }

    /// Begins to send. What is made by the tracer goes there from now on.
    ///
    /// # Errors
    /// Where the system has no threads left.
    pub fn start(self) -> io::Result<Exporting> {
        let waiting = Arc::<Waiting>::default();
        let theirs = Arc::clone(&waiting);
        let thread = named("traces").spawn(move || Exporter::new(self).run(&theirs))?;
        Ok(Exporting { tracer: Tracer(waiting), thread: Some(thread) })
    }
}

/// `name=value`, where the value may be escaped as in an address.
fn header(pair: &str) -> Option<(String, Secret)> {
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), unescaped(value.trim())?);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (is_name && is_value).then(|| (name.to_ascii_lowercase(), Secret::new(value)))
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The counter of spans that are lost, by one of [`LOSSES`].
pub const DROPPED: &str = "heimdell_spans_dropped_total";
/// Why spans are lost: too many waited, or the collector did not take them.
pub const LOSSES: [&str; 2] = [FULL, UNSENT];
const FULL: &str = "queue_full";
const UNSENT: &str = "not_sent";

fn dropped(reason: &'static str, count: usize) {
    metrics::counter!(DROPPED, "reason" => reason).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

/// Sending is going on. Dropping it sends what is still there and ends: within some ten seconds, whether anybody answers or
/// not.
pub struct Exporting {
    tracer: Tracer,
    thread: Option<JoinHandle<()>>,
}

impl Exporting {
    /// What makes spans.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.tracer.0.lock().is_ending = true;
        self.tracer.0.changed.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that sends traces had panicked");
        }
    }
}

/// Spans that wait to be sent.
#[derive(Default)]
pub(super) struct Waiting {
    spans: Mutex<Spans>,
    changed: Condvar,
}

#[derive(Default)]
struct Spans {
    ended: VecDeque<Ended>,
    is_ending: bool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a span, or lets it go where too many wait.
    pub(super) fn push(&self, span: Ended) {
        let mut spans = self.lock();
        if spans.ended.len() >= MOST {
            drop(spans);
            return dropped(FULL, 1);
        }
        spans.ended.push_back(span);
        let is_enough = spans.ended.len() == BATCH;
        drop(spans);
        if is_enough {
            self.changed.notify_all();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().ended.len()
    }

    /// The next batch, once there is one or the time is over, and whether it is the last.
    fn take(&self) -> (Vec<Ended>, bool) {
        let waits = |spans: &mut Spans| spans.ended.len() < BATCH && !spans.is_ending;
        let mut spans =
            self.changed.wait_timeout_while(self.lock(), PAUSE, waits).unwrap_or_else(PoisonError::into_inner).0;
        let count = spans.ended.len().min(BATCH);
        let batch = spans.ended.drain(..count).collect();
        (batch, spans.is_ending && spans.ended.is_empty())
    }

    fn clear(&self) -> usize {
        std::mem::take(&mut self.lock().ended).len()
    }
}

struct Exporter {
    collector: Collector,
    agent: Agent,
    resource: [(&'static str, String); 3],
    is_answered: bool,
}

impl Exporter {
    fn new(collector: Collector) -> Self {
        // A collector mostly stands beside the program: no proxy of the environment lies in between.
        let config = Agent::config_builder()
            .timeout_global(Some(DEADLINE))
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("Heimdell-Traces/", env!("CARGO_PKG_VERSION")));
        let resource = [
            ("service.name", collector.service.clone()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", Id::<Self>::new().to_string()),
        ];
        Self { agent: config.build().into(), resource, collector, is_answered: true }
    }

    fn run(mut self, waiting: &Waiting) {
        loop {
            let (batch, is_last) = waiting.take();
            let is_sent = batch.is_empty() || self.send(&batch);
            if is_last {
                return;
            }
            // Nobody waits longer for a process that ends than one batch may take.
            if !is_sent && waiting.lock().is_ending {
                return dropped(UNSENT, waiting.clear());
            }
        }
    }

    /// Sends a batch, or loses it. Of an outage the log tells once.
    fn send(&mut self, batch: &[Ended]) -> bool {
        let body = encoding::request(&self.resource, batch).to_string();
        let mut request = self.agent.post(&self.collector.url).header("content-type", "application/json");
        for (name, value) in &self.collector.headers {
            request = request.header(name, value.expose());
        }
        let answer = request.send(body.as_bytes());
        match &answer {
            Ok(_) if !self.is_answered => tracing::info!("traces are sent again"),
            Err(error) if self.is_answered => tracing::warn!("traces cannot be sent, and are lost: {error}"),
            _ => {}
        }
        self.is_answered = answer.is_ok();
        if !self.is_answered {
            dropped(UNSENT, batch.len());
        }
        self.is_answered
    }
}

#[cfg(test)]
mod tests {
    use super::{super::SpanKind, *};

    #[test]
    fn an_endpoint_and_its_headers_are_read_as_the_specification_says() {
        let collector = Collector::new("http://localhost:4318/", " x-api-key = a%3Db , other=1", "heimdell").unwrap();
        assert_eq!(collector.url, "http://localhost:4318/v1/traces");
        let headers: Vec<_> = collector.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("x-api-key", "a=b"), ("other", "1")]);
        for endpoint in ["", "localhost:4318", "grpc://localhost:4317", "http://", "/v1"] {
            assert_eq!(Collector::new(endpoint, "", "h").err(), Some(SettingsError::Endpoint), "{endpoint}");
        }
        for headers in ["key", "=v", "a b=c", "a=%zz", "a=%0a", "a=%e4"] {
            assert_eq!(Collector::new("http://c", headers, "h").err(), Some(SettingsError::Headers), "{headers}");
        }
    }

    #[test]
    fn no_more_spans_wait_than_there_is_room_for() {
        let waiting = Arc::<Waiting>::default();
        let tracer = Tracer(Arc::clone(&waiting));
        for _ in 0..MOST + 10 {
            drop(tracer.begin(SpanKind::Server, "GET", None));
        }
        assert_eq!(waiting.len(), MOST);
        assert_eq!((waiting.take().0.len(), waiting.len()), (BATCH, MOST - BATCH));
    }
}
