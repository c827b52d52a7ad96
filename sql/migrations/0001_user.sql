-- Users and their sessions, and what stands between a guest and a user: pending registrations, recovery phrases,
-- throttles. Revoking a session is deleting its row; whoever does so, and however, its sockets hear of it.

create type user_role as enum ('viewer', 'operator', 'admin');

create table app_user (
    id bigint generated always as identity primary key,
    username text not null,
    role user_role not null default 'viewer',
    totp_secret text not null,
    totp_last_step bigint not null default 0,
    created_at timestamptz not null default now(),
    constraint app_user_username_pattern check (username ~ '^[a-zA-Z0-9_-]{3,32}$'),
    constraint app_user_totp_secret_base32 check (totp_secret ~ '^[A-Z2-7]{16,128}$')
);

-- Nobody can take a name that differs from another's in case alone.
create unique index app_user_username_key on app_user (lower(username collate "C"));

comment on table app_user is 'People who may sign in. Changing a role ends the sessions of that user.';
comment on column app_user.totp_secret is 'The secret shared with the authenticator, in base32 (RFC 6238).';
comment on column app_user.totp_last_step is 'The 30 s step of the newest code used; older codes are no longer taken.';

create table session (
    id uuid primary key default gen_random_uuid(),
    user_id bigint not null references app_user on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '5 days'
);

create index session_user_id_idx on session (user_id);
create index session_expires_at_idx on session (expires_at);

comment on table session is 'What a token stands on. Deleting a row logs that session out at once, on every node.';

create table registration (
    id bigint generated always as identity primary key,
    username text not null,
    user_id bigint references app_user on delete cascade,
    visitor bytea not null,
    address text not null,
    totp_secret text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '5 minutes',
    constraint registration_username_pattern check (username ~ '^[a-zA-Z0-9_-]{3,32}$'),
    constraint registration_visitor_sha256 check (octet_length(visitor) = 32),
    constraint registration_totp_secret_base32 check (totp_secret ~ '^[A-Z2-7]{16,128}$')
);

create unique index registration_username_key on registration (lower(username collate "C")) where user_id is null;
create unique index registration_recovery_key on registration (user_id, visitor) where user_id is not null;
create index registration_visitor_idx on registration (visitor);
create index registration_address_idx on registration (address);
create index registration_expires_at_idx on registration (expires_at);

comment on table registration is 'Authenticators being enrolled: a code from one makes it count.';
comment on column registration.user_id is 'Null for a new account; else the user who recovers with a phrase.';
comment on column registration.visitor is 'SHA-256 of the id in the visitor cookie that began it and alone may end it.';
comment on column registration.address is 'The peer''s address; of IPv6 the /64 network.';

create table recovery (
    user_id bigint primary key references app_user on delete cascade,
    phrase_hash text,
    offered_hash text,
    offered_until timestamptz,
    constraint recovery_offer_ends check ((offered_hash is null) = (offered_until is null))
);

comment on table recovery is 'Recovery phrases, hashed: salt and scrypt parameters stand beside the hash.';
comment on column recovery.phrase_hash is 'The phrase in force; used up by a recovery.';
comment on column recovery.offered_hash is 'A new phrase that the user has not yet proved to have kept.';

create table known_visitor (
    user_id bigint not null references app_user on delete cascade,
    visitor bytea not null,
    expires_at timestamptz not null default now() + interval '400 days',
    primary key (user_id, visitor),
    constraint known_visitor_sha256 check (octet_length(visitor) = 32)
);

create index known_visitor_expires_at_idx on known_visitor (expires_at);

comment on table known_visitor is
    'Visitors that have signed in as a user: their wrong codes count apart, so strangers cannot lock them out.';

create table throttle (
    scope text not null,
    subject text not null,
    attempts integer not null,
    blocked_until timestamptz not null,
    expires_at timestamptz not null,
    primary key (scope, subject)
);

create index throttle_expires_at_idx on throttle (expires_at);

comment on table throttle is 'Attempts counted before they are looked at; deleting a row forgives them.';
comment on column throttle.blocked_until is 'No attempt is let through before this.';
comment on column throttle.expires_at is 'After this the row means nothing.';

-- Sessions deleted by statement, by cascade or by truncate, or ended early by an update, are announced one by one.
create function session_announce_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_notify('seatsync', 'session ' || gone.id) from gone where gone.expires_at > now();
    return null;
end
$$;

create function session_announce_updated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_notify('seatsync', 'session ' || before.id)
    from before
    left join after on after.id = before.id and after.user_id = before.user_id and after.expires_at > now()
    where before.expires_at > now() and after.id is null;
    return null;
end
$$;

create function session_announce_truncated() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_notify('seatsync', 'session ' || s.id) from session s where s.expires_at > now();
    return null;
end
$$;

create trigger session_deleted after delete on session
    referencing old table as gone
    for each statement execute function session_announce_deleted();

create trigger session_updated after update on session
    referencing old table as before new table as after
    for each statement execute function session_announce_updated();

create trigger session_truncated before truncate on session
    for each statement execute function session_announce_truncated();

-- Rights come from the handshake alone: a new role begins with a new session.
create function app_user_end_sessions() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from session where user_id = new.id;
    return null;
end
$$;

create trigger app_user_role_changed after update on app_user
    for each row when (old.role is distinct from new.role)
    execute function app_user_end_sessions();
