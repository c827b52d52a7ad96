-- Sessions keep when, from where and with what they were used last, and end when they are not; and service keys: the
-- sessions of programs, which have a key instead of a person's sign-in.
--
-- Tables are locked in the order of 0008_sign_in.sql, for milliseconds: no row is rewritten.

alter table app_user
    add column is_service boolean not null default false,
    -- A server of the version before fails only where somebody would sign in as a service.
    -- squawk-ignore ban-drop-not-null
    alter column totp_secret drop not null,
    add constraint app_user_service_without_secret check (is_service = (totp_secret is null)) not valid;

alter table session
    add column last_seen_at timestamptz default now(),
    add column address text constraint session_address_short check (length(address) <= 64),
    add column user_agent text constraint session_user_agent_short check (length(user_agent) <= 256),
    add column key_hash bytea constraint session_key_sha256 check (octet_length(key_hash) = 32);

-- A table of users is checked in milliseconds.
-- squawk-ignore constraint-missing-not-valid
alter table app_user validate constraint app_user_service_without_secret;

-- The table has the sessions of five days.
-- squawk-ignore require-concurrent-index-creation
create index session_last_seen_at_idx on session (last_seen_at);

comment on table app_user is
    'People who may sign in, and services, which cannot. Changing a role ends the sessions of that user.';
comment on column app_user.is_service is
    'A program with a service key: without a secret nobody can sign in as it. It outlives its key, for the history has '
    'its name.';
comment on table session is
    'What a token or a service key stands for. Deleting a row logs that session out at once, on every node.';
comment on column session.id is
    'Stands in the session''s token; of a service key the first 16 bytes of its hash.';
comment on column session.expires_at is
    'From then on its token is refused; infinity for a service key without an end. The row is removed some time later.';
comment on column session.last_seen_at is
    'When it was used last, to five minutes; an open socket is a use. Null: a service key that has never been used.';
comment on column session.address is 'The IP address that it was used from last, as far as known.';
comment on column session.user_agent is 'What its client called itself then (User-Agent), cut to 256 characters.';
comment on column session.key_hash is 'SHA-256 of a service key; null: a session that a token names.';

create function session_is_live(s session, p_idle_hours integer) returns boolean
stable parallel safe language sql as $$
    select s.expires_at > now() and (
        s.key_hash is not null
        or p_idle_hours = 0
        or s.last_seen_at > now() - make_interval(hours => p_idle_hours)
    )
$$;

comment on function session_is_live is
    'It has neither expired nor been out of use for so many hours (0: no matter how many); a service key may be.';

grant execute on function session_is_live to public;
