-- A role that serves and owns nothing: what it may do, and what it needs of the owner's rights, as functions.

-- Row locks need a right to update, which the server has for seats and not for halls.
create function unlocked_halls(halls bigint[], seat_ids bigint[]) returns setof bigint
language sql security definer set search_path = public, pg_temp as $$
    with free_seat as materialized (
        select id from seat where id = any(seat_ids) for no key update skip locked
    ),
    free_hall as materialized (
        select id from hall where id = any(halls) for no key update skip locked
    )
    select wanted.id
    from unnest(halls) wanted(id)
    where not exists (
        select from seat s where s.id = any(seat_ids) and s.hall_id = wanted.id
        and not exists (select from free_seat f where f.id = s.id)
    )
    and (exists (select from free_hall f where f.id = wanted.id) or not exists (select from hall h where h.id = wanted.id))
$$;

comment on function unlocked_halls is
    'Those of these halls that no session has locked, nor any of their seats among these; never waits.';

-- The first user becomes admin if p_local; a lock lets no other be first meanwhile. Of a table that nobody uses before
-- there is a user: an advisory lock any role may take, and one of app_user is not the server's to take.
create or replace function create_account(
    p_registration bigint, p_secret text, p_step bigint, p_role user_role, p_local boolean,
    p_replaces uuid, p_seen bytea, p_known bytea
) returns setof signed_in
language plpgsql as $$
declare
    v_username text;
    v_user bigint;
    v_role user_role := p_role;
begin
    delete from registration g
    where g.id = p_registration and g.totp_secret = p_secret and g.expires_at > now()
    returning g.username into v_username;
    if not found then
        return;
    end if;
    if p_local and not exists (select from app_user) then
        lock table recovery in share row exclusive mode;
        if not exists (select from app_user) then
            v_role := 'admin';
        end if;
    end if;
    insert into app_user (username, role, totp_secret, totp_last_step)
    values (v_username, v_role, p_secret, p_step)
    returning id into v_user;
    delete from throttle t where t.scope = 'register' and t.subject = p_registration::text;
    return query select * from open_session(v_user, p_replaces, p_seen, p_known);
end
$$;

-- It also names what later files make, and is called when all of them have run.
create function grant_server(server regrole) returns void
language plpgsql as $$
begin
    execute format(
        'grant select on all tables in schema public to %1$s;'
        'grant update (status, note, updated_at, updated_by) on seat to %1$s;'
        'grant insert, update (totp_secret, totp_last_step) on app_user to %1$s;'
        'grant insert, update, delete on session, registration, recovery, known_visitor, throttle, write_key to %1$s;'
        'grant insert, update, delete on known_network, lockout to %1$s;'
        'grant execute on function'
        ' write_seats, unlocked_halls, keep_history, throttle_attempt, throttle_window, throttle_subject, open_session,'
        ' log_in, start_registration, find_enrolment, create_account, start_recovery, finish_recovery, save_phrase,'
        ' may_guess, is_known_device, guess_subject, count_lookup, admit_code, forgive_codes, remember_client,'
        ' begin_registration, begin_recovery'
        ' to %1$s',
        server
    );
end
$$;

comment on function grant_server is 'Grants a role what `seatsync serve` needs, and no more; seatsync migrate calls it.';
