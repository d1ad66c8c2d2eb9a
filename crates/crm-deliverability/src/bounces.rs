//! What a message that came back says of its address (RFC 3463, RFC 5321): whether anything should be sent there again.
//!
//! The rule is Sisimai's: only an address that cannot exist counts against the recipient. Whatever a server holds against
//! the sender (`5.7.x`) says something about us, and nothing about the address.

/// What a bounce means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BounceClass {
    /// The address cannot exist: nothing is sent to it again.
    Hard,
    /// It may pass by itself: a full mailbox, a server that is away.
    Soft,
    /// The server says that the mailbox is disabled (`5.2.1`): it may pass, and mostly does not.
    Disabled,
    /// The server refuses the sender; the address is as good as before.
    Policy,
}

/// Codes of addresses that cannot exist: bad mailbox, bad domain, bad syntax, moved, null MX, no route.
const HARD: [(u16, u16); 6] = [(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (4, 4)];

/// Reply codes that say the same where a server gives no enhanced code: no such mailbox, not here, no such name.
const HARD_REPLIES: [u16; 3] = [550, 551, 553];

/// Classes a bounce by its enhanced status code, where it was told apart, and else by what the server said: by the first such
/// code in it. Where there is none, the mail service's word counts (`hard` or `permanent`, `soft` or `transient`), and then the
/// reply code that the server's words begin with. What nobody can tell is [`BounceClass::Soft`].
///
/// ```
/// use crm_deliverability::bounces::{BounceClass, class};
///
/// assert_eq!(class(None, None, "550 5.1.1 The mailbox does not exist"), BounceClass::Hard);
/// assert_eq!(class(Some("5.7.26"), Some("hard"), "550 unauthenticated mail"), BounceClass::Policy);
/// ```
pub fn class(status: Option<&str>, service: Option<&str>, words: &str) -> BounceClass {
    let enhanced = status.and_then(enhanced).or_else(|| parts(words).find_map(enhanced));
    match enhanced {
        Some((_, 7, _)) => BounceClass::Policy,
        Some((5, subject, detail)) if HARD.contains(&(subject, detail)) => BounceClass::Hard,
        Some((5, 2, 1)) => BounceClass::Disabled,
        Some(_) => BounceClass::Soft,
        None if is_one_of(service, ["hard", "permanent"]) => BounceClass::Hard,
        None if is_one_of(service, ["soft", "transient"]) => BounceClass::Soft,
        None if reply(words).is_some_and(|code| HARD_REPLIES.contains(&code)) => BounceClass::Hard,
        None => BounceClass::Soft,
    }
}

fn is_one_of(word: Option<&str>, words: [&str; 2]) -> bool {
    word.is_some_and(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word.trim())))
}

/// The runs of digits and full stops.
fn parts(words: &str) -> impl Iterator<Item = &str> {
    words.split(|c: char| !c.is_ascii_digit() && c != '.').map(|part| part.trim_matches('.'))
}

/// Class, subject and detail of a code such as `5.1.1`.
fn enhanced(code: &str) -> Option<(u16, u16, u16)> {
    let mut numbers = code.trim().split('.').map(|number| number.parse::<u16>().ok().filter(|n| *n < 1_000));
    let code = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && matches!(code.0, 2 | 4 | 5)).then_some(code)
}

/// The reply code that the server's words begin with, behind the `smtp;` of a delivery report.
fn reply(words: &str) -> Option<u16> {
    let words = words.trim_start();
    let words = words.strip_prefix("smtp;").unwrap_or(words).trim_start();
    let digits: &str = words.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|code| (400..600).contains(code))
}

#[cfg(test)]
mod tests {
    use super::{BounceClass::*, *};

    #[test]
    fn only_an_address_that_cannot_exist_counts_against_the_recipient() {
        let table = [
            (None, "550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown", Hard),
            (None, "550-5.1.1 The email account that you tried to reach does not exist.", Hard),
            (None, "smtp; 550 #5.1.10 RESOLVER.ADR.RecipientNotFound", Hard),
            (Some("5.1.2"), "", Hard),
            (Some("5.4.4"), "no route", Hard),
            (None, "550 No such user here", Hard),
            (None, "smtp;553 sorry, that name is not allowed", Hard),
            (Some("5.7.1"), "550 5.1.1 said by somebody else", Policy),
            (None, "550 5.7.1 Service unavailable; client host [192.0.2.1] blocked", Policy),
            (None, "421-4.7.28 Our system has detected an unusual rate of mail", Policy),
            (None, "550 5.7.515 Access denied, sending domain does not meet the level", Policy),
            (None, "550 5.2.1 The account is disabled", Disabled),
            (None, "552 5.2.2 Mailbox full", Soft),
            (None, "452 4.2.2 The mailbox is over quota", Soft),
            (Some("4.1.1"), "", Soft),
            (None, "554 rejected", Soft),
            (None, "451 try again later", Soft),
            (None, "Mailbox is full", Soft),
            (None, "refused by 10.5.1.1 on 5.1", Soft),
            (Some("hard"), "", Soft),
            (Some("5.1.1.1"), "", Soft),
            (Some("99999.1.1"), "", Soft),
            (None, "", Soft),
        ];
        for (status, words, expected) in table {
            assert_eq!(class(status, None, words), expected, "{status:?} {words}");
        }
    }

    #[test]
    fn the_word_of_the_mail_service_stands_behind_the_servers_code() {
        let table = [
            (None, "Permanent", "", Hard),
            (None, " hard ", "Sorry", Hard),
            (None, "soft", "550 No such user here", Soft),
            (None, "Transient", "", Soft),
            (Some("5.7.1"), "hard", "", Policy),
            (Some("4.2.2"), "permanent", "", Soft),
            (Some("5.1.1"), "soft", "", Hard),
            (None, "undetermined", "550 No such user here", Hard),
        ];
        for (status, service, words, expected) in table {
            assert_eq!(class(status, Some(service), words), expected, "{status:?} {service} {words}");
        }
    }
}
