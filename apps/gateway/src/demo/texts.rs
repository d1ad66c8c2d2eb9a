//! What people write: notes of calls, mails and meetings, tasks, and why deals move, close and come back.
//! `{person}` and `{company}` stand for whom it is about.

/// Something that was done, in a line and in some more words, and how long it may have taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) kind: &'static str,
    pub(super) subject: &'static str,
    pub(super) body: &'static str,
    pub(super) minutes: &'static [u32],
}

const fn note(kind: &'static str, subject: &'static str, body: &'static str, minutes: &'static [u32]) -> Note {
    Note { kind, subject, body, minutes }
}

const CALL: &[u32] = &[5, 10, 15, 20, 30];
const MEETING: &[u32] = &[30, 45, 60, 90];
const NONE: &[u32] = &[];

/// First contact with a lead.
pub(super) const FIRST_CONTACT: [Note; 6] = [
    note(
        "call",
        "First call with {person}",
        "Introduced ourselves. {person} asked for a short overview by mail.",
        CALL,
    ),
    note("call", "Left a message for {person}", "Voicemail. Will try again in the morning.", &[1, 2]),
    note("email", "Hello from us", "Short introduction and two references from the same industry.", NONE),
    note("email", "Your question", "Answered the question from the form and offered three slots for a call.", NONE),
    note("call", "Call with {company}", "Reached the switchboard, {person} is the right contact for this.", CALL),
    note("note", "Where they come from", "Saw our talk and compares three suppliers at the moment.", NONE),
];

/// What buyers ask.
pub(super) const QUESTIONS: [&str; 4] = [
    "{person} asks for a reference in their industry",
    "{person} asks whether the price holds until next month",
    "{person} asks who would be on site for the start",
    "{company} asks for the terms of cancellation",
];

/// Work on a deal, by how far it is.
pub(super) const WORK: [&[Note]; 4] = [
    &[
        note(
            "call",
            "Need and budget with {person}",
            "Budget exists for this year, decision with the head of operations.",
            CALL,
        ),
        note("email", "Summary of our call", "Sent what we understood and asked {person} to correct it.", NONE),
        note(
            "meeting",
            "Introduction at {company}",
            "Three people in the room. Main worry is the effort of the change.",
            MEETING,
        ),
        note(
            "note",
            "Current solution",
            "They work with spreadsheets and an old tool that is no longer maintained.",
            NONE,
        ),
    ],
    &[
        note(
            "meeting",
            "Workshop with {company}",
            "Went through their process step by step. Two gaps, both solvable.",
            MEETING,
        ),
        note(
            "call",
            "Questions of {person}",
            "Mostly about data protection and the hand-over from the current supplier.",
            CALL,
        ),
        note("email", "Reference for {company}", "Introduced {person} to a customer of similar size.", NONE),
        note("note", "Who decides", "Finance has to sign above 25,000. {person} supports us.", NONE),
        note("other", "Site visit", "Looked at two of four lines. Photos are in the shared folder.", &[120, 180]),
    ],
    &[
        note("email", "Our proposal", "Proposal with two options sent to {person}, valid for 30 days.", NONE),
        note("call", "First reaction to the proposal", "Option B fits. They want another payment plan.", CALL),
        note("meeting", "Walk through the proposal", "Finance asked for a cap on the yearly increase.", MEETING),
        note("note", "Competition", "A second offer is on the table, cheaper but without support on site.", NONE),
    ],
    &[
        note("call", "Contract details with {person}", "Two clauses left, both about liability.", CALL),
        note("email", "Revised contract", "Sent the contract with the changes agreed on the phone.", NONE),
        note(
            "meeting",
            "Negotiation with {company}",
            "Agreed on price. Start date depends on their works council.",
            MEETING,
        ),
        note("note", "Signature", "{person} says that the board signs on the second Tuesday of the month.", NONE),
    ],
];

/// What is to be done about a deal, by how far it is.
pub(super) const TASKS: [&[&str]; 4] = [
    &["Find out who decides", "Send the overview to {person}", "Prepare the first meeting"],
    &["Write up the workshop", "Answer the security questionnaire", "Arrange a reference call for {person}"],
    &["Send the proposal", "Follow up on the proposal", "Calculate the second option"],
    &["Send the revised contract", "Clear the payment terms", "Get the purchase order from {company}"],
];

/// What is to be done about a lead.
pub(super) const LEAD_TASKS: [&str; 4] =
    ["Call {person} back", "Send case study to {person}", "Check whether {company} fits", "Ask for a better time"];

/// Why a close date is moved: a code of the list of changes, and a note.
pub(super) const PUSHES: [(&str, &str); 7] = [
    ("customer_request", "Their budget round was moved."),
    ("customer_request", "{person} is on leave until the end of the month."),
    ("customer_request", "They want to finish the stock-taking first."),
    ("regressed", "A new decision maker joined and starts over."),
    ("regressed", "Legal needs longer than they said."),
    ("correction", "The date was a guess of ours."),
    ("other", "No answer for two weeks."),
];

/// Why a value changes once a proposal is made.
pub(super) const REVALUATIONS: [(&str, &str); 5] = [
    ("customer_request", "One site less in the first step."),
    ("customer_request", "They want the support package too."),
    ("progressed", "Scope is clear after the workshop."),
    ("correction", "Discount for the longer term included."),
    ("progressed", "More seats than first thought."),
];

/// Why a deal moves on.
pub(super) const PROGRESS: [&str; 5] =
    ["", "", "{person} confirmed by phone.", "Agreed in the meeting.", "They asked for the next step themselves."];

/// Why a deal moves back.
pub(super) const SETBACKS: [&str; 3] = [
    "Requirements changed after an internal review.",
    "{person} left the project.",
    "They want to see the product again.",
];

/// Why a lost deal comes back.
pub(super) const COMEBACKS: [&str; 3] = [
    "The other supplier could not deliver. {person} called.",
    "New budget from next quarter on.",
    "They asked whether our offer still stands.",
];

/// A reason of winning or losing: its code, its weight, what happened and what was learned.
pub(super) type Reason = (&'static str, f64, &'static [&'static str], &'static [&'static str]);

/// Why deals are won.
pub(super) const WON: [Reason; 5] = [
    (
        "best_fit",
        36.0,
        &["Closest to their process.", "The workshop convinced them.", "They liked the trial."],
        &["Show their own data early.", "Bring an engineer to the second meeting."],
    ),
    (
        "relationship",
        24.0,
        &["{person} knew us from an earlier project.", "Trust from the first delivery."],
        &["Call customers twice a year even without a reason.", ""],
    ),
    (
        "best_price",
        22.0,
        &["Cheapest over three years.", "The bundle decided it."],
        &["Show the total over the term.", ""],
    ),
    (
        "timing",
        12.0,
        &["Their old contract ended this month.", "An audit forced a decision."],
        &["Ask for the end of the current contract.", ""],
    ),
    ("other", 6.0, &["The board of the group decided for all sites."], &[""]),
];

/// Why deals are lost.
pub(super) const LOST: [Reason; 7] = [
    (
        "price",
        24.0,
        &["Too expensive against the cheaper offer.", "Over their limit by a third."],
        &["Ask for the limit before the proposal.", "Offer a smaller first step."],
    ),
    (
        "competitor",
        20.0,
        &["Stayed with the supplier of the group.", "The other side was earlier in the building."],
        &["Find out in the first call who else is asked.", ""],
    ),
    (
        "no_decision",
        20.0,
        &["Project put on hold.", "No answer any more.", "They go on with spreadsheets."],
        &["Agree on the next step in each meeting.", "Involve the decision maker earlier."],
    ),
    (
        "no_budget",
        14.0,
        &["Budget cut for the year.", "Investment stopped by the group."],
        &["Qualify the budget before the workshop.", ""],
    ),
    ("timing", 10.0, &["Not before next year.", "Another project goes first."], &["Keep in touch each quarter.", ""]),
    (
        "missing_feature",
        8.0,
        &["They need an interface that we do not have.", "No support for their language."],
        &["Told product management.", ""],
    ),
    ("other", 4.0, &["{company} was taken over in the middle of it."], &[""]),
];

/// Puts a person and a company into a text.
pub(super) fn about(text: &str, person: &str, company: &str) -> String {
    text.replace("{person}", person).replace("{company}", company)
}
