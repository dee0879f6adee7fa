"""Prices for their users: the rows that hold now, the team's own, and newer catalogues."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from core import clock
from core.config import DEFAULT_PRICES_FILE
from core.costs.changes import Change, changes
from core.domain.generation import Generation
from core.domain.price import Elsewhere, Price, TeamPrice
from core.errors import InvalidRequest, NotFound
from core.pricing.book import PriceBook, Sellers
from core.pricing.catalogue import Catalogue, is_newer, regions, shipped
from core.pricing.receipt import receipt_for
from core.pricing.team import row_from, rows_from_yaml
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Work, Writer
from core.storage.money.prices import PriceStore, pin
from core.storage.people import audit
from core.vendors import VENDORS

MAX_CATALOGUE_BYTES = 20_000_000


class PriceService:
    """The prices that hold: the catalogue's and the team's own.

    file: The team's `prices.yaml`, read when it changes.
    servers: Names of own servers, which may have prices too.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        sellers: Sellers,
        *,
        file: Path | None = None,
        servers: Collection[str] = (),
    ) -> None:
        self._database = database
        self._store = PriceStore(database)
        self._writer = writer
        self.own_rows = self._store.own_rows
        self._file = file
        self._named = tuple(servers)
        self._pinned: set[str] = set()
        self._seen: Any = None
        self._taken: Catalogue | None = None
        self.taken_version: str | None = None
        self.file_error = self.catalogue_error = self.catalogue_notice = ""
        self.unreadable: dict[str, str] = {}
        self.book = PriceBook(sellers=sellers)
        self._sellers = sellers
        self.refresh()

    # What holds

    def price(self, provider: str, model: str, at: datetime, service_tier: str = "standard") -> Price | None:
        """The price row of a moment; None = unknown."""
        return self.book.price(provider, model, at, service_tier)

    def possible(self, provider: str, model: str, at: datetime, service_tier: str = "standard") -> list[Price]:
        """The prices that a call may turn out to have.

        They are of any model that a `-latest` name may stand for, at the tier asked for or the standard one, which a
        vendor may serve instead.
        """
        names = [model]
        if model.endswith("-latest"):
            family = set(model.removesuffix("-latest").split("-"))
            names += [name for name in self.book.models(provider) if family <= set(name.split("-"))]
        tiers = dict.fromkeys((service_tier, "standard"))
        # A vendor may keep a workspace in one place, for more.
        tiers |= dict.fromkeys([f"{tier}+{region}" for tier in tiers for region in regions(provider, model)])
        found = (self.price(provider, name, at, tier) for name in names for tier in tiers)
        return [price for price in found if price is not None]

    def pin(self, price: Price | None) -> Work | None:
        """Work that keeps a price row for good, if this process has not done so yet."""
        if price is None or price.id in self._pinned:
            return None

        def work(connection: Connection) -> None:
            pin(connection, [price])
            self._pinned.add(price.id)

        return work

    def pinned(self, price_id: str) -> Price | None:
        """A row that calls were charged with, as it was then."""
        return self._store.pinned(price_id)

    def refresh(self) -> None:
        """Read what other processes or an editor may have changed: rows, the file, the catalogue."""
        own, version, stamp = self._store.own_rows(), self._store.taken_version(), self._stamp()
        seen = ([id_ for id_, _ in own], version, stamp)
        if seen == self._seen:
            return
        rows = [*self._from_file(stamp is not None), *self._readable(own)]
        self.book = PriceBook(rows, self._catalogue(version), self._sellers)
        self.taken_version = version
        self.catalogue_notice = self._outdated(version)
        self._seen = seen

    @property
    def warnings(self) -> list[str]:
        """The prices that do not hold as they were meant to, in sentences for people."""
        rows = [f"The price row {id_} cannot be read and does not hold: {why}" for id_, why in self.unreadable.items()]
        return [text for text in (self.file_error, *rows, self.catalogue_error, self.catalogue_notice) if text]

    @property
    def _servers(self) -> tuple[str, ...]:
        """The names beside the vendors' that may have prices."""
        apart = self._sellers.apart()
        return tuple(dict.fromkeys((*self._named, *apart, *apart.values())))

    def _stamp(self) -> int | None:
        """The time of the file's last change, in nanoseconds; None = there is no file."""
        if self._file is None:
            return None
        try:
            return self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        except OSError:
            return 0  # it is there; reading it will say what is wrong

    def _readable(self, stored: Sequence[tuple[str, Mapping[str, Any]]]) -> Sequence[TeamPrice]:
        """The rows that were set here; one that an earlier version took and this one does not is left out and named."""
        rows, self.unreadable = [], {}
        for id_, row in stored:
            try:
                # A row of a server that is not set up now holds for what was asked of it before.
                rows.append(row_from(row, source="team", id_=id_, servers=(*self._servers, str(row.get("provider")))))
            except InvalidRequest as error:
                self.unreadable[id_] = error.message
        return rows

    def _from_file(self, is_there: bool) -> Sequence[TeamPrice]:
        """A broken file must not stop the product; the page shows what is wrong, and the last good rows hold."""
        if not is_there or self._file is None:
            is_optional = self._file in (None, Path(DEFAULT_PRICES_FILE))
            self.file_error = "" if is_optional else f"AIMM_PRICES_FILE: there is no file {self._file}."
            return ()
        try:
            rows = rows_from_yaml(self._file.read_bytes(), self._servers)
        except (InvalidRequest, OSError) as error:
            self.file_error = str(error)
            return [row for row in self.book.rows if row.source == "file"]
        self.file_error = ""
        return rows

    def _catalogue(self, version: str | None) -> Catalogue:
        """The one that was taken; where the installed genai-prices cannot read it, the shipped one holds."""
        self.catalogue_error = ""
        if version is None:
            return shipped()
        if self._taken is None or self._taken.version != version:
            content = self._store.taken_content(version)
            try:
                self._taken = None if content is None else Catalogue.from_json(content)
            except ValueError as error:
                self._taken = None
                self.catalogue_error = (
                    f"The catalogue {version} that was taken cannot be read ({str(error)[:200]}), so the installed one"
                    " holds. Take a newer one, or go back to the installed one with: aimm prices update --shipped"
                )
        return self._taken or shipped()

    def _outdated(self, version: str | None) -> str:
        """Of two catalogues neither says which is newer; but an upgrade after one was taken brings another."""
        if version is None or self.book.catalogue is shipped():
            return ""
        with self._database.read() as connection:
            before = str(audit.last_detail(connection, "catalogue taken", version).get("shipped", ""))
        if not before or not is_newer(shipped().version, before):
            return ""
        return (
            f"genai-prices went from {before} to {shipped().version} since catalogue {version} was taken: the installed"
            " catalogue is newer than the one taken, which still holds. To use the installed one:"
            " aimm prices update --shipped"
        )

    # The team's rows

    @property
    def providers(self) -> tuple[str, ...]:
        """The vendors and servers whose models may have prices."""
        return tuple(dict.fromkeys((*VENDORS, *self._servers)))

    def set_price(self, row: Mapping[str, Any]) -> TeamPrice:
        """Add a row of the team's own; fields as in prices.yaml (core.pricing.team).

        Raises:
            InvalidRequest: A field is missing or out of range.
        """
        given = {str(name): _plain(value) for name, value in row.items() if value not in (None, "", {})}
        made = row_from(given, id_=f"p_{secrets.token_hex(6)}", servers=self._servers)

        def work(connection: Connection) -> None:
            self._store.add_own(connection, made.id, given)
            audit.note(connection, "price set", f"{made.provider} {made.model}", given)

        self._writer.run(work)
        self.refresh()
        return made

    def checked_row(self, row: Mapping[str, Any]) -> TeamPrice:
        """The row that `set_price` would add. Raises: InvalidRequest"""
        return row_from({str(name): _plain(value) for name, value in row.items()}, servers=self._servers)

    def remove_price(self, row_id: str) -> None:
        """Take a row of the team's away; what was charged with it stays charged so."""

        def work(connection: Connection) -> None:
            if not self._store.remove_own(connection, row_id):
                raise NotFound(f"There is no price row {row_id[:60]!r} that was set here; file rows are changed there.")
            audit.note(connection, "price removed", row_id, {})

        self._writer.run(work)
        self.refresh()

    # A newer catalogue

    def compare(self, content: str) -> list[Change]:
        """The changes if a newer catalogue (genai-prices' data.json) were taken.

        Raises:
            InvalidRequest: The text is not a catalogue.
        """
        return changes(self.book.catalogue, _parsed(content), clock.now())

    def take(self, content: str) -> Catalogue:
        """Use a newer catalogue from now on. Raises: InvalidRequest"""
        newer = _parsed(content)
        detail = {
            "before": self.book.catalogue.version,
            "changes": len(changes(self.book.catalogue, newer, clock.now())),
            "shipped": shipped().version,
        }

        def work(connection: Connection) -> None:
            self._store.take(connection, newer.version, content)
            audit.note(connection, "catalogue taken", newer.version, detail)

        self._writer.run(work)
        self.refresh()
        return newer

    def use_shipped(self) -> None:
        """Go back to the catalogue of the installed genai-prices."""

        def work(connection: Connection) -> None:
            if self._store.drop_taken(connection):
                audit.note(connection, "catalogue dropped", self.taken_version or "", {})

        self._writer.run(work)
        self.refresh()

    # Looked at

    def with_receipts(self, g: Generation) -> Generation:
        """A call with its receipts; one that was charged anew gets them from the row it was charged with."""
        if not g.price_id or (g.receipts and g.receipts[-1].price_id == g.price_id):
            return g
        price = self.pinned(g.price_id)
        if price is None:
            return g
        try:
            return replace(g, receipts=tuple(receipt_for(usage, price) for usage in g.usages or (g.usage,)))
        except (ValueError, LookupError):
            return g

    def elsewhere(self, g: Generation, models: Sequence[tuple[str, str]]) -> list[Elsewhere]:
        """The cost of the same tokens on other (provider, model)s, the cheapest first, without unpriced ones."""
        found = []
        for provider, model in models:
            price = self.price(provider, model, g.created_at, g.service_tier) or self.price(
                provider, model, g.created_at
            )
            if price is not None and model != g.model:
                try:
                    usd = sum((receipt_for(usage, price).usd for usage in g.usages or (g.usage,)), Decimal(0))
                except (ValueError, LookupError):
                    continue
                found.append(Elsewhere(model, usd, price.service_tier))
        return sorted(found, key=lambda each: each.usd)


def _parsed(content: str) -> Catalogue:
    if len(content) > MAX_CATALOGUE_BYTES:
        raise InvalidRequest("The catalogue is larger than 20 MB.")
    try:
        return Catalogue.from_json(content)
    except ValueError as error:
        raise InvalidRequest(f"This is not a catalogue of genai-prices: {str(error)[:300]}") from None


def _plain(value: Any) -> Any:
    """A value as JSON keeps it: money as text, so that no digit is lost."""
    if isinstance(value, Decimal | float):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return value if isinstance(value, str | int | bool) else str(value)
