//! The tables of this crate as diesel sees them. A test compares it with the migrated database.
#![allow(missing_docs, unreachable_pub)] // the macro's items are the tables of the migrations

diesel::table! {
    organizations (id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        timezone -> Text,
        base_currency -> Text,
        require_win_loss_review -> Bool,
        policy_version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    login_directory (email_key) {
        email_key -> Text,
        organization_id -> Uuid,
        user_id -> Uuid,
    }
}

diesel::table! {
    login_attempts (bucket) {
        bucket -> Text,
        failures -> Int4,
        window_started_at -> Timestamptz,
        blocked_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    users (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        email -> Text,
        name -> Text,
        role -> Text,
        is_active -> Bool,
        password_hash -> Text,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    sessions (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        user_id -> Uuid,
        access_hash -> Bytea,
        access_expires_at -> Timestamptz,
        expires_at -> Timestamptz,
        is_console -> Bool,
        user_agent -> Text,
        address -> Text,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
    }
}

diesel::table! {
    refresh_tokens (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        session_id -> Uuid,
        hash -> Bytea,
        used_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    api_keys (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        user_id -> Uuid,
        name -> Text,
        scopes -> Array<Text>,
        hash -> Bytea,
        hint -> Text,
        expires_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    pipelines (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        is_default -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    stages (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        pipeline_id -> Uuid,
        name -> Text,
        position -> Int4,
        probability -> Nullable<Numeric>,
        kind -> Text,
        rotten_after_days -> Nullable<Int4>,
        max_days_in_stage -> Nullable<Int4>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    business_units (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        slug -> Text,
        timezone -> Text,
        country -> Nullable<Text>,
        default_pipeline_id -> Nullable<Uuid>,
        default_email_identity_id -> Nullable<Uuid>,
        default_phone -> Nullable<Text>,
        is_active -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    business_unit_members (organization_id, user_id, business_unit_id) {
        organization_id -> Uuid,
        user_id -> Uuid,
        business_unit_id -> Uuid,
    }
}

diesel::table! {
    custom_fields (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        entity_type -> Text,
        key -> Text,
        label -> Text,
        #[sql_name = "type"]
        type_ -> Text,
        options -> Array<Text>,
        required -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    reason_codes (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        outcome -> Text,
        code -> Text,
        label -> Text,
        position -> Int4,
        is_active -> Bool,
        entity_type -> Nullable<Text>,
        field_name -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    reason_rules (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        entity_type -> Text,
        field_name -> Nullable<Text>,
        condition -> Jsonb,
        is_required -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    companies (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        name -> Text,
        domain -> Nullable<Text>,
        industry -> Nullable<Text>,
        employees -> Nullable<Int4>,
        annual_revenue -> Nullable<Numeric>,
        country -> Nullable<Text>,
        city -> Nullable<Text>,
        owner_id -> Nullable<Uuid>,
        parent_company_id -> Nullable<Uuid>,
        external_id -> Nullable<Text>,
        tags -> Array<Text>,
        custom_fields -> Jsonb,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    contacts (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        first_name -> Nullable<Text>,
        last_name -> Nullable<Text>,
        email -> Nullable<Text>,
        phone -> Nullable<Text>,
        job_title -> Nullable<Text>,
        company_id -> Nullable<Uuid>,
        owner_id -> Nullable<Uuid>,
        do_not_contact -> Bool,
        external_id -> Nullable<Text>,
        tags -> Array<Text>,
        custom_fields -> Jsonb,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    leads (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        first_name -> Nullable<Text>,
        last_name -> Nullable<Text>,
        email -> Nullable<Text>,
        phone -> Nullable<Text>,
        company_name -> Nullable<Text>,
        job_title -> Nullable<Text>,
        source -> Nullable<Text>,
        status -> Text,
        score -> Nullable<Int4>,
        owner_id -> Nullable<Uuid>,
        do_not_contact -> Bool,
        last_activity_at -> Nullable<Timestamptz>,
        converted_at -> Nullable<Timestamptz>,
        converted_company_id -> Nullable<Uuid>,
        converted_contact_id -> Nullable<Uuid>,
        converted_deal_id -> Nullable<Uuid>,
        external_id -> Nullable<Text>,
        tags -> Array<Text>,
        custom_fields -> Jsonb,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    deals (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        title -> Text,
        value -> Nullable<Numeric>,
        currency -> Text,
        pipeline_id -> Uuid,
        stage_id -> Uuid,
        status -> Text,
        company_id -> Nullable<Uuid>,
        contact_id -> Nullable<Uuid>,
        lead_id -> Nullable<Uuid>,
        owner_id -> Nullable<Uuid>,
        expected_close_date -> Nullable<Date>,
        closed_at -> Nullable<Timestamptz>,
        probability -> Nullable<Numeric>,
        last_activity_at -> Nullable<Timestamptz>,
        stale_snoozed_until -> Nullable<Timestamptz>,
        stage_entered_at -> Timestamptz,
        episode -> Int4,
        external_id -> Nullable<Text>,
        tags -> Array<Text>,
        custom_fields -> Jsonb,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    exchange_rates (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        from_currency -> Text,
        to_currency -> Text,
        effective_on -> Date,
        rate -> Numeric,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    deal_stage_visits (organization_id, deal_id, visit) {
        organization_id -> Uuid,
        deal_id -> Uuid,
        visit -> Int4,
        episode -> Int4,
        pipeline_id -> Uuid,
        stage_id -> Uuid,
        entered_at -> Timestamptz,
        left_at -> Nullable<Timestamptz>,
        entered_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    deal_intel (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        decision_maker -> Nullable<Text>,
        key_pain_points -> Array<Text>,
        objections -> Array<Text>,
        what_worked -> Nullable<Text>,
        what_failed -> Nullable<Text>,
        competitors -> Array<Text>,
        pricing_notes -> Nullable<Text>,
        next_step_commitment -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    win_loss_reviews (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        deal_id -> Uuid,
        episode -> Int4,
        outcome -> Text,
        primary_reason_code -> Text,
        notes -> Nullable<Text>,
        learned -> Nullable<Text>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        superseded_at -> Nullable<Timestamptz>,
        supersedes_id -> Nullable<Uuid>,
        superseded_by_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    activities (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        #[sql_name = "type"]
        type_ -> Text,
        direction -> Nullable<Text>,
        subject -> Nullable<Text>,
        body -> Nullable<Text>,
        occurred_at -> Timestamptz,
        duration_minutes -> Nullable<Int4>,
        user_id -> Nullable<Uuid>,
        lead_id -> Nullable<Uuid>,
        deal_id -> Nullable<Uuid>,
        company_id -> Nullable<Uuid>,
        contact_id -> Nullable<Uuid>,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    tasks (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        business_unit_id -> Nullable<Uuid>,
        title -> Text,
        description -> Nullable<Text>,
        due_at -> Nullable<Timestamptz>,
        priority -> Text,
        status -> Text,
        assignee_id -> Nullable<Uuid>,
        completed_at -> Nullable<Timestamptz>,
        lead_id -> Nullable<Uuid>,
        deal_id -> Nullable<Uuid>,
        company_id -> Nullable<Uuid>,
        contact_id -> Nullable<Uuid>,
        search_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    saved_views (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        owner_id -> Uuid,
        entity_type -> Text,
        name -> Text,
        filters -> Jsonb,
        sort -> Nullable<Text>,
        #[sql_name = "columns"]
        view_columns -> Array<Text>,
        is_shared -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    field_history (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        entity_type -> Text,
        entity_id -> Uuid,
        entity_version -> Int8,
        field_name -> Text,
        old_value -> Nullable<Jsonb>,
        new_value -> Nullable<Jsonb>,
        actor -> Text,
        changed_by -> Nullable<Uuid>,
        reason_code -> Nullable<Text>,
        note -> Nullable<Text>,
        request_id -> Text,
        change_set_id -> Uuid,
        changed_at -> Timestamptz,
        seq -> Int8,
        old_label -> Nullable<Text>,
        new_label -> Nullable<Text>,
        old_salt -> Nullable<Bytea>,
        new_salt -> Nullable<Bytea>,
        words_salt -> Nullable<Bytea>,
        old_digest -> Bytea,
        new_digest -> Bytea,
        words_digest -> Nullable<Bytea>,
        hash -> Bytea,
    }
}

diesel::table! {
    history_heads (organization_id) {
        organization_id -> Uuid,
        seq -> Int8,
        hash -> Bytea,
        sealed_at -> Timestamptz,
    }
}

diesel::table! {
    domain_events (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        written_at -> Timestamptz,
        seq -> Nullable<Int8>,
        kind -> Text,
        entity_type -> Text,
        entity_id -> Uuid,
        entity_version -> Int8,
        business_unit_id -> Nullable<Uuid>,
        changed_fields -> Array<Text>,
        details -> Nullable<Jsonb>,
        actor -> Text,
        actor_user_id -> Nullable<Uuid>,
        change_set_id -> Uuid,
        occurred_at -> Timestamptz,
    }
}

diesel::table! {
    domain_event_heads (organization_id) {
        organization_id -> Uuid,
        seq -> Int8,
        dispatched_seq -> Int8,
        is_followed -> Bool,
    }
}

diesel::table! {
    alerts (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        fingerprint -> Text,
        severity -> Text,
        source -> Text,
        title -> Text,
        message -> Text,
        is_manual -> Bool,
        occurrences -> Int4,
        last_seen_at -> Timestamptz,
        acknowledged_at -> Nullable<Timestamptz>,
        acknowledged_by -> Nullable<Uuid>,
        resolved_at -> Nullable<Timestamptz>,
        notified_at -> Nullable<Timestamptz>,
        status -> Text,
        acknowledged -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
        shown_fingerprint -> Text,
    }
}

diesel::table! {
    queue_jobs (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        queue -> Text,
        kind -> Text,
        payload -> Jsonb,
        status -> Text,
        priority -> Int4,
        run_at -> Timestamptz,
        attempts -> Int4,
        max_attempts -> Int4,
        lease_token -> Nullable<Uuid>,
        lease_until -> Nullable<Timestamptz>,
        unique_key -> Nullable<Text>,
        last_error -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        version -> Int8,
        traceparent -> Nullable<Text>,
    }
}

diesel::table! {
    imports (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        entity_type -> Text,
        file_name -> Text,
        mapping -> Jsonb,
        options -> Jsonb,
        status -> Text,
        dry_run -> Bool,
        rows_total -> Int4,
        rows_done -> Int4,
        created -> Int4,
        updated -> Int4,
        skipped -> Int4,
        waiting -> Int4,
        failed -> Int4,
        reverted -> Int4,
        kept -> Int4,
        error -> Nullable<Text>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        version -> Int8,
        warnings -> Int4,
    }
}

diesel::table! {
    notifications (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        user_id -> Uuid,
        kind -> Text,
        entity_type -> Text,
        entity_id -> Nullable<Uuid>,
        entities_count -> Int4,
        body -> Nullable<Text>,
        actor_id -> Nullable<Uuid>,
        change_set_id -> Uuid,
        created_at -> Timestamptz,
        read_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    import_files (organization_id, import_id) {
        organization_id -> Uuid,
        import_id -> Uuid,
        content -> Bytea,
    }
}

diesel::table! {
    import_rows (organization_id, import_id, row_number) {
        organization_id -> Uuid,
        import_id -> Uuid,
        row_number -> Int4,
        outcome -> Text,
        fingerprint -> Bytea,
        entity_type -> Text,
        entity_id -> Nullable<Uuid>,
        version_after -> Nullable<Int8>,
        errors -> Nullable<Jsonb>,
        warnings -> Nullable<Jsonb>,
        approval_id -> Nullable<Uuid>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    organizations,
    login_directory,
    login_attempts,
    users,
    sessions,
    refresh_tokens,
    api_keys,
    pipelines,
    stages,
    business_units,
    business_unit_members,
    custom_fields,
    reason_codes,
    reason_rules,
    exchange_rates,
    companies,
    contacts,
    leads,
    deals,
    deal_stage_visits,
    deal_intel,
    win_loss_reviews,
    activities,
    tasks,
    saved_views,
    field_history,
    history_heads,
    domain_events,
    domain_event_heads,
    queue_jobs,
    imports,
    import_files,
    import_rows,
);

crate::org_table!(
    alerts,
    organizations,
    users,
    sessions,
    refresh_tokens,
    api_keys,
    pipelines,
    stages,
    business_units,
    business_unit_members,
    custom_fields,
    reason_codes,
    reason_rules,
    exchange_rates,
    companies,
    contacts,
    leads,
    deals,
    deal_stage_visits,
    deal_intel,
    win_loss_reviews,
    activities,
    tasks,
    saved_views,
    field_history,
    history_heads,
    domain_events,
    domain_event_heads,
    queue_jobs,
    imports,
    import_files,
    import_rows,
    notifications
);
