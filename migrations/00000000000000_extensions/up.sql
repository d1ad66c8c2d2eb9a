-- Trigram indexes serve search that forgives typing; btree_gin lets an index hold organization_id beside them.
create extension if not exists pg_trgm;
create extension if not exists btree_gin;

-- Called right after the creation of each table that belongs to an organization. On plain PostgreSQL it does nothing;
-- where the tables are already spread over a Citus cluster, it spreads the new one along with them.
create or replace function heimdell_tenant_table(name text) returns void language plpgsql as $$
declare
  spread boolean;
begin
  if not exists (select from pg_extension where extname = 'citus') then
    return;
  end if;
  execute 'select exists (select from pg_dist_partition where logicalrelid = to_regclass(''users''))
              and not exists (select from pg_dist_partition where logicalrelid = to_regclass($1))'
    into spread using name;
  if spread then
    execute format('select create_distributed_table(%L, ''organization_id'', colocate_with => ''users'')', name);
  end if;
end
$$;
comment on function heimdell_tenant_table(text) is
  'Spreads a table by organization_id where the database is a Citus cluster in use; does nothing elsewhere';
