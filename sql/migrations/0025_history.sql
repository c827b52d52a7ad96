-- The history with names, and indexes that serve a seat and a user.

create view seat_history as
select
    e.hall_id,
    hall.name as hall,
    e.rev,
    e.at,
    e.kind,
    e.seat_id,
    case when seat.id is null then e.before ->> 'section' else seat.section end as section,
    coalesce(seat.row_label, seat.row::text, e.before ->> 'row_label', e.before ->> 'row') as row,
    coalesce(seat.place_label, seat.place::text, e.before ->> 'place_label', e.before ->> 'place') as place,
    e.old_status,
    e.new_status,
    e.note,
    app_user.username
from seat_event e
join hall on hall.id = e.hall_id
left join seat on seat.id = e.seat_id
left join app_user on app_user.id = e.by;

comment on view seat_history is 'The history as a person reads it. Order by hall_id and rev.';
comment on column seat_history.hall_id is 'The hall.';
comment on column seat_history.hall is 'Its name now.';
comment on column seat_history.rev is 'Its revision.';
comment on column seat_history.at is 'When it changed.';
comment on column seat_history.kind is 'What changed.';
comment on column seat_history.seat_id is 'The seat; 0 for a change of the hall itself or of a seat type.';
comment on column seat_history.section is 'Its section now; of a seat that is gone, the section when it went.';
comment on column seat_history.row is 'Its row, as people read it.';
comment on column seat_history.place is 'Its place, as people read it.';
comment on column seat_history.old_status is 'The status before.';
comment on column seat_history.new_status is 'The status from then on.';
comment on column seat_history.note is 'The note from then on.';
comment on column seat_history.username is 'Whose request it was; null for SQL, and for a user whose row is gone.';

-- Only days that are over have these indexes: a write would pay for them, and one day is read quickly without.
create function index_history() returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms' as $$
declare
    part name;
begin
    -- As keep_history does, which may drop the day.
    begin
        lock table seat_event_default in share update exclusive mode nowait;
    exception
        when lock_not_available then
            return 0;
    end;
    select c.relname into part
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'seat_event'::regclass
      and c.relname ~ '^seat_event_\d{8}$'
      and c.relname < to_char(clock_timestamp() at time zone 'UTC', '"seat_event_"YYYYMMDD')
      and to_regclass('public.' || c.relname || '_seat_idx') is null
    order by c.relname desc
    limit 1;
    if not found then
        return 0;
    end if;
    execute format('create index %I on %I (seat_id, rev)', part || '_seat_idx', part);
    execute format('create index %I on %I (by, at) where by is not null', part || '_by_idx', part);
    return 1;
end
$$;

comment on function index_history is
    'Makes the indexes of a seat and of a user for one day of the history that is over; returns how many days it was, '
    '0 also while another server does it.';

create function grant_server_0025(server regrole) returns void
language plpgsql as $$
begin
    execute format('grant execute on function index_history to %1$s', server);
end
$$;

comment on function grant_server_0025 is 'For grant_server: the rights of 0025_history.sql.';
