-- Reports: how full a hall was, by hours.
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
    'and none after the target. Returns how many events that were, 0 when there is nothing left.';

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

-- Reading them.

create function hall_occupancy(hall_id bigint, since timestamptz, until timestamptz)
returns table (
    hour timestamptz,
    us bigint,
    seats bigint,
    reserved_us bigint,
    occupied_us bigint,
    maintenance_us bigint,
    occupied_peak bigint,
    changes bigint
)
language sql stable as $$
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

comment on function hall_occupancy is
    'Each hour of a hall from that of `since` to `until`, as far as it is rolled up: the microseconds of it that have passed, '
    'the seats at its end, and the other columns of occupancy_hour.';

create function occupancy_report(
    halls bigint[], since timestamptz, until timestamptz, bucket text default 'hour', zone text default 'UTC'
)
returns table (
    begins timestamptz,
    seats_count bigint,
    occupied_avg double precision,
    occupied_peak bigint,
    reserved_avg double precision,
    maintenance_avg double precision,
    changes bigint
)
language sql stable as $$
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

comment on function occupancy_report is
    'How full these halls were together, from the hour, day, week or month of `since` to `until`, by such buckets of '
    'that time zone: of UTC hours, those that begin in it. Counts of seats are those at its end, averages are weighted by '
    'time, and the peak is the sum of those of the halls. Nulls where nothing is known.';

create view occupancy_by_hour as
select
    cinema.id as cinema_id,
    cinema.name as cinema,
    hall.id as hall_id,
    hall.name as hall,
    o.hour,
    o.seats,
    round(o.occupied_us::numeric / o.us, 3) as occupied_avg,
    o.occupied_peak,
    round(o.reserved_us::numeric / o.us, 3) as reserved_avg,
    round(o.maintenance_us::numeric / o.us, 3) as maintenance_avg,
    o.changes
from hall
join cinema on cinema.id = hall.cinema_id
cross join lateral hall_occupancy(hall.id, '-infinity', 'infinity') o;

comment on view occupancy_by_hour is
    'How full each hall was, hour by hour (UTC), as far as that is rolled up; the last one is that until now.';
comment on column occupancy_by_hour.cinema_id is 'Its cinema.';
comment on column occupancy_by_hour.cinema is 'The name of that now.';
comment on column occupancy_by_hour.hall_id is 'The hall.';
comment on column occupancy_by_hour.hall is 'Its name now.';
comment on column occupancy_by_hour.hour is 'The beginning of the hour.';
comment on column occupancy_by_hour.seats is 'The seats there were at its end.';
comment on column occupancy_by_hour.occupied_avg is 'How many of them were OCCUPIED on average, weighted by time.';
comment on column occupancy_by_hour.occupied_peak is 'The most that were OCCUPIED.';
comment on column occupancy_by_hour.reserved_avg is 'How many were RESERVED on average.';
comment on column occupancy_by_hour.maintenance_avg is 'How many were in MAINTENANCE on average.';
comment on column occupancy_by_hour.changes is 'How often a seat got another status.';

create view occupancy_by_day as
select
    cinema.id as cinema_id,
    cinema.name as cinema,
    hall.id as hall_id,
    hall.name as hall,
    (o.hour at time zone 'UTC')::date as day,
    (array_agg(o.seats order by o.hour desc))[1] as seats,
    round(sum(o.occupied_us) / sum(o.us), 3) as occupied_avg,
    max(o.occupied_peak) as occupied_peak,
    round(sum(o.reserved_us) / sum(o.us), 3) as reserved_avg,
    round(sum(o.maintenance_us) / sum(o.us), 3) as maintenance_avg,
    sum(o.changes)::bigint as changes
from hall
join cinema on cinema.id = hall.cinema_id
cross join lateral hall_occupancy(hall.id, '-infinity', 'infinity') o
group by cinema.id, hall.id, (o.hour at time zone 'UTC')::date;

comment on view occupancy_by_day is 'The same by days of UTC. For those of another time zone see occupancy_report.';
comment on column occupancy_by_day.cinema_id is 'Its cinema.';
comment on column occupancy_by_day.cinema is 'The name of that now.';
comment on column occupancy_by_day.hall_id is 'The hall.';
comment on column occupancy_by_day.hall is 'Its name now.';
comment on column occupancy_by_day.day is 'The day.';
comment on column occupancy_by_day.seats is 'The seats there were at its end.';
comment on column occupancy_by_day.occupied_avg is 'How many of them were OCCUPIED on average, weighted by time.';
comment on column occupancy_by_day.occupied_peak is 'The most that were OCCUPIED.';
comment on column occupancy_by_day.reserved_avg is 'How many were RESERVED on average.';
comment on column occupancy_by_day.maintenance_avg is 'How many were in MAINTENANCE on average.';
comment on column occupancy_by_day.changes is 'How often a seat got another status.';

-- Maintenance.

create view maintenance_log as
with event as not materialized (
    select e.hall_id, e.seat_id, e.rev, e.at, e.by, e.old_status as was, e.new_status as becomes, e.note, null::jsonb as layout
    from seat_event e
    where e.kind <> 'layout'
    union all
    select
        e.hall_id,
        e.seat_id,
        e.rev,
        e.at,
        e.by,
        (e.before ->> 'status')::seat_status,
        (c.seat).status,
        (c.seat).note,
        e.before
    from seat_event e
    left join (select c.hall_id, c.rev, unnest(c.seats) as seat from hall_checkpoint c) c
        on c.hall_id = e.hall_id and c.rev = e.rev and (c.seat).id = e.seat_id
    where e.kind = 'layout' and e.seat_id <> 0
      -- What seats became is known.
      and exists (select from hall_checkpoint k where k.hall_id = e.hall_id and k.rev = e.rev)
),
numbered as (
    select
        *,
        count(*) filter (where e.was is distinct from 'MAINTENANCE') over (
            partition by e.hall_id, e.seat_id order by e.rev
        ) as n
    from event e
    where e.was = 'MAINTENANCE' or e.becomes = 'MAINTENANCE'
),
spell as (
    select
        n.hall_id,
        n.seat_id,
        min(n.at) filter (where n.was is distinct from 'MAINTENANCE') as since,
        max(n.at) filter (where n.becomes is distinct from 'MAINTENANCE') as until,
        (array_agg(n.note order by n.rev desc) filter (where n.becomes = 'MAINTENANCE'))[1] as note,
        min(n.by) filter (where n.was is distinct from 'MAINTENANCE') as by,
        (array_agg(n.layout order by n.rev desc))[1] as layout
    from numbered n
    group by n.hall_id, n.seat_id, n.n
    union all
    select s.hall_id, s.id, s.updated_at, null::timestamptz as until, s.note, s.updated_by, null::jsonb as layout
    from seat s
    where s.status = 'MAINTENANCE'
      and not exists (
          select from event e where e.hall_id = s.hall_id and e.seat_id = s.id and e.becomes = 'MAINTENANCE'
      )
)
select
    cinema.name as cinema,
    s.hall_id,
    hall.name as hall,
    s.seat_id,
    case when seat.id is null then s.layout ->> 'section' else seat.section end as section,
    coalesce(seat.row_label, seat.row::text, s.layout ->> 'row_label', s.layout ->> 'row') as row,
    coalesce(seat.place_label, seat.place::text, s.layout ->> 'place_label', s.layout ->> 'place') as place,
    s.since,
    s.until,
    s.note,
    app_user.username
from spell s
join hall on hall.id = s.hall_id
join cinema on cinema.id = hall.cinema_id
left join seat on seat.id = s.seat_id
left join app_user on app_user.id = s.by;

comment on view maintenance_log is
    'The times that seats were in MAINTENANCE, as far as the history goes, and those that still are.';
comment on column maintenance_log.cinema is 'The name of the cinema now.';
comment on column maintenance_log.hall_id is 'The hall.';
comment on column maintenance_log.hall is 'Its name now.';
comment on column maintenance_log.seat_id is 'The seat.';
comment on column maintenance_log.section is
    'Its section now; of one that went in maintenance, the section it had, null of one that has gone since.';
comment on column maintenance_log.row is 'Its row, likewise, as people read it.';
comment on column maintenance_log.place is 'Its place, likewise.';
comment on column maintenance_log.since is 'From when on; null for a time before the history.';
comment on column maintenance_log.until is 'Until when; null for a seat that still is.';
comment on column maintenance_log.note is 'The last note.';
comment on column maintenance_log.username is 'Who began it; null for SQL, and for a user whose row is gone.';

grant execute on function hall_occupancy, occupancy_report to public;

create function grant_server_0030(server regrole) returns void
language plpgsql as $$
begin
    execute format('grant select on occupancy_hour to %1$s; grant execute on function roll_up_occupancy to %1$s', server);
end
$$;

comment on function grant_server_0030 is 'For grant_server: the rights of 0030_reports.sql.';
