//! Sending to an address of a customer's choice without being led astray: the name is resolved once, every address of it is
//! checked, and the connection goes to a checked one. Redirects are not followed, and no proxy of the environment is used.
use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use thiserror::Error;
use ureq::{
    Agent,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use super::addresses::{AddressError, Reach, Target};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long all of it may take.
const WHOLE: Duration = Duration::from_secs(15);
/// How much of an answer is read, in bytes.
const MOST_READ: u64 = 4_096;
/// How much of an answer is kept, in characters.
const EXCERPT: usize = 500;

/// Where the addresses of a name come from.
pub trait Resolve: Send + Sync {
    /// All addresses of a host.
    ///
    /// # Errors
    /// Where it has none, or nobody can be asked.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<IpAddr>>;
}

/// Asks the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        Ok((host, port).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The beginning of the body, without control characters.
    pub excerpt: String,
}

/// Why nothing came back. Says nothing of what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CourierError {
    /// Not to be called.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The name has no address, or nobody could be asked.
    #[error("The host of the URL could not be found.")]
    NotFound,
    /// It took too long.
    #[error("There was no answer in time.")]
    TooSlow,
    /// There is nobody, or no secure connection to them.
    #[error("There was no connection to the host.")]
    NoConnection,
    /// Something else went wrong on the way.
    #[error("The answer could not be understood.")]
    Broken,
}

impl CourierError {
    /// A word for it, of a closed set.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Address(_) => "address_not_allowed",
            Self::NotFound => "host_not_found",
            Self::TooSlow => "timeout",
            Self::NoConnection => "no_connection",
            Self::Broken => "broken_answer",
        }
    }
}

/// Sends messages within a reach.
pub struct Courier {
    reach: Reach,
    resolver: Box<dyn Resolve>,
}

impl Courier {
    /// One that asks the system for addresses.
    pub fn new(reach: Reach) -> Self {
        Self::resolving(reach, SystemResolver)
    }

    /// One that asks somebody else.
    pub fn resolving(reach: Reach, resolver: impl Resolve + 'static) -> Self {
        Self { reach, resolver: Box::new(resolver) }
    }

    /// Would anything be sent there? A name that cannot be found at the moment is no reason against it.
    ///
    /// # Errors
    /// [`AddressError`] where it would not.
    pub fn check(&self, url: &str) -> Result<(), AddressError> {
        match self.reach.target(url).map_err(CourierError::from).and_then(|target| self.pinned(&target)) {
            Err(CourierError::Address(error)) if error != AddressError::NoAddress => Err(error),
            _ => Ok(()),
        }
    }

    /// Posts a body of JSON.
    ///
    /// # Errors
    /// Where nothing came back.
    pub fn post(&self, url: &str, headers: &[(&str, String)], body: &[u8]) -> Result<Answered, CourierError> {
        let target = self.reach.target(url)?;
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections(0)
            .user_agent(concat!("Heimdell-Webhooks/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(WHOLE))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Pinned(self.pinned(&target)?));
        let mut request = agent.post(target.url.as_str()).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut response = request.send(body).map_err(|error| failed(&error))?;
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let mut read = Vec::new();
        // The status has arrived, and it alone decides; a body that breaks off is an excerpt all the same.
        let _ = response.body_mut().as_reader().take(MOST_READ).read_to_end(&mut read);
        Ok(Answered { status: response.status().as_u16(), retry_after, excerpt: excerpt(&read) })
    }

    /// The address to connect to.
    fn pinned(&self, target: &Target) -> Result<SocketAddr, CourierError> {
        let resolved = match (target.address, target.url.host_str()) {
            (Some(address), _) => vec![address],
            (None, Some(host)) => self.resolver.resolve(host, target.port).map_err(|_| CourierError::NotFound)?,
            (None, None) => return Err(AddressError::InvalidUrl.into()),
        };
        Ok(self.reach.pin(target.port, &resolved)?)
    }
}

/// Knows one address, whatever it is asked for.
#[derive(Debug)]
struct Pinned(SocketAddr);

impl Resolver for Pinned {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

fn failed(error: &ureq::Error) -> CourierError {
    match error {
        ureq::Error::Timeout(_) => CourierError::TooSlow,
        ureq::Error::HostNotFound => CourierError::NotFound,
        ureq::Error::ConnectionFailed | ureq::Error::Tls(_) | ureq::Error::Rustls(_) => CourierError::NoConnection,
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => CourierError::TooSlow,
        ureq::Error::Io(_) => CourierError::NoConnection,
        _ => CourierError::Broken,
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    struct Always(IpAddr);

    impl Resolve for Always {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<IpAddr>> {
            Ok(vec![self.0])
        }
    }

    #[test]
    fn a_name_that_leads_inside_is_refused_before_anybody_is_called() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let reach = Reach { allows_http: true, allows_private: false };
        let inward = Courier::resolving(reach, Always("127.0.0.1".parse().unwrap()));
        let not_public = |error: &CourierError| matches!(error, CourierError::Address(AddressError::NotPublic { .. }));
        let refused = inward.post("http://hooks.example/", &[], b"{}").unwrap_err();
        assert!(not_public(&refused), "{refused:?}");
        assert!(matches!(inward.check("https://hooks.example/"), Err(AddressError::NotPublic { .. })));
        for url in [format!("http://127.0.0.1:{port}/"), format!("http://[::ffff:127.0.0.1]:{port}/")] {
            assert!(inward.post(&url, &[], b"{}").is_err(), "{url}");
        }
        assert_eq!(listener.accept().map(drop).unwrap_err().kind(), io::ErrorKind::WouldBlock, "somebody was called");
    }

    #[test]
    fn a_name_that_cannot_be_found_yet_may_be_kept() {
        struct Nowhere;
        impl Resolve for Nowhere {
            fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<IpAddr>> {
                Err(io::ErrorKind::NotFound.into())
            }
        }
        let courier = Courier::resolving(Reach::PUBLIC, Nowhere);
        assert_eq!(courier.check("https://hooks.example/"), Ok(()));
        assert_eq!(courier.post("https://hooks.example/", &[], b"{}"), Err(CourierError::NotFound));
        assert_eq!(courier.check("http://hooks.example/"), Err(AddressError::ForbiddenScheme));
    }

    #[test]
    fn an_excerpt_is_short_and_plain() {
        assert_eq!(excerpt(b" a\r\nb\x00c\xff "), "a  b c\u{fffd}");
        assert_eq!(excerpt("\u{e4}".repeat(900).as_bytes()).chars().count(), EXCERPT);
    }
}
