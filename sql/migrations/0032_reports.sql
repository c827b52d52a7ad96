-- Reports: how full halls were, and what was in maintenance.

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
