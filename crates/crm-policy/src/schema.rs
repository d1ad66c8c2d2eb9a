//! The tables of this crate as diesel sees them.
#![allow(missing_docs, unreachable_pub)] // the macro's items are the tables of the migrations

diesel::table! {
    policies (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        role -> Text,
        action -> Text,
        resource -> Text,
        field -> Nullable<Text>,
        effect -> Text,
        condition -> Nullable<Jsonb>,
        is_active -> Bool,
        is_draft -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    approvals (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        action -> Text,
        resource -> Text,
        resource_id -> Nullable<Uuid>,
        resource_version -> Nullable<Int8>,
        changes -> Jsonb,
        request -> Jsonb,
        reason -> Text,
        policy_id -> Text,
        policies -> Jsonb,
        command -> Nullable<Text>,
        status -> Text,
        requested_by -> Uuid,
        api_key_id -> Nullable<Uuid>,
        decided_by -> Nullable<Uuid>,
        decided_at -> Nullable<Timestamptz>,
        change_set_id -> Nullable<Uuid>,
        failure -> Nullable<Text>,
        expires_at -> Timestamptz,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

crm_core::org_table!(policies, approvals);
