-- What happens when seats change, by whatever statement: the next revision of each hall concerned, the history, and a
-- notification to every server. Clients hear of a change through that notification alone.
--
-- Locks are taken in one order everywhere: seats by id, then halls by id. Whoever counts seats does so in a statement
-- after the one that locked the hall: within that one, the counts would be older than the wait for the lock.

create type seat_event_kind as enum ('status', 'note', 'layout');

create table seat_event (
    hall_id bigint not null,
    rev bigint not null,
    seat_id bigint not null default 0,
    kind seat_event_kind not null,
    old_status seat_status,
    new_status seat_status,
    by bigint,
    at timestamptz not null default clock_timestamp(),
    primary key (hall_id, rev, seat_id),
    constraint seat_event_layout_is_of_the_hall check ((kind = 'layout') = (seat_id = 0)),
    constraint seat_event_layout_has_no_status check ((kind = 'layout') = (new_status is null))
);

-- Rows arrive in the order of `at`, so a summary of each block range is enough to find the old ones.
create index seat_event_at_idx on seat_event using brin (at) with (autosummarize = on);

comment on table seat_event is
    'The history: what each revision of a hall changed. Kept when seats go, gone with the hall; old rows are pruned.';
comment on column seat_event.seat_id is '0 for a change of the hall''s layout.';
comment on column seat_event.by is 'The user whose request it was; null when it was SQL.';

-- Plain SQL changes status or note and need not think of the rest of the row.
create function seat_keep_state() returns trigger
language plpgsql as $$
begin
    if (new.status, new.note) is distinct from (old.status, old.note) then
        new.note := case when new.status = 'MAINTENANCE' then nullif(new.note, '') end;
    end if;
    if (new.status, new.note) is distinct from (old.status, old.note) then
        new.updated_at := clock_timestamp();
        new.updated_by := null;
    else
        new.updated_at := old.updated_at;
        new.updated_by := old.updated_by;
    end if;
    return new;
end
$$;

-- write_seats sets these columns itself, and says so by a setting that it turns on for the statement that does.
create trigger seat_keep_state before update of status, note, updated_at, updated_by on seat
    for each row when (current_setting('seatsync.writing', true) is distinct from 'on')
    execute function seat_keep_state();

create function hall_notice(hall_id bigint, rev bigint, data text) returns text
language plpgsql stable parallel safe as $$
declare
    bare text := format('hall %s %s', hall_id, rev);
    whole text := bare || ' ' || data;
begin
    return case when octet_length(whole) < 8000 then whole else bare end;
end
$$;

comment on function hall_notice is
    'The payload that announces a revision: with its data where that fits into a notification, which would fail at '
    '8000 bytes; without where it does not, or is null.';

create function announce_layout(halls bigint[]) returns void
language plpgsql as $$
begin
    perform from hall where id = any(halls) order by id for no key update;
    with bumped as (
        update hall set rev = rev + 1 where id = any(halls) returning id, rev
    )
    insert into seat_event (hall_id, rev, kind) select id, rev, 'layout' from bumped;
    perform pg_notify('seatsync', hall_notice(id, rev, 'layout')) from hall where id = any(halls) order by id;
end
$$;

comment on function announce_layout is
    'For triggers: the next revision of each of these halls, which clients then load anew.';

create function seat_announce_inserted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform announce_layout(array(select distinct hall_id from new_seat));
    return null;
end
$$;

create trigger seat_inserted after insert on seat
    referencing new table as new_seat
    for each statement execute function seat_announce_inserted();

create function seat_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform announce_layout(array(select distinct hall_id from old_seat));
    return null;
end
$$;

create trigger seat_deleted after delete on seat
    referencing old table as old_seat
    for each statement execute function seat_announce_deleted();

-- Which halls had seats is not known any more.
create function seat_announce_truncated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform announce_layout(array(select id from hall));
    return null;
end
$$;

create trigger seat_truncated after truncate on seat
    for each statement execute function seat_announce_truncated();

-- The plans are made once a session, for as many rows as change the first time: without nested loops they suit any.
create function seat_announce_updated() returns trigger
language plpgsql security definer
set search_path = public, pg_temp set enable_nestloop = off set plan_cache_mode = force_generic_plan as $$
declare
    restated bigint[];  -- halls in which a status or a note changed
    relaid bigint[];  -- halls in which the layout changed: both, where a seat moved from one to another
begin
    select
        array_agg(distinct n.hall_id) filter (where (n.status, n.note) is distinct from (o.status, o.note)),
        array_agg(distinct n.hall_id) filter (where
            (n.hall_id, n.seat_type_id, n.row, n.place, n.x, n.y, n.width, n.height, n.rotation)
            is distinct from
            (o.hall_id, o.seat_type_id, o.row, o.place, o.x, o.y, o.width, o.height, o.rotation)
        ) || array_agg(distinct o.hall_id) filter (where n.hall_id <> o.hall_id)
    into restated, relaid
    from new_seat n
    join old_seat o using (id);

    if restated is null and relaid is null then
        return null;
    end if;

    perform from hall where id = any(restated || relaid) order by id for no key update;

    with bumped as (
        update hall set rev = rev + 1 where id = any(restated || relaid) returning id, rev
    )
    insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, by, at)
    select
        bumped.id,
        bumped.rev,
        n.id,
        case when n.status = o.status then 'note' else 'status' end::seat_event_kind,
        o.status,
        n.status,
        n.updated_by,
        n.updated_at
    from new_seat n
    join old_seat o using (id)
    join bumped on bumped.id = n.hall_id
    where (n.status, n.note) is distinct from (o.status, o.note)
    union all
    select id, rev, 0, 'layout', null, null, null, clock_timestamp()
    from bumped
    where id = any(relaid);

    perform pg_notify('seatsync', hall_notice(id, rev, 'layout')) from hall where id = any(relaid);

    -- A seat takes at least 79 of a notification's 8000 bytes: more than 101 need not be tried.
    perform pg_notify('seatsync', hall_notice(
        h.id, h.rev, case when cardinality(c.seats) <= 101 then hall_update(h.id, c.seats) end
    ))
    from (
        select n.hall_id, array_agg(n.id) as seats
        from new_seat n
        join old_seat o using (id)
        where (n.status, n.note) is distinct from (o.status, o.note)
        group by n.hall_id
    ) c
    join hall h on h.id = c.hall_id
    where h.id = any(restated) and h.id <> all(coalesce(relaid, '{}'));

    return null;
end
$$;

create trigger seat_updated after update on seat
    referencing old table as old_seat new table as new_seat
    for each statement execute function seat_announce_updated();
