-- Plans as people read them: sections, and labels of rows and places.

-- All are null in the seats there are. 0024_labels_index.sql validates the constraints, and makes the indexes.
alter table seat
    add column section text,
    add column row_label text,
    add column place_label text,
    add constraint seat_section_sensible
    check (section ~ '^\S(.*\S)?$' and char_length(ltrim(section, E'\x01')) <= 100) not valid,
    add constraint seat_row_label_sensible check (row_label ~ '^\S(.*\S)?$' and char_length(row_label) <= 32) not valid,
    add constraint seat_place_label_sensible
    check (place_label ~ '^\S(.*\S)?$' and char_length(place_label) <= 32) not valid;

comment on table seat is
    'A seat of a hall. A seat is known by its id; section, row and place are where it stands in the hall, and what people '
    'read of these differs from seat to seat, too.';
comment on column seat.section is
    'The part of the hall, such as Balcony; null in a hall without. At most 100 characters, none of them a blank at an end.';
comment on column seat.row is 'Which row of its section it stands in, from 1; for the order.';
comment on column seat.row_label is 'What people read for the row, such as AA; null for the number. At most 32 characters.';
comment on column seat.place is 'Which place of its row it is, from 1; for the order.';
comment on column seat.place_label is
    'What people read for the place, such as 12a; null for the number. At most 32 characters.';

-- What clients receive.

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

-- The triggers of seats.

-- A unique index is checked seat by seat, so that `set place = place + 1` would collide with seats that are about to move;
-- a deferrable constraint is not, but rules out `on conflict`. So a seat whose new position or name is taken steps aside,
-- into a section of its own: E'\x01' before the one it is for. At the end of the statement seat_announce_updated takes the
-- mark away, and what collides then does so for good. A plan for a hall that is newer than the statistics would take it for
-- empty, and go through all of it for each seat; a generic one looks the seat up.
create function seat_step_aside() returns trigger
language plpgsql security definer
set search_path = public, pg_temp set plan_cache_mode = force_generic_plan as $$
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

comment on function seat_step_aside is
    'For triggers of seat: marks the section of a seat whose new position, or name, another has that may be about to move; '
    'seat_announce_updated takes the mark away. Refuses a section that has one already.';

create trigger seat_step_aside before update of hall_id, section, row, row_label, place, place_label on seat
    for each row when (
        left(old.section, 1) is distinct from E'\x01'
        and (new.hall_id, new.section, new.row, new.row_label, new.place, new.place_label)
            is distinct from (old.hall_id, old.section, old.row, old.row_label, old.place, old.place_label)
    )
    execute function seat_step_aside();

comment on trigger seat_step_aside on seat is 'Lets seats move to where others move away in the same statement.';

create trigger seat_section_unmarked before insert on seat
    for each row when (left(new.section, 1) = E'\x01') execute function seat_step_aside();

comment on trigger seat_section_unmarked on seat is 'Refuses the mark of seat_step_aside.';

-- The plans are made once a session, for as many rows as change the first time: without nested loops they suit any.
-- Halls are named in a condition of their own, for a join without nested loops reads all of them.
create or replace function seat_announce_updated() returns trigger
language plpgsql security definer
set search_path = public, pg_temp set enable_nestloop = off set plan_cache_mode = force_generic_plan as $$
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

create function shift_seats(seat_ids bigint[], rows integer, places integer) returns integer
language plpgsql as $$
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

comment on function shift_seats is
    'Moves these seats by so many rows and places, back where they are negative, all at once and with the rights of the '
    'caller; labels, x and y stay. Returns how many it has moved. The seats are locked in the order of their ids.';

grant execute on function shift_seats to public;
