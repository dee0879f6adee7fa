"""The page of models and prices: keys tried, prices set, what is wrong with them said."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.storage.money.prices import PriceStore
from core.storage.people import audit
from dashboard import process
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini
from tests.pages import button, page_app, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_a_key_is_tried_and_what_is_wrong_is_named(app: AppTest, gemini: FakeGemini, open_manager, tmp_path):
    manager = open_manager(f"sqlite:///{tmp_path}/k.db", gemini_base_url=gemini.url)
    process.use(manager)
    show(app, "settings")
    app.text_input(key="key_field").input("AIzaNotTheRightKey000000000000")
    button(app, "Test key").click().run()
    assert "Wrong API key" in texts(app)
    assert "AIzaNotTheRightKey" not in texts(app)

    app.text_input(key="key_field").input(wire.KEY)
    button(app, "Test key").click().run()
    assert "The key works" in texts(app)
    assert manager.vendors.has_key


def test_a_price_row_is_set_from_its_form_with_every_price(app: AppTest):
    show(app, "models")
    app.button_group(key="prices_view").set_value("Own prices").run()
    app.text_input(key="own_model").input("gemini-x")
    app.text_input(key="own_above").input("200000:input=4,output=18")
    for name, value in (("input", 1.0), ("output", 2.0), ("output_audio", 8.0), ("batch", 0.0)):
        app.number_input(key=f"own_{name}").set_value(value)
    button(app, "Set price").click().run()

    assert not app.exception
    [row] = process.manager().prices.book.rows
    assert {name: rate.base for name, rate in row.rates.items()} == {"input": 1, "output": 2, "output_audio": 8}
    assert [rate.above for rate in row.rates.values()] == [((200_000, 4),), ((200_000, 18),), ()]
    assert row.tiers == {"batch": 0}


def test_what_is_wrong_with_the_prices_is_on_their_page(open_manager, sqlite_url: str, tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text("- {provider: google, model: m, discount_percent: 5}")
    for app in page_app(open_manager(sqlite_url, prices_file=file)):
        show(app, "models")

        assert "prices.yaml, row 1" in texts(app)


def test_a_note_that_no_page_can_show_does_not_break_the_pages(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url)
    row = {"provider": "gemini", "model": "m", "input": 1, "output": 2, "note": "a\ud800b"}

    def earlier(connection: Any) -> None:
        PriceStore.add_own(connection, "p_old", row)
        audit.note(connection, "price set", "gemini m", row)

    with mm.database.write() as connection:
        earlier(connection)
    mm.prices.refresh()
    for app in page_app(mm):
        show(app, "models")
        for view in ("Own prices", "Changes"):
            app.button_group(key="prices_view").set_value(view).run()
            assert not app.exception
        assert "cannot be kept" in texts(app)
        assert "a?b" in app.dataframe[0].value["detail"][0]


def test_models_are_listed_with_their_use_the_unpriced_first(app_with_gemini: AppTest, gemini: FakeGemini):
    mm = process.manager()
    gemini.next(wire.answer(prompt=1000, candidates=100), wire.answer(prompt=1000, candidates=100))
    mm.generate("Hi", model="gemini-2.5-flash")
    mm.generate("Hi", model="gemini-unpriced-1")
    show(app_with_gemini, "models")

    frame = app_with_gemini.dataframe[0].value
    assert [name[0] for name in frame["model"][:2]] == ["gemini-unpriced-1", "gemini-2.5-flash"]
    assert list(frame["cost"][:2]) == ["unknown", "$0.000550"] and frame["last"].notna()[:2].all()
    assert list(frame["calls"][:2]) == [1, 1]
    assert frame["per call $"].isna()[0] and frame["per call $"][1] == pytest.approx(0.00055)
    assert "1 calls have no known price" in texts(app_with_gemini)

    app_with_gemini.button(key="prices_set").click().run()
    assert app_with_gemini.button_group(key="prices_view").value == "Unpriced"


def test_own_prices_say_which_holds_and_go_by_name(app: AppTest):
    prices = process.manager().prices
    for start, usd in (("2026-01-01", 1), ("2026-02-01", 2), ("2099-01-01", 3)):
        prices.set_price({"provider": "openai", "model": "gpt-x", "input": usd, "output": usd, "effective_from": start})
    show(app, "models")
    app.button_group(key="prices_view").set_value("Own prices").run()
    assert list(app.dataframe[0].value["state"]) == ["Replaced", "Holds now", "Scheduled"]

    button(app, "Remove openai gpt-x").click().run()
    assert len(prices.book.rows) == 2


def test_a_vendor_whose_list_cannot_be_read_is_named_with_the_way_to_mend_it(
    app_with_gemini: AppTest, gemini: FakeGemini
):
    gemini.close()
    show(app_with_gemini, "models")

    assert "Gemini: cannot be reached" in texts(app_with_gemini)
