-- Administration: users who are disabled or deleted, and new enrolments. And no lock of sign-in is one that any role may
-- take.
--
-- The columns are new and null, so that nothing is checked or written when they are added.

alter table app_user
    add column disabled_at timestamptz,
    add column deleted_at timestamptz,
    -- squawk-ignore constraint-missing-not-valid
    add constraint app_user_deleted_is_disabled check (deleted_at is null or disabled_at is not null);

comment on table app_user is
    'People who may sign in, those who no longer may, and services, which cannot: the history names them by their row. '
    'Changing a role ends the sessions of that user.';
comment on column app_user.disabled_at is
    'Null for a user who may sign in. Setting it ends the sessions, and no other can begin; setting it to null lets the '
    'user in again.';
comment on column app_user.deleted_at is
    'When the user was deleted. The row stays for the history, and nobody else gets the name; deleting the row, too, '
    'takes the name out of the history.';

-- Disabled users

create function app_user_shut_out() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_reason text := auth_reason();
begin
    perform assert_table(tg_relid, 'app_user');
    perform record_auth_event(
        case
            when new.deleted_at is not null then 'auth.deleted'
            when new.disabled_at is not null then 'auth.disabled'
            else 'auth.enabled'
        end,
        new.id,
        new.username
    );
    if new.disabled_at is not null then
        delete from registration g where g.user_id = new.id;
        perform set_config(
            'seatsync.auth_reason', case when new.deleted_at is null then 'disabled' else 'deletion' end, true
        );
        delete from session s where s.user_id = new.id;
        perform set_config('seatsync.auth_reason', v_reason, true);
    end if;
    return null;
end
$$;

comment on function app_user_shut_out is
    'Trigger function: records that a user is disabled, enabled or deleted, and deletes the sessions and the recoveries '
    'under way of one who is disabled.';

create trigger app_user_disabled after update on app_user
    for each row when (
        (old.disabled_at is null) <> (new.disabled_at is null) or (old.deleted_at is null) <> (new.deleted_at is null)
    )
    execute function app_user_shut_out();

comment on trigger app_user_disabled on app_user is 'A user who is disabled is signed out at once, on every server.';

-- The lock lets whoever disables the user wait for the row, and then delete it. No error: who signs in with the right
-- code is answered as if it were wrong.
create function keep_disabled_out() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_disabled_at timestamptz;
begin
    perform assert_table(tg_relid, case when tg_relid = 'registration'::regclass then 'registration' else 'session' end);
    select u.disabled_at into v_disabled_at from app_user u where u.id = new.user_id for share;
    return case when v_disabled_at is null then new end;
end
$$;

comment on function keep_disabled_out is
    'Trigger function: leaves out sessions and recoveries of users who are disabled, whoever inserts them.';

create trigger session_of_enabled before insert or update of user_id on session
    for each row execute function keep_disabled_out();

create trigger registration_of_enabled before insert or update of user_id on registration
    for each row when (new.user_id is not null)
    execute function keep_disabled_out();

comment on trigger session_of_enabled on session is 'A user who is disabled gets no session.';
comment on trigger registration_of_enabled on registration is 'A user who is disabled enrols no authenticator.';

-- A new enrolment, and none

create function reset_user(p_user bigint, p_secret text, p_phrase_hash text) returns void
language plpgsql as $$
begin
    -- A plain secret is a new one to the trigger, whatever the keys of the one before and of the one to come.
    update app_user u set totp_secret = repeat('A', 16), totp_last_step = 0 where u.id = p_user;
    update app_user u set totp_secret = p_secret where u.id = p_user;
    delete from registration g where g.user_id = p_user;
    delete from recovery r where r.user_id = p_user;
    insert into recovery (user_id, phrase_hash) select p_user, p_phrase_hash where p_phrase_hash is not null;
    delete from session s where s.user_id = p_user;
    delete from known_visitor k where k.user_id = p_user;
    delete from known_network k where k.user_id = p_user;
    delete from lockout l where l.user_id = p_user;
    delete from throttle t
    where t.scope in ('code', 'recovery', 'phrase')
        and (t.subject = p_user::text or starts_with(t.subject, p_user || ':'));
end
$$;

comment on function reset_user is
    'Replaces what a user signs in with by a secret that nobody has and the hash of a phrase, or null for none: '
    'sessions, known devices and networks, the lockout and the counters of wrong codes go.';

create function delete_user(p_user bigint, p_secret text) returns void
language plpgsql as $$
begin
    update app_user u set disabled_at = coalesce(u.disabled_at, now()), deleted_at = now() where u.id = p_user;
    perform reset_user(p_user, p_secret, null);
end
$$;

comment on function delete_user is
    'Deletes a user but for the name, the role and the times: disabled for good, and reset without a phrase.';

-- Of one who is deleted the new secret is nobody's.
create or replace trigger app_user_recovered after update of totp_secret on app_user
    for each row when (
        new.deleted_at is null and new.totp_secret <> old.totp_secret and (
            new.totp_last_step <> old.totp_last_step
            or strpos(new.totp_secret, ':') = 0
            or split_part(new.totp_secret, ':', 1) = split_part(old.totp_secret, ':', 1)
        )
    )
    execute function app_user_record();

-- Registrations

comment on column throttle.scope is
    'What is counted: `code`, `register`, `recovery` and `phrase` are attempts at a secret in a row, which wait longer '
    'each time; `lookup`, `auth_start`, and `recovery` of an address, are the attempts of a minute; `auth_event` the '
    'failures of a minute, of which the first have rows in auth_event; `registration` limits nothing, its row is a lock.';

-- Registrations are counted under two locks, the network's and then the visitor's: rows of a table that is the server's,
-- for an advisory lock any role may hold for ever.
create or replace function start_registration(
    p_username text, p_visitor bytea, p_address text, p_secret text, p_open boolean
) returns enrolment
language plpgsql as $$
declare
    r enrolment;
    v registration;
begin
    perform throttle_window('registration', p_address, 0);
    r.wait := throttle_window('auth_start', encode(p_visitor, 'hex'), 30);
    if r.wait > 0 then
        r.code := 'TooManyRequests';
        return r;
    end if;
    r.wait := null;

    select u.id, u.username into r.user_id, r.username
    from app_user u
    where lower(u.username collate "C") = lower(p_username collate "C");
    if r.user_id is not null then
        return r;
    elsif not p_open then
        r.code := 'RegistrationClosed';
        return r;
    end if;

    delete from registration g
    where lower(g.username collate "C") = lower(p_username collate "C") and g.user_id is null and g.expires_at <= now();
    select ceil(extract(epoch from min(g.expires_at) - now())) into r.wait
    from registration g
    where g.user_id is null and g.expires_at > now()
        and lower(g.username collate "C") <> lower(p_username collate "C")
        and (g.visitor = p_visitor or g.address = p_address)
    having count(*) filter (where g.visitor = p_visitor) >= 5 or count(*) filter (where g.address = p_address) >= 50;
    if r.wait is not null then
        r.code := 'TooManyRequests';
        return r;
    end if;

    insert into registration as g (username, visitor, address, totp_secret)
    values (p_username, p_visitor, p_address, p_secret)
    on conflict (lower(username collate "C")) where user_id is null do update set username = g.username
    returning * into v;
    if v.visitor = p_visitor then
        r.id := v.id;
        r.username := v.username;
        r.secret := v.totp_secret;
    else
        r.code := 'RegistrationInProgress';
        r.wait := greatest(1, ceil(extract(epoch from v.expires_at - now())));
    end if;
    return r;
end
$$;
