//! The span of a request, where traces are wanted: its method, its route and its status. The address itself is left out,
//! since whoever asks may write anything into it.
use actix_web::http::{Method, header::HeaderMap};
use crm_ops::traces::{Span, SpanContext, SpanKind, Tracer};

use crate::metrics::known_method;

tokio::task_local! {
    static REQUEST: Option<SpanContext>;
}

/// Does what a request wants, which knows its span from now on.
pub(crate) async fn within<T>(context: Option<SpanContext>, work: impl Future<Output = T>) -> T {
    REQUEST.scope(context, work).await
}

/// The span of the request that is being answered, where requests are traced.
pub(crate) fn of_request() -> Option<SpanContext> {
    REQUEST.try_with(|context| *context).ok().flatten()
}

/// A request that is traced, or not.
pub(crate) struct Traced(Option<Span>, &'static str);

impl Traced {
    /// Begins with the request, below the span that it says it comes from.
    pub(crate) fn begin(tracer: Option<&Tracer>, method: &Method, headers: &HeaderMap) -> Self {
        let method = known_method(method.as_str());
        let span = tracer.map(|tracer| {
            let parent = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(SpanContext::parse);
            let mut span = tracer.begin(SpanKind::Server, method, parent);
            span.set("http.request.method", method);
            span.set("url.scheme", "http");
            span
        });
        Self(span, method)
    }

    /// Says what came of it. The span ends with the value.
    pub(crate) fn end(&mut self, route: &str, status: u16) {
        let Self(Some(span), method) = self else { return };
        span.rename(format!("{method} {route}"));
        span.set("http.route", route.to_owned());
        span.set("http.response.status_code", i64::from(status));
        if status >= 500 {
            span.fail(status.to_string());
        }
    }

    /// Which span it is.
    pub(crate) fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(Span::context)
    }

    /// The trace's id, for the log.
    pub(crate) fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|span| span.context().trace_id())
    }
}
