//! What a body in Markdown shows its reader: text, links and images.

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};
use url::{Host, Url};

/// The parts of a body that rules look at.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The text that is shown, HTML tags written into the Markdown included, blocks apart by newlines.
    pub(super) text: String,
    /// Links in order.
    pub(super) links: Vec<Link>,
    /// How many images there are.
    pub(super) images: usize,
}

/// A link and the text it is shown by.
#[derive(Debug)]
pub(super) struct Link {
    /// Where it leads, as written.
    pub(super) href: String,
    /// Where it leads, if that can be parsed.
    pub(super) url: Option<Url>,
    /// What the reader sees.
    pub(super) text: String,
}

impl Content {
    /// Reads `markdown`. Text of images does not count as shown; an autolink shows its own target.
    pub(super) fn read(markdown: &str) -> Self {
        let mut content = Self::default();
        let mut outside_links = String::new();
        let mut open_link = false;
        let mut open_images = 0_usize;
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
            match event {
                Event::Start(Tag::Link { link_type, dest_url, .. }) => {
                    let mail = if link_type == LinkType::Email { "mailto:" } else { "" };
                    content.links.push(Link::new(format!("{mail}{dest_url}"), String::new()));
                    open_link = true;
                }
                Event::End(TagEnd::Link) => open_link = false,
                Event::Start(Tag::Image { .. }) => {
                    content.images += 1;
                    open_images += 1;
                }
                Event::End(TagEnd::Image) => open_images = open_images.saturating_sub(1),
                Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text)
                    if open_images == 0 =>
                {
                    content.text.push_str(&text);
                    let link = content.links.last_mut().filter(|_| open_link).map(|link| &mut link.text);
                    link.unwrap_or(&mut outside_links).push_str(&text);
                }
                event if ends_line(&event) => {
                    content.text.push('\n');
                    outside_links.push('\n');
                }
                _ => {}
            }
        }
        content.links.extend(bare_links(&outside_links));
        content
    }
}

/// Whether the text goes on elsewhere, rather than in the same line.
fn ends_line(event: &Event<'_>) -> bool {
    match event {
        Event::SoftBreak | Event::HardBreak => true,
        Event::End(end) => !matches!(end, TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough),
        _ => false,
    }
}

/// Mail programs make links of bare addresses too.
fn bare_links(text: &str) -> impl Iterator<Item = Link> {
    text.split(|c: char| c.is_whitespace() || "<>\"'()[]".contains(c))
        .map(|word| word.trim_end_matches(['.', ',', ';', ':', '!', '?']))
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .map(|word| Link::new(word.to_owned(), word.to_owned()))
}

impl Link {
    fn new(href: String, text: String) -> Self {
        Self { url: Url::parse(&href).ok(), href, text }
    }

    /// Whether it leads to a page, rather than to a mailbox or a telephone.
    pub(super) fn is_web(&self) -> bool {
        self.url.as_ref().is_some_and(|url| matches!(url.scheme(), "http" | "https"))
    }

    /// The name of the host it leads to, without `www.`.
    pub(super) fn domain(&self) -> Option<&str> {
        self.url.as_ref().and_then(Url::domain).map(without_www)
    }

    /// Whether it leads to a numeric address, in whatever notation.
    pub(super) fn leads_to_ip_address(&self) -> bool {
        matches!(self.url.as_ref().and_then(Url::host), Some(Host::Ipv4(_) | Host::Ipv6(_)))
    }

    /// The domain that the text claims to lead to, if it looks like an address at all.
    pub(super) fn claimed_domain(&self) -> Option<String> {
        let text = self.text.trim();
        let address = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let plausible = text.contains('.') && !text.contains([' ', '@']) && !text.ends_with('.');
        let url = Url::parse(&address).ok().filter(|_| plausible)?;
        let domain = without_www(url.domain()?);
        let last_label = domain.rsplit('.').next()?;
        (domain.contains('.') && last_label.len() >= 2 && !last_label.contains(|c: char| c.is_ascii_digit()))
            .then(|| domain.to_owned())
    }
}

fn without_www(domain: &str) -> &str {
    domain.strip_prefix("www.").unwrap_or(domain)
}
