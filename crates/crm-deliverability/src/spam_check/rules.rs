//! The rules of the spam check: what each weighs, what it says, and how it is found.

use super::content::{Content, Link};
use super::{Draft, Finding, Points};
use serde::Serialize;

/// What a finding is about; its name in snake case is the rule's code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A merge tag that nothing fills in; blocks sending.
    UnresolvedMergeTag,
    /// An attachment that runs or hides programs.
    DangerousAttachment,
    /// A link whose text names another domain than the one it leads to.
    LinkTextMismatch,
    /// SPF fails.
    SpfFails,
    /// DKIM fails.
    DkimFails,
    /// DMARC fails.
    DmarcFails,
    /// A message to many without a way to unsubscribe.
    BulkWithoutUnsubscribe,
    /// No subject.
    EmptySubject,
    /// A link through a shortener.
    Shortener,
    /// `Re:` or `Fwd:` on a first message.
    FakeReply,
    /// Characters or styles that hide text.
    HiddenText,
    /// An image with hardly any text.
    ImageWithLittleText,
    /// A link to a numeric address.
    IpAddressLink,
    /// A phrase of advertisements.
    Phrase,
    /// A link that is not encrypted.
    HttpLink,
    /// A subject in capital letters.
    AllCapsSubject,
    /// Three exclamation marks or more.
    ExclamationMarks,
    /// No plain-text part.
    NoTextPart,
    /// More than three links.
    ManyLinks,
}

const PHRASES_CAP: usize = 3;
const LINKS_FREE: usize = 3;
const LINKS_CAP: usize = 5;
const LITTLE_TEXT_BYTES: usize = 400;
const CAPS_LETTERS: usize = 8;
const EXCLAMATION_MARKS: usize = 3;
const EXCERPT_CHARS: usize = 80;
const MERGE_TAG_BYTES: usize = 100;

const MERGE_TAGS: [(&str, &str); 4] = [("{{", "}}"), ("*|", "|*"), ("${", "}"), ("%%", "%%")];
const DANGEROUS_EXTENSIONS: [&str; 31] = [
    "7z", "apk", "app", "bat", "cab", "cmd", "com", "cpl", "dll", "dmg", "docm", "exe", "gz", "hta", "img", "iso",
    "jar", "js", "lnk", "msi", "pif", "ps1", "rar", "reg", "scr", "tar", "vbs", "wsf", "xlsm", "xz", "zip",
];
const SHORTENERS: [&str; 14] = [
    "bit.ly",
    "buff.ly",
    "cutt.ly",
    "goo.gl",
    "is.gd",
    "lnkd.in",
    "ow.ly",
    "rb.gy",
    "rebrand.ly",
    "shorturl.at",
    "t.co",
    "t.ly",
    "tiny.cc",
    "tinyurl.com",
];
const PHRASES: [&str; 18] = [
    "100% free",
    "act now",
    "cash bonus",
    "click here",
    "congratulations",
    "double your",
    "earn money",
    "free trial",
    "guaranteed",
    "limited time",
    "make money",
    "money back",
    "no obligation",
    "once in a lifetime",
    "risk free",
    "risk-free",
    "special promotion",
    "winner",
];
const HIDING_STYLES: [&str; 5] = ["display:none", "visibility:hidden", "font-size:0", "opacity:0;", "mso-hide:all"];

/// What a link has to be like for a rule to find it.
type Condition = fn(&Link) -> bool;

/// All findings on `draft`, in the order of [`Rule`].
pub(super) fn findings(draft: &Draft<'_>, content: &Content) -> Vec<Finding> {
    let mut found = Vec::new();
    on_the_whole(draft, content, &mut found);
    on_links(content, &mut found);
    on_words(draft, content, &mut found);
    found.sort_by_key(|finding: &Finding| finding.rule);
    found
}

fn on_the_whole(draft: &Draft<'_>, content: &Content, found: &mut Vec<Finding>) {
    let authentication = draft.authentication;
    let flags = [
        (Rule::SpfFails, authentication.spf_fails),
        (Rule::DkimFails, authentication.dkim_fails),
        (Rule::DmarcFails, authentication.dmarc_fails),
        (Rule::BulkWithoutUnsubscribe, draft.is_bulk && !draft.has_unsubscribe),
        (Rule::EmptySubject, draft.subject.trim().is_empty()),
        (Rule::ImageWithLittleText, content.images > 0 && content.text.trim().len() < LITTLE_TEXT_BYTES),
        (Rule::NoTextPart, !draft.has_text_part),
    ];
    found.extend(flags.into_iter().filter(|(_, holds)| *holds).map(|(rule, _)| rule.finding(1, None)));
    let attachment = draft.attachments.iter().find(|name| is_dangerous(name));
    found.extend(attachment.map(|name| Rule::DangerousAttachment.finding(1, Some(name))));
}

fn on_links(content: &Content, found: &mut Vec<Finding>) {
    let web: Vec<&Link> = content.links.iter().filter(|link| link.is_web()).collect();
    let conditions: [(Rule, Condition); 4] = [
        (Rule::LinkTextMismatch, claims_another_domain),
        (Rule::Shortener, |link| link.domain().is_some_and(|domain| SHORTENERS.contains(&domain))),
        (Rule::IpAddressLink, Link::leads_to_ip_address),
        (Rule::HttpLink, |link| link.url.as_ref().is_some_and(|url| url.scheme() == "http")),
    ];
    for (rule, holds) in conditions {
        found.extend(web.iter().find(|link| holds(link)).map(|link| rule.finding(1, Some(&link.href))));
    }
    if let Some(fourth) = web.get(LINKS_FREE) {
        let times = (web.len() - LINKS_FREE).min(LINKS_CAP);
        found.push(Rule::ManyLinks.finding(times, Some(&fourth.href)));
    }
}

fn on_words(draft: &Draft<'_>, content: &Content, found: &mut Vec<Finding>) {
    let Draft { subject, body_markdown, is_reply, .. } = *draft;
    let anywhere = |find: fn(&str) -> Option<&str>| find(subject).or_else(|| find(&content.text));
    let excerpts = [
        (Rule::UnresolvedMergeTag, merge_tag(subject).or_else(|| merge_tag(body_markdown))),
        (Rule::FakeReply, Some(subject).filter(|subject| !is_reply && has_reply_prefix(subject))),
        (Rule::HiddenText, anywhere(hidden_text)),
        (Rule::AllCapsSubject, Some(subject).filter(|subject| is_all_caps(subject))),
        (Rule::ExclamationMarks, exclamation(subject, &content.text)),
    ];
    found.extend(excerpts.into_iter().filter_map(|(rule, excerpt)| Some(rule.finding(1, Some(excerpt?)))));
    let words = format!("{subject}\n{}", content.text).to_lowercase();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let hits = PHRASES.iter().filter(|phrase| contains_words(&words, phrase)).take(PHRASES_CAP);
    found.extend(hits.map(|phrase| Rule::Phrase.finding(1, Some(phrase))));
}

impl Rule {
    /// A finding of this rule, its points counted `times`.
    fn finding(self, times: usize, excerpt: Option<&str>) -> Finding {
        let points = Points::tenths(self.tenths() * u32::try_from(times).unwrap_or(u32::MAX));
        Finding { rule: self, points, message: self.message(), excerpt: excerpt.map(shown), fix: self.fix() }
    }

    const fn tenths(self) -> u32 {
        match self {
            Self::UnresolvedMergeTag | Self::DangerousAttachment => 30,
            Self::LinkTextMismatch => 25,
            Self::SpfFails | Self::DkimFails | Self::DmarcFails | Self::BulkWithoutUnsubscribe => 20,
            Self::EmptySubject => 18,
            Self::Shortener | Self::FakeReply | Self::HiddenText => 15,
            Self::ImageWithLittleText | Self::IpAddressLink => 12,
            Self::Phrase => 6,
            Self::HttpLink | Self::AllCapsSubject | Self::ExclamationMarks | Self::NoTextPart => 5,
            Self::ManyLinks => 3,
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::UnresolvedMergeTag => "A merge tag was not filled in.",
            Self::DangerousAttachment => "An attachment is a program or an archive.",
            Self::LinkTextMismatch => "A link shows another domain than it leads to.",
            Self::SpfFails => "SPF fails for the sender's domain.",
            Self::DkimFails => "DKIM fails for the sender's domain.",
            Self::DmarcFails => "DMARC fails for the sender's domain.",
            Self::BulkWithoutUnsubscribe => "A message to many has no way to unsubscribe.",
            Self::EmptySubject => "The subject is empty.",
            Self::Shortener => "A link goes through a shortener.",
            Self::FakeReply => "The subject of a first message looks like a reply.",
            Self::HiddenText => "Text is hidden from the reader.",
            Self::ImageWithLittleText => "There is an image, but hardly any text.",
            Self::IpAddressLink => "A link leads to a numeric address.",
            Self::Phrase => "A phrase is typical of advertisements.",
            Self::HttpLink => "A link is not encrypted.",
            Self::AllCapsSubject => "The subject is in capital letters.",
            Self::ExclamationMarks => "There are three exclamation marks or more.",
            Self::NoTextPart => "There is no plain-text part.",
            Self::ManyLinks => "There are more than three links.",
        }
    }

    const fn fix(self) -> &'static str {
        match self {
            Self::UnresolvedMergeTag => "Use a variable that the template knows, or give it a fallback.",
            Self::DangerousAttachment => "Offer the file as a link, or as a PDF.",
            Self::LinkTextMismatch => "Let the text name the target, or describe it in words.",
            Self::SpfFails => "Add the mail server to the domain's SPF record.",
            Self::DkimFails => "Publish the DKIM key that signs these messages.",
            Self::DmarcFails => "Align SPF or DKIM with the domain of the From address.",
            Self::BulkWithoutUnsubscribe => "Add the unsubscribe link.",
            Self::EmptySubject => "Say in the subject what the message is about.",
            Self::Shortener => "Link to the page itself.",
            Self::FakeReply => "Leave out `Re:` and `Fwd:`.",
            Self::HiddenText => "Remove invisible characters and styles that hide text.",
            Self::ImageWithLittleText => "Say the essential in text.",
            Self::IpAddressLink => "Link to a domain name.",
            Self::Phrase => "Say it in plainer words.",
            Self::HttpLink => "Use https.",
            Self::AllCapsSubject => "Write it in normal case.",
            Self::ExclamationMarks => "Use one at most.",
            Self::NoTextPart => "Send a plain-text part along.",
            Self::ManyLinks => "Keep the links that matter.",
        }
    }
}

fn claims_another_domain(link: &Link) -> bool {
    let under = |name: &str, domain: &str| {
        name == domain || name.strip_suffix(domain).is_some_and(|prefix| prefix.ends_with('.'))
    };
    link.claimed_domain()
        .is_some_and(|claimed| !link.domain().is_some_and(|actual| under(actual, &claimed) || under(&claimed, actual)))
}

fn is_dangerous(file_name: &str) -> bool {
    let extension =
        file_name.trim_end_matches(['.', ' ']).rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
    extension.is_some_and(|extension| DANGEROUS_EXTENSIONS.contains(&extension.as_str()))
}

/// A tag is a pair of marks with a name between them, in one line.
fn merge_tag(text: &str) -> Option<&str> {
    MERGE_TAGS.iter().find_map(|(open, close)| {
        text.match_indices(open).find_map(|(start, _)| {
            let inside = &text[start + open.len()..];
            let name = inside[..inside.floor_char_boundary(MERGE_TAG_BYTES)].split_once(close)?.0;
            let named = !name.trim().is_empty() && !name.contains('\n');
            named.then(|| &text[start..start + open.len() + name.len() + close.len()])
        })
    })
}

fn has_reply_prefix(subject: &str) -> bool {
    let prefix = subject.split(':').next().unwrap_or_default().trim().to_lowercase();
    subject.contains(':') && matches!(prefix.as_str(), "re" | "fw" | "fwd" | "aw" | "wg")
}

/// The line in which something invisible stands.
fn hidden_text(text: &str) -> Option<&str> {
    text.lines().find(|line| {
        let style: String = line.to_lowercase().split_whitespace().collect();
        has_invisible(line) || (style.contains('<') && HIDING_STYLES.iter().any(|hiding| style.contains(hiding)))
    })
}

/// Zero-width and bidirectional controls; but joiners belong to the spelling of Persian, Indian scripts and emoji.
fn has_invisible(line: &str) -> bool {
    let mut before = ' ';
    line.chars().any(|c| {
        let spelling = matches!(c, '\u{200C}' | '\u{200D}') && before > '\u{370}';
        before = c;
        is_invisible(c) && !spelling
    })
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

fn is_all_caps(subject: &str) -> bool {
    subject.chars().filter(|c| c.is_uppercase()).count() >= CAPS_LETTERS && !subject.chars().any(char::is_lowercase)
}

fn exclamation<'t>(subject: &'t str, text: &'t str) -> Option<&'t str> {
    let count = subject.matches('!').count() + text.matches('!').count();
    let line = || [subject].into_iter().chain(text.lines()).find(|line| line.contains('!'));
    if count >= EXCLAMATION_MARKS { line() } else { None }
}

/// Whether `phrase` stands in `words` as whole words.
fn contains_words(words: &str, phrase: &str) -> bool {
    words.match_indices(phrase).any(|(start, _)| {
        let bounded = |edge: Option<char>| !edge.is_some_and(char::is_alphanumeric);
        bounded(words[..start].chars().next_back()) && bounded(words[start + phrase.len()..].chars().next())
    })
}

/// An excerpt as a person can read it.
fn shown(text: &str) -> String {
    let visible = |c: char| {
        if is_invisible(c) || c.is_control() { format!("[U+{:04X}]", u32::from(c)) } else { c.to_string() }
    };
    text.trim().chars().take(EXCERPT_CHARS).map(visible).collect()
}
