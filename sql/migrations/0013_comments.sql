-- A comment on everything that had none: `\d+` and `\df+` in psql explain the schema.

-- Migrations

comment on column schema_migration.name is 'The name of its file without `.sql`; it begins with a number.';
comment on column schema_migration.checksum is
    'SHA-256 of the file''s text, in hex: a server refuses a database whose migrations differ from its own.';
comment on column schema_migration.applied_at is 'When the migration was applied to this database.';

-- Users and their sessions

comment on type user_role is
    'What a user may do: a viewer watches halls, an operator also changes seats, an admin may do the same.';

comment on column app_user.id is 'Given out once: the history names users by it, also when they are gone.';
comment on column app_user.username is
    '3 to 32 letters, digits, hyphens and underscores; no two names differ in upper and lower case alone.';
comment on column app_user.role is 'What the user may do. A change ends the user''s sessions.';
comment on column app_user.created_at is 'When the user confirmed the registration, or was added.';

comment on column session.id is 'Stands in the session''s token.';
comment on column session.user_id is 'The user who is signed in; a user may have several sessions.';
comment on column session.created_at is 'When the user signed in, or a token was made.';
comment on column session.expires_at is 'From then on its token is refused; the row is removed some time later.';

comment on column registration.id is 'Names the enrolment where its wrong codes are counted.';
comment on column registration.username is 'The name that the new user chose; in a recovery, the user''s own.';
comment on column registration.totp_secret is
    'The secret that the QR code shows, in base32; it becomes the user''s with the first right code.';
comment on column registration.created_at is 'When the QR code was made; in a recovery, made last.';
comment on column registration.expires_at is 'From then on no code is taken; a new account''s name is free again.';

comment on column recovery.user_id is 'The user whose phrases these are.';
comment on column recovery.offered_until is 'Until when the offered phrase can be put in force; null without an offer.';

comment on column known_visitor.user_id is 'The user whom the visitor has signed in as.';
comment on column known_visitor.visitor is 'SHA-256 of the id in the visitor cookie.';
comment on column known_visitor.expires_at is 'From then on the visitor is a stranger; each sign-in sets it anew.';

comment on column throttle.scope is
    'What is counted: `code`, `register`, `recovery` and `phrase` are attempts at a secret in a row, which wait longer '
    'each time; `auth_start`, and `recovery` of an address, are the attempts of a minute.';
comment on column throttle.subject is
    'Whose attempts: a user''s id, with the visitor''s hash if the visitor is known; the id of a registration; an '
    'address; or a visitor''s hash.';
comment on column throttle.attempts is 'How many have been let through or, where those of a minute are counted, made.';

comment on function app_user_end_sessions is
    'Trigger function: deletes the sessions of a user whose role has changed, for a connection keeps the rights that '
    'it began with.';
comment on function session_announce_deleted is
    'Trigger function: notifies the servers of each deleted session that had not expired; they close its connections.';
comment on function session_announce_updated is
    'Trigger function: notifies the servers of each session that an update has ended: it expires now, or is another '
    'user''s, or has another id.';
comment on function session_announce_truncated is
    'Trigger function: notifies the servers of each session that had not expired, before all are removed.';

comment on trigger app_user_role_changed on app_user is 'A user with a new role has to sign in again.';
comment on trigger session_deleted on session is 'Deleting a session logs it out at once, on every server.';
comment on trigger session_updated on session is 'Ending a session early logs it out at once, on every server.';
comment on trigger session_truncated on session is 'Truncating the sessions logs everybody out at once.';

-- Cinemas, halls and seats

comment on column cinema.id is 'Clients know the cinema by it; it never changes.';
comment on column cinema.name is 'Its name in clients, at most 200 characters.';
comment on column cinema.created_at is 'When the cinema was added.';

comment on column hall.id is 'Clients subscribe to it; it never changes.';
comment on column hall.cinema_id is 'The cinema that it belongs to. It may move to another, and goes with its cinema.';
comment on column hall.name is 'Its name in clients, at most 200 characters.';
comment on column hall.created_at is 'When the hall was added.';

comment on column seat_type.id is 'Clients know the type by it.';
comment on column seat_type.name is 'Its name in clients. A new one changes the layout of every hall with such seats.';

comment on column seat.id is 'Clients and the history know the seat by it; it never changes.';
comment on column seat.hall_id is 'The hall that the seat stands in; a seat goes with its hall.';
comment on column seat.seat_type_id is 'What kind of seat it is. A type that a seat has cannot be deleted.';
comment on column seat.row is 'Which row of the hall it stands in, from 1.';
comment on column seat.place is 'Which place of its row it is, from 1.';
comment on column seat.width is 'In the units of the hall''s plan.';
comment on column seat.height is 'In the units of the hall''s plan.';
comment on column seat.status is
    'What the seat is at the moment. Users change it by the rules of the protocol; SQL may set any status.';

comment on column seat_count.hall_id is 'The hall that is counted; without seats it has no row.';
comment on column seat_count.seat_type_id is 'The type that is counted; one that the hall does not have has no row.';
comment on column seat_count.seats is 'How many seats of the type the hall has, in any status.';
comment on column seat_count.vacant is 'How many of them are VACANT.';
comment on column seat_count.reserved is 'How many of them are RESERVED.';
comment on column seat_count.occupied is 'How many of them are OCCUPIED.';
comment on column seat_count.maintenance is 'How many of them are in MAINTENANCE.';

comment on function keep_id is 'Trigger function: refuses a new id, for clients and the history hold the old one.';
comment on function seat_stand_on_grid is
    'Trigger function: puts a seat without x or y where its row and place are on a grid of 40 by 40.';

comment on trigger cinema_keep_id on cinema is 'Refuses a new id.';
comment on trigger hall_keep_id on hall is 'Refuses a new id.';
comment on trigger seat_keep_id on seat is 'Refuses a new id.';
comment on trigger seat_stand_on_grid on seat is 'Gives a new seat the position that it was inserted without.';

-- The feed

comment on type seat_event_kind is
    'What a revision changed: a seat''s status (and perhaps its note), its note alone, or the layout of the hall.';


comment on function seat_keep_state is
    'Trigger function: keeps `updated_at` and `updated_by`, whatever a statement sets them to, and removes the note of '
    'a seat that leaves MAINTENANCE.';
comment on function seat_announce_inserted is
    'Trigger function: new seats are a new revision of their halls, which clients then load anew.';
comment on function seat_announce_deleted is
    'Trigger function: removed seats are a new revision of their halls, which clients then load anew.';
comment on function seat_announce_truncated is
    'Trigger function: every hall that had seats gets a new revision.';
comment on function seat_announce_updated is
    'Trigger function: the next revision of each hall in which a status, a note or the layout changed, its history, '
    'and the notification that clients get the change from.';

comment on trigger seat_inserted on seat is 'Announces new seats, once for each statement.';
comment on trigger seat_deleted on seat is 'Announces removed seats, once for each statement.';
comment on trigger seat_truncated on seat is 'Announces that every hall is empty.';
comment on trigger seat_updated on seat is 'Announces changed seats, once for each statement.';

comment on function hall_keep_rev is
    'Trigger function: counts a change of the hall''s own row as a revision, and refuses to set `rev` by hand.';
comment on function hall_announce_updated is
    'Trigger function: writes the change of the hall''s own row into the history and notifies the servers; those who '
    'watch the list of cinemas get its new name or size. With a new epoch the seats are counted anew.';
comment on function hall_announce_inserted is
    'Trigger function: notifies the servers that the cinema has one more hall.';
comment on function hall_announce_deleted is
    'Trigger function: removes the hall''s history and notifies the servers, which end its subscriptions.';
comment on function hall_announce_truncated is
    'Trigger function: removes the history and notifies the servers of each hall, before all are removed.';

comment on trigger hall_keep_rev on hall is 'Makes a change of name, size, cinema or epoch the next revision.';
comment on trigger hall_updated on hall is 'Announces a change of name, size, cinema or epoch.';
comment on trigger hall_inserted on hall is 'Announces a new hall to those who watch the list of cinemas.';
comment on trigger hall_deleted on hall is 'Announces that a hall is gone, also with its cinema.';
comment on trigger hall_truncated on hall is 'Announces that all halls are gone, also with their cinemas.';

comment on function seat_type_announce_renamed is
    'Trigger function: every hall with seats of a renamed type gets a new revision, which clients then load anew.';
comment on function cinema_announce_updated is
    'Trigger function: notifies the servers of the cinema whose name or colour has changed.';
comment on function cinema_announce_list is
    'Trigger function: notifies the servers that the list of cinemas has changed.';

comment on trigger seat_type_renamed on seat_type is 'Announces a type''s new name to the halls that have such seats.';
comment on trigger cinema_updated on cinema is 'Announces a new name or colour.';
comment on trigger cinema_listed on cinema is 'Announces that a cinema is new or gone.';

-- Changing seats for users

comment on column write_key.user_id is 'The user who sent the request; keys of other users do not matter.';
comment on column write_key.key is 'The key that the client has made up for the request.';
comment on column write_key.message is 'The sentence that goes with the code, if it has one of its own.';
comment on column write_key.data is 'The answer of a request that was done, in JSON; null for one that failed.';
comment on column write_key.created_at is 'When the request came; ten minutes later its key stands for nothing.';
