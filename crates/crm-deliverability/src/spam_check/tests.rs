//! Each rule alone, the caps, the bands, and that nothing a person may type breaks the check.

use super::*;
use proptest::prelude::*;

const CLEAN: Draft<'static> = Draft {
    subject: "Notes from our call on Tuesday",
    body_markdown: "Hello Ada,\n\nas agreed, [the offer](https://example.com/offer).\n\nGrace",
    attachments: &["offer.pdf"],
    has_text_part: true,
    is_reply: false,
    is_bulk: false,
    has_unsubscribe: false,
    authentication: Authentication { spf_fails: false, dkim_fails: false, dmarc_fails: false },
};

fn body(body_markdown: &str) -> Draft<'_> {
    Draft { body_markdown, ..CLEAN }
}

fn subject(subject: &str) -> Draft<'_> {
    Draft { subject, ..CLEAN }
}

fn rules_of(draft: &Draft<'_>) -> Vec<(Rule, String)> {
    check(draft).findings.into_iter().map(|finding| (finding.rule, finding.points.to_string())).collect()
}

#[test]
fn a_plain_message_has_no_findings() {
    let report = check(&CLEAN);
    assert_eq!((report.score, report.verdict, report.findings), (Points::tenths(0), Risk::Low, vec![]));
}

#[test]
fn each_rule_finds_its_case_alone() {
    let authentication = |spf_fails, dkim_fails, dmarc_fails| Draft {
        authentication: Authentication { spf_fails, dkim_fails, dmarc_fails },
        ..CLEAN
    };
    let table = [
        (body("Hello {{ first_name }},"), Rule::UnresolvedMergeTag, "3.0"),
        (subject("An offer for *|COMPANY|*"), Rule::UnresolvedMergeTag, "3.0"),
        (Draft { attachments: &["a.pdf", "Invoice.PDF.exe"], ..CLEAN }, Rule::DangerousAttachment, "3.0"),
        (body("[www.bank.example](https://evil.test/login)"), Rule::LinkTextMismatch, "2.5"),
        (body("[https://bank.example/a](https://bank.example.evil.test/a)"), Rule::LinkTextMismatch, "2.5"),
        (authentication(true, false, false), Rule::SpfFails, "2.0"),
        (authentication(false, true, false), Rule::DkimFails, "2.0"),
        (authentication(false, false, true), Rule::DmarcFails, "2.0"),
        (Draft { is_bulk: true, ..CLEAN }, Rule::BulkWithoutUnsubscribe, "2.0"),
        (subject(" \t"), Rule::EmptySubject, "1.8"),
        (body("See https://bit.ly/abc."), Rule::Shortener, "1.5"),
        (subject("Fwd: Notes"), Rule::FakeReply, "1.5"),
        (body("A pass\u{200B}word"), Rule::HiddenText, "1.5"),
        (body("A <span style=\"display: none\">word</span>"), Rule::HiddenText, "1.5"),
        (body("![An offer](https://example.com/a.png)"), Rule::ImageWithLittleText, "1.2"),
        (body("[here](https://2130706433/a)"), Rule::IpAddressLink, "1.2"),
        (body("This is risk\n**fr**ee."), Rule::Phrase, "0.6"),
        (body("[here](http://example.com)"), Rule::HttpLink, "0.5"),
        (subject("OUR OFFER, AGAIN"), Rule::AllCapsSubject, "0.5"),
        (body("Good news! Really! Yes!"), Rule::ExclamationMarks, "0.5"),
        (Draft { has_text_part: false, ..CLEAN }, Rule::NoTextPart, "0.5"),
        (body("<https://a.test> <https://b.test> <https://c.test> <https://d.test>"), Rule::ManyLinks, "0.3"),
    ];
    for (draft, rule, points) in table {
        assert_eq!(rules_of(&draft), [(rule, points.to_owned())], "{draft:?}");
    }
}

#[test]
fn near_misses_are_no_findings() {
    let table = [
        body("[www.example.com](https://example.com/a) and [example.com](https://news.example.com)"),
        body("[Version 2.0](https://example.com), [e.g.](https://example.com), [a@b.test](mailto:a@b.test)"),
        body("The winners' names are not guaranteedly right {} {{}} 5 %% 6"),
        body("\u{645}\u{6CC}\u{200C}\u{62E}\u{648}\u{627}\u{647}\u{645}"),
        body("A family: \u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}"),
        subject("RFC 8058 & IMAP"),
        subject("Regarding: our call"),
        Draft { is_reply: true, ..subject("Re: our call") },
        Draft { is_bulk: true, has_unsubscribe: true, ..CLEAN },
        Draft { attachments: &["zip", "archive.zip.pdf"], ..CLEAN },
    ];
    for draft in table {
        assert_eq!(rules_of(&draft), [], "{draft:?}");
    }
}

#[test]
fn points_add_up_to_the_band() {
    let shouting = Draft { body_markdown: "Read [this](https://bit.ly/x).", ..subject("RE: GUARANTEED OFFER!!!") };
    let report = check(&shouting);
    let expected = [
        (Rule::Shortener, "1.5"),
        (Rule::FakeReply, "1.5"),
        (Rule::Phrase, "0.6"),
        (Rule::AllCapsSubject, "0.5"),
        (Rule::ExclamationMarks, "0.5"),
    ];
    assert_eq!(rules_of(&shouting), expected.map(|(rule, points)| (rule, points.to_owned())));
    assert_eq!((report.score.to_string().as_str(), report.verdict), ("4.6", Risk::Medium));
    let bands = [(19, Risk::Low), (20, Risk::Medium), (49, Risk::Medium), (50, Risk::High)];
    for (tenths, risk) in bands {
        assert_eq!(Risk::of(Points::tenths(tenths)), risk);
    }
}

#[test]
fn repeated_rules_are_capped() {
    let phrases = body("Act now, click here, earn money, guaranteed, winner");
    assert_eq!(check(&phrases).score, Points::tenths(18));
    let links = (0..20).map(|n| format!("https://host{n}.test/ ")).collect::<String>();
    assert_eq!(rules_of(&body(&links)), [(Rule::ManyLinks, "1.5".to_owned())]);
}

#[test]
fn only_an_unresolved_merge_tag_blocks() {
    assert!(check(&body("Dear ${name}")).blocks_sending);
    let worst = Draft { is_bulk: true, has_text_part: false, attachments: &["a.exe"], ..subject("") };
    assert_eq!(check(&worst).verdict, Risk::High);
    assert!(!check(&worst).blocks_sending);
}

#[test]
fn the_report_reads_as_the_api_says() {
    let report = serde_json::to_value(check(&body("Your pass\u{202E}word"))).unwrap();
    let expected = serde_json::json!({
        "score": 1.5, "verdict": "low", "blocksSending": false,
        "findings": [{
            "rule": "hidden_text", "points": 1.5, "message": "Text is hidden from the reader.",
            "excerpt": "Your pass[U+202E]word", "fix": "Remove invisible characters and styles that hide text.",
        }],
    });
    assert_eq!(report.to_string(), expected.to_string());
}

proptest! {
    #[test]
    fn any_text_is_checked(subject in any::<String>(), body in "(\\PC|[<>\\[\\]()!{}%*|$&;:/\n]){0,200}") {
        let report = check(&Draft { subject: &subject, body_markdown: &body, ..CLEAN });
        prop_assert_eq!(report.score, report.findings.iter().map(|finding| finding.points).sum());
        prop_assert!(report.findings.is_sorted_by_key(|finding| finding.rule));
    }
}
