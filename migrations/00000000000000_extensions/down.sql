drop function if exists heimdell_tenant_table(text);
drop extension if exists btree_gin;
drop extension if exists pg_trgm;
