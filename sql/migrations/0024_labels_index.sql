-- online
-- Validating again does no harm.
-- squawk-ignore-file prefer-robust-stmts

-- Row and place come first: seat_step_aside looks seats up by them, in whatever section.
create unique index concurrently if not exists seat_place_key
on seat (hall_id, row, place, section) nulls not distinct;

-- What people read differs from seat to seat.
create unique index concurrently if not exists seat_label_key
on seat (hall_id, (coalesce(row_label, row::text)), (coalesce(place_label, place::text)), section) nulls not distinct;

alter table seat
    validate constraint seat_section_sensible,
    validate constraint seat_row_label_sensible,
    validate constraint seat_place_label_sensible;

-- The indexes guarantee more.
-- squawk-ignore ban-drop-constraint
alter table seat drop constraint if exists seat_hall_id_row_place_key;
