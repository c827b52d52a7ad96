-- What happens when cinemas, halls and seat types themselves change.

-- A hall's own row belongs to its layout.
create function hall_keep_rev() returns trigger
language plpgsql as $$
begin
    if new.rev <> old.rev then
        raise exception 'hall.rev is kept by triggers'
            using errcode = 'restrict_violation', hint = 'To have clients begin anew: update hall set epoch = default.';
    end if;
    new.rev := old.rev + 1;
    return new;
end
$$;

create trigger hall_keep_rev before update on hall
    for each row when (
        (new.cinema_id, new.name, new.rows, new.places, new.epoch, new.created_at)
            is distinct from (old.cinema_id, old.name, old.rows, old.places, old.epoch, old.created_at)
        or new.rev <> old.rev and pg_trigger_depth() = 0
    )
    execute function hall_keep_rev();

create function hall_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into seat_event (hall_id, rev, kind) values (new.id, new.rev, 'layout');
    perform pg_notify('seatsync', hall_notice(new.id, new.rev, 'layout'));
    if new.cinema_id <> old.cinema_id then
        perform pg_notify('seatsync', 'cinemas');
    elsif (new.name, new.rows, new.places) is distinct from (old.name, old.rows, old.places) then
        perform pg_notify('seatsync', format('cinema %s', new.cinema_id));
    end if;
    return null;
end
$$;

create trigger hall_updated after update on hall
    for each row when (
        (new.cinema_id, new.name, new.rows, new.places, new.epoch, new.created_at)
            is distinct from (old.cinema_id, old.name, old.rows, old.places, old.epoch, old.created_at)
    )
    execute function hall_announce_updated();

create function hall_announce_inserted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_notify('seatsync', format('cinema %s', new.cinema_id));
    return null;
end
$$;

create trigger hall_inserted after insert on hall
    for each row execute function hall_announce_inserted();

-- Its seats are gone by now, and their trigger found no hall to count for.
create function hall_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from seat_event where hall_id = old.id;
    perform pg_notify('seatsync', format('hall %s deleted', old.id));
    perform pg_notify('seatsync', 'cinemas');
    return null;
end
$$;

create trigger hall_deleted after delete on hall
    for each row execute function hall_announce_deleted();

create function hall_announce_truncated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from seat_event;
    perform pg_notify('seatsync', format('hall %s deleted', id)) from hall;
    perform pg_notify('seatsync', 'cinemas');
    return null;
end
$$;

create trigger hall_truncated before truncate on hall
    for each statement execute function hall_announce_truncated();

create function seat_type_announce_renamed() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform announce_layout(array(
        select distinct seat.hall_id
        from new_seat_type n
        join old_seat_type o using (id)
        join seat on seat.seat_type_id = n.id
        where n.name <> o.name
    ));
    return null;
end
$$;

create trigger seat_type_renamed after update on seat_type
    referencing old table as old_seat_type new table as new_seat_type
    for each statement execute function seat_type_announce_renamed();

create function cinema_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_notify('seatsync', format('cinema %s', new.id));
    return null;
end
$$;

create trigger cinema_updated after update on cinema
    for each row when ((new.name, new.color) is distinct from (old.name, old.color))
    execute function cinema_announce_updated();

-- Halls go with their cinema, so whoever truncates cinemas meets the trigger of halls.
create function cinema_announce_list() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_notify('seatsync', 'cinemas');
    return null;
end
$$;

create trigger cinema_listed after insert or delete on cinema
    for each row execute function cinema_announce_list();
