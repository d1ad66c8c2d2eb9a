//! The address of a database, taken apart: the same server's other databases, and a form without the password.

use std::collections::BTreeMap;

use super::Error;

/// What must not stand where others can read it.
const SECRETS: [&str; 2] = ["password", "sslpassword"];

/// Where a database is and how to get in. It holds a password, so it can be neither printed nor serialized.
///
/// ```
/// use crm_core::database::addresses::Address;
///
/// let address = Address::parse("postgres://anna:s3cret@db.example:5433/crm?sslmode=require").unwrap();
/// assert_eq!(address.database(), Some("crm"));
/// assert_eq!(
///     address.in_database("other").public_text(),
///     "dbname='other' host='db.example' port='5433' sslmode='require' user='anna'"
/// );
/// ```
#[derive(Clone)]
pub struct Address(BTreeMap<String, String>);

impl Address {
    /// Reads a URL, or libpq's `keyword=value` pairs, as libpq does (PostgreSQL manual, "Connection Strings").
    ///
    /// # Errors
    /// [`Error::MalformedUrl`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        rest.map_or_else(|| of_keywords(text), of_url).map(Self).ok_or(Error::MalformedUrl)
    }

    /// The name of the database, where the address says it.
    pub fn database(&self) -> Option<&str> {
        self.0.get("dbname").map(String::as_str)
    }

    /// Another database of the same server, by the same user.
    #[must_use]
    pub fn in_database(&self, name: &str) -> Self {
        let mut parameters = self.0.clone();
        parameters.insert("dbname".to_owned(), name.to_owned());
        Self(parameters)
    }

    /// The address without its secrets, as libpq's keywords: for a command line, where everybody can read it.
    pub fn public_text(&self) -> String {
        text(self.0.iter().filter(|(name, _)| !SECRETS.contains(&name.as_str())))
    }

    /// The whole address, as libpq's keywords.
    pub(crate) fn text(&self) -> String {
        text(self.0.iter())
    }

    /// The password, for the environment of a program.
    pub(crate) fn password(&self) -> Option<&str> {
        self.0.get("password").map(String::as_str)
    }
}

fn text<'a>(parameters: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
    parameters.map(|(name, value)| format!("{name}='{}'", quoted(value))).collect::<Vec<_>>().join(" ")
}

/// What stands behind the scheme: `user:password@host:port,host:port/database?name=value&…`.
fn of_url(rest: &str) -> Option<BTreeMap<String, String>> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user_info, hosts) = authority.split_once('@').unwrap_or(("", authority));
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let hosts: Vec<_> = hosts.split(',').map(host_and_port).collect::<Option<_>>()?;
    let list = |pick: fn(&(String, String)) -> &str| hosts.iter().map(pick).collect::<Vec<_>>().join(",");
    let mut parameters = BTreeMap::new();
    let parts = [
        ("user", decoded(user)?),
        ("password", decoded(password)?),
        ("host", list(|(host, _)| host)),
        ("port", list(|(_, port)| port)),
        ("dbname", decoded(database)?),
    ];
    parameters.extend(
        parts
            .into_iter()
            .filter(|(_, value)| !value.chars().all(|c| c == ','))
            .map(|(name, value)| (name.to_owned(), value)),
    );
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        match (decoded(name)?, decoded(value)?) {
            (name, value) if name == "ssl" && value == "true" => parameters.insert("sslmode".into(), "require".into()),
            (name, value) => parameters.insert(name, value),
        };
    }
    Some(parameters)
}

fn host_and_port(text: &str) -> Option<(String, String)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.trim_start_matches(':')))?,
        None => text.split_once(':').unwrap_or((text, "")),
    };
    Some((decoded(host)?, port.to_owned()))
}

/// Takes `%41` for `A`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|byte| *byte != 0)?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

/// `name = value` pairs; a value may be quoted by `'`, and `\` takes the next character as it is.
fn of_keywords(text: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=')?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let (value, tail) = value(tail.trim_start())?;
        parameters.insert(name.to_owned(), value);
        rest = tail.trim_start();
    }
    Some(parameters)
}

fn value(text: &str) -> Option<(String, &str)> {
    let (is_quoted, text) = text.strip_prefix('\'').map_or((false, text), |inner| (true, inner));
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' if is_quoted => return Some((value, &text[at + 1..])),
            blank if blank.is_whitespace() && !is_quoted => return Some((value, &text[at..])),
            plain => value.push(plain),
        }
    }
    (!is_quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_keywords_are_read_as_libpq_reads_them() {
        for (text, expected) in [
            ("postgres://h", "host='h'"),
            ("postgresql://a:b%40c@h:5433/d", "dbname='d' host='h' password='b@c' port='5433' user='a'"),
            (
                "postgresql://heimdell@/x?host=/tmp/a%20b&port=5432",
                "dbname='x' host='/tmp/a b' port='5432' user='heimdell'",
            ),
            ("postgres://[::1]:99,h2/d?ssl=true", "dbname='d' host='::1,h2' port='99,' sslmode='require'"),
            ("postgres://a@h/d?dbname=e&application_name=x", "application_name='x' dbname='e' host='h' user='a'"),
            (r"host = h password='it\'s \\ me' user=a", r"host='h' password='it\'s \\ me' user='a'"),
            ("dbname=old dbname=new ", "dbname='new'"),
            ("", ""),
        ] {
            assert_eq!(Address::parse(text).map(|address| address.text()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["postgres://a%4", "postgres://a@h/%zz", "postgres://h?x", "nonsense", "host='h", "a b=c", "x=\\"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_public_text_keeps_no_secret() {
        for text in
            ["postgres://a:s3cret@h/d?sslpassword=s3cret", "password=s3cret host=h", "postgres://h/d?password=s3cret"]
        {
            let address = Address::parse(text).unwrap();
            assert!(!address.public_text().contains("s3cret"), "{text}");
            assert_eq!(address.password(), Some("s3cret"));
            assert!(address.in_database("e").text().contains("s3cret"));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_the_same(values in proptest::collection::btree_map("[a-z]{1,8}", "[^\0]{0,20}", 0..5)) {
            let address = Address(values.clone());
            proptest::prop_assert_eq!(Address::parse(&address.text()).unwrap().0, values);
        }
    }
}
