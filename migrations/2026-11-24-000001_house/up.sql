-- The house: organizations, people, business units, pipelines, and the records that sales teams work on.
--
-- Every row belongs to an organization: the primary key begins with it and every foreign key carries it, so that no row
-- can point into another organization and the same schema can be sharded by it. Constraints are named
-- <table>_<column>_{key,fkey,check}: the program tells the bad field from the name. Lists page over indexes that end in id.
-- The search indexes take new rows at once (fastupdate off): a pending list would make the planner read whole tables.

CREATE TABLE organizations (
    organization_id uuid NOT NULL,
    id uuid NOT NULL PRIMARY KEY,
    name text NOT NULL,
    timezone text NOT NULL DEFAULT 'UTC',
    base_currency text NOT NULL DEFAULT 'USD',
    require_win_loss_review boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT organizations_organization_id_check CHECK (organization_id = id)
);
COMMENT ON TABLE organizations IS 'The tenants. Global: referenced by every other table.';

CREATE TABLE login_directory (
    email_key text NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    user_id uuid NOT NULL
);
COMMENT ON TABLE login_directory IS 'Which organization an address signs in to. Global: read before the organization is known.';

CREATE TABLE login_attempts (
    bucket text NOT NULL PRIMARY KEY,
    failures integer NOT NULL,
    window_started_at timestamptz NOT NULL,
    blocked_until timestamptz
);
CREATE INDEX login_attempts_window_started_at_idx ON login_attempts (window_started_at);
COMMENT ON TABLE login_attempts IS 'Failed sign-ins by hashed address and network. Global; a bucket names nobody.';

CREATE TABLE users (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    password_hash text NOT NULL DEFAULT '',
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT users_role_check CHECK (role IN ('ADMIN', 'MANAGER', 'SALES_REP'))
);
SELECT heimdell_tenant_table('users');
COMMENT ON TABLE users IS 'People who sign in.';
CREATE UNIQUE INDEX users_email_key ON users (organization_id, lower(email));
CREATE INDEX users_created_at_idx ON users (organization_id, created_at, id);
CREATE INDEX users_updated_at_idx ON users (organization_id, updated_at, id);
CREATE INDEX users_name_idx ON users (organization_id, name, id);

CREATE TABLE sessions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    access_hash bytea NOT NULL,
    access_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    is_console boolean NOT NULL DEFAULT false,
    user_agent text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE
);
SELECT heimdell_tenant_table('sessions');
COMMENT ON TABLE sessions IS 'Signed-in sessions. Tokens are stored as SHA-256 alone.';
CREATE INDEX sessions_user_id_idx ON sessions (organization_id, user_id, created_at, id);

CREATE TABLE refresh_tokens (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    session_id uuid NOT NULL,
    hash bytea NOT NULL,
    used_at timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (organization_id, session_id) REFERENCES sessions ON DELETE CASCADE
);
SELECT heimdell_tenant_table('refresh_tokens');
COMMENT ON TABLE refresh_tokens IS 'Refresh tokens, each good once; a second use ends the session.';
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (organization_id, session_id);

CREATE TABLE api_keys (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    hash bytea NOT NULL DEFAULT '',
    hint text NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT api_keys_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE
);
SELECT heimdell_tenant_table('api_keys');
COMMENT ON TABLE api_keys IS 'Keys of programs. Each acts in the name of its maker, never above their rights.';
CREATE INDEX api_keys_created_at_idx ON api_keys (organization_id, created_at, id);
CREATE INDEX api_keys_updated_at_idx ON api_keys (organization_id, updated_at, id);
CREATE INDEX api_keys_user_id_idx ON api_keys (organization_id, user_id, created_at, id);

CREATE TABLE pipelines (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    name text NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id)
);
SELECT heimdell_tenant_table('pipelines');
COMMENT ON TABLE pipelines IS 'Ways that deals go.';
CREATE UNIQUE INDEX pipelines_is_default_key ON pipelines (organization_id) WHERE is_default;
CREATE UNIQUE INDEX pipelines_name_key ON pipelines (organization_id, lower(name));
CREATE INDEX pipelines_created_at_idx ON pipelines (organization_id, created_at, id);
CREATE INDEX pipelines_updated_at_idx ON pipelines (organization_id, updated_at, id);

CREATE TABLE stages (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    pipeline_id uuid NOT NULL,
    name text NOT NULL,
    position integer NOT NULL,
    probability numeric(5, 4) NOT NULL,
    kind text NOT NULL,
    rotten_after_days integer,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT stages_in_pipeline_key UNIQUE (organization_id, pipeline_id, id),
    CONSTRAINT stages_position_key UNIQUE (organization_id, pipeline_id, position) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT stages_pipeline_id_fkey FOREIGN KEY (organization_id, pipeline_id) REFERENCES pipelines,
    CONSTRAINT stages_kind_check CHECK (kind IN ('open', 'won', 'lost')),
    CONSTRAINT stages_probability_check CHECK (probability BETWEEN 0 AND 1),
    CONSTRAINT stages_rotten_after_days_check CHECK (rotten_after_days > 0)
);
SELECT heimdell_tenant_table('stages');
COMMENT ON TABLE stages IS 'Steps of a pipeline, in order; won and lost stages end it.';
CREATE UNIQUE INDEX stages_name_key ON stages (organization_id, pipeline_id, lower(name));

CREATE TABLE business_units (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    timezone text NOT NULL DEFAULT 'UTC',
    country text,
    default_pipeline_id uuid,
    default_email_identity_id uuid,
    default_phone text,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT business_units_default_pipeline_id_fkey FOREIGN KEY (organization_id, default_pipeline_id) REFERENCES pipelines
);
SELECT heimdell_tenant_table('business_units');
COMMENT ON TABLE business_units IS 'Brands or companies under one organization.';
CREATE UNIQUE INDEX business_units_slug_key ON business_units (organization_id, slug);
CREATE INDEX business_units_created_at_idx ON business_units (organization_id, created_at, id);
CREATE INDEX business_units_updated_at_idx ON business_units (organization_id, updated_at, id);
CREATE INDEX business_units_name_idx ON business_units (organization_id, name, id);

CREATE TABLE business_unit_members (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    business_unit_id uuid NOT NULL,
    PRIMARY KEY (organization_id, user_id, business_unit_id),
    CONSTRAINT business_unit_members_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE,
    CONSTRAINT business_unit_members_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units
);
SELECT heimdell_tenant_table('business_unit_members');
COMMENT ON TABLE business_unit_members IS 'Who works in which unit. A user without a row works in all.';
CREATE INDEX business_unit_members_business_unit_id_idx ON business_unit_members (organization_id, business_unit_id);

CREATE TABLE custom_fields (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    entity_type text NOT NULL,
    key text NOT NULL,
    label text NOT NULL,
    type text NOT NULL,
    options text[] NOT NULL DEFAULT ARRAY[]::text[],
    required boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT custom_fields_entity_type_check CHECK (entity_type IN ('lead', 'company', 'contact', 'deal')),
    CONSTRAINT custom_fields_type_check CHECK (type IN ('text', 'number', 'date', 'boolean', 'select'))
);
SELECT heimdell_tenant_table('custom_fields');
COMMENT ON TABLE custom_fields IS 'Fields that an organization adds to its records.';
CREATE UNIQUE INDEX custom_fields_key_key ON custom_fields (organization_id, entity_type, key);
CREATE INDEX custom_fields_created_at_idx ON custom_fields (organization_id, created_at, id);
CREATE INDEX custom_fields_updated_at_idx ON custom_fields (organization_id, updated_at, id);

CREATE TABLE reason_codes (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    outcome text NOT NULL,
    code text NOT NULL,
    label text NOT NULL,
    position integer NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT reason_codes_outcome_check CHECK (outcome IN ('change', 'won', 'lost'))
);
SELECT heimdell_tenant_table('reason_codes');
COMMENT ON TABLE reason_codes IS 'Why fields change, and why deals are won and lost.';
CREATE UNIQUE INDEX reason_codes_code_key ON reason_codes (organization_id, outcome, code);

CREATE TABLE companies (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    name text NOT NULL,
    domain text,
    industry text,
    employees integer,
    annual_revenue numeric(19, 4),
    country text,
    city text,
    owner_id uuid,
    parent_company_id uuid,
    external_id text,
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    custom_fields jsonb NOT NULL DEFAULT jsonb_build_object(),
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT companies_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT companies_owner_id_fkey FOREIGN KEY (organization_id, owner_id) REFERENCES users,
    CONSTRAINT companies_parent_company_id_fkey FOREIGN KEY (organization_id, parent_company_id) REFERENCES companies,
    CONSTRAINT companies_employees_check CHECK (employees >= 0)
);
SELECT heimdell_tenant_table('companies');
COMMENT ON TABLE companies IS 'Organizations that we sell to.';
CREATE UNIQUE INDEX companies_external_id_key ON companies (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX companies_domain_idx ON companies (organization_id, domain) WHERE domain IS NOT NULL;
CREATE INDEX companies_created_at_idx ON companies (organization_id, created_at, id);
CREATE INDEX companies_updated_at_idx ON companies (organization_id, updated_at, id);
CREATE INDEX companies_name_idx ON companies (organization_id, name, id);
CREATE INDEX companies_lower_name_idx ON companies (organization_id, lower(name));
CREATE INDEX companies_annual_revenue_idx ON companies (organization_id, annual_revenue, id);
CREATE INDEX companies_employees_idx ON companies (organization_id, employees, id);
CREATE INDEX companies_business_unit_id_idx ON companies (organization_id, business_unit_id, created_at, id);
CREATE INDEX companies_owner_id_idx ON companies (organization_id, owner_id, created_at, id);
CREATE INDEX companies_parent_company_id_idx ON companies (organization_id, parent_company_id);
CREATE INDEX companies_custom_fields_idx ON companies USING gin (organization_id, custom_fields jsonb_path_ops);
CREATE INDEX companies_search_text_idx ON companies USING gin (organization_id, search_text gin_trgm_ops) WITH (fastupdate = off);

CREATE TABLE contacts (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    first_name text,
    last_name text,
    email text,
    phone text,
    job_title text,
    company_id uuid,
    owner_id uuid,
    do_not_contact boolean NOT NULL DEFAULT false,
    external_id text,
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    custom_fields jsonb NOT NULL DEFAULT jsonb_build_object(),
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT contacts_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT contacts_company_id_fkey FOREIGN KEY (organization_id, company_id) REFERENCES companies,
    CONSTRAINT contacts_owner_id_fkey FOREIGN KEY (organization_id, owner_id) REFERENCES users
);
SELECT heimdell_tenant_table('contacts');
COMMENT ON TABLE contacts IS 'People at companies.';
CREATE UNIQUE INDEX contacts_external_id_key ON contacts (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX contacts_email_idx ON contacts (organization_id, lower(email)) WHERE email IS NOT NULL;
CREATE INDEX contacts_created_at_idx ON contacts (organization_id, created_at, id);
CREATE INDEX contacts_updated_at_idx ON contacts (organization_id, updated_at, id);
CREATE INDEX contacts_last_name_idx ON contacts (organization_id, last_name, id);
CREATE INDEX contacts_company_id_idx ON contacts (organization_id, company_id, created_at, id);
CREATE INDEX contacts_business_unit_id_idx ON contacts (organization_id, business_unit_id, created_at, id);
CREATE INDEX contacts_owner_id_idx ON contacts (organization_id, owner_id, created_at, id);
CREATE INDEX contacts_custom_fields_idx ON contacts USING gin (organization_id, custom_fields jsonb_path_ops);
CREATE INDEX contacts_search_text_idx ON contacts USING gin (organization_id, search_text gin_trgm_ops) WITH (fastupdate = off);

CREATE TABLE leads (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    first_name text,
    last_name text,
    email text,
    phone text,
    company_name text,
    job_title text,
    source text,
    status text NOT NULL DEFAULT 'new',
    score integer,
    owner_id uuid,
    do_not_contact boolean NOT NULL DEFAULT false,
    last_activity_at timestamptz,
    converted_at timestamptz,
    converted_company_id uuid,
    converted_contact_id uuid,
    converted_deal_id uuid,
    external_id text,
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    custom_fields jsonb NOT NULL DEFAULT jsonb_build_object(),
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT leads_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT leads_owner_id_fkey FOREIGN KEY (organization_id, owner_id) REFERENCES users,
    CONSTRAINT leads_status_check CHECK (status IN ('new', 'contacted', 'qualified', 'unqualified', 'converted')),
    CONSTRAINT leads_score_check CHECK (score BETWEEN 0 AND 100)
);
SELECT heimdell_tenant_table('leads');
COMMENT ON TABLE leads IS 'People and companies that might buy, before they are worked as deals.';
CREATE UNIQUE INDEX leads_external_id_key ON leads (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX leads_email_idx ON leads (organization_id, lower(email)) WHERE email IS NOT NULL;
CREATE INDEX leads_created_at_idx ON leads (organization_id, created_at, id);
CREATE INDEX leads_updated_at_idx ON leads (organization_id, updated_at, id);
CREATE INDEX leads_last_activity_at_idx ON leads (organization_id, last_activity_at, id);
CREATE INDEX leads_last_name_idx ON leads (organization_id, last_name, id);
CREATE INDEX leads_company_name_idx ON leads (organization_id, company_name, id);
CREATE INDEX leads_score_idx ON leads (organization_id, score, id);
CREATE INDEX leads_status_idx ON leads (organization_id, status, created_at, id);
CREATE INDEX leads_business_unit_id_idx ON leads (organization_id, business_unit_id, created_at, id);
CREATE INDEX leads_owner_id_idx ON leads (organization_id, owner_id, created_at, id);
CREATE INDEX leads_tags_idx ON leads USING gin (organization_id, tags);
CREATE INDEX leads_custom_fields_idx ON leads USING gin (organization_id, custom_fields jsonb_path_ops);
CREATE INDEX leads_search_text_idx ON leads USING gin (organization_id, search_text gin_trgm_ops) WITH (fastupdate = off);

CREATE TABLE deals (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    title text NOT NULL,
    value numeric(19, 4),
    currency text NOT NULL,
    pipeline_id uuid NOT NULL,
    stage_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'open',
    company_id uuid,
    contact_id uuid,
    lead_id uuid,
    owner_id uuid,
    expected_close_date date,
    closed_at timestamptz,
    probability numeric(5, 4),
    last_activity_at timestamptz,
    stage_entered_at timestamptz NOT NULL,
    episode integer NOT NULL DEFAULT 1,
    external_id text,
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    custom_fields jsonb NOT NULL DEFAULT jsonb_build_object(),
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT deals_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT deals_pipeline_id_fkey FOREIGN KEY (organization_id, pipeline_id) REFERENCES pipelines,
    CONSTRAINT deals_stage_id_fkey FOREIGN KEY (organization_id, pipeline_id, stage_id)
        REFERENCES stages (organization_id, pipeline_id, id),
    CONSTRAINT deals_company_id_fkey FOREIGN KEY (organization_id, company_id) REFERENCES companies,
    CONSTRAINT deals_contact_id_fkey FOREIGN KEY (organization_id, contact_id) REFERENCES contacts,
    CONSTRAINT deals_lead_id_fkey FOREIGN KEY (organization_id, lead_id) REFERENCES leads,
    CONSTRAINT deals_owner_id_fkey FOREIGN KEY (organization_id, owner_id) REFERENCES users,
    CONSTRAINT deals_status_check CHECK (status IN ('open', 'won', 'lost')),
    CONSTRAINT deals_closed_at_check CHECK ((status = 'open') = (closed_at IS NULL)),
    CONSTRAINT deals_value_check CHECK (value >= 0),
    CONSTRAINT deals_probability_check CHECK (probability BETWEEN 0 AND 1)
);
SELECT heimdell_tenant_table('deals');
COMMENT ON TABLE deals IS 'Opportunities. The status follows from the stage.';
CREATE UNIQUE INDEX deals_external_id_key ON deals (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX deals_created_at_idx ON deals (organization_id, created_at, id);
CREATE INDEX deals_updated_at_idx ON deals (organization_id, updated_at, id);
CREATE INDEX deals_title_idx ON deals (organization_id, title, id);
CREATE INDEX deals_value_idx ON deals (organization_id, value, id);
CREATE INDEX deals_expected_close_date_idx ON deals (organization_id, expected_close_date, id);
CREATE INDEX deals_closed_at_idx ON deals (organization_id, closed_at, id);
CREATE INDEX deals_last_activity_at_idx ON deals (organization_id, last_activity_at, id);
CREATE INDEX deals_stage_entered_at_idx ON deals (organization_id, stage_entered_at, id);
CREATE INDEX deals_stage_id_idx ON deals (organization_id, stage_id, created_at, id);
CREATE INDEX deals_status_idx ON deals (organization_id, status, created_at, id);
CREATE INDEX deals_pipeline_id_idx ON deals (organization_id, pipeline_id, created_at, id);
CREATE INDEX deals_business_unit_id_idx ON deals (organization_id, business_unit_id, created_at, id);
CREATE INDEX deals_owner_id_idx ON deals (organization_id, owner_id, created_at, id);
CREATE INDEX deals_company_id_idx ON deals (organization_id, company_id, created_at, id);
CREATE INDEX deals_contact_id_idx ON deals (organization_id, contact_id, created_at, id);
CREATE INDEX deals_lead_id_idx ON deals (organization_id, lead_id, created_at, id);
CREATE INDEX deals_open_idx ON deals (organization_id, pipeline_id, stage_id) INCLUDE (value, currency, probability, business_unit_id, owner_id, expected_close_date) WHERE status = 'open';
CREATE INDEX deals_custom_fields_idx ON deals USING gin (organization_id, custom_fields jsonb_path_ops);
CREATE INDEX deals_search_text_idx ON deals USING gin (organization_id, search_text gin_trgm_ops) WITH (fastupdate = off);

CREATE TABLE deal_stage_visits (
    organization_id uuid NOT NULL,
    deal_id uuid NOT NULL,
    visit integer NOT NULL,
    episode integer NOT NULL,
    pipeline_id uuid NOT NULL,
    stage_id uuid NOT NULL,
    entered_at timestamptz NOT NULL,
    left_at timestamptz,
    PRIMARY KEY (organization_id, deal_id, visit),
    CONSTRAINT deal_stage_visits_deal_id_fkey FOREIGN KEY (organization_id, deal_id) REFERENCES deals ON DELETE CASCADE,
    CONSTRAINT deal_stage_visits_left_at_check CHECK (left_at >= entered_at)
);
SELECT heimdell_tenant_table('deal_stage_visits');
COMMENT ON TABLE deal_stage_visits IS 'When a deal stood in which stage. A reopened deal begins a new episode.';
CREATE INDEX deal_stage_visits_stage_id_idx ON deal_stage_visits (organization_id, stage_id, entered_at);

CREATE TABLE win_loss_reviews (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    deal_id uuid NOT NULL,
    episode integer NOT NULL,
    outcome text NOT NULL,
    primary_reason_code text NOT NULL,
    notes text,
    learned text,
    created_by uuid,
    created_at timestamptz NOT NULL,
    superseded_at timestamptz,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT win_loss_reviews_deal_id_fkey FOREIGN KEY (organization_id, deal_id) REFERENCES deals ON DELETE CASCADE,
    CONSTRAINT win_loss_reviews_created_by_fkey FOREIGN KEY (organization_id, created_by) REFERENCES users,
    CONSTRAINT win_loss_reviews_outcome_check CHECK (outcome IN ('won', 'lost'))
);
SELECT heimdell_tenant_table('win_loss_reviews');
COMMENT ON TABLE win_loss_reviews IS 'Why deals were won and lost. Never changed; reopening supersedes.';
CREATE UNIQUE INDEX win_loss_reviews_episode_key ON win_loss_reviews (organization_id, deal_id, episode);
CREATE INDEX win_loss_reviews_created_at_idx ON win_loss_reviews (organization_id, created_at, id);

CREATE TABLE activities (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    type text NOT NULL,
    subject text,
    body text,
    occurred_at timestamptz NOT NULL,
    duration_minutes integer,
    user_id uuid,
    lead_id uuid,
    deal_id uuid,
    company_id uuid,
    contact_id uuid,
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT activities_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT activities_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES users,
    CONSTRAINT activities_lead_id_fkey FOREIGN KEY (organization_id, lead_id) REFERENCES leads ON DELETE CASCADE,
    CONSTRAINT activities_deal_id_fkey FOREIGN KEY (organization_id, deal_id) REFERENCES deals ON DELETE CASCADE,
    CONSTRAINT activities_company_id_fkey FOREIGN KEY (organization_id, company_id) REFERENCES companies ON DELETE CASCADE,
    CONSTRAINT activities_contact_id_fkey FOREIGN KEY (organization_id, contact_id) REFERENCES contacts ON DELETE CASCADE,
    CONSTRAINT activities_type_check CHECK (type IN ('call', 'email', 'meeting', 'note', 'other')),
    CONSTRAINT activities_duration_minutes_check CHECK (duration_minutes >= 0),
    CONSTRAINT activities_about_check CHECK (num_nonnulls(lead_id, deal_id, company_id, contact_id) = 1)
);
SELECT heimdell_tenant_table('activities');
COMMENT ON TABLE activities IS 'What was done about a record: calls, mails, meetings, notes.';
CREATE INDEX activities_created_at_idx ON activities (organization_id, created_at, id);
CREATE INDEX activities_updated_at_idx ON activities (organization_id, updated_at, id);
CREATE INDEX activities_occurred_at_idx ON activities (organization_id, occurred_at, id);
CREATE INDEX activities_user_id_idx ON activities (organization_id, user_id, occurred_at, id);
CREATE INDEX activities_lead_id_idx ON activities (organization_id, lead_id, occurred_at, id) WHERE lead_id IS NOT NULL;
CREATE INDEX activities_deal_id_idx ON activities (organization_id, deal_id, occurred_at, id) WHERE deal_id IS NOT NULL;
CREATE INDEX activities_company_id_idx ON activities (organization_id, company_id, occurred_at, id) WHERE company_id IS NOT NULL;
CREATE INDEX activities_contact_id_idx ON activities (organization_id, contact_id, occurred_at, id) WHERE contact_id IS NOT NULL;
CREATE INDEX activities_business_unit_id_idx ON activities (organization_id, business_unit_id, occurred_at, id);
CREATE INDEX activities_search_text_idx ON activities USING gin (organization_id, search_text gin_trgm_ops) WITH (fastupdate = off);

CREATE TABLE tasks (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    title text NOT NULL,
    description text,
    due_at timestamptz,
    priority text NOT NULL DEFAULT 'normal',
    status text NOT NULL DEFAULT 'open',
    assignee_id uuid,
    completed_at timestamptz,
    lead_id uuid,
    deal_id uuid,
    company_id uuid,
    contact_id uuid,
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT tasks_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT tasks_assignee_id_fkey FOREIGN KEY (organization_id, assignee_id) REFERENCES users,
    CONSTRAINT tasks_lead_id_fkey FOREIGN KEY (organization_id, lead_id) REFERENCES leads ON DELETE CASCADE,
    CONSTRAINT tasks_deal_id_fkey FOREIGN KEY (organization_id, deal_id) REFERENCES deals ON DELETE CASCADE,
    CONSTRAINT tasks_company_id_fkey FOREIGN KEY (organization_id, company_id) REFERENCES companies ON DELETE CASCADE,
    CONSTRAINT tasks_contact_id_fkey FOREIGN KEY (organization_id, contact_id) REFERENCES contacts ON DELETE CASCADE,
    CONSTRAINT tasks_priority_check CHECK (priority IN ('low', 'normal', 'high')),
    CONSTRAINT tasks_status_check CHECK (status IN ('open', 'done', 'cancelled')),
    CONSTRAINT tasks_about_check CHECK (num_nonnulls(lead_id, deal_id, company_id, contact_id) <= 1)
);
SELECT heimdell_tenant_table('tasks');
COMMENT ON TABLE tasks IS 'What is to be done, by whom and when.';
CREATE INDEX tasks_created_at_idx ON tasks (organization_id, created_at, id);
CREATE INDEX tasks_updated_at_idx ON tasks (organization_id, updated_at, id);
CREATE INDEX tasks_due_at_idx ON tasks (organization_id, due_at, id);
CREATE INDEX tasks_assignee_id_idx ON tasks (organization_id, assignee_id, status, due_at, id);
CREATE INDEX tasks_status_idx ON tasks (organization_id, status, created_at, id);
CREATE INDEX tasks_lead_id_idx ON tasks (organization_id, lead_id, created_at, id) WHERE lead_id IS NOT NULL;
CREATE INDEX tasks_deal_id_idx ON tasks (organization_id, deal_id, created_at, id) WHERE deal_id IS NOT NULL;
CREATE INDEX tasks_company_id_idx ON tasks (organization_id, company_id, created_at, id) WHERE company_id IS NOT NULL;
CREATE INDEX tasks_contact_id_idx ON tasks (organization_id, contact_id, created_at, id) WHERE contact_id IS NOT NULL;
CREATE INDEX tasks_business_unit_id_idx ON tasks (organization_id, business_unit_id, created_at, id);
CREATE INDEX tasks_search_text_idx ON tasks USING gin (organization_id, search_text gin_trgm_ops) WITH (fastupdate = off);

CREATE TABLE saved_views (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    entity_type text NOT NULL,
    name text NOT NULL,
    filters jsonb NOT NULL DEFAULT jsonb_build_object(),
    sort text,
    columns text[] NOT NULL DEFAULT ARRAY[]::text[],
    is_shared boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT saved_views_owner_id_fkey FOREIGN KEY (organization_id, owner_id) REFERENCES users,
    CONSTRAINT saved_views_entity_type_check CHECK (entity_type IN ('lead', 'company', 'contact', 'deal', 'activity', 'task'))
);
SELECT heimdell_tenant_table('saved_views');
COMMENT ON TABLE saved_views IS 'Filters, sort and columns of a list, kept by a user or shared.';
CREATE INDEX saved_views_created_at_idx ON saved_views (organization_id, created_at, id);
CREATE INDEX saved_views_updated_at_idx ON saved_views (organization_id, updated_at, id);
CREATE INDEX saved_views_name_idx ON saved_views (organization_id, name, id);

CREATE TABLE field_history (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid NOT NULL,
    entity_version bigint NOT NULL,
    field_name text NOT NULL,
    old_value jsonb,
    new_value jsonb,
    actor text NOT NULL,
    changed_by uuid,
    reason_code text,
    note text,
    request_id text NOT NULL,
    change_set_id uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT field_history_actor_check CHECK (actor IN ('user', 'api_key', 'import', 'system'))
);
SELECT heimdell_tenant_table('field_history');
COMMENT ON TABLE field_history IS 'Who changed which field from what to what, when and why. Only ever appended to.';
CREATE INDEX field_history_entity_idx ON field_history (organization_id, entity_type, entity_id, id);
CREATE INDEX field_history_changed_at_idx ON field_history (organization_id, changed_at, id);

CREATE TABLE queue_jobs (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'waiting',
    priority integer NOT NULL DEFAULT 100,
    run_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 12,
    lease_token uuid,
    lease_until timestamptz,
    unique_key text,
    last_error text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT queue_jobs_status_check CHECK (status IN ('waiting', 'active', 'completed', 'failed', 'cancelled'))
);
SELECT heimdell_tenant_table('queue_jobs');
COMMENT ON TABLE queue_jobs IS 'Work to be done outside of requests. Setting status to waiting makes a worker take it.';
CREATE INDEX queue_jobs_ready_idx ON queue_jobs (organization_id, queue, priority, run_at, id) WHERE status = 'waiting';
CREATE INDEX queue_jobs_leased_idx ON queue_jobs (lease_until) WHERE status = 'active';
CREATE INDEX queue_jobs_created_at_idx ON queue_jobs (organization_id, created_at, id);
CREATE INDEX queue_jobs_updated_at_idx ON queue_jobs (organization_id, updated_at, id);
CREATE UNIQUE INDEX queue_jobs_unique_key_key ON queue_jobs (organization_id, kind, unique_key)
    WHERE unique_key IS NOT NULL AND status IN ('waiting', 'active');

CREATE TABLE imports (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    entity_type text NOT NULL,
    file_name text NOT NULL,
    mapping jsonb NOT NULL,
    options jsonb NOT NULL,
    status text NOT NULL DEFAULT 'queued',
    dry_run boolean NOT NULL,
    rows_total integer NOT NULL,
    rows_done integer NOT NULL DEFAULT 0,
    created integer NOT NULL DEFAULT 0,
    updated integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    reverted integer NOT NULL DEFAULT 0,
    kept integer NOT NULL DEFAULT 0,
    error text,
    created_by uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT imports_created_by_fkey FOREIGN KEY (organization_id, created_by) REFERENCES users,
    CONSTRAINT imports_entity_type_check CHECK (entity_type IN ('lead', 'company', 'contact', 'deal')),
    CONSTRAINT imports_status_check CHECK (
        status IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'reverting', 'reverted'))
);
SELECT heimdell_tenant_table('imports');
COMMENT ON TABLE imports IS 'Files that were read in, with their progress.';
CREATE INDEX imports_created_at_idx ON imports (organization_id, created_at, id);
CREATE INDEX imports_updated_at_idx ON imports (organization_id, updated_at, id);
CREATE INDEX imports_created_by_idx ON imports (organization_id, created_by, created_at, id);

CREATE TABLE import_files (
    organization_id uuid NOT NULL,
    import_id uuid NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (organization_id, import_id),
    CONSTRAINT import_files_import_id_fkey FOREIGN KEY (organization_id, import_id) REFERENCES imports ON DELETE CASCADE
);
SELECT heimdell_tenant_table('import_files');
COMMENT ON TABLE import_files IS 'The uploaded bytes of an import.';

CREATE TABLE import_rows (
    organization_id uuid NOT NULL,
    import_id uuid NOT NULL,
    row_number integer NOT NULL,
    outcome text NOT NULL,
    fingerprint bytea NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid,
    version_after bigint,
    errors jsonb,
    PRIMARY KEY (organization_id, import_id, row_number),
    CONSTRAINT import_rows_import_id_fkey FOREIGN KEY (organization_id, import_id) REFERENCES imports ON DELETE CASCADE,
    CONSTRAINT import_rows_outcome_check CHECK (outcome IN ('created', 'updated', 'skipped', 'failed'))
);
SELECT heimdell_tenant_table('import_rows');
COMMENT ON TABLE import_rows IS 'What became of each row of an import, so that each lands once and can be taken back.';
CREATE INDEX import_rows_fingerprint_idx ON import_rows (organization_id, fingerprint) WHERE entity_id IS NOT NULL;
