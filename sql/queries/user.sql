-- Users, sessions, registrations and recoveries. A visitor is the SHA-256 of the id in a visitor cookie.

-- name: live_identities
-- Who these sessions ($1) stand for, those that are still alive.
select u.id as user_id, u.username, u.role::text as role, s.id as session_id, s.expires_at
from session s
join app_user u on u.id = s.user_id
where s.id = any($1::uuid[]) and s.expires_at > now();

-- name: end_session
-- Logs a session out.
delete from session where id = $1;

-- name: begin_login
-- What a code for this username has to match, its attempt counted; wait is 0 when it may be looked at.
select u.id as user_id, u.totp_secret as secret, a.wait
from app_user u
cross join lateral throttle_attempt('code', throttle_subject(u.id, $2)) as a (wait)
where lower(u.username collate "C") = lower($1 collate "C");

-- name: log_in
-- A session for the user, unless the step of the code was used before.
select user_id, username, role::text as role, session_id, expires_at
from log_in($1, $2, $3, $4, $5, $6);

-- name: start_registration
-- The user of this name, or the secret its registration by this visitor goes on with, or why neither.
select code, wait, id, user_id, username, secret
from start_registration($1, $2, $3, $4, $5);

-- name: drop_registration
-- Forgets what this visitor has begun for this name.
delete from registration
where lower(username collate "C") = lower($1 collate "C") and visitor = $2;

-- name: find_enrolment
-- The registration or recovery this visitor wants to confirm, its attempt counted, or why there is none.
select code, wait, id, user_id, username, secret
from find_enrolment($1, $2, $3);

-- name: create_account
-- A user and a session for a confirmed registration; no row when the registration is gone.
select user_id, username, role::text as role, session_id, expires_at
from create_account($1, $2, $3, $4::text::user_role, $5, $6, $7, $8);

-- name: begin_recovery
-- What a phrase for this username has to match, its attempt counted; wait is 0 when it may be looked at.
select u.id as user_id, r.phrase_hash,
    case
        when w.wait > 0 then w.wait
        else throttle_attempt('recovery', throttle_subject(u.id, $2))
    end as wait
from app_user u
cross join throttle_window('recovery', $3, 30) as w (wait)
left join recovery r on r.user_id = u.id
where lower(u.username collate "C") = lower($1 collate "C");

-- name: start_recovery
-- Begins the enrolment of a new authenticator; the username, or null when the phrase is no longer in force.
select start_recovery($1, $2, $3, $4, $5);

-- name: finish_recovery
-- Puts the new authenticator in the old one's place and opens a session; no row when the recovery is gone.
select user_id, username, role::text as role, session_id, expires_at
from finish_recovery($1, $2, $3, $4, $5, $6);

-- name: begin_code
-- What a code from the user of this live session has to match, its attempt counted; no row when the session ended.
select u.id as user_id, u.totp_secret as secret, a.wait
from session s
join app_user u on u.id = s.user_id
cross join lateral throttle_attempt('code', throttle_subject(u.id, $2)) as a (wait)
where s.id = $1 and s.expires_at > now();

-- name: offer_phrase
-- Keeps a new phrase until it is proved to have been saved, if the step of the code was not used before.
with used as (
    update app_user
    set totp_last_step = $3
    where id = $1 and totp_secret = $2 and totp_last_step < $3
    returning id
), forgiven as (
    delete from throttle t
    using used
    where t.scope = 'code' and t.subject = throttle_subject(used.id, $5)
)
insert into recovery (user_id, offered_hash, offered_until)
select id, $4, now() + interval '15 minutes' from used
on conflict (user_id) do update set
    offered_hash = excluded.offered_hash,
    offered_until = excluded.offered_until
returning user_id;

-- name: begin_save
-- The phrase offered to the user of this live session, the attempt counted; no row when the session ended.
select s.user_id, r.offered_hash as phrase_hash, a.wait
from session s
cross join lateral throttle_attempt('phrase', s.user_id::text) as a (wait)
left join recovery r on r.user_id = s.user_id and r.offered_until > now()
where s.id = $1 and s.expires_at > now();

-- name: save_phrase
-- Puts the offered phrase in force; false when it is no longer on offer.
select save_phrase($1, $2);

-- name: add_user
-- A user with an authenticator and a recovery phrase; no row when the name is taken.
with added as (
    insert into app_user (username, role, totp_secret)
    values ($1, $2::text::user_role, $3)
    on conflict do nothing
    returning id
)
insert into recovery (user_id, phrase_hash)
select id, $4 from added
returning user_id;

-- name: set_role
-- Gives a user another role; no row when there is no such user.
update app_user
set role = $2::text::user_role
where lower(username collate "C") = lower($1 collate "C")
returning id;

-- name: add_sessions
-- So many new sessions of a user; no row when there is no such user.
insert into session (user_id)
select u.id
from app_user u
cross join generate_series(1, $2)
where lower(u.username collate "C") = lower($1 collate "C")
returning id, user_id, expires_at;

-- name: prune
-- Removes what has expired, at most $1 rows of each kind; the number of rows removed.
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
), throttles as (
    delete from throttle
    where ctid in (select ctid from throttle where expires_at <= now() limit $1 for update skip locked)
    returning 1
)
select (select count(*) from sessions) + (select count(*) from registrations)
    + (select count(*) from visitors) + (select count(*) from throttles);

-- name: live_sessions
-- Which of these sessions ($1) are still alive.
select id from session where id = any($1::uuid[]) and expires_at > now();

-- name: announce_login
-- Tells every server that the login state of a visitor ($1) has changed to ($2).
select pg_notify('seatsync', format('visitor %s %s', $1::text, $2::text));
