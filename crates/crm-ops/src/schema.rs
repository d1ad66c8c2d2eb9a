//! The tables of this crate as diesel sees them.
#![allow(missing_docs, unreachable_pub)] // the macro's items are the tables of the migrations

diesel::table! {
    webhooks (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        url -> Text,
        description -> Nullable<Text>,
        events -> Array<Text>,
        role -> Text,
        business_unit_id -> Nullable<Uuid>,
        is_active -> Bool,
        disabled_reason -> Nullable<Text>,
        secret_changed_at -> Nullable<Timestamptz>,
        held_at -> Nullable<Timestamptz>,
        secret -> Text,
        old_secret -> Nullable<Text>,
        old_secret_until -> Nullable<Timestamptz>,
        failing_since -> Nullable<Timestamptz>,
        paused_until -> Nullable<Timestamptz>,
        last_delivered_at -> Nullable<Timestamptz>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    webhook_sources (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        is_active -> Bool,
        secret_changed_at -> Nullable<Timestamptz>,
        secret -> Text,
        old_secret -> Nullable<Text>,
        old_secret_until -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    webhook_events (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        direction -> Text,
        webhook_id -> Nullable<Uuid>,
        source_id -> Nullable<Uuid>,
        event_id -> Text,
        event -> Text,
        entity_type -> Nullable<Text>,
        entity_id -> Nullable<Uuid>,
        seq -> Int8,
        status -> Text,
        attempts -> Int4,
        next_attempt_at -> Nullable<Timestamptz>,
        response_status -> Nullable<Int4>,
        response_excerpt -> Nullable<Text>,
        last_error -> Nullable<Text>,
        body -> Nullable<Jsonb>,
        body_digest -> Nullable<Bytea>,
        occurred_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

crm_core::org_table!(webhooks, webhook_sources, webhook_events);
