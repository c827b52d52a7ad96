-- Holds: reservations that end by themselves.
--
-- The end of a hold stands in seat.hold_until, which no index has: updates of seats stay HOT. What is due is found in
-- seat_hold, which triggers keep for the seats that are held and for no others.

-- The values are used by functions alone, and by none of them in this transaction.
alter type seat_event_kind add value if not exists 'hold' before 'layout';
alter type seat_event_kind add value if not exists 'expired' before 'layout';

-- The column is new and null, so that nothing is checked or written when it is added.
alter table seat
    add column hold_until timestamptz,
    -- squawk-ignore constraint-missing-not-valid
    add constraint seat_hold_of_reserved
    check (hold_until is null or (status = 'RESERVED' and isfinite(hold_until)));

comment on column seat.hold_until is
    'When a RESERVED seat becomes VACANT by itself; null for a reservation that lasts. Any change of status ends it.';
comment on column seat.updated_at is 'Kept by a trigger: when status, note or hold_until last changed.';

alter table seat_event add column hold_until timestamptz;

comment on column seat_event.hold_until is 'The end of the hold from then on; null where there is none.';
comment on column seat_event.kind is
    'layout: the seat is new, gone or moved, whatever became of its status. expired: a hold that was due has ended, and '
    'no user has ended it. hold: its end is another one, or it lasts now.';

-- Without foreign keys: truncating seats would need `cascade`, and each hold a lock.
create table seat_hold (
    seat_id bigint primary key,
    hall_id bigint not null,
    until timestamptz not null
);

create index seat_hold_until_idx on seat_hold (until, hall_id);
create index seat_hold_hall_id_until_idx on seat_hold (hall_id, until, seat_id);

comment on table seat_hold is 'The seats that are held, by the end of their hold. Kept by triggers, from seat.hold_until.';
comment on column seat_hold.seat_id is 'The seat, which is RESERVED.';
comment on column seat_hold.hall_id is 'Its hall.';
comment on column seat_hold.until is 'Its hold_until.';

-- What clients receive.

alter type wire_seat_state add attribute hold_until text;

create or replace function hall_snapshot(hall_id bigint) returns table (rev bigint, epoch text, data text)
language sql stable as $$
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
                select array_agg(s order by s.row, s.place)
                from (
                    select
                        seat.id,
                        seat.row,
                        seat.place,
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

create or replace function hall_update(hall_id bigint, seat_ids bigint[], since bigint default null) returns text
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
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
                    order by s.row, s.place
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

-- The triggers of seats.

create or replace function seat_keep_state() returns trigger
language plpgsql set search_path = public, pg_temp as $$
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

drop trigger seat_keep_state on seat;
create trigger seat_keep_state before update of status, note, hold_until, updated_at, updated_by on seat
    for each row when (
        current_setting('seatsync.writing', true) is distinct from 'on'
        or pg_trigger_depth() > 0
        or not has_column_privilege('public.seat', 'updated_by', 'update')
    )
    execute function seat_keep_state();

comment on trigger seat_keep_state on seat is
    'Keeps note, hold_until, updated_at and updated_by, for whoever is not write_seats.';

create or replace function seat_announce_inserted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
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

-- Where the seats go with their hall, it is gone already, and only their holds are left.
create or replace function seat_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
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

create or replace function seat_announce_truncated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
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

-- The plans are made once a session, for as many rows as change the first time: without nested loops they suit any.
-- Halls are named in a condition of their own, for a join without nested loops reads all of them.
create or replace function seat_announce_updated() returns trigger
language plpgsql security definer
set search_path = public, pg_temp set enable_nestloop = off set plan_cache_mode = force_generic_plan as $$
declare
    changed bigint[];  -- seats with another status, note or hold
    moved bigint[];  -- seats with another place in the layout
    held bigint[];  -- seats that were held or are
    restated bigint[];  -- halls of the first
    relaid bigint[];  -- halls of the second: both, where a seat moved from one to another
begin
    perform assert_table(tg_relid, 'seat');
    select
        array_agg(n.id) filter (where c.changed),
        array_agg(n.id) filter (where c.moved),
        array_agg(n.id) filter (where (c.changed or c.moved) and coalesce(n.hold_until, o.hold_until) is not null),
        array_agg(distinct n.hall_id) filter (where c.changed),
        array_agg(distinct n.hall_id) filter (where c.moved)
            || array_agg(distinct o.hall_id) filter (where n.hall_id <> o.hall_id)
    into changed, moved, held, restated, relaid
    from new_seat n
    join old_seat o using (id)
    cross join lateral (
        select
            (n.status, n.note, n.hold_until) is distinct from (o.status, o.note, o.hold_until) as changed,
            (n.hall_id, n.seat_type_id, n.row, n.place, n.x, n.y, n.width, n.height, n.rotation)
                is distinct from
                (o.hall_id, o.seat_type_id, o.row, o.place, o.x, o.y, o.width, o.height, o.rotation) as moved
    ) c;

    if changed is null and moved is null then
        return null;
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

create or replace function recount_seats(halls bigint[]) returns void
language plpgsql as $$
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

comment on function recount_seats is 'For triggers: counts the seats of these halls anew, and finds their holds.';

-- Changes that no trigger saw.

create or replace function unannounced(of_hall bigint default null)
returns table (
    hall_id bigint, seat_id bigint, status seat_status, note text, known_status seat_status, known_note text
)
language sql stable as $$
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

comment on function unannounced is
    'The seats whose status, note or hold is not that of their latest event, of one hall or of all; a seat without an '
    'event in the history since it came to the hall is not compared.';

create or replace function announce_unannounced(of_hall bigint default null) returns integer
language plpgsql as $$
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

-- Changing seats for users. The argument that is new may be left out, as the servers of the version before do.

-- squawk-ignore renaming-object
alter function write_seats rename to write_seats_before;

-- Each step is one statement over all requests; what it found goes to the next in arrays, by request or by item. Locks
-- are taken on sessions, keys, seats and then (by the trigger) halls, each in the order of their ids.
create function write_seats(
    p_hall bigint[],
    p_user bigint[],
    p_session uuid[],
    p_key uuid[],
    p_digest bytea[],
    i_request integer[],
    i_seat bigint[],
    i_status seat_status[],
    i_expected seat_status[],
    i_note text[],
    i_hold integer[] default null
)
returns table (request integer, code text, message text, data text)
language plpgsql
set lock_timeout = '300ms' set plan_cache_mode = force_generic_plan as $$
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

comment on function write_seats is
    'Changes seats for users by the rules of the protocol. A request (p_…, by position) names a hall, a user, the '
    'session it came with and, to be safe to repeat, a key with the digest of its parameters. An item (i_…) names its '
    'request by number, a seat, the wanted status and, or null, the expected one, a note (empty: none) and after how '
    'many seconds a reservation ends. A request is done wholly or not at all, whatever becomes of the others: it has a '
    'code and a message, or the data of its answer. A seat, and a key of a user, may stand once in a call. Each lock is '
    'waited for 300 ms at most.';

-- Seats held by SQL.

create function hold_seats(seat_ids bigint[], seconds integer) returns integer
language plpgsql as $$
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

comment on function hold_seats is
    'Reserves these seats, with the rights of the caller, so that they become VACANT by themselves after so many seconds '
    '(1 to 86,400), also those that are RESERVED already, and leaves the OCCUPIED and those in MAINTENANCE alone. '
    'Returns how many it holds. The seats are locked in the order of their ids.';

grant execute on function hold_seats to public;

create function due_seats(of_hall bigint, due timestamptz, most integer) returns bigint[]
language plpgsql as $$
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

comment on function due_seats is
    'For expire_holds: locks so many seats of a hall, at most, whose hold is due, but for those that are locked.';

-- It waits for no lock but that of a hall, briefly and while it has no other: so it cannot deadlock, and what is locked
-- holds up nothing else. It is that of any hall that is due, for some may be locked for long.
create function expire_holds(most integer) returns table (expired integer, due_in double precision)
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '50ms' as $$
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

comment on function expire_holds is
    'Makes seats VACANT whose hold is due by the clock of the database, so many at most and of 16 halls, but for those '
    'that another session keeps locked. Returns how many, and in how many seconds the next are due: null without holds.';

-- What the server needs of this file; the rest as before.

-- The function that takes its name has the same arguments.
-- squawk-ignore renaming-object
alter function grant_server(regrole) rename to grant_server_before_holds;

comment on function grant_server_before_holds is 'For grant_server: the rights of the files before 0021_holds.sql.';

create function grant_server(server regrole) returns void
language plpgsql as $$
begin
    perform grant_server_before_holds(server);
    execute format('grant update (hold_until) on seat to %1$s; grant execute on function expire_holds to %1$s', server);
end
$$;

comment on function grant_server is 'Grants a role what `seatsync serve` needs, and no more; seatsync migrate calls it.';

-- Servers go on meanwhile.
do $$
declare
    server regrole;
begin
    for server in
        select a.grantee
        from pg_proc p
        cross join aclexplode(p.proacl) a
        where p.oid = 'write_seats_before'::regproc and a.grantee not in (0, p.proowner)
    loop
        perform grant_server(server);
    end loop;
end
$$;

-- Only servers call it, by its name.
-- squawk-ignore ban-drop-function
drop function write_seats_before;
