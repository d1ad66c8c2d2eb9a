//! Spans as a collector takes them: OTLP in JSON, where ids are hexadecimal and large numbers are texts.
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{AttributeValue, Ended, SpanKind};

/// A request to export spans.
pub(super) fn request(resource: &[(&'static str, String)], spans: &[Ended]) -> Value {
    let resource: Vec<_> = resource.iter().map(|(name, text)| attribute(name, &text.clone().into())).collect();
    let spans: Vec<_> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "heimdell", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}]
    }]})
}

fn span(span: &Ended) -> Value {
    // The numbers of the protocol's enumerations.
    let kind = match span.kind {
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Consumer => 5,
    };
    let attributes: Vec<_> = span.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut encoded = json!({
        "traceId": span.context.trace_id(),
        "spanId": span.context.span_id(),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": nanoseconds(span.began_at),
        "endTimeUnixNano": nanoseconds(span.ended_at.max(span.began_at)),
        "attributes": attributes,
        "status": {"code": if span.has_failed { 2 } else { 0 }},
        "flags": 1,
    });
    if let Some(parent) = span.parent {
        encoded["parentSpanId"] = parent.span_id().into();
    }
    encoded
}

fn attribute(name: &str, value: &AttributeValue) -> Value {
    let value = match value {
        AttributeValue::Text(text) => json!({"stringValue": text}),
        AttributeValue::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": name, "value": value})
}

fn nanoseconds(at: DateTime<Utc>) -> String {
    at.timestamp_nanos_opt().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::{super::SpanContext, *};

    #[test]
    fn a_span_is_written_as_the_protocol_says() {
        let context = SpanContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let ended = Ended {
            context,
            parent: Some(SpanContext { trace: [2; 16], span: [1; 8], is_sampled: true }),
            kind: SpanKind::Server,
            name: "GET /api/leads".into(),
            began_at: "2025-12-16T10:00:00Z".parse().unwrap(),
            ended_at: "2025-12-16T10:00:00.5Z".parse().unwrap(),
            attributes: vec![("http.response.status_code", 503_i64.into())],
            has_failed: true,
        };
        let told = request(&[("service.name", "heimdell".into())], std::slice::from_ref(&ended));
        let resource = &told["resourceSpans"][0];
        let named = json!([{"key": "service.name", "value": {"stringValue": "heimdell"}}]);
        assert_eq!(resource["resource"]["attributes"], named);
        assert_eq!(
            resource["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
                "parentSpanId": "0101010101010101", "name": "GET /api/leads", "kind": 2,
                "startTimeUnixNano": "1765879200000000000", "endTimeUnixNano": "1765879200500000000",
                "attributes": [{"key": "http.response.status_code", "value": {"intValue": "503"}}],
                "status": {"code": 2}, "flags": 1
            })
        );
        let root = span(&Ended { parent: None, has_failed: false, ..ended });
        assert_eq!((root.get("parentSpanId"), &root["status"]["code"]), (None, &json!(0)));
    }
}
