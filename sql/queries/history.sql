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

-- name: index_history
-- Makes the indexes of a day of the history that is over; 1, and 0 when all have theirs.
select index_history();
