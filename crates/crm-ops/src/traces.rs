//! Traces: what the program did and for how long, told to a collector by OTLP over HTTP in JSON, where one is set.
//!
//! A [`Span`] is made by a [`Tracer`], gathers attributes and ends when it is dropped. Ended spans wait in a queue of bounded
//! length for a thread that sends them; whoever ends a span waits for nobody. Where the queue is full or the collector does
//! not answer, spans are lost and counted, and nothing else is. No span holds a name, an address of a person, a body or a query.
//!
//! References: OTLP 1.x (HTTP, JSON), W3C Trace Context (`traceparent`), OpenTelemetry semantic conventions for HTTP and messaging.
mod encoding;
mod export;

use std::{borrow::Cow, cell::Cell, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use crm_core::clock;
use rand::RngCore;

use export::Waiting;
pub use export::{Collector, DROPPED, Exporting, LOSSES, SettingsError};

/// Which span of which trace, as it goes from one program to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    trace: [u8; 16],
    span: [u8; 8],
    is_sampled: bool,
}

impl SpanContext {
    /// Reads a header `traceparent`. `None` for what is none: then a trace begins here.
    pub fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        let (known, more) = header.split_at_checked(55)?;
        let mut parts = known.split('-');
        let (version, trace) = (bytes::<1>(parts.next()?)?, bytes(parts.next()?)?);
        let (span, flags) = (bytes(parts.next()?)?, bytes::<1>(parts.next()?)?);
        // Later versions may add parts; of this one there are four.
        let fits = match version {
            [0] => more.is_empty(),
            [255] => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let is_there = trace != [0; 16] && span != [0; 8];
        (fits && is_there).then_some(Self { trace, span, is_sampled: flags[0] & 1 == 1 })
    }

    /// The header `traceparent`.
    pub fn header(&self) -> String {
        format!("00-{}-{}-{:02x}", hex(&self.trace), hex(&self.span), u8::from(self.is_sampled))
    }

    /// The trace's id, as it stands in logs.
    pub fn trace_id(&self) -> String {
        hex(&self.trace)
    }

    /// The context of a span below this one, or of a new trace.
    fn below(parent: Option<Self>) -> Self {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        rand::rng().fill_bytes(&mut span);
        match parent {
            Some(parent) => Self { span, ..parent },
            None => {
                rand::rng().fill_bytes(&mut trace);
                Self { trace, span, is_sampled: true }
            }
        }
    }
}

/// Bytes in lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

thread_local! {
    static CURRENT: Cell<Option<SpanContext>> = const { Cell::new(None) };
}

/// The span within which this thread works.
pub fn current() -> Option<SpanContext> {
    CURRENT.get()
}

/// While it lives, its thread works within a span.
#[derive(Debug)]
pub struct Entered {
    before: Option<SpanContext>,
    /// It belongs to its thread.
    _stays: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
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
    parent: Option<[u8; 8]>,
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
            context: SpanContext::below(parent),
            parent: parent.map(|parent| parent.span),
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
        Entered { before: CURRENT.replace(Some(self.context())), _stays: std::marker::PhantomData }
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
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_is_read_and_written_as_the_recommendation_says() {
        let known = SpanContext::parse(PARENT).unwrap();
        assert_eq!((known.header().as_str(), known.is_sampled), (PARENT, true));
        assert!(!SpanContext::parse(&PARENT.replace("-01", "-00")).unwrap().is_sampled);
        let later = format!("{}-what-comes", PARENT.replacen("00", "cc", 1));
        assert_eq!(SpanContext::parse(&later), Some(known));
        let bad = [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        ];
        for header in bad {
            assert_eq!(SpanContext::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_thread_goes_back_to_the_span_that_it_came_from() {
        let tracer = Tracer(Arc::default());
        let outer = tracer.begin(SpanKind::Consumer, "outer", None);
        assert_eq!(current(), None);
        {
            let _outer = outer.enter();
            let inner = tracer.begin(SpanKind::Client, "inner", current());
            assert_eq!(
                (inner.ended.parent, inner.context().trace),
                (Some(outer.context().span), outer.context().trace)
            );
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

    proptest! {
        #[test]
        fn any_header_is_read(header: String) {
            if let Some(context) = SpanContext::parse(&header) {
                prop_assert_eq!(SpanContext::parse(&context.header()), Some(context));
            }
        }
    }
}
