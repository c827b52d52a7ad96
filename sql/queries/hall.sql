-- Halls and their seats. Every `data` is JSON as clients receive it.

-- name: snapshot
-- The whole hall ($1) with its revision and epoch; no row when there is none.
select rev, epoch, data from hall_snapshot($1);

-- name: changes
-- The changes of a hall ($1) after a revision ($2) of an epoch ($3); no row when the hall is gone.
select rev, epoch, whole, data from hall_changes($1, $2, $3);

-- name: revs
-- The revision and epoch of each of these halls ($1) that exists.
select id, rev, wire_epoch(epoch) as epoch from hall where id = any($1::bigint[]) order by id;

-- name: write
-- Changes seats for users: the outcome of each request, in order.
select request, code, message, data
from write_seats(
    p_hall => $1,
    p_user => $2,
    p_session => $3,
    p_key => $4,
    p_digest => $5,
    i_request => $6,
    i_seat => $7,
    i_status => $8::text[]::seat_status[],
    i_expected => $9::text[]::seat_status[],
    i_note => $10,
    i_hold => $11
);

-- name: unlocked
-- Those of these halls ($1) that no session has locked, nor any of their seats among these ($2); never waits.
select id from unlocked_halls($1, $2) as id;

-- name: expire_holds
-- Frees at most $1 seats whose hold is due; how many, and in how many seconds the next are due, null without holds.
select expired, due_in from expire_holds($1);

-- name: count_holds
-- How many seats are held.
select count(*) from seat_hold;

-- name: prune_keys
-- Removes at most $1 expired idempotency keys, but those that another server is removing; the number removed.
with gone as (
    delete from write_key
    where ctid = any(array(
        select ctid
        from write_key
        where created_at < now() - interval '10 minutes'
        limit $1
        for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: keep_history
-- Makes the days of the history that come, and drops those of more than $1 days ago; the number dropped.
select keep_history($1);
