-- The history, a partition a day: made ahead and dropped whole, so that neither costs more as it grows.

-- A table of the same name takes its place before this commits.
-- squawk-ignore renaming-table
alter table seat_event rename to seat_event_before;
-- squawk-ignore renaming-object
alter table seat_event_before rename constraint seat_event_pkey to seat_event_before_pkey;

create table seat_event (
    hall_id bigint not null,
    rev bigint not null,
    seat_id bigint not null default 0,
    kind seat_event_kind not null,
    old_status seat_status,
    new_status seat_status,
    note text,
    by bigint,
    at timestamptz not null default clock_timestamp(),
    before jsonb,
    constraint seat_event_pkey primary key (hall_id, rev, seat_id, at),
    constraint seat_event_status_is_of_a_seat check (seat_id <> 0 or (kind = 'layout' and new_status is null))
)
partition by range (at);

comment on table seat_event is
    'The history: what each revision of a hall changed. Kept when seats go, gone with the hall; old days are dropped.';
comment on column seat_event.hall_id is 'The hall.';
comment on column seat_event.rev is 'Its revision. Order by it: times of revisions that wait for each other overtake.';
comment on column seat_event.seat_id is 'The seat; 0 for a change of the hall itself or of a seat type.';
comment on column seat_event.kind is 'layout: the seat is new, gone or moved, whatever became of its status.';
comment on column seat_event.old_status is 'The status before; null where it has not changed with the layout.';
comment on column seat_event.new_status is 'The status from then on; null where it has not changed with the layout.';
comment on column seat_event.note is 'The note from then on.';
comment on column seat_event.by is 'The user whose request it was; null when it was SQL.';
comment on column seat_event.at is 'When it changed, by the clock of the database.';
comment on column seat_event.before is
    'For a change of layout the row as it was: of the seat, null for a new one; of the hall; or the renamed seat types.';

create table seat_event_default partition of seat_event default;

comment on table seat_event_default is 'Events of days that have no partition yet; keep_history moves them.';

-- Of all that there is: a server could not move it later, for it has two seconds for a statement.
do $$
declare
    day date;
begin
    for day in select distinct (at at time zone 'UTC')::date from seat_event_before loop
        execute format(
            'create table %I partition of seat_event for values from (%L) to (%L)',
            to_char(day, '"seat_event_"YYYYMMDD'),
            to_char(day, 'YYYY-MM-DD"T00:00Z"'),
            to_char(day + 1, 'YYYY-MM-DD"T00:00Z"')
        );
    end loop;
end
$$;

insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, by, at)
select hall_id, rev, seat_id, kind, old_status, new_status, by, at from seat_event_before;

-- squawk-ignore ban-drop-table
drop table seat_event_before;

-- The note that a seat has now is that of its last event.
update seat_event e
set note = seat.note
from seat
where seat.note is not null
  and e.hall_id = seat.hall_id
  and e.seat_id = seat.id
  and e.rev = (select max(l.rev) from seat_event l where l.hall_id = seat.hall_id and l.seat_id = seat.id);

create function keep_history(days integer) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms' as $$
declare
    today date := clock_timestamp() at time zone 'UTC';
    day date;
    part name;
    begins text;  -- of a day, for any time zone and format of dates of the caller
    ends text;
    dropped integer := 0;
begin
    if days < 1 then
        raise exception 'the history of a day is kept at least' using errcode = 'invalid_parameter_value';
    end if;
    -- No advisory lock, which any role may take.
    begin
        lock table seat_event_default in share update exclusive mode nowait;
    exception
        when lock_not_available then
            return 0;
    end;
    for day in
        select today + n from generate_series(0, 7) n
        union
        select distinct (at at time zone 'UTC')::date from seat_event_default
        order by 1
    loop
        part := to_char(day, '"seat_event_"YYYYMMDD');
        continue when to_regclass('public.' || part) is not null;
        begins := to_char(day, 'YYYY-MM-DD"T00:00Z"');
        ends := to_char(day + 1, 'YYYY-MM-DD"T00:00Z"');
        execute format('create table %I (like seat_event including defaults including constraints)', part);
        execute format(
            'with moved as (delete from seat_event_default where at >= %1$L and at < %2$L returning *) '
            'insert into %3$I select * from moved',
            begins, ends, part
        );
        -- In two steps: a table created as a partition would lock out every reader of the history.
        execute format(
            'alter table seat_event attach partition %3$I for values from (%1$L) to (%2$L)',
            begins, ends, part
        );
    end loop;
    for part in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'seat_event'::regclass
          and c.relname ~ '^seat_event_\d{8}$'
          and c.relname < to_char(today - days, '"seat_event_"YYYYMMDD')
        order by 1
    loop
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

comment on function keep_history is
    'Makes the partitions of the history for a week ahead and drops those of more than so many days ago, one at least; '
    'returns how many, 0 also while another server does it. A lock that is not to be had in 200 ms fails it (55P03).';

-- A resume across more revisions or events than this is dearer than the snapshot that takes its place.
create or replace function hall_changes(hall_id bigint, since bigint, seen_epoch text)
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
            array_agg(distinct e.seat_id) as seats,
            count(*) as events
        from (
            select *
            from seat_event e
            where e.hall_id = h.id and e.rev > since and e.rev <= h.rev
              and h.epoch = seen_epoch and h.rev - since <= 1000
            limit 10001
        ) e
    ) missed
    cross join lateral (
        select h.epoch = seen_epoch and since <= h.rev and missed.revs = h.rev - since and not missed.relaid
            and missed.events <= 10000 as whole
    ) w
$$;
