-- On which days mail to an address came back for reasons that may pass. On enough of them, it is suppressed.
CREATE TABLE soft_bounces (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    email text NOT NULL,
    bounced_on date NOT NULL,
    is_disabled boolean NOT NULL,
    PRIMARY KEY (organization_id, email, bounced_on)
);
SELECT heimdell_tenant_table('soft_bounces');
COMMENT ON TABLE soft_bounces IS 'Days on which mail to an address came back for reasons that may pass: a row to a day. A delivery forgets them.';
COMMENT ON COLUMN soft_bounces.is_disabled IS 'Has the server said on that day that the mailbox is disabled (5.2.1)?';
CREATE INDEX soft_bounces_bounced_on_idx ON soft_bounces (organization_id, bounced_on);
