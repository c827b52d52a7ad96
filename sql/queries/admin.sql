-- Administration of people on the command line, neither of services nor of those who are deleted. as_client is for the
-- events.

-- name: users
-- What is known of the users, or of the one of this name.
select
    u.id, u.username as name, u.role::text as role, u.created_at,
    -- The newest right code, which is at most a step ahead of its time; null before the first, and after a reset.
    case when u.totp_last_step > 0 then least(to_timestamp(u.totp_last_step * 30), now()) end as last_sign_in_at,
    -- Why the user cannot sign in as usual; locked out are unknown clients alone.
    array_remove(array[
        case when u.disabled_at is not null then 'disabled' end,
        case when not may_guess(coalesce(l.failures, 0)) then 'locked-out' end,
        case when u.totp_last_step > 0 then null else 'no-authenticator' end
    ], null) as states,
    u.disabled_at,
    coalesce(l.failures, 0) as wrong_codes,  -- in a row, by all unknown clients together
    (select count(*) from session s where s.user_id = u.id and s.expires_at > now()) as sessions,
    (select count(*) from known_visitor k where k.user_id = u.id and k.expires_at > now()) as known_devices,
    (select count(*) from known_network k where k.user_id = u.id and k.expires_at > now()) as known_networks
from app_user u
left join lockout l on l.user_id = u.id
where u.deleted_at is null and not u.is_service and ($1::text is null or lower(u.username collate "C") = lower($1 collate "C"))
order by lower(u.username collate "C");

-- name: lock_admins
-- The admins who are not disabled; no other can change them until the end of the transaction.
select id
from app_user
where role = 'admin' and disabled_at is null and not is_service
order by id
for no key update;

-- name: set_role
-- Changes the role of a user ($1) to $2; no row if deleted meanwhile.
update app_user
set role = $2::text::user_role
from as_client(0, null, null, 'command')
where id = $1 and deleted_at is null
returning id;

-- name: disable_user
-- Disables a user ($1) and ends the sessions.
update app_user
set disabled_at = now()
from as_client(0, null, null, 'command')
where id = $1 and disabled_at is null;

-- name: enable_user
-- Takes the disabling of a user ($1) back.
update app_user
set disabled_at = null
from as_client(0, null, null, 'command')
where id = $1 and deleted_at is null;

-- name: reset_user
-- Replaces what a user ($1) signs in with by the secret $2 and the phrase of the hash $3; no row if deleted meanwhile.
with found as materialized (
    select id from app_user where id = $1 and deleted_at is null for no key update
)
select f.id
from found f
cross join lateral as_client(f.id, null, null, 'command') c (user_id)
cross join lateral reset_user(c.user_id, $2, $3);

-- name: delete_user
-- Deletes a user ($1) but for the name; the secret becomes $2.
select delete_user(c.user_id, $2) from as_client($1, null, null, 'command') c (user_id);

-- name: end_user_sessions
-- Ends the sessions of a user ($1); the number of those that had not expired.
with ended as (
    delete from session s
    using as_client(0, null, null, 'command')
    where s.user_id = $1
    returning s.expires_at
)
select count(*) from ended where expires_at > now();
