"""Who may run the functions of the schema: a walk through the catalog."""

import os

import pytest
from psycopg import errors

from tests.support.sql import World

#: They read, or change seats, with the rights of whoever calls them.
FOR_EVERYBODY = {
    *("hall_at", "hall_at_rev", "hall_rev_at", "hall_snapshot_at"),
    *("hall_changes", "hall_counts", "hall_snapshot", "hall_update", "wire_epoch", "wire_time"),
    *("change_seats", "hold_seats", "shift_seats"),
    *("events_after", "start_consumer", "take_events"),
    *("hall_occupancy", "occupancy_report"),
    "session_is_live",
    *("seat_refusal", "seat_refusal_message"),
}

OURS = "from pg_proc p where p.pronamespace = 'public'::regnamespace"


def test_no_function_is_for_everybody_but_those_meant_to_be(world: World) -> None:
    """PostgreSQL lets everybody execute a new function, unless told otherwise (section 5.8)."""
    public = f"select proname {OURS} and has_function_privilege('public', p.oid, 'execute')"
    assert set(world.values(public)) == FOR_EVERYBODY
    world.do("create function later() returns int language sql as 'select 1'")
    assert "later" not in world.values(public)


def test_functions_with_the_rights_of_the_owner_are_guarded(world: World) -> None:
    """Each has a fixed search path, and as a trigger refuses to be one of another table."""
    definers = world.rows(
        f"select proname, proconfig::text as config, prosrc, prorettype = 'trigger'::regtype as trigger {OURS}"
        " and prosecdef"
    )
    assert len(definers) >= 15
    for function in definers:
        assert '"search_path=public, pg_temp"' in function["config"], function["proname"]
        if function["trigger"]:
            first = function["prosrc"].split("begin\n", 1)[1]
            assert first.startswith("    perform assert_table(tg_relid, "), function["proname"]


def test_trigger_of_another_table_is_refused(world: World) -> None:
    """Even the owner cannot empty the history by a table of its own with our triggers."""
    world.do("create temporary table decoy (id bigint, hall_id bigint)")
    for function in world.values(f"select proname {OURS} and prosecdef and prorettype = 'trigger'::regtype"):
        world.do(f"create or replace trigger decoy after insert on decoy for each row execute function {function}()")
        with pytest.raises(errors.InsufficientPrivilege, match="is for triggers of"):
            world.do("insert into decoy values (1, 1)")


def test_nobody_else_can_make_a_trigger_of_our_functions(world: World) -> None:
    """A role with tables of its own may not have our functions run on them."""
    role = f"seatsync_test_other_{os.getpid()}"
    world.do(f"create role {role}; set role {role}; create temporary table decoy (id bigint)")
    try:
        for function in world.values(f"select proname {OURS} and prorettype = 'trigger'::regtype"):
            with pytest.raises(errors.InsufficientPrivilege):
                world.do(f"create trigger decoy after insert on decoy for each row execute function {function}()")
    finally:
        world.do(f"reset role; drop owned by {role}; drop role {role}")
