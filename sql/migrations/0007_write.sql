-- Changing seats for users: the rules of the protocol, many requests in one statement.

create table write_key (
    user_id bigint not null,
    key uuid not null,
    digest bytea not null,
    code text,
    message text,
    data text,
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);

create index write_key_created_at_idx on write_key (created_at);

comment on table write_key is
    'The first outcome of each keyed request of the last ten minutes: sent again, it is answered with that.';
comment on column write_key.digest is 'SHA-256 of the request''s parameters: a key stands for one request only.';
comment on column write_key.code is 'What it failed with; null when data is its answer.';

create function seat_refusal(status seat_status, wanted seat_status, own boolean) returns text
language sql immutable parallel safe as $$
    select case
        when status in ('VACANT', 'MAINTENANCE') and wanted = status then null
        when status in ('RESERVED', 'OCCUPIED') and wanted = status and own then null
        when status = 'RESERVED' and wanted = 'RESERVED' then 'SeatReserved'
        when status = 'OCCUPIED' and wanted in ('RESERVED', 'OCCUPIED') then 'SeatOccupied'
        when status = 'MAINTENANCE' and wanted in ('RESERVED', 'OCCUPIED') then 'SeatConflict'
    end
$$;

comment on function seat_refusal is
    'The code with which a user may not change a seat from one status to another; null when that is allowed, or would '
    'change nothing. `own`: that user set the present status. Plain SQL is not asked.';

create function seat_refusal_message(
    code text,
    seat_id bigint,
    status seat_status,
    wanted seat_status,
    expected seat_status
)
returns text
language sql stable parallel safe as $$
    select case
        when code = 'SeatNotFound' then format('There is no seat %s in this hall.', seat_id)
        when code = 'InvalidSeatData' then format('The note for seat %s is longer than 200 characters.', seat_id)
        when expected <> status then format('Seat %s is %s, not %s as expected.', seat_id, status, expected)
        when wanted = status and code is not null then format('Seat %s is already %s.', seat_id, status)
        when code is not null then format('Seat %s is %s and cannot become %s.', seat_id, status, wanted)
    end
$$;

comment on function seat_refusal_message is 'Why a seat was not changed, in a sentence for a person.';

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
    i_note text[]
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
            case
                when i.wanted <> 'MAINTENANCE' then null
                when i.note is null and s.status = 'MAINTENANCE' then s.note
                else nullif(i.note, '')
            end as wanted_note,
            case
                when not p_open[i.request] then null
                when h.id is null then 'HallNotFound'
                when s.hall_id is distinct from h.id then 'SeatNotFound'
                when char_length(i.note) > 200 then 'InvalidSeatData'
                when i.expected <> s.status then 'SeatConflict'
                else seat_refusal(s.status, i.wanted, s.updated_by = p_user[i.request])
            end as code
        from unnest(i_request, i_seat, i_status, i_expected, i_note)
            with ordinality i(request, seat_id, wanted, expected, note, n)
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
            updated_at = clock_timestamp(),
            updated_by = p_user[j.request]
        from judged j
        where seat.id = j.seat_id
          and j.granted
          and (j.wanted, j.wanted_note) is distinct from (j.status, j.note)
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
            array_agg((s.id, s.status, wire_time(s.updated_at), s.note)::wire_seat_state order by i.n) as seats
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
    'request by number, a seat, the wanted status and, or null, the expected one and a note (empty: none). A request '
    'is done wholly or not at all, whatever becomes of the others: it has a code and a message, or the data of its '
    'answer. A seat, and a key of a user, may stand once in a call. Each lock is waited for 300 ms at most.';
