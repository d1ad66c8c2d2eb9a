//! Within which span of which trace a thread works (W3C Trace Context), so that what it puts into the queue can go on with it.
//! Whoever makes spans and tells of them is elsewhere.
use std::{cell::Cell, marker::PhantomData};

/// Which span of which trace, as it goes from one program to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
    /// Is it kept, by the word of who began the trace?
    pub is_sampled: bool,
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
        format!("00-{}-{}-{:02x}", hex::encode(self.trace), hex::encode(self.span), u8::from(self.is_sampled))
    }

    /// The trace's id, as it stands in logs.
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace)
    }

    /// The span's id, as it goes to a collector.
    pub fn span_id(&self) -> String {
        hex::encode(self.span)
    }

    /// This thread works within it, as long as the answer lives.
    pub fn enter(self) -> Entered {
        Entered { before: CURRENT.replace(Some(self)), _stays: PhantomData }
    }
}

/// Bytes in lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let mut bytes = [0; N];
    (text.bytes().all(is_hex) && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

thread_local! {
    static CURRENT: Cell<Option<SpanContext>> = const { Cell::new(None) };
}

/// The span within which this thread works.
pub fn current() -> Option<SpanContext> {
    CURRENT.get()
}

/// The header `traceparent` of that span, where its trace is kept.
pub fn current_header() -> Option<String> {
    current().filter(|context| context.is_sampled).map(|context| context.header())
}

/// While it lives, its thread works within a span.
#[derive(Debug)]
pub struct Entered {
    before: Option<SpanContext>,
    /// It belongs to its thread.
    _stays: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
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
    fn what_is_put_into_the_queue_goes_on_with_what_is_kept() {
        let context = SpanContext::parse(PARENT).unwrap();
        assert_eq!(current_header(), None);
        {
            let _kept = context.enter();
            assert_eq!(current_header().as_deref(), Some(PARENT));
            let _unkept = SpanContext { is_sampled: false, ..context }.enter();
            assert_eq!((current().map(|it| it.trace), current_header()), (Some(context.trace), None));
        }
        assert_eq!(current(), None);
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
