//! Alerts on a Discord channel, by one of its webhooks.
//!
//! The address is a secret: whoever has it can write to the channel. It is never logged and never shown, and nothing but
//! Discord's own hosts is called. What is sent mentions nobody and holds no text that a user wrote.
use std::time::Duration;

use crm_core::{
    alerts::{Channel, Notice, Undelivered},
    sessions::tokens::Secret,
};
use serde_json::{Value, json};
use url::{Host, Url};

/// A webhook of a Discord channel.
pub struct DiscordWebhook {
    agent: ureq::Agent,
    url: Secret,
}

/// Why an address is none of a Discord webhook. It does not quote the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A Discord webhook begins with https://discord.com/api/webhooks/.")]
pub struct NoDiscordWebhook;

/// How long a call may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the channel is left alone where it does not say how long.
const USUAL_WAIT: Duration = Duration::from_secs(60);

const HOSTS: [&str; 2] = ["discord.com", "discordapp.com"];

impl DiscordWebhook {
    /// The webhook at an address: of Discord, or of this machine where `allows_private`, for development and tests.
    ///
    /// # Errors
    /// [`NoDiscordWebhook`] for any other.
    pub fn new(address: &Secret, allows_private: bool) -> Result<Self, NoDiscordWebhook> {
        let url = Url::parse(address.expose().trim()).map_err(|_| NoDiscordWebhook)?;
        let is_discord = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.host_str().is_some_and(|host| HOSTS.contains(&host))
            && url.path().starts_with("/api/webhooks/");
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            _ => false,
        };
        if !(is_discord || (allows_private && is_loopback)) {
            return Err(NoDiscordWebhook);
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(PATIENCE));
        Ok(Self { agent: config.build().into(), url: Secret::new(url.as_str()) })
    }
}

impl Channel for DiscordWebhook {
    fn deliver(&self, notice: &Notice) -> Result<(), Undelivered> {
        let body = message(notice).to_string();
        let sent = self.agent.post(self.url.expose()).header("content-type", "application/json").send(body);
        let answer = sent.map_err(|_| Undelivered::Fault("it did not answer"))?;
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        judge(answer.status().as_u16(), retry_after)
    }
}

/// What an answer means.
fn judge(status: u16, retry_after: Option<&str>) -> Result<(), Undelivered> {
    match status {
        200..=299 => Ok(()),
        429 => Err(Undelivered::Wait(retry_after.and_then(seconds).unwrap_or(USUAL_WAIT))),
        500..=599 => Err(Undelivered::Fault("it answered with a fault of its own")),
        status => Err(Undelivered::Refused(status)),
    }
}

/// Discord gives whole or broken seconds; the wait is never shorter than one.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds.ceil().max(1.0)).ok()
}

fn message(notice: &Notice) -> Value {
    let times = if notice.occurrences == 1 { "once".to_owned() } else { format!("{} times", notice.occurrences) };
    let content = format!(
        "**{}** ({}): {}\nSeen {times}. Alert `{}` of organization `{}`.",
        notice.severity.to_uppercase(),
        escaped(&notice.source),
        escaped(&notice.title),
        notice.alert,
        notice.organization
    );
    json!({"content": content, "allowed_mentions": {"parse": []}})
}

/// Text without any meaning for Discord's Markdown.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()) {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | ';' | '\'' | '%') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_discord_is_called() {
        let is_good = |url: &str, allows| DiscordWebhook::new(&Secret::new(url), allows).is_ok();
        for url in ["https://discord.com/api/webhooks/1/x", "https://discordapp.com/api/webhooks/1/x"] {
            assert!(is_good(url, false), "{url}");
        }
        let table = [
            "",
            "http://discord.com/api/webhooks/1/x",
            "https://discord.com/other",
            "https://discord.com:8443/api/webhooks/1/x",
            "https://me@discord.com/api/webhooks/1/x",
            "https://discord.com.evil.test/api/webhooks/1/x",
            "https://evil.test/discord.com/api/webhooks/",
            "https://10.0.0.1/api/webhooks/1/x",
        ];
        for url in table {
            assert!(!is_good(url, false) && !is_good(url, true), "{url}");
        }
        for url in ["http://127.0.0.1:9/x", "http://[::1]:9/x"] {
            assert!(!is_good(url, false) && is_good(url, true), "{url}");
        }
    }

    #[test]
    fn an_answer_says_when_to_come_again() {
        let wait = |seconds| Err(Undelivered::Wait(Duration::from_secs(seconds)));
        assert_eq!(judge(204, None), Ok(()));
        assert_eq!(judge(429, Some("7")), wait(7));
        assert_eq!(judge(429, Some("0.3")), wait(1));
        for odd in [None, Some("soon"), Some("-1e999"), Some("NaN")] {
            assert!(matches!(judge(429, odd), Err(Undelivered::Wait(_))), "{odd:?}");
        }
        assert!(matches!(judge(503, None), Err(Undelivered::Fault(_))));
        for status in [301, 401, 404] {
            assert_eq!(judge(status, None), Err(Undelivered::Refused(status)));
        }
    }

    #[test]
    fn a_message_mentions_nobody_and_is_no_markup() {
        let notice = Notice {
            alert: uuid::Uuid::nil(),
            organization: uuid::Uuid::nil(),
            severity: "error".into(),
            source: "jobs".into(),
            title: "@everyone [look](http://x) **now**\n".into(),
            occurrences: 3,
        };
        let message = message(&notice);
        assert_eq!(message["allowed_mentions"], json!({"parse": []}));
        let content = message["content"].as_str().unwrap();
        assert!(content.contains(r"\@everyone \[look\]\(http\:\/\/x\) \*\*now\*\*"), "{content}");
        assert!(content.starts_with("**ERROR** (jobs): ") && content.contains("3 times"), "{content}");
    }
}
