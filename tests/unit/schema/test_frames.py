"""The check of what tests receive finds what it is for."""

from typing import Any

import pytest

from tests.support.schemas import check_close, check_frame, check_response

FRAME = {
    "type": "hall.subscribe",
    "status": "update",
    "data": {"id": 3, "stale": True},
    "error": None,
    "eid": "1",
    "ts": 1795421253014,
}
FAILURE = {**FRAME, "status": "error", "data": None, "error": "HallNotFound", "message": "There is no such hall."}


@pytest.mark.parametrize("frame", [FRAME, FAILURE, FAILURE | {"retry_after": 0.5}])
def test_a_frame_of_the_protocol_passes(frame: dict[str, Any]) -> None:
    """Nothing is raised."""
    check_frame(frame)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"data": {"id": 3, "stale": True, "extra": 1}},
        {"data": {"id": "3", "stale": True}},
        {"data": {"id": 3}},
        {"data": None},
        {"eid": 1},
        {"ts": 1.5},
        {"message": "There is one."},
        {"status": "error"},
        {"status": "success"},
        {"type": "hall.get"},
        {"error": "HallNotFound"},
    ],
)
def test_another_frame_fails(change: dict[str, Any]) -> None:
    """A field that is not declared or has another type, and data of another method or status."""
    with pytest.raises(AssertionError):
        check_frame(FRAME | change)


@pytest.mark.parametrize("change", [{"error": "SoldOut"}, {"message": None}, {"retry_after": None}, {"data": {}}])
def test_another_failure_fails(change: dict[str, Any]) -> None:
    """A code that is in no table, above all."""
    with pytest.raises(AssertionError):
        check_frame(FAILURE | change)


def test_other_responses_fail() -> None:
    """Those of methods, and the pages in JSON."""
    check_response("/api//user/status", {"data": {"status": "guest"}, "status": "success", "error": None})
    check_response("/healthz", {"alive": True})
    for path, body in (
        ("/api/user/status", {"data": {"status": "guest", "role": "admin"}, "status": "success", "error": None}),
        ("/api/user/status", {"data": {"status": "guest"}, "status": "success"}),
        ("/api/user/status", {"data": None, "status": "error", "error": "SoldOut", "message": ""}),
        ("/readyz", {"ready": True}),
    ):
        with pytest.raises(AssertionError):
            check_response(path, body)


def test_other_reasons_of_a_close_fail() -> None:
    """A window has two ends."""
    check_close('{"reason":"drain","retry_ms":[0,5000]}')
    for reason in ('{"reason":"drain","retry_ms":[0]}', '{"reason":"drain","retry":1}'):
        with pytest.raises(AssertionError):
            check_close(reason)
