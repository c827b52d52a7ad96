-- The server's own: liveness and migrations.

-- name: server_version
-- The major version of PostgreSQL.
select current_setting('server_version_num')::integer / 10000;

-- name: alive
-- Succeeds while the database answers.
select true;

-- name: migration_lock
-- Takes the migration lock until the transaction ends, waiting for its holder.
select pg_advisory_xact_lock(hashtext('seatsync'), hashtext('migration'));

-- name: migration_table_exists
-- Whether this database has had a migration.
select to_regclass('public.schema_migration') is not null;

-- name: migration_table
-- Creates the table of applied migrations.
do $$
begin
    create table public.schema_migration (
        name text primary key,
        checksum text not null,
        applied_at timestamptz not null default now()
    );
    comment on table public.schema_migration is 'Which migrations were applied here, with the SHA-256 of their text.';
end
$$;

-- name: migrations_applied
-- Name and checksum of each applied migration, in order.
select name, checksum from public.schema_migration order by name;

-- name: migration_done
-- Records a migration ($1) as applied, with its checksum ($2).
insert into public.schema_migration (name, checksum) values ($1, $2);
