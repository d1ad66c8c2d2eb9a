//! Where a webhook may be sent: public addresses alone, whatever they are spelt or wrapped like.
//!
//! A URL that a customer gives could make the program call machines inside its own network. So the URL is parsed as
//! browsers do, which folds odd spellings (`127.1`, `0x7f.1`, `2130706433`) to one; its name is resolved once, *every*
//! address must be public, and the call goes to one that was checked, without following redirects.
//!
//! References: the IANA special-purpose address registries (RFC 6890), RFC 4291, 6052 and 8215 (NAT64), 3056 (6to4),
//! 4380 (Teredo), 2765 (translated addresses).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;
use url::{Host, Url};

/// What may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Whether `http` may be used beside `https`.
    pub allows_http: bool,
    /// Whether private addresses, names of this machine and any port may be used, as in development.
    pub allows_private: bool,
}

/// A URL that may be called once its host is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The URL as it was understood.
    pub url: Url,
    /// Its port, or that of its scheme.
    pub port: u16,
    /// Its host, if that is an address already; it is checked.
    pub address: Option<IpAddr>,
}

/// Why an address is not to be called.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not a URL with a host.
    #[error("This is not a complete URL.")]
    InvalidUrl,
    /// A scheme other than `https`.
    #[error("The URL must begin with https://.")]
    ForbiddenScheme,
    /// A name or a password stands in the URL.
    #[error("The URL must not contain a user name or a password.")]
    ContainsCredentials,
    /// A port where no web server is expected.
    #[error("The URL must not name port {0}.")]
    ForbiddenPort(u16),
    /// A name that always means this machine or its network.
    #[error("`{0}` is not a public host.")]
    LocalName(String),
    /// The name has no address.
    #[error("The host of the URL has no address.")]
    NoAddress,
    /// An address that is not public, and what it is instead.
    #[error("{address} is not a public address: {purpose}.")]
    NotPublic {
        /// The address.
        address: IpAddr,
        /// What it, or an address that it wraps, is for.
        purpose: &'static str,
    },
}

const HTTPS_PORTS: [u16; 2] = [443, 8443];
const HTTP_PORTS: [u16; 2] = [80, 8080];
/// Names below these never mean a public host (RFC 6761, 6762, 8375, and ICANN's `internal`).
const LOCAL_NAMES: [&str; 5] = ["localhost", "local", "localdomain", "home.arpa", "internal"];

/// Ranges of IPv4 that are not public: first address, length of the prefix, purpose.
#[rustfmt::skip]
const IPV4_RANGES: [(Ipv4Addr, u32, &str); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private use"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a provider's customers"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private use"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private use"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved, or broadcast"),
];

/// Ranges of IPv6 that are not public. What lies in none of them is public only within 2000::/3.
#[rustfmt::skip]
const IPV6_RANGES: [(Ipv6Addr, u32, &str); 16] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "local translation to IPv4"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discarded"),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64, "dummy addresses"),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, "benchmarks"),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, "identifiers of hosts"),
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28, "identifiers of hosts"),
    (Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28, "identifiers of drones"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "segment routing"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private use"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// Ranges of IPv6 that wrap an IPv4 address: first address, length of the prefix, how far from the end the wrapped
/// address stands, and which of its bits are inverted.
#[rustfmt::skip]
const WRAPPING_RANGES: [(Ipv6Addr, u32, u32, u32); 7] = [
    (Ipv6Addr::UNSPECIFIED, 96, 0, 0),                                   // IPv4-compatible
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 0, 0),              // IPv4-mapped
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, 0, 0),              // translated
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, 0, 0),           // NAT64
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 80, 0),             // 6to4
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 64, 0),             // Teredo: the server
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 0, u32::MAX),       // Teredo: the client
];

impl Reach {
    /// Public addresses by `https` alone.
    pub const PUBLIC: Self = Self { allows_http: false, allows_private: false };

    /// Reads `text` as the URL of a webhook.
    pub fn target(&self, text: &str) -> Result<Target, AddressError> {
        let url = Url::parse(text).map_err(|_| AddressError::InvalidUrl)?;
        let ports = match url.scheme() {
            "https" => HTTPS_PORTS,
            "http" if self.allows_http => HTTP_PORTS,
            _ => return Err(AddressError::ForbiddenScheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::ContainsCredentials);
        }
        let port = url.port_or_known_default().ok_or(AddressError::InvalidUrl)?;
        if !self.allows_private && !ports.contains(&port) {
            return Err(AddressError::ForbiddenPort(port));
        }
        let address = self.literal(&url.host().ok_or(AddressError::InvalidUrl)?)?;
        Ok(Target { url, port, address })
    }

    /// The address to connect to of those that the target's name was resolved to: the first, if *all* may be called.
    pub fn pin(&self, port: u16, resolved: &[IpAddr]) -> Result<SocketAddr, AddressError> {
        for address in resolved {
            self.check(*address)?;
        }
        resolved.first().map(|address| SocketAddr::new(*address, port)).ok_or(AddressError::NoAddress)
    }

    /// The host's address if it is one, checked; names of this machine are refused.
    fn literal(&self, host: &Host<&str>) -> Result<Option<IpAddr>, AddressError> {
        let address = match host {
            Host::Domain(name) => {
                return if self.allows_private || !is_local_name(name) {
                    Ok(None)
                } else {
                    Err(AddressError::LocalName((*name).to_owned()))
                };
            }
            Host::Ipv4(address) => IpAddr::V4(*address),
            Host::Ipv6(address) => IpAddr::V6(*address),
        };
        self.check(address)?;
        Ok(Some(address))
    }

    fn check(&self, address: IpAddr) -> Result<(), AddressError> {
        match purpose(address) {
            Some(purpose) if !self.allows_private => Err(AddressError::NotPublic { address, purpose }),
            _ => Ok(()),
        }
    }
}

/// What `address` is for if it is not public; `None` for public addresses.
pub fn purpose(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => ipv4_purpose(address),
        IpAddr::V6(address) => ipv6_purpose(address),
    }
}

fn ipv4_purpose(address: Ipv4Addr) -> Option<&'static str> {
    let inside = |first: Ipv4Addr, length: u32| (first.to_bits() ^ address.to_bits()) >> (32 - length) == 0;
    IPV4_RANGES.iter().find(|(first, length, _)| inside(*first, *length)).map(|(_, _, purpose)| *purpose)
}

fn ipv6_purpose(address: Ipv6Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let inside = |first: Ipv6Addr, length: u32| (first.to_bits() ^ bits) >> (128 - length) == 0;
    if let Some((_, _, purpose)) = IPV6_RANGES.iter().find(|(first, length, _)| inside(*first, *length)) {
        return Some(purpose);
    }
    let mut wrapped = WRAPPING_RANGES.iter().filter(|(first, length, ..)| inside(*first, *length)).peekable();
    if wrapped.peek().is_none() {
        return (bits >> 125 != 1).then_some("unassigned");
    }
    wrapped.find_map(|(_, _, shift, inverted)| {
        let [.., a, b, c, d] = (bits >> shift).to_be_bytes();
        ipv4_purpose(Ipv4Addr::from_bits(u32::from_be_bytes([a, b, c, d]) ^ inverted))
    })
}

fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let below =
        |suffix: &str| name.strip_suffix(suffix).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'));
    !name.contains('.') || LOCAL_NAMES.into_iter().any(below)
}

#[cfg(test)]
mod tests;
