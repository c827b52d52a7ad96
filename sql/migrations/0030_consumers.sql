-- Other consumers of the history: each revision once and in order, by a cursor that moves in the consumer's transaction.
--
-- A revision commits after all before it, for the hall's row is locked, and together with its events: whoever reads the
-- revisions after the last one that it has seen misses none.

create table consumer_cursor (
    name text not null,
    hall_id bigint not null references hall on delete cascade,
    epoch text not null,
    rev bigint not null,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (name, hall_id)
);

create index consumer_cursor_hall_idx on consumer_cursor (hall_id);

comment on table consumer_cursor is 'How far programs have read the history of halls; gone with the hall.';
comment on column consumer_cursor.name is 'The program, by a name of its choice.';
comment on column consumer_cursor.hall_id is 'The hall.';
comment on column consumer_cursor.epoch is 'The epoch of the revision, as the hall has it.';
comment on column consumer_cursor.rev is 'The last revision that it has read.';
comment on column consumer_cursor.updated_at is 'When the cursor moved, by the clock of the database.';

-- The checkpoints that stay when days are dropped are those from which on the history is whole, and each epoch begins
-- with one. The revisions are counted, too: somebody may have removed some by hand, or drop a day meanwhile.
create function events_after(hall_id bigint, epoch text, rev bigint, most integer) returns setof seat_event
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    hall hall;
    last bigint;  -- the last of the revisions to return
begin
    if most < 1 then
        raise exception 'one revision at least' using errcode = 'invalid_parameter_value';
    end if;
    select h.* into hall from hall h where h.id = events_after.hall_id;
    if not found then
        raise exception 'there is no hall %', events_after.hall_id using errcode = 'no_data_found';
    end if;
    if (events_after.epoch in (hall.epoch, wire_epoch(hall.epoch)) and events_after.rev <= hall.rev) is not true then
        raise exception 'hall % has another epoch', hall.id
            using errcode = 'no_data_found', hint = 'Begin with the hall as it is: start_consumer(name, hall_id).';
    end if;
    last := least(hall.rev, events_after.rev + most);
    if last > events_after.rev and (
        not exists (
            select
            from hall_checkpoint c
            where c.hall_id = hall.id and c.epoch = hall.epoch and c.rev <= events_after.rev
        )
        or last - events_after.rev <> (
            select count(distinct e.rev)
            from seat_event e
            where e.hall_id = hall.id and e.rev > events_after.rev and e.rev <= last
        )
    ) then
        raise exception 'the history of hall % does not go back to revision %', hall.id, events_after.rev
            using errcode = 'no_data_found', hint = 'Begin with the hall as it is: start_consumer(name, hall_id).';
    end if;
    return query
    select e.*
    from seat_event e
    where e.hall_id = hall.id and e.rev > events_after.rev and e.rev <= last
    order by e.rev, e.seat_id;
end
$$;

comment on function events_after is
    'The events of the next revisions of a hall, so many at most and each whole, after one of that epoch (as the hall or '
    'as clients have it); none at the present. Fails (P0002) where the history does not lead on from there: pruned, of '
    'another epoch, still to come, or no hall.';

-- One statement: cursor and hall are of one snapshot.
create function start_consumer(name text, hall_id bigint) returns table (rev bigint, epoch text, data text)
language sql as $$
    with cursor as (
        insert into consumer_cursor (name, hall_id, epoch, rev)
        select start_consumer.name, h.id, h.epoch, h.rev from hall h where h.id = start_consumer.hall_id
        on conflict (name, hall_id) do update set epoch = excluded.epoch, rev = excluded.rev, updated_at = clock_timestamp()
    )
    select rev, epoch, data from hall_snapshot(start_consumer.hall_id)
$$;

comment on function start_consumer is
    'Sets a cursor to the present revision of a hall, whether there was one or not, and returns hall_snapshot of it; no '
    'row for a hall that does not exist.';

create function take_events(name text, hall_id bigint, most integer) returns setof seat_event
language plpgsql as $$
#variable_conflict use_column
declare
    seen consumer_cursor;
begin
    select c.* into seen
    from consumer_cursor c
    where c.name = take_events.name and c.hall_id = take_events.hall_id
    for update;
    if not found then
        raise exception 'consumer % has no cursor for hall %', take_events.name, take_events.hall_id
            using errcode = 'no_data_found', hint = 'Begin with the hall as it is: start_consumer(name, hall_id).';
    end if;
    return query
    with taken as materialized (
        select * from events_after(seen.hall_id, seen.epoch, seen.rev, most)
    ),
    moved as (
        update consumer_cursor c
        set rev = (select max(t.rev) from taken t), updated_at = clock_timestamp()
        where c.name = seen.name and c.hall_id = seen.hall_id and exists (select from taken)
    )
    select * from taken t order by t.rev, t.seat_id;
end
$$;

comment on function take_events is
    'events_after a cursor, which it moves behind them: for good with the commit, in whose transaction the caller does its '
    'work. Another that takes by the same cursor waits until then.';

grant execute on function
    events_after, start_consumer, take_events
to public;
