-- Changes for load tests, made as a maintainer would make them.

-- name: seats
-- The seats of some halls ($1), with their status.
select id, hall_id, status from seat where hall_id = any($1::bigint[]) order by hall_id, row, place;

-- name: change
-- Gives seats ($1) a status ($2).
update seat set status = $2 where id = any($1::bigint[]);

-- name: changed_in
-- The newest revision of a hall ($1) that changed a seat ($2).
select rev from seat_event where hall_id = $1 and seat_id = $2 order by rev desc limit 1;
