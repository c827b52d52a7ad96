-- How full halls were, hour by hour, rolled up from the history.
--
-- Revisions are rolled up in their order. One counts from the latest time of an event in it or in a revision before, as
-- for hall_rev_at: so it never belongs to an hour before that of the last row, however late it was committed.

create table occupancy_hour (
    hall_id bigint not null references hall on delete cascade,
    hour timestamptz not null,
    rev bigint not null,
    changed_at timestamptz not null,
    seats bigint not null,
    reserved bigint not null,
    occupied bigint not null,
    maintenance bigint not null,
    reserved_us bigint not null,
    occupied_us bigint not null,
    maintenance_us bigint not null,
    occupied_peak bigint not null,
    changes bigint not null,
    primary key (hall_id, hour)
);

comment on table occupancy_hour is
    'The hours in which a hall has changed, rolled up from its history; in between it was as at the end of the hour '
    'before. Kept when days of the history are dropped. The views and hall_occupancy have every hour.';
comment on column occupancy_hour.hall_id is 'The hall.';
comment on column occupancy_hour.hour is 'The beginning of the hour, in UTC.';
comment on column occupancy_hour.rev is 'The last revision in it.';
comment on column occupancy_hour.changed_at is 'From when on the hall was at that revision.';
comment on column occupancy_hour.seats is 'The seats there were then.';
comment on column occupancy_hour.reserved is 'Of those, the RESERVED.';
comment on column occupancy_hour.occupied is 'Of those, the OCCUPIED.';
comment on column occupancy_hour.maintenance is 'Of those, the ones in MAINTENANCE.';
comment on column occupancy_hour.reserved_us is
    'For how long seats were RESERVED, in microseconds times seats. Until the hour is over: if it ends as it is;';
comment on column occupancy_hour.occupied_us is '… OCCUPIED;';
comment on column occupancy_hour.maintenance_us is '… in MAINTENANCE.';
comment on column occupancy_hour.occupied_peak is 'The most seats that were OCCUPIED, at its beginning or any revision.';
comment on column occupancy_hour.changes is 'How often a seat got another status.';

create function roll_up_hall(of_hall bigint, target bigint, most integer) returns integer
language plpgsql set plan_cache_mode = force_generic_plan as $$
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

comment on function roll_up_hall is
    'For roll_up_occupancy: rolls up the next revisions of a hall, of so many events at most, but one revision at least, '
    'and none after the target. Returns how many events that were, 0 when there is nothing left, and for a hall that is gone.';

create function roll_up_occupancy(most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
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

comment on function roll_up_occupancy is
    'Rolls up what has changed in all halls into occupancy_hour, until so many events are done. Returns 1 if there is '
    'more, else 0, also while another server does it.';

create function grant_server_0031(server regrole) returns void
language plpgsql as $$
begin
    execute format('grant select on occupancy_hour to %1$s; grant execute on function roll_up_occupancy to %1$s', server);
end
$$;

comment on function grant_server_0031 is 'For grant_server: the rights of 0031_occupancy.sql.';
