-- What happens to accounts leaves a trace: failures, lockouts, new and deleted users, roles, authenticators, sessions;
-- whoever changes them and however, in a table that only grows.
--
-- Failures are counted in throttle rows of the scope `auth_event`, which are locked after all others. A server says whom
-- it acts for by settings of its transaction (as_client).

create table auth_event (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    event text not null,
    reason text not null,
    user_id bigint,
    username text,
    address text,
    device text,
    detail text,
    times bigint not null default 1,
    db_role text not null default session_user,
    constraint auth_event_name check (event ~ '^auth\.[a-z_]+$'),
    constraint auth_event_reason check (reason ~ '^[a-z_]{1,32}$')
);

create index auth_event_at_idx on auth_event (at);

comment on table auth_event is
    'What has happened to accounts, whoever changed them. Rows are only added; keep_auth_events removes the old ones.';
comment on column auth_event.id is 'Its number.';
comment on column auth_event.at is 'When it happened, by the clock of the database.';
comment on column auth_event.event is 'What happened, as in the log: auth.login_failed, auth.locked, …';
comment on column auth_event.reason is 'Why, or by what; sql for a statement that is not the server''s.';
comment on column auth_event.user_id is 'The user, who may be gone; null for a name that nobody has.';
comment on column auth_event.username is 'The user''s name then, or the name that nobody has.';
comment on column auth_event.address is 'The client''s address, as the server gave it; null for SQL.';
comment on column auth_event.device is
    'The first 16 digits of the hash in known_visitor, of the client''s visitor id; nobody can pose as it with these.';
comment on column auth_event.detail is 'The role of a new user, the two roles of a change; that a session is that of a service key.';
comment on column auth_event.times is 'How many failures the row stands for.';
comment on column auth_event.db_role is 'The database role that was logged in; it cannot choose another name.';

create table auth_event_pending (
    event_id bigint primary key references auth_event on delete cascade
);

comment on table auth_event_pending is 'The events that no server has logged yet.';
comment on column auth_event_pending.event_id is 'The event.';

-- Nothing is changed, and nothing removed but by keep_auth_events.

create function auth_event_refuse() returns trigger
language plpgsql set search_path = public, pg_temp as $$
declare
    v_days integer := nullif(current_setting('seatsync.auth_event_days', true), '');
begin
    if tg_op = 'DELETE' and v_days >= 1 then
        if old.at < clock_timestamp() - make_interval(days => v_days) then
            return old;
        end if;
    end if;
    raise exception 'auth_event is append-only; keep_auth_events removes old rows'
        using errcode = 'insufficient_privilege';
end
$$;

comment on function auth_event_refuse is 'For triggers of auth_event: lets keep_auth_events remove old rows, and nothing else.';

create function auth_event_append() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'auth_event');
    insert into auth_event_pending (event_id) select a.id from added a;
    return null;
end
$$;

comment on function auth_event_append is 'For a trigger of auth_event: new events are to be logged by a server.';

create trigger auth_event_kept before update or delete on auth_event
    for each row execute function auth_event_refuse();

create trigger auth_event_not_truncated before truncate on auth_event
    for each statement execute function auth_event_refuse();

create trigger auth_event_added after insert on auth_event
    referencing new table as added
    for each statement execute function auth_event_append();

comment on trigger auth_event_kept on auth_event is 'Rows are neither changed nor removed.';
comment on trigger auth_event_not_truncated on auth_event is 'Rows are not removed all together either.';
comment on trigger auth_event_added on auth_event is 'Has a server log what is added.';

create function keep_auth_events(days integer, most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    removed integer;
begin
    if days < 1 then
        raise exception 'the events of a day are kept at least' using errcode = 'invalid_parameter_value';
    end if;
    perform set_config('seatsync.auth_event_days', days::text, true);
    delete from auth_event e
    where e.id = any(array(
        select o.id
        from auth_event o
        where o.at < clock_timestamp() - make_interval(days => days)
        order by o.at
        limit most
        for update skip locked
    ));
    get diagnostics removed = row_count;
    perform set_config('seatsync.auth_event_days', '', true);
    return removed;
end
$$;

comment on function keep_auth_events is
    'Removes at most so many events that are older than so many days, one at least; returns how many.';

create function take_auth_events(most integer) returns setof auth_event
language sql security definer set search_path = public, pg_temp as $$
    with taken as (
        delete from auth_event_pending p
        where p.event_id = any(array(
            select o.event_id from auth_event_pending o order by o.event_id limit most for update skip locked
        ))
        returning p.event_id
    )
    select e.* from taken t join auth_event e on e.id = t.event_id order by e.id
$$;

comment on function take_auth_events is
    'The next events to log, at most so many; each is given to one server, and to none again.';

-- Whom a transaction acts for

create function as_client(p_id bigint, p_address text, p_visitor bytea, p_reason text) returns bigint
language plpgsql as $$
begin
    perform set_config('seatsync.auth_address', coalesce(p_address, ''), true);
    perform set_config('seatsync.auth_device', coalesce(left(encode(p_visitor, 'hex'), 16), ''), true);
    perform set_config('seatsync.auth_reason', coalesce(p_reason, ''), true);
    return p_id;
end
$$;

comment on function as_client is
    'Events of the rest of the transaction are of that client, for that reason. Returns the id: who uses it comes later.';

create function auth_setting(p_name text) returns text
language sql stable as $$
    select nullif(left(regexp_replace(current_setting('seatsync.auth_' || p_name, true), '[^\x20-\x7e]', '?', 'g'), 64), '')
$$;

comment on function auth_setting is 'The address or device of as_client, printable whoever set it; null without.';

create function auth_reason() returns text
language sql stable as $$
    select coalesce(substring(current_setting('seatsync.auth_reason', true) from '^[a-z_]{1,32}$'), 'sql')
$$;

comment on function auth_reason is 'The reason of as_client; sql without.';

create function record_auth_event(
    p_event text, p_user bigint, p_username text, p_reason text default auth_reason(), p_detail text default null
) returns void
language sql as $$
    insert into auth_event (event, reason, user_id, username, address, device, detail)
    values (p_event, p_reason, p_user, p_username, auth_setting('address'), auth_setting('device'), p_detail)
$$;

comment on function record_auth_event is 'For triggers and record_failure: adds an event, of the client of as_client.';

-- Failures

create function failures_a_minute() returns integer
language sql immutable as $$
    select 10
$$;

comment on function failures_a_minute is
    'So many failures of a user have a row each in a minute, and so many of all names that nobody has; the rest is counted.';

-- What is only counted is not waited for: its commit would hold the row of the count until the disk has it, and with it
-- all who fail meanwhile.
create function record_failure(p_user bigint, p_username text, p_reason text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if p_reason is null then
        return;
    elsif throttle_window('auth_event', coalesce(p_user::text, 'unknown'), failures_a_minute()) = 0 then
        perform record_auth_event('auth.login_failed', p_user, p_username, p_reason);
    else
        perform set_config('synchronous_commit', 'off', true);
    end if;
end
$$;

comment on function record_failure is
    'Records that an attempt to sign in as a user failed, or as a name that nobody has; nothing without a reason.';

create function record_refusal(p_user bigint, p_username text, p_wait integer) returns void
language sql as $$
    select record_failure(
        p_user, p_username, case when p_wait is null then 'locked_out' when p_wait > 0 then 'waiting' end
    )
$$;

comment on function record_refusal is
    'Records that an attempt at a secret of a user is not looked at: for so many seconds, or, with null, until a lockout ends.';

create function throttle_record_flood() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_user bigint;
begin
    perform assert_table(tg_relid, 'throttle');
    v_user := substring(old.subject from '^[0-9]{1,18}$')::bigint;
    insert into auth_event (event, reason, user_id, username, times)
    select
        'auth.login_failed', 'flood', v_user, (select u.username from app_user u where u.id = v_user),
        old.attempts - failures_a_minute()
    where old.attempts > failures_a_minute();
    return null;
end
$$;

comment on function throttle_record_flood is
    'For a trigger of throttle: once the minute is over, the failures without a row of their own are recorded in one.';

create trigger throttle_flood_over after delete on throttle
    for each row when (old.scope = 'auth_event')
    execute function throttle_record_flood();

comment on trigger throttle_flood_over on throttle is 'Records the failures of a minute that have no row of their own.';

comment on column throttle.scope is
    'What is counted: `code`, `register`, `recovery` and `phrase` are attempts at a secret in a row, which wait longer '
    'each time; `lookup`, `auth_start`, and `recovery` of an address, are the attempts of a minute; `auth_event` the '
    'failures of a minute, of which the first have rows in auth_event.';

-- Lockouts

create function record_lockout() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, coalesce(
        (select t from unnest('{known_visitor,known_network}'::regclass[]) t where t = tg_relid), 'lockout'
    ));
    if may_guess(coalesce(old.failures, 0)) and not may_guess(new.failures) then
        perform record_auth_event(
            'auth.locked', new.user_id, (select u.username from app_user u where u.id = new.user_id),
            case tg_relid
                when 'known_visitor'::regclass then 'device'
                when 'known_network'::regclass then 'network'
                else 'unknown_clients'
            end
        );
    end if;
    return null;
end
$$;

comment on function record_lockout is 'For triggers where wrong codes are counted: records the one after which none is looked at.';

create trigger lockout_counted after insert or update on lockout
    for each row execute function record_lockout();

create trigger known_visitor_counted after insert or update of failures on known_visitor
    for each row execute function record_lockout();

create trigger known_network_counted after insert or update of failures on known_network
    for each row execute function record_lockout();

comment on trigger lockout_counted on lockout is 'Records that unknown clients are locked out.';
comment on trigger known_visitor_counted on known_visitor is 'Records that a device is unknown from now on.';
comment on trigger known_network_counted on known_network is 'Records that a network is unknown from now on.';

-- Users

create function app_user_record() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'app_user');
    if tg_op = 'INSERT' then
        perform record_auth_event('auth.registered', new.id, new.username, p_detail => new.role::text);
    else
        perform record_auth_event('auth.recovered', new.id, new.username);
    end if;
    return null;
end
$$;

comment on function app_user_record is 'For triggers of app_user: records a new user or a new authenticator.';

create trigger app_user_registered after insert on app_user
    for each row execute function app_user_record();

comment on trigger app_user_registered on app_user is 'Records a new user.';

-- Encrypting a secret anew takes another key, or none before, and leaves the step alone.
create trigger app_user_recovered after update of totp_secret on app_user
    for each row when (
        new.totp_secret <> old.totp_secret and (
            new.totp_last_step <> old.totp_last_step
            or strpos(new.totp_secret, ':') = 0
            or split_part(new.totp_secret, ':', 1) = split_part(old.totp_secret, ':', 1)
        )
    )
    execute function app_user_record();

comment on trigger app_user_recovered on app_user is 'Records a new authenticator of a user.';

create or replace function app_user_end_sessions() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_reason text := auth_reason();
begin
    perform assert_table(tg_relid, 'app_user');
    perform record_auth_event('auth.role_changed', new.id, new.username, p_detail => old.role || ' to ' || new.role);
    perform set_config('seatsync.auth_reason', 'role', true);
    delete from session where user_id = new.id;
    perform set_config('seatsync.auth_reason', v_reason, true);
    return null;
end
$$;

comment on function app_user_end_sessions is 'For a trigger of app_user: a new role is recorded, and ends the sessions.';

-- Before the row goes, for events of its sessions have its name.
create function app_user_record_deleted() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_reason text := auth_reason();
begin
    perform assert_table(tg_relid, 'app_user');
    if tg_op = 'TRUNCATE' then
        perform record_auth_event('auth.deleted', u.id, u.username) from app_user u;
        return null;
    end if;
    perform record_auth_event('auth.deleted', old.id, old.username);
    perform set_config('seatsync.auth_reason', 'deletion', true);
    delete from session where user_id = old.id;
    perform set_config('seatsync.auth_reason', v_reason, true);
    return old;
end
$$;

comment on function app_user_record_deleted is 'For triggers of app_user: records that users go, and ends their sessions.';

create trigger app_user_deleted before delete on app_user
    for each row execute function app_user_record_deleted();

create trigger app_user_truncated before truncate on app_user
    for each statement execute function app_user_record_deleted();

comment on trigger app_user_deleted on app_user is 'Records that a user goes.';
comment on trigger app_user_truncated on app_user is 'Records that all users go.';

-- Sessions

create function session_record_ended() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_ended session[];
begin
    perform assert_table(tg_relid, 'session');
    if tg_op = 'DELETE' then
        v_ended := array(select b::session from before b);
    elsif tg_op = 'TRUNCATE' then
        v_ended := array(select s from session s);
    else
        v_ended := array(
            select b::session
            from before b
            left join after a on a.id = b.id and a.user_id = b.user_id and a.expires_at > now()
            where b.expires_at > now() and a.id is null
        );
    end if;
    insert into auth_event (event, reason, user_id, username, address, device, detail)
    select
        'auth.session_ended',
        case when s.expires_at > now() then auth_reason() else 'expiry' end,
        s.user_id,
        u.username,
        auth_setting('address'),
        auth_setting('device'),
        case when s.key_hash is not null then 'service key' end
    from unnest(v_ended) s
    left join app_user u on u.id = s.user_id;
    return null;
end
$$;

comment on function session_record_ended is
    'For triggers of session: records the end of those that are deleted, or that an update ends.';

create trigger session_ended after delete on session
    referencing old table as before
    for each statement execute function session_record_ended();

create trigger session_cut_short after update on session
    referencing old table as before new table as after
    for each statement execute function session_record_ended();

create trigger session_all_ended before truncate on session
    for each statement execute function session_record_ended();

-- A service key has a session that was seen never until its first use.
create function session_record_first_use() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform assert_table(tg_relid, 'session');
    insert into auth_event (event, reason, user_id, username, address)
    select 'auth.key_used_first', 'key', u.id, u.username, new.address
    from app_user u
    where u.id = new.user_id;
    return null;
end
$$;

comment on function session_record_first_use is 'For a trigger of session: records the first use of a service key.';

create trigger session_key_used after update of last_seen_at on session
    for each row when (old.last_seen_at is null and new.last_seen_at is not null and new.key_hash is not null)
    execute function session_record_first_use();

comment on trigger session_key_used on session is 'Records the first use of a service key.';
comment on trigger session_ended on session is 'Records the end of sessions.';
comment on trigger session_cut_short on session is 'Records sessions that an update has ended.';
comment on trigger session_all_ended on session is 'Records the end of all sessions.';

-- What the server needs of this file; the rest as before.

-- The function that takes its name has the same arguments.
-- squawk-ignore renaming-object
alter function grant_server(regrole) rename to grant_server_before_auth_events;

comment on function grant_server_before_auth_events is 'For grant_server: the rights of the files before 0019_auth_events.sql.';

create function grant_server(server regrole) returns void
language plpgsql as $$
begin
    perform grant_server_before_auth_events(server);
    execute format(
        'grant execute on function as_client, record_failure, record_refusal, take_auth_events, keep_auth_events'
        ' to %s',
        server
    );
end
$$;

comment on function grant_server is 'Grants a role what `seatsync serve` needs, and no more; seatsync migrate calls it.';
