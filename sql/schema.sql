-- The schema as the migrations make it, shown by pg_dump. Written by `make schema`; nothing reads it.
-- It loads into an empty database, for tools that want one. A server's database comes from `seatsync migrate`.

-- Functions stand before the tables that they use.
SET check_function_bodies = off;

CREATE TYPE public.admission AS (
	wait integer,
	is_known boolean
);

COMMENT ON TYPE public.admission IS 'Whether a code may be looked at: after that many seconds, 0 for now and null for not at all; and whether it comes from a known device or network.';

CREATE TYPE public.enrolment AS (
	code text,
	wait integer,
	id bigint,
	user_id bigint,
	username text,
	secret text
);

COMMENT ON TYPE public.enrolment IS 'An authenticator being enrolled; no secret: the user exists. code is null or an error''s, wait its retry_after.';

CREATE TYPE public.seat_status AS ENUM (
    'VACANT',
    'RESERVED',
    'OCCUPIED',
    'MAINTENANCE'
);

COMMENT ON TYPE public.seat_status IS 'What a seat is at the moment.';

CREATE TYPE public.seat_delta AS (
	hall_id bigint,
	seat_type_id bigint,
	status public.seat_status,
	seats bigint
);

COMMENT ON TYPE public.seat_delta IS 'Seats of one type and status that a hall has more, or less where it is negative.';

CREATE TYPE public.seat_event_kind AS ENUM (
    'status',
    'note',
    'hold',
    'expired',
    'layout'
);

COMMENT ON TYPE public.seat_event_kind IS 'What a revision changed: a seat''s status (and perhaps its note), its note alone, or the layout of the hall.';

CREATE TYPE public.user_role AS ENUM (
    'viewer',
    'operator',
    'admin'
);

COMMENT ON TYPE public.user_role IS 'What a user may do: a viewer watches halls, an operator also changes seats, an admin may do the same.';

CREATE TYPE public.signed_in AS (
	user_id bigint,
	username text,
	role public.user_role,
	session_id uuid,
	expires_at timestamp with time zone
);

COMMENT ON TYPE public.signed_in IS 'A user and the session just begun.';

CREATE TYPE public.wire_counts AS (
	"VACANT" bigint,
	"RESERVED" bigint,
	"OCCUPIED" bigint,
	"MAINTENANCE" bigint
);

COMMENT ON TYPE public.wire_counts IS 'How many seats are in each status.';

CREATE TYPE public.wire_seat_state AS (
	id bigint,
	status public.seat_status,
	updated_at text,
	note text,
	hold_until text
);

COMMENT ON TYPE public.wire_seat_state IS 'What changes of a seat without its layout.';

CREATE FUNCTION public.admit_code(p_user bigint, p_visitor bytea, p_network text) RETURNS public.admission
    LANGUAGE plpgsql
    AS $$
declare
    v_network bytea := sha256(convert_to(p_network, 'UTF8'));
    v_may_guess boolean;
    r admission;
begin
    r.is_known := true;
    perform from known_visitor k
    where k.user_id = p_user and k.visitor = p_visitor and k.expires_at > now() and may_guess(k.failures)
    for update;
    if found then
        r.wait := throttle_attempt('code', p_user || ':' || encode(p_visitor, 'hex'));
        if r.wait = 0 then
            update known_visitor k set failures = k.failures + 1 where k.user_id = p_user and k.visitor = p_visitor;
        end if;
        return r;
    end if;

    perform from known_network k
    where k.user_id = p_user and k.network = v_network and k.expires_at > now() and may_guess(k.failures)
    for update;
    if found then
        r.wait := throttle_attempt('code', p_user || ':' || p_network);
        if r.wait = 0 then
            update known_network k set failures = k.failures + 1 where k.user_id = p_user and k.network = v_network;
        end if;
        return r;
    end if;

    r.is_known := false;
    if exists (select from lockout l where l.user_id = p_user and not may_guess(l.failures)) then
        return r;
    end if;
    insert into lockout as l (user_id) values (p_user)
    on conflict (user_id) do update set failures = l.failures
    returning may_guess(l.failures) into v_may_guess;
    if v_may_guess then
        r.wait := throttle_attempt('code', p_user || ':' || p_network);
        if r.wait = 0 then
            update lockout l set failures = l.failures + 1 where l.user_id = p_user;
        end if;
    end if;
    return r;
end
$$;

COMMENT ON FUNCTION public.admit_code(p_user bigint, p_visitor bytea, p_network text) IS 'Counts a code for a user as wrong before it is looked at; forgive_codes takes that back.';

CREATE FUNCTION public.announce(body text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

COMMENT ON FUNCTION public.announce(body text) IS 'For triggers: notifies every server. The tag before the body is 16 bytes of SHA-256 over key, body, key.';

CREATE FUNCTION public.announce_layout(halls bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    if cardinality(halls) > 0 then
        perform checkpoint_halls(halls, whole => false);
        perform announce(hall_notice(h, 'layout')) from hall h where h.id = any(halls) order by h.id;
    end if;
end
$$;

COMMENT ON FUNCTION public.announce_layout(halls bigint[]) IS 'For triggers: announces a revision that clients load anew, and remembers it.';

CREATE FUNCTION public.announce_unannounced(of_hall bigint DEFAULT NULL::bigint) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
    halls bigint[];
    announced integer;
begin
    halls := array(
        select id from hall where id in (select u.hall_id from unannounced(of_hall) u) order by id for no key update
    );
    update hall set epoch = default where id = any(halls);

    insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, note, hold_until)
    select
        h.id, h.rev, u.seat_id,
        case
            when u.status <> u.known_status then 'status'
            when u.note is distinct from u.known_note then 'note'
            else 'hold'
        end::seat_event_kind,
        u.known_status, u.status, u.note, s.hold_until
    from unannounced(of_hall) u
    join hall h on h.id = u.hall_id
    join seat s on s.id = u.seat_id
    where h.id = any(halls);
    get diagnostics announced = row_count;
    return announced;
end
$$;

COMMENT ON FUNCTION public.announce_unannounced(of_hall bigint) IS 'Makes a revision of what unannounced shows, of one hall or of all, in a new epoch: counts are counted anew, and clients load the hall anew. Returns the number of seats.';

CREATE FUNCTION public.app_user_end_sessions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_reason text := auth_reason();
begin
    perform assert_table(tg_relid, 'app_user');
    perform record_auth_event('auth.role_changed', new.id, new.username, p_detail => old.role || ' to ' || new.role);
    perform set_config('seatsync.auth_reason', 'role', true);
    delete from session where user_id = new.id;
    perform set_config('seatsync.auth_reason', v_reason, true);
    return null;
end
$$;

COMMENT ON FUNCTION public.app_user_end_sessions() IS 'For a trigger of app_user: a new role is recorded, and ends the sessions.';

CREATE FUNCTION public.app_user_record() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'app_user');
    if tg_op = 'INSERT' then
        perform record_auth_event('auth.registered', new.id, new.username, p_detail => new.role::text);
    else
        perform record_auth_event('auth.recovered', new.id, new.username);
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION public.app_user_record() IS 'For triggers of app_user: records a new user or a new authenticator.';

CREATE FUNCTION public.app_user_record_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_reason text := auth_reason();
begin
    perform assert_table(tg_relid, 'app_user');
    if tg_op = 'TRUNCATE' then
        perform record_auth_event('auth.deleted', u.id, u.username) from app_user u;
        return null;
    end if;
    perform record_auth_event('auth.deleted', old.id, old.username);
    perform set_config('seatsync.auth_reason', 'deletion', true);
    delete from session where user_id = old.id;
    perform set_config('seatsync.auth_reason', v_reason, true);
    return old;
end
$$;

COMMENT ON FUNCTION public.app_user_record_deleted() IS 'For triggers of app_user: records that users go, and ends their sessions.';

CREATE FUNCTION public.app_user_shut_out() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_reason text := auth_reason();
begin
    perform assert_table(tg_relid, 'app_user');
    perform record_auth_event(
        case
            when new.deleted_at is not null then 'auth.deleted'
            when new.disabled_at is not null then 'auth.disabled'
            else 'auth.enabled'
        end,
        new.id,
        new.username
    );
    if new.disabled_at is not null then
        delete from registration g where g.user_id = new.id;
        perform set_config(
            'seatsync.auth_reason', case when new.deleted_at is null then 'disabled' else 'deletion' end, true
        );
        delete from session s where s.user_id = new.id;
        perform set_config('seatsync.auth_reason', v_reason, true);
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION public.app_user_shut_out() IS 'Trigger function: records that a user is disabled, enabled or deleted, and deletes the sessions and the recoveries under way of one who is disabled.';

CREATE FUNCTION public.as_client(p_id bigint, p_address text, p_visitor bytea, p_reason text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
begin
    perform set_config('seatsync.auth_address', coalesce(p_address, ''), true);
    perform set_config('seatsync.auth_device', coalesce(left(encode(p_visitor, 'hex'), 16), ''), true);
    perform set_config('seatsync.auth_reason', coalesce(p_reason, ''), true);
    return p_id;
end
$$;

COMMENT ON FUNCTION public.as_client(p_id bigint, p_address text, p_visitor bytea, p_reason text) IS 'Events of the rest of the transaction are of that client, for that reason. Returns the id: who uses it comes later.';

CREATE FUNCTION public.assert_table(relation oid, expected regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    if relation <> expected then
        raise exception 'this function is for triggers of the table % alone', expected
            using errcode = 'insufficient_privilege';
    end if;
end
$$;

COMMENT ON FUNCTION public.assert_table(relation oid, expected regclass) IS 'For triggers, which have the rights of the owner: refuses a table that is not ours.';

CREATE FUNCTION public.auth_event_append() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'auth_event');
    insert into auth_event_pending (event_id) select a.id from added a;
    return null;
end
$$;

COMMENT ON FUNCTION public.auth_event_append() IS 'For a trigger of auth_event: new events are to be logged by a server.';

CREATE FUNCTION public.auth_event_refuse() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_days integer := nullif(current_setting('seatsync.auth_event_days', true), '');
begin
    if tg_op = 'DELETE' and v_days >= 1 then
        if old.at < clock_timestamp() - make_interval(days => v_days) then
            return old;
        end if;
    end if;
    raise exception 'auth_event is append-only; keep_auth_events removes old rows'
        using errcode = 'insufficient_privilege';
end
$$;

COMMENT ON FUNCTION public.auth_event_refuse() IS 'For triggers of auth_event: lets keep_auth_events remove old rows, and nothing else.';

CREATE FUNCTION public.auth_reason() RETURNS text
    LANGUAGE sql STABLE
    AS $_$
    select coalesce(substring(current_setting('seatsync.auth_reason', true) from '^[a-z_]{1,32}$'), 'sql')
$_$;

COMMENT ON FUNCTION public.auth_reason() IS 'The reason of as_client; sql without.';

CREATE FUNCTION public.auth_setting(p_name text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select nullif(left(regexp_replace(current_setting('seatsync.auth_' || p_name, true), '[^\x20-\x7e]', '?', 'g'), 64), '')
$$;

COMMENT ON FUNCTION public.auth_setting(p_name text) IS 'The address or device of as_client, printable whoever set it; null without.';

CREATE FUNCTION public.begin_recovery(p_user bigint, p_phrase_hash text, p_visitor bytea, p_owner bytea, p_address text, p_secret text) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
    v_username text := start_recovery(p_user, p_phrase_hash, p_visitor, p_address, p_secret);
begin
    update registration g set owner = p_owner
    where v_username is not null and g.user_id = p_user and g.visitor = p_visitor;
    return v_username;
end
$$;

COMMENT ON FUNCTION public.begin_recovery(p_user bigint, p_phrase_hash text, p_visitor bytea, p_owner bytea, p_address text, p_secret text) IS 'start_recovery, with an owner.';

CREATE FUNCTION public.begin_registration(p_username text, p_visitor bytea, p_owner bytea, p_new_owner bytea, p_address text, p_secret text, p_open boolean) RETURNS public.enrolment
    LANGUAGE plpgsql
    AS $$
declare
    r enrolment := start_registration(p_username, p_visitor, p_address, p_secret, p_open);
    v_id bigint;
begin
    update registration g
    set id = default, owner = p_new_owner, totp_secret = p_secret, created_at = default, expires_at = default
    where g.id = r.id and g.owner is distinct from p_owner
    returning g.id into v_id;
    if found then
        r.id := v_id;
        r.secret := p_secret;
    end if;
    return r;
end
$$;

COMMENT ON FUNCTION public.begin_registration(p_username text, p_visitor bytea, p_owner bytea, p_new_owner bytea, p_address text, p_secret text, p_open boolean) IS 'start_registration, with an owner: whoever is not it, be it the same client, gets a new secret and the old one goes.';

CREATE FUNCTION public.change_seats(seat_ids bigint[], status public.seat_status, note text DEFAULT NULL::text) RETURNS integer
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
    changed integer;
begin
    perform from public.seat s where s.id = any(seat_ids) order by s.id for no key update;
    update public.seat s
    set status = change_seats.status, note = coalesce(change_seats.note, s.note)
    where s.id = any(seat_ids) and (s.status <> change_seats.status or s.note is distinct from coalesce(change_seats.note, s.note));
    get diagnostics changed = row_count;
    return changed;
end
$$;

COMMENT ON FUNCTION public.change_seats(seat_ids bigint[], status public.seat_status, note text) IS 'Sets the status of these seats, and for MAINTENANCE a note (null keeps it, an empty one removes it), with the rights of the caller; returns how many it has changed. It locks the seats in the order of their ids, as a plain UPDATE does not.';

CREATE FUNCTION public.checkpoint_halls(halls bigint[], whole boolean DEFAULT true) RETURNS integer
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    made integer;
begin
    insert into hall_checkpoint (hall_id, rev, epoch, whole, hall, types, seats)
    select h.id, h.rev, h.epoch, w.whole, to_jsonb(h), coalesce(t.types, '{}'), coalesce(s.seats, '{}')
    from hall h
    cross join lateral (
        select
            checkpoint_halls.whole
            or not exists (select from seat where seat.hall_id = h.id)
            or exists (select from hall_checkpoint c where c.hall_id = h.id and c.rev = h.rev and c.whole) as whole
    ) w
    cross join lateral (
        select jsonb_object_agg(t.id, t.name) as types
        from hall_count c
        join seat_type t on t.id = c.seat_type_id
        where c.hall_id = h.id
    ) t
    cross join lateral (
        select array_agg(s.seat) as seats
        from (
            select seat from seat where seat.hall_id = h.id and w.whole
            union all
            -- Joined by id alone: an index of halls would look as good to the planner, and has all their seats.
            select case
                when seat.hall_id = h.id then seat
                else jsonb_populate_record(null::seat, jsonb_build_object('id', e.seat_id))
            end
            from seat_event e
            left join seat on seat.id = e.seat_id
            where e.hall_id = h.id and e.rev = h.rev and e.kind = 'layout' and e.seat_id <> 0 and not w.whole
        ) s
    ) s
    where h.id = any(halls)
    on conflict (hall_id, rev) do update
    set at = excluded.at, whole = excluded.whole, hall = excluded.hall, types = excluded.types, seats = excluded.seats;
    get diagnostics made = row_count;
    return made;
end
$$;

COMMENT ON FUNCTION public.checkpoint_halls(halls bigint[], whole boolean) IS 'Makes a checkpoint of each of these halls as it is now, a whole one or one of what its revision has changed in the layout; returns how many.';

CREATE FUNCTION public.cinema_announce_list() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'cinema');
    perform announce('cinemas');
    return null;
end
$$;

COMMENT ON FUNCTION public.cinema_announce_list() IS 'Trigger function: notifies the servers that the list of cinemas has changed.';

CREATE FUNCTION public.cinema_announce_updated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'cinema');
    perform announce(format('cinema %s', new.id));
    return null;
end
$$;

COMMENT ON FUNCTION public.cinema_announce_updated() IS 'Trigger function: notifies the servers of the cinema whose name or colour has changed.';

CREATE FUNCTION public.count_lookup(p_username text, p_visitor bytea, p_network text, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
begin
    if exists (
        select from app_user u
        where lower(u.username collate "C") = lower(p_username collate "C") and is_known_device(u.id, p_visitor)
    ) then
        return 0;
    end if;
    return throttle_window('lookup', p_network, p_limit);
end
$$;

COMMENT ON FUNCTION public.count_lookup(p_username text, p_visitor bytea, p_network text, p_limit integer) IS 'Counts a question about a name, so many a minute from a network, and returns the seconds to wait; a device is free to ask for the user whom it has signed in as.';

CREATE FUNCTION public.count_seats(deltas public.seat_delta[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    counts hall_count[] := array(select d from counts_of(deltas) d);
    crowded bigint;
begin
    insert into hall_count as c
    select d.*
    from unnest(counts) d
    where (d.seats, d.vacant, d.reserved, d.occupied, d.maintenance) <> (0, 0, 0, 0, 0)
    order by d.hall_id, d.seat_type_id
    on conflict (hall_id, seat_type_id) do update set
        seats = c.seats + excluded.seats,
        vacant = c.vacant + excluded.vacant,
        reserved = c.reserved + excluded.reserved,
        occupied = c.occupied + excluded.occupied,
        maintenance = c.maintenance + excluded.maintenance;

    delete from hall_count c
    where c.hall_id = any(array(select d.hall_id from unnest(counts) d where d.seats < 0)) and c.seats <= 0;

    select c.hall_id into crowded
    from hall_count c
    where c.hall_id = any(array(select d.hall_id from unnest(counts) d where d.seats > 0))
    group by c.hall_id
    having sum(c.seats) > 50000;
    if found then
        raise exception 'hall % would have more than 50000 seats', crowded
            using errcode = 'check_violation', hint = 'Clients could not load it. Make several halls of it.';
    end if;
end
$$;

COMMENT ON FUNCTION public.count_seats(deltas public.seat_delta[]) IS 'For triggers: adds to the counts of halls, which are there. A hall has at most 50,000 seats.';


SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE public.hall_count (
    hall_id bigint NOT NULL,
    seat_type_id bigint NOT NULL,
    seats bigint NOT NULL,
    vacant bigint NOT NULL,
    reserved bigint NOT NULL,
    occupied bigint NOT NULL,
    maintenance bigint NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE public.hall_count IS 'How many seats of each type a hall has, and in which status they are. Kept by triggers; a renewed epoch counts anew.';

COMMENT ON COLUMN public.hall_count.hall_id IS 'The hall.';

COMMENT ON COLUMN public.hall_count.seat_type_id IS 'The seat type, of which the hall has at least one seat.';

COMMENT ON COLUMN public.hall_count.seats IS 'Its seats of that type in the hall.';

COMMENT ON COLUMN public.hall_count.vacant IS 'Of those, the VACANT.';

COMMENT ON COLUMN public.hall_count.reserved IS 'Of those, the RESERVED.';

COMMENT ON COLUMN public.hall_count.occupied IS 'Of those, the OCCUPIED.';

COMMENT ON COLUMN public.hall_count.maintenance IS 'Of those, the ones in MAINTENANCE.';

CREATE FUNCTION public.counts_of(deltas public.seat_delta[]) RETURNS SETOF public.hall_count
    LANGUAGE sql IMMUTABLE
    AS $$
    select
        d.hall_id,
        d.seat_type_id,
        sum(d.seats)::bigint,
        coalesce(sum(d.seats) filter (where d.status = 'VACANT'), 0)::bigint,
        coalesce(sum(d.seats) filter (where d.status = 'RESERVED'), 0)::bigint,
        coalesce(sum(d.seats) filter (where d.status = 'OCCUPIED'), 0)::bigint,
        coalesce(sum(d.seats) filter (where d.status = 'MAINTENANCE'), 0)::bigint
    from unnest(deltas) d
    group by d.hall_id, d.seat_type_id
$$;

COMMENT ON FUNCTION public.counts_of(deltas public.seat_delta[]) IS 'For triggers: what these add to the counts.';

CREATE FUNCTION public.create_account(p_registration bigint, p_secret text, p_step bigint, p_role public.user_role, p_local boolean, p_replaces uuid, p_seen bytea, p_known bytea) RETURNS SETOF public.signed_in
    LANGUAGE plpgsql
    AS $$
declare
    v_username text;
    v_user bigint;
    v_role user_role := p_role;
begin
    delete from registration g
    where g.id = p_registration and g.totp_secret = p_secret and g.expires_at > now()
    returning g.username into v_username;
    if not found then
        return;
    end if;
    if p_local and not exists (select from app_user) then
        lock table recovery in share row exclusive mode;
        if not exists (select from app_user) then
            v_role := 'admin';
        end if;
    end if;
    insert into app_user (username, role, totp_secret, totp_last_step)
    values (v_username, v_role, p_secret, p_step)
    returning id into v_user;
    delete from throttle t where t.scope = 'register' and t.subject = p_registration::text;
    return query select * from open_session(v_user, p_replaces, p_seen, p_known);
end
$$;

COMMENT ON FUNCTION public.create_account(p_registration bigint, p_secret text, p_step bigint, p_role public.user_role, p_local boolean, p_replaces uuid, p_seen bytea, p_known bytea) IS 'Makes a confirmed registration a user; no row when it is gone, unique_violation when the name is taken.';

CREATE FUNCTION public.delete_user(p_user bigint, p_secret text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    update app_user u set disabled_at = coalesce(u.disabled_at, now()), deleted_at = now() where u.id = p_user;
    perform reset_user(p_user, p_secret, null);
end
$$;

COMMENT ON FUNCTION public.delete_user(p_user bigint, p_secret text) IS 'Deletes a user but for the name, the role and the times: disabled for good, and reset without a phrase.';

CREATE FUNCTION public.due_seats(of_hall bigint, due timestamp with time zone, most integer) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
begin
    return array(
        select s.id
        from seat_hold d
        join seat s on s.id = d.seat_id
        where d.hall_id = of_hall and d.until <= due and s.hold_until <= due
        order by d.until, d.seat_id
        limit most
        for no key update of s skip locked
    );
end
$$;

COMMENT ON FUNCTION public.due_seats(of_hall bigint, due timestamp with time zone, most integer) IS 'For expire_holds: locks so many seats of a hall, at most, whose hold is due, but for those that are locked.';

CREATE TABLE public.seat_event (
    hall_id bigint CONSTRAINT seat_event_hall_id_not_null1 NOT NULL,
    rev bigint CONSTRAINT seat_event_rev_not_null1 NOT NULL,
    seat_id bigint DEFAULT 0 CONSTRAINT seat_event_seat_id_not_null1 NOT NULL,
    kind public.seat_event_kind CONSTRAINT seat_event_kind_not_null1 NOT NULL,
    old_status public.seat_status,
    new_status public.seat_status,
    note text,
    by bigint,
    at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT seat_event_at_not_null1 NOT NULL,
    before jsonb,
    hold_until timestamp with time zone,
    CONSTRAINT seat_event_status_is_of_a_seat CHECK (((seat_id <> 0) OR ((kind = 'layout'::public.seat_event_kind) AND (new_status IS NULL))))
)
PARTITION BY RANGE (at);

COMMENT ON TABLE public.seat_event IS 'The history: what each revision of a hall changed. Kept when seats go, gone with the hall; old days are dropped.';

COMMENT ON COLUMN public.seat_event.hall_id IS 'The hall.';

COMMENT ON COLUMN public.seat_event.rev IS 'Its revision. Order by it: times of revisions that wait for each other overtake.';

COMMENT ON COLUMN public.seat_event.seat_id IS 'The seat; 0 for a change of the hall itself or of a seat type.';

COMMENT ON COLUMN public.seat_event.kind IS 'layout: the seat is new, gone or moved, whatever became of its status. expired: a hold that was due has ended, and no user has ended it. hold: its end is another one, or it lasts now.';

COMMENT ON COLUMN public.seat_event.old_status IS 'The status before; null where it has not changed with the layout.';

COMMENT ON COLUMN public.seat_event.new_status IS 'The status from then on; null where it has not changed with the layout.';

COMMENT ON COLUMN public.seat_event.note IS 'The note from then on.';

COMMENT ON COLUMN public.seat_event.by IS 'The user whose request it was; null when it was SQL.';

COMMENT ON COLUMN public.seat_event.at IS 'When it changed, by the clock of the database.';

COMMENT ON COLUMN public.seat_event.before IS 'For a change of layout the row as it was: of the seat, null for a new one; of the hall; or the renamed seat types.';

COMMENT ON COLUMN public.seat_event.hold_until IS 'The end of the hold from then on; null where there is none.';

CREATE FUNCTION public.events_after(hall_id bigint, epoch text, rev bigint, most integer) RETURNS SETOF public.seat_event
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
    hall hall;
    last bigint;  -- the last of the revisions to return
begin
    if most < 1 then
        raise exception 'one revision at least' using errcode = 'invalid_parameter_value';
    end if;
    select h.* into hall from hall h where h.id = events_after.hall_id;
    if not found then
        raise exception 'there is no hall %', events_after.hall_id using errcode = 'no_data_found';
    end if;
    if (events_after.epoch in (hall.epoch, wire_epoch(hall.epoch)) and events_after.rev <= hall.rev) is not true then
        raise exception 'hall % has another epoch', hall.id
            using errcode = 'no_data_found', hint = 'Begin with the hall as it is: start_consumer(name, hall_id).';
    end if;
    last := least(hall.rev, events_after.rev + most);
    if last > events_after.rev and (
        not exists (
            select
            from hall_checkpoint c
            where c.hall_id = hall.id and c.epoch = hall.epoch and c.rev <= events_after.rev
        )
        or last - events_after.rev <> (
            select count(distinct e.rev)
            from seat_event e
            where e.hall_id = hall.id and e.rev > events_after.rev and e.rev <= last
        )
    ) then
        raise exception 'the history of hall % does not go back to revision %', hall.id, events_after.rev
            using errcode = 'no_data_found', hint = 'Begin with the hall as it is: start_consumer(name, hall_id).';
    end if;
    return query
    select e.*
    from seat_event e
    where e.hall_id = hall.id and e.rev > events_after.rev and e.rev <= last
    order by e.rev, e.seat_id;
end
$$;

COMMENT ON FUNCTION public.events_after(hall_id bigint, epoch text, rev bigint, most integer) IS 'The events of the next revisions of a hall, so many at most and each whole, after one of that epoch (as the hall or as clients have it); none at the present. Fails (P0002) where the history does not lead on from there: pruned, of another epoch, still to come, or no hall.';

CREATE FUNCTION public.expire_holds(most integer) RETURNS TABLE(expired integer, due_in double precision)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '50ms'
    AS $$
#variable_conflict use_column
declare
    due timestamptz := clock_timestamp();
    looked_at integer;
    halls bigint[];
    one bigint;
    locked integer := 0;
    seats bigint[] := '{}';
begin
    -- First those that are due longest; all of them only if none of their halls is to be had.
    foreach looked_at in array array[2000, null] loop
        halls := array(
            select d.hall_id
            from (select * from seat_hold d where d.until <= due order by d.until limit looked_at) d
            group by d.hall_id
            order by min(d.until)
        );
        foreach one in array halls loop
            perform from hall h where h.id = one for no key update skip locked;
            if found then
                locked := locked + 1;
                seats := seats || due_seats(one, due, most - cardinality(seats));
                exit when locked = 16 or cardinality(seats) >= most;
            end if;
        end loop;
        exit when locked > 0 or halls = '{}';
    end loop;
    if locked = 0 and halls <> '{}' and most > 0 then
        begin
            one := halls[1 + floor(random() * cardinality(halls))];
            perform from hall h where h.id = one for no key update;
            seats := due_seats(one, due, most);
        exception
            when lock_not_available then null;
        end;
    end if;
    update seat set status = 'VACANT' where id = any(seats);
    if seats = '{}' and halls <> '{}' then
        -- Of seats that were changed or removed while triggers were disabled.
        delete from seat_hold d
        where d.until <= due and not exists (
            select from seat s where s.id = d.seat_id and s.hall_id = d.hall_id and s.hold_until = d.until
        );
    end if;
    expired := cardinality(seats);
    due_in := (select extract(epoch from min(d.until) - clock_timestamp()) from seat_hold d);
    return next;
end
$$;

COMMENT ON FUNCTION public.expire_holds(most integer) IS 'Makes seats VACANT whose hold is due by the clock of the database, so many at most and of 16 halls, but for those that another session keeps locked. Returns how many, and in how many seconds the next are due: null without holds.';

CREATE FUNCTION public.failures_a_minute() RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $$
    select 10
$$;

COMMENT ON FUNCTION public.failures_a_minute() IS 'So many failures of a user have a row each in a minute, and so many of all names that nobody has; the rest is counted.';

CREATE FUNCTION public.find_enrolment(p_username text, p_visitor bytea, p_open boolean) RETURNS public.enrolment
    LANGUAGE plpgsql
    AS $$
declare
    r enrolment;
    v_until timestamptz;
begin
    select u.id into r.user_id from app_user u where lower(u.username collate "C") = lower(p_username collate "C");
    select g.id, g.username, g.totp_secret, g.expires_at into r.id, r.username, r.secret, v_until
    from registration g
    where lower(g.username collate "C") = lower(p_username collate "C")
        and coalesce(g.owner, g.visitor) = p_visitor and g.user_id is not distinct from r.user_id;
    r.code := case
        when r.user_id is null and not p_open then 'RegistrationClosed'
        when r.id is null and r.user_id is not null then 'UserAlreadyExists'
        when r.id is null then 'RegistrationNotInProgress'
        when v_until <= now() then 'RegistrationExpired'
    end;
    if r.code is null then
        r.wait := throttle_attempt('register', r.id::text);
        if r.wait > 0 then
            r.code := 'TooManyValidationAttempts';
        end if;
    end if;
    return r;
end
$$;

COMMENT ON FUNCTION public.find_enrolment(p_username text, p_visitor bytea, p_open boolean) IS 'The enrolment that its owner wants to confirm, its attempt counted.';

CREATE FUNCTION public.finish_recovery(p_registration bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea) RETURNS SETOF public.signed_in
    LANGUAGE plpgsql
    AS $$
declare
    v_user bigint;
begin
    select u.id into v_user
    from registration g
    join app_user u on u.id = g.user_id
    where g.id = p_registration
    for no key update of u;
    delete from registration g
    where g.id = p_registration and g.totp_secret = p_secret and g.expires_at > now();
    if not found then
        return;
    end if;
    update app_user u set totp_secret = p_secret, totp_last_step = p_step where u.id = v_user;
    delete from registration g where g.user_id = v_user;
    delete from recovery r where r.user_id = v_user;
    delete from session s where s.user_id = v_user;
    delete from known_visitor k where k.user_id = v_user;
    delete from known_network k where k.user_id = v_user;
    delete from throttle t where t.scope = 'register' and t.subject = p_registration::text;
    return query select * from open_session(v_user, p_replaces, p_seen, p_known);
end
$$;

COMMENT ON FUNCTION public.finish_recovery(p_registration bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea) IS 'Replaces the old authenticator: phrase, sessions, known devices and networks and other recoveries go; no row when it is gone.';

CREATE FUNCTION public.forgive_codes(p_user bigint, p_visitor bytea, p_network text, p_known boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    update known_visitor k set failures = 0
    where k.user_id = p_user and k.visitor = p_visitor and k.failures > 0;
    update known_network k set failures = 0
    where k.user_id = p_user and k.network = sha256(convert_to(p_network, 'UTF8')) and k.failures > 0;
    if not p_known then
        delete from lockout l where l.user_id = p_user;
    end if;
    delete from throttle t
    where t.scope = 'code' and t.subject in (p_user || ':' || encode(p_visitor, 'hex'), p_user || ':' || p_network);
end
$$;

COMMENT ON FUNCTION public.forgive_codes(p_user bigint, p_visitor bytea, p_network text, p_known boolean) IS 'A right code: the wrong ones before it of that device and network are forgiven, and if it came from neither a known device nor a known network, those of all unknown clients.';

CREATE FUNCTION public.grant_server(server regrole) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
    part regproc;
begin
    for part in
        select p.oid
        from pg_proc p
        join pg_proc this on this.oid = 'public.grant_server(regrole)'::regprocedure
        where p.pronamespace = this.pronamespace and p.proowner = this.proowner
          and p.proargtypes = this.proargtypes and p.proname ~ '^grant_server_\d{4}$'
        order by p.proname
    loop
        execute format('select %s($1)', part) using server;
    end loop;
end
$_$;

COMMENT ON FUNCTION public.grant_server(server regrole) IS 'Grants a role what `seatsync serve` needs, and no more, by the functions grant_server_0021 and so on, one a file; seatsync migrate calls it.';

CREATE FUNCTION public.grant_server_0021(server regrole) RETURNS void
    LANGUAGE plpgsql
    AS $_$
begin
    perform grant_server_before_holds(server);
    execute format('grant update (hold_until) on seat to %1$s; grant execute on function expire_holds to %1$s', server);
end
$_$;

COMMENT ON FUNCTION public.grant_server_0021(server regrole) IS 'For grant_server: the rights of the files up to 0021_holds.sql.';

CREATE FUNCTION public.grant_server_0025(server regrole) RETURNS void
    LANGUAGE plpgsql
    AS $_$
begin
    execute format('grant execute on function index_history to %1$s', server);
end
$_$;

COMMENT ON FUNCTION public.grant_server_0025(server regrole) IS 'For grant_server: the rights of 0025_history.sql.';

CREATE FUNCTION public.grant_server_0026(server regrole) RETURNS void
    LANGUAGE plpgsql
    AS $_$
begin
    execute format('grant execute on function keep_checkpoints to %1$s', server);
end
$_$;

COMMENT ON FUNCTION public.grant_server_0026(server regrole) IS 'For grant_server: the rights of 0026_checkpoints.sql.';

CREATE FUNCTION public.grant_server_0031(server regrole) RETURNS void
    LANGUAGE plpgsql
    AS $_$
begin
    execute format('grant select on occupancy_hour to %1$s; grant execute on function roll_up_occupancy to %1$s', server);
end
$_$;

COMMENT ON FUNCTION public.grant_server_0031(server regrole) IS 'For grant_server: the rights of 0031_occupancy.sql.';

CREATE FUNCTION public.grant_server_before_auth_events(server regrole) RETURNS void
    LANGUAGE plpgsql
    AS $_$
begin
    execute format(
        'grant select on all tables in schema public to %1$s;'
        'grant update (status, note, updated_at, updated_by) on seat to %1$s;'
        'grant insert, update (totp_secret, totp_last_step) on app_user to %1$s;'
        'grant insert, update, delete on session, registration, recovery, known_visitor, throttle, write_key to %1$s;'
        'grant insert, update, delete on known_network, lockout to %1$s;'
        'grant execute on function'
        ' write_seats, unlocked_halls, keep_history, throttle_attempt, throttle_window, throttle_subject, open_session,'
        ' log_in, start_registration, find_enrolment, create_account, start_recovery, finish_recovery, save_phrase,'
        ' may_guess, is_known_device, guess_subject, count_lookup, admit_code, forgive_codes, remember_client,'
        ' begin_registration, begin_recovery'
        ' to %1$s',
        server
    );
end
$_$;

COMMENT ON FUNCTION public.grant_server_before_auth_events(server regrole) IS 'For grant_server: the rights of the files before 0019_auth_events.sql.';

CREATE FUNCTION public.grant_server_before_holds(server regrole) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    perform grant_server_before_auth_events(server);
    execute format(
        'grant execute on function as_client, record_failure, record_refusal, take_auth_events, keep_auth_events'
        ' to %s',
        server
    );
end
$$;

COMMENT ON FUNCTION public.grant_server_before_holds(server regrole) IS 'For grant_server: the rights of the files before 0021_holds.sql.';

CREATE FUNCTION public.guess_subject(p_user bigint, p_visitor bytea, p_network text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select p_user || ':'
        || case when is_known_device(p_user, p_visitor) then encode(p_visitor, 'hex') else p_network end
$$;

COMMENT ON FUNCTION public.guess_subject(p_user bigint, p_visitor bytea, p_network text) IS 'Whose guesses at a user''s secrets are counted together: a known device''s own, or a network''s.';

CREATE FUNCTION public.hall_announce_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'hall');
    delete from seat_event where hall_id = old.id;
    perform announce(format('hall %s deleted', old.id));
    perform announce('cinemas');
    return null;
end
$$;

COMMENT ON FUNCTION public.hall_announce_deleted() IS 'Trigger function: removes the hall''s history and notifies the servers, which end its subscriptions.';

CREATE FUNCTION public.hall_announce_inserted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'hall');
    perform checkpoint_halls(array[new.id]);
    perform announce(format('cinema %s', new.cinema_id));
    return null;
end
$$;

COMMENT ON FUNCTION public.hall_announce_inserted() IS 'Trigger function: notifies the servers that the cinema has one more hall.';

CREATE FUNCTION public.hall_announce_truncated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'hall');
    delete from seat_event;
    perform announce(format('hall %s deleted', id)) from hall;
    perform announce('cinemas');
    return null;
end
$$;

COMMENT ON FUNCTION public.hall_announce_truncated() IS 'Trigger function: removes the history and notifies the servers of each hall, before all are removed.';

CREATE FUNCTION public.hall_announce_updated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'hall');
    if new.epoch <> old.epoch then
        perform recount_seats(array[new.id]);
    end if;
    insert into seat_event (hall_id, rev, kind, before) values (new.id, new.rev, 'layout', to_jsonb(old));
    perform checkpoint_halls(array[new.id], whole => new.epoch <> old.epoch);
    perform announce(hall_notice(new, 'layout'));
    if new.cinema_id <> old.cinema_id then
        perform announce('cinemas');
    elsif (new.name, new.rows, new.places) is distinct from (old.name, old.rows, old.places) then
        perform announce(format('cinema %s', new.cinema_id));
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION public.hall_announce_updated() IS 'Trigger function: writes the change of the hall''s own row into the history and notifies the servers; those who watch the list of cinemas get its new name or size. With a new epoch the seats are counted anew.';

CREATE TABLE public.seat (
    id bigint NOT NULL,
    hall_id bigint NOT NULL,
    seat_type_id bigint NOT NULL,
    "row" integer NOT NULL,
    place integer NOT NULL,
    x double precision NOT NULL,
    y double precision NOT NULL,
    width double precision DEFAULT 32 NOT NULL,
    height double precision DEFAULT 32 NOT NULL,
    rotation double precision DEFAULT 0 NOT NULL,
    status public.seat_status DEFAULT 'VACANT'::public.seat_status NOT NULL,
    note text,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_by bigint,
    hold_until timestamp with time zone,
    section text,
    row_label text,
    place_label text,
    CONSTRAINT seat_hold_of_reserved CHECK (((hold_until IS NULL) OR ((status = 'RESERVED'::public.seat_status) AND isfinite(hold_until)))),
    CONSTRAINT seat_id_positive CHECK ((id > 0)),
    CONSTRAINT seat_note_in_maintenance CHECK (((note IS NULL) OR (status = 'MAINTENANCE'::public.seat_status))),
    CONSTRAINT seat_note_length CHECK (((char_length(note) >= 1) AND (char_length(note) <= 200))),
    CONSTRAINT seat_place_label_sensible CHECK (((place_label ~ '^\S(.*\S)?$'::text) AND (char_length(place_label) <= 32))),
    CONSTRAINT seat_place_positive CHECK ((place > 0)),
    CONSTRAINT seat_position_sensible CHECK (((abs(x) <= (1000000)::double precision) AND (abs(y) <= (1000000)::double precision))),
    CONSTRAINT seat_rotation_degrees CHECK ((abs(rotation) <= (360)::double precision)),
    CONSTRAINT seat_row_label_sensible CHECK (((row_label ~ '^\S(.*\S)?$'::text) AND (char_length(row_label) <= 32))),
    CONSTRAINT seat_row_positive CHECK (("row" > 0)),
    CONSTRAINT seat_section_sensible CHECK (((section ~ '^\S(.*\S)?$'::text) AND (char_length(ltrim(section, ''::text)) <= 100))),
    CONSTRAINT seat_size_positive CHECK (((width > (0)::double precision) AND (width <= (10000)::double precision) AND (height > (0)::double precision) AND (height <= (10000)::double precision)))
)
WITH (fillfactor='80');

COMMENT ON TABLE public.seat IS 'A seat of a hall. A seat is known by its id; section, row and place are where it stands in the hall, and what people read of these differs from seat to seat, too.';

COMMENT ON COLUMN public.seat.id IS 'Clients and the history know the seat by it; it never changes.';

COMMENT ON COLUMN public.seat.hall_id IS 'The hall that the seat stands in; a seat goes with its hall.';

COMMENT ON COLUMN public.seat.seat_type_id IS 'What kind of seat it is. A type that a seat has cannot be deleted.';

COMMENT ON COLUMN public.seat."row" IS 'Which row of its section it stands in, from 1; for the order.';

COMMENT ON COLUMN public.seat.place IS 'Which place of its row it is, from 1; for the order.';

COMMENT ON COLUMN public.seat.x IS 'Left edge, in the units of the hall''s plan; from the place when not given.';

COMMENT ON COLUMN public.seat.y IS 'Upper edge, in the units of the hall''s plan; from the row when not given.';

COMMENT ON COLUMN public.seat.width IS 'In the units of the hall''s plan.';

COMMENT ON COLUMN public.seat.height IS 'In the units of the hall''s plan.';

COMMENT ON COLUMN public.seat.rotation IS 'Degrees clockwise around the middle of the seat.';

COMMENT ON COLUMN public.seat.status IS 'What the seat is at the moment. Users change it by the rules of the protocol; SQL may set any status.';

COMMENT ON COLUMN public.seat.note IS 'What a person should know of a seat in MAINTENANCE; gone when it leaves that status.';

COMMENT ON COLUMN public.seat.updated_at IS 'Kept by a trigger: when status, note or hold_until last changed.';

COMMENT ON COLUMN public.seat.updated_by IS 'Kept by a trigger: the user whose request set the status; null when SQL did, so the seat is nobody''s own.';

COMMENT ON COLUMN public.seat.hold_until IS 'When a RESERVED seat becomes VACANT by itself; null for a reservation that lasts. Any change of status ends it.';

COMMENT ON COLUMN public.seat.section IS 'The part of the hall, such as Balcony; null in a hall without. At most 100 characters, none of them a blank at an end.';

COMMENT ON COLUMN public.seat.row_label IS 'What people read for the row, such as AA; null for the number. At most 32 characters.';

COMMENT ON COLUMN public.seat.place_label IS 'What people read for the place, such as 12a; null for the number. At most 32 characters.';

CREATE FUNCTION public.hall_at(hall_id bigint, at timestamp with time zone) RETURNS SETOF public.seat
    LANGUAGE sql STABLE
    AS $$
    select * from hall_at_rev(hall_id, hall_rev_at(hall_id, at))
$$;

COMMENT ON FUNCTION public.hall_at(hall_id bigint, at timestamp with time zone) IS 'Every seat of a hall as it was at that time: hall_at_rev of hall_rev_at.';

CREATE FUNCTION public.hall_at_rev(hall_id bigint, rev bigint) RETURNS SETOF public.seat
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
    base bigint;  -- the revision of the last whole checkpoint
begin
    select c.rev into base
    from hall h
    join hall_checkpoint c on c.hall_id = h.id and c.epoch = h.epoch and c.whole
    where h.id = hall_at_rev.hall_id and c.rev <= hall_at_rev.rev and h.rev >= hall_at_rev.rev
    order by c.rev desc
    limit 1;
    if (
        select count(distinct e.rev)
        from seat_event e
        where e.hall_id = hall_at_rev.hall_id and e.rev > base and e.rev <= hall_at_rev.rev
    ) is distinct from hall_at_rev.rev - base then
        raise exception 'the history of the hall does not go there' using errcode = 'no_data_found';
    end if;

    -- All columns of seat, in their order.
    return query
    with layout as (
        select distinct on (seat.id) seat, c.rev
        from hall_checkpoint c
        cross join lateral unnest(c.seats) seat
        where c.hall_id = hall_at_rev.hall_id and c.rev between base and hall_at_rev.rev
        order by seat.id, c.rev desc
    ),
    state as (
        select distinct on (e.seat_id)
            e.seat_id, e.rev, e.new_status as status, e.note, e.hold_until, e.at as updated_at, e.by as updated_by
        from seat_event e
        where e.hall_id = hall_at_rev.hall_id and e.rev > base and e.rev <= hall_at_rev.rev and e.kind <> 'layout'
        order by e.seat_id, e.rev desc
    )
    select
        (l.seat).id,
        (l.seat).hall_id,
        (l.seat).seat_type_id,
        (l.seat).row,
        (l.seat).place,
        (l.seat).x,
        (l.seat).y,
        (l.seat).width,
        (l.seat).height,
        (l.seat).rotation,
        case when s.seat_id is null then (l.seat).status else s.status end,
        case when s.seat_id is null then (l.seat).note else s.note end,
        case when s.seat_id is null then (l.seat).updated_at else s.updated_at end,
        case when s.seat_id is null then (l.seat).updated_by else s.updated_by end,
        case when s.seat_id is null then (l.seat).hold_until else s.hold_until end,
        (l.seat).section,
        (l.seat).row_label,
        (l.seat).place_label
    from layout l
    left join state s on s.seat_id = (l.seat).id and s.rev > l.rev
    where (l.seat).hall_id is not null
    order by (l.seat).section, (l.seat).row, (l.seat).place;
end
$$;

COMMENT ON FUNCTION public.hall_at_rev(hall_id bigint, rev bigint) IS 'Every seat of a hall as it was at a revision, with the layout of then. Fails (P0002) before the history or the epoch begins, for a revision that is still to come, and where somebody has removed events.';

CREATE FUNCTION public.hall_changes(hall_id bigint, since bigint, seen_epoch text) RETURNS TABLE(rev bigint, epoch text, whole boolean, data text)
    LANGUAGE sql STABLE
    AS $$
    select
        h.rev,
        h.epoch,
        w.whole,
        case when w.whole then hall_update(h.id, missed.seats, since) end
    from (
        select hall.id, hall.rev, wire_epoch(hall.epoch) as epoch from hall where hall.id = hall_changes.hall_id
    ) h
    cross join lateral (
        select
            count(distinct e.rev) as revs,
            coalesce(bool_or(e.kind = 'layout'), false) as relaid,
            array_agg(distinct e.seat_id) as seats,
            count(*) as events
        from (
            select *
            from seat_event e
            where e.hall_id = h.id and e.rev > since and e.rev <= h.rev
              and h.epoch = seen_epoch and h.rev - since <= 1000
            limit 10001
        ) e
    ) missed
    cross join lateral (
        select h.epoch = seen_epoch and since <= h.rev and missed.revs = h.rev - since and not missed.relaid
            and missed.events <= 10000 as whole
    ) w
$$;

COMMENT ON FUNCTION public.hall_changes(hall_id bigint, since bigint, seen_epoch text) IS 'Everything after the revision `since` of an epoch, merged into one update, if it is still known and the layout is the same (`whole`); else `data` is null. No row when there is no such hall.';

CREATE FUNCTION public.hall_counts(hall_id bigint) RETURNS public.wire_counts
    LANGUAGE plpgsql STABLE
    AS $$
begin
    return (
        select (
            coalesce(sum(c.vacant), 0), coalesce(sum(c.reserved), 0),
            coalesce(sum(c.occupied), 0), coalesce(sum(c.maintenance), 0)
        )::wire_counts
        from hall_count c
        where c.hall_id = hall_counts.hall_id
    );
end
$$;

COMMENT ON FUNCTION public.hall_counts(hall_id bigint) IS 'How many seats of a hall are in each status; zeros for an empty hall.';

CREATE FUNCTION public.hall_keep_rev() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if new.rev <> old.rev then
        raise exception 'hall.rev is kept by triggers'
            using errcode = 'restrict_violation', hint = 'To have clients begin anew: update hall set epoch = default.';
    end if;
    new.rev := old.rev + 1;
    return new;
end
$$;

COMMENT ON FUNCTION public.hall_keep_rev() IS 'Trigger function: counts a change of the hall''s own row as a revision, and refuses to set `rev` by hand.';

CREATE TABLE public.hall (
    id bigint NOT NULL,
    cinema_id bigint NOT NULL,
    name text NOT NULL,
    rows integer NOT NULL,
    places integer NOT NULL,
    rev bigint DEFAULT 0 NOT NULL,
    epoch text DEFAULT "left"((gen_random_uuid())::text, 8) NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT hall_epoch_format CHECK ((epoch ~ '^[0-9a-z]{1,32}$'::text)),
    CONSTRAINT hall_id_positive CHECK ((id > 0)),
    CONSTRAINT hall_name_sensible CHECK (((name ~ '\S'::text) AND (char_length(name) <= 200))),
    CONSTRAINT hall_places_positive CHECK ((places > 0)),
    CONSTRAINT hall_rev_not_negative CHECK ((rev >= 0)),
    CONSTRAINT hall_rows_positive CHECK ((rows > 0))
);

COMMENT ON TABLE public.hall IS 'A hall of a cinema. Its rev counts the changes to it and to its seats.';

COMMENT ON COLUMN public.hall.id IS 'Clients subscribe to it; it never changes.';

COMMENT ON COLUMN public.hall.cinema_id IS 'The cinema that it belongs to. It may move to another, and goes with its cinema.';

COMMENT ON COLUMN public.hall.name IS 'Its name in clients, at most 200 characters.';

COMMENT ON COLUMN public.hall.rows IS 'How many rows its plan has.';

COMMENT ON COLUMN public.hall.places IS 'How many places its longest row has.';

COMMENT ON COLUMN public.hall.rev IS 'Kept by triggers: the next whole number for every statement that changes the hall.';

COMMENT ON COLUMN public.hall.epoch IS 'What rev counts in. Renew it after restoring a dump, so that no client takes old revisions for new ones: update hall set epoch = default.';

COMMENT ON COLUMN public.hall.created_at IS 'When the hall was added.';

CREATE FUNCTION public.hall_notice(h public.hall, data text) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
declare
    bare text := format('hall %s %s %s', h.id, wire_epoch(h.epoch), h.rev);
    whole text := bare || ' ' || data;
begin
    return case when octet_length(whole) < 7975 then whole else bare end;
end
$$;

COMMENT ON FUNCTION public.hall_notice(h public.hall, data text) IS 'What announces the revision of a hall: with its data where that fits into a notification, which would fail at 8000 bytes (the tag takes 25); without where it does not, or is null.';

CREATE FUNCTION public.hall_occupancy(hall_id bigint, since timestamp with time zone, until timestamp with time zone) RETURNS TABLE(hour timestamp with time zone, us bigint, seats bigint, reserved_us bigint, occupied_us bigint, maintenance_us bigint, occupied_peak bigint, changes bigint)
    LANGUAGE sql STABLE
    AS $$
    select
        g.hour,
        p.us,
        o.seats,
        case when p.own then o.reserved_us - o.reserved * (3600000000 - p.us) else o.reserved * p.us end,
        case when p.own then o.occupied_us - o.occupied * (3600000000 - p.us) else o.occupied * p.us end,
        case when p.own then o.maintenance_us - o.maintenance * (3600000000 - p.us) else o.maintenance * p.us end,
        case when p.own then o.occupied_peak else o.occupied end,
        case when p.own then o.changes else 0 end
    from (
        select o.*, lead(o.hour) over (order by o.hour) as next
        from occupancy_hour o
        where o.hall_id = hall_occupancy.hall_id
          and o.hour < hall_occupancy.until
          and o.hour >= coalesce(
              (
                  select max(b.hour)
                  from occupancy_hour b
                  where b.hall_id = hall_occupancy.hall_id and b.hour <= hall_occupancy.since
              ),
              '-infinity'
          )
    ) o
    cross join lateral generate_series(
        greatest(o.hour, date_trunc('hour', hall_occupancy.since, 'UTC')),
        least(o.next, hall_occupancy.until, statement_timestamp()) - interval '1 microsecond',
        interval '1 hour'
    ) g (hour)
    cross join lateral (
        select
            g.hour = o.hour as own,
            case
                when g.hour <= statement_timestamp() - interval '1 hour' then 3600000000
                else least(
                    3600000000,
                    (extract(epoch from greatest(statement_timestamp(), o.changed_at) - g.hour) * 1000000)::bigint
                )
            end as us
    ) p
$$;

COMMENT ON FUNCTION public.hall_occupancy(hall_id bigint, since timestamp with time zone, until timestamp with time zone) IS 'Each hour of a hall from that of `since` to `until`, as far as it is rolled up: the microseconds of it that have passed, the seats at its end, and the other columns of occupancy_hour.';

CREATE FUNCTION public.hall_rev_at(hall_id bigint, at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
    return (
        select coalesce(
            (
                select e.rev - 1
                from seat_event e
                where e.hall_id = h.id and e.rev > base.rev and e.at > hall_rev_at.at
                order by e.rev
                limit 1
            ),
            h.rev
        )
        from hall h
        cross join lateral (
            select c.rev
            from hall_checkpoint c
            where c.hall_id = h.id and c.at <= hall_rev_at.at and c.epoch = h.epoch
            order by c.at desc, c.rev desc
            limit 1
        ) base
        where h.id = hall_rev_at.hall_id
    );
end
$$;

COMMENT ON FUNCTION public.hall_rev_at(hall_id bigint, at timestamp with time zone) IS 'The revision that a hall had at that time: the one before the lowest of which an event is later. Null before its history or its epoch begins.';

CREATE FUNCTION public.hall_snapshot(hall_id bigint) RETURNS TABLE(rev bigint, epoch text, data text)
    LANGUAGE sql STABLE
    AS $$
    select w.rev, w.epoch, row_to_json(w)::text
    from (
        select
            h.id,
            h.cinema_id,
            h.name,
            h.rows,
            h.places,
            wire_time(h.created_at) as created_at,
            h.rev,
            wire_epoch(h.epoch) as epoch,
            coalesce(array_to_json((
                select array_agg(s order by s.section, s.row, s.place)
                from (
                    select
                        seat.id,
                        seat.section,
                        seat.row,
                        coalesce(seat.row_label, seat.row::text) as row_label,
                        seat.place,
                        coalesce(seat.place_label, seat.place::text) as place_label,
                        seat.x,
                        seat.y,
                        seat.width,
                        seat.height,
                        seat.rotation,
                        seat.status,
                        wire_time(seat.updated_at) as updated_at,
                        seat.note,
                        wire_time(seat.hold_until) as hold_until,
                        seat_type
                    from seat
                    join (select id, name from seat_type) as seat_type on seat_type.id = seat.seat_type_id
                    where seat.hall_id = h.id
                ) s
            )), '[]') as seats,
            coalesce(array_to_json((
                select array_agg(t order by t.id)
                from (
                    select
                        seat_type.id,
                        seat_type.name,
                        c.seats as seats_count,
                        (c.vacant, c.reserved, c.occupied, c.maintenance)::wire_counts as seats
                    from seat_count c
                    join seat_type on seat_type.id = c.seat_type_id
                    where c.hall_id = h.id
                ) t
            )), '[]') as seat_types
        from hall h
        where h.id = hall_snapshot.hall_id
    ) w
$$;

COMMENT ON FUNCTION public.hall_snapshot(hall_id bigint) IS 'The whole hall as clients see it; no row when there is no such hall.';

CREATE FUNCTION public.hall_snapshot_at(hall_id bigint, rev bigint, at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(data text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
begin
    return query
    with seats as materialized (
        select * from hall_at_rev(hall_snapshot_at.hall_id, hall_snapshot_at.rev)
    )
    select row_to_json(w)::text
    from (
        select
            h.id,
            h.cinema_id,
            h.name,
            h.rows,
            h.places,
            wire_time(h.created_at) as created_at,
            hall_snapshot_at.rev,
            wire_epoch(c.epoch) as epoch,
            wire_time(coalesce(
                hall_snapshot_at.at,
                (select max(e.at) from seat_event e where e.hall_id = h.id and e.rev = hall_snapshot_at.rev),
                c.at
            )) as at,
            coalesce(array_to_json((
                select array_agg(s order by s.section, s.row, s.place)
                from (
                    select
                        seats.id,
                        seats.section,
                        seats.row,
                        coalesce(seats.row_label, seats.row::text) as row_label,
                        seats.place,
                        coalesce(seats.place_label, seats.place::text) as place_label,
                        seats.x,
                        seats.y,
                        seats.width,
                        seats.height,
                        seats.rotation,
                        seats.status,
                        wire_time(seats.updated_at) as updated_at,
                        seats.note,
                        wire_time(seats.hold_until) as hold_until,
                        seat_type
                    from seats
                    cross join lateral (
                        select seats.seat_type_id as id, c.types ->> seats.seat_type_id::text as name
                    ) seat_type
                ) s
            )), '[]') as seats,
            coalesce(array_to_json((
                select array_agg(t order by t.id)
                from (
                    select
                        seats.seat_type_id as id,
                        c.types ->> seats.seat_type_id::text as name,
                        count(*) as seats_count,
                        (
                            count(*) filter (where seats.status = 'VACANT'),
                            count(*) filter (where seats.status = 'RESERVED'),
                            count(*) filter (where seats.status = 'OCCUPIED'),
                            count(*) filter (where seats.status = 'MAINTENANCE')
                        )::wire_counts as seats
                    from seats
                    group by seats.seat_type_id
                ) t
            )), '[]') as seat_types
        from hall present
        left join lateral (
            select *
            from hall_checkpoint c
            where c.hall_id = present.id and c.rev <= hall_snapshot_at.rev
            order by c.rev desc
            limit 1
        ) c on true
        left join lateral jsonb_populate_record(present, c.hall) h on true
        where present.id = hall_snapshot_at.hall_id
    ) w;
end
$$;

COMMENT ON FUNCTION public.hall_snapshot_at(hall_id bigint, rev bigint, at timestamp with time zone) IS 'The whole hall as it was at a revision, as clients see it, with that time or that of the revision; no row when there is no such hall. Fails as hall_at_rev does.';

CREATE FUNCTION public.hall_update(hall_id bigint, seat_ids bigint[], since bigint DEFAULT NULL::bigint) RETURNS text
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
    return (
        select format(
            '{"id":%s,%s"rev":%s,"seats":%s,"seat_types":%s}',
            h.id,
            case when h.rev > since + 1 then format('"from":%s,', since + 1) end,
            h.rev,
            coalesce(array_to_json((
                select array_agg(
                    (s.id, s.status, wire_time(s.updated_at), s.note, wire_time(s.hold_until))::wire_seat_state
                    order by s.section, s.row, s.place
                )
                from seat s
                where s.id = any(seat_ids)
            )), '[]'),
            coalesce(array_to_json((
                select array_agg(t order by t.id)
                from (
                    select
                        c.seat_type_id as id,
                        c.seats as seats_count,
                        (c.vacant, c.reserved, c.occupied, c.maintenance)::wire_counts as seats
                    from seat_count c
                    where c.hall_id = h.id
                      and c.seat_type_id = any(array(select s.seat_type_id from seat s where s.id = any(seat_ids)))
                ) t
            )), '[]')
        )
        from hall h
        where h.id = hall_update.hall_id
    );
end
$$;

COMMENT ON FUNCTION public.hall_update(hall_id bigint, seat_ids bigint[], since bigint) IS 'An update of clients: the present state of these seats of a hall, with the counts of their types. It covers the revisions after `since`, the last one alone without.';

CREATE FUNCTION public.hold_seats(seat_ids bigint[], seconds integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
    held integer;
begin
    if seconds is null or seconds not between 1 and 86400 then
        raise exception 'a hold lasts 1 to 86400 seconds' using errcode = 'invalid_parameter_value';
    end if;
    perform from public.seat s where s.id = any(seat_ids) order by s.id for no key update;
    update public.seat s
    set status = 'RESERVED', hold_until = clock_timestamp() + seconds * interval '1 second'
    where s.id = any(seat_ids) and s.status in ('VACANT', 'RESERVED');
    get diagnostics held = row_count;
    return held;
end
$$;

COMMENT ON FUNCTION public.hold_seats(seat_ids bigint[], seconds integer) IS 'Reserves these seats, with the rights of the caller, so that they become VACANT by themselves after so many seconds (1 to 86,400), also those that are RESERVED already, and leaves the OCCUPIED and those in MAINTENANCE alone. Returns how many it holds. The seats are locked in the order of their ids.';

CREATE FUNCTION public.index_history() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '200ms'
    AS $_$
declare
    part name;
begin
    -- As keep_history does, which may drop the day.
    begin
        lock table seat_event_default in share update exclusive mode nowait;
    exception
        when lock_not_available then
            return 0;
    end;
    select c.relname into part
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'seat_event'::regclass
      and c.relname ~ '^seat_event_\d{8}$'
      and c.relname < to_char(clock_timestamp() at time zone 'UTC', '"seat_event_"YYYYMMDD')
      and to_regclass('public.' || c.relname || '_seat_idx') is null
    order by c.relname desc
    limit 1;
    if not found then
        return 0;
    end if;
    execute format('create index %I on %I (seat_id, rev)', part || '_seat_idx', part);
    execute format('create index %I on %I (by, at) where by is not null', part || '_by_idx', part);
    return 1;
end
$_$;

COMMENT ON FUNCTION public.index_history() IS 'Makes the indexes of a seat and of a user for one day of the history that is over; returns how many days it was, 0 also while another server does it.';

CREATE FUNCTION public.is_known_device(p_user bigint, p_visitor bytea) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select exists (
        select from known_visitor k
        where k.user_id = p_user and k.visitor = p_visitor and k.expires_at > now() and may_guess(k.failures)
    )
$$;

COMMENT ON FUNCTION public.is_known_device(p_user bigint, p_visitor bytea) IS 'The visitor has signed in as that user.';

CREATE FUNCTION public.keep_auth_events(days integer, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    removed integer;
begin
    if days < 1 then
        raise exception 'the events of a day are kept at least' using errcode = 'invalid_parameter_value';
    end if;
    perform set_config('seatsync.auth_event_days', days::text, true);
    delete from auth_event e
    where e.id = any(array(
        select o.id
        from auth_event o
        where o.at < clock_timestamp() - make_interval(days => days)
        order by o.at
        limit most
        for update skip locked
    ));
    get diagnostics removed = row_count;
    perform set_config('seatsync.auth_event_days', '', true);
    return removed;
end
$$;

COMMENT ON FUNCTION public.keep_auth_events(days integer, most integer) IS 'Removes at most so many events that are older than so many days, one at least; returns how many.';

CREATE FUNCTION public.keep_checkpoints(most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    begin
        lock table hall_checkpoint in share update exclusive mode nowait;
    exception
        when lock_not_available then
            return 0;
    end;
    return checkpoint_halls(array(
        select h.id
        from hall h
        left join lateral (
            select c.rev, c.at
            from hall_checkpoint c
            where c.hall_id = h.id and c.epoch = h.epoch and c.whole
            order by c.rev desc
            limit 1
        ) c on true
        cross join lateral (
            select 500 + coalesce(sum(n.seats), 0) as events from hall_count n where n.hall_id = h.id
        ) due
        where c.rev is null
           or h.rev > c.rev and (
               (c.at at time zone 'UTC')::date < (clock_timestamp() at time zone 'UTC')::date
               or due.events <= (
                   select count(*)
                   from (
                       select
                       from seat_event e
                       where e.hall_id = h.id and e.rev > c.rev and e.at >= c.at
                       limit due.events
                   ) e
               )
           )
        limit most
    ));
end
$$;

COMMENT ON FUNCTION public.keep_checkpoints(most integer) IS 'Makes the whole checkpoints that are due, so many at most; returns how many, 0 also while another server does it. Due are halls that have changed since that of a day before, or by as many events as they have seats and 500 more.';

CREATE FUNCTION public.keep_disabled_out() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_disabled_at timestamptz;
begin
    perform assert_table(tg_relid, case when tg_relid = 'registration'::regclass then 'registration' else 'session' end);
    select u.disabled_at into v_disabled_at from app_user u where u.id = new.user_id for share;
    return case when v_disabled_at is null then new end;
end
$$;

COMMENT ON FUNCTION public.keep_disabled_out() IS 'Trigger function: leaves out sessions and recoveries of users who are disabled, whoever inserts them.';

CREATE FUNCTION public.keep_history(days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '200ms'
    AS $_$
declare
    today date := clock_timestamp() at time zone 'UTC';
    day date;
    part name;
    begins text;  -- of a day, for any time zone and format of dates of the caller
    ends text;
    dropped integer := 0;
begin
    if days < 1 then
        raise exception 'the history of a day is kept at least' using errcode = 'invalid_parameter_value';
    end if;
    -- No advisory lock, which any role may take.
    begin
        lock table seat_event_default in share update exclusive mode nowait;
    exception
        when lock_not_available then
            return 0;
    end;
    for day in
        select today + n from generate_series(0, 7) n
        union
        select distinct (at at time zone 'UTC')::date from seat_event_default
        order by 1
    loop
        part := to_char(day, '"seat_event_"YYYYMMDD');
        continue when to_regclass('public.' || part) is not null;
        if day <= today + 1 then
            -- Events of that day go to the default partition so far: one that waited for it would fail then.
            lock table seat_event in share row exclusive mode;
        end if;
        begins := to_char(day, 'YYYY-MM-DD"T00:00Z"');
        ends := to_char(day + 1, 'YYYY-MM-DD"T00:00Z"');
        execute format('create table %I (like seat_event including defaults including constraints)', part);
        execute format(
            'with moved as (delete from seat_event_default where at >= %1$L and at < %2$L returning *) '
            'insert into %3$I select * from moved',
            begins, ends, part
        );
        -- In two steps: a table created as a partition would lock out every reader of the history.
        execute format(
            'alter table seat_event attach partition %3$I for values from (%1$L) to (%2$L)',
            begins, ends, part
        );
    end loop;
    for part in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'seat_event'::regclass
          and c.relname ~ '^seat_event_\d{8}$'
          and c.relname < to_char(today - days, '"seat_event_"YYYYMMDD')
        order by 1
    loop
        execute format(
            'delete from hall_checkpoint c '
            'using (select e.hall_id, max(e.rev) as rev from %I e group by e.hall_id) gone '
            'where c.hall_id = gone.hall_id and c.rev < coalesce(('
            '    select min(w.rev) from hall_checkpoint w'
            '    where w.hall_id = gone.hall_id and w.rev >= gone.rev and w.whole'
            '), c.rev + 1)',
            part
        );
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$_$;

COMMENT ON FUNCTION public.keep_history(days integer) IS 'Makes the partitions of the history for a week ahead and drops those of more than so many days ago, one at least, with the checkpoints that lead through them; returns how many, 0 also while another server does it. A lock that is not to be had in 200 ms fails it (55P03).';

CREATE FUNCTION public.keep_id() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    raise exception 'the id of a % never changes', tg_table_name using errcode = 'restrict_violation';
end
$$;

COMMENT ON FUNCTION public.keep_id() IS 'Trigger function: refuses a new id, for clients and the history hold the old one.';

CREATE FUNCTION public.layout_change_begin() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'layout_change');
    perform next_revision(array[new.hall_id]);
    return new;
end
$$;

COMMENT ON FUNCTION public.layout_change_begin() IS 'For a trigger: the revision that a change of the layout is.';

CREATE FUNCTION public.log_in(p_user bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea) RETURNS SETOF public.signed_in
    LANGUAGE plpgsql
    AS $$
begin
    update app_user u set totp_last_step = p_step
    where u.id = p_user and u.totp_secret = p_secret and u.totp_last_step < p_step;
    if found then
        return query select * from open_session(p_user, p_replaces, p_seen, p_known);
    end if;
end
$$;

COMMENT ON FUNCTION public.log_in(p_user bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea) IS 'Takes a code of that step; no row when the step was used before or the secret is no longer the user''s.';

CREATE FUNCTION public.may_guess(p_failures bigint) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    select p_failures < 100
$$;

COMMENT ON FUNCTION public.may_guess(p_failures bigint) IS 'After so many failures in a row another attempt is let through.';

CREATE FUNCTION public.next_revision(halls bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    perform from hall where id = any(halls) order by id for no key update;
    update hall set rev = rev + 1
    where id = any(halls) and not exists (select from layout_change c where c.hall_id = hall.id);
end
$$;

COMMENT ON FUNCTION public.next_revision(halls bigint[]) IS 'For triggers: locks these halls, in order, and begins the next revision of each whose layout is not being replaced.';

CREATE FUNCTION public.occupancy_report(halls bigint[], since timestamp with time zone, until timestamp with time zone, bucket text DEFAULT 'hour'::text, zone text DEFAULT 'UTC'::text) RETURNS TABLE(begins timestamp with time zone, seats_count bigint, occupied_avg double precision, occupied_peak bigint, reserved_avg double precision, maintenance_avg double precision, changes bigint)
    LANGUAGE sql STABLE
    AS $$
    with local as (
        select z.zone, g.local, l.step
        from (select case occupancy_report.bucket when 'hour' then 'UTC' else occupancy_report.zone end as zone) z
        cross join lateral (select ('1 ' || occupancy_report.bucket)::interval as step) l
        cross join lateral generate_series(
            date_trunc(occupancy_report.bucket, occupancy_report.since at time zone z.zone),
            (occupancy_report.until - interval '1 microsecond') at time zone z.zone + l.step,
            l.step
        ) g (local)
    ),
    begin as (  -- of each bucket, and the end of the last one: the first hour of UTC that begins in it
        select date_trunc('hour', b.at + interval '1 hour' - interval '1 microsecond', 'UTC') as at
        from local l
        cross join lateral (select l.local at time zone l.zone as at) a
        cross join lateral (
            -- Where clocks are set back to midnight, there are two.
            select case (a.at - interval '1 hour') at time zone l.zone when l.local then a.at - interval '1 hour' else a.at end as at
        ) b
    ),
    bound as materialized (
        select array_agg(b.at order by b.at) as at from begin b
    ),
    measured as (
        select
            w.n,
            h.hall_id,
            (array_agg(o.seats order by o.hour desc))[1] as seats,
            sum(o.occupied_us) / sum(o.us) as occupied_avg,
            max(o.occupied_peak) as occupied_peak,
            sum(o.reserved_us) / sum(o.us) as reserved_avg,
            sum(o.maintenance_us) / sum(o.us) as maintenance_avg,
            sum(o.changes) as changes
        from bound b
        cross join unnest(occupancy_report.halls) h (hall_id)
        cross join lateral hall_occupancy(h.hall_id, b.at[1], b.at[cardinality(b.at)]) o
        cross join lateral (select width_bucket(o.hour, b.at) as n) w
        group by w.n, h.hall_id
    )
    select
        c.begins,
        sum(m.seats)::bigint,
        round(sum(m.occupied_avg), 3)::double precision,
        sum(m.occupied_peak)::bigint,
        round(sum(m.reserved_avg), 3)::double precision,
        round(sum(m.maintenance_avg), 3)::double precision,
        sum(m.changes)::bigint
    from bound b
    cross join lateral unnest(b.at[:cardinality(b.at) - 1]) with ordinality c (begins, n)
    left join measured m on m.n = c.n
    group by c.begins
    order by c.begins
$$;

COMMENT ON FUNCTION public.occupancy_report(halls bigint[], since timestamp with time zone, until timestamp with time zone, bucket text, zone text) IS 'How full these halls were together, from the hour, day, week or month of `since` to `until`, by such buckets of that time zone: of UTC hours, those that begin in it. Counts of seats are those at its end, averages are weighted by time, and the peak is the sum of those of the halls. Nulls where nothing is known.';

CREATE FUNCTION public.open_session(p_user bigint, p_replaces uuid, p_seen bytea, p_known bytea) RETURNS SETOF public.signed_in
    LANGUAGE plpgsql
    AS $$
declare
    v_subject text := throttle_subject(p_user, p_seen);
begin
    delete from session s where s.id = p_replaces;
    delete from known_visitor k where k.user_id = p_user and k.visitor in (p_seen, p_known);
    insert into known_visitor (user_id, visitor) values (p_user, p_known);
    delete from throttle t where t.scope = 'code' and t.subject = v_subject;
    return query
        with opened as (insert into session (user_id) values (p_user) returning *)
        select u.id, u.username, u.role, o.id, o.expires_at
        from opened o
        join app_user u on u.id = o.user_id;
end
$$;

COMMENT ON FUNCTION public.open_session(p_user bigint, p_replaces uuid, p_seen bytea, p_known bytea) IS 'Begins a session, ends the one the request came with, forgives wrong codes and remembers the visitor.';

CREATE FUNCTION public.record_auth_event(p_event text, p_user bigint, p_username text, p_reason text DEFAULT public.auth_reason(), p_detail text DEFAULT NULL::text) RETURNS void
    LANGUAGE sql
    AS $$
    insert into auth_event (event, reason, user_id, username, address, device, detail)
    values (p_event, p_reason, p_user, p_username, auth_setting('address'), auth_setting('device'), p_detail)
$$;

COMMENT ON FUNCTION public.record_auth_event(p_event text, p_user bigint, p_username text, p_reason text, p_detail text) IS 'For triggers and record_failure: adds an event, of the client of as_client.';

CREATE FUNCTION public.record_failure(p_user bigint, p_username text, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if p_reason is null then
        return;
    elsif throttle_window('auth_event', coalesce(p_user::text, 'unknown'), failures_a_minute()) = 0 then
        perform record_auth_event('auth.login_failed', p_user, p_username, p_reason);
    else
        perform set_config('synchronous_commit', 'off', true);
    end if;
end
$$;

COMMENT ON FUNCTION public.record_failure(p_user bigint, p_username text, p_reason text) IS 'Records that an attempt to sign in as a user failed, or as a name that nobody has; nothing without a reason.';

CREATE FUNCTION public.record_lockout() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, coalesce(
        (select t from unnest('{known_visitor,known_network}'::regclass[]) t where t = tg_relid), 'lockout'
    ));
    if may_guess(coalesce(old.failures, 0)) and not may_guess(new.failures) then
        perform record_auth_event(
            'auth.locked', new.user_id, (select u.username from app_user u where u.id = new.user_id),
            case tg_relid
                when 'known_visitor'::regclass then 'device'
                when 'known_network'::regclass then 'network'
                else 'unknown_clients'
            end
        );
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION public.record_lockout() IS 'For triggers where wrong codes are counted: records the one after which none is looked at.';

CREATE FUNCTION public.record_refusal(p_user bigint, p_username text, p_wait integer) RETURNS void
    LANGUAGE sql
    AS $$
    select record_failure(
        p_user, p_username, case when p_wait is null then 'locked_out' when p_wait > 0 then 'waiting' end
    )
$$;

COMMENT ON FUNCTION public.record_refusal(p_user bigint, p_username text, p_wait integer) IS 'Records that an attempt at a secret of a user is not looked at: for so many seconds, or, with null, until a lockout ends.';

CREATE FUNCTION public.recount_seats(halls bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    delete from hall_count c where c.hall_id = any(halls);
    insert into hall_count select * from counts_of(array(
        select (hall_id, seat_type_id, status, count(*))::seat_delta
        from seat
        where hall_id = any(halls)
        group by hall_id, seat_type_id, status
    ));
    delete from seat_hold where hall_id = any(halls);
    insert into seat_hold
    select id, hall_id, hold_until from seat where hall_id = any(halls) and hold_until is not null;
end
$$;

COMMENT ON FUNCTION public.recount_seats(halls bigint[]) IS 'For triggers: counts the seats of these halls anew, and finds their holds.';

CREATE FUNCTION public.remember_client(p_user bigint, p_visitor bytea, p_network text, p_known boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    insert into known_network as k (user_id, network) values (p_user, sha256(convert_to(p_network, 'UTF8')))
    on conflict (user_id, network) do update set failures = 0, expires_at = excluded.expires_at;
    perform forgive_codes(p_user, p_visitor, p_network, p_known);
    delete from known_visitor k
    where k.user_id = p_user and k.visitor in (
        select o.visitor from known_visitor o where o.user_id = p_user order by o.expires_at desc offset 100
    );
    delete from known_network k
    where k.user_id = p_user and k.network in (
        select o.network from known_network o where o.user_id = p_user order by o.expires_at desc offset 20
    );
end
$$;

COMMENT ON FUNCTION public.remember_client(p_user bigint, p_visitor bytea, p_network text, p_known boolean) IS 'A sign-in, after open_session: forgives wrong codes, remembers the network, and forgets the oldest of many.';

CREATE FUNCTION public.replace_plan(hall_id bigint, plan jsonb, keep_status boolean DEFAULT true) RETURNS TABLE(kept integer, moved integer, added integer, removed integer, lost integer)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
    this bigint := replace_plan.hall_id;
    wanted seat[];  -- the seats of the plan: with the id of the one that matches, or without
    changed bigint[];  -- of those that stay, in whatever way
    named text := plan ->> 'name';
    size integer[];  -- rows and places
    resized boolean;
begin
    if plan ->> 'format' is distinct from 'seatsync.plan' or plan ->> 'version' is distinct from '1'
        or jsonb_typeof(plan -> 'seats') is distinct from 'array'
    then
        raise exception 'this is no plan of the format seatsync.plan, version 1' using errcode = 'invalid_parameter_value';
    end if;
    perform from seat s where s.hall_id = this order by s.id for update;
    select (h.name, h.rows, h.places) is distinct from (coalesce(named, h.name), s.rows, s.places), array[s.rows, s.places]
    into resized, size
    from hall h
    cross join (
        select
            coalesce((plan ->> 'rows')::integer, max((s ->> 'row')::integer), 1) as rows,
            coalesce((plan ->> 'places')::integer, max((s ->> 'place')::integer), 1) as places
        from jsonb_array_elements(plan -> 'seats') s
    ) s
    where h.id = this
    for no key update of h;
    if not found then
        raise exception 'there is no hall %', this using errcode = 'no_data_found';
    end if;

    insert into seat_type (name)
    select p.name
    from (
        select coalesce(s.value ->> 'type', 'Standard') as name, min(s.n) as n
        from jsonb_array_elements(plan -> 'seats') with ordinality s (value, n)
        group by 1
    ) p
    where not exists (select from seat_type t where t.name = p.name)
    order by p.n
    on conflict (name) do nothing;

    wanted := array(
        select jsonb_populate_record(
            null::seat,
            jsonb_build_object('x', s.x, 'y', s.y, 'width', 32, 'height', 32, 'rotation', 0)
                || jsonb_strip_nulls(p.value) || jsonb_build_object('id', s.id, 'seat_type_id', t.id)
        )
        from jsonb_array_elements(plan -> 'seats') with ordinality p (value, n)
        join seat_type t on t.name = coalesce(p.value ->> 'type', 'Standard')
        left join seat s
            on s.hall_id = this
            and coalesce(s.row_label, s.row::text) = coalesce(p.value ->> 'row_label', p.value ->> 'row')
            and coalesce(s.place_label, s.place::text) = coalesce(p.value ->> 'place_label', p.value ->> 'place')
            and s.section is not distinct from p.value ->> 'section'
        order by p.n
    );
    if (select count(w.id) > count(distinct w.id) from unnest(wanted) w) then
        raise exception 'two seats of the plan read the same' using errcode = 'unique_violation';
    end if;

    select
        count(*) filter (where not c.gone and not c.moves),
        count(*) filter (where not c.gone and c.moves),
        cardinality(wanted) - count(*) filter (where not c.gone),
        count(*) filter (where c.gone),
        count(*) filter (where c.taken and (c.gone or not keep_status)),
        array_agg(c.id) filter (where not c.gone and (c.moves or c.taken and not keep_status))
    into kept, moved, added, removed, lost, changed
    from (
        select
            s.id,
            s.status <> 'VACANT' as taken,
            w.id is null as gone,
            (
                w.seat_type_id, w.row, w.row_label, w.place, w.place_label, w.x, w.y, w.width, w.height, w.rotation
            ) is distinct from (
                s.seat_type_id, s.row, s.row_label, s.place, s.place_label, s.x, s.y, s.width, s.height, s.rotation
            ) as moves
        from seat s
        left join unnest(wanted) w on w.id = s.id
        where s.hall_id = this
    ) c;

    if resized then
        update hall h set name = coalesce(named, h.name), rows = size[1], places = size[2] where h.id = this;
    end if;
    insert into layout_change values (this, not resized and (added + removed > 0 or changed is not null));
    if added + removed + moved > 0 then
        perform announce_layout(array[this]);  -- first, for what is announced of a known revision counts no more
    end if;

    if removed > 0 then
        delete from seat s where s.hall_id = this and s.id not in (select w.id from unnest(wanted) w where w.id is not null);
    end if;
    if changed is not null then
        update seat s
        set
            seat_type_id = w.seat_type_id, row = w.row, row_label = w.row_label, place = w.place,
            place_label = w.place_label, x = w.x, y = w.y, width = w.width, height = w.height, rotation = w.rotation,
            status = case when keep_status then s.status else 'VACANT' end
        from unnest(wanted) w
        where w.id = s.id and s.id in (select unnest(changed));
    end if;
    if added > 0 then
        insert into seat (
            hall_id, seat_type_id, section, row, row_label, place, place_label, x, y, width, height, rotation
        )
        select
            this, w.seat_type_id, w.section, w.row, w.row_label, w.place, w.place_label, w.x, w.y, w.width, w.height,
            w.rotation
        from unnest(wanted) with ordinality w
        where w.id is null
        order by w.ordinality;
    end if;
    delete from layout_change c where c.hall_id = this;
    return next;
end
$$;

COMMENT ON FUNCTION public.replace_plan(hall_id bigint, plan jsonb, keep_status boolean) IS 'Replaces the layout of a hall by a plan of the format seatsync.plan, in one revision: seats that people read alike stay, with their ids and, unless keep_status is false, with status, note and hold; the others of the hall are deleted, and those of the plan are new. The hall gets the name of the plan if that has one. Returns how many seats are as they were, are placed anew, are new, and are gone, and how many have lost a status other than VACANT. For the owner.';

CREATE FUNCTION public.reset_user(p_user bigint, p_secret text, p_phrase_hash text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    -- A plain secret is a new one to the trigger, whatever the keys of the one before and of the one to come.
    update app_user u set totp_secret = repeat('A', 16), totp_last_step = 0 where u.id = p_user;
    update app_user u set totp_secret = p_secret where u.id = p_user;
    delete from registration g where g.user_id = p_user;
    delete from recovery r where r.user_id = p_user;
    insert into recovery (user_id, phrase_hash) select p_user, p_phrase_hash where p_phrase_hash is not null;
    delete from session s where s.user_id = p_user;
    delete from known_visitor k where k.user_id = p_user;
    delete from known_network k where k.user_id = p_user;
    delete from lockout l where l.user_id = p_user;
    delete from throttle t
    where t.scope in ('code', 'recovery', 'phrase')
        and (t.subject = p_user::text or starts_with(t.subject, p_user || ':'));
end
$$;

COMMENT ON FUNCTION public.reset_user(p_user bigint, p_secret text, p_phrase_hash text) IS 'Replaces what a user signs in with by a secret that nobody has and the hash of a phrase, or null for none: sessions, known devices and networks, the lockout and the counters of wrong codes go.';

CREATE FUNCTION public.roll_up_hall(of_hall bigint, target bigint, most integer) RETURNS integer
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    last occupancy_hour;
    upto bigint;
    anchor hall_checkpoint;
    anchored_at timestamptz;
    changed bigint;
    taken integer;
begin
    -- One that is being deleted is waited for: it has no checkpoint to look for, and no room for another hour.
    perform from hall where id = of_hall for key share;
    if not found then
        return 0;
    end if;
    select * into last from occupancy_hour o where o.hall_id = of_hall order by o.hour desc limit 1;
    if not found then
        last := (of_hall, '-infinity', -1, '-infinity', 0, 0, 0, 0, 0, 0, 0, 0, 0);
    elsif last.rev >= target then
        return 0;
    end if;

    -- Whole revisions, one at least, up to where an epoch begins or all seats are gone.
    upto := greatest(last.rev + 1, coalesce(
        (
            select e.rev - 1
            from seat_event e
            where e.hall_id = of_hall and e.rev > last.rev and e.rev <= target
            order by e.rev
            offset most
            limit 1
        ),
        target
    ));
    upto := coalesce(
        (
            select min(c.rev) - 1
            from hall_checkpoint c
            where c.hall_id = of_hall and c.rev > last.rev and c.rev <= upto and c.whole
              and exists (select from seat_event e where e.hall_id = of_hall and e.rev = c.rev and e.seat_id = 0)
        ),
        upto
    );
    -- There, and where revisions are missing, the counts are those of the next checkpoint that has them.
    if not exists (select from seat_event e where e.hall_id = of_hall and e.rev = last.rev + 1 and e.rev <= upto) then
        loop
            select * into anchor
            from hall_checkpoint c
            where c.hall_id = of_hall and c.rev > last.rev and c.whole
            order by c.rev
            limit 1;
            exit when found;
            perform checkpoint_halls(array[of_hall]);
        end loop;
        select max(e.at), count(*) filter (where e.new_status <> e.old_status) into anchored_at, changed
        from seat_event e
        where e.hall_id = of_hall and e.rev = anchor.rev;
        anchored_at := coalesce(anchored_at, anchor.at);
        if last.rev < 0 then  -- the first counts stand for the whole hour
            anchored_at := date_trunc('hour', anchor.at, 'UTC');
            changed := 0;
        end if;
        upto := last.rev;
    end if;

    with event as materialized (
        select * from seat_event e where e.hall_id = of_hall and e.rev > last.rev and e.rev <= upto
    ),
    laid as (  -- seats whose layout has changed, as they became; without a status, if they are gone
        select c.rev, (c.seat).id as seat_id, (c.seat).status
        from (
            select c.rev, unnest(c.seats) as seat
            from hall_checkpoint c
            where c.hall_id = of_hall and c.rev in (select e.rev from event e where e.kind = 'layout')
        ) c
    ),
    revision as (
        select
            e.rev,
            max(e.at) as at,
            count(s.becomes) - count(s.was) as seats,
            count(*) filter (where s.becomes = 'RESERVED') - count(*) filter (where s.was = 'RESERVED') as reserved,
            count(*) filter (where s.becomes = 'OCCUPIED') - count(*) filter (where s.was = 'OCCUPIED') as occupied,
            count(*) filter (where s.becomes = 'MAINTENANCE') - count(*) filter (where s.was = 'MAINTENANCE')
                as maintenance,
            count(*) filter (where e.new_status <> e.old_status) as changes,
            count(*) as events
        from event e
        left join laid l on l.rev = e.rev and l.seat_id = e.seat_id and e.kind = 'layout'
        cross join lateral (
            select
                case when e.kind = 'layout' then (e.before ->> 'status')::seat_status else e.old_status end as was,
                case when e.kind = 'layout' then l.status else e.new_status end as becomes
        ) s
        group by e.rev
        union all
        select
            anchor.rev,
            anchored_at,
            count(*) - last.seats,
            count(*) filter (where (s.seat).status = 'RESERVED') - last.reserved,
            count(*) filter (where (s.seat).status = 'OCCUPIED') - last.occupied,
            count(*) filter (where (s.seat).status = 'MAINTENANCE') - last.maintenance,
            changed,
            1
        from (select unnest(anchor.seats) as seat) s
        having anchor.rev is not null
    ),
    timed as (
        select
            *,
            greatest(last.changed_at, max(r.at) over w) as made_at,
            row_number() over w as n,
            last.occupied + sum(r.occupied) over w as occupied_then
        from revision r
        window w as (order by r.rev)
    ),
    whole as materialized (  -- none is missing
        select t.*, h.hour, ((3600 - extract(epoch from t.made_at - h.hour)) * 1000000)::bigint as left_us
        from timed t
        cross join lateral (select date_trunc('hour', t.made_at, 'UTC') as hour) h
        where t.rev = last.rev + t.n or t.rev = anchor.rev
    ),
    hours as (
        select
            w.hour,
            max(w.rev) as rev,
            max(w.made_at) as changed_at,
            sum(w.seats) as seats,
            sum(w.reserved) as reserved,
            sum(w.occupied) as occupied,
            sum(w.maintenance) as maintenance,
            sum(w.reserved * w.left_us) as reserved_us,
            sum(w.occupied * w.left_us) as occupied_us,
            sum(w.maintenance * w.left_us) as maintenance_us,
            max(w.occupied_then) as occupied_peak,
            sum(w.changes) as changes
        from whole w
        group by w.hour
    ),
    kept as (
        insert into occupancy_hour as o
        select
            of_hall,
            h.hour,
            h.rev,
            h.changed_at,
            last.seats + sum(h.seats) over w,
            last.reserved + sum(h.reserved) over w,
            last.occupied + sum(h.occupied) over w,
            last.maintenance + sum(h.maintenance) over w,
            -- As the hour before has ended, and the changes since.
            (last.reserved + sum(h.reserved) over w - h.reserved) * 3600000000 + h.reserved_us,
            (last.occupied + sum(h.occupied) over w - h.occupied) * 3600000000 + h.occupied_us,
            (last.maintenance + sum(h.maintenance) over w - h.maintenance) * 3600000000 + h.maintenance_us,
            greatest(h.occupied_peak, last.occupied + sum(h.occupied) over w - h.occupied),
            h.changes
        from hours h
        window w as (order by h.hour)
        on conflict (hall_id, hour) do update set
            rev = excluded.rev,
            changed_at = excluded.changed_at,
            seats = excluded.seats,
            reserved = excluded.reserved,
            occupied = excluded.occupied,
            maintenance = excluded.maintenance,
            reserved_us = o.reserved_us + excluded.reserved_us - o.reserved * 3600000000,
            occupied_us = o.occupied_us + excluded.occupied_us - o.occupied * 3600000000,
            maintenance_us = o.maintenance_us + excluded.maintenance_us - o.maintenance * 3600000000,
            occupied_peak = greatest(o.occupied_peak, excluded.occupied_peak),
            changes = o.changes + excluded.changes
    )
    select sum(w.events) into taken from whole w;
    return taken;
end
$$;

COMMENT ON FUNCTION public.roll_up_hall(of_hall bigint, target bigint, most integer) IS 'For roll_up_occupancy: rolls up the next revisions of a hall, of so many events at most, but one revision at least, and none after the target. Returns how many events that were, 0 when there is nothing left, and for a hall that is gone.';

CREATE FUNCTION public.roll_up_occupancy(most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    due record;
    taken integer;
begin
    begin
        lock table occupancy_hour in share update exclusive mode nowait;
    exception
        when lock_not_available then
            return 0;
    end;
    for due in
        select h.id, h.rev
        from hall h
        left join lateral (
            select o.rev from occupancy_hour o where o.hall_id = h.id order by o.hour desc limit 1
        ) o on true
        where o.rev is null or o.rev < h.rev
    loop
        loop
            if most <= 0 then
                return 1;
            end if;
            taken := roll_up_hall(due.id, due.rev, most);
            exit when taken = 0;
            most := most - taken;
        end loop;
    end loop;
    return 0;
end
$$;

COMMENT ON FUNCTION public.roll_up_occupancy(most integer) IS 'Rolls up what has changed in all halls into occupancy_hour, until so many events are done. Returns 1 if there is more, else 0, also while another server does it.';

CREATE FUNCTION public.save_phrase(p_user bigint, p_offered_hash text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
    perform from app_user u where u.id = p_user for no key update;
    update recovery r
    set phrase_hash = r.offered_hash, offered_hash = null, offered_until = null
    where r.user_id = p_user and r.offered_hash = p_offered_hash and r.offered_until > now();
    if not found then
        return false;
    end if;
    delete from registration g where g.user_id = p_user;
    delete from throttle t where t.scope = 'phrase' and t.subject = p_user::text;
    return true;
end
$$;

COMMENT ON FUNCTION public.save_phrase(p_user bigint, p_offered_hash text) IS 'Puts the offered phrase, proved to have been kept, in force; recoveries begun with the old one are void.';

CREATE FUNCTION public.seat_announce_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    halls bigint[];
begin
    perform assert_table(tg_relid, 'seat');
    delete from seat_hold where seat_id = any(array(select o.id from old_seat o where o.hold_until is not null));
    halls := array(select id from hall where id in (select hall_id from old_seat));
    perform next_revision(halls);
    insert into seat_event (hall_id, rev, seat_id, kind, before)
    select h.id, h.rev, o.id, 'layout', to_jsonb(o) from old_seat o join hall h on h.id = o.hall_id;
    perform count_seats(array(
        select (hall_id, seat_type_id, status, -count(*))::seat_delta
        from old_seat
        where hall_id = any(halls)
        group by hall_id, seat_type_id, status
    ));
    perform announce_layout(halls);
    return null;
end
$$;

COMMENT ON FUNCTION public.seat_announce_deleted() IS 'Trigger function: removed seats are a new revision of their halls, which clients then load anew.';

CREATE FUNCTION public.seat_announce_inserted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    halls bigint[];
begin
    perform assert_table(tg_relid, 'seat');
    halls := array(select distinct hall_id from new_seat);
    perform next_revision(halls);
    insert into seat_event (hall_id, rev, seat_id, kind)
    select h.id, h.rev, n.id, 'layout' from new_seat n join hall h on h.id = n.hall_id;
    insert into seat_hold select n.id, n.hall_id, n.hold_until from new_seat n where n.hold_until is not null;
    perform count_seats(array(
        select (hall_id, seat_type_id, status, count(*))::seat_delta
        from new_seat
        group by hall_id, seat_type_id, status
    ));
    perform announce_layout(halls);
    return null;
end
$$;

COMMENT ON FUNCTION public.seat_announce_inserted() IS 'Trigger function: new seats are a new revision of their halls, which clients then load anew.';

CREATE FUNCTION public.seat_announce_truncated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    halls bigint[];
begin
    perform assert_table(tg_relid, 'seat');
    halls := array(select distinct hall_id from hall_count);
    perform next_revision(halls);
    insert into seat_event (hall_id, rev, kind) select id, rev, 'layout' from hall where id = any(halls);
    delete from hall_count;
    delete from seat_hold;
    perform announce_layout(halls);
    return null;
end
$$;

COMMENT ON FUNCTION public.seat_announce_truncated() IS 'Trigger function: every hall that had seats gets a new revision.';

CREATE FUNCTION public.seat_announce_updated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET enable_nestloop TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    changed bigint[];  -- seats with another status, note or hold
    moved bigint[];  -- seats with another place in the layout
    held bigint[];  -- seats that were held or are
    aside bigint[];  -- seats of the second that seat_step_aside has marked
    restated bigint[];  -- halls of the first
    relaid bigint[];  -- halls of the second: both, where a seat moved from one to another
begin
    perform assert_table(tg_relid, 'seat');
    select
        array_agg(n.id) filter (where c.changed),
        array_agg(n.id) filter (where c.moved),
        array_agg(n.id) filter (where (c.changed or c.moved) and coalesce(n.hold_until, o.hold_until) is not null),
        array_agg(n.id) filter (where c.moved and left(n.section, 1) = E'\x01'),
        array_agg(distinct n.hall_id) filter (where c.changed),
        array_agg(distinct n.hall_id) filter (where c.moved)
            || array_agg(distinct o.hall_id) filter (where n.hall_id <> o.hall_id)
    into changed, moved, held, aside, restated, relaid
    from new_seat n
    join old_seat o using (id)
    cross join lateral (
        select
            (n.status, n.note, n.hold_until) is distinct from (o.status, o.note, o.hold_until) as changed,
            (
                n.hall_id, n.seat_type_id, n.section, n.row, n.row_label, n.place, n.place_label, n.x, n.y, n.width,
                n.height, n.rotation
            )
                is distinct from
                (
                    o.hall_id, o.seat_type_id, o.section, o.row, o.row_label, o.place, o.place_label, o.x, o.y, o.width,
                    o.height, o.rotation
                )
                and left(o.section, 1) is distinct from E'\x01' as moved
    ) c;

    if changed is null and moved is null then
        return null;
    end if;

    if aside is not null then
        update seat set section = nullif(ltrim(section, E'\x01'), '') where id = any(aside);
    end if;

    perform next_revision(restated || relaid);

    insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, note, hold_until, by, at)
    select
        h.id, h.rev, n.id,
        case
            when n.status = 'VACANT' and o.hold_until <= n.updated_at and n.updated_by is null then 'expired'
            when n.status <> o.status then 'status'
            when n.hold_until is distinct from o.hold_until then 'hold'
            else 'note'
        end::seat_event_kind,
        o.status, n.status, n.note, n.hold_until, n.updated_by, n.updated_at
    from new_seat n
    join old_seat o using (id)
    join (select id, rev from hall where id = any(restated)) h on h.id = n.hall_id
    where n.id in (select unnest(changed)) and n.id not in (select unnest(coalesce(moved, '{}')));

    if moved is not null then
        insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, note, hold_until, by, before)
        select
            h.id, h.rev, n.id, 'layout', case when c.changed then o.status end, case when c.changed then n.status end,
            n.note, n.hold_until, case when c.changed then n.updated_by end,
            case when h.id = o.hall_id then to_jsonb(o) end
        from new_seat n
        join old_seat o using (id)
        cross join lateral (
            select (n.status, n.note, n.hold_until) is distinct from (o.status, o.note, o.hold_until) as changed
        ) c
        join (select id, rev from hall where id = any(relaid)) h on h.id in (n.hall_id, o.hall_id)
        where n.id in (select unnest(moved));
    end if;

    if held is not null then
        delete from seat_hold where seat_id = any(held);
        insert into seat_hold
        select n.id, n.hall_id, n.hold_until
        from new_seat n
        where n.hold_until is not null and n.id in (select unnest(held));
    end if;

    perform count_seats(array(
        select (hall_id, seat_type_id, status, count(*))::seat_delta
        from new_seat
        group by hall_id, seat_type_id, status
        union all
        select (hall_id, seat_type_id, status, -count(*))::seat_delta
        from old_seat
        group by hall_id, seat_type_id, status
    ));

    perform announce_layout(relaid);

    -- A seat takes at least 97 of a notification's 8000 bytes: more than 82 need not be tried.
    perform announce(hall_notice(h, case when cardinality(c.seats) <= 82 then hall_update(h.id, c.seats) end))
    from (
        select n.hall_id, array_agg(n.id) as seats
        from new_seat n
        where n.id in (select unnest(changed))
        group by n.hall_id
    ) c
    join hall h on h.id = c.hall_id
    where h.id = any(restated) and h.id <> all(coalesce(relaid, '{}'));

    return null;
end
$$;

COMMENT ON FUNCTION public.seat_announce_updated() IS 'Trigger function: the next revision of each hall in which a status, a note or the layout changed, its history, and the notification that clients get the change from.';

CREATE FUNCTION public.seat_keep_state() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if (new.status, new.note, new.hold_until) is distinct from (old.status, old.note, old.hold_until) then
        new.note := case when new.status = 'MAINTENANCE' then nullif(new.note, '') end;
        new.hold_until := case when new.status = 'RESERVED' then new.hold_until end;
    end if;
    if (new.status, new.note, new.hold_until) is distinct from (old.status, old.note, old.hold_until) then
        new.updated_at := clock_timestamp();
        new.updated_by := null;
    else
        new.updated_at := old.updated_at;
        new.updated_by := old.updated_by;
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION public.seat_keep_state() IS 'Trigger function: keeps `updated_at` and `updated_by`, whatever a statement sets them to, and removes the note of a seat that leaves MAINTENANCE.';

CREATE FUNCTION public.seat_refusal(status public.seat_status, wanted public.seat_status, own boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case
        when status in ('VACANT', 'MAINTENANCE') and wanted = status then null
        when status in ('RESERVED', 'OCCUPIED') and wanted = status and own then null
        when status = 'RESERVED' and wanted = 'RESERVED' then 'SeatReserved'
        when status = 'OCCUPIED' and wanted in ('RESERVED', 'OCCUPIED') then 'SeatOccupied'
        when status = 'MAINTENANCE' and wanted in ('RESERVED', 'OCCUPIED') then 'SeatConflict'
    end
$$;

COMMENT ON FUNCTION public.seat_refusal(status public.seat_status, wanted public.seat_status, own boolean) IS 'The code with which a user may not change a seat from one status to another; null when that is allowed, or would change nothing. `own`: that user set the present status. Plain SQL is not asked.';

CREATE FUNCTION public.seat_refusal_message(code text, seat_id bigint, status public.seat_status, wanted public.seat_status, expected public.seat_status) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select case
        when code = 'SeatNotFound' then format('There is no seat %s in this hall.', seat_id)
        when code = 'InvalidSeatData' then format('The note for seat %s is longer than 200 characters.', seat_id)
        when expected <> status then format('Seat %s is %s, not %s as expected.', seat_id, status, expected)
        when wanted = status and code is not null then format('Seat %s is already %s.', seat_id, status)
        when code is not null then format('Seat %s is %s and cannot become %s.', seat_id, status, wanted)
    end
$$;

COMMENT ON FUNCTION public.seat_refusal_message(code text, seat_id bigint, status public.seat_status, wanted public.seat_status, expected public.seat_status) IS 'Why a seat was not changed, in a sentence for a person.';

CREATE FUNCTION public.seat_stand_on_grid() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    new.x := coalesce(new.x, 40 * (new.place - 1));
    new.y := coalesce(new.y, 40 * (new.row - 1));
    return new;
end
$$;

COMMENT ON FUNCTION public.seat_stand_on_grid() IS 'Trigger function: puts a seat without x or y where its row and place are on a grid of 40 by 40.';

CREATE FUNCTION public.seat_step_aside() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
    perform assert_table(tg_relid, 'seat');
    if left(new.section, 1) = E'\x01' then
        raise exception 'a section does not begin with a control character' using errcode = 'check_violation';
    end if;
    if exists (
        select
        from seat s
        where (s.hall_id, s.row, s.place) = (new.hall_id, new.row, new.place)
          and s.section is not distinct from new.section and s.id <> new.id
    ) or exists (
        select
        from seat s
        where s.hall_id = new.hall_id
          and coalesce(s.row_label, s.row::text) = coalesce(new.row_label, new.row::text)
          and coalesce(s.place_label, s.place::text) = coalesce(new.place_label, new.place::text)
          and s.section is not distinct from new.section and s.id <> new.id
    ) then
        new.section := E'\x01' || coalesce(new.section, '');
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION public.seat_step_aside() IS 'For triggers of seat: marks the section of a seat whose new position, or name, another has that may be about to move; seat_announce_updated takes the mark away. Refuses a section that has one already.';

CREATE FUNCTION public.seat_type_announce_renamed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    renamed jsonb;
    halls bigint[];
begin
    perform assert_table(tg_relid, 'seat_type');
    select jsonb_agg(to_jsonb(o)) into renamed
    from new_seat_type n
    join old_seat_type o using (id)
    where n.name <> o.name;
    halls := array(
        select distinct c.hall_id
        from new_seat_type n
        join old_seat_type o using (id)
        join hall_count c on c.seat_type_id = n.id
        where n.name <> o.name
    );
    perform next_revision(halls);
    insert into seat_event (hall_id, rev, kind, before) select id, rev, 'layout', renamed from hall where id = any(halls);
    perform announce_layout(halls);
    return null;
end
$$;

COMMENT ON FUNCTION public.seat_type_announce_renamed() IS 'Trigger function: every hall with seats of a renamed type gets a new revision, which clients then load anew.';

CREATE FUNCTION public.session_announce_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'session');
    perform announce(session_notice(gone.id)) from gone where gone.expires_at > now();
    return null;
end
$$;

COMMENT ON FUNCTION public.session_announce_deleted() IS 'Trigger function: notifies the servers of each deleted session that had not expired; they close its connections.';

CREATE FUNCTION public.session_announce_truncated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'session');
    perform announce(session_notice(s.id)) from session s where s.expires_at > now();
    return null;
end
$$;

COMMENT ON FUNCTION public.session_announce_truncated() IS 'Trigger function: notifies the servers of each session that had not expired, before all are removed.';

CREATE FUNCTION public.session_announce_updated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'session');
    perform announce(session_notice(before.id))
    from before
    left join after on after.id = before.id and after.user_id = before.user_id and after.expires_at > now()
    where before.expires_at > now() and after.id is null;
    return null;
end
$$;

COMMENT ON FUNCTION public.session_announce_updated() IS 'Trigger function: notifies the servers of each session that an update has ended: it expires now, or is another user''s, or has another id.';

CREATE TABLE public.session (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone DEFAULT (now() + '5 days'::interval) NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now(),
    address text,
    user_agent text,
    key_hash bytea,
    CONSTRAINT session_address_short CHECK ((length(address) <= 64)),
    CONSTRAINT session_key_sha256 CHECK ((octet_length(key_hash) = 32)),
    CONSTRAINT session_user_agent_short CHECK ((length(user_agent) <= 256))
);

COMMENT ON TABLE public.session IS 'What a token or a service key stands for. Deleting a row logs that session out at once, on every node.';

COMMENT ON COLUMN public.session.id IS 'Stands in the session''s token; of a service key the first 16 bytes of its hash.';

COMMENT ON COLUMN public.session.user_id IS 'The user who is signed in; a user may have several sessions.';

COMMENT ON COLUMN public.session.created_at IS 'When the user signed in, or a token was made.';

COMMENT ON COLUMN public.session.expires_at IS 'From then on its token is refused; infinity for a service key without an end. The row is removed some time later.';

COMMENT ON COLUMN public.session.last_seen_at IS 'When it was used last, to five minutes; an open socket is a use. Null: a service key that has never been used.';

COMMENT ON COLUMN public.session.address IS 'The IP address that it was used from last, as far as known.';

COMMENT ON COLUMN public.session.user_agent IS 'What its client called itself then (User-Agent), cut to 256 characters.';

COMMENT ON COLUMN public.session.key_hash IS 'SHA-256 of a service key; null: a session that a token names.';

CREATE FUNCTION public.session_is_live(s public.session, p_idle_hours integer) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select s.expires_at > now() and (
        s.key_hash is not null
        or p_idle_hours = 0
        or s.last_seen_at > now() - make_interval(hours => p_idle_hours)
    )
$$;

COMMENT ON FUNCTION public.session_is_live(s public.session, p_idle_hours integer) IS 'It has neither expired nor been out of use for so many hours (0: no matter how many); a service key may be.';

CREATE FUNCTION public.session_notice(id uuid) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select 'session ' || encode(sha256(uuid_send(id)), 'hex')
$$;

COMMENT ON FUNCTION public.session_notice(id uuid) IS 'What announces the end of a session; any role may read it, so it hides the id.';

CREATE FUNCTION public.session_record_ended() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_ended session[];
begin
    perform assert_table(tg_relid, 'session');
    if tg_op = 'DELETE' then
        v_ended := array(select b::session from before b);
    elsif tg_op = 'TRUNCATE' then
        v_ended := array(select s from session s);
    else
        v_ended := array(
            select b::session
            from before b
            left join after a on a.id = b.id and a.user_id = b.user_id and a.expires_at > now()
            where b.expires_at > now() and a.id is null
        );
    end if;
    insert into auth_event (event, reason, user_id, username, address, device, detail)
    select
        'auth.session_ended',
        case when s.expires_at > now() then auth_reason() else 'expiry' end,
        s.user_id,
        u.username,
        auth_setting('address'),
        auth_setting('device'),
        case when s.key_hash is not null then 'service key' end
    from unnest(v_ended) s
    left join app_user u on u.id = s.user_id;
    return null;
end
$$;

COMMENT ON FUNCTION public.session_record_ended() IS 'For triggers of session: records the end of those that are deleted, or that an update ends.';

CREATE FUNCTION public.session_record_first_use() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform assert_table(tg_relid, 'session');
    insert into auth_event (event, reason, user_id, username, address)
    select 'auth.key_used_first', 'key', u.id, u.username, new.address
    from app_user u
    where u.id = new.user_id;
    return null;
end
$$;

COMMENT ON FUNCTION public.session_record_first_use() IS 'For a trigger of session: records the first use of a service key.';

CREATE FUNCTION public.shift_seats(seat_ids bigint[], rows integer, places integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
    shifted integer;
begin
    perform from public.seat s where s.id = any(seat_ids) order by s.id for no key update;
    update public.seat s
    set row = s.row + shift_seats.rows, place = s.place + shift_seats.places
    where s.id = any(seat_ids) and (shift_seats.rows <> 0 or shift_seats.places <> 0);
    get diagnostics shifted = row_count;
    return shifted;
end
$$;

COMMENT ON FUNCTION public.shift_seats(seat_ids bigint[], rows integer, places integer) IS 'Moves these seats by so many rows and places, back where they are negative, all at once and with the rights of the caller; labels, x and y stay. Returns how many it has moved. The seats are locked in the order of their ids.';

CREATE FUNCTION public.start_consumer(name text, hall_id bigint) RETURNS TABLE(rev bigint, epoch text, data text)
    LANGUAGE sql
    AS $$
    with cursor as (
        insert into consumer_cursor (name, hall_id, epoch, rev)
        select start_consumer.name, h.id, h.epoch, h.rev from hall h where h.id = start_consumer.hall_id
        on conflict (name, hall_id) do update set epoch = excluded.epoch, rev = excluded.rev, updated_at = clock_timestamp()
    )
    select rev, epoch, data from hall_snapshot(start_consumer.hall_id)
$$;

COMMENT ON FUNCTION public.start_consumer(name text, hall_id bigint) IS 'Sets a cursor to the present revision of a hall, whether there was one or not, and returns hall_snapshot of it; no row for a hall that does not exist.';

CREATE FUNCTION public.start_recovery(p_user bigint, p_phrase_hash text, p_visitor bytea, p_address text, p_secret text) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
    v_username text;
begin
    select u.username into v_username from app_user u where u.id = p_user for no key update;
    if not exists (select from recovery r where r.user_id = p_user and r.phrase_hash = p_phrase_hash) then
        return null;
    end if;
    insert into registration (username, user_id, visitor, address, totp_secret)
    values (v_username, p_user, p_visitor, p_address, p_secret)
    on conflict (user_id, visitor) where user_id is not null do update set
        totp_secret = excluded.totp_secret,
        created_at = excluded.created_at,
        expires_at = excluded.expires_at;
    delete from throttle t where t.scope = 'recovery' and t.subject = throttle_subject(p_user, p_visitor);
    return v_username;
end
$$;

COMMENT ON FUNCTION public.start_recovery(p_user bigint, p_phrase_hash text, p_visitor bytea, p_address text, p_secret text) IS 'Enrols a new authenticator if the phrase just proved is still in force; null if not.';

CREATE FUNCTION public.start_registration(p_username text, p_visitor bytea, p_address text, p_secret text, p_open boolean) RETURNS public.enrolment
    LANGUAGE plpgsql
    AS $$
declare
    r enrolment;
    v registration;
begin
    perform throttle_window('registration', p_address, 0);
    r.wait := throttle_window('auth_start', encode(p_visitor, 'hex'), 30);
    if r.wait > 0 then
        r.code := 'TooManyRequests';
        return r;
    end if;
    r.wait := null;

    select u.id, u.username into r.user_id, r.username
    from app_user u
    where lower(u.username collate "C") = lower(p_username collate "C");
    if r.user_id is not null then
        return r;
    elsif not p_open then
        r.code := 'RegistrationClosed';
        return r;
    end if;

    delete from registration g
    where lower(g.username collate "C") = lower(p_username collate "C") and g.user_id is null and g.expires_at <= now();
    select ceil(extract(epoch from min(g.expires_at) - now())) into r.wait
    from registration g
    where g.user_id is null and g.expires_at > now()
        and lower(g.username collate "C") <> lower(p_username collate "C")
        and (g.visitor = p_visitor or g.address = p_address)
    having count(*) filter (where g.visitor = p_visitor) >= 5 or count(*) filter (where g.address = p_address) >= 50;
    if r.wait is not null then
        r.code := 'TooManyRequests';
        return r;
    end if;

    insert into registration as g (username, visitor, address, totp_secret)
    values (p_username, p_visitor, p_address, p_secret)
    on conflict (lower(username collate "C")) where user_id is null do update set username = g.username
    returning * into v;
    if v.visitor = p_visitor then
        r.id := v.id;
        r.username := v.username;
        r.secret := v.totp_secret;
    else
        r.code := 'RegistrationInProgress';
        r.wait := greatest(1, ceil(extract(epoch from v.expires_at - now())));
    end if;
    return r;
end
$$;

COMMENT ON FUNCTION public.start_registration(p_username text, p_visitor bytea, p_address text, p_secret text, p_open boolean) IS 'Finds or begins the registration of a name: five at a time by a visitor, fifty from a network.';

CREATE TABLE public.auth_event (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    event text NOT NULL,
    reason text NOT NULL,
    user_id bigint,
    username text,
    address text,
    device text,
    detail text,
    times bigint DEFAULT 1 NOT NULL,
    db_role text DEFAULT SESSION_USER NOT NULL,
    CONSTRAINT auth_event_name CHECK ((event ~ '^auth\.[a-z_]+$'::text)),
    CONSTRAINT auth_event_reason CHECK ((reason ~ '^[a-z_]{1,32}$'::text))
);

COMMENT ON TABLE public.auth_event IS 'What has happened to accounts, whoever changed them. Rows are only added; keep_auth_events removes the old ones.';

COMMENT ON COLUMN public.auth_event.id IS 'Its number.';

COMMENT ON COLUMN public.auth_event.at IS 'When it happened, by the clock of the database.';

COMMENT ON COLUMN public.auth_event.event IS 'What happened, as in the log: auth.login_failed, auth.locked, …';

COMMENT ON COLUMN public.auth_event.reason IS 'Why, or by what; sql for a statement that is not the server''s.';

COMMENT ON COLUMN public.auth_event.user_id IS 'The user, who may be gone; null for a name that nobody has.';

COMMENT ON COLUMN public.auth_event.username IS 'The user''s name then, or the name that nobody has.';

COMMENT ON COLUMN public.auth_event.address IS 'The client''s address, as the server gave it; null for SQL.';

COMMENT ON COLUMN public.auth_event.device IS 'The first 16 digits of the hash in known_visitor, of the client''s visitor id; nobody can pose as it with these.';

COMMENT ON COLUMN public.auth_event.detail IS 'The role of a new user, the two roles of a change; that a session is that of a service key.';

COMMENT ON COLUMN public.auth_event.times IS 'How many failures the row stands for.';

COMMENT ON COLUMN public.auth_event.db_role IS 'The database role that was logged in; it cannot choose another name.';

CREATE FUNCTION public.take_auth_events(most integer) RETURNS SETOF public.auth_event
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    with taken as (
        delete from auth_event_pending p
        where p.event_id = any(array(
            select o.event_id from auth_event_pending o order by o.event_id limit most for update skip locked
        ))
        returning p.event_id
    )
    select e.* from taken t join auth_event e on e.id = t.event_id order by e.id
$$;

COMMENT ON FUNCTION public.take_auth_events(most integer) IS 'The next events to log, at most so many; each is given to one server, and to none again.';

CREATE FUNCTION public.take_events(name text, hall_id bigint, most integer) RETURNS SETOF public.seat_event
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
    seen consumer_cursor;
begin
    select c.* into seen
    from consumer_cursor c
    where c.name = take_events.name and c.hall_id = take_events.hall_id
    for update;
    if not found then
        raise exception 'consumer % has no cursor for hall %', take_events.name, take_events.hall_id
            using errcode = 'no_data_found', hint = 'Begin with the hall as it is: start_consumer(name, hall_id).';
    end if;
    return query
    with taken as materialized (
        select * from events_after(seen.hall_id, seen.epoch, seen.rev, most)
    ),
    moved as (
        update consumer_cursor c
        set rev = (select max(t.rev) from taken t), updated_at = clock_timestamp()
        where c.name = seen.name and c.hall_id = seen.hall_id and exists (select from taken)
    )
    select * from taken t order by t.rev, t.seat_id;
end
$$;

COMMENT ON FUNCTION public.take_events(name text, hall_id bigint, most integer) IS 'events_after a cursor, which it moves behind them: for good with the commit, in whose transaction the caller does its work. Another that takes by the same cursor waits until then.';

CREATE FUNCTION public.throttle_attempt(p_scope text, p_subject text) RETURNS integer
    LANGUAGE plpgsql
    AS $$
begin
    delete from throttle t where t.scope = p_scope and t.subject = p_subject and t.expires_at <= clock_timestamp();
    insert into throttle as t (scope, subject, attempts, blocked_until, expires_at)
    values (p_scope, p_subject, 1, clock_timestamp(), clock_timestamp() + interval '1 day')
    on conflict (scope, subject) do update set
        attempts = t.attempts + 1,
        blocked_until = clock_timestamp() + case
            when t.attempts + 1 < 5 then interval '0'
            else least(interval '30 seconds' * 2 ^ least(t.attempts - 4, 10), interval '15 minutes')
        end,
        expires_at = clock_timestamp() + interval '1 day'
    where t.blocked_until <= clock_timestamp();
    if found then
        return 0;
    end if;
    return coalesce((
        select greatest(1, ceil(extract(epoch from t.blocked_until - clock_timestamp())))
        from throttle t
        where t.scope = p_scope and t.subject = p_subject
    ), 1);
end
$$;

COMMENT ON FUNCTION public.throttle_attempt(p_scope text, p_subject text) IS 'Five attempts in a row are free, then each waits for 30 s, doubling to 15 minutes; success deletes the row.';

CREATE FUNCTION public.throttle_record_flood() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
declare
    v_user bigint;
begin
    perform assert_table(tg_relid, 'throttle');
    v_user := substring(old.subject from '^[0-9]{1,18}$')::bigint;
    insert into auth_event (event, reason, user_id, username, times)
    select
        'auth.login_failed', 'flood', v_user, (select u.username from app_user u where u.id = v_user),
        old.attempts - failures_a_minute()
    where old.attempts > failures_a_minute();
    return null;
end
$_$;

COMMENT ON FUNCTION public.throttle_record_flood() IS 'For a trigger of throttle: once the minute is over, the failures without a row of their own are recorded in one.';

CREATE FUNCTION public.throttle_subject(p_user bigint, p_visitor bytea) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select case
        when exists (
            select from known_visitor k
            where k.user_id = p_user and k.visitor = p_visitor and k.expires_at > now()
        ) then p_user || ':' || encode(p_visitor, 'hex')
        else p_user::text
    end
$$;

COMMENT ON FUNCTION public.throttle_subject(p_user bigint, p_visitor bytea) IS 'For open_session and start_recovery: the counter of a known device''s attempts at a user''s secrets.';

CREATE FUNCTION public.throttle_window(p_scope text, p_subject text, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
    v throttle;
begin
    delete from throttle t where t.scope = p_scope and t.subject = p_subject and t.expires_at <= clock_timestamp();
    insert into throttle as t (scope, subject, attempts, blocked_until, expires_at)
    values (p_scope, p_subject, 1, clock_timestamp(), clock_timestamp() + interval '1 minute')
    on conflict (scope, subject) do update set attempts = t.attempts + 1
    returning * into v;
    if v.attempts <= p_limit then
        return 0;
    end if;
    return greatest(1, ceil(extract(epoch from v.expires_at - clock_timestamp())));
end
$$;

COMMENT ON FUNCTION public.throttle_window(p_scope text, p_subject text, p_limit integer) IS 'So many attempts in a minute, counted from the first of them.';

CREATE FUNCTION public.unannounced(of_hall bigint DEFAULT NULL::bigint) RETURNS TABLE(hall_id bigint, seat_id bigint, status public.seat_status, note text, known_status public.seat_status, known_note text)
    LANGUAGE sql STABLE
    AS $$
    select s.hall_id, s.id, s.status, s.note, e.new_status, e.note
    from seat s
    join (
        select distinct on (hall_id, seat_id) hall_id, seat_id, new_status, note, hold_until
        from seat_event
        where (new_status is not null or kind = 'layout' and before is null) and (of_hall is null or hall_id = of_hall)
        order by hall_id, seat_id, rev desc
    ) e on e.hall_id = s.hall_id and e.seat_id = s.id
    where e.new_status is not null
      and (s.status, s.note, s.hold_until) is distinct from (e.new_status, e.note, e.hold_until)
    order by s.hall_id, s.id
$$;

COMMENT ON FUNCTION public.unannounced(of_hall bigint) IS 'The seats whose status, note or hold is not that of their latest event, of one hall or of all; a seat without an event in the history since it came to the hall is not compared.';

CREATE FUNCTION public.unlocked_halls(halls bigint[], seat_ids bigint[]) RETURNS SETOF bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    with free_seat as materialized (
        select id from seat where id = any(seat_ids) for no key update skip locked
    ),
    free_hall as materialized (
        select id from hall where id = any(halls) for no key update skip locked
    )
    select wanted.id
    from unnest(halls) wanted(id)
    where not exists (
        select from seat s where s.id = any(seat_ids) and s.hall_id = wanted.id
        and not exists (select from free_seat f where f.id = s.id)
    )
    and (exists (select from free_hall f where f.id = wanted.id) or not exists (select from hall h where h.id = wanted.id))
$$;

COMMENT ON FUNCTION public.unlocked_halls(halls bigint[], seat_ids bigint[]) IS 'Those of these halls that no session has locked, nor any of their seats among these; never waits.';

CREATE FUNCTION public.wire_epoch(epoch text) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if pg_is_in_recovery() then
        return epoch || '-' || upper(lpad(to_hex((pg_control_checkpoint()).timeline_id), 8, '0'));
    end if;
    return epoch || '-' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
exception
    when insufficient_privilege or feature_not_supported then
        return epoch;
end
$$;

COMMENT ON FUNCTION public.wire_epoch(epoch text) IS 'A hall''s epoch with the server''s timeline, where that can be read: a failover to a replica that lagged behind begins a new one.';

CREATE FUNCTION public.wire_time(t timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

COMMENT ON FUNCTION public.wire_time(t timestamp with time zone) IS 'ISO 8601 in UTC with milliseconds.';

CREATE FUNCTION public.write_seats(p_hall bigint[], p_user bigint[], p_session uuid[], p_key uuid[], p_digest bytea[], i_request integer[], i_seat bigint[], i_status public.seat_status[], i_expected public.seat_status[], i_note text[], i_hold integer[] DEFAULT NULL::integer[]) RETURNS TABLE(request integer, code text, message text, data text)
    LANGUAGE plpgsql
    SET lock_timeout TO '300ms'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
    p_code text[];
    p_message text[];
    p_data text[];
    p_open boolean[];  -- neither refused nor answered so far
    i_code text[];
    i_message text[];
begin
    -- Who may write? A session that is locked is not revoked before this has committed.
    perform from session where id = any(p_session) order by id for key share;

    select array_agg(a.code order by a.n), array_agg(a.code is null order by a.n)
    into p_code, p_open
    from (
        select
            r.n,
            case
                when s.id is null then 'SessionExpired'
                when u.role not in ('operator', 'admin') then 'Forbidden'
            end as code
        from unnest(p_user, p_session) with ordinality r(user_id, session_id, n)
        left join session s on s.id = r.session_id and s.user_id = r.user_id and s.expires_at > clock_timestamp()
        left join app_user u on u.id = s.user_id
    ) a;

    -- What was asked before? A key that another transaction is using just now is waited for.
    if cardinality(array_remove(p_key, null)) > 0 then
        insert into write_key as k (user_id, key, digest)
        select r.user_id, r.key, r.digest
        from unnest(p_user, p_key, p_digest, p_open) r(user_id, key, digest, open)
        where r.key is not null and r.open
        order by r.user_id, r.key
        on conflict (user_id, key) do update
        set digest = excluded.digest, code = null, message = null, data = null, created_at = excluded.created_at
        where k.created_at < now() - interval '10 minutes';

        select
            array_agg(coalesce(r.code, f.code) order by r.n),
            array_agg(f.message order by r.n),
            array_agg(f.data order by r.n),
            array_agg(r.open and f is null order by r.n)
        into p_code, p_message, p_data, p_open
        from unnest(p_user, p_key, p_digest, p_code, p_open) with ordinality r(user_id, key, digest, code, open, n)
        left join lateral (
            select
                case when same then k.code else 'ValidationError' end as code,
                case when same then k.message else 'That key was used for another request.' end as message,
                case when same then k.data end as data
            from write_key k
            cross join lateral (select k.digest = r.digest as same) d
            where k.user_id = r.user_id and k.key = r.key and r.open and (k.code is not null or k.data is not null)
        ) f on true;
    end if;

    -- Seats are looked up by id alone, the hall is compared afterwards: with both in the condition, and no statistics
    -- yet, the planner goes through a whole hall for each seat.
    perform
    from seat
    where id = any(array(select i.seat_id from unnest(i_request, i_seat) i(request, seat_id) where p_open[i.request]))
    order by id
    for no key update;

    -- Judge the seats as they are now that nobody else can change them, and change those whose whole request may be.
    -- (A `set` clause of the function would need a superuser; an error takes this back with everything else.)
    perform set_config('seatsync.writing', 'on', true);
    with item as (
        select
            i.n,
            i.request,
            i.seat_id,
            i.wanted,
            i.expected,
            s.status,
            s.note,
            s.hold_until,
            case
                when i.wanted <> 'MAINTENANCE' then null
                when i.note is null and s.status = 'MAINTENANCE' then s.note
                else nullif(i.note, '')
            end as wanted_note,
            case when i.wanted = 'RESERVED' then clock_timestamp() + i.hold * interval '1 second' end as wanted_hold,
            case
                when not p_open[i.request] then null
                when h.id is null then 'HallNotFound'
                when s.hall_id is distinct from h.id then 'SeatNotFound'
                when char_length(i.note) > 200 then 'InvalidSeatData'
                when i.expected <> s.status then 'SeatConflict'
                else seat_refusal(s.status, i.wanted, s.updated_by = p_user[i.request])
            end as code
        from unnest(i_request, i_seat, i_status, i_expected, i_note, i_hold)
            with ordinality i(request, seat_id, wanted, expected, note, hold, n)
        left join hall h on h.id = p_hall[i.request]
        left join seat s on s.id = i.seat_id
    ),
    judged as materialized (
        select *, p_open[request] and bool_and(code is null) over (partition by request) as granted from item
    ),
    written as (
        update seat
        set
            status = j.wanted,
            note = j.wanted_note,
            hold_until = j.wanted_hold,
            updated_at = clock_timestamp(),
            updated_by = p_user[j.request]
        from judged j
        where seat.id = j.seat_id
          and j.granted
          and (j.wanted, j.wanted_note, j.wanted_hold) is distinct from (j.status, j.note, j.hold_until)
    )
    select
        array_agg(code order by n),
        array_agg(seat_refusal_message(code, seat_id, status, wanted, expected) order by n)
    into i_code, i_message
    from judged;

    perform set_config('seatsync.writing', 'off', true);

    -- The answers, with the revision that the change has made; those of keys are kept.
    return query
    with answer as (
        select
            i.request,
            min(i.n) filter (where i.code is not null)::integer as refused,
            array_agg(
                (s.id, s.status, wire_time(s.updated_at), s.note, wire_time(s.hold_until))::wire_seat_state order by i.n
            ) as seats
        from unnest(i_request, i_seat, i_code) with ordinality i(request, seat_id, code, n)
        left join seat s on s.id = i.seat_id and p_open[i.request]
        group by i.request
    ),
    outcome as materialized (
        select
            a.request,
            coalesce(p_code[a.request], i_code[a.refused]) as code,
            coalesce(p_message[a.request], i_message[a.refused]) as message,
            case
                when p_open[a.request] and a.refused is null
                    then format('{"id":%s,"rev":%s,"seats":%s}', h.id, h.rev, array_to_json(a.seats))
                else p_data[a.request]
            end as data
        from answer a
        left join hall h on h.id = p_hall[a.request]
    ),
    kept as (
        update write_key k
        set code = o.code, message = o.message, data = o.data
        from outcome o
        where k.user_id = p_user[o.request] and k.key = p_key[o.request] and p_open[o.request]
    )
    select o.request, o.code, o.message, o.data from outcome o order by o.request;
end
$$;

COMMENT ON FUNCTION public.write_seats(p_hall bigint[], p_user bigint[], p_session uuid[], p_key uuid[], p_digest bytea[], i_request integer[], i_seat bigint[], i_status public.seat_status[], i_expected public.seat_status[], i_note text[], i_hold integer[]) IS 'Changes seats for users by the rules of the protocol. A request (p_…, by position) names a hall, a user, the session it came with and, to be safe to repeat, a key with the digest of its parameters. An item (i_…) names its request by number, a seat, the wanted status and, or null, the expected one, a note (empty: none) and after how many seconds a reservation ends. A request is done wholly or not at all, whatever becomes of the others: it has a code and a message, or the data of its answer. A seat, and a key of a user, may stand once in a call. Each lock is waited for 300 ms at most.';

CREATE TABLE public.app_user (
    id bigint NOT NULL,
    username text NOT NULL,
    role public.user_role DEFAULT 'viewer'::public.user_role NOT NULL,
    totp_secret text,
    totp_last_step bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    is_service boolean DEFAULT false NOT NULL,
    disabled_at timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT app_user_deleted_is_disabled CHECK (((deleted_at IS NULL) OR (disabled_at IS NOT NULL))),
    CONSTRAINT app_user_service_without_secret CHECK ((is_service = (totp_secret IS NULL))),
    CONSTRAINT app_user_totp_secret_format CHECK ((totp_secret ~ '^([A-Z2-7]{16,128}|[0-9a-f]{8}:[A-Za-z0-9_-]{59,208})$'::text)),
    CONSTRAINT app_user_username_pattern CHECK ((username ~ '^[a-zA-Z0-9_-]{3,32}$'::text))
);

COMMENT ON TABLE public.app_user IS 'People who may sign in, those who no longer may, and services, which cannot: the history names them by their row. Changing a role ends the sessions of that user.';

COMMENT ON COLUMN public.app_user.id IS 'Given out once: the history names users by it, also when they are gone.';

COMMENT ON COLUMN public.app_user.username IS '3 to 32 letters, digits, hyphens and underscores; no two names differ in upper and lower case alone.';

COMMENT ON COLUMN public.app_user.role IS 'What the user may do. A change ends the user''s sessions.';

COMMENT ON COLUMN public.app_user.totp_secret IS 'The secret shared with the authenticator (RFC 6238): `<key id>:<ciphertext>`, under a key of SECRETS_KEY and bound to the username, or plain in base32 until the next start. A renamed user has to enrol anew.';

COMMENT ON COLUMN public.app_user.totp_last_step IS 'The 30 s step of the newest code used; older codes are no longer taken.';

COMMENT ON COLUMN public.app_user.created_at IS 'When the user confirmed the registration, or was added.';

COMMENT ON COLUMN public.app_user.is_service IS 'A program with a service key: without a secret nobody can sign in as it. It outlives its key, for the history has its name.';

COMMENT ON COLUMN public.app_user.disabled_at IS 'Null for a user who may sign in. Setting it ends the sessions, and no other can begin; setting it to null lets the user in again.';

COMMENT ON COLUMN public.app_user.deleted_at IS 'When the user was deleted. The row stays for the history, and nobody else gets the name; deleting the row, too, takes the name out of the history.';

ALTER TABLE public.app_user ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.app_user_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.auth_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.auth_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.auth_event_pending (
    event_id bigint NOT NULL
);

COMMENT ON TABLE public.auth_event_pending IS 'The events that no server has logged yet.';

COMMENT ON COLUMN public.auth_event_pending.event_id IS 'The event.';

CREATE TABLE public.cinema (
    id bigint NOT NULL,
    name text NOT NULL,
    color text DEFAULT '#4F46E5'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT cinema_color_format CHECK ((color ~ '^#[0-9A-Fa-f]{6}$'::text)),
    CONSTRAINT cinema_id_positive CHECK ((id > 0)),
    CONSTRAINT cinema_name_sensible CHECK (((name ~ '\S'::text) AND (char_length(name) <= 200)))
);

COMMENT ON TABLE public.cinema IS 'A cinema: a name, a colour, halls.';

COMMENT ON COLUMN public.cinema.id IS 'Clients know the cinema by it; it never changes.';

COMMENT ON COLUMN public.cinema.name IS 'Its name in clients, at most 200 characters.';

COMMENT ON COLUMN public.cinema.color IS 'Its colour in clients, as #RRGGBB.';

COMMENT ON COLUMN public.cinema.created_at IS 'When the cinema was added.';

ALTER TABLE public.cinema ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.cinema_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.consumer_cursor (
    name text NOT NULL,
    hall_id bigint NOT NULL,
    epoch text NOT NULL,
    rev bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.consumer_cursor IS 'How far programs have read the history of halls; gone with the hall.';

COMMENT ON COLUMN public.consumer_cursor.name IS 'The program, by a name of its choice.';

COMMENT ON COLUMN public.consumer_cursor.hall_id IS 'The hall.';

COMMENT ON COLUMN public.consumer_cursor.epoch IS 'The epoch of the revision, as the hall has it.';

COMMENT ON COLUMN public.consumer_cursor.rev IS 'The last revision that it has read.';

COMMENT ON COLUMN public.consumer_cursor.updated_at IS 'When the cursor moved, by the clock of the database.';

CREATE TABLE public.feed_key (
    single boolean DEFAULT true NOT NULL,
    key bytea DEFAULT sha256((uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))) NOT NULL,
    former bytea,
    CONSTRAINT feed_key_single CHECK (single)
);

COMMENT ON TABLE public.feed_key IS 'The key of notifications, one row. A dump contains it; renew it after a restore: update feed_key set former = key, key = default.';

COMMENT ON COLUMN public.feed_key.single IS 'True: there is one row.';

COMMENT ON COLUMN public.feed_key.key IS 'Makes the tags of notifications.';

COMMENT ON COLUMN public.feed_key.former IS 'The key before; its tags are taken too, for transactions that were under way.';

CREATE TABLE public.hall_checkpoint (
    hall_id bigint NOT NULL,
    rev bigint NOT NULL,
    epoch text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    whole boolean NOT NULL,
    hall jsonb NOT NULL,
    types jsonb NOT NULL,
    seats public.seat[] NOT NULL
);

COMMENT ON TABLE public.hall_checkpoint IS 'Halls at some of their revisions: where the layout changed, and whole ones. The history has every event after each.';

COMMENT ON COLUMN public.hall_checkpoint.hall_id IS 'The hall.';

COMMENT ON COLUMN public.hall_checkpoint.rev IS 'Its revision.';

COMMENT ON COLUMN public.hall_checkpoint.epoch IS 'The epoch of the revision.';

COMMENT ON COLUMN public.hall_checkpoint.at IS 'A time after the revision was made: no event up to it is later.';

COMMENT ON COLUMN public.hall_checkpoint.whole IS 'It has every seat, not only those whose place in the layout has changed.';

COMMENT ON COLUMN public.hall_checkpoint.hall IS 'The row of the hall.';

COMMENT ON COLUMN public.hall_checkpoint.types IS 'The names of the types of its seats, by id.';

COMMENT ON COLUMN public.hall_checkpoint.seats IS 'The rows of seats; of one that is gone the id alone. A column that the table gets later is null in those of before: it is added without a default, which PostgreSQL would refuse.';

ALTER TABLE public.hall ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.hall_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.known_network (
    user_id bigint NOT NULL,
    network bytea NOT NULL,
    failures bigint DEFAULT 0 NOT NULL,
    expires_at timestamp with time zone DEFAULT (now() + '90 days'::interval) NOT NULL,
    CONSTRAINT known_network_sha256 CHECK ((octet_length(network) = 32))
);

COMMENT ON TABLE public.known_network IS 'The twenty networks from which a user has signed in last: their wrong codes do not count as those of strangers.';

COMMENT ON COLUMN public.known_network.user_id IS 'The user who has signed in from there.';

COMMENT ON COLUMN public.known_network.network IS 'SHA-256 of the address as text; of IPv6 of the /64 network.';

COMMENT ON COLUMN public.known_network.failures IS 'Codes in a row that were not right; at a hundred the network is unknown.';

COMMENT ON COLUMN public.known_network.expires_at IS 'From then on the network is unknown; each sign-in sets it anew.';

CREATE TABLE public.known_visitor (
    user_id bigint NOT NULL,
    visitor bytea NOT NULL,
    expires_at timestamp with time zone DEFAULT (now() + '400 days'::interval) NOT NULL,
    failures bigint DEFAULT 0 NOT NULL,
    CONSTRAINT known_visitor_sha256 CHECK ((octet_length(visitor) = 32))
);

COMMENT ON TABLE public.known_visitor IS 'Devices, by their visitor cookie, that have signed in as a user, the last hundred: their wrong codes count apart.';

COMMENT ON COLUMN public.known_visitor.user_id IS 'The user whom the visitor has signed in as.';

COMMENT ON COLUMN public.known_visitor.visitor IS 'SHA-256 of the id in the visitor cookie.';

COMMENT ON COLUMN public.known_visitor.expires_at IS 'From then on the visitor is a stranger; each sign-in sets it anew.';

COMMENT ON COLUMN public.known_visitor.failures IS 'Codes in a row that were not right; at a hundred the device is unknown.';

CREATE TABLE public.layout_change (
    hall_id bigint NOT NULL,
    begins boolean NOT NULL
);

COMMENT ON TABLE public.layout_change IS 'Halls whose layout is being replaced: what changes in them is of the revision that has begun. Rows are gone by the end of their transaction, so that no other one sees them.';

COMMENT ON COLUMN public.layout_change.hall_id IS 'The hall.';

COMMENT ON COLUMN public.layout_change.begins IS 'True for a new revision; false where the transaction has begun one by a change of the hall itself.';

CREATE TABLE public.lockout (
    user_id bigint NOT NULL,
    failures bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE public.lockout IS 'Wrong codes of unknown clients. At a hundred in a row none of them is let through (NIST SP 800-63B, 5.2.2), until the user recovers with the phrase or an administrator deletes the row.';

COMMENT ON COLUMN public.lockout.user_id IS 'The user whose code is guessed at.';

COMMENT ON COLUMN public.lockout.failures IS 'Codes in a row, of all unknown clients together, that were not right.';

CREATE VIEW public.maintenance_log AS
 WITH event AS NOT MATERIALIZED (
         SELECT e.hall_id,
            e.seat_id,
            e.rev,
            e.at,
            e.by,
            e.old_status AS was,
            e.new_status AS becomes,
            e.note,
            NULL::jsonb AS layout
           FROM public.seat_event e
          WHERE (e.kind <> 'layout'::public.seat_event_kind)
        UNION ALL
         SELECT e.hall_id,
            e.seat_id,
            e.rev,
            e.at,
            e.by,
            ((e.before ->> 'status'::text))::public.seat_status AS seat_status,
            (c.seat).status AS status,
            (c.seat).note AS note,
            e.before
           FROM (public.seat_event e
             LEFT JOIN ( SELECT c_1.hall_id,
                    c_1.rev,
                    unnest(c_1.seats) AS seat
                   FROM public.hall_checkpoint c_1) c ON (((c.hall_id = e.hall_id) AND (c.rev = e.rev) AND ((c.seat).id = e.seat_id))))
          WHERE ((e.kind = 'layout'::public.seat_event_kind) AND (e.seat_id <> 0) AND (EXISTS ( SELECT
                   FROM public.hall_checkpoint k
                  WHERE ((k.hall_id = e.hall_id) AND (k.rev = e.rev)))))
        ), numbered AS (
         SELECT e.hall_id,
            e.seat_id,
            e.rev,
            e.at,
            e.by,
            e.was,
            e.becomes,
            e.note,
            e.layout,
            count(*) FILTER (WHERE (e.was IS DISTINCT FROM 'MAINTENANCE'::public.seat_status)) OVER (PARTITION BY e.hall_id, e.seat_id ORDER BY e.rev) AS n
           FROM event e
          WHERE ((e.was = 'MAINTENANCE'::public.seat_status) OR (e.becomes = 'MAINTENANCE'::public.seat_status))
        ), spell AS (
         SELECT n.hall_id,
            n.seat_id,
            min(n.at) FILTER (WHERE (n.was IS DISTINCT FROM 'MAINTENANCE'::public.seat_status)) AS since,
            max(n.at) FILTER (WHERE (n.becomes IS DISTINCT FROM 'MAINTENANCE'::public.seat_status)) AS until,
            (array_agg(n.note ORDER BY n.rev DESC) FILTER (WHERE (n.becomes = 'MAINTENANCE'::public.seat_status)))[1] AS note,
            min(n.by) FILTER (WHERE (n.was IS DISTINCT FROM 'MAINTENANCE'::public.seat_status)) AS by,
            (array_agg(n.layout ORDER BY n.rev DESC))[1] AS layout
           FROM numbered n
          GROUP BY n.hall_id, n.seat_id, n.n
        UNION ALL
         SELECT s_1.hall_id,
            s_1.id,
            s_1.updated_at,
            NULL::timestamp with time zone AS until,
            s_1.note,
            s_1.updated_by,
            NULL::jsonb AS layout
           FROM public.seat s_1
          WHERE ((s_1.status = 'MAINTENANCE'::public.seat_status) AND (NOT (EXISTS ( SELECT
                   FROM event e
                  WHERE ((e.hall_id = s_1.hall_id) AND (e.seat_id = s_1.id) AND (e.becomes = 'MAINTENANCE'::public.seat_status))))))
        )
 SELECT cinema.name AS cinema,
    s.hall_id,
    hall.name AS hall,
    s.seat_id,
        CASE
            WHEN (seat.id IS NULL) THEN (s.layout ->> 'section'::text)
            ELSE seat.section
        END AS section,
    COALESCE(seat.row_label, (seat."row")::text, (s.layout ->> 'row_label'::text), (s.layout ->> 'row'::text)) AS "row",
    COALESCE(seat.place_label, (seat.place)::text, (s.layout ->> 'place_label'::text), (s.layout ->> 'place'::text)) AS place,
    s.since,
    s.until,
    s.note,
    app_user.username
   FROM ((((spell s
     JOIN public.hall ON ((hall.id = s.hall_id)))
     JOIN public.cinema ON ((cinema.id = hall.cinema_id)))
     LEFT JOIN public.seat ON ((seat.id = s.seat_id)))
     LEFT JOIN public.app_user ON ((app_user.id = s.by)));

COMMENT ON VIEW public.maintenance_log IS 'The times that seats were in MAINTENANCE, as far as the history goes, and those that still are.';

COMMENT ON COLUMN public.maintenance_log.cinema IS 'The name of the cinema now.';

COMMENT ON COLUMN public.maintenance_log.hall_id IS 'The hall.';

COMMENT ON COLUMN public.maintenance_log.hall IS 'Its name now.';

COMMENT ON COLUMN public.maintenance_log.seat_id IS 'The seat.';

COMMENT ON COLUMN public.maintenance_log.section IS 'Its section now; of one that went in maintenance, the section it had, null of one that has gone since.';

COMMENT ON COLUMN public.maintenance_log."row" IS 'Its row, likewise, as people read it.';

COMMENT ON COLUMN public.maintenance_log.place IS 'Its place, likewise.';

COMMENT ON COLUMN public.maintenance_log.since IS 'From when on; null for a time before the history.';

COMMENT ON COLUMN public.maintenance_log.until IS 'Until when; null for a seat that still is.';

COMMENT ON COLUMN public.maintenance_log.note IS 'The last note.';

COMMENT ON COLUMN public.maintenance_log.username IS 'Who began it; null for SQL, and for a user whose row is gone.';

CREATE VIEW public.occupancy_by_day AS
SELECT
    NULL::bigint AS cinema_id,
    NULL::text AS cinema,
    NULL::bigint AS hall_id,
    NULL::text AS hall,
    NULL::date AS day,
    NULL::bigint AS seats,
    NULL::numeric AS occupied_avg,
    NULL::bigint AS occupied_peak,
    NULL::numeric AS reserved_avg,
    NULL::numeric AS maintenance_avg,
    NULL::bigint AS changes;

COMMENT ON VIEW public.occupancy_by_day IS 'The same by days of UTC. For those of another time zone see occupancy_report.';

COMMENT ON COLUMN public.occupancy_by_day.cinema_id IS 'Its cinema.';

COMMENT ON COLUMN public.occupancy_by_day.cinema IS 'The name of that now.';

COMMENT ON COLUMN public.occupancy_by_day.hall_id IS 'The hall.';

COMMENT ON COLUMN public.occupancy_by_day.hall IS 'Its name now.';

COMMENT ON COLUMN public.occupancy_by_day.day IS 'The day.';

COMMENT ON COLUMN public.occupancy_by_day.seats IS 'The seats there were at its end.';

COMMENT ON COLUMN public.occupancy_by_day.occupied_avg IS 'How many of them were OCCUPIED on average, weighted by time.';

COMMENT ON COLUMN public.occupancy_by_day.occupied_peak IS 'The most that were OCCUPIED.';

COMMENT ON COLUMN public.occupancy_by_day.reserved_avg IS 'How many were RESERVED on average.';

COMMENT ON COLUMN public.occupancy_by_day.maintenance_avg IS 'How many were in MAINTENANCE on average.';

COMMENT ON COLUMN public.occupancy_by_day.changes IS 'How often a seat got another status.';

CREATE VIEW public.occupancy_by_hour AS
 SELECT cinema.id AS cinema_id,
    cinema.name AS cinema,
    hall.id AS hall_id,
    hall.name AS hall,
    o.hour,
    o.seats,
    round(((o.occupied_us)::numeric / (o.us)::numeric), 3) AS occupied_avg,
    o.occupied_peak,
    round(((o.reserved_us)::numeric / (o.us)::numeric), 3) AS reserved_avg,
    round(((o.maintenance_us)::numeric / (o.us)::numeric), 3) AS maintenance_avg,
    o.changes
   FROM ((public.hall
     JOIN public.cinema ON ((cinema.id = hall.cinema_id)))
     CROSS JOIN LATERAL public.hall_occupancy(hall.id, '-infinity'::timestamp with time zone, 'infinity'::timestamp with time zone) o(hour, us, seats, reserved_us, occupied_us, maintenance_us, occupied_peak, changes));

COMMENT ON VIEW public.occupancy_by_hour IS 'How full each hall was, hour by hour (UTC), as far as that is rolled up; the last one is that until now.';

COMMENT ON COLUMN public.occupancy_by_hour.cinema_id IS 'Its cinema.';

COMMENT ON COLUMN public.occupancy_by_hour.cinema IS 'The name of that now.';

COMMENT ON COLUMN public.occupancy_by_hour.hall_id IS 'The hall.';

COMMENT ON COLUMN public.occupancy_by_hour.hall IS 'Its name now.';

COMMENT ON COLUMN public.occupancy_by_hour.hour IS 'The beginning of the hour.';

COMMENT ON COLUMN public.occupancy_by_hour.seats IS 'The seats there were at its end.';

COMMENT ON COLUMN public.occupancy_by_hour.occupied_avg IS 'How many of them were OCCUPIED on average, weighted by time.';

COMMENT ON COLUMN public.occupancy_by_hour.occupied_peak IS 'The most that were OCCUPIED.';

COMMENT ON COLUMN public.occupancy_by_hour.reserved_avg IS 'How many were RESERVED on average.';

COMMENT ON COLUMN public.occupancy_by_hour.maintenance_avg IS 'How many were in MAINTENANCE on average.';

COMMENT ON COLUMN public.occupancy_by_hour.changes IS 'How often a seat got another status.';

CREATE TABLE public.occupancy_hour (
    hall_id bigint NOT NULL,
    hour timestamp with time zone NOT NULL,
    rev bigint NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    seats bigint NOT NULL,
    reserved bigint NOT NULL,
    occupied bigint NOT NULL,
    maintenance bigint NOT NULL,
    reserved_us bigint NOT NULL,
    occupied_us bigint NOT NULL,
    maintenance_us bigint NOT NULL,
    occupied_peak bigint NOT NULL,
    changes bigint NOT NULL
);

COMMENT ON TABLE public.occupancy_hour IS 'The hours in which a hall has changed, rolled up from its history; in between it was as at the end of the hour before. Kept when days of the history are dropped. The views and hall_occupancy have every hour.';

COMMENT ON COLUMN public.occupancy_hour.hall_id IS 'The hall.';

COMMENT ON COLUMN public.occupancy_hour.hour IS 'The beginning of the hour, in UTC.';

COMMENT ON COLUMN public.occupancy_hour.rev IS 'The last revision in it.';

COMMENT ON COLUMN public.occupancy_hour.changed_at IS 'From when on the hall was at that revision.';

COMMENT ON COLUMN public.occupancy_hour.seats IS 'The seats there were then.';

COMMENT ON COLUMN public.occupancy_hour.reserved IS 'Of those, the RESERVED.';

COMMENT ON COLUMN public.occupancy_hour.occupied IS 'Of those, the OCCUPIED.';

COMMENT ON COLUMN public.occupancy_hour.maintenance IS 'Of those, the ones in MAINTENANCE.';

COMMENT ON COLUMN public.occupancy_hour.reserved_us IS 'For how long seats were RESERVED, in microseconds times seats. Until the hour is over: if it ends as it is;';

COMMENT ON COLUMN public.occupancy_hour.occupied_us IS '… OCCUPIED;';

COMMENT ON COLUMN public.occupancy_hour.maintenance_us IS '… in MAINTENANCE.';

COMMENT ON COLUMN public.occupancy_hour.occupied_peak IS 'The most seats that were OCCUPIED, at its beginning or any revision.';

COMMENT ON COLUMN public.occupancy_hour.changes IS 'How often a seat got another status.';

CREATE TABLE public.recovery (
    user_id bigint NOT NULL,
    phrase_hash text,
    offered_hash text,
    offered_until timestamp with time zone,
    CONSTRAINT recovery_offer_ends CHECK (((offered_hash IS NULL) = (offered_until IS NULL)))
);

COMMENT ON TABLE public.recovery IS 'Recovery phrases, hashed: salt and scrypt parameters stand beside the hash.';

COMMENT ON COLUMN public.recovery.user_id IS 'The user whose phrases these are.';

COMMENT ON COLUMN public.recovery.phrase_hash IS 'The phrase in force; used up by a recovery.';

COMMENT ON COLUMN public.recovery.offered_hash IS 'A new phrase that the user has not yet proved to have kept.';

COMMENT ON COLUMN public.recovery.offered_until IS 'Until when the offered phrase can be put in force; null without an offer.';

CREATE TABLE public.registration (
    id bigint NOT NULL,
    username text NOT NULL,
    user_id bigint,
    visitor bytea NOT NULL,
    address text NOT NULL,
    totp_secret text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone DEFAULT (now() + '00:05:00'::interval) NOT NULL,
    owner bytea,
    CONSTRAINT registration_owner_sha256 CHECK ((octet_length(owner) = 32)),
    CONSTRAINT registration_totp_secret_format CHECK ((totp_secret ~ '^([A-Z2-7]{16,128}|[0-9a-f]{8}:[A-Za-z0-9_-]{59,208})$'::text)),
    CONSTRAINT registration_username_pattern CHECK ((username ~ '^[a-zA-Z0-9_-]{3,32}$'::text)),
    CONSTRAINT registration_visitor_sha256 CHECK ((octet_length(visitor) = 32))
);

COMMENT ON TABLE public.registration IS 'Authenticators being enrolled: a code from one makes it count.';

COMMENT ON COLUMN public.registration.id IS 'Names the enrolment where its wrong codes are counted.';

COMMENT ON COLUMN public.registration.username IS 'The name that the new user chose; in a recovery, the user''s own.';

COMMENT ON COLUMN public.registration.user_id IS 'Null for a new account; else the user who recovers with a phrase.';

COMMENT ON COLUMN public.registration.visitor IS 'SHA-256 of the id of the client that began it: its attempts are counted together.';

COMMENT ON COLUMN public.registration.address IS 'The peer''s address; of IPv6 the /64 network.';

COMMENT ON COLUMN public.registration.totp_secret IS 'The secret that the QR code shows, stored as a user''s is; it becomes the user''s with the first right code.';

COMMENT ON COLUMN public.registration.created_at IS 'When the QR code was made; in a recovery, made last.';

COMMENT ON COLUMN public.registration.expires_at IS 'From then on no code is taken; a new account''s name is free again.';

COMMENT ON COLUMN public.registration.owner IS 'SHA-256 of the id that alone may go on with it: in the visitor cookie, or of a WebSocket connection.';

ALTER TABLE public.registration ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.registration_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.schema_migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.schema_migration IS 'Which migrations were applied here, with the SHA-256 of their text.';

COMMENT ON COLUMN public.schema_migration.name IS 'The name of its file without `.sql`; it begins with a number.';

COMMENT ON COLUMN public.schema_migration.checksum IS 'SHA-256 of the file''s text, in hex: a server refuses a database whose migrations differ from its own.';

COMMENT ON COLUMN public.schema_migration.applied_at IS 'When the migration was applied to this database.';

CREATE VIEW public.seat_count AS
 SELECT hall_id,
    seat_type_id,
    seats,
    vacant,
    reserved,
    occupied,
    maintenance
   FROM public.hall_count;

COMMENT ON VIEW public.seat_count IS 'How many seats of each type a hall has, and in which status they are.';

COMMENT ON COLUMN public.seat_count.hall_id IS 'The hall that is counted; without seats it has no row.';

COMMENT ON COLUMN public.seat_count.seat_type_id IS 'The type that is counted; one that the hall does not have has no row.';

COMMENT ON COLUMN public.seat_count.seats IS 'How many seats of the type the hall has, in any status.';

COMMENT ON COLUMN public.seat_count.vacant IS 'How many of them are VACANT.';

COMMENT ON COLUMN public.seat_count.reserved IS 'How many of them are RESERVED.';

COMMENT ON COLUMN public.seat_count.occupied IS 'How many of them are OCCUPIED.';

COMMENT ON COLUMN public.seat_count.maintenance IS 'How many of them are in MAINTENANCE.';

CREATE TABLE public.seat_event_default (
    hall_id bigint CONSTRAINT seat_event_hall_id_not_null1 NOT NULL,
    rev bigint CONSTRAINT seat_event_rev_not_null1 NOT NULL,
    seat_id bigint DEFAULT 0 CONSTRAINT seat_event_seat_id_not_null1 NOT NULL,
    kind public.seat_event_kind CONSTRAINT seat_event_kind_not_null1 NOT NULL,
    old_status public.seat_status,
    new_status public.seat_status,
    note text,
    by bigint,
    at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT seat_event_at_not_null1 NOT NULL,
    before jsonb,
    hold_until timestamp with time zone,
    CONSTRAINT seat_event_status_is_of_a_seat CHECK (((seat_id <> 0) OR ((kind = 'layout'::public.seat_event_kind) AND (new_status IS NULL))))
);

COMMENT ON TABLE public.seat_event_default IS 'Events of days that have no partition yet; keep_history moves them.';

CREATE VIEW public.seat_history AS
 SELECT e.hall_id,
    hall.name AS hall,
    e.rev,
    e.at,
    e.kind,
    e.seat_id,
        CASE
            WHEN (seat.id IS NULL) THEN (e.before ->> 'section'::text)
            ELSE seat.section
        END AS section,
    COALESCE(seat.row_label, (seat."row")::text, (e.before ->> 'row_label'::text), (e.before ->> 'row'::text)) AS "row",
    COALESCE(seat.place_label, (seat.place)::text, (e.before ->> 'place_label'::text), (e.before ->> 'place'::text)) AS place,
    e.old_status,
    e.new_status,
    e.note,
    app_user.username
   FROM (((public.seat_event e
     JOIN public.hall ON ((hall.id = e.hall_id)))
     LEFT JOIN public.seat ON ((seat.id = e.seat_id)))
     LEFT JOIN public.app_user ON ((app_user.id = e.by)));

COMMENT ON VIEW public.seat_history IS 'The history as a person reads it. Order by hall_id and rev.';

COMMENT ON COLUMN public.seat_history.hall_id IS 'The hall.';

COMMENT ON COLUMN public.seat_history.hall IS 'Its name now.';

COMMENT ON COLUMN public.seat_history.rev IS 'Its revision.';

COMMENT ON COLUMN public.seat_history.at IS 'When it changed.';

COMMENT ON COLUMN public.seat_history.kind IS 'What changed.';

COMMENT ON COLUMN public.seat_history.seat_id IS 'The seat; 0 for a change of the hall itself or of a seat type.';

COMMENT ON COLUMN public.seat_history.section IS 'Its section now; of a seat that is gone, the section when it went.';

COMMENT ON COLUMN public.seat_history."row" IS 'Its row, as people read it.';

COMMENT ON COLUMN public.seat_history.place IS 'Its place, as people read it.';

COMMENT ON COLUMN public.seat_history.old_status IS 'The status before.';

COMMENT ON COLUMN public.seat_history.new_status IS 'The status from then on.';

COMMENT ON COLUMN public.seat_history.note IS 'The note from then on.';

COMMENT ON COLUMN public.seat_history.username IS 'Whose request it was; null for SQL, and for a user whose row is gone.';

CREATE TABLE public.seat_hold (
    seat_id bigint NOT NULL,
    hall_id bigint NOT NULL,
    until timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.seat_hold IS 'The seats that are held, by the end of their hold. Kept by triggers, from seat.hold_until.';

COMMENT ON COLUMN public.seat_hold.seat_id IS 'The seat, which is RESERVED.';

COMMENT ON COLUMN public.seat_hold.hall_id IS 'Its hall.';

COMMENT ON COLUMN public.seat_hold.until IS 'Its hold_until.';

ALTER TABLE public.seat ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.seat_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.seat_type (
    id bigint NOT NULL,
    name text NOT NULL,
    CONSTRAINT seat_type_id_positive CHECK ((id > 0)),
    CONSTRAINT seat_type_name_sensible CHECK (((name ~ '\S'::text) AND (char_length(name) <= 200)))
);

COMMENT ON TABLE public.seat_type IS 'A kind of seat: standard, VIP, love seat …';

COMMENT ON COLUMN public.seat_type.id IS 'Clients know the type by it.';

COMMENT ON COLUMN public.seat_type.name IS 'Its name in clients. A new one changes the layout of every hall with such seats.';

ALTER TABLE public.seat_type ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.seat_type_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.throttle (
    scope text NOT NULL,
    subject text NOT NULL,
    attempts integer NOT NULL,
    blocked_until timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.throttle IS 'Attempts counted before they are looked at; deleting a row forgives them.';

COMMENT ON COLUMN public.throttle.scope IS 'What is counted: `code`, `register`, `recovery` and `phrase` are attempts at a secret in a row, which wait longer each time; `lookup`, `auth_start`, and `recovery` of an address, are the attempts of a minute; `auth_event` the failures of a minute, of which the first have rows in auth_event; `registration` limits nothing, its row is a lock.';

COMMENT ON COLUMN public.throttle.subject IS 'Whose attempts: a user''s id with the hash of a known device''s visitor or with a network; the id of a registration; a network (an IPv4 address or the /64 of an IPv6 address); or a visitor''s hash.';

COMMENT ON COLUMN public.throttle.attempts IS 'How many have been let through or, where those of a minute are counted, made.';

COMMENT ON COLUMN public.throttle.blocked_until IS 'No attempt is let through before this.';

COMMENT ON COLUMN public.throttle.expires_at IS 'After this the row means nothing.';

CREATE TABLE public.write_key (
    user_id bigint NOT NULL,
    key uuid NOT NULL,
    digest bytea NOT NULL,
    code text,
    message text,
    data text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.write_key IS 'The first outcome of each keyed request of the last ten minutes: sent again, it is answered with that.';

COMMENT ON COLUMN public.write_key.user_id IS 'The user who sent the request; keys of other users do not matter.';

COMMENT ON COLUMN public.write_key.key IS 'The key that the client has made up for the request.';

COMMENT ON COLUMN public.write_key.digest IS 'SHA-256 of the request''s parameters: a key stands for one request only.';

COMMENT ON COLUMN public.write_key.code IS 'What it failed with; null when data is its answer.';

COMMENT ON COLUMN public.write_key.message IS 'The sentence that goes with the code, if it has one of its own.';

COMMENT ON COLUMN public.write_key.data IS 'The answer of a request that was done, in JSON; null for one that failed.';

COMMENT ON COLUMN public.write_key.created_at IS 'When the request came; ten minutes later its key stands for nothing.';

ALTER TABLE ONLY public.seat_event ATTACH PARTITION public.seat_event_default DEFAULT;

ALTER TABLE ONLY public.app_user
    ADD CONSTRAINT app_user_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.auth_event_pending
    ADD CONSTRAINT auth_event_pending_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.auth_event
    ADD CONSTRAINT auth_event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.cinema
    ADD CONSTRAINT cinema_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.consumer_cursor
    ADD CONSTRAINT consumer_cursor_pkey PRIMARY KEY (name, hall_id);

ALTER TABLE ONLY public.feed_key
    ADD CONSTRAINT feed_key_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.hall_checkpoint
    ADD CONSTRAINT hall_checkpoint_pkey PRIMARY KEY (hall_id, rev);

ALTER TABLE ONLY public.hall_count
    ADD CONSTRAINT hall_count_pkey PRIMARY KEY (hall_id, seat_type_id);

ALTER TABLE ONLY public.hall
    ADD CONSTRAINT hall_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.known_network
    ADD CONSTRAINT known_network_pkey PRIMARY KEY (user_id, network);

ALTER TABLE ONLY public.known_visitor
    ADD CONSTRAINT known_visitor_pkey PRIMARY KEY (user_id, visitor);

ALTER TABLE ONLY public.layout_change
    ADD CONSTRAINT layout_change_pkey PRIMARY KEY (hall_id);

ALTER TABLE ONLY public.lockout
    ADD CONSTRAINT lockout_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY public.occupancy_hour
    ADD CONSTRAINT occupancy_hour_pkey PRIMARY KEY (hall_id, hour);

ALTER TABLE ONLY public.recovery
    ADD CONSTRAINT recovery_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY public.registration
    ADD CONSTRAINT registration_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.seat_event
    ADD CONSTRAINT seat_event_pkey PRIMARY KEY (hall_id, rev, seat_id, at);

ALTER TABLE ONLY public.seat_event_default
    ADD CONSTRAINT seat_event_default_pkey PRIMARY KEY (hall_id, rev, seat_id, at);

ALTER TABLE ONLY public.seat_hold
    ADD CONSTRAINT seat_hold_pkey PRIMARY KEY (seat_id);

ALTER TABLE ONLY public.seat
    ADD CONSTRAINT seat_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.seat_type
    ADD CONSTRAINT seat_type_name_key UNIQUE (name);

ALTER TABLE ONLY public.seat_type
    ADD CONSTRAINT seat_type_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.throttle
    ADD CONSTRAINT throttle_pkey PRIMARY KEY (scope, subject);

ALTER TABLE ONLY public.write_key
    ADD CONSTRAINT write_key_pkey PRIMARY KEY (user_id, key);

CREATE UNIQUE INDEX app_user_username_key ON public.app_user USING btree (lower((username COLLATE "C")));

CREATE INDEX auth_event_at_idx ON public.auth_event USING btree (at);

CREATE INDEX consumer_cursor_hall_idx ON public.consumer_cursor USING btree (hall_id);

CREATE INDEX hall_checkpoint_hall_id_at_rev_idx ON public.hall_checkpoint USING btree (hall_id, at, rev);

CREATE INDEX hall_cinema_id_idx ON public.hall USING btree (cinema_id);

CREATE INDEX known_network_expires_at_idx ON public.known_network USING btree (expires_at);

CREATE INDEX known_visitor_expires_at_idx ON public.known_visitor USING btree (expires_at);

CREATE INDEX registration_address_idx ON public.registration USING btree (address);

CREATE INDEX registration_expires_at_idx ON public.registration USING btree (expires_at);

CREATE INDEX registration_owner_idx ON public.registration USING btree (owner);

CREATE UNIQUE INDEX registration_recovery_key ON public.registration USING btree (user_id, visitor) WHERE (user_id IS NOT NULL);

CREATE UNIQUE INDEX registration_username_key ON public.registration USING btree (lower((username COLLATE "C"))) WHERE (user_id IS NULL);

CREATE INDEX registration_visitor_idx ON public.registration USING btree (visitor);

CREATE INDEX seat_hold_hall_id_until_idx ON public.seat_hold USING btree (hall_id, until, seat_id);

CREATE INDEX seat_hold_until_idx ON public.seat_hold USING btree (until, hall_id);

CREATE UNIQUE INDEX seat_label_key ON public.seat USING btree (hall_id, COALESCE(row_label, ("row")::text), COALESCE(place_label, (place)::text), section) NULLS NOT DISTINCT;

CREATE UNIQUE INDEX seat_place_key ON public.seat USING btree (hall_id, "row", place, section) NULLS NOT DISTINCT;

CREATE INDEX seat_seat_type_id_idx ON public.seat USING btree (seat_type_id, hall_id);

CREATE INDEX session_expires_at_idx ON public.session USING btree (expires_at);

CREATE INDEX session_last_seen_at_idx ON public.session USING btree (last_seen_at);

CREATE INDEX session_user_id_idx ON public.session USING btree (user_id);

CREATE INDEX throttle_expires_at_idx ON public.throttle USING btree (expires_at);

CREATE INDEX write_key_created_at_idx ON public.write_key USING btree (created_at);

ALTER INDEX public.seat_event_pkey ATTACH PARTITION public.seat_event_default_pkey;

CREATE OR REPLACE VIEW public.occupancy_by_day AS
 SELECT cinema.id AS cinema_id,
    cinema.name AS cinema,
    hall.id AS hall_id,
    hall.name AS hall,
    ((o.hour AT TIME ZONE 'UTC'::text))::date AS day,
    (array_agg(o.seats ORDER BY o.hour DESC))[1] AS seats,
    round((sum(o.occupied_us) / sum(o.us)), 3) AS occupied_avg,
    max(o.occupied_peak) AS occupied_peak,
    round((sum(o.reserved_us) / sum(o.us)), 3) AS reserved_avg,
    round((sum(o.maintenance_us) / sum(o.us)), 3) AS maintenance_avg,
    (sum(o.changes))::bigint AS changes
   FROM ((public.hall
     JOIN public.cinema ON ((cinema.id = hall.cinema_id)))
     CROSS JOIN LATERAL public.hall_occupancy(hall.id, '-infinity'::timestamp with time zone, 'infinity'::timestamp with time zone) o(hour, us, seats, reserved_us, occupied_us, maintenance_us, occupied_peak, changes))
  GROUP BY cinema.id, hall.id, (((o.hour AT TIME ZONE 'UTC'::text))::date);

CREATE TRIGGER app_user_deleted BEFORE DELETE ON public.app_user FOR EACH ROW EXECUTE FUNCTION public.app_user_record_deleted();

COMMENT ON TRIGGER app_user_deleted ON public.app_user IS 'Records that a user goes.';

CREATE TRIGGER app_user_disabled AFTER UPDATE ON public.app_user FOR EACH ROW WHEN ((((old.disabled_at IS NULL) <> (new.disabled_at IS NULL)) OR ((old.deleted_at IS NULL) <> (new.deleted_at IS NULL)))) EXECUTE FUNCTION public.app_user_shut_out();

COMMENT ON TRIGGER app_user_disabled ON public.app_user IS 'A user who is disabled is signed out at once, on every server.';

CREATE TRIGGER app_user_recovered AFTER UPDATE OF totp_secret ON public.app_user FOR EACH ROW WHEN (((new.deleted_at IS NULL) AND (new.totp_secret <> old.totp_secret) AND ((new.totp_last_step <> old.totp_last_step) OR (strpos(new.totp_secret, ':'::text) = 0) OR (split_part(new.totp_secret, ':'::text, 1) = split_part(old.totp_secret, ':'::text, 1))))) EXECUTE FUNCTION public.app_user_record();

COMMENT ON TRIGGER app_user_recovered ON public.app_user IS 'Records a new authenticator of a user.';

CREATE TRIGGER app_user_registered AFTER INSERT ON public.app_user FOR EACH ROW EXECUTE FUNCTION public.app_user_record();

COMMENT ON TRIGGER app_user_registered ON public.app_user IS 'Records a new user.';

CREATE TRIGGER app_user_role_changed AFTER UPDATE ON public.app_user FOR EACH ROW WHEN ((old.role IS DISTINCT FROM new.role)) EXECUTE FUNCTION public.app_user_end_sessions();

COMMENT ON TRIGGER app_user_role_changed ON public.app_user IS 'A user with a new role has to sign in again.';

CREATE TRIGGER app_user_truncated BEFORE TRUNCATE ON public.app_user FOR EACH STATEMENT EXECUTE FUNCTION public.app_user_record_deleted();

COMMENT ON TRIGGER app_user_truncated ON public.app_user IS 'Records that all users go.';

CREATE TRIGGER auth_event_added AFTER INSERT ON public.auth_event REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.auth_event_append();

COMMENT ON TRIGGER auth_event_added ON public.auth_event IS 'Has a server log what is added.';

CREATE TRIGGER auth_event_kept BEFORE DELETE OR UPDATE ON public.auth_event FOR EACH ROW EXECUTE FUNCTION public.auth_event_refuse();

COMMENT ON TRIGGER auth_event_kept ON public.auth_event IS 'Rows are neither changed nor removed.';

CREATE TRIGGER auth_event_not_truncated BEFORE TRUNCATE ON public.auth_event FOR EACH STATEMENT EXECUTE FUNCTION public.auth_event_refuse();

COMMENT ON TRIGGER auth_event_not_truncated ON public.auth_event IS 'Rows are not removed all together either.';

CREATE TRIGGER cinema_keep_id BEFORE UPDATE OF id ON public.cinema FOR EACH ROW WHEN ((new.id <> old.id)) EXECUTE FUNCTION public.keep_id();

COMMENT ON TRIGGER cinema_keep_id ON public.cinema IS 'Refuses a new id.';

CREATE TRIGGER cinema_listed AFTER INSERT OR DELETE ON public.cinema FOR EACH ROW EXECUTE FUNCTION public.cinema_announce_list();

COMMENT ON TRIGGER cinema_listed ON public.cinema IS 'Announces that a cinema is new or gone.';

CREATE TRIGGER cinema_updated AFTER UPDATE ON public.cinema FOR EACH ROW WHEN (((new.name IS DISTINCT FROM old.name) OR (new.color IS DISTINCT FROM old.color))) EXECUTE FUNCTION public.cinema_announce_updated();

COMMENT ON TRIGGER cinema_updated ON public.cinema IS 'Announces a new name or colour.';

CREATE TRIGGER hall_deleted AFTER DELETE ON public.hall FOR EACH ROW EXECUTE FUNCTION public.hall_announce_deleted();

COMMENT ON TRIGGER hall_deleted ON public.hall IS 'Announces that a hall is gone, also with its cinema.';

CREATE TRIGGER hall_inserted AFTER INSERT ON public.hall FOR EACH ROW EXECUTE FUNCTION public.hall_announce_inserted();

COMMENT ON TRIGGER hall_inserted ON public.hall IS 'Announces a new hall to those who watch the list of cinemas.';

CREATE TRIGGER hall_keep_id BEFORE UPDATE OF id ON public.hall FOR EACH ROW WHEN ((new.id <> old.id)) EXECUTE FUNCTION public.keep_id();

COMMENT ON TRIGGER hall_keep_id ON public.hall IS 'Refuses a new id.';

CREATE TRIGGER hall_keep_rev BEFORE UPDATE ON public.hall FOR EACH ROW WHEN ((((((((new.cinema_id IS DISTINCT FROM old.cinema_id) OR (new.name IS DISTINCT FROM old.name)) OR (new.rows IS DISTINCT FROM old.rows)) OR (new.places IS DISTINCT FROM old.places)) OR (new.epoch IS DISTINCT FROM old.epoch)) OR (new.created_at IS DISTINCT FROM old.created_at)) OR ((new.rev <> old.rev) AND (pg_trigger_depth() = 0)))) EXECUTE FUNCTION public.hall_keep_rev();

COMMENT ON TRIGGER hall_keep_rev ON public.hall IS 'Makes a change of name, size, cinema or epoch the next revision.';

CREATE TRIGGER hall_truncated BEFORE TRUNCATE ON public.hall FOR EACH STATEMENT EXECUTE FUNCTION public.hall_announce_truncated();

COMMENT ON TRIGGER hall_truncated ON public.hall IS 'Announces that all halls are gone, also with their cinemas.';

CREATE TRIGGER hall_updated AFTER UPDATE ON public.hall FOR EACH ROW WHEN (((((((new.cinema_id IS DISTINCT FROM old.cinema_id) OR (new.name IS DISTINCT FROM old.name)) OR (new.rows IS DISTINCT FROM old.rows)) OR (new.places IS DISTINCT FROM old.places)) OR (new.epoch IS DISTINCT FROM old.epoch)) OR (new.created_at IS DISTINCT FROM old.created_at))) EXECUTE FUNCTION public.hall_announce_updated();

COMMENT ON TRIGGER hall_updated ON public.hall IS 'Announces a change of name, size, cinema or epoch.';

CREATE TRIGGER known_network_counted AFTER INSERT OR UPDATE OF failures ON public.known_network FOR EACH ROW EXECUTE FUNCTION public.record_lockout();

COMMENT ON TRIGGER known_network_counted ON public.known_network IS 'Records that a network is unknown from now on.';

CREATE TRIGGER known_visitor_counted AFTER INSERT OR UPDATE OF failures ON public.known_visitor FOR EACH ROW EXECUTE FUNCTION public.record_lockout();

COMMENT ON TRIGGER known_visitor_counted ON public.known_visitor IS 'Records that a device is unknown from now on.';

CREATE TRIGGER layout_change_begins BEFORE INSERT ON public.layout_change FOR EACH ROW WHEN (new.begins) EXECUTE FUNCTION public.layout_change_begin();

COMMENT ON TRIGGER layout_change_begins ON public.layout_change IS 'Begins the revision of a change of the layout.';

CREATE TRIGGER lockout_counted AFTER INSERT OR UPDATE ON public.lockout FOR EACH ROW EXECUTE FUNCTION public.record_lockout();

COMMENT ON TRIGGER lockout_counted ON public.lockout IS 'Records that unknown clients are locked out.';

CREATE TRIGGER registration_of_enabled BEFORE INSERT OR UPDATE OF user_id ON public.registration FOR EACH ROW WHEN ((new.user_id IS NOT NULL)) EXECUTE FUNCTION public.keep_disabled_out();

COMMENT ON TRIGGER registration_of_enabled ON public.registration IS 'A user who is disabled enrols no authenticator.';

CREATE TRIGGER seat_deleted AFTER DELETE ON public.seat REFERENCING OLD TABLE AS old_seat FOR EACH STATEMENT EXECUTE FUNCTION public.seat_announce_deleted();

COMMENT ON TRIGGER seat_deleted ON public.seat IS 'Announces removed seats, once for each statement.';

CREATE TRIGGER seat_inserted AFTER INSERT ON public.seat REFERENCING NEW TABLE AS new_seat FOR EACH STATEMENT EXECUTE FUNCTION public.seat_announce_inserted();

COMMENT ON TRIGGER seat_inserted ON public.seat IS 'Announces new seats, once for each statement.';

CREATE TRIGGER seat_keep_id BEFORE UPDATE OF id ON public.seat FOR EACH ROW WHEN ((new.id <> old.id)) EXECUTE FUNCTION public.keep_id();

COMMENT ON TRIGGER seat_keep_id ON public.seat IS 'Refuses a new id.';

CREATE TRIGGER seat_keep_state BEFORE UPDATE OF status, note, hold_until, updated_at, updated_by ON public.seat FOR EACH ROW WHEN (((current_setting('seatsync.writing'::text, true) IS DISTINCT FROM 'on'::text) OR (pg_trigger_depth() > 0) OR (NOT has_column_privilege('public.seat'::text, 'updated_by'::text, 'update'::text)))) EXECUTE FUNCTION public.seat_keep_state();

COMMENT ON TRIGGER seat_keep_state ON public.seat IS 'Keeps note, hold_until, updated_at and updated_by, for whoever is not write_seats.';

CREATE TRIGGER seat_section_unmarked BEFORE INSERT ON public.seat FOR EACH ROW WHEN (("left"(new.section, 1) = ''::text)) EXECUTE FUNCTION public.seat_step_aside();

COMMENT ON TRIGGER seat_section_unmarked ON public.seat IS 'Refuses the mark of seat_step_aside.';

CREATE TRIGGER seat_stand_on_grid BEFORE INSERT ON public.seat FOR EACH ROW WHEN (((new.x IS NULL) OR (new.y IS NULL))) EXECUTE FUNCTION public.seat_stand_on_grid();

COMMENT ON TRIGGER seat_stand_on_grid ON public.seat IS 'Gives a new seat the position that it was inserted without.';

CREATE TRIGGER seat_step_aside BEFORE UPDATE OF hall_id, section, "row", row_label, place, place_label ON public.seat FOR EACH ROW WHEN ((("left"(old.section, 1) IS DISTINCT FROM ''::text) AND ((((((new.hall_id IS DISTINCT FROM old.hall_id) OR (new.section IS DISTINCT FROM old.section)) OR (new."row" IS DISTINCT FROM old."row")) OR (new.row_label IS DISTINCT FROM old.row_label)) OR (new.place IS DISTINCT FROM old.place)) OR (new.place_label IS DISTINCT FROM old.place_label)))) EXECUTE FUNCTION public.seat_step_aside();

COMMENT ON TRIGGER seat_step_aside ON public.seat IS 'Lets seats move to where others move away in the same statement.';

CREATE TRIGGER seat_truncated AFTER TRUNCATE ON public.seat FOR EACH STATEMENT EXECUTE FUNCTION public.seat_announce_truncated();

COMMENT ON TRIGGER seat_truncated ON public.seat IS 'Announces that every hall is empty.';

CREATE TRIGGER seat_type_renamed AFTER UPDATE ON public.seat_type REFERENCING OLD TABLE AS old_seat_type NEW TABLE AS new_seat_type FOR EACH STATEMENT EXECUTE FUNCTION public.seat_type_announce_renamed();

COMMENT ON TRIGGER seat_type_renamed ON public.seat_type IS 'Announces a type''s new name to the halls that have such seats.';

CREATE TRIGGER seat_updated AFTER UPDATE ON public.seat REFERENCING OLD TABLE AS old_seat NEW TABLE AS new_seat FOR EACH STATEMENT EXECUTE FUNCTION public.seat_announce_updated();

COMMENT ON TRIGGER seat_updated ON public.seat IS 'Announces changed seats, once for each statement.';

CREATE TRIGGER session_all_ended BEFORE TRUNCATE ON public.session FOR EACH STATEMENT EXECUTE FUNCTION public.session_record_ended();

COMMENT ON TRIGGER session_all_ended ON public.session IS 'Records the end of all sessions.';

CREATE TRIGGER session_cut_short AFTER UPDATE ON public.session REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION public.session_record_ended();

COMMENT ON TRIGGER session_cut_short ON public.session IS 'Records sessions that an update has ended.';

CREATE TRIGGER session_deleted AFTER DELETE ON public.session REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.session_announce_deleted();

COMMENT ON TRIGGER session_deleted ON public.session IS 'Deleting a session logs it out at once, on every server.';

CREATE TRIGGER session_ended AFTER DELETE ON public.session REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION public.session_record_ended();

COMMENT ON TRIGGER session_ended ON public.session IS 'Records the end of sessions.';

CREATE TRIGGER session_key_used AFTER UPDATE OF last_seen_at ON public.session FOR EACH ROW WHEN (((old.last_seen_at IS NULL) AND (new.last_seen_at IS NOT NULL) AND (new.key_hash IS NOT NULL))) EXECUTE FUNCTION public.session_record_first_use();

COMMENT ON TRIGGER session_key_used ON public.session IS 'Records the first use of a service key.';

CREATE TRIGGER session_of_enabled BEFORE INSERT OR UPDATE OF user_id ON public.session FOR EACH ROW EXECUTE FUNCTION public.keep_disabled_out();

COMMENT ON TRIGGER session_of_enabled ON public.session IS 'A user who is disabled gets no session.';

CREATE TRIGGER session_truncated BEFORE TRUNCATE ON public.session FOR EACH STATEMENT EXECUTE FUNCTION public.session_announce_truncated();

COMMENT ON TRIGGER session_truncated ON public.session IS 'Truncating the sessions logs everybody out at once.';

CREATE TRIGGER session_updated AFTER UPDATE ON public.session REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION public.session_announce_updated();

COMMENT ON TRIGGER session_updated ON public.session IS 'Ending a session early logs it out at once, on every server.';

CREATE TRIGGER throttle_flood_over AFTER DELETE ON public.throttle FOR EACH ROW WHEN ((old.scope = 'auth_event'::text)) EXECUTE FUNCTION public.throttle_record_flood();

COMMENT ON TRIGGER throttle_flood_over ON public.throttle IS 'Records the failures of a minute that have no row of their own.';

ALTER TABLE ONLY public.auth_event_pending
    ADD CONSTRAINT auth_event_pending_event_id_fkey FOREIGN KEY (event_id) REFERENCES public.auth_event(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.consumer_cursor
    ADD CONSTRAINT consumer_cursor_hall_id_fkey FOREIGN KEY (hall_id) REFERENCES public.hall(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.hall_checkpoint
    ADD CONSTRAINT hall_checkpoint_hall_id_fkey FOREIGN KEY (hall_id) REFERENCES public.hall(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.hall
    ADD CONSTRAINT hall_cinema_id_fkey FOREIGN KEY (cinema_id) REFERENCES public.cinema(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.hall_count
    ADD CONSTRAINT hall_count_hall_id_fkey FOREIGN KEY (hall_id) REFERENCES public.hall(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.known_network
    ADD CONSTRAINT known_network_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.app_user(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.known_visitor
    ADD CONSTRAINT known_visitor_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.app_user(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lockout
    ADD CONSTRAINT lockout_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.app_user(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.occupancy_hour
    ADD CONSTRAINT occupancy_hour_hall_id_fkey FOREIGN KEY (hall_id) REFERENCES public.hall(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.recovery
    ADD CONSTRAINT recovery_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.app_user(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.registration
    ADD CONSTRAINT registration_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.app_user(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.seat
    ADD CONSTRAINT seat_hall_id_fkey FOREIGN KEY (hall_id) REFERENCES public.hall(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.seat
    ADD CONSTRAINT seat_seat_type_id_fkey FOREIGN KEY (seat_type_id) REFERENCES public.seat_type(id);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.app_user(id) ON DELETE CASCADE;

REVOKE ALL ON FUNCTION public.admit_code(p_user bigint, p_visitor bytea, p_network text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.announce(body text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.announce_layout(halls bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.announce_unannounced(of_hall bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.app_user_end_sessions() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.app_user_record() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.app_user_record_deleted() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.app_user_shut_out() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.as_client(p_id bigint, p_address text, p_visitor bytea, p_reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.assert_table(relation oid, expected regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.auth_event_append() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.auth_event_refuse() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.auth_reason() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.auth_setting(p_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.begin_recovery(p_user bigint, p_phrase_hash text, p_visitor bytea, p_owner bytea, p_address text, p_secret text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.begin_registration(p_username text, p_visitor bytea, p_owner bytea, p_new_owner bytea, p_address text, p_secret text, p_open boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.checkpoint_halls(halls bigint[], whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.cinema_announce_list() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.cinema_announce_updated() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.count_lookup(p_username text, p_visitor bytea, p_network text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.count_seats(deltas public.seat_delta[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.counts_of(deltas public.seat_delta[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.create_account(p_registration bigint, p_secret text, p_step bigint, p_role public.user_role, p_local boolean, p_replaces uuid, p_seen bytea, p_known bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.delete_user(p_user bigint, p_secret text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.due_seats(of_hall bigint, due timestamp with time zone, most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.expire_holds(most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.failures_a_minute() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.find_enrolment(p_username text, p_visitor bytea, p_open boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.finish_recovery(p_registration bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.forgive_codes(p_user bigint, p_visitor bytea, p_network text, p_known boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.grant_server(server regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.grant_server_0021(server regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.grant_server_0025(server regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.grant_server_0026(server regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.grant_server_0031(server regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.grant_server_before_auth_events(server regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.grant_server_before_holds(server regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.guess_subject(p_user bigint, p_visitor bytea, p_network text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.hall_announce_deleted() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.hall_announce_inserted() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.hall_announce_truncated() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.hall_announce_updated() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.hall_keep_rev() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.hall_notice(h public.hall, data text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.index_history() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.is_known_device(p_user bigint, p_visitor bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.keep_auth_events(days integer, most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.keep_checkpoints(most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.keep_disabled_out() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.keep_history(days integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.keep_id() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.layout_change_begin() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.log_in(p_user bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.may_guess(p_failures bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.next_revision(halls bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.open_session(p_user bigint, p_replaces uuid, p_seen bytea, p_known bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.record_auth_event(p_event text, p_user bigint, p_username text, p_reason text, p_detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.record_failure(p_user bigint, p_username text, p_reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.record_lockout() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.record_refusal(p_user bigint, p_username text, p_wait integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.recount_seats(halls bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.remember_client(p_user bigint, p_visitor bytea, p_network text, p_known boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.replace_plan(hall_id bigint, plan jsonb, keep_status boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.reset_user(p_user bigint, p_secret text, p_phrase_hash text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.roll_up_hall(of_hall bigint, target bigint, most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.roll_up_occupancy(most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.save_phrase(p_user bigint, p_offered_hash text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_announce_deleted() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_announce_inserted() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_announce_truncated() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_announce_updated() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_keep_state() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_stand_on_grid() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_step_aside() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.seat_type_announce_renamed() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_announce_deleted() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_announce_truncated() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_announce_updated() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_notice(id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_record_ended() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_record_first_use() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.start_recovery(p_user bigint, p_phrase_hash text, p_visitor bytea, p_address text, p_secret text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.start_registration(p_username text, p_visitor bytea, p_address text, p_secret text, p_open boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.take_auth_events(most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.throttle_attempt(p_scope text, p_subject text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.throttle_record_flood() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.throttle_subject(p_user bigint, p_visitor bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.throttle_window(p_scope text, p_subject text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.unannounced(of_hall bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.unlocked_halls(halls bigint[], seat_ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.write_seats(p_hall bigint[], p_user bigint[], p_session uuid[], p_key uuid[], p_digest bytea[], i_request integer[], i_seat bigint[], i_status public.seat_status[], i_expected public.seat_status[], i_note text[], i_hold integer[]) FROM PUBLIC;

ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC;

RESET check_function_bodies;
