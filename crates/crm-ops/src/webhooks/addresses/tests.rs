//! Every notation that has led inward somewhere, wrapped addresses, and URLs that are refused for other reasons.

use super::*;
use proptest::prelude::*;

const DEVELOPMENT: Reach = Reach { allows_http: true, allows_private: true };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn notations_of_inner_addresses_are_refused() {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fc00::1]",
        "224.0.0.1",
        "255.255.255.255",
        "\u{2460}\u{2461}\u{2466}.0.0.1",
        "%31%32%37.0.0.1",
        "127.0.0.1.",
        "0",
    ];
    for host in hosts {
        let refusal = Reach::PUBLIC.target(&format!("https://{host}/hook"));
        assert!(matches!(refusal, Err(AddressError::NotPublic { .. })), "{host}: {refusal:?}");
    }
    for host in ["localhost", "LocalHost.", "a.localhost", "db", "printer.local", "metadata.google.internal"] {
        let refusal = Reach::PUBLIC.target(&format!("https://{host}/hook"));
        assert!(matches!(refusal, Err(AddressError::LocalName(_))), "{host}: {refusal:?}");
    }
    let backslash = Reach::PUBLIC.target("https://127.0.0.1\\@example.com/");
    assert_eq!(backslash, Err(AddressError::NotPublic { address: ip("127.0.0.1"), purpose: "loopback" }));
}

#[test]
fn each_range_ends_where_it_ends() {
    let table = [
        ("0.255.255.255", Some("this network")),
        ("1.0.0.0", None),
        ("9.255.255.255", None),
        ("10.255.255.255", Some("private use")),
        ("11.0.0.0", None),
        ("100.63.255.255", None),
        ("100.127.255.255", Some("shared by a provider's customers")),
        ("100.128.0.0", None),
        ("126.255.255.255", None),
        ("128.0.0.0", None),
        ("169.253.255.255", None),
        ("169.255.0.0", None),
        ("172.15.255.255", None),
        ("172.31.255.255", Some("private use")),
        ("172.32.0.0", None),
        ("192.0.0.8", Some("protocol assignments")),
        ("192.0.1.0", None),
        ("192.0.2.1", Some("documentation")),
        ("192.88.99.1", Some("6to4 relays")),
        ("192.169.0.0", None),
        ("198.17.255.255", None),
        ("198.19.255.255", Some("benchmarks")),
        ("198.20.0.0", None),
        ("198.51.100.1", Some("documentation")),
        ("203.0.113.1", Some("documentation")),
        ("223.255.255.255", None),
        ("239.255.255.255", Some("multicast")),
        ("240.0.0.0", Some("reserved, or broadcast")),
        ("2606:4700::1", None),
        ("2001:2::1", Some("benchmarks")),
        ("2001:1f::1", Some("identifiers of hosts")),
        ("2001:2f::1", Some("identifiers of hosts")),
        ("2001:3f::1", Some("identifiers of drones")),
        ("2001:4860:4860::8888", None),
        ("2001:db8::1", Some("documentation")),
        ("3fff:fff::1", Some("documentation")),
        ("3fff:1000::1", None),
        ("4000::1", Some("unassigned")),
        ("1fff::1", Some("unassigned")),
        ("5f00::1", Some("segment routing")),
        ("100::1", Some("discarded")),
        ("100:0:0:1::1", Some("dummy addresses")),
        ("fdff::1", Some("private use")),
        ("febf::1", Some("link-local")),
        ("fec0::1", Some("site-local")),
        ("ff02::1", Some("multicast")),
    ];
    for (address, expected) in table {
        assert_eq!(purpose(ip(address)), expected, "{address}");
    }
}

#[test]
fn wrapped_addresses_are_unwrapped() {
    let table = [
        ("::7f00:1", Some("loopback")),
        ("::ffff:10.0.0.1", Some("private use")),
        ("::ffff:8.8.8.8", None),
        ("::ffff:0:169.254.169.254", Some("link-local")),
        ("64:ff9b::7f00:1", Some("loopback")),
        ("64:ff9b::808:808", None),
        ("64:ff9b:1::808:808", Some("local translation to IPv4")),
        ("2002:7f00:1::", Some("loopback")),
        ("2002:a00:1::1", Some("private use")),
        ("2002:808:808::1", None),
        // The client's address is inverted: 3f57:fefe stands for 192.168.1.1.
        ("2001:0:808:808::3f57:fefe", Some("private use")),
        ("2001:0:7f00:1::f7f7:f7f7", Some("loopback")),
        ("2001:0:808:808::f7f7:f7f7", None),
    ];
    for (address, expected) in table {
        assert_eq!(purpose(ip(address)), expected, "{address}");
    }
}

#[test]
fn urls_are_held_to_scheme_port_and_form() {
    let table = [
        ("http://example.com", AddressError::ForbiddenScheme),
        ("ftp://example.com", AddressError::ForbiddenScheme),
        ("file:///etc/passwd", AddressError::ForbiddenScheme),
        ("example.com/hook", AddressError::InvalidUrl),
        ("https://", AddressError::InvalidUrl),
        ("https://256.1.1.1", AddressError::InvalidUrl),
        ("https://user@example.com", AddressError::ContainsCredentials),
        ("https://:secret@example.com", AddressError::ContainsCredentials),
        ("https://example.com:22", AddressError::ForbiddenPort(22)),
        ("https://example.com:80", AddressError::ForbiddenPort(80)),
    ];
    for (url, error) in table {
        assert_eq!(Reach::PUBLIC.target(url), Err(error), "{url}");
    }
    let table = [
        (Reach::PUBLIC, "https://example.com/hook?a=b", 443, None),
        (Reach::PUBLIC, "https://example.com:8443", 8443, None),
        (Reach::PUBLIC, "https://8.8.8.8", 443, Some(ip("8.8.8.8"))),
        (Reach { allows_http: true, ..Reach::PUBLIC }, "http://example.com", 80, None),
        (DEVELOPMENT, "http://127.1:41234/hook", 41234, Some(ip("127.0.0.1"))),
        (DEVELOPMENT, "http://localhost:41234/hook", 41234, None),
    ];
    for (reach, url, port, address) in table {
        let target = reach.target(url).unwrap();
        assert_eq!((target.port, target.address), (port, address), "{url}");
    }
}

#[test]
fn a_name_is_pinned_only_if_all_its_addresses_are_public() {
    let (public, inner) = (ip("8.8.8.8"), ip("169.254.169.254"));
    let refused = AddressError::NotPublic { address: inner, purpose: "link-local" };
    let table = [
        (Reach::PUBLIC, vec![public, ip("2606:4700::1")], Ok(SocketAddr::new(public, 443))),
        (Reach::PUBLIC, vec![public, inner], Err(refused)),
        (Reach::PUBLIC, vec![], Err(AddressError::NoAddress)),
        (DEVELOPMENT, vec![inner], Ok(SocketAddr::new(inner, 443))),
    ];
    for (reach, resolved, outcome) in table {
        assert_eq!(reach.pin(443, &resolved), outcome, "{resolved:?}");
    }
}

proptest! {
    #[test]
    fn wrapping_never_opens_an_inner_address(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let high = u128::from(bits);
        let forms = [
            high,
            0xffff << 32 | high,
            0x64_ff9b << 96 | high,
            0x2002 << 112 | high << 80,
            0x2001_0000 << 96 | high << 64 | 0xf7f7_f7f7,
            0x2001_0000 << 96 | 0x0808_0808 << 64 | u128::from(!bits),
        ];
        for form in forms {
            let wrapped = Ipv6Addr::from_bits(form);
            let is_refused = purpose(IpAddr::V6(wrapped)).is_some();
            prop_assert_eq!(is_refused, ipv4_purpose(address).is_some(), "{}", wrapped);
        }
    }

    #[test]
    fn any_text_is_judged(text: String, host in "[0-9a-fx.:\\[\\]%@\\\\]{1,24}") {
        for url in [text, format!("https://{host}/")] {
            if let Ok(target) = Reach::PUBLIC.target(&url) {
                prop_assert!(target.address.is_none_or(|address| purpose(address).is_none()), "{}", url);
            }
        }
    }
}
