-- An enrolment belongs to an id that its beginning makes: who knows the visitor cookie of before is not shown its secret.

alter table registration add column owner bytea constraint registration_owner_sha256 check (octet_length(owner) = 32);
-- The table has the enrolments of five minutes.
-- squawk-ignore require-concurrent-index-creation
create index registration_owner_idx on registration (owner);

comment on column registration.visitor is 'SHA-256 of the id of the client that began it: its attempts are counted together.';
comment on column registration.owner is
    'SHA-256 of the id that alone may go on with it: in the visitor cookie, or of a WebSocket connection.';

create function begin_registration(
    p_username text, p_visitor bytea, p_owner bytea, p_new_owner bytea, p_address text, p_secret text, p_open boolean
) returns enrolment
language plpgsql as $$
declare
    r enrolment := start_registration(p_username, p_visitor, p_address, p_secret, p_open);
    v_id bigint;
begin
    update registration g
    set id = default, owner = p_new_owner, totp_secret = p_secret, created_at = default, expires_at = default
    where g.id = r.id and g.owner is distinct from p_owner
    returning g.id into v_id;
    if found then
        r.id := v_id;
        r.secret := p_secret;
    end if;
    return r;
end
$$;

comment on function begin_registration is
    'start_registration, with an owner: whoever is not it, be it the same client, gets a new secret and the old one goes.';

create function begin_recovery(
    p_user bigint, p_phrase_hash text, p_visitor bytea, p_owner bytea, p_address text, p_secret text
) returns text
language plpgsql as $$
declare
    v_username text := start_recovery(p_user, p_phrase_hash, p_visitor, p_address, p_secret);
begin
    update registration g set owner = p_owner
    where v_username is not null and g.user_id = p_user and g.visitor = p_visitor;
    return v_username;
end
$$;

comment on function begin_recovery is 'start_recovery, with an owner.';

-- p_visitor is the owner; enrolments without one were begun by servers of the version before, for a visitor.
create or replace function find_enrolment(p_username text, p_visitor bytea, p_open boolean) returns enrolment
language plpgsql as $$
declare
    r enrolment;
    v_until timestamptz;
begin
    select u.id into r.user_id from app_user u where lower(u.username collate "C") = lower(p_username collate "C");
    select g.id, g.username, g.totp_secret, g.expires_at into r.id, r.username, r.secret, v_until
    from registration g
    where lower(g.username collate "C") = lower(p_username collate "C")
        and coalesce(g.owner, g.visitor) = p_visitor and g.user_id is not distinct from r.user_id;
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

comment on function find_enrolment is 'The enrolment that its owner wants to confirm, its attempt counted.';
