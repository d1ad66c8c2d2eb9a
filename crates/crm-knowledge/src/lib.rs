//! Knowledge that sellers look up: articles in Markdown, found and shown safely, and playbooks to work through.
//!
//! - [`markdown`]: an article's source as safe HTML, and as the plain text that search reads.
//! - [`snippets`]: a search hit's context with its words highlighted.
//! - [`playbooks`]: checklists whose items keep their identity through edits, and how far a deal has come in one.
//!
//! Everything here is a pure function of its arguments, so that the crate can be used alone:
//!
//! ```
//! use crm_knowledge::{markdown, playbooks, snippets};
//! use std::collections::HashMap;
//!
//! let article = "## Strategy\n\n1. [Listen](javascript:alert(1)) <script>";
//! let html = markdown::to_html(article);
//! assert!(html.starts_with("<h2>Strategy</h2>"));
//! assert!(!html.contains("javascript:") && !html.contains("<script>"));
//! assert_eq!(markdown::to_plain_text(article), "Strategy\nListen <script>");
//!
//! // U+E000 and U+E001 stand around what the search has matched.
//! let snippet = snippets::Snippet::from_marked("the \u{E000}price\u{E001} & more");
//! assert_eq!(snippet.html, "the <mark>price</mark> &amp; more");
//! assert_eq!(snippet.highlights, [[4, 9]]);
//!
//! let mut next_id = 1..;
//! let drafts = vec!["Qualify budget".into(), "Schedule demo".into()];
//! let items = playbooks::edited(&[], drafts, || next_id.next().unwrap_or_default())?;
//! let ticks = HashMap::from([(1, "Ada")]);
//! let progress = playbooks::Progress::of(&items, &ticks);
//! assert_eq!((progress.done_count, progress.total_count), (1, 2));
//! # Ok::<(), playbooks::PlaybookError>(())
//! ```

pub mod markdown;
pub mod playbooks;
pub mod snippets;
