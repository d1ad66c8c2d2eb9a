DROP TABLE import_rows, import_files, imports, queue_jobs, field_history, saved_views, tasks, activities,
    win_loss_reviews, deal_stage_visits, deals, leads, contacts, companies, reason_codes, custom_fields,
    business_unit_members, business_units, stages, pipelines, api_keys, refresh_tokens, sessions, users,
    login_attempts, login_directory, organizations;
