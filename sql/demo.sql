-- Three demo cinemas, for a database without cinemas; run it in a transaction.
--
-- A seat is 32 units wide; x grows to the right, y away from the screen.

insert into cinema (name, color) values
    ('Astoria', '#B91C1C'),
    ('Harbour Lights', '#0F766E'),
    ('Lumen', '#6D28D9');

insert into seat_type (name) values
    ('Standard'), ('Comfort'), ('Premium'), ('VIP'), ('Love seat'), ('Wheelchair space')
on conflict (name) do nothing;

insert into hall (cinema_id, name, rows, places)
select cinema.id, plan.name, plan.rows, plan.places
from (values
    (1, 'Astoria', 'Grand Hall', 20, 25),
    (2, 'Astoria', 'Studio', 8, 12),
    (3, 'Astoria', 'Salon', 4, 6),
    (4, 'Harbour Lights', 'Auditorium', 12, 25),
    (5, 'Harbour Lights', 'Quay', 10, 18),
    (6, 'Harbour Lights', 'Boathouse', 6, 8),
    (7, 'Lumen', 'Dome', 9, 26),
    (8, 'Lumen', 'Cellar', 7, 14)
) plan (n, cinema, name, rows, places)
join cinema on cinema.name = plan.cinema
order by plan.n;

-- Straight rows, in blocks of one seat type, each row centred in its hall; an aisle is 48 wide.
with block (hall, first_row, last_row, places, kind, pitch, width, aisle_after) as (values
    ('Grand Hall', 1, 12, 25, 'Standard', 40, 32, 12),
    ('Grand Hall', 13, 18, 25, 'Comfort', 40, 32, 12),
    ('Grand Hall', 19, 20, 25, 'Premium', 40, 32, 12),
    ('Studio', 1, 7, 12, 'Standard', 40, 32, 6),
    ('Studio', 8, 8, 6, 'Love seat', 80, 72, 3),
    ('Salon', 1, 4, 6, 'VIP', 72, 56, 3),
    ('Quay', 1, 1, 8, 'Wheelchair space', 80, 48, 4),
    ('Quay', 2, 7, 18, 'Standard', 40, 32, 9),
    ('Quay', 8, 10, 18, 'Comfort', 40, 32, 9),
    ('Boathouse', 1, 6, 8, 'Standard', 40, 32, 8),
    ('Cellar', 1, 2, 10, 'Standard', 40, 32, 5),
    ('Cellar', 3, 4, 12, 'Standard', 40, 32, 6),
    ('Cellar', 5, 6, 14, 'Comfort', 40, 32, 7),
    ('Cellar', 7, 7, 7, 'Love seat', 80, 72, 3)
),
plan as (
    select *, (max(places * pitch) over (partition by hall) - places * pitch) / 2 as indent from block
)
insert into seat (hall_id, seat_type_id, row, place, x, y, width)
select
    hall.id,
    seat_type.id,
    row,
    place,
    plan.indent + plan.pitch * (place - 1) + case when place > plan.aisle_after then 48 else 0 end,
    44 * (row - 1),
    plan.width
from plan
join hall on hall.name = plan.hall
join seat_type on seat_type.name = plan.kind
cross join generate_series(plan.first_row, plan.last_row) row
cross join generate_series(1, plan.places) place
order by hall.id, row, place;

-- Curved rows, each an arc around a point before the screen, with seats turned towards it.
with bow (hall, rows, first_places, more_places, first_radius, comfort_from) as (values
    ('Auditorium', 12, 14, 1, 400, 9),
    ('Dome', 9, 10, 2, 220, 7)
),
arc as (
    select
        hall.id as hall_id,
        case when row >= bow.comfort_from then 'Comfort' else 'Standard' end as kind,
        row,
        place,
        r.radius,
        40 * (place - (r.places + 1) / 2.0) / r.radius as angle
    from bow
    join hall on hall.name = bow.hall
    cross join generate_series(1, bow.rows) row
    cross join lateral (
        select bow.first_places + bow.more_places * (row - 1) as places, bow.first_radius + 44 * (row - 1) as radius
    ) r
    cross join generate_series(1, r.places) place
),
plan as (
    select *, radius * sin(angle) as from_middle, radius * cos(angle) as from_centre from arc
)
insert into seat (hall_id, seat_type_id, row, place, x, y, rotation)
select
    plan.hall_id,
    seat_type.id,
    plan.row,
    plan.place,
    round((plan.from_middle - min(plan.from_middle) over hall)::numeric, 1),
    round((plan.from_centre - min(plan.from_centre) over hall)::numeric, 1),
    round((-degrees(plan.angle))::numeric, 1)
from plan
join seat_type on seat_type.name = plan.kind
window hall as (partition by plan.hall_id)
order by plan.hall_id, plan.row, plan.place;

-- Taken seats, most of them in pairs.
update seat
set status = case when (hall_id + row + place / 2) % 3 = 0 then 'RESERVED' else 'OCCUPIED' end::seat_status
where (7 * row + 5 * (place / 2) + 3 * hall_id) % 11 in (0, 4, 7);

update seat
set status = 'MAINTENANCE', note = 'Armrest broken, the part is ordered'
from hall
where hall.id = seat.hall_id and hall.name = 'Grand Hall' and seat.row = 7 and seat.place = 14;
