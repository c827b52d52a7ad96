"""When each revision was meant to be made: written by the process that changes seats, read by those that watch.

Fixed slots in shared memory, so no process waits for another. A revision overwrites the one that many revisions ago
had its slot. The change and the note of it race: a subscriber may have the revision before the writer has its answer,
so readers look again later.
"""

import mmap
import os

_SLOTS = 1 << 18
_NUMBER, _TIME = 0, 1
_SLOT_BYTES = 16


class Timetable:
    """Times by hall and revision, in memory that the processes of a test share by its descriptor."""

    def __init__(self, descriptor: int, halls: int) -> None:
        memory = memoryview(mmap.mmap(descriptor, _SLOTS * _SLOT_BYTES))
        self._numbers = memory.cast("q")
        self._times = memory.cast("d")
        self._halls = halls

    @staticmethod
    def create() -> int:
        """New memory for a timetable; the caller closes the descriptor."""
        descriptor = os.memfd_create("seatsync-timetable")
        os.truncate(descriptor, _SLOTS * _SLOT_BYTES)
        return descriptor

    def note(self, hall: int, rev: int, at: float) -> None:
        """The hall (its number in this test) was to have this revision made at that time, on `time.monotonic`.

        Of several changes that the server made one revision of, the one that was meant to be first counts.
        """
        number, slot = self._place(hall, rev)
        if self._numbers[slot + _NUMBER] == number:
            at = min(at, self._times[slot + _TIME])
        self._times[slot + _TIME] = at
        self._numbers[slot + _NUMBER] = number

    def when(self, hall: int, rev: int) -> float | None:
        """When it was to be made; ``None`` if this is not known, or not yet."""
        number, slot = self._place(hall, rev)
        return self._times[slot + _TIME] if self._numbers[slot + _NUMBER] == number else None

    def _place(self, hall: int, rev: int) -> tuple[int, int]:
        number = rev * self._halls + hall + 1  # 0 is an empty slot
        return number, number % _SLOTS * 2
