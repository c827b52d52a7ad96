-- What a client missed between a revision it has seen and now.

-- One statement: the events, rev and seats come from one snapshot. Every revision after `since` must still have an
-- event: that holds against pruning and against rows deleted by hand.
create function hall_changes(hall_id bigint, since bigint, seen_epoch text)
returns table (rev bigint, epoch text, whole boolean, data text)
language sql stable as $$
    select
        h.rev,
        h.epoch,
        w.whole,
        case when w.whole then hall_update(h.id, missed.seats, since) end
    from (
        select hall.id, hall.rev, wire_epoch(hall.epoch) as epoch from hall where hall.id = hall_changes.hall_id
    ) h
    cross join lateral (
        select
            count(distinct e.rev) as revs,
            coalesce(bool_or(e.kind = 'layout'), false) as relaid,
            array_agg(distinct e.seat_id) as seats
        from seat_event e
        where e.hall_id = h.id and e.rev > since and e.rev <= h.rev and h.epoch = seen_epoch
    ) missed
    cross join lateral (
        select h.epoch = seen_epoch and since <= h.rev and missed.revs = h.rev - since and not missed.relaid as whole
    ) w
$$;

comment on function hall_changes is
    'Everything after the revision `since` of an epoch, merged into one update, if it is still known and the layout is '
    'the same (`whole`); else `data` is null. No row when there is no such hall.';
