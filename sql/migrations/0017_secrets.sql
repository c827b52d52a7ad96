-- Authenticators' secrets are encrypted: `<key id>:<nonce, ciphertext and tag, base64url>`. Plain ones stay valid, for
-- SQL and the version before write them; the next start of a server encrypts them.
--
-- The new constraint allows what the old one did, and a table of users is checked in milliseconds.

alter table app_user
    -- squawk-ignore ban-drop-constraint
    drop constraint app_user_totp_secret_base32,
    add constraint app_user_totp_secret_format
    check (totp_secret ~ '^([A-Z2-7]{16,128}|[0-9a-f]{8}:[A-Za-z0-9_-]{59,208})$') not valid;

alter table registration
    -- squawk-ignore ban-drop-constraint
    drop constraint registration_totp_secret_base32,
    add constraint registration_totp_secret_format
    check (totp_secret ~ '^([A-Z2-7]{16,128}|[0-9a-f]{8}:[A-Za-z0-9_-]{59,208})$') not valid;

-- squawk-ignore constraint-missing-not-valid
alter table app_user validate constraint app_user_totp_secret_format;
-- squawk-ignore constraint-missing-not-valid
alter table registration validate constraint registration_totp_secret_format;

comment on column app_user.totp_secret is
    'The secret shared with the authenticator (RFC 6238): `<key id>:<ciphertext>`, under a key of SECRETS_KEY and bound '
    'to the username, or plain in base32 until the next start. A renamed user has to enrol anew.';
comment on column registration.totp_secret is
    'The secret that the QR code shows, stored as a user''s is; it becomes the user''s with the first right code.';
