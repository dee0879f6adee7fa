"""The machine and the programs on it: versions, ports, disk, rights, clock."""

import os
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from urllib.error import HTTPError
from zoneinfo import ZoneInfo

from core.doctor.finding import Finding, fault, note, ok, warning
from core.formats.figures import as_size

OLDEST_PYTHON, OLDEST_SQLITE = (3, 11), (3, 35)
WAL_RESET_MENDED = (3, 51, 3)  # and 3.44.6 and 3.50.7
LITTLE_BYTES, VERY_LITTLE_BYTES = 1_000_000_000, 100_000_000
CLOCK_S = 30.0
_SHARED_FILES = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs", "fuse.s3fs"}


def versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield fault("python", f"Python {python} is too old.", "Use Python 3.11 or newer.")
    else:
        yield ok("python", f"Python {python}.")
    sqlite = sqlite3.sqlite_version_info
    with_fts = "ENABLE_FTS5" in {row[0] for row in sqlite3.connect(":memory:").execute("PRAGMA compile_options")}
    if sqlite < OLDEST_SQLITE or not with_fts:
        yield fault("sqlite", f"SQLite {sqlite3.sqlite_version} is too old, or has no FTS5.", "Use a newer Python.")
    elif sqlite < WAL_RESET_MENDED and sqlite not in ((3, 44, 6), (3, 50, 7)):
        told = "may, very rarely, damage a file that several processes write to at once; 3.51.3 does not"
        yield note("sqlite", f"SQLite {sqlite3.sqlite_version} {told}.", "Keep backups; one server process a file.")
    else:
        yield ok("sqlite", f"SQLite {sqlite3.sqlite_version}.")
    yield from libraries()


def libraries() -> Iterator[Finding]:
    """The installed libraries against the ranges that the package names."""
    from packaging.requirements import Requirement  # Streamlit brings it

    try:
        wanted = [Requirement(line) for line in metadata.requires("ai-model-manager") or ()]
    except metadata.PackageNotFoundError:
        yield note("libraries", "The package is not installed, so its ranges are not known.", "pip install -e .")
        return
    wanted = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = False
    for each in wanted:
        try:
            has = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            wrong = True
            yield fault("libraries", f"{each.name} is not installed.", "pip install -r requirements.txt")
            continue
        if not each.specifier.contains(has, prereleases=True):
            wrong = True
            told = f"{each.name} is of version {has}, {each.specifier} is needed."
            yield warning("libraries", told, "pip install -r requirements.txt")
    if not wrong:
        yield ok("libraries", f"{len(wanted)} libraries are in their ranges.")


def port(number: int) -> Finding:
    if not 1 <= number <= 65535:
        return fault("port", f"There is no port {number}.", "Name one from 1 to 65535.")
    with socket.socket() as connection:
        connection.settimeout(2)
        if connection.connect_ex(("127.0.0.1", number)):
            return ok("port", f"Port {number} is free.")
    with suppress(OSError, ValueError):
        address = f"http://127.0.0.1:{number}/health"
        with urllib.request.urlopen(address, timeout=3) as answer:
            if b"healthy" in answer.read(200):
                return ok("port", f"The server answers at port {number}.")
    told = f"Another program, or a server that does not answer, has port {number}."
    return warning("port", told, "End it, or start with --port and another number.")


def folder(path: Path, needed: int) -> Iterator[Finding]:
    """The folder of a database. needed: Bytes of a copy of it."""
    there = path
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        todo = "Let this user write there: by its owner, its mode, and a file system that is not mounted read-only."
        yield fault("folder", f"{there} may not be written by user {os.getuid()}.", todo)
    free = shutil.disk_usage(there).free
    if free < VERY_LITTLE_BYTES:
        yield fault("disk", f"{as_size(free)} are free in {there}: writing will fail.", "Make room.")
    elif free < max(LITTLE_BYTES, needed * 1.1):
        todo = f"Make room: a copy of the database takes {as_size(needed)}, and each upgrade makes one."
        yield warning("disk", f"{as_size(free)} are free in {there}.", todo)
    else:
        yield ok("disk", f"{as_size(free)} are free in {there}.")
    if (kind := _file_system(there)) in _SHARED_FILES:
        told = f"{there} is on a file system of the network ({kind}), where SQLite's locks and log do not hold."
        yield fault("folder", told, "Use a local disk, or PostgreSQL.")


def private(path: Path, what: str) -> Iterator[Finding]:
    """A file with secrets or records that others may read."""
    with suppress(OSError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o077:
            yield warning("rights", f"Others may read {path}, which holds {what}.", f"chmod 600 {path}")
        if not os.access(path, os.R_OK | os.W_OK) and what == "records":
            yield fault(
                "rights", f"{path} may not be read and written by user {os.getuid()}.", "Let this user write it."
            )


def clock(where: Path, addresses: Mapping[str, str], proxies: Mapping[str, str]) -> Iterator[Finding]:
    """Our clock against the disk's and, by the Date of their answers, the vendors'. addresses: Vendor -> address."""
    known = {name: address for name, address in proxies.items() if name in ("http", "https")}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(known))
    drifts: dict[str, float] = {}
    with suppress(OSError), tempfile.NamedTemporaryFile(dir=where, prefix=".aimm-") as file:
        before = time.time()
        file.write(b"x")
        file.flush()
        drifts[f"the disk of {where}"] = os.stat(file.name).st_mtime - before
    for vendor, address in addresses.items():
        if (date := _date_of(opener, address)) is not None:
            drifts[vendor] = date.timestamp() - time.time()
    built = Path(__file__).stat().st_mtime
    if time.time() < built - 86_400:
        drifts["this program's files"] = built - time.time()
    wrong = {name: drift for name, drift in drifts.items() if abs(drift) > CLOCK_S}
    for name, drift in wrong.items():
        told = f"This machine's clock is {abs(drift):,.0f} s {'behind' if drift > 0 else 'ahead of'} {name}."
        yield fault("clock", told, "Set it by NTP: budgets, prices and experiments go by it.")
    if not wrong:
        yield ok("clock", f"It is {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, by {', '.join(drifts) or 'nobody else'}.")


def time_zone(name: str) -> Finding:
    offset = datetime.now(ZoneInfo(name)).strftime("%H:%M, UTC%z")
    return ok("time zone", f"Pages and new budgets: {name} ({offset}).")


def _date_of(opener: urllib.request.OpenerDirector, address: str) -> datetime | None:
    """The date of an answer, whatever it says; None = there was none."""
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - an address of the settings, checked there
    try:
        with opener.open(request, timeout=5) as answer:
            date = answer.headers.get("Date")
    except HTTPError as error:
        date = error.headers.get("Date")
    except (OSError, ValueError):
        return None
    with suppress(TypeError, ValueError):
        return parsedate_to_datetime(date)
    return None


def _file_system(path: Path) -> str:
    """Its kind, where the system tells; empty = it does not."""
    best, kind = "", ""
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text("utf-8").splitlines():
            _, place, found, *_ = line.split()
            if f"{path.resolve()}/".startswith(f"{place.rstrip('/')}/") and len(place) >= len(best):
                best, kind = place, found
    return kind
