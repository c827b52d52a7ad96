-- Strangers lock nobody out: guesses at a user's code or phrase are counted by who makes them, a known device or a
-- network, and those of all unknown clients together end at a hundred in a row.
--
-- Rows are locked in this order: known_visitor, known_network, lockout, throttle; those of 0008_sign_in.sql come before.

create table known_network (
    user_id bigint not null references app_user on delete cascade,
    network bytea not null,
    failures bigint not null default 0,
    expires_at timestamptz not null default now() + interval '90 days',
    primary key (user_id, network),
    constraint known_network_sha256 check (octet_length(network) = 32)
);

create index known_network_expires_at_idx on known_network (expires_at);

comment on table known_network is
    'The twenty networks from which a user has signed in last: their wrong codes do not count as those of strangers.';
comment on column known_network.user_id is 'The user who has signed in from there.';
comment on column known_network.network is 'SHA-256 of the address as text; of IPv6 of the /64 network.';
comment on column known_network.failures is 'Codes in a row that were not right; at a hundred the network is unknown.';
comment on column known_network.expires_at is 'From then on the network is unknown; each sign-in sets it anew.';

alter table known_visitor add column failures bigint not null default 0;

comment on table known_visitor is
    'Devices, by their visitor cookie, that have signed in as a user, the last hundred: their wrong codes count apart.';
comment on column known_visitor.failures is 'Codes in a row that were not right; at a hundred the device is unknown.';

create table lockout (
    user_id bigint primary key references app_user on delete cascade,
    failures bigint not null default 0
);

comment on table lockout is
    'Wrong codes of unknown clients. At a hundred in a row none of them is let through (NIST SP 800-63B, 5.2.2), until '
    'the user recovers with the phrase or an administrator deletes the row.';
comment on column lockout.user_id is 'The user whose code is guessed at.';
comment on column lockout.failures is 'Codes in a row, of all unknown clients together, that were not right.';

comment on column throttle.scope is
    'What is counted: `code`, `register`, `recovery` and `phrase` are attempts at a secret in a row, which wait longer '
    'each time; `lookup`, `auth_start`, and `recovery` of an address, are the attempts of a minute.';
comment on column throttle.subject is
    'Whose attempts: a user''s id with the hash of a known device''s visitor or with a network; the id of a '
    'registration; a network (an IPv4 address or the /64 of an IPv6 address); or a visitor''s hash.';

comment on function throttle_subject is
    'For open_session and start_recovery: the counter of a known device''s attempts at a user''s secrets.';

-- Who guesses

create function may_guess(p_failures bigint) returns boolean
immutable language sql as $$
    select p_failures < 100
$$;

comment on function may_guess is 'After so many failures in a row another attempt is let through.';

create function is_known_device(p_user bigint, p_visitor bytea) returns boolean
stable language sql as $$
    select exists (
        select from known_visitor k
        where k.user_id = p_user and k.visitor = p_visitor and k.expires_at > now() and may_guess(k.failures)
    )
$$;

comment on function is_known_device is 'The visitor has signed in as that user.';

create function guess_subject(p_user bigint, p_visitor bytea, p_network text) returns text
stable language sql as $$
    select p_user || ':'
        || case when is_known_device(p_user, p_visitor) then encode(p_visitor, 'hex') else p_network end
$$;

comment on function guess_subject is
    'Whose guesses at a user''s secrets are counted together: a known device''s own, or a network''s.';

-- Letting guesses through

create function count_lookup(p_username text, p_visitor bytea, p_network text, p_limit integer) returns integer
language plpgsql as $$
begin
    if exists (
        select from app_user u
        where lower(u.username collate "C") = lower(p_username collate "C") and is_known_device(u.id, p_visitor)
    ) then
        return 0;
    end if;
    return throttle_window('lookup', p_network, p_limit);
end
$$;

comment on function count_lookup is
    'Counts a question about a name, so many a minute from a network, and returns the seconds to wait; a device is '
    'free to ask for the user whom it has signed in as.';

create type admission as (
    wait integer,
    is_known boolean
);

comment on type admission is
    'Whether a code may be looked at: after that many seconds, 0 for now and null for not at all; and whether it comes '
    'from a known device or network.';

-- The row with the failures is locked first, so that parallel guesses wait their turn.
create function admit_code(p_user bigint, p_visitor bytea, p_network text) returns admission
language plpgsql as $$
declare
    v_network bytea := sha256(convert_to(p_network, 'UTF8'));
    v_may_guess boolean;
    r admission;
begin
    r.is_known := true;
    perform from known_visitor k
    where k.user_id = p_user and k.visitor = p_visitor and k.expires_at > now() and may_guess(k.failures)
    for update;
    if found then
        r.wait := throttle_attempt('code', p_user || ':' || encode(p_visitor, 'hex'));
        if r.wait = 0 then
            update known_visitor k set failures = k.failures + 1 where k.user_id = p_user and k.visitor = p_visitor;
        end if;
        return r;
    end if;

    perform from known_network k
    where k.user_id = p_user and k.network = v_network and k.expires_at > now() and may_guess(k.failures)
    for update;
    if found then
        r.wait := throttle_attempt('code', p_user || ':' || p_network);
        if r.wait = 0 then
            update known_network k set failures = k.failures + 1 where k.user_id = p_user and k.network = v_network;
        end if;
        return r;
    end if;

    r.is_known := false;
    if exists (select from lockout l where l.user_id = p_user and not may_guess(l.failures)) then
        return r;
    end if;
    insert into lockout as l (user_id) values (p_user)
    on conflict (user_id) do update set failures = l.failures
    returning may_guess(l.failures) into v_may_guess;
    if v_may_guess then
        r.wait := throttle_attempt('code', p_user || ':' || p_network);
        if r.wait = 0 then
            update lockout l set failures = l.failures + 1 where l.user_id = p_user;
        end if;
    end if;
    return r;
end
$$;

comment on function admit_code is 'Counts a code for a user as wrong before it is looked at; forgive_codes takes that back.';

-- After a right code

create function forgive_codes(p_user bigint, p_visitor bytea, p_network text, p_known boolean) returns void
language plpgsql as $$
begin
    update known_visitor k set failures = 0
    where k.user_id = p_user and k.visitor = p_visitor and k.failures > 0;
    update known_network k set failures = 0
    where k.user_id = p_user and k.network = sha256(convert_to(p_network, 'UTF8')) and k.failures > 0;
    if not p_known then
        delete from lockout l where l.user_id = p_user;
    end if;
    delete from throttle t
    where t.scope = 'code' and t.subject in (p_user || ':' || encode(p_visitor, 'hex'), p_user || ':' || p_network);
end
$$;

comment on function forgive_codes is
    'A right code: the wrong ones before it of that device and network are forgiven, and if it came from neither a '
    'known device nor a known network, those of all unknown clients.';

create function remember_client(p_user bigint, p_visitor bytea, p_network text, p_known boolean) returns void
language plpgsql as $$
begin
    insert into known_network as k (user_id, network) values (p_user, sha256(convert_to(p_network, 'UTF8')))
    on conflict (user_id, network) do update set failures = 0, expires_at = excluded.expires_at;
    perform forgive_codes(p_user, p_visitor, p_network, p_known);
    delete from known_visitor k
    where k.user_id = p_user and k.visitor in (
        select o.visitor from known_visitor o where o.user_id = p_user order by o.expires_at desc offset 100
    );
    delete from known_network k
    where k.user_id = p_user and k.network in (
        select o.network from known_network o where o.user_id = p_user order by o.expires_at desc offset 20
    );
end
$$;

comment on function remember_client is
    'A sign-in, after open_session: forgives wrong codes, remembers the network, and forgets the oldest of many.';

create or replace function finish_recovery(
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
    delete from known_network k where k.user_id = v_user;
    delete from throttle t where t.scope = 'register' and t.subject = p_registration::text;
    return query select * from open_session(v_user, p_replaces, p_seen, p_known);
end
$$;

comment on function finish_recovery is
    'Replaces the old authenticator: phrase, sessions, known devices and networks and other recoveries go; no row when '
    'it is gone.';

-- Registrations are counted under two locks, the network's and then the visitor's, which is the throttle row.
create or replace function start_registration(
    p_username text, p_visitor bytea, p_address text, p_secret text, p_open boolean
) returns enrolment
language plpgsql as $$
declare
    r enrolment;
    v registration;
begin
    perform pg_advisory_xact_lock(hashtext('seatsync registration'), hashtext(p_address));
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

comment on function start_registration is
    'Finds or begins the registration of a name: five at a time by a visitor, fifty from a network.';
