-- What a unit of one currency is worth in another, from a day on.
CREATE TABLE exchange_rates (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    from_currency text NOT NULL,
    to_currency text NOT NULL,
    effective_on date NOT NULL,
    rate numeric(20, 10) NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT exchange_rates_rate_check CHECK (rate > 0),
    CONSTRAINT exchange_rates_to_currency_check CHECK (to_currency <> from_currency)
);
SELECT heimdell_tenant_table('exchange_rates');
COMMENT ON TABLE exchange_rates IS 'Exchange rates by day. A rate holds until that of a later day.';
CREATE UNIQUE INDEX exchange_rates_effective_on_key
    ON exchange_rates (organization_id, to_currency, from_currency, effective_on);
CREATE INDEX exchange_rates_effective_on_idx ON exchange_rates (organization_id, effective_on, id);
CREATE INDEX exchange_rates_created_at_idx ON exchange_rates (organization_id, created_at, id);
CREATE INDEX exchange_rates_updated_at_idx ON exchange_rates (organization_id, updated_at, id);
