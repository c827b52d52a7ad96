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

-- Only triggers call it.
-- squawk-ignore ban-drop-function
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

-- The functions of the triggers, with the tag, and refusing a table that is not theirs; those of seats are in
-- 0011_counts.sql.

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

-- Triggers with the rights of the caller do not search where the caller may have functions and operators.
alter function keep_id set search_path = public, pg_temp;
alter function seat_stand_on_grid set search_path = public, pg_temp;
alter function seat_keep_state set search_path = public, pg_temp;
alter function hall_keep_rev set search_path = public, pg_temp;

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
