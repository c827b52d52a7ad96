-- Signing in: throttles, sessions, registrations and recoveries, each step one call.
--
-- Rows are locked in this order everywhere: app_user, registration, recovery, session, known_visitor, throttle.
-- What only counts attempts locks a throttle first, of a scope that nothing else locks.

-- Throttles. Both count under the row's lock before the attempt is looked at, so parallel guesses wait their turn, and
-- return the whole seconds to wait: 0 lets the attempt through.

create function throttle_attempt(p_scope text, p_subject text) returns integer
language plpgsql as $$
begin
    delete from throttle t where t.scope = p_scope and t.subject = p_subject and t.expires_at <= clock_timestamp();
    insert into throttle as t (scope, subject, attempts, blocked_until, expires_at)
    values (p_scope, p_subject, 1, clock_timestamp(), clock_timestamp() + interval '1 day')
    on conflict (scope, subject) do update set
        attempts = t.attempts + 1,
        blocked_until = clock_timestamp() + case
            when t.attempts + 1 < 5 then interval '0'
            else least(interval '30 seconds' * 2 ^ least(t.attempts - 4, 10), interval '15 minutes')
        end,
        expires_at = clock_timestamp() + interval '1 day'
    where t.blocked_until <= clock_timestamp();
    if found then
        return 0;
    end if;
    return coalesce((
        select greatest(1, ceil(extract(epoch from t.blocked_until - clock_timestamp())))
        from throttle t
        where t.scope = p_scope and t.subject = p_subject
    ), 1);
end
$$;

comment on function throttle_attempt is
    'Five attempts in a row are free, then each waits for 30 s, doubling to 15 minutes; success deletes the row.';

create function throttle_window(p_scope text, p_subject text, p_limit integer) returns integer
language plpgsql as $$
declare
    v throttle;
begin
    delete from throttle t where t.scope = p_scope and t.subject = p_subject and t.expires_at <= clock_timestamp();
    insert into throttle as t (scope, subject, attempts, blocked_until, expires_at)
    values (p_scope, p_subject, 1, clock_timestamp(), clock_timestamp() + interval '1 minute')
    on conflict (scope, subject) do update set attempts = t.attempts + 1
    returning * into v;
    if v.attempts <= p_limit then
        return 0;
    end if;
    return greatest(1, ceil(extract(epoch from v.expires_at - clock_timestamp())));
end
$$;

comment on function throttle_window is 'So many attempts in a minute, counted from the first of them.';

create function throttle_subject(p_user bigint, p_visitor bytea) returns text
stable language sql as $$
    select case
        when exists (
            select from known_visitor k
            where k.user_id = p_user and k.visitor = p_visitor and k.expires_at > now()
        ) then p_user || ':' || encode(p_visitor, 'hex')
        else p_user::text
    end
$$;

comment on function throttle_subject is
    'Whose wrong codes are counted together: a known visitor''s own, or all strangers'' at that user.';

-- Signing in. A visitor is p_seen in the request and p_known from the answer on.

create type signed_in as (
    user_id bigint,
    username text,
    role user_role,
    session_id uuid,
    expires_at timestamptz
);

comment on type signed_in is 'A user and the session just begun.';

create function open_session(p_user bigint, p_replaces uuid, p_seen bytea, p_known bytea) returns setof signed_in
language plpgsql as $$
declare
    v_subject text := throttle_subject(p_user, p_seen);
begin
    delete from session s where s.id = p_replaces;
    delete from known_visitor k where k.user_id = p_user and k.visitor in (p_seen, p_known);
    insert into known_visitor (user_id, visitor) values (p_user, p_known);
    delete from throttle t where t.scope = 'code' and t.subject = v_subject;
    return query
        with opened as (insert into session (user_id) values (p_user) returning *)
        select u.id, u.username, u.role, o.id, o.expires_at
        from opened o
        join app_user u on u.id = o.user_id;
end
$$;

comment on function open_session is
    'Begins a session, ends the one the request came with, forgives wrong codes and remembers the visitor.';

create function log_in(
    p_user bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea
) returns setof signed_in
language plpgsql as $$
begin
    update app_user u set totp_last_step = p_step
    where u.id = p_user and u.totp_secret = p_secret and u.totp_last_step < p_step;
    if found then
        return query select * from open_session(p_user, p_replaces, p_seen, p_known);
    end if;
end
$$;

comment on function log_in is
    'Takes a code of that step; no row when the step was used before or the secret is no longer the user''s.';

-- Enrolling an authenticator, for a new account or to recover an old one.

create type enrolment as (
    code text,
    wait integer,
    id bigint,
    user_id bigint,
    username text,
    secret text
);

comment on type enrolment is
    'An authenticator being enrolled; no secret: the user exists. code is null or an error''s, wait its retry_after.';

-- The throttle rows, the address's and then the visitor's, are also the locks under which registrations are counted.
create function start_registration(
    p_username text, p_visitor bytea, p_address text, p_secret text, p_open boolean
) returns enrolment
language plpgsql as $$
declare
    r enrolment;
    v registration;
begin
    r.wait := throttle_window('auth_start', p_address, 30);
    if r.wait = 0 then
        r.wait := throttle_window('auth_start', encode(p_visitor, 'hex'), 30);
    end if;
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
    having count(*) filter (where g.visitor = p_visitor) >= 5 or count(*) filter (where g.address = p_address) >= 5;
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

comment on function start_registration is 'Finds or begins the registration of a name.';

create function find_enrolment(p_username text, p_visitor bytea, p_open boolean) returns enrolment
language plpgsql as $$
declare
    r enrolment;
    v_until timestamptz;
begin
    select u.id into r.user_id from app_user u where lower(u.username collate "C") = lower(p_username collate "C");
    select g.id, g.username, g.totp_secret, g.expires_at into r.id, r.username, r.secret, v_until
    from registration g
    where lower(g.username collate "C") = lower(p_username collate "C")
        and g.visitor = p_visitor and g.user_id is not distinct from r.user_id;
    r.code := case
        when r.user_id is null and not p_open then 'RegistrationClosed'
        when r.id is null and r.user_id is not null then 'UserAlreadyExists'
        when r.id is null then 'RegistrationNotInProgress'
        when v_until <= now() then 'RegistrationExpired'
    end;
    if r.code is null then
        r.wait := throttle_attempt('register', r.id::text);
        if r.wait > 0 then
            r.code := 'TooManyValidationAttempts';
        end if;
    end if;
    return r;
end
$$;

comment on function find_enrolment is 'The enrolment that a visitor wants to confirm, its attempt counted.';

-- The first user becomes admin if p_local; the table lock lets no other be first meanwhile.
create function create_account(
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
        lock table app_user in share row exclusive mode;
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

comment on function create_account is
    'Makes a confirmed registration a user; no row when it is gone, unique_violation when the name is taken.';

-- Recovery. Each of these locks the user's row first, so that they come one after the other.

create function start_recovery(
    p_user bigint, p_phrase_hash text, p_visitor bytea, p_address text, p_secret text
) returns text
language plpgsql as $$
declare
    v_username text;
begin
    select u.username into v_username from app_user u where u.id = p_user for no key update;
    if not exists (select from recovery r where r.user_id = p_user and r.phrase_hash = p_phrase_hash) then
        return null;
    end if;
    insert into registration (username, user_id, visitor, address, totp_secret)
    values (v_username, p_user, p_visitor, p_address, p_secret)
    on conflict (user_id, visitor) where user_id is not null do update set
        totp_secret = excluded.totp_secret,
        created_at = excluded.created_at,
        expires_at = excluded.expires_at;
    delete from throttle t where t.scope = 'recovery' and t.subject = throttle_subject(p_user, p_visitor);
    return v_username;
end
$$;

comment on function start_recovery is
    'Enrols a new authenticator if the phrase just proved is still in force; null if not.';

create function finish_recovery(
    p_registration bigint, p_secret text, p_step bigint, p_replaces uuid, p_seen bytea, p_known bytea
) returns setof signed_in
language plpgsql as $$
declare
    v_user bigint;
begin
    select u.id into v_user
    from registration g
    join app_user u on u.id = g.user_id
    where g.id = p_registration
    for no key update of u;
    delete from registration g
    where g.id = p_registration and g.totp_secret = p_secret and g.expires_at > now();
    if not found then
        return;
    end if;
    update app_user u set totp_secret = p_secret, totp_last_step = p_step where u.id = v_user;
    delete from registration g where g.user_id = v_user;
    delete from recovery r where r.user_id = v_user;
    delete from session s where s.user_id = v_user;
    delete from known_visitor k where k.user_id = v_user;
    delete from throttle t where t.scope = 'register' and t.subject = p_registration::text;
    return query select * from open_session(v_user, p_replaces, p_seen, p_known);
end
$$;

comment on function finish_recovery is
    'Replaces the old authenticator: phrase, sessions, known visitors and other recoveries go; no row when it is gone.';

create function save_phrase(p_user bigint, p_offered_hash text) returns boolean
language plpgsql as $$
begin
    perform from app_user u where u.id = p_user for no key update;
    update recovery r
    set phrase_hash = r.offered_hash, offered_hash = null, offered_until = null
    where r.user_id = p_user and r.offered_hash = p_offered_hash and r.offered_until > now();
    if not found then
        return false;
    end if;
    delete from registration g where g.user_id = p_user;
    delete from throttle t where t.scope = 'phrase' and t.subject = p_user::text;
    return true;
end
$$;

comment on function save_phrase is
    'Puts the offered phrase, proved to have been kept, in force; recoveries begun with the old one are void.';
