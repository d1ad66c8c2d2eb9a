//! Traces: what the program did and for how long, told to a collector by OTLP over HTTP in JSON, where one is set.
//!
//! A [`Span`] is made by a [`Tracer`], gathers attributes and ends when it is dropped. Ended spans wait in a queue of bounded
//! length for a thread that sends them; whoever ends a span waits for nobody. Where the queue is full or the collector does
//! not answer, spans are lost and counted, and nothing else is. No span holds a name, an address of a person, a body or a query.
//!
//! References: OTLP 1.x (HTTP, JSON), W3C Trace Context (`traceparent`), OpenTelemetry semantic conventions for HTTP and messaging.
mod encoding;
mod export;

use std::{borrow::Cow, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use crm_core::clock;
pub use crm_core::spans::{Entered, SpanContext, current};
use rand::RngCore;

use export::Waiting;
pub use export::{Collector, DROPPED, Exporting, LOSSES, SettingsError};

/// The context of a span below this one, or of a new trace.
fn below(parent: Option<SpanContext>) -> SpanContext {
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    rand::rng().fill_bytes(&mut span);
    match parent {
        Some(parent) => SpanContext { span, ..parent },
        None => {
            rand::rng().fill_bytes(&mut trace);
            SpanContext { trace, span, is_sampled: true }
        }
    }
}

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Somebody asks us.
    Server,
    /// We ask somebody.
    Client,
    /// We do what was put into a queue.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
}

impl From<&'static str> for AttributeValue {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// What has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ended {
    context: SpanContext,
    parent: Option<SpanContext>,
    kind: SpanKind,
    name: Cow<'static, str>,
    began_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    attributes: Vec<(&'static str, AttributeValue)>,
    has_failed: bool,
}

/// Makes spans, and keeps those that have ended until they are sent. Cheap to clone.
#[derive(Clone)]
pub struct Tracer(Arc<Waiting>);

impl Tracer {
    /// Begins a span below `parent`; without one, or with one that cannot be read, a trace begins.
    pub fn begin(&self, kind: SpanKind, name: impl Into<Cow<'static, str>>, parent: Option<SpanContext>) -> Span {
        let now = clock::now();
        let ended = Ended {
            context: below(parent),
            parent,
            kind,
            name: name.into(),
            began_at: now,
            ended_at: now,
            attributes: Vec::new(),
            has_failed: false,
        };
        Span { tracer: self.clone(), ended }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// Something that is being done. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    tracer: Tracer,
    ended: Ended,
}

impl Span {
    /// What others need to know of it to go on with the trace.
    pub fn context(&self) -> SpanContext {
        self.ended.context
    }

    /// Names it anew, once more is known.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        self.ended.name = name.into();
    }

    /// Says more of it. The names are those of the semantic conventions.
    pub fn set(&mut self, name: &'static str, value: impl Into<AttributeValue>) {
        self.ended.attributes.push((name, value.into()));
    }

    /// It has failed, in this way: a word of a closed set, or a status.
    pub fn fail(&mut self, error_type: impl Into<AttributeValue>) {
        self.set("error.type", error_type);
        self.ended.has_failed = true;
    }

    /// This thread works within it, as long as the answer lives.
    pub fn enter(&self) -> Entered {
        self.context().enter()
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Who began the trace may have decided that it is not kept.
        if self.ended.context.is_sampled {
            self.ended.ended_at = clock::now();
            self.tracer.0.push(self.ended.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_thread_goes_back_to_the_span_that_it_came_from() {
        let tracer = Tracer(Arc::default());
        let outer = tracer.begin(SpanKind::Consumer, "outer", None);
        assert_eq!(current(), None);
        {
            let _outer = outer.enter();
            let inner = tracer.begin(SpanKind::Client, "inner", current());
            assert_eq!((inner.ended.parent, inner.context().trace), (Some(outer.context()), outer.context().trace));
            assert_ne!(inner.context().span, outer.context().span);
            {
                let _inner = inner.enter();
                assert_eq!(current(), Some(inner.context()));
            }
            assert_eq!(current(), Some(outer.context()));
        }
        assert_eq!(current(), None);
    }

    #[test]
    fn a_trace_that_its_beginner_does_not_keep_is_not_kept_here() {
        let tracer = Tracer(Arc::default());
        let parent = SpanContext::parse(&PARENT.replace("-01", "-00"));
        let span = tracer.begin(SpanKind::Server, "GET", parent);
        assert!(span.context().header().ends_with("-00"), "and who comes after us hears of it");
        drop(span);
        assert_eq!(tracer.0.len(), 0);
        drop(tracer.begin(SpanKind::Server, "GET", SpanContext::parse(PARENT)));
        assert_eq!(tracer.0.len(), 1);
    }
}
