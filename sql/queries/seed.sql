-- Initial data: the demo cinemas, and large plain halls for load tests.

-- name: demo_lock
-- Takes the lock of the demo cinemas until the transaction ends, waiting for its holder.
select pg_advisory_xact_lock(hashtext('seatsync'), hashtext('demo'));

-- name: has_cinemas
-- True if there is any cinema.
select exists (select from cinema);

-- name: demo_cinema
-- Adds a cinema named $1 of colour $2; its id.
insert into cinema (name, color) values ($1::text, $2::text) returning id;

-- name: demo_types
-- Adds the seat types that are missing of $1, in that order.
insert into seat_type (name)
select name from unnest($1::text[]) with ordinality t (name, n)
where not exists (select from seat_type where seat_type.name = t.name)
order by n;

-- name: demo_taken
-- Takes seats of halls $1, most of them in pairs.
update seat
set status = case when (demo.n + row + place / 2) % 3 = 0 then 'RESERVED' else 'OCCUPIED' end::seat_status
from unnest($1::bigint[]) with ordinality demo (hall_id, n)
where seat.hall_id = demo.hall_id and (7 * row + 5 * (place / 2) + 3 * demo.n) % 11 in (0, 4, 7);

-- name: demo_broken
-- Puts the seat of hall $1 in row $2, place $3, into maintenance, with note $4.
update seat
set status = 'MAINTENANCE', note = $4::text
where hall_id = $1::bigint and row = $2::integer and place = $3::integer and section is null;

-- name: site_counts
-- The numbers of cinemas and of halls.
select (select count(*) from cinema) as cinemas, (select count(*) from hall) as halls;

-- name: create_hall
-- Adds a rectangular hall named $1 of $2 seats to the cinema of load tests; its id.
with known_cinema as (
    select id from cinema where name = 'Load test' order by id limit 1
),
new_cinema as (
    insert into cinema (name) select 'Load test' where not exists (select from known_cinema) returning id
),
known_type as (
    select id from seat_type where name = 'Standard'
),
new_type as (
    insert into seat_type (name) select 'Standard' where not exists (select from known_type) returning id
),
new_hall as (
    insert into hall (cinema_id, name, rows, places)
    select c.id, $1, ceil($2::integer / p.places)::integer, p.places::integer
    from (table known_cinema union all table new_cinema) c
    cross join (select ceil(sqrt($2::integer)) as places) p
    returning id, places
),
new_seat as (
    insert into seat (hall_id, seat_type_id, row, place)
    select h.id, t.id, 1 + n / h.places, 1 + n % h.places
    from new_hall h
    cross join (table known_type union all table new_type) t
    cross join generate_series(0, $2::integer - 1) n
)
select id from new_hall;
