-- Plans: the layouts of halls, read and replaced.

-- name: seats
-- The layout of hall $1, a row for each seat and one for a hall without; no row when there is no such hall.
select
    hall.name,
    hall.rows,
    hall.places,
    seat.section,
    seat.row,
    seat.row_label,
    seat.place,
    seat.place_label,
    seat_type.name as type,
    seat.x,
    seat.y,
    seat.width,
    seat.height,
    seat.rotation
from hall
left join seat on seat.hall_id = hall.id
left join seat_type on seat_type.id = seat.seat_type_id
where hall.id = $1::bigint;

-- name: add_hall
-- Adds a hall without seats to cinema $1: its id; no row when there is no such cinema.
insert into hall (cinema_id, name, rows, places)
select id, $2::text, $3::integer, $4::integer from cinema where id = $1::bigint
returning id;

-- name: replace
-- Replaces the layout of hall $1 by plan $2, with the statuses of seats that match if $3: what has become of the seats.
select kept, moved, added, removed, lost from replace_plan($1::bigint, $2::text::jsonb, $3::boolean);
