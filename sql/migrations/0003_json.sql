-- The JSON that clients receive, made where the data is. row_to_json and array_to_json write it compact, with the
-- columns of the subquery or composite type as keys, in their order.

create function wire_time(t timestamptz) returns text
language sql stable parallel safe as $$
    select to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

comment on function wire_time is 'ISO 8601 in UTC with milliseconds.';

create function wire_epoch(epoch text) returns text
language sql stable as $$
    select epoch || '-' || case
        when pg_is_in_recovery() then upper(lpad(to_hex((pg_control_checkpoint()).timeline_id), 8, '0'))
        else left(pg_walfile_name(pg_current_wal_lsn()), 8)
    end
$$;

comment on function wire_epoch is
    'A hall''s epoch with the server''s timeline: a failover to a replica that lagged behind begins a new one.';

create type wire_counts as (
    "VACANT" bigint,
    "RESERVED" bigint,
    "OCCUPIED" bigint,
    "MAINTENANCE" bigint
);

comment on type wire_counts is 'How many seats are in each status.';

create function hall_counts(hall_id bigint) returns wire_counts
language plpgsql stable as $$
begin
    return (
        select (
            count(*) filter (where s.status = 'VACANT'),
            count(*) filter (where s.status = 'RESERVED'),
            count(*) filter (where s.status = 'OCCUPIED'),
            count(*) filter (where s.status = 'MAINTENANCE')
        )::wire_counts
        from seat s
        where s.hall_id = hall_counts.hall_id
    );
end
$$;

comment on function hall_counts is 'How many seats of a hall are in each status; zeros for an empty hall.';

-- One statement: rev and seats come from one snapshot.
create function hall_snapshot(hall_id bigint) returns table (rev bigint, epoch text, data text)
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

comment on function hall_snapshot is 'The whole hall as clients see it; no row when there is no such hall.';

create type wire_seat_state as (
    id bigint,
    status seat_status,
    updated_at text,
    note text
);

comment on type wire_seat_state is 'What changes of a seat without its layout.';

create function hall_update(hall_id bigint, seat_ids bigint[], since bigint default null) returns text
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
                    (s.id, s.status, wire_time(s.updated_at), s.note)::wire_seat_state order by s.row, s.place
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

comment on function hall_update is
    'An update of clients: the present state of these seats of a hall, with the counts of their types. It covers the '
    'revisions after `since`, the last one alone without.';
