//! The people of the organization, and the keys of their programs.
use crm_core::{
    Record,
    api_keys::{self, ApiKey},
    users::{self, User},
};
use serde_json::{Value, json};

use super::resource::Resource;
use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const KEYS: &str = "/api/api-keys";
const KEY: &str = "/api/api-keys/{id}";

/// The endpoints of users and API keys.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let people = Resource::<User> {
        writes: Access::Admin,
        create: users::create,
        update: users::update,
        ..Resource::plain("/api/users", "/api/users/{id}", "Configuration", "a user")
    };
    let mut create = people.create();
    if let Some(body) = create.schemas.get_mut("UserCreate") {
        body["properties"]["password"] =
            json!({"type": "string", "format": "password", "minLength": 12, "maxLength": 128});
        body["required"] = json!(["email", "name", "role", "password"]);
    }
    let keys = Resource::<ApiKey> {
        deletes: Access::User,
        delete: api_keys::delete,
        ..Resource::plain(KEYS, KEY, "Configuration", "an API key")
    };
    let mut new_key = schemas::creation::<ApiKey>();
    new_key["required"] = json!(["name", "scopes"]);
    vec![
        people.list(),
        create,
        people.read(),
        people.update(),
        Endpoint::get(KEYS, "listApiKeys", list_keys)
            .says("Configuration", "List API keys", "Your own; an ADMIN sees everybody's.")
            .parameters(schemas::list_parameters::<ApiKey>())
            .lists::<ApiKey>(&ApiKey::plural(), "One page."),
        Endpoint::post(KEYS, "createApiKey", create_key)
            .says(
                "Configuration",
                "Make an API key",
                "It acts in your name, never above your rights. `key` is shown this once.",
            )
            .named_schema("ApiKeyCreate", new_key)
            .body("application/json", &schemas::reference("ApiKeyCreate"))
            .example(&json!({"name": "Nightly export", "scopes": ["read"]}))
            .answers::<ApiKey>(201, "apiKey", "What was made, with its `key`."),
        Endpoint::get(KEY, "readApiKey", |call: Call| {
            call.read(|tx, request| {
                request.parameters([])?;
                Answer::record(&api_keys::read(tx, request.id()?)?, tx)
            })
        })
        .says("Configuration", "Read an API key", "Without its secret, which was shown once.")
        .answers::<ApiKey>(200, &ApiKey::envelope(), "The key as it stands."),
        keys.delete(),
    ]
}

fn list_keys(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&api_keys::list(tx, request.query()?)?, tx))
}

fn create_key(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let (key, secret) = api_keys::create(tx, request.patch()?)?;
        let mut shown = serde_json::to_value(&key).map_err(|e| crm_core::Error::Internal(Box::new(e)))?;
        shown["key"] = Value::from(secret.expose());
        Ok(Answer::one("apiKey", &shown)?.version(key.version).created(format!("{KEYS}/{}", key.id)))
    })
}
