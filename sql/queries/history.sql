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

-- name: keep_checkpoints
-- Makes the checkpoints of the history that are due, $1 at most; the number made.
select keep_checkpoints($1);

-- name: index_history
-- Makes the indexes of a day of the history that is over; 1, and 0 when all have theirs.
select index_history();
