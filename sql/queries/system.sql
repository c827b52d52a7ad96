-- What the server needs for itself: migrations, pruning, halls for load tests.

-- name: server_version
-- The major version of PostgreSQL.
select current_setting('server_version_num')::integer / 10000;

-- name: alive
-- Whether the database answers.
select true;

-- name: migration_lock
-- Waits until no other server migrates, and keeps others out until the transaction ends.
select pg_advisory_xact_lock(hashtext('seatsync'), hashtext('migration'));

-- name: migration_table_exists
-- Whether any migration was ever applied here.
select to_regclass('public.schema_migration') is not null;

-- name: migration_table
-- Makes the list of applied migrations.
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
-- Notes that a migration ($1) was applied, with its checksum ($2).
insert into public.schema_migration (name, checksum) values ($1, $2);

-- name: prune_keys
-- Removes keys of writes that are no longer remembered, at most $1 of them; how many. 0 while another server prunes.
with gone as (
    delete from write_key
    where ctid = any(array(
        select ctid
        from write_key
        where created_at < now() - interval '10 minutes'
          and (select pg_try_advisory_xact_lock(hashtext('seatsync'), hashtext('prune_keys')))
        limit $1
    ))
    returning 1
)
select count(*) from gone;

-- name: prune_events
-- Removes history older than $1 days, about $2 rows but whole revisions, as a resume counts those; how many.
with old as (
    select distinct hall_id, rev
    from (
        select hall_id, rev
        from seat_event
        where at < now() - make_interval(days => $1)
          and (select pg_try_advisory_xact_lock(hashtext('seatsync'), hashtext('prune_events')))
        limit $2
    ) e
),
gone as (
    delete from seat_event using old where seat_event.hall_id = old.hall_id and seat_event.rev = old.rev returning 1
)
select count(*) from gone;

-- name: demo_lock
-- Waits until no other server adds the demo cinemas, and keeps others out until the transaction ends.
select pg_advisory_xact_lock(hashtext('seatsync'), hashtext('demo'));

-- name: has_cinemas
-- Whether there is any cinema.
select exists (select from cinema);

-- name: create_hall
-- Makes a rectangular hall named $1 of $2 seats in the cinema for load tests; its id.
with known_cinema as (
    select id from cinema where name = 'Load test' order by id limit 1
),
new_cinema as (
    insert into cinema (name) select 'Load test' where not exists (select from known_cinema) returning id
),
known_type as (
    select id from seat_type where name = 'Standard'
),
new_type as (
    insert into seat_type (name) select 'Standard' where not exists (select from known_type) returning id
),
new_hall as (
    insert into hall (cinema_id, name, rows, places)
    select c.id, $1, ceil($2::integer / p.places)::integer, p.places::integer
    from (table known_cinema union all table new_cinema) c
    cross join (select ceil(sqrt($2::integer)) as places) p
    returning id, places
),
new_seat as (
    insert into seat (hall_id, seat_type_id, row, place)
    select h.id, t.id, 1 + n / h.places, 1 + n % h.places
    from new_hall h
    cross join (table known_type union all table new_type) t
    cross join generate_series(0, $2::integer - 1) n
)
select id from new_hall;
