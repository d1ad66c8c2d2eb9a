//! Markdown (CommonMark, with tables, strikethrough and task lists) as safe HTML and as plain text.
//!
//! Sources are written by many and read by more, so nothing in them may run, load or mislead: HTML in the source is
//! shown as the text that it is, links lead to web pages and mailboxes only, images are left out since their hosts
//! would learn who reads, and the invisible characters that reverse the order of text are removed.

use crate::snippets::{START, STOP};
use ammonia::Builder;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Nobody writes deeper than this, and the time that an HTML parser takes grows with the square of the depth.
const MAX_DEPTH: usize = 64;

static SANITIZER: LazyLock<Builder<'static>> = LazyLock::new(sanitizer);

/// Renders `source` to HTML that may stand in a page as it is.
pub fn to_html(source: &str) -> String {
    let mut html = String::with_capacity(source.len() * 3 / 2);
    html::push_html(
        &mut html,
        events(source).map(|event| match event {
            Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
            Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
            Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
            Event::TaskListMarker(checked) => Event::Text(checkbox(checked).into()),
            other => other,
        }),
    );
    // Before the sanitizer, not after: a scheme that is split by such a character must not come together behind it.
    html.retain(|c| !is_bidi_control(c));
    SANITIZER.clean(&html).to_string()
}

/// The words of `source` for search and snippets, blocks and lines apart by a newline.
///
/// Control characters are left out, and so are U+E000 and U+E001, which mark matches in a snippet.
pub fn to_plain_text(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    for event in events(source) {
        match event {
            Event::Text(words) | Event::Code(words) | Event::Html(words) | Event::InlineHtml(words) => {
                text.push_str(&words)
            }
            Event::TaskListMarker(checked) => text.push_str(checkbox(checked)),
            Event::SoftBreak | Event::HardBreak => text.push('\n'),
            Event::End(TagEnd::TableCell) => text.push(' '),
            Event::End(end) if !is_inline(end) => text.push('\n'),
            _ => {}
        }
    }
    text.retain(|c| c == '\n' || !(c.is_control() || is_bidi_control(c) || matches!(c, START | STOP)));
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// The events of `source`; tags deeper than [`MAX_DEPTH`] are left out, what they hold stays.
fn events(source: &str) -> impl Iterator<Item = Event<'_>> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut depth = 0_usize;
    Parser::new_ext(source, options).filter(move |event| {
        let inside = depth;
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => return true,
        }
        inside.max(depth) <= MAX_DEPTH
    })
}

/// Input elements are not allowed, so a task's box is a character.
const fn checkbox(checked: bool) -> &'static str {
    if checked { "\u{2611} " } else { "\u{2610} " }
}

const fn is_inline(end: TagEnd) -> bool {
    matches!(end, TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image)
}

/// Embeddings, overrides and isolates (UAX #9).
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Lets through what the Markdown renderer writes, and of that neither images nor inputs.
fn sanitizer() -> Builder<'static> {
    let tags = [
        "a",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "strong",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    ];
    let mut builder = Builder::empty();
    builder
        .tags(HashSet::from(tags))
        .generic_attributes(HashSet::new())
        .tag_attributes(HashMap::from([("a", HashSet::from(["href", "title"])), ("ol", HashSet::from(["start"]))]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .link_rel(Some("nofollow noopener noreferrer"));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_markdown_can_say_is_rendered() {
        let table = [
            (
                "## Strategy\n\n1. Acknowledge *concern*",
                "<h2>Strategy</h2>\n<ol>\n<li>Acknowledge <em>concern</em></li>\n</ol>\n",
            ),
            ("3. a\n4. b", "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>\n"),
            ("~~a~~ **b** `c < d`", "<p><del>a</del> <strong>b</strong> <code>c &lt; d</code></p>\n"),
            ("```rust\nlet a = 1;\n```", "<pre><code>let a = 1;\n</code></pre>\n"),
            ("- [x] done\n- [ ] open", "<ul>\n<li>\u{2611} done</li>\n<li>\u{2610} open</li>\n</ul>\n"),
            (
                "|a|b|\n|-|-|\n|1|2|",
                "<table><thead><tr><th>a</th><th>b</th></tr></thead>\
                 <tbody>\n<tr><td>1</td><td>2</td></tr>\n</tbody></table>\n",
            ),
            (
                "[x](https://example.com/a?b=c&d \"T\") <mailto:a@b.test>",
                "<p><a href=\"https://example.com/a?b=c&amp;d\" title=\"T\" rel=\"nofollow noopener noreferrer\">x</a> \
                 <a href=\"mailto:a@b.test\" rel=\"nofollow noopener noreferrer\">mailto:a@b.test</a></p>\n",
            ),
        ];
        for (source, html) in table {
            assert_eq!(to_html(source), html, "{source}");
        }
    }

    #[test]
    fn what_would_run_load_or_mislead_is_not() {
        let dead_link = |text: &str| format!("<p><a rel=\"nofollow noopener noreferrer\">{text}</a></p>\n");
        let table = [
            ("[x](javascript:alert(1))", dead_link("x")),
            ("[x](JaVaScRiPt&#58;alert(1))", dead_link("x")),
            ("[x](data:text/html;base64,PHNjcmlwdD4=)", dead_link("x")),
            ("[x](vbscript:a)", dead_link("x")),
            ("<javascript:alert(1)>", dead_link("javascript:alert(1)")),
            ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n".to_owned()),
            (
                "a <svg><style><img src=x onerror=alert(1)></style></svg>",
                "<p>a &lt;svg&gt;&lt;style&gt;&lt;img src=x onerror=alert(1)&gt;&lt;/style&gt;&lt;/svg&gt;</p>\n"
                    .to_owned(),
            ),
            ("![p](http://t.test/p.gif)", "<p></p>\n".to_owned()),
            ("a\u{202E}b&#x2066;c", "<p>abc</p>\n".to_owned()),
            ("<b onclick=a>", "<p>&lt;b onclick=a&gt;</p>\n".to_owned()),
        ];
        for (source, html) in table {
            assert_eq!(to_html(source), html, "{source}");
        }
        let split = to_html("[x](java\u{202E}script:alert(1)) [y](java&#x202E;script:alert(1))");
        assert!(!split.contains("javascript:"), "{split}");
    }

    #[test]
    fn plain_text_keeps_the_words() {
        let table = [
            ("## Price\n\n1. Say *why*\n2. [Ask](https://a.test) `now`", "Price\nSay why\nAsk now"),
            ("un**believ**able\nline  \nbreak", "unbelievable\nline\nbreak"),
            ("a <b>c</b>\n\n<div>x</div>", "a <b>c</b>\n<div>x</div>"),
            ("|a|b|\n|-|-|\n|1|2|", "a b\n1 2"),
            ("![A chart](c.png) - \u{E000}x\u{E001}&#7;\u{202E}y", "A chart - xy"),
            ("- [x] done", "\u{2611} done"),
        ];
        for (source, text) in table {
            assert_eq!(to_plain_text(source), text, "{source}");
        }
    }

    #[test]
    fn deep_nesting_is_flattened_and_keeps_its_words() {
        for (open, close, tag) in [("> ", "", "<blockquote>"), ("1. ", "", "<ol>"), ("*a ", " b*", "<em>")] {
            let html = to_html(&format!("{}words{}", open.repeat(20_000), close.repeat(20_000)));
            assert!(html.contains("words") && (1..=MAX_DEPTH).contains(&html.matches(tag).count()), "{open}");
        }
        let nested = to_html("> > > - 1. a *b **c***");
        assert_eq!(nested.matches("<blockquote>").count(), 3);
        assert!(nested.contains("a <em>b <strong>c</strong></em>"), "{nested}");
    }

    /// Text that is likely to be markup, whole or broken.
    fn hostile_text() -> impl Strategy<Value = String> {
        let parts = [
            "<script>",
            "</script>",
            "<img src=x onerror=",
            "javascript:",
            "data:",
            "[x](",
            "![",
            "](",
            ")",
            "<",
            ">",
            "\"",
            "'",
            "&#x3c;",
            "&lt;",
            "&#58;",
            "\u{202E}",
            "&#x202E;",
            "`",
            "```\n",
            "\n\n",
            "- [ ] ",
            "> ",
            "|a|\n|-|\n|",
            "*",
            "~~",
            "<!--",
            "-->",
            "<![CDATA[",
            "<svg>",
            "<style>",
            "on",
            "a",
            "\u{E000}",
            "\u{0}",
            "[a]: ",
            "<https://",
            "\\",
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn html_has_known_tags_and_attributes_alone(source in hostile_text()) {
            let html = to_html(&source);
            prop_assert!(!html.contains(is_bidi_control));
            for tag in html.split('<').skip(1) {
                let (tag, _) = tag.split_once('>').unwrap_or((tag, ""));
                let name = tag.trim_start_matches('/').split(' ').next().unwrap_or_default();
                prop_assert!(SANITIZER.clone_tags().contains(name), "{}", html);
                let href = tag.split("href=\"").nth(1).unwrap_or("/");
                let url = ammonia::Url::parse(href.split('"').next().unwrap_or_default());
                let is_known = url.is_err() || url.is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "mailto"));
                prop_assert!(is_known, "{}", html);
            }
            // What is safe stays as it is when it is cleaned once more.
            prop_assert_eq!(SANITIZER.clean(&html).to_string(), html);
        }

        #[test]
        fn plain_text_has_no_marks_of_matches(source in hostile_text()) {
            let text = to_plain_text(&source);
            prop_assert!(!text.contains(|c| is_bidi_control(c) || matches!(c, START | STOP)));
            prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}
