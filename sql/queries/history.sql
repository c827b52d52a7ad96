-- The history of halls.

-- name: hall_events
-- The latest $4 events of a hall ($1) before a revision ($2) and seat ($3); one row of nulls for none, no row for no hall.
select
    e.rev,
    wire_time(e.at) as at,
    e.kind::text as kind,
    nullif(e.seat_id, 0) as seat_id,
    e.old_status::text as old_status,
    e.new_status::text as new_status,
    e.note,
    wire_time(e.hold_until) as hold_until,
    app_user.username as by
from hall h
left join lateral (
    select *
    from seat_event
    where hall_id = h.id and (rev, seat_id) < ($2::bigint, $3::bigint)
    order by rev desc, seat_id desc
    limit $4
) e on true
left join app_user on app_user.id = e.by
where h.id = $1
order by e.rev desc, e.seat_id desc;

-- name: seat_events
-- The latest $4 events of a seat ($2) in a hall ($1) before a revision ($3); rows as hall_events has them.
select
    e.rev,
    wire_time(e.at) as at,
    e.kind::text as kind,
    nullif(e.seat_id, 0) as seat_id,
    e.old_status::text as old_status,
    e.new_status::text as new_status,
    e.note,
    wire_time(e.hold_until) as hold_until,
    app_user.username as by
from hall h
left join lateral (
    select *
    from seat_event
    where hall_id = h.id and seat_id = $2::bigint and rev < $3::bigint
    order by rev desc
    limit $4
) e on true
left join app_user on app_user.id = e.by
where h.id = $1
order by e.rev desc;

-- name: hall_then
-- The hall ($1) as it was at a time ($2), or at a revision ($3); no row when there is none, P0002 before its history.
select s.data
from hall h
cross join lateral hall_snapshot_at(
    h.id, case when $2::timestamptz is null then $3::bigint else hall_rev_at(h.id, $2) end, $2
) s
where h.id = $1;

-- name: history_span
-- From where to where the history of a hall ($1) goes, in words; null when there is no such hall.
select format('revision %s, of %s, to revision %s', c.rev, wire_time(c.at), h.rev)
from hall h
join hall_checkpoint c on c.hall_id = h.id and c.epoch = h.epoch and c.whole
where h.id = $1
order by c.rev
limit 1;

-- name: keep_checkpoints
-- Makes the checkpoints of the history that are due, $1 at most; the number made.
select keep_checkpoints($1);

-- name: index_history
-- Makes the indexes of a day of the history that is over; 1, and 0 when all have theirs.
select index_history();

-- name: roll_up_occupancy
-- Rolls up at most about $1 events into occupancy_hour; 1 if there is more, else 0.
select roll_up_occupancy($1);

-- name: report
-- How full a hall ($1) or a cinema ($2) was from $3 to $4 by buckets ($5) of a time zone ($6); $7 of them at most, none if there is no such thing.
select
    wire_time(r.begins) as "from",
    r.seats_count,
    r.occupied_avg,
    r.occupied_peak,
    r.reserved_avg,
    r.maintenance_avg,
    r.changes
from (
    select array[hall.id] as halls from hall where hall.id = $1::bigint
    union all
    select array(select hall.id from hall where hall.cinema_id = cinema.id) from cinema where cinema.id = $2::bigint
) f
cross join lateral occupancy_report(f.halls, $3::timestamptz, $4::timestamptz, $5::text, $6::text) r
order by r.begins
limit $7;

-- name: halls_of_cinema
-- How many halls a cinema ($1) has.
select count(*) from hall where cinema_id = $1;

-- name: is_time_zone
-- Whether there is a time zone of that name ($1).
select exists (select from pg_timezone_names where name = $1);

-- name: time_in_zone
-- A date or time without a zone ($1) in this one ($2).
select $1::text::timestamp at time zone $2::text;

-- name: times_of_zone
-- Times ($1) as clocks of a time zone ($2) show them, of days ($3) the date.
select to_char(t.at at time zone $2::text, case $3::text when 'day' then 'YYYY-MM-DD' else 'YYYY-MM-DD HH24:MI' end) as at
from unnest($1::timestamptz[]) with ordinality t (at, n)
order by t.n;
