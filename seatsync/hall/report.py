"""Reports: how full a hall was, or a cinema, by hours or days."""

import re
from datetime import datetime, timedelta

from attrs import field, frozen

from seatsync import errors
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.params import Id
from seatsync.core.protocol.wire import Count, Timestamp, needs, sent
from seatsync.hall.messages import check_time, instant

#: The parts of a report: which there are, and how many at most.
BUCKETS = ("hour", "day")
MAX_BUCKETS = 1000

#: Buckets of all halls together, in the report of a cinema: these take a second.
MAX_HALL_BUCKETS = 100_000

#: Events that one statement rolls up, at most: it takes 10 ms.
ROLL_UP_EVENTS = 2000

_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")

_QUERIES = load("history")


_ZONE_NEEDED = "the name of an IANA time zone is needed, such as Europe/Berlin."
_check_zone = needs(_ZONE.fullmatch, _ZONE_NEEDED, pattern=f"^{_ZONE.pattern}$")

_check_bucket = needs(BUCKETS.__contains__, f"one of {', '.join(BUCKETS)} is needed.", enum=BUCKETS)


@frozen(kw_only=True)
class HallReport:
    """``hall.report``: how full a hall was, or all halls of a cinema together."""

    id: Id | None = None
    cinema_id: Id | None = None
    from_: str = field(validator=check_time)
    to: str = field(validator=check_time)
    """It ends before."""
    bucket: str = field(validator=_check_bucket)
    tz: str = field(default="UTC", validator=_check_zone)
    """An IANA time zone, of which the days are."""

    def __attrs_post_init__(self) -> None:
        if self.id is None and self.cinema_id is None:
            raise errors.RequiredHallId
        if self.id is not None and self.cinema_id is not None:
            raise errors.ValidationError("cinema_id: either a hall or a cinema is needed.")

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From when to when; raises `ValidationError` where that is nothing or much too long."""
        begins, ends = instant("from", self.from_), instant("to", self.to)
        if ends <= begins:
            raise errors.ValidationError("to: a time after from is needed.")
        if self.buckets(begins, ends) > 1.1 * MAX_BUCKETS:
            raise self.too_long(MAX_BUCKETS)
        return begins, ends

    def buckets(self, begins: datetime, ends: datetime) -> float:
        """The number of buckets in that time, give or take what a change of clocks does."""
        return (ends - begins) / timedelta(**{f"{self.bucket}s": 1})

    def too_long(self, most: int) -> errors.ValidationError:
        """There would be more buckets than that."""
        return errors.ValidationError(f"to: at most {most} {self.bucket}s after from are allowed.")


@sent
class OccupancyBucket:
    """The occupancy in one bucket of a report; `null` where nothing is known."""

    from_: Timestamp
    """Its first hour, in UTC."""
    seats_count: Count | None
    """The seats at its end."""
    occupied_avg: float | None
    """Averages are weighted by time."""
    occupied_peak: Count | None
    """The most at any time; of a cinema the sum of its halls' peaks."""
    reserved_avg: float | None
    maintenance_avg: float | None
    changes: Count | None
    """How often a seat got another status."""


@frozen
class Reports:
    """Reads reports. Time zones are those of PostgreSQL; to look for one takes 10 ms, so those found are kept."""

    _database: Database
    _zones: set[str] = field(factory=lambda: {"UTC"}, init=False)

    async def read(self, wanted: HallReport) -> list[Row]:
        """The buckets in order, as they are sent; raises `HallNotFound`, `CinemaNotFound` and `ValidationError`."""
        begins, ends = wanted.span
        await self.check_zone(wanted.tz)
        if wanted.cinema_id is not None:
            halls = await self._database.fetchval(_QUERIES["halls_of_cinema"], wanted.cinema_id)
            if halls * wanted.buckets(begins, ends) > MAX_HALL_BUCKETS:
                raise wanted.too_long(MAX_HALL_BUCKETS // halls)
        rows = await self._database.fetch(
            _QUERIES["report"], wanted.id, wanted.cinema_id, begins, ends, wanted.bucket, wanted.tz, MAX_BUCKETS + 1
        )
        if not rows:
            raise errors.CinemaNotFound if wanted.id is None else errors.HallNotFound
        if len(rows) > MAX_BUCKETS:
            raise wanted.too_long(MAX_BUCKETS)
        return rows

    async def check_zone(self, name: str) -> None:
        """Raises `ValidationError` for what is no IANA time zone."""
        if name not in self._zones:
            if not await self._database.fetchval(_QUERIES["is_time_zone"], name):
                raise errors.ValidationError(f"tz: {_ZONE_NEEDED}")
            self._zones.add(name)
