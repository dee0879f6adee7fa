"""Layouts of vendors' bills: the meaning of each column. A new vendor's export is one more entry here. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from core.errors import InvalidRequest
from core.monitoring.bills.notation import Order

Source = Literal[
    "google-cloud-csv", "openai-costs-csv", "anthropic-costs-csv", "anthropic-costs-api", "openrouter-csv", "azure-csv",
    "aws-csv", "focus-csv", "generic-csv", "one number",
]  # fmt: skip
MAX_PREAMBLE = 40
_CODES = "aud|brl|cad|chf|cny|czk|dkk|eur|gbp|hkd|huf|idr|ils|inr|jpy|krw|mxn|nok|nzd|pln|ron|sek|sgd|thb|try|twd|zar"
_SIGNS = r"€|£|¥|₹|₩|₪|zł|(?:a|au|c|ca|hk|nz|r|s|nt)\$"
_FOREIGN = re.compile(rf"\(({_SIGNS}|{_CODES})\)|_({_CODES})$", re.IGNORECASE)
_FOREIGN_CELL = re.compile(rf"(?<![a-z])({_SIGNS}|{_CODES})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of an export, each under all its names, in `column` form; the first that is there counts.

    needs: Columns that tell it from others.
    since, until: The start and the end of a line's usage.
    model, kind: All that are there, together.
    service: The service that is charged for; lines of other services than models are left out.
    credits: Amounts to be added to the cost.
    inside: Money that is in the cost already, or that nobody is charged.
    scale: Dollars of one unit of the amounts.
    order: The order of day and month where both readings are possible; None = the file must tell.
    """

    source: Source
    provider: str = ""
    needs: tuple[str, ...] = ()
    since: tuple[str, ...]
    until: tuple[str, ...] = ()
    cost: tuple[str, ...]
    model: tuple[str, ...]
    kind: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    currency: tuple[str, ...] = ("currency", "billingcurrency")
    credits: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    scale: Decimal = Decimal(1)
    order: Order | None = None


def _layout(
    source: Source, *, provider: str = "", scale: Decimal = Decimal(1), order: Order | None = None, **columns: str
) -> Layout:
    parts = {part: tuple(names.split()) for part, names in columns.items()}
    return Layout(source=source, provider=provider, scale=scale, order=order, **parts)


NET = ("unroundedsubtotal", "subtotal", "total")  # credits are in it already
_DOLLARS = "costusd costinusd usd spendusd totalcostusd xbilledcostinusd"  # whatever the currency of the account
IN_DOLLARS = tuple(_DOLLARS.split())
PLAIN_MODEL = ("model", "modelname", "modelpermaslug", "modelversion")  # holds a name and nothing else
_INSIDE_GOOGLES = (
    "costatlist listcost negotiatedsavings priceeffectiveprice costatlistconsumptionmodel costateffectivepricedefault"
)
_CREDITS = "credits credit creditsamount discounts savingsprograms othersavings promotionsandothers"
LAYOUTS = (
    _layout(
        "anthropic-costs-csv", provider="anthropic", needs="usagedateutc tokentype", since="usagedateutc",
        cost="costusd", model="model modelversion", kind="tokentype usagetype costtype", inside="listpriceusd",
    ),
    _layout(
        "anthropic-costs-api", provider="anthropic", needs="startingat amount", since="startingat", until="endingat",
        cost="amount", model="model description", kind="tokentype costtype", scale=Decimal("0.01"),
    ),
    _layout(
        "openrouter-csv", provider="openrouter", needs="modelpermaslug", since="createdat date",
        cost="costtotal usage", model="modelpermaslug",
        inside="costwebsearch costcache costfileprocessing byokusageinference",
    ),
    _layout(
        "openai-costs-csv", provider="openai", needs="amountvalue", since="starttimeiso starttime date",
        until="endtimeiso endtime", cost="amountvalue", model="lineitem model", currency="amountcurrency",
    ),
    _layout(
        "azure-csv", needs="metercategory", since="date usagedatetime usagedate usagestartdate", until="usageenddate",
        cost="costinusd costinbillingcurrency pretaxcost cost", model="metername metersubcategory productname product",
        kind="chargetype", service="metercategory productname",
        currency="billingcurrencycode billingcurrency currency",
        inside="costinbillingcurrency costinpricingcurrency paygcostinusd paygcostinbillingcurrency"
        " effectiveprice unitprice paygprice",
        order="month first",
    ),
    _layout(
        "aws-csv", needs="lineitemusagestartdate", since="lineitemusagestartdate", until="lineitemusageenddate",
        cost="lineitemunblendedcost lineitemblendedcost", kind="lineitemlineitemtype",
        model="lineitemlineitemdescription lineitemusagetype productmodel productproductname",
        service="lineitemproductcode productproductname", currency="lineitemcurrencycode",
        inside="lineitemblendedcost lineitemnetunblendedcost pricingpublicondemandcost lineitemtaxtype",
    ),
    _layout(
        "focus-csv", needs="chargeperiodstart billedcost", since="chargeperiodstart", until="chargeperiodend",
        cost="xbilledcostinusd billedcost", model="chargedescription resourcename skuid",
        kind="chargecategory chargeclass", service="servicename",
        inside="billedcost effectivecost listcost contractedcost contractedunitprice listunitprice"
        " pricingcurrencyeffectivecost xeffectivecostinusd xlistcostinusd xcontractedcostinusd",
    ),
    _layout(
        "google-cloud-csv", provider="gemini", needs="skudescription",
        since="usagestartdate usagestarttime date day month", until="usageenddate usageendtime",
        cost="unroundedsubtotal subtotal unroundedcost cost", model="skudescription", kind="costtype credittype",
        service="servicedescription", credits=_CREDITS, inside=_INSIDE_GOOGLES,
    ),
    _layout(  # the same of a report by SKU
        "google-cloud-csv", provider="gemini", needs="sku service skuid", since="date day month",
        cost="unroundedsubtotal subtotal unroundedcost cost", model="sku", kind="costtype", service="service",
        credits=_CREDITS, inside=_INSIDE_GOOGLES,
    ),
    _layout(
        "generic-csv",
        since="usagestartdate usagestarttime startdate starttime date day usagedate usagedateutc utcdate datetime"
        " timestamp createdat month",
        until="usageenddate usageendtime enddate endtime",
        cost=f"{_DOLLARS} unroundedsubtotal subtotal unroundedcost cost totalcost amountvalue amount total spend debit",
        model="skudescription lineitem model modelname sku", kind="tokentype costtype description",
        service="servicedescription servicename", credits=_CREDITS,
        inside="inputcost outputcost promptcost completioncost cachedcost",
    ),
)  # fmt: skip
_USAGE = (
    ("OpenAI", "Costs", {"ncontexttokenstotal", "nummodelrequests"}),
    ("Anthropic", "Cost", {"usageinputtokensnocache", "uncachedinputtokens"}),
)
_TOLD_BY = ("since", "cost", "model", "service", "currency")
KNOWN = frozenset(name for layout in LAYOUTS for part in _TOLD_BY for name in getattr(layout, part))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The place of a file's header and the columns of each part: several of `model` and `kind`, else one at most."""

    at: int
    names: tuple[str, ...]
    layout: Layout
    columns: Mapping[str, tuple[int, ...]]

    def cell(self, row: Sequence[str], part: str) -> str:
        """The text of a row under a part; several columns are joined."""
        return " ".join(row[at] for at in self.columns[part] if at < len(row) and row[at])

    @property
    def cost(self) -> str:
        return column(self.names[self.columns["cost"][0]])


@lru_cache(maxsize=4096)
def column(name: str) -> str:
    """A column's name as layouts have it: `Usage start date`, `usage_start_date` and `usage.startDate` are the same."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\((?:us)?\$\)|\(usd\)", "", name.lower()))


def header(rows: Sequence[Sequence[str]]) -> Header:
    """Find it; invoices begin with other lines. Raises: InvalidRequest"""
    for at, row in enumerate(rows[:MAX_PREAMBLE]):
        if not row:
            continue
        names = [column(name) for name in row]
        if names[0] in ("currency", "billingcurrency") and len(row) > 1 and "cost" not in names:
            check_currency(row[1])
        layout = next(each for each in LAYOUTS if set(each.needs) <= set(names))
        parts = ("since", "until", "cost", "model", "kind", "service", "currency", "credits")
        columns = {part: _found(names, getattr(layout, part), part) for part in parts}
        if columns["cost"] and (columns["since"] or columns["model"]):
            _check_cost(row[columns["cost"][0]].strip(), names)
            if names[columns["cost"][0]] in NET:
                columns["credits"] = ()
            return Header(at=at, names=tuple(row), layout=layout, columns=columns)
        _check_usage(names)
        if any(_FOREIGN.search(name) for name in row) and len(row) > 1:
            raise InvalidRequest(_not_dollars(next(f[1] or f[2] for name in row if (f := _FOREIGN.search(name)))))
    raise InvalidRequest(
        f"No header with a cost and a date or model, in English, was found in the first {MAX_PREAMBLE} lines."
    )


def _check_cost(cost: str, names: Sequence[str]) -> None:
    """Raises: InvalidRequest: The column of the costs holds no dollars."""
    if foreign := _FOREIGN.search(cost):
        raise InvalidRequest(_not_dollars(foreign[1] or foreign[2]))
    if column(cost) == "amount" and "price" in names:
        raise InvalidRequest("The column 'amount' stands beside a price: it counts tokens. Export the costs instead.")


def _check_usage(names: Sequence[str]) -> None:
    """Raises: InvalidRequest: It is a vendor's export of tokens."""
    for vendor, export, known in _USAGE:
        if known & set(names):
            raise InvalidRequest(
                f"This is {vendor}'s usage export: it has tokens and no dollars. Export *{export}* instead."
            )


def _found(names: Sequence[str], wanted: Sequence[str], part: str) -> tuple[int, ...]:
    at = tuple(names.index(name) for name in wanted if name in names)
    if part == "currency" and not at:  # under whatever name: euros must not be read as dollars
        at = tuple(at for at, name in enumerate(names) if re.search(r"(?<!pricing)currency(code)?$", name))
    return at if part in ("model", "kind", "service", "credits") else at[:1]


def is_foreign(name: str) -> bool:
    """True if a column's name says that its amounts are in another currency."""
    return _FOREIGN.search(name) is not None


def check_currency(text: str) -> None:
    """Raises: InvalidRequest: It is another one than the US dollar."""
    if text.strip().upper() not in ("", "USD", "$", "US$"):
        raise InvalidRequest(_not_dollars(text.strip()))


def check_amount(text: str) -> None:
    """Raises: InvalidRequest: The amount is written in another currency."""
    if foreign := _FOREIGN_CELL.search(text):
        raise InvalidRequest(_not_dollars(foreign[1]))


def _not_dollars(currency: str) -> str:
    return f"The bill is in {currency[:10].upper()}; only US dollars can be compared."
