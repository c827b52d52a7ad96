-- No lock of sign-in is one that any role may take.

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
