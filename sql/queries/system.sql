-- The server's own: liveness and migrations.

-- name: server_version
-- The major version of PostgreSQL.
select current_setting('server_version_num')::integer / 10000;

-- name: read_only
-- Whether PostgreSQL takes no changes: it is a replica, or was made read-only.
select current_setting('transaction_read_only')::boolean;

-- name: room
-- Takes about 400 kB of disk for as long as it runs, where work_mem is small; fails when there is no room.
select count(*) from generate_series(1, 20000);

-- name: oldest_transaction
-- The session with the oldest transaction, of any database, as far as the role may see that.
select pid, datname as database, usename as role, application_name as application, state, xact_start::text as since
from pg_stat_activity
where pid <> pg_backend_pid() and backend_type = 'client backend' and xact_start is not null
order by xact_start
limit 1;

-- name: may_migrate
-- Whether this role owns the schema, or there is none.
select coalesce(
    (select pg_has_role(relowner, 'usage') from pg_class where oid = to_regclass('public.schema_migration')), true
);

-- name: grant_server
-- Grants a role ($1) what a server needs.
select grant_server($1::text::regrole);

-- name: backend_pid
-- The process of this session.
select pg_backend_pid();

-- name: has_timeline
-- Whether epochs include the server's timeline.
select wire_epoch('') <> '';

-- name: migration_lock
-- Takes the migration lock for the session, unless another has it; whether it was taken.
select pg_try_advisory_lock(hashtext('seatsync'), hashtext('migration'));

-- name: migration_unlock
-- Gives the migration lock back.
select pg_advisory_unlock(hashtext('seatsync'), hashtext('migration'));

-- name: migration_lock_holder
-- The session that has the migration lock.
select
    l.pid,
    a.application_name as application,
    a.usename::text as role,
    a.xact_start::text as transaction_start,
    a.query_start::text as query_start
from pg_locks l
join pg_database d on d.oid = l.database and d.datname = current_database()
left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.classid::bigint = hashtext('seatsync')::bigint & 4294967295
  and l.objid::bigint = hashtext('migration')::bigint & 4294967295;

-- name: blocker
-- Of the sessions that hold up the session of this process ($1), the one with the oldest transaction.
select
    b.pid,
    a.application_name as application,
    a.usename::text as role,
    a.xact_start::text as transaction_start,
    a.query_start::text as query_start
from unnest(pg_blocking_pids($1)) b(pid)
left join pg_stat_activity a on a.pid = b.pid
order by a.xact_start
limit 1;

-- name: lock_timeout
-- Sets for how long a statement of the session waits for a lock ($1, with a unit; 0: without end).
select set_config('lock_timeout', $1, false);

-- name: invalid_indexes
-- For each invalid index that this migration ($1) names, and each that reindexing has left, the statement that drops it.
select format('drop index concurrently if exists %s', i.indexrelid::regclass) as statement
from pg_index i
join pg_class c on c.oid = i.indexrelid
where not i.indisvalid and c.relkind = 'i' and not c.relispartition and c.relnamespace = 'public'::regnamespace
  and regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '') = any(regexp_split_to_array($1, '[^[:alnum:]_$]+'));

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
