"""Price rows: those calls were charged with, the team's own, and catalogues that were taken."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, case, delete, func, insert, or_, select

from core.clock import now_us
from core.domain.price import FEE_NAMES, RATE_NAMES, Price, Rate, UnpricedModel
from core.formats import strict_json as json
from core.pricing.catalogue import normalise
from core.storage.engine.damaged import Parts, readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, to_row, upsert
from core.storage.schema import catalogues, generations, price_rows, rollups_day, team_prices

_c = generations.c
_answered = func.replace(func.lower(func.coalesce(_c.response_model, "")), "models/", "")
# The model whose price a call is charged with: `-latest` names are pointers, and the answer says where to. The same
# rule as for a call under way (core.calls.recording).
charged_model = case((and_(_c.request_model.endswith("-latest"), _answered != ""), _answered), else_=_c.request_model)


def is_charged_as(connection: Connection, provider: str, model: str) -> ColumnElement[bool]:
    """The calls that are charged as a model; calls of own servers keep its name as the server writes it."""
    # The rollups name the few pointers and spellings there are; with them the index by model finds the calls.
    known = select(rollups_day.c.model).where(rollups_day.c.provider == provider).distinct()
    names = [name for name in connection.execute(known).scalars() if normalise(name) == model]
    pointers = select(rollups_day.c.model).where(rollups_day.c.model.endswith("-latest"))
    is_asked = or_(_c.request_model.in_(names), _c.request_model.in_(pointers))
    return and_(is_asked, charged_model.in_([model, *names]))


class PriceStore(Store):
    def own_rows(self) -> list[tuple[str, dict[str, Any]]]:
        """(id, row as given) of the team's rows, oldest first."""
        found = self._database.rows(select(team_prices).order_by(team_prices.c.created_at, team_prices.c.id))
        return [(row.id, Parts(row._mapping).read("row", lambda text: dict(json.loads(text)), {})) for row in found]

    @staticmethod
    def add_own(connection: Connection, id_: str, row: dict[str, Any]) -> None:
        connection.execute(insert(team_prices).values(id=id_, row=json.dumps(row), created_at=now_us()))

    @staticmethod
    def remove_own(connection: Connection, id_: str) -> bool:
        return connection.execute(delete(team_prices).where(team_prices.c.id == id_)).rowcount > 0

    def taken_version(self) -> str | None:
        """The version of the catalogue that was taken last."""
        newest = select(catalogues.c.version).order_by(catalogues.c.taken_at.desc()).limit(1)
        return self._database.value(newest)

    def taken_content(self, version: str) -> str | None:
        return self._database.value(select(catalogues.c.content).where(catalogues.c.version == version))

    @staticmethod
    def take(connection: Connection, version: str, content: str) -> None:
        connection.execute(delete(catalogues))
        connection.execute(insert(catalogues).values(version=version, taken_at=now_us(), content=content))

    @staticmethod
    def drop_taken(connection: Connection) -> bool:
        return connection.execute(delete(catalogues)).rowcount > 0

    def pinned(self, price_id: str) -> Price | None:
        """The row a call was charged with, as it was; None where it is not kept, or damaged."""
        found = self._database.rows(select(price_rows).where(price_rows.c.id == price_id))
        return next(iter(readable("price row", found, _to_price)), None)

    def unpriced(self) -> list[UnpricedModel]:
        """Models as which calls are charged and whose cost is unknown, the most tokens first."""
        c = generations.c
        tokens = func.sum(c.input_tokens + c.output_tokens)
        statement = (
            select(
                c.provider, charged_model.label("model"), func.count().label("n_calls"),
                func.sum(c.input_tokens).cast(BigInteger).label("input_tokens"),
                func.sum(c.output_tokens).cast(BigInteger).label("output_tokens"),
                func.min(c.created_at).label("first_at"), func.max(c.created_at).label("last_at"),
            )
            .where(c.cost_nano_usd.is_(None), c.provider != "simulated")
            .group_by(c.provider, charged_model)
            .order_by(tokens.desc())
        )  # fmt: skip
        return [from_row(UnpricedModel, row) for row in self._database.rows(statement)]


def pin(connection: Connection, prices: Sequence[Price]) -> None:
    """Keep the rows that calls are charged with, in the caller's transaction."""
    if prices:
        statement = upsert(connection.dialect.name, price_rows, ())
        connection.execute(statement, [_to_row(price) for price in prices])


def _to_row(price: Price) -> dict[str, Any]:
    rates: dict[str, Any] = {name: _rate_to_json(rate) for name in RATE_NAMES if (rate := getattr(price, name))}
    rates |= {name: str(usd) for name in FEE_NAMES if (usd := getattr(price, name)) is not None}
    return to_row(price_rows, price, rates=json.dumps(rates), first_used_at=now_us())


def _rate_to_json(rate: Rate) -> list[Any]:
    return [str(rate.base), [[start, str(usd)] for start, usd in rate.above]]


def _to_price(row: Any) -> Price:
    rates = json.loads(row.rates)
    extras: dict[str, Any] = {name: Decimal(rates.pop(name)) for name in FEE_NAMES if name in rates}
    known: dict[str, Any] = {
        name: Rate(base=Decimal(base), above=tuple((start, Decimal(usd)) for start, usd in above))
        for name, (base, above) in rates.items()
    }
    return from_row(Price, row, **known, **extras)
