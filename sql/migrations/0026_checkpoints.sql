-- Checkpoints: what the history leads on from, to any moment that it has.
--
-- A whole checkpoint has every seat of a hall: one at the beginning of each epoch, one a day, and one whenever much
-- has happened. Each other change of the layout has one with the seats that it changed. So a hall at a revision is the
-- last whole one, the changes of the layout after it, and the events, which have the statuses.

create table hall_checkpoint (
    hall_id bigint not null references hall on delete cascade,
    rev bigint not null,
    epoch text not null,
    at timestamptz not null default clock_timestamp(),
    whole boolean not null,
    hall jsonb not null,
    types jsonb not null,
    seats seat[] not null,
    primary key (hall_id, rev)
);

create index hall_checkpoint_hall_id_at_rev_idx on hall_checkpoint (hall_id, at, rev);

comment on table hall_checkpoint is
    'Halls at some of their revisions: where the layout changed, and whole ones. The history has every event after each.';
comment on column hall_checkpoint.hall_id is 'The hall.';
comment on column hall_checkpoint.rev is 'Its revision.';
comment on column hall_checkpoint.epoch is 'The epoch of the revision.';
comment on column hall_checkpoint.at is 'A time after the revision was made: no event up to it is later.';
comment on column hall_checkpoint.whole is 'It has every seat, not only those whose place in the layout has changed.';
comment on column hall_checkpoint.hall is 'The row of the hall.';
comment on column hall_checkpoint.types is 'The names of the types of its seats, by id.';
comment on column hall_checkpoint.seats is
    'The rows of seats; of one that is gone the id alone. A column that the table gets later is null in those of before: '
    'it is added without a default, which PostgreSQL would refuse.';

-- One statement: revision and seats are of one snapshot. A hall without seats is whole whatever happened to them. Where
-- several statements share a revision, the checkpoint that each leaves takes the place of the one before.
create function checkpoint_halls(halls bigint[], whole boolean default true) returns integer
language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    made integer;
begin
    insert into hall_checkpoint (hall_id, rev, epoch, whole, hall, types, seats)
    select h.id, h.rev, h.epoch, w.whole, to_jsonb(h), coalesce(t.types, '{}'), coalesce(s.seats, '{}')
    from hall h
    cross join lateral (
        select
            checkpoint_halls.whole
            or not exists (select from seat where seat.hall_id = h.id)
            or exists (select from hall_checkpoint c where c.hall_id = h.id and c.rev = h.rev and c.whole) as whole
    ) w
    cross join lateral (
        select jsonb_object_agg(t.id, t.name) as types
        from hall_count c
        join seat_type t on t.id = c.seat_type_id
        where c.hall_id = h.id
    ) t
    cross join lateral (
        select array_agg(s.seat) as seats
        from (
            select seat from seat where seat.hall_id = h.id and w.whole
            union all
            -- Joined by id alone: an index of halls would look as good to the planner, and has all their seats.
            select case
                when seat.hall_id = h.id then seat
                else jsonb_populate_record(null::seat, jsonb_build_object('id', e.seat_id))
            end
            from seat_event e
            left join seat on seat.id = e.seat_id
            where e.hall_id = h.id and e.rev = h.rev and e.kind = 'layout' and e.seat_id <> 0 and not w.whole
        ) s
    ) s
    where h.id = any(halls)
    on conflict (hall_id, rev) do update
    set at = excluded.at, whole = excluded.whole, hall = excluded.hall, types = excluded.types, seats = excluded.seats;
    get diagnostics made = row_count;
    return made;
end
$$;

comment on function checkpoint_halls is
    'Makes a checkpoint of each of these halls as it is now, a whole one or one of what its revision has changed in the '
    'layout; returns how many.';

-- The triggers call it after every change of seats and types, with those halls, if any, whose layout has changed.
create or replace function announce_layout(halls bigint[]) returns void
language plpgsql as $$
begin
    if cardinality(halls) > 0 then
        perform checkpoint_halls(halls, whole => false);
        perform announce(hall_notice(h, 'layout')) from hall h where h.id = any(halls) order by h.id;
    end if;
end
$$;

comment on function announce_layout is 'For triggers: announces a revision that clients load anew, and remembers it.';

create or replace function hall_announce_inserted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'hall');
    perform checkpoint_halls(array[new.id]);
    perform announce(format('cinema %s', new.cinema_id));
    return null;
end
$$;

create or replace function hall_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'hall');
    if new.epoch <> old.epoch then
        perform recount_seats(array[new.id]);
    end if;
    insert into seat_event (hall_id, rev, kind, before) values (new.id, new.rev, 'layout', to_jsonb(old));
    perform checkpoint_halls(array[new.id], whole => new.epoch <> old.epoch);
    perform announce(hall_notice(new, 'layout'));
    if new.cinema_id <> old.cinema_id then
        perform announce('cinemas');
    elsif (new.name, new.rows, new.places) is distinct from (old.name, old.rows, old.places) then
        perform announce(format('cinema %s', new.cinema_id));
    end if;
    return null;
end
$$;

-- Events are counted from the day of the checkpoint on: that they are of later revisions matters, not how many exactly.
create function keep_checkpoints(most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    begin
        lock table hall_checkpoint in share update exclusive mode nowait;
    exception
        when lock_not_available then
            return 0;
    end;
    return checkpoint_halls(array(
        select h.id
        from hall h
        left join lateral (
            select c.rev, c.at
            from hall_checkpoint c
            where c.hall_id = h.id and c.epoch = h.epoch and c.whole
            order by c.rev desc
            limit 1
        ) c on true
        cross join lateral (
            select 500 + coalesce(sum(n.seats), 0) as events from hall_count n where n.hall_id = h.id
        ) due
        where c.rev is null
           or h.rev > c.rev and (
               (c.at at time zone 'UTC')::date < (clock_timestamp() at time zone 'UTC')::date
               or due.events <= (
                   select count(*)
                   from (
                       select
                       from seat_event e
                       where e.hall_id = h.id and e.rev > c.rev and e.at >= c.at
                       limit due.events
                   ) e
               )
           )
        limit most
    ));
end
$$;

comment on function keep_checkpoints is
    'Makes the whole checkpoints that are due, so many at most; returns how many, 0 also while another server does it. '
    'Due are halls that have changed since that of a day before, or by as many events as they have seats and 500 more.';

-- A day is dropped with the checkpoints that need it: what leads on from those that stay is there, whatever the order of
-- times; the first of them is a whole one.
create or replace function keep_history(days integer) returns integer
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
        if day <= today + 1 then
            -- Events of that day go to the default partition so far: one that waited for it would fail then.
            lock table seat_event in share row exclusive mode;
        end if;
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
        execute format(
            'delete from hall_checkpoint c '
            'using (select e.hall_id, max(e.rev) as rev from %I e group by e.hall_id) gone '
            'where c.hall_id = gone.hall_id and c.rev < coalesce(('
            '    select min(w.rev) from hall_checkpoint w'
            '    where w.hall_id = gone.hall_id and w.rev >= gone.rev and w.whole'
            '), c.rev + 1)',
            part
        );
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

comment on function keep_history is
    'Makes the partitions of the history for a week ahead and drops those of more than so many days ago, one at least, '
    'with the checkpoints that lead through them; returns how many, 0 also while another server does it. A lock that is '
    'not to be had in 200 ms fails it (55P03).';

create function grant_server_0026(server regrole) returns void
language plpgsql as $$
begin
    execute format('grant execute on function keep_checkpoints to %1$s', server);
end
$$;

comment on function grant_server_0026 is 'For grant_server: the rights of 0026_checkpoints.sql.';
