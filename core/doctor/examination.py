"""All that `aimm doctor` looks at, one after the other; each also where another is wrong."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from core import ModelManager, clock
from core.config import Settings, setting_before
from core.doctor import machine
from core.doctor.finding import Finding, fault, note, ok, warning
from core.doctor.sums import differences
from core.errors import AimmError, redact
from core.formats.figures import as_size
from core.storage.engine.database import COPIED, HEAD, UNFINISHED, is_ours, known_versions
from core.storage.transfer.inspection import Inspection, inspected
from core.vendors import VENDORS

BIG_WAL_BYTES = 256_000_000
MANY_CONNECTIONS = 0.8
SOON_S = 7 * 86_400
OLD_PRICES_DAYS = 120
_FUTURE_US = 60_000_000
_OTHERWISE = "Check DATABASE_URL; or restore a backup: aimm db restore FILE"


def examined(*, online: bool, deep: bool, port: int) -> list[Finding]:
    """online: Vendors are asked, which costs nothing. deep: All sums are recomputed too."""
    found = [*machine.versions()]
    settings, told = _settings()
    found += told
    address = settings.database_url if settings else setting_before("DATABASE_URL") or Settings().database_url
    try:
        state = inspected(address, deep=deep)
    except AimmError as error:
        return [*found, fault("database", error.message, error.hint or _OTHERWISE)]
    found += _places(state, settings, online=online)
    found.append(machine.port(port))
    found += database(state)
    is_usable = state.is_there and state.version == HEAD and not any(each.level == "fault" for each in database(state))
    if settings is None:
        return [*found, note("contents", "Keys, prices and sums were not looked at.", "Mend the settings first.")]
    try:
        if is_usable:
            with ModelManager.open(settings, source="cli", takes_up=False) as mm:
                return [*found, *contents(mm, online=online, deep=deep)]
        found.append(note("contents", "Prices and sums were not looked at, as there is no database to look at."))
        with tempfile.TemporaryDirectory(prefix="aimm-") as folder:
            passing = replace(settings, database_url=f"sqlite:///{folder}/aimm.db")
            with ModelManager.open(passing, source="cli", takes_up=False) as mm:
                return [*found, *_vendors(mm, online=online)]
    except AimmError as error:
        return [*found, fault("contents", error.message, error.hint)]


def _settings() -> tuple[Settings | None, list[Finding]]:
    with _heard() as said:
        try:
            settings = Settings.load()
        except AimmError as error:
            return None, [fault("settings", error.message, error.hint or "Set it right in the environment or .env.")]
    found = [warning("settings", each, "Take it away, or write it right.") for each in said]
    if ".env" in settings.sources.values():
        found += machine.private(Path.cwd() / ".env", "secrets")
    found.append(machine.time_zone(settings.time_zone))
    return settings, found or [ok("settings", "All values are what their names promise.")]


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Warnings of the reading of the settings, kept out of the log."""
    said: list[str] = []
    logger = logging.getLogger("core.environment")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(f"{redact(record.getMessage())}.")  # type: ignore[method-assign]
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _places(state: Inspection, settings: Settings | None, *, online: bool) -> Iterator[Finding]:
    where = Path.cwd() if state.file is None else state.file.parent
    there = next(folder for folder in (where, *where.parents) if folder.exists())
    yield from machine.folder(where, state.n_bytes if state.file else 0)
    if state.file is not None and state.is_there:
        yield from machine.private(state.file, "records")
    addresses: dict[str, str] = {}
    if settings is not None and online:
        urls = {name: settings.addresses.get(name, spec.url) for name, spec in VENDORS.items() if not spec.is_local}
        addresses = {name: url for name, url in urls.items() if name in settings.keys}
    yield from machine.clock(there, addresses, settings.proxies if settings else {})


def database(state: Inspection) -> Iterator[Finding]:
    """A database as it was found."""
    if not state.is_there:
        yield note("database", f"There is no {state.file} yet; the first start makes it.")
        return
    if state.problem[0]:
        yield fault("database", f"{state.address}: {state.problem[0].rstrip('.')}.", state.problem[1] or _OTHERWISE)
        return
    yield _version(state)
    if state.damages:
        told = "Stop the server and restore a backup: aimm db restore FILE; or try: sqlite3 FILE .recover"
        yield fault("database", f"The file is damaged: {'; '.join(state.damages)}.", told)
    elif state.file is not None:
        yield ok("database", f"{state.address} is whole, {as_size(state.n_bytes)}.")
    yield from _server(state)
    yield from _engine(state)
    if state.n_wal_bytes > max(BIG_WAL_BYTES, state.n_bytes):
        told = "A reader holds it for long, such as an open sqlite3; end it, or start the server anew."
        yield warning("log", f"The write-ahead log beside it has {as_size(state.n_wal_bytes)}.", told)
    if state.is_copying:
        told = "Go on with it: aimm db copy; or give it up: aimm db copy --abandon"
        yield warning("copy", "A copy was begun and is not finished; each change is noted for it meanwhile.", told)
    was_copied = state.version == HEAD and state.copied_to and state.copied_to != state.address
    if was_copied and (state.last_call_us or 0) > state.copied_us:
        told = f"It was copied to {state.copied_to}, and calls were recorded here since, which are not there."
        yield warning("copy", told, "Is DATABASE_URL the new address everywhere?")
    if state.last_call_us is not None and state.last_call_us > clock.now_us() + _FUTURE_US:
        moment = f"{clock.from_us(state.last_call_us):%Y-%m-%d %H:%M} UTC"
        yield fault("clock", f"The last call is of {moment}, which is still to come.", "Set the clock by NTP.")


def _version(state: Inspection) -> Finding:
    is_marked = state.version in (UNFINISHED, COPIED)
    has_no_version = state.version is None and state.file is not None and state.n_bytes > 0
    if has_no_version or (state.version is not None and not is_marked and not is_ours(state.version)):
        return fault("database", f"{state.address} holds tables of another program.", "Check DATABASE_URL.")
    if state.version is None:
        return note("database", f"{state.address} has no tables yet; the first start makes them.")
    if state.version == UNFINISHED:
        return fault("database", "A copy into it is not finished.", "Go on with it: aimm db copy.")
    if state.version == COPIED:
        told = "Set DATABASE_URL to the new address; to go on with this one: aimm db copy --abandon"
        return fault("database", f"It was copied to {state.copied_to or 'another one'}, where its records go on.", told)
    if state.version == HEAD:
        return ok("database", f"Its tables are of this program's version, {HEAD}.")
    if state.version in known_versions():
        told = "The next start brings it up to date, and copies a file before."
        return warning("database", f"It is of version {state.version}, the program of {HEAD}.", told)
    return fault(
        "database", f"It is of a newer version ({state.version}) than the program ({HEAD}).", "Install that version."
    )


def _server(state: Inspection) -> Iterator[Finding]:
    if not state.server:
        return
    server = state.server
    used, most = int(server["connections"]), int(server["most_connections"])
    yield ok("database", f"PostgreSQL {server['version']} answers, {as_size(state.n_bytes)}.")
    if server["encoding"] != "UTF8":
        yield fault("database", f"Its encoding is {server['encoding']}.", "Make the database with ENCODING 'UTF8'.")
    if server["is_replica"] == "true":
        yield fault("database", "It is a replica, which takes no records.", "Use the primary's address.")
    if used > most * MANY_CONNECTIONS:
        told = "Raise max_connections, or see docs/scale.md: a process holds 52 at most."
        yield warning("database", f"{used} of {most} connections are in use.", told)
    if abs(state.clock_us) > machine.CLOCK_S * 1_000_000:
        told = f"The clocks of the server and of this machine are {abs(state.clock_us) / 1e6:,.0f} s apart."
        yield fault("clock", told, "Set both by NTP.")


def _engine(state: Inspection) -> Iterator[Finding]:
    if state.file is None:
        return
    if state.holder:
        who = "a process that is not known" if state.holder == "?" else state.holder
        yield ok("engine", f"Runs are executed by {who}; {_processes(state.n_alive)} with this file open hold a lock.")
    else:
        yield note("engine", "No process executes runs just now; the next server or `aimm worker` does.")
    if state.n_stale:
        told = f"{_processes(state.n_stale)} died and left lock files; the next server clears up."
        yield note("engine", told)


def _processes(n: int) -> str:
    return f"{n} process{'' if n == 1 else 'es'}"


def contents(mm: ModelManager, *, online: bool, deep: bool) -> Iterator[Finding]:
    """The vendors, keys, prices and sums of an opened database."""
    yield from _vendors(mm, online=online)
    now = time.time()
    for key in mm.keys.all():
        ends = key.expires_at and key.expires_at.timestamp()
        if ends and now < ends < now + SOON_S and not key.revoked_at:
            told = f"The key {key.name!r} ends at {key.expires_at:%Y-%m-%d %H:%M} UTC."
            yield warning("keys", told, "Make another: aimm keys create NAME")
    yield from _prices(mm)
    if deep:
        wrong = differences(mm)
        for each in wrong[:10]:
            yield fault("sums", each, "Tell the project; pages show the sums, `aimm export` the raw rows.")
        if not wrong:
            yield ok("sums", "The rollups, the budgets' ledger and the experiments' sums equal the raw rows.")


def _vendors(mm: ModelManager, *, online: bool) -> Iterator[Finding]:
    keyed = [name for name in mm.settings.keys if name in mm.vendors.names]
    if not keyed:
        told = "No vendor has a key: simulated models answer, and Ollama's where it runs."
        yield note("vendors", told, "Set GEMINI_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY.")
    elif not online:
        yield ok("vendors", f"Keys are set for {', '.join(keyed)}; with --online they are tried.")
    else:
        check: Callable[[str], Finding] = lambda name: _tried(mm, name)  # noqa: E731
        yield from map(check, [*keyed, *(name for name in mm.settings.servers if name not in keyed)])


def _tried(mm: ModelManager, name: str) -> Finding:
    checked = mm.vendors.check(name)
    if checked.works:
        return ok("vendors", checked.message)
    return fault("vendors", f"{name}: {checked.message}", "Look at the key and the address of this vendor.")


def _prices(mm: ModelManager) -> Iterator[Finding]:
    for each in mm.prices.warnings:
        yield warning("prices", each, "aimm prices list")
    for model in mm.repricing.unpriced()[:10]:
        told = f"{model.provider}/{model.model}: {model.n_calls:,} calls have no known cost."
        yield warning("prices", told, f"aimm prices set {model.provider} {model.model} …, then aimm prices apply")
    newest = mm.prices.book.catalogue.newest_on(clock.now())
    if newest is None:
        return
    days = (clock.now().date() - newest).days
    if days > OLD_PRICES_DAYS:
        told = f"The newest price of the catalogue is {days} days old."
        yield warning("prices", told, "aimm prices update, or a newer genai-prices")
    else:
        yield ok("prices", f"The catalogue is {mm.prices.book.catalogue.version}, its newest price of {newest}.")
