"""The envelope: messages, answers, and the errors for anything else."""

import json
import time
from typing import Any

from tests.support.client import Client, Frame
from tests.support.halls import make_hall
from tests.support.server import RunningServer

SIX = {"type", "status", "data", "error", "eid", "ts"}
DEEP = 100_000


async def answer_to(client: Client, message: str) -> Frame:
    """Send a message as it is; returns the frame that answers it. The connection has to stay open."""
    await client.raw(message)
    frame = await client.frame()
    assert (await client.call("user.status", eid="alive"))["status"] == "success"
    return frame


def request(**fields: Any) -> str:
    """A message for a method without access rights."""
    return json.dumps({"type": "user.status", "data": {}, "eid": "e", **fields})


async def test_answer_has_all_six_fields(server: RunningServer) -> None:
    """Every answer has type, status, data, error, eid and ts, with the server's clock in milliseconds."""
    async with server.client() as client:
        answer = await answer_to(client, request(ts=12))
    assert set(answer) == SIX
    assert answer["type"] == "user.status"
    assert answer["status"] == "success"
    assert answer["data"] == {"status": "guest"}
    assert answer["error"] is None
    assert abs(answer["ts"] - time.time() * 1000) < 60_000
    assert isinstance(answer["ts"], int)


async def test_error_has_a_message_besides(server: RunningServer) -> None:
    """An error has a code, null data and one sentence as message."""
    async with server.client() as client:
        answer = await client.call("hall.get", {"id": 4711})
    assert set(answer) == SIX | {"message"}
    assert (answer["status"], answer["error"], answer["data"]) == ("error", "HallNotFound", None)
    assert answer["message"].endswith(".")


async def test_snapshot_and_update_have_all_six_fields(server: RunningServer) -> None:
    """Snapshots and updates carry the type of the subscribing method and the subscription's eid, as a string."""
    hall = await make_hall(server)
    async with server.client() as client:
        snapshot = await client.call("hall.subscribe", {"id": hall.id}, eid=7)
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        update = await client.frame()
    assert set(snapshot) == set(update) == SIX
    assert snapshot["status"] == "snapshot"
    assert update["status"] == "update"
    for frame in (snapshot, update):
        assert (frame["type"], frame["eid"], frame["error"]) == ("hall.subscribe", "7", None)


async def test_eid_is_echoed_as_a_string(server: RunningServer) -> None:
    """A string of at most 128 bytes, or an integer, comes back as a string, to the last digit."""
    eids: list[tuple[Any, str]] = [
        ("abc", "abc"),
        ("", ""),
        ("x" * 128, "x" * 128),
        ("é" * 64, "é" * 64),
        ('"\\\u0000\u2028\U0001f3ac', '"\\\u0000\u2028\U0001f3ac'),
        (0, "0"),
        (-5, "-5"),
        (2**53 + 1, "9007199254740993"),
        (2**64, "18446744073709551616"),
        (10**127, "1" + 127 * "0"),
    ]
    async with server.client() as client:
        for eid, echoed in eids:
            answer = await answer_to(client, request(eid=eid))
            assert (answer["error"], answer["eid"]) == (None, echoed)


async def test_any_other_eid_is_refused_under_one_the_server_makes(server: RunningServer) -> None:
    """Any other eid than a short string or an integer is a ValidationError under a server-made eid."""
    too_long = (json.dumps("x" * 129), json.dumps("é" * 65), "1" + 128 * "0", "-1" + 127 * "0")
    async with server.client() as client:
        for eid in (*too_long, "1.5", "1.0", "1e2", "true", "null", "[]", "{}", '["e"]'):
            answer = await answer_to(client, f'{{"type":"user.status","eid":{eid}}}')
            assert (answer["error"], answer["type"]) == ("ValidationError", "user.status"), eid
            assert isinstance(answer["eid"], str)
            assert answer["eid"] not in {"", "e"}


async def test_absent_eid_is_made_by_the_server(server: RunningServer) -> None:
    """A message without eid is answered under an eid that the server generates."""
    async with server.client() as client:
        answer = await answer_to(client, '{"type":"user.status"}')
    assert answer["error"] is None
    assert answer["eid"]


async def test_no_data_is_null_is_empty(server: RunningServer) -> None:
    """Absent data, null and {} are the same, and unknown fields are ignored."""
    async with server.client() as client:
        for data in ("", ',"data":null', ',"data":{}', ',"data":{"unknown":[1,{"a":null}]}'):
            answer = await answer_to(client, f'{{"type":"user.status","eid":"e"{data},"more":1,"ts":"late"}}')
            assert answer["data"] == {"status": "guest"}, data


NO_OBJECTS = (
    *("", " ", "01", "1 ", "1.0", "null", "true", '"text"', "[]", '[{"type":"user.status"}]', "{", "\ufeff{}"),
    "{'type':'user.status'}",
    '{"type":"user.status"',
    '{"type":"user.status",}',
    '{"type":"user.status","eid":"e"} {}',
    '{"type":"user.status","eid":"\\ud800"}',
    '{"type":"user.status","eid":"e","data":NaN}',
    '{"type":"user.status","eid":"\u0000"}',
    "[" * DEEP,
    '{"a":' * (DEEP // 2),
    '{"type":"user.status","data":' + "[" * DEEP + "]" * DEEP + "}",
)


async def test_what_is_no_json_object_is_a_bad_request(server: RunningServer) -> None:
    """Text that is not JSON, or not an object, is answered with BadRequest under a server-made eid and no type."""
    async with server.client() as client:
        for text in NO_OBJECTS:
            answer = await answer_to(client, text)
            assert (answer["error"], answer["type"]) == ("BadRequest", ""), text[:80]
            assert answer["eid"] not in {"", "e"}
            assert answer["message"]


async def test_message_without_a_type(server: RunningServer) -> None:
    """No type, or one that is no string: MessageTypeRequired with an empty type, under the request's eid."""
    async with server.client() as client:
        for type_ in ("", ',"type":""', ',"type":null', ',"type":5', ',"type":["user.status"]'):
            answer = await answer_to(client, f'{{"eid":"mine"{type_}}}')
            assert (answer["error"], answer["type"], answer["eid"]) == ("MessageTypeRequired", "", "mine"), type_


async def test_unknown_type(server: RunningServer) -> None:
    """A method that does not exist: UnknownMessageType, with the type of the request."""
    async with server.client() as client:
        for type_ in ("hall.nothing", "HALL.get", "hall", "\u0000", "__class__", "x" * 100_000):
            answer = await answer_to(client, request(type=type_))
            assert (answer["error"], answer["type"], answer["eid"]) == ("UnknownMessageType", type_, "e"), type_[:80]
            assert len(answer["message"]) < 400


async def test_data_that_is_no_object(server: RunningServer) -> None:
    """Data of the wrong shape is a ValidationError with the path of the field."""
    async with server.client() as client:
        for data in ("[]", "5", '"id"', "true", "[[]]", "0", "false", '""'):
            answer = await answer_to(client, f'{{"type":"hall.get","eid":"e","data":{data}}}')
            assert answer["error"] == "ValidationError", data
            assert answer["message"].startswith("data: ")


async def test_id_is_a_positive_integer(server: RunningServer) -> None:
    """An id that is no positive 63-bit integer is a ValidationError that names the field."""
    async with server.client() as client:
        for value in ("0", "-1", "1.0", "1.5", '"1"', "true", "[]", "{}", str(2**63), str(2**64), "1e3"):
            answer = await answer_to(client, f'{{"type":"hall.get","eid":"e","data":{{"id":{value}}}}}')
            assert answer["error"] == "ValidationError", value
            assert answer["message"].startswith("id: ")


async def test_huge_numbers(server: RunningServer) -> None:
    """A number too big for anything is refused, wherever it stands, and the connection lives."""
    refused = {"ValidationError", "BadRequest"}
    async with server.client() as client:
        for value in ("1e400", "-1e400", "1" + 1000 * "0", "1" + 5000 * "0"):
            as_id = await answer_to(client, f'{{"type":"hall.get","eid":"e","data":{{"id":{value}}}}}')
            as_eid = await answer_to(client, f'{{"type":"hall.get","eid":{value},"data":{{}}}}')
            as_ts = await answer_to(client, f'{{"type":"user.status","eid":"e","ts":{value}}}')
            assert as_id["error"] in refused, value[:80]
            assert as_eid["error"] in refused, value[:80]
            assert as_ts["error"] in {None, "BadRequest"}, value[:80]


async def test_largest_id_is_only_not_found(server: RunningServer) -> None:
    """An id is out of range only past 63 bits."""
    async with server.client() as client:
        answer = await client.call("hall.get", {"id": 2**63 - 1})
    assert answer["error"] == "HallNotFound"


async def test_message_names_the_path_of_the_offending_field(server: RunningServer) -> None:
    """A ValidationError deep in the data names the path of the field."""
    seats = [{"seat_id": 1, "status": "VACANT"}, {"seat_id": "2", "status": "VACANT"}]
    async with server.client(await server.token("anna")) as client:
        answer = await client.call("hall.update_seats", {"hall_id": 1, "seats": seats})
    assert answer["error"] == "ValidationError"
    assert answer["message"].startswith("seats[1].seat_id: ")


async def test_the_last_of_duplicate_keys_counts(server: RunningServer) -> None:
    """Of duplicate keys in an object the last one counts, as in JavaScript."""
    async with server.client() as client:
        answer = await answer_to(client, '{"type":"nothing","eid":"a","type":"user.status","eid":"b"}')
    assert (answer["error"], answer["eid"]) == (None, "b")


async def test_nul_in_texts(server: RunningServer) -> None:
    """PostgreSQL accepts no NUL in text: a NUL in any field gets an ordinary answer."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as client:
        note = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "MAINTENANCE", "note": "a\0b"}
        assert (await client.call("hall.update_seat_status", note))["error"] == "ValidationError"
        epoch = await client.call("hall.subscribe", {"id": hall.id, "since": 1, "epoch": "a\0b"})
        assert epoch["status"] == "snapshot"
        for method in ("user.auth_start", "user.auth_reset"):
            assert (await client.call(method, {"username": "anna\0"}))["error"] == "InvalidUsername"
        for method in ("user.login", "user.register"):
            named = {"username": "anna\0", "code": "123456"}
            assert (await client.call(method, named))["error"] == "InvalidUsername"
        assert (await client.call("user.login", {"username": "anna", "code": "12345\0"}))["error"] == "InvalidCode"
        assert (await client.call("user.recover", {"username": "anna", "phrase": "a\0b"}))["error"] is not None
        assert await client.data("user.end_sessions", {"ids": ["a\0b"]}) == {"ended": 0}


async def test_alias_is_answered_under_its_own_name(server: RunningServer) -> None:
    """The type of an answer is the request's, also where that was an alias."""
    async with server.client() as client:
        answer = await client.call("cinema.get_cinemas")
    assert (answer["type"], answer["data"]) == ("cinema.get_cinemas", [])


async def test_retry_after_is_set_where_waiting_helps(server: RunningServer) -> None:
    """An error that passes with time has `retry_after` in seconds."""
    async with server.client() as client:
        for _ in range(31):
            answer = await client.call("user.auth_start", {"username": "anna"})
    assert answer["error"] == "TooManyRequests"
    assert answer["retry_after"] > 0
