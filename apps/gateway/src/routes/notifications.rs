//! What users are told of.
use crm_core::notifications::{self, Notification, NotificationActor, Notifications};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    call::{Call, Reply},
    endpoint::Endpoint,
    reply::Answer,
    schemas,
};

const TAG: &str = "Notifications";

/// A page of notifications.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NotificationPage {
    /// Newest first.
    notifications: Vec<Notification>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
    /// How many you have not read, on whatever page.
    unread_count: i64,
}

/// The endpoints of notifications.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/api/notifications", "listNotifications", list)
            .says(
                TAG,
                "List your notifications",
                "Newest first. What you may not see any more is not among them. Kept for 90 days.",
            )
            .query("unread", &json!({"type": "boolean"}), "Only those that you have not read, or only those that you have.")
            .parameters(schemas::page_parameters())
            .with_schema::<NotificationActor>()
            .answers_plain::<NotificationPage>(200, "One page, and how many are unread."),
        Endpoint::post("/api/notifications/{id}/read", "readNotification", read)
            .says(TAG, "Note that you have read one", "The first time counts.")
            .answers::<Notification>(200, "notification", "The notification."),
        Endpoint::post("/api/notifications/read-all", "readAllNotifications", read_all)
            .says(TAG, "Note that you have read all", "Those that come later are unread again.")
            .answer(
                200,
                "How many you had not read.",
                Some((
                    "application/json",
                    json!({"type": "object", "required": ["readCount"], "properties": {"readCount": {"type": "integer"}}}),
                )),
            ),
    ]
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let Notifications { page, unread_count } = notifications::list(tx, &request.query()?)?;
        Answer::json(&NotificationPage { notifications: page.items, next_cursor: page.next_cursor, unread_count })
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| Answer::one("notification", &notifications::read(tx, request.id()?)?))
}

fn read_all(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, _| Answer::one("readCount", &notifications::read_all(tx)?))
}
