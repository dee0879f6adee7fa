"""The frame of every page: navigation, strip, banners. Its list of pages is the only one."""

from typing import Any, NamedTuple

import streamlit as st

from dashboard import address, failure, login, process, theme
from dashboard.components.frame import header, keyboard
from dashboard.components.people import account
from dashboard.frames import log
from dashboard.visitors import actor, allowed


class Entry(NamedTuple):
    """A page in the navigation.

    Attributes:
        section: Its heading in the sidebar.
        file: In pages/; its last part is its address.
        title: What it is called.
        icon: A name of Material Symbols.
        names: What it takes from its address, in one text; anything else there is another page's.
    """

    section: str
    file: str
    title: str
    icon: str
    names: str = ""

    def page(self, **options: Any) -> st.Page:
        given = {"icon": f":material/{self.icon}:", "url_path": self.file.rpartition("/")[2].lstrip("_")} | options
        return st.Page(f"pages/{self.file}.py", title=self.title, **given)


MONITORING = "range zoom monitor_model monitor_simulated monitor_view spend_by week_of"
LOG = "call session log_range log_page log_view log_by log_and " + " ".join(f"log_{name}" for name in log.FILTERS)
COMPARE = (
    "comparison compare_view compare_mode evaluation item eval_with eval_metric eval_show eval_tag eval_words eval_page"
    " eval_view"
)
PRICES = "prices_view past_provider past_model past_since past_until past_all unpriced_model model_of own_for"
AUDIT = "entry " + " ".join(
    f"audit_{name}" for name in ("who", "subject", "kind", "outcome", "since", "until", "before")
)
PAGES = (
    Entry("Work", "home", "Home", "home"),
    Entry("Work", "playground", "Playground", "chat", "conversation call model settings prompt"),
    Entry("Work", "workflows", "Workflows", "account_tree", "run step flow_name flow_view"),
    Entry("Work", "compare", "Compare", "compare", COMPARE),
    Entry("Work", "experiments", "Experiments", "science", "experiment"),
    Entry("Work", "monitoring", "Monitoring", "monitoring", MONITORING),
    Entry("Work", "budgets", "Budgets", "savings", "budget budget_search"),
    Entry("Library", "library/prompts", "Prompts", "edit_note", "prompt prompt_edit"),
    Entry("Library", "library/datasets", "Datasets", "dataset", "dataset import"),
    Entry("Records", "log", "Log", "list", LOG),
    Entry("Records", "alerting/alerts", "Alerts", "notifications", "rule"),
    Entry("Records", "gateway", "Gateway", "router", "call key team gateway_client gateway_model gateway_revoked"),
    Entry("Records", "models", "Models & prices", "sell", PRICES),
    Entry("Records", "people/people", "People", "group", "person"),
    Entry("Records", "people/audit", "Audit", "history", AUDIT),
    Entry("Records", "settings", "Settings", "settings", "deployment"),
)  # fmt: skip
ADMINS_OWN = ("People", "Audit")  # others do not see them in the navigation, and are told so where a link leads there
STANDARD = Entry("Records", "_standard", "Standard", "palette")
NAME = "AI Model Manager"
# Drawn here: browsers fetch the pictures of icons and emojis from other hosts.
_MARK = (
    '<rect width="32" height="32" rx="7" fill="#1f5fd0"/>'
    '<path d="M6 22l6-8 5 5 9-11" fill="none" stroke="#fff" stroke-width="3" stroke-linejoin="round"/>'
)
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{_MARK}</svg>'


def _logo() -> str:
    place = 'x="42" y="23" textLength="184" lengthAdjust="spacingAndGlyphs"'
    text = f'<text {place} font-family="sans-serif" font-size="20" font-weight="600" fill="{theme.ink().text}">'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 232 32">{_MARK}{text}{NAME}</text></svg>'


def run() -> None:
    process.put_aside()
    is_in = login.lets_in()
    sections: dict[str, list[st.Page]] = {}
    pages = (*PAGES, STANDARD) if process.manager().settings.is_developer else PAGES
    for entry in pages:
        is_shown = entry.title not in ADMINS_OWN or allowed.may("admin")
        page = entry.page() if is_shown else entry.page(visibility="hidden")
        sections.setdefault(entry.section, []).append(page)
    # The first page is at the root, which is the only address of a default page; /home shows it too.
    first = PAGES[0]
    at_root = first.page(default=True, url_path="root")
    sections["Work"] = [at_root, *sections["Work"][1:], first.page(visibility="hidden")]
    page = st.navigation(sections, position="sidebar" if is_in else "hidden", expanded=True)
    if not is_in:
        return
    theme.apply()
    st.logo(_logo(), icon_image=ICON)
    st.set_page_config(page_title=f"{page.title} – {NAME}")
    says_itself = page.title in ("Home", "Budgets")  # what the banners say
    for part in (account.show, header.strip, keyboard.listen, *(() if says_itself else (header.banners,))):
        with failure.contained():
            part()
    address.enter(page.title, next(entry.names for entry in pages if entry.title == page.title).split())
    page.run()  # an error of the page itself ends the run, so that what was typed below it is kept: see failure.show


st.set_page_config(page_title=NAME, page_icon=ICON, layout="wide")
actor.begin()
with process.turn():
    run()
