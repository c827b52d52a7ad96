-- How many seats are in each status, kept as they change: what a change costs does not grow with its hall.

create table hall_count (
    hall_id bigint not null references hall on delete cascade,
    seat_type_id bigint not null,
    seats bigint not null,
    vacant bigint not null,
    reserved bigint not null,
    occupied bigint not null,
    maintenance bigint not null,
    primary key (hall_id, seat_type_id)
)
with (fillfactor = 50);

insert into hall_count select * from seat_count;

comment on table hall_count is
    'How many seats of each type a hall has, and in which status they are. Kept by triggers; a renewed epoch counts anew.';
comment on column hall_count.hall_id is 'The hall.';
comment on column hall_count.seat_type_id is 'The seat type, of which the hall has at least one seat.';
comment on column hall_count.seats is 'Its seats of that type in the hall.';
comment on column hall_count.vacant is 'Of those, the VACANT.';
comment on column hall_count.reserved is 'Of those, the RESERVED.';
comment on column hall_count.occupied is 'Of those, the OCCUPIED.';
comment on column hall_count.maintenance is 'Of those, the ones in MAINTENANCE.';

create or replace view seat_count as
select
    hall_id,
    seat_type_id,
    seats,
    vacant,
    reserved,
    occupied,
    maintenance
from hall_count;

create or replace function hall_counts(hall_id bigint) returns wire_counts
language plpgsql stable as $$
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

-- For triggers. Each step is a statement after the one that has locked the halls.

-- squawk-ignore ban-drop-function
drop function announce_layout(bigint[]);

create function next_revision(halls bigint[]) returns void
language plpgsql as $$
begin
    perform from hall where id = any(halls) order by id for no key update;
    update hall set rev = rev + 1 where id = any(halls);
end
$$;

comment on function next_revision is 'For triggers: locks these halls, in order, and begins the next revision of each.';

create function announce_layout(halls bigint[]) returns void
language plpgsql as $$
begin
    perform announce(hall_notice(h, 'layout')) from hall h where h.id = any(halls) order by h.id;
end
$$;

comment on function announce_layout is 'For triggers: announces a revision that clients load anew.';

create type seat_delta as (
    hall_id bigint,
    seat_type_id bigint,
    status seat_status,
    seats bigint
);

comment on type seat_delta is 'Seats of one type and status that a hall has more, or less where it is negative.';

create function counts_of(deltas seat_delta[]) returns setof hall_count
language sql immutable as $$
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

comment on function counts_of is 'For triggers: what these add to the counts.';

create function count_seats(deltas seat_delta[]) returns void
language plpgsql as $$
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

comment on function count_seats is
    'For triggers: adds to the counts of halls, which are there. A hall has at most 50,000 seats.';

create function recount_seats(halls bigint[]) returns void
language plpgsql as $$
begin
    delete from hall_count c where c.hall_id = any(halls);
    insert into hall_count select * from counts_of(array(
        select (hall_id, seat_type_id, status, count(*))::seat_delta
        from seat
        where hall_id = any(halls)
        group by hall_id, seat_type_id, status
    ));
end
$$;

comment on function recount_seats is 'For triggers: counts the seats of these halls anew.';

-- The triggers of seats.

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
    perform count_seats(array(
        select (hall_id, seat_type_id, status, count(*))::seat_delta
        from new_seat
        group by hall_id, seat_type_id, status
    ));
    perform announce_layout(halls);
    return null;
end
$$;

-- Where the seats go with their hall, it is gone already, and nothing is left to do.
create or replace function seat_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    halls bigint[];
begin
    perform assert_table(tg_relid, 'seat');
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

-- Which seats there were is not known any more; where halls are truncated, too, so are their counts.
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
    changed bigint[];  -- seats with another status or note
    moved bigint[];  -- seats with another place in the layout
    restated bigint[];  -- halls of the first
    relaid bigint[];  -- halls of the second: both, where a seat moved from one to another
begin
    perform assert_table(tg_relid, 'seat');
    select
        array_agg(n.id) filter (where c.changed),
        array_agg(n.id) filter (where c.moved),
        array_agg(distinct n.hall_id) filter (where c.changed),
        array_agg(distinct n.hall_id) filter (where c.moved)
            || array_agg(distinct o.hall_id) filter (where n.hall_id <> o.hall_id)
    into changed, moved, restated, relaid
    from new_seat n
    join old_seat o using (id)
    cross join lateral (
        select
            (n.status, n.note) is distinct from (o.status, o.note) as changed,
            (n.hall_id, n.seat_type_id, n.row, n.place, n.x, n.y, n.width, n.height, n.rotation)
                is distinct from
                (o.hall_id, o.seat_type_id, o.row, o.place, o.x, o.y, o.width, o.height, o.rotation) as moved
    ) c;

    if changed is null and moved is null then
        return null;
    end if;

    perform next_revision(restated || relaid);

    insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, note, by, at)
    select
        h.id, h.rev, n.id, case when n.status = o.status then 'note' else 'status' end::seat_event_kind,
        o.status, n.status, n.note, n.updated_by, n.updated_at
    from new_seat n
    join old_seat o using (id)
    join (select id, rev from hall where id = any(restated)) h on h.id = n.hall_id
    where n.id in (select unnest(changed)) and n.id not in (select unnest(coalesce(moved, '{}')));

    if moved is not null then
        insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, note, by, before)
        select
            h.id, h.rev, n.id, 'layout', case when c.changed then o.status end, case when c.changed then n.status end,
            n.note, case when c.changed then n.updated_by end, case when h.id = o.hall_id then to_jsonb(o) end
        from new_seat n
        join old_seat o using (id)
        cross join lateral (select (n.status, n.note) is distinct from (o.status, o.note) as changed) c
        join (select id, rev from hall where id = any(relaid)) h on h.id in (n.hall_id, o.hall_id)
        where n.id in (select unnest(moved));
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

    -- A seat takes at least 79 of a notification's 8000 bytes: more than 101 need not be tried.
    perform announce(hall_notice(h, case when cardinality(c.seats) <= 101 then hall_update(h.id, c.seats) end))
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

-- Those of halls and seat types, which belong to the layout.

create or replace function hall_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'hall');
    if new.epoch <> old.epoch then
        perform recount_seats(array[new.id]);
    end if;
    insert into seat_event (hall_id, rev, kind, before) values (new.id, new.rev, 'layout', to_jsonb(old));
    perform announce(hall_notice(new, 'layout'));
    if new.cinema_id <> old.cinema_id then
        perform announce('cinemas');
    elsif (new.name, new.rows, new.places) is distinct from (old.name, old.rows, old.places) then
        perform announce(format('cinema %s', new.cinema_id));
    end if;
    return null;
end
$$;

create or replace function seat_type_announce_renamed() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
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

-- Changes that no trigger saw: rows applied by logical replication, or changed with triggers disabled.

create function unannounced(of_hall bigint default null)
returns table (
    hall_id bigint, seat_id bigint, status seat_status, note text, known_status seat_status, known_note text
)
language sql stable as $$
    select s.hall_id, s.id, s.status, s.note, e.new_status, e.note
    from seat s
    join (
        select distinct on (hall_id, seat_id) hall_id, seat_id, new_status, note
        from seat_event
        where (new_status is not null or kind = 'layout' and before is null) and (of_hall is null or hall_id = of_hall)
        order by hall_id, seat_id, rev desc
    ) e on e.hall_id = s.hall_id and e.seat_id = s.id
    where e.new_status is not null and (s.status, s.note) is distinct from (e.new_status, e.note)
    order by s.hall_id, s.id
$$;

comment on function unannounced is
    'The seats whose status or note is not that of their latest event, of one hall or of all; a seat without an event in '
    'the history since it came to the hall is not compared.';

create function announce_unannounced(of_hall bigint default null) returns integer
language plpgsql as $$
declare
    halls bigint[];
    announced integer;
begin
    halls := array(
        select id from hall where id in (select u.hall_id from unannounced(of_hall) u) order by id for no key update
    );
    update hall set epoch = default where id = any(halls);

    insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, note)
    select
        h.id, h.rev, u.seat_id,
        case when u.status = u.known_status then 'note' else 'status' end::seat_event_kind,
        u.known_status, u.status, u.note
    from unannounced(of_hall) u
    join hall h on h.id = u.hall_id
    where h.id = any(halls);
    get diagnostics announced = row_count;
    return announced;
end
$$;

comment on function announce_unannounced is
    'Makes a revision of what unannounced shows, of one hall or of all, in a new epoch: counts are counted anew, and '
    'clients load the hall anew. Returns the number of seats.';

-- Many seats, locked in one order: two statements that change the same seats cannot deadlock.

create function change_seats(seat_ids bigint[], status seat_status, note text default null) returns integer
language plpgsql as $$
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

comment on function change_seats is
    'Sets the status of these seats, and for MAINTENANCE a note (null keeps it, an empty one removes it), with the rights '
    'of the caller; returns how many it has changed. It locks the seats in the order of their ids, as a plain UPDATE '
    'does not.';

grant execute on function change_seats to public;
