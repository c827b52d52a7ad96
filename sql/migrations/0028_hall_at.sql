-- The hall as it was, at any moment that the history has.

create function hall_rev_at(hall_id bigint, at timestamptz) returns bigint
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
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

comment on function hall_rev_at is
    'The revision that a hall had at that time: the one before the lowest of which an event is later. Null before its '
    'history or its epoch begins.';

create function hall_at_rev(hall_id bigint, rev bigint) returns setof seat
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
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

comment on function hall_at_rev is
    'Every seat of a hall as it was at a revision, with the layout of then. Fails (P0002) before the history or the epoch '
    'begins, for a revision that is still to come, and where somebody has removed events.';

create function hall_at(hall_id bigint, at timestamptz) returns setof seat
language sql stable as $$
    select * from hall_at_rev(hall_id, hall_rev_at(hall_id, at))
$$;

comment on function hall_at is 'Every seat of a hall as it was at that time: hall_at_rev of hall_rev_at.';

create function hall_snapshot_at(hall_id bigint, rev bigint, at timestamptz default null) returns table (data text)
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
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

comment on function hall_snapshot_at is
    'The whole hall as it was at a revision, as clients see it, with that time or that of the revision; no row when there '
    'is no such hall. Fails as hall_at_rev does.';

grant execute on function hall_rev_at, hall_at_rev, hall_at, hall_snapshot_at to public;
