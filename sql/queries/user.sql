-- Users, sessions, registrations and recoveries. Visitors and owners are the SHA-256 of the ids in a visitor cookie.
-- as_client comes before what makes events: it says which client they are of.

-- name: live_identities
-- The users of these sessions ($1), without sessions that have ended or were out of use for $2 hours (0: no matter).
select
    u.id as user_id,
    u.username,
    u.role::text as role,
    s.id as session_id,
    extract(epoch from s.expires_at)::double precision as expires_at,
    s.key_hash
from session s
join app_user u on u.id = s.user_id
where s.id = any($1::uuid[]) and session_is_live(s, $2);

-- name: end_session
-- Ends a session; the client has address $2 and visitor $3.
delete from session using as_client(0, $2, $3, 'logout') where id = $1;

-- name: begin_login
-- The secret for a code of this username, the attempt counted; wait is 0 for an admitted attempt, null in a lockout.
select u.id as user_id, u.totp_secret as secret, a.wait, a.is_known, u.disabled_at is not null as is_disabled
from app_user u
cross join lateral as_client(u.id, $4, $2, null) c (user_id)
cross join lateral admit_code(c.user_id, $2, $3) a
cross join lateral record_refusal(u.id, u.username, a.wait)
where lower(u.username collate "C") = lower($1 collate "C") and not u.is_service;

-- name: log_in
-- Opens a session for the user, unless the step of the code was used before.
select o.user_id, o.username, o.role::text as role, o.session_id, o.expires_at
from as_client($1, $9, $6, 'login') c (user_id)
cross join lateral log_in(c.user_id, $2, $3, $5, $6, $7) o
cross join lateral remember_client(o.user_id, $7, $8, $4);

-- name: count_lookup
-- Counts a question about this username; 0, or the seconds to wait.
select count_lookup($1, $2, $3, $4);

-- name: start_registration
-- The user of this name, or the secret of its registration by this visitor and owner, or the code of the error.
select
    case when u.is_service then 'UserAlreadyExists' else r.code end as code,
    r.wait,
    r.id,
    r.user_id,
    r.username,
    r.secret
from begin_registration($1, $2, $3, $4, $5, $6, $7) r
left join app_user u on u.id = r.user_id;

-- name: drop_registration
-- Deletes this owner's registration of this name.
delete from registration
where lower(username collate "C") = lower($1 collate "C") and coalesce(owner, visitor) = $2;

-- name: drop_enrolments
-- Deletes all that this owner enrols.
delete from registration where owner = $1;

-- name: find_enrolment
-- This owner's registration or recovery, the attempt counted, or the code of the error.
select code, wait, id, user_id, username, secret
from find_enrolment($1, $2, $3);

-- name: create_account
-- Adds the user of a confirmed registration and opens a session; no row if the registration is gone.
select o.user_id, o.username, o.role::text as role, o.session_id, o.expires_at
from as_client($1, $10, $7, 'registration') c (registration_id)
cross join lateral create_account(c.registration_id, $2, $3, $4::text::user_role, $5, $6, $7, $8) o
cross join lateral remember_client(o.user_id, $8, $9, false);

-- name: begin_recovery
-- The hash for a phrase of this username, the attempt counted; wait is 0 for an admitted attempt.
select u.id as user_id, case when u.disabled_at is null then r.phrase_hash end as phrase_hash, a.wait
from app_user u
cross join lateral (
    select case when is_known_device(u.id, $2) then 0 else throttle_window('recovery', $3, 30) end
) as w (wait)
cross join lateral (
    select
        case
            when w.wait > 0 then w.wait
            else throttle_attempt('recovery', guess_subject(u.id, $2, $3))
        end
) as a (wait)
cross join lateral record_refusal(as_client(u.id, $4, $2, null), u.username, a.wait)
left join recovery r on r.user_id = u.id
where lower(u.username collate "C") = lower($1 collate "C") and not u.is_service;

-- name: start_recovery
-- Begins the enrolment of a new authenticator; the username, null if the phrase is no longer in force.
with begun as (
    select begin_recovery($1, $2, $3, $4, $5, $6) as username
), forgiven as (
    delete from throttle t
    using begun
    where begun.username is not null and t.scope = 'recovery' and t.subject = $1::bigint || ':' || $5
)
select username from begun;

-- name: finish_recovery
-- Replaces the authenticator and opens a session; no row if the recovery is gone.
select o.user_id, o.username, o.role::text as role, o.session_id, o.expires_at
from as_client($1, $8, $5, 'recovery') c (registration_id)
cross join lateral finish_recovery(c.registration_id, $2, $3, $4, $5, $6) o
cross join lateral remember_client(o.user_id, $6, $7, false);

-- name: begin_code
-- The secret for a code of this live session's user, the attempt counted; no row if the session has ended.
select u.id as user_id, u.totp_secret as secret, a.wait, a.is_known
from session s
join app_user u on u.id = s.user_id
cross join lateral as_client(u.id, $4, $2, null) c (user_id)
cross join lateral admit_code(c.user_id, $2, $3) a
cross join lateral record_refusal(u.id, u.username, a.wait)
where s.id = $1 and s.expires_at > now();

-- name: offer_phrase
-- Stores a new phrase until it is repeated, unless the step of the code was used before.
with used as (
    update app_user
    set totp_last_step = $3
    where id = $1 and totp_secret = $2 and totp_last_step < $3
    returning id
)
insert into recovery (user_id, offered_hash, offered_until)
select u.id, $4, now() + interval '15 minutes'
from used u
cross join lateral forgive_codes(u.id, $5, $6, $7)
on conflict (user_id) do update set
    offered_hash = excluded.offered_hash,
    offered_until = excluded.offered_until
returning user_id;

-- name: begin_save
-- The phrase offered to this live session's user, the attempt counted; no row if the session has ended.
select s.user_id, r.offered_hash as phrase_hash, a.wait
from session s
cross join lateral throttle_attempt('phrase', s.user_id::text) as a (wait)
left join recovery r on r.user_id = s.user_id and r.offered_until > now()
where s.id = $1 and s.expires_at > now();

-- name: save_phrase
-- Puts the offered phrase in force; false if it is no longer on offer.
select save_phrase($1, $2);

-- name: add_user
-- Adds a user with an authenticator and a recovery phrase; no row if the name is taken.
with added as (
    insert into app_user (username, role, totp_secret)
    select $1, $2::text::user_role, $3 from as_client(0, null, null, 'command')
    on conflict do nothing
    returning id
)
insert into recovery (user_id, phrase_hash)
select id, $4 from added
returning user_id;

-- name: user_state
-- When the user of this name was disabled and deleted; no row if there is no such user.
select disabled_at, deleted_at
from app_user
where lower(username collate "C") = lower($1 collate "C") and not is_service;

-- name: add_sessions
-- Opens $2 sessions of a user; no row if there is no such user, or the user is disabled.
insert into session (user_id)
select u.id
from app_user u
cross join generate_series(1, $2)
where lower(u.username collate "C") = lower($1 collate "C") and not u.is_service
returning id, user_id, expires_at;

-- name: secrets_by_key
-- How many authenticators' secrets are encrypted with which key; plain ones and expired registrations do not count.
select split_part(s.secret, ':', 1) as key_id, count(*) as secrets
from (
    select totp_secret from app_user
    union all
    select totp_secret from registration where expires_at > now()
) as s (secret)
where s.secret like '%:%'
group by 1;

-- name: users_to_encrypt
-- At most $3 users after $1 whose secrets are encrypted with none of the keys $2.
select id, username, totp_secret as secret
from app_user
where id > $1 and split_part(totp_secret, ':', 1) <> all($2::text[])
order by id
limit $3;

-- name: encrypt_users
-- Replaces the secrets ($2) of users ($1) by $3 unless they have changed or are locked; the number replaced.
with free as (
    select id from app_user where id = any($1::bigint[]) for no key update skip locked
), encrypted as (
    update app_user u
    set totp_secret = n.encrypted
    from unnest($1::bigint[], $2::text[], $3::text[]) as n (id, before, encrypted)
    join free using (id)
    where u.id = n.id and u.totp_secret = n.before
    returning 1
)
select count(*) from encrypted;

-- name: registrations_to_encrypt
-- At most $3 registrations after $1 that can still be confirmed, with secrets encrypted with none of the keys $2.
select id, username, totp_secret as secret
from registration
where id > $1 and split_part(totp_secret, ':', 1) <> all($2::text[]) and expires_at > now()
order by id
limit $3;

-- name: encrypt_registrations
-- Replaces the secrets ($2) of registrations ($1) by $3 unless they have changed or are locked; the number replaced.
with free as (
    select id from registration where id = any($1::bigint[]) for no key update skip locked
), encrypted as (
    update registration g
    set totp_secret = n.encrypted
    from unnest($1::bigint[], $2::text[], $3::text[]) as n (id, before, encrypted)
    join free using (id)
    where g.id = n.id and g.totp_secret = n.before
    returning 1
)
select count(*) from encrypted;

-- name: record_failure
-- Records that an attempt to sign in as this username failed, for the reason $2; the client has $3 and $4.
select record_failure(as_client(u.id, $3, $4, null), coalesce(u.username, $1), $2)
from (select) one
left join app_user u on lower(u.username collate "C") = lower($1 collate "C");

-- name: take_auth_events
-- The next events to log, at most $1; no other server is given them.
select at, event, reason, user_id, username, address, device, detail, times, db_role from take_auth_events($1);

-- name: keep_auth_events
-- Removes at most $2 events older than $1 days; the number removed.
select keep_auth_events($1, $2);

-- name: prune
-- Removes at most $1 expired rows of each table; the number removed.
with sessions as (
    delete from session
    where id in (select id from session where expires_at <= now() limit $1 for update skip locked)
    returning 1
), registrations as (
    delete from registration
    where id in (
        select id from registration where expires_at <= now() - interval '1 hour' limit $1 for update skip locked
    )
    returning 1
), visitors as (
    delete from known_visitor
    where ctid in (select ctid from known_visitor where expires_at <= now() limit $1 for update skip locked)
    returning 1
), networks as (
    delete from known_network
    where ctid in (select ctid from known_network where expires_at <= now() limit $1 for update skip locked)
    returning 1
), throttles as (
    delete from throttle
    where ctid in (select ctid from throttle where expires_at <= now() limit $1 for update skip locked)
    returning 1
)
select (select count(*) from sessions) + (select count(*) from registrations)
    + (select count(*) from visitors) + (select count(*) from networks) + (select count(*) from throttles);

-- name: prune_idle
-- Removes at most $1 sessions out of use for $2 hours (0: none) and the 5 minutes that last_seen_at may lag; the number.
with idle as (
    delete from session
    using as_client(0, null, null, 'idle')
    where id in (
        select id
        from session
        where $2 > 0 and key_hash is null
            and last_seen_at <= now() - make_interval(hours => $2) - interval '5 minutes'
        limit $1
        for update skip locked
    )
    returning 1
)
select count(*) from idle;

-- name: live_sessions
-- Those of these sessions ($1) that have not ended.
select id from session where id = any($1::uuid[]) and expires_at > now();

-- name: notify
-- Notifies every server; the payload ($1) is tagged.
select pg_notify('seatsync', $1);

-- name: mark_seen
-- Sessions ($1) are in use from addresses ($2), null for a socket that is open, by agents ($3); idle hours: $4.
-- At once from another address or by another agent than before: that may be somebody else.
update session s
set last_seen_at = now(),
    address = coalesce(n.address, s.address),
    user_agent = case when n.address is null then s.user_agent else n.user_agent end
from (
    select f.id, seen.address, seen.user_agent
    from (
        select id, left(address, 64), left(user_agent, 256)
        from unnest($1::uuid[], $2::text[], $3::text[]) noted (id, address, user_agent)
    ) seen (id, address, user_agent)
    join session f on f.id = seen.id
    where (seen.address is null or session_is_live(f, $4))
        and (
            f.last_seen_at is null
            or f.last_seen_at < now() - interval '4 minutes'
            or (seen.address is not null and (seen.address, seen.user_agent) is distinct from (f.address, f.user_agent))
        )
    order by f.id
    for no key update of f skip locked
) n
where s.id = n.id;

-- name: secret_of
-- The secret of the user of this name, as it is stored; no row if there is no such user with one.
select totp_secret as secret
from app_user
where lower(username collate "C") = lower($1 collate "C") and totp_secret is not null;

-- name: sessions_of
-- The live sessions of a user ($1; idle hours: $2), the newest thousand, the newest first.
select
    id::text as id,
    wire_time(created_at) as created_at,
    wire_time(last_seen_at) as last_seen_at,
    case when isfinite(expires_at) then wire_time(expires_at) end as expires_at,
    address,
    user_agent
from session s
where user_id = $1 and session_is_live(s, $2)
order by s.created_at desc, s.id
limit 1000;

-- name: end_sessions
-- Ends the live sessions of a user ($1; idle hours: $2), all or those of $3, but for one ($4) unless null; the number.
-- The client that ends them has address $5 and visitor $6.
with ended as (
    delete from session s
    using as_client(0, $5, $6, 'ended')
    where s.user_id = $1 and session_is_live(s, $2)
        and ($3::uuid[] is null or s.id = any($3::uuid[]))
        and s.id is distinct from $4::uuid
    returning 1
)
select count(*) from ended;

-- name: add_service
-- Adds a service of this name, or locks the one there is; no row if the name is a person's.
insert into app_user as u (username, role, is_service)
select $1, $2::text::user_role, true from as_client(0, null, null, 'command')
on conflict (lower(username collate "C")) do update set is_service = u.is_service where u.is_service
returning u.id;

-- name: set_service_role
-- Gives a service that has no live key a role; no row if it has one.
update app_user u
set role = $2::text::user_role
where u.id = $1
    and not exists (select from session s where s.user_id = u.id and s.expires_at > now())
returning u.id;

-- name: add_key
-- Adds a service's ($1) key: the id of its session ($2), its hash ($3), for $4 days or for good; no row if disabled.
insert into session (id, user_id, key_hash, last_seen_at, expires_at)
values ($2, $1, $3, null, coalesce(now() + make_interval(days => $4), 'infinity'))
returning id;

-- name: keys
-- The live keys by name; not what they are.
select
    u.username,
    u.role::text as role,
    wire_time(s.created_at) as created_at,
    case when isfinite(s.expires_at) then wire_time(s.expires_at) end as expires_at,
    wire_time(s.last_seen_at) as last_seen_at,
    s.address,
    s.user_agent
from session s
join app_user u on u.id = s.user_id
where s.key_hash is not null and s.expires_at > now()
order by lower(u.username);

-- name: revoke_key
-- Revokes a service's key; its name, no row if it has none.
delete from session s
using app_user u, as_client(0, null, null, 'command')
where u.id = s.user_id and lower(u.username collate "C") = lower($1 collate "C")
    and s.key_hash is not null and s.expires_at > now()
returning u.username;
