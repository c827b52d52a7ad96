-- Nothing is believed that only a trigger may say, and nobody runs a function that is not for him.
--
-- Any role may NOTIFY. So each notification begins with a tag, which only those can make who know the key: the owner,
-- whose rights the triggers have, and the server.

create table feed_key (
    single boolean primary key default true,
    key bytea not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    former bytea,
    constraint feed_key_single check (single)
);

insert into feed_key default values;

comment on table feed_key is
    'The key of notifications, one row. A dump contains it; renew it after a restore: '
    'update feed_key set former = key, key = default.';
comment on column feed_key.single is 'True: there is one row.';
comment on column feed_key.key is 'Makes the tags of notifications.';
comment on column feed_key.former is 'The key before; its tags are taken too, for transactions that were under way.';

create function announce(body text) returns void
language plpgsql as $$
declare
    key bytea;
begin
    select k.key into strict key from public.feed_key k;
    perform pg_notify(
        'seatsync',
        encode(substring(sha256(key || convert_to(body, 'UTF8') || key) for 16), 'base64') || ' ' || body
    );
end
$$;

comment on function announce is
    'For triggers: notifies every server. The tag before the body is 16 bytes of SHA-256 over key, body, key.';

create function assert_table(relation oid, expected regclass) returns void
language plpgsql as $$
begin
    if relation <> expected then
        raise exception 'this function is for triggers of the table % alone', expected
            using errcode = 'insufficient_privilege';
    end if;
end
$$;

comment on function assert_table is 'For triggers, which have the rights of the owner: refuses a table that is not ours.';

drop function hall_notice(bigint, bigint, text);

create function hall_notice(h hall, data text) returns text
language plpgsql stable as $$
declare
    bare text := format('hall %s %s %s', h.id, wire_epoch(h.epoch), h.rev);
    whole text := bare || ' ' || data;
begin
    return case when octet_length(whole) < 7975 then whole else bare end;
end
$$;

comment on function hall_notice is
    'What announces the revision of a hall: with its data where that fits into a notification, which would fail at '
    '8000 bytes (the tag takes 25); without where it does not, or is null.';

create function session_notice(id uuid) returns text
language sql immutable parallel safe as $$
    select 'session ' || encode(sha256(uuid_send(id)), 'hex')
$$;

comment on function session_notice is 'What announces the end of a session; any role may read it, so it hides the id.';

create or replace function announce_layout(halls bigint[]) returns void
language plpgsql as $$
begin
    perform from hall where id = any(halls) order by id for no key update;
    with bumped as (
        update hall set rev = rev + 1 where id = any(halls) returning id, rev
    )
    insert into seat_event (hall_id, rev, kind) select id, rev, 'layout' from bumped;
    perform announce(hall_notice(h, 'layout')) from hall h where h.id = any(halls) order by h.id;
end
$$;

-- The functions of the triggers, with the tag, and refusing a table that is not theirs.

create or replace function session_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'session');
    perform announce(session_notice(gone.id)) from gone where gone.expires_at > now();
    return null;
end
$$;

create or replace function session_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'session');
    perform announce(session_notice(before.id))
    from before
    left join after on after.id = before.id and after.user_id = before.user_id and after.expires_at > now()
    where before.expires_at > now() and after.id is null;
    return null;
end
$$;

create or replace function session_announce_truncated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'session');
    perform announce(session_notice(s.id)) from session s where s.expires_at > now();
    return null;
end
$$;

create or replace function app_user_end_sessions() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'app_user');
    delete from session where user_id = new.id;
    return null;
end
$$;

create or replace function seat_announce_inserted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'seat');
    perform announce_layout(array(select distinct hall_id from new_seat));
    return null;
end
$$;

create or replace function seat_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'seat');
    perform announce_layout(array(select distinct hall_id from old_seat));
    return null;
end
$$;

create or replace function seat_announce_truncated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'seat');
    perform announce_layout(array(select id from hall));
    return null;
end
$$;

create or replace function seat_announce_updated() returns trigger
language plpgsql security definer
set search_path = public, pg_temp set enable_nestloop = off set plan_cache_mode = force_generic_plan as $$
declare
    restated bigint[];  -- halls in which a status or a note changed
    relaid bigint[];  -- halls in which the layout changed: both, where a seat moved from one to another
begin
    perform assert_table(tg_relid, 'seat');
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

    perform announce(hall_notice(h, 'layout')) from hall h where h.id = any(relaid);

    -- A seat takes at least 79 of a notification's 8000 bytes: more than 101 need not be tried.
    perform announce(hall_notice(
        h, case when cardinality(c.seats) <= 101 then hall_update(h.id, c.seats) end
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

create or replace function hall_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'hall');
    insert into seat_event (hall_id, rev, kind) values (new.id, new.rev, 'layout');
    perform announce(hall_notice(new, 'layout'));
    if new.cinema_id <> old.cinema_id then
        perform announce('cinemas');
    elsif (new.name, new.rows, new.places) is distinct from (old.name, old.rows, old.places) then
        perform announce(format('cinema %s', new.cinema_id));
    end if;
    return null;
end
$$;

create or replace function hall_announce_inserted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'hall');
    perform announce(format('cinema %s', new.cinema_id));
    return null;
end
$$;

create or replace function hall_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'hall');
    delete from seat_event where hall_id = old.id;
    perform announce(format('hall %s deleted', old.id));
    perform announce('cinemas');
    return null;
end
$$;

create or replace function hall_announce_truncated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'hall');
    delete from seat_event;
    perform announce(format('hall %s deleted', id)) from hall;
    perform announce('cinemas');
    return null;
end
$$;

create or replace function seat_type_announce_renamed() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'seat_type');
    perform announce_layout(array(
        select distinct seat.hall_id
        from new_seat_type n
        join old_seat_type o using (id)
        join seat on seat.seat_type_id = n.id
        where n.name <> o.name
    ));
    return null;
end
$$;

create or replace function cinema_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'cinema');
    perform announce(format('cinema %s', new.id));
    return null;
end
$$;

create or replace function cinema_announce_list() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'cinema');
    perform announce('cinemas');
    return null;
end
$$;

-- write_seats keeps these columns itself: that is, a statement of a session with the setting and the right to, but none
-- that a trigger runs meanwhile.
drop trigger seat_keep_state on seat;
create trigger seat_keep_state before update of status, note, updated_at, updated_by on seat
    for each row when (
        current_setting('seatsync.writing', true) is distinct from 'on'
        or pg_trigger_depth() > 0
        or not has_column_privilege('public.seat', 'updated_by', 'update')
    )
    execute function seat_keep_state();

comment on trigger seat_keep_state on seat is 'Keeps note, updated_at and updated_by, for whoever is not write_seats.';

-- Functions are for their owner, and those that only read, with the rights of the caller, for everybody.
do $$
declare
    f regprocedure;
begin
    for f in
        select p.oid
        from pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and pg_has_role(p.proowner, 'usage')
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute format('revoke execute on function %s from public', f);
    end loop;
end
$$;

alter default privileges revoke execute on functions from public;

grant execute on function
    wire_time, wire_epoch, hall_counts, hall_snapshot, hall_update, hall_changes, seat_refusal, seat_refusal_message
to public;
