//! Signing in and out.
use std::sync::Arc;

use actix_web::http::header;
use crm_core::{
    Error,
    sessions::{self, Grant, LoginRequest, PasswordChange, Session, SignedIn, SignedInUser, tokens::Secret},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    call::{Call, Reply, refuse},
    console,
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "Signing in";

/// Who wants to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    #[schema(example = "admin@demo.heimdell.test")]
    email: String,
    #[schema(value_type = String, format = Password, example = "heimdell-demo")]
    password: Secret,
}

/// What a refresh token is exchanged with.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refresh {
    #[schema(value_type = String)]
    refresh_token: Secret,
}

/// One password for another.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewPassword {
    #[schema(value_type = String, format = Password)]
    current_password: Secret,
    /// 12 to 128 characters, and not one that everybody knows.
    #[schema(value_type = String, format = Password)]
    new_password: Secret,
}

/// What somebody who has signed in goes on with.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Tokens<'t> {
    /// Sent as `Authorization: Bearer …`.
    #[schema(value_type = String)]
    access_token: &'t str,
    /// Always `Bearer`.
    token_type: &'t str,
    /// Seconds for which the access token is good.
    expires_in: i64,
    /// Good once, for the next pair.
    #[schema(value_type = String)]
    refresh_token: &'t str,
    /// Who signed in.
    user: &'t SignedInUser,
}

/// The endpoints of signing in.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = "Under `X-Heimdell-Console: 1` the answer carries no tokens but sets the console's cookie. Too many \
                 failures are answered with 429, from this client alone.";
    vec![
        Endpoint::post("/api/auth/login", "login", login)
            .says(TAG, "Sign in", words)
            .access(Access::Public)
            .takes::<Login>()
            .answers_plain::<Tokens<'_>>(200, "Who signed in, and their tokens."),
        Endpoint::post("/api/auth/refresh", "refresh", refresh)
            .says(
                TAG,
                "Get the next pair of tokens",
                "Each refresh token is good once; a second use ends the whole session.",
            )
            .access(Access::Public)
            .takes::<Refresh>()
            .answers_plain::<Tokens<'_>>(200, "The next pair."),
        Endpoint::post("/api/auth/logout", "logout", logout)
            .says(TAG, "Sign out", "The session and its tokens end at once.")
            .answers_nothing("The session has ended."),
        Endpoint::get("/api/auth/me", "readMe", me)
            .says(TAG, "Who am I?", "The user that the request acts for.")
            .answers::<SignedInUser>(200, "user", "You."),
        Endpoint::get("/api/auth/sessions", "listSessions", list)
            .says(TAG, "List your sessions", "Newest first.")
            .answer(
                200,
                "Your sessions.",
                Some((
                    "application/json",
                    json!({"type": "object", "required": ["sessions"],
                "properties": {"sessions": {"type": "array", "items": schemas::reference("Session")}}}),
                )),
            )
            .with_schema::<Session>(),
        Endpoint::delete("/api/auth/sessions/{id}", "endSession", end)
            .says(TAG, "End one of your sessions", "Its tokens end at once.")
            .answers_nothing("It has ended."),
        Endpoint::post("/api/auth/password", "changePassword", change_password)
            .says(
                TAG,
                "Change your password",
                "Ends all your sessions, this one included, and your API keys: sign in again with the new one.",
            )
            .without_idempotency_key()
            .takes::<NewPassword>()
            .answers_nothing("It is changed."),
    ]
}

/// A password hash takes a core for 25 ms: as many at a time as there are cores, the others wait their turn.
async fn hashing(call: Call, work: impl FnOnce(Call) -> std::pin::Pin<Box<dyn Future<Output = Reply>>>) -> Reply {
    let hashes = Arc::clone(&call.app().hashes);
    match hashes.acquire().await {
        Ok(_permit) => work(call).await,
        Err(_) => refuse(Error::Unavailable("the program is stopping".into()), "unknown"),
    }
}

async fn login(call: Call) -> Reply {
    hashing(call, |call| {
        Box::pin(call.open(|app, caller, request| {
            request.attempt.pass_over()?;
            let Login { email, password } = request.json()?;
            let login = LoginRequest {
                email,
                password,
                address: request.address.clone(),
                user_agent: request.user_agent.clone(),
                is_console: request.is_console,
                now: caller.now,
            };
            granted(&sessions::login(&app.door, &login)?)
        }))
    })
    .await
}

fn granted(signed_in: &SignedIn) -> crm_core::Result<Answer> {
    match &signed_in.grant {
        Grant::Tokens { access, refresh, expires_in } => Answer::json(&Tokens {
            access_token: access.expose(),
            token_type: "Bearer",
            expires_in: *expires_in,
            refresh_token: refresh.expose(),
            user: &signed_in.user,
        }),
        Grant::Console { cookie, max_age } => Ok(Answer::one("user", &signed_in.user)?
            .header(header::SET_COOKIE, console::cookie(cookie.expose(), *max_age))),
    }
}

fn refresh(call: Call) -> impl Future<Output = Reply> {
    call.open(|app, caller, request| {
        request.attempt.pass_over()?;
        let Refresh { refresh_token } = request.json()?;
        granted(&sessions::refresh(&app.door, &refresh_token, caller.now)?)
    })
}

fn logout(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, _| {
        sessions::logout(tx)?;
        Ok(Answer::nothing().header(header::SET_COOKIE, console::cookie("", 0)))
    })
}

fn me(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("user", &sessions::me(tx)?)
    })
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("sessions", &sessions::list(tx)?)
    })
}

fn end(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        sessions::end(tx, request.id()?)?;
        Ok(Answer::nothing())
    })
}

async fn change_password(call: Call) -> Reply {
    hashing(call, |call| {
        Box::pin(call.run(|app, caller, request| {
            app.door.read(caller, |_| Ok(()))?;
            request.attempt.pass_over()?;
            let NewPassword { current_password, new_password } = request.json()?;
            let change =
                PasswordChange { current: current_password, new: new_password, address: request.address.clone() };
            sessions::change_password(&app.door, caller, &change)?;
            Ok(Answer::nothing().header(header::SET_COOKIE, console::cookie("", 0)))
        }))
    })
    .await
}
