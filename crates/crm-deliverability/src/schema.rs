//! The tables of this crate as diesel sees them.
#![allow(missing_docs, unreachable_pub)] // the macro's items are the tables of the migrations

diesel::table! {
    suppressions (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        email -> Text,
        reason -> Text,
        note -> Nullable<Text>,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

crm_core::org_table!(suppressions);
