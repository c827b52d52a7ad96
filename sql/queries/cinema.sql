-- Cinemas and their halls with the counts of seats: JSON as clients receive it.

-- name: list
-- All cinemas with their halls, as one JSON list.
select coalesce(array_to_json(array_agg(c order by c.id)), '[]')::text as data
from (
    select
        cinema.id,
        cinema.name,
        cinema.color,
        wire_time(cinema.created_at) as created_at,
        coalesce(array_to_json(own.halls), '[]') as halls
    from cinema
    left join (
        select hall.cinema_id, array_agg(h order by h.id) as halls
        from hall
        join (
            select hall.id, hall.name, hall.rows, hall.places, coalesce(n.counts, (0, 0, 0, 0)::wire_counts) as seats_count
            from hall
            left join (
                select hall_id, (sum(vacant), sum(reserved), sum(occupied), sum(maintenance))::wire_counts as counts
                from hall_count
                group by hall_id
            ) n on n.hall_id = hall.id
        ) h on h.id = hall.id
        group by hall.cinema_id
    ) own on own.cinema_id = cinema.id
) c;

-- name: counts
-- The counts of these halls ($1), one JSON object for each of their cinemas.
select row_to_json(c)::text as data
from (
    select
        cinema.id,
        array_to_json((
            select array_agg(h order by h.id)
            from (
                select hall.id, hall_counts(hall.id) as seats_count
                from hall
                where hall.cinema_id = cinema.id and hall.id = any($1::bigint[])
            ) h
        )) as halls
    from cinema
    where cinema.id in (select cinema_id from hall where id = any($1::bigint[]))
) c
order by c.id;

-- name: cinema
-- These cinemas ($1) with their halls, one JSON object each.
select row_to_json(c)::text as data
from (
    select
        cinema.id,
        cinema.name,
        cinema.color,
        coalesce(array_to_json((
            select array_agg(h order by h.id)
            from (
                select hall.id, hall.name, hall.rows, hall.places, hall_counts(hall.id) as seats_count
                from hall
                where hall.cinema_id = cinema.id
            ) h
        )), '[]') as halls
    from cinema
    where cinema.id = any($1::bigint[])
) c
order by c.id;
