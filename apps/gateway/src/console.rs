//! What the console's own sign-in needs: a cookie that scripts cannot read, and proof that the console sends a request.
use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
    http::header,
};

/// The cookie of a console session. The prefix makes browsers hold it to HTTPS (or localhost) and to this host.
pub const COOKIE: &str = "__Host-heimdell";
/// The header that the console sends with each unsafe request.
pub const HEADER: &str = "x-heimdell-console";

/// The cookie that holds a console session's token for at most `seconds`.
pub fn cookie(token: &str, seconds: i64) -> String {
    Cookie::build(COOKIE, token)
        .path("/")
        .http_only(true)
        .secure(true)
        .same_site(SameSite::Strict)
        .max_age(Duration::seconds(seconds))
        .finish()
        .to_string()
}

/// Does the console itself send this request? It carries the console's header and comes from its own origin, which no
/// other site can make a browser send.
pub fn is_same_origin(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let same = text(header::ORIGIN.as_str())
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(_, authority)| !host.is_empty() && authority.eq_ignore_ascii_case(host));
    text(HEADER) == Some("1") && same
}
