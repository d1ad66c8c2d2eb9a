//! The table of this crate as diesel sees it.
#![allow(missing_docs, unreachable_pub)] // the macro's items are the table of the migrations

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

crm_core::org_table!(policies);
