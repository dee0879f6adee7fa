"""ModelManager: the composition root. Settings in, services out; nothing else builds anything."""

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any, TypeVar

from core import clock
from core.background import Housekeeper
from core.budgets.ledger import Ledger
from core.budgets.scopes import Known, checked_scope
from core.budgets.service import BudgetService
from core.calls.accounting import TOKENS_PER_MESSAGE, longest_answer, longest_input, media_of
from core.calls.asking import Asking
from core.calls.breaker import Breakers
from core.calls.cache import AnswerCache
from core.calls.call import Origin
from core.calls.engine import CallEngine
from core.calls.limits import RateLimits
from core.calls.loop import BackgroundLoop
from core.comparison.service import ComparisonService
from core.config import Settings, to_key
from core.costs.service import PriceService
from core.demo import Demo
from core.domain.budget import PROVIDERS, Budget
from core.domain.comparison import Candidate
from core.domain.experiment import Variant
from core.domain.generation import (
    Generation,
    Message,
    Model,
    Parameters,
    Request,
    Source,
    Wire,
)
from core.domain.key import Key
from core.domain.price import Price
from core.errors import AimmError, InvalidRequest, NotFound
from core.experiments.rollout import AliasService
from core.experiments.service import ExperimentService
from core.experiments.traffic import TrafficRouter
from core.keys.logins import LoginService
from core.keys.requests import RequestKeeper
from core.keys.service import KeyService
from core.monitoring.alerts.delivery import Channels
from core.monitoring.alerts.service import AlertService
from core.monitoring.bills.service import ReconcileService
from core.monitoring.feedback import FeedbackService
from core.monitoring.service import MonitoringService
from core.monitoring.spend import SpendService
from core.pricing.estimate import Estimate, Range, estimate, input_range, output_range
from core.providers import gemini_wire
from core.providers.base import KeyCheck
from core.providers.openai import OpenAIProvider
from core.providers.registry import Registry
from core.runs.engine import RunEngine
from core.runs.job import JobTools
from core.storage.calls.generations import GenerationStore
from core.storage.calls.rollups import RollupStore
from core.storage.calls.totals import TotalsStore
from core.storage.engine.database import Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Writer
from core.storage.money.spend_by import SpendByStore
from core.telemetry.prometheus import PrometheusMetrics
from core.telemetry.tracing import open_tracing
from core.workflows.service import WorkflowService

BUSY_S = 60.0
_Asked = TypeVar("_Asked", Variant, Candidate)


class ModelManager(Asking):
    """Models, calls and their records.

    with ModelManager.open() as mm:
        print(mm.generate("Hello", model="sim-fast").text)
    """

    def __init__(
        self,
        settings: Settings,
        *,
        simulated_speed: float | None = None,
        source: Source = "python",
        takes_up: bool = True,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.settings = settings
        self._source: Source = source
        self._loop = BackgroundLoop(loop)
        self.database = Database(settings.database_url)
        self._presence = Presence(self.database)
        ledger = Ledger(self._presence)
        self._writer = Writer(self.database, ledger.settle)
        self.log = GenerationStore(self.database)
        self._rollups = RollupStore(self.database)
        self.budgets = BudgetService(self.database, self._writer, ledger, clock.now, self._check_budget)
        self.budgets.open()
        self.keys = KeyService(self.database, self._writer, clock.now)
        self.logins = LoginService(self.database, self._writer)
        self.requests = RequestKeeper(self.database, self._writer, self._presence)
        self.prices = PriceService(
            self.database,
            self._writer,
            clock.now,
            file=settings.prices_file,
            servers=settings.servers,
            on_repriced=lambda connection: ledger.rewrite_all(connection, clock.now_us()),
        )
        self._registry = Registry.of(settings, simulated_speed)
        self.breakers = Breakers(self.database, self._writer)
        self.traffic = TrafficRouter(self.database, self._writer)
        self.calls = CallEngine(
            self._loop,
            self._writer,
            self._registry.resolve,
            self.budgets,
            self.prices,
            router=self.traffic,
            breakers=self.breakers,
            limits=RateLimits(self._writer, is_shared=settings.n_workers > 1 or not self.database.is_sqlite),
            cache=AnswerCache(self.database),
            timeout_s=settings.call_timeout_s,
            log_content=settings.log_content,
        )
        self._open_runs()
        self.experiments = ExperimentService(
            self.database,
            self._writer,
            self.calls,
            self.traffic,
            self._resolved_variant,
            self._run_variant,
            keeps_text=settings.log_content == "full",
        )
        self.experiments.open()
        self.aliases = AliasService(self.database, self._writer, self.experiments, self.traffic, self._is_model)
        spend_by = SpendByStore(self.database)
        self.monitoring = MonitoringService(self._rollups, clock.now, spend_by)
        self.spend = SpendService(self._rollups, spend_by, self.budgets, clock.now)
        self.alerts = AlertService(self.database, self._writer, self.spend, Channels.of(settings), clock.now)
        self.breakers.tell = self.aliases.tell = self.alerts.tell
        self.reconciliations = ReconcileService(self.database, self._writer, self.monitoring)
        keeps_text = settings.log_content == "full"
        self.demo, self.feedback = (
            Demo(self.database, self._writer),
            FeedbackService(self.database, self._writer, self.log, keeps_text=keeps_text),
        )
        self.metrics = PrometheusMetrics(
            TotalsStore(self.database),
            self.budgets.statuses,
            lambda: self.calls.n_in_flight,
            folder=settings.metrics_folder,
        )
        self._tracing = open_tracing(settings)
        self._have_calls_told(counts=takes_up)
        self._closed = threading.Event()
        self._keepers = self._open_keepers(takes_up=takes_up, serves=loop is not None)
        if takes_up:
            self._take_up()

    def _open_runs(self) -> None:
        """What goes on after a crash: a kind of run is a service and its name in `register`."""
        self.runs = RunEngine(self.database, self._presence)
        tools = JobTools(self.database, self._writer, self.calls, self.keys.of_id)
        self.workflows = WorkflowService(tools, self.runs, default_model=self.default_model, resolve=self.model)
        self.comparisons = ComparisonService(
            self.database,
            self._writer,
            self.calls,
            self._presence,
            resolve=self._aliased,
            key_of=self.keys.of_id,
            keeps_prompts=self.settings.log_content == "full",
        )
        self.runs.register(self.workflows.job)

    def _open_keepers(self, *, takes_up: bool, serves: bool) -> list[Housekeeper]:
        """What runs in the background: what nobody asks for, and for a server what it looks up at each request."""
        duties = (
            self._presence.renew, self.prices.refresh, self.budgets.release_dead, self.breakers.refresh, self.calls.forget_old_answers, self.alerts.evaluate, self.alerts.deliver,
            self.experiments.settle_runs, self.experiments.reallocate, self.aliases.advance, self.comparisons.take_up, self.keys.flush, self.metrics.beat,
        )  # fmt: skip
        keepers = [Housekeeper(duties)] if takes_up else []
        if serves:
            # A server's requests need not wait for what each looks up: it is read again before it is a second old.
            keepers.append(Housekeeper((self._keep_known,), every_s=0.6))
        return keepers

    def _take_up(self) -> None:
        """Go on with what a dead process left."""
        self.runs.watch()
        self.comparisons.take_up()

    @classmethod
    def open(
        cls,
        settings: Settings | None = None,
        *,
        simulated_speed: float | None = None,
        source: Source = "python",
        takes_up: bool = True,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> "ModelManager":
        """Open with the settings of the environment and of `.env`, unless others are given.

        simulated_speed: How much faster than life simulated models answer; 0 = at once; None = as the settings say.
        source: What calls are logged under. takes_up: Whether to do what nobody asks for: go on with workflow runs that a dead process
            left, keep alerts up to date and send them.
        loop: A server's running loop, for calls to run on; then the manager is opened and closed in another thread.
        """
        chosen = settings or Settings.load()
        return cls(chosen, simulated_speed=simulated_speed, source=source, takes_up=takes_up, loop=loop)

    def close(self) -> None:
        """Stop running calls (they are recorded), finish all writes, close the database."""
        if self._closed.is_set():
            return
        self._closed.set()
        for keeper in self._keepers:
            keeper.close()
        self.runs.close()
        self.calls.cancel_all()
        self.keys.close()
        self._writer.close()
        self._loop.run(self._registry.close())
        self._loop.close()
        self.metrics.close()
        if self._tracing is not None:
            self._tracing.close()
        self._presence.close()
        self.database.close()

    def is_ready(self) -> bool:
        return self._writer.works()

    def _keep_known(self) -> None:
        if time.monotonic() - self.calls.last_at < BUSY_S:
            for each in (self.keys, self.traffic, self.budgets):
                each.refresh()

    def _have_calls_told(self, *, counts: bool) -> None:
        """counts: Whether anyone may ask this process for its figures; a command that ends at once is never asked."""
        if counts:
            self.calls.observe(self.metrics.observe)
        if self._tracing is not None:
            self.calls.observe(self._tracing.observe)

    def __enter__(self) -> "ModelManager":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Models --------------------------------------------------------------------------------------------------------

    def models(self, wait_s: float | None = None) -> list[Model]:
        """What can be asked now: the vendors' models first, then the simulated ones.

        wait_s: After so long, what is known without the vendors that have not said which models they have.
        """
        return self._loop.run(self._registry.models(wait_s))

    def model(self, name: str) -> Model:
        """The model of a name.

        Raises:
            ModelNotFound, AuthenticationError
        """
        alias = self.traffic.alias(name)
        return self._loop.run(self._registry.resolve(alias.target.model if alias else name))[1]

    def _is_model(self, name: str) -> bool:
        try:
            self._loop.run(self._registry.resolve(name))
        except AimmError:
            return False
        return True

    def _resolved_variant(self, variant: Variant) -> Variant:
        if variant.workflow:
            self.workflows.get(variant.workflow)
            return replace(variant, model=self.model(variant.model or self.default_model()).name)
        return self._aliased(variant)

    def _aliased(self, asked: _Asked) -> _Asked:
        """A variant or candidate with the model that it really asks; of an alias, what that stands for today."""
        alias = self.traffic.alias(asked.model)
        if alias is None:
            return replace(asked, model=self.model(asked.model).name)
        target = alias.target
        return replace(
            asked,
            model=target.model,
            system=asked.system if asked.system is not None else target.system,
            parameters=Parameters(**(target.parameters.as_dict() | asked.parameters.as_dict())),
        )

    def _run_variant(self, variant: Variant, text: str, key: Key | None) -> str:
        origin = Origin(source="experiment", key=key, is_permitted=True)  # judged by the experiment's name
        return self.workflows.start(variant.workflow, text, model=variant.model, origin=origin)

    def _check_budget(self, budget: Budget) -> Budget:
        if budget.downgrade_to:  # a model, not an alias: what a budget falls back to must not move
            self._loop.run(self._registry.resolve(budget.downgrade_to))
        known = Known(
            providers=tuple(dict.fromkeys((*PROVIDERS, *self._registry.names))),
            models=self._known_models,
            resolve=lambda name: self._loop.run(self._registry.resolve(name)),
            takes_any=lambda: self._registry.takes_any,
            aliases=lambda: {alias.name: alias.target.model for alias in self.aliases.all()},
            key_id=lambda name: self.keys.named(name).id,
        )
        return checked_scope(budget, known)

    def _known_models(self) -> set[tuple[str, str]]:
        priced = {(vendor, name) for vendor in self.prices.providers for name in self.prices.book.models(vendor)}
        return priced | {(model.provider, model.name) for model in self.models()} | self._rollups.models()

    def default_model(self) -> str:
        return self.settings.default_model or self._loop.run(self._registry.default_model())

    def price(self, model: str) -> Price | None:
        """The price row that holds now; None when none is known."""
        return self.prices.price(self.model(model).provider, model, clock.now())

    def estimate(self, request: Request, *, counted: int | None = None) -> Estimate:
        """What a call may cost. counted: Its input tokens, where the vendor counted them (`count_tokens`).

        Raises:
            ModelNotFound, AuthenticationError
        """
        model = self.model(request.model)
        inputs = input_range(request.n_bytes, longest_input(request, model), counted)
        return self._estimated(model, inputs, request, is_exact=counted is not None)

    def estimate_step(self, model_name: str, n_bytes: Range, parameters: Parameters) -> Estimate:
        """What one step of a workflow may cost, by the bytes of its prompt; see WorkflowService.estimate."""
        model = self.model(model_name)
        inputs = Range(*(input_range(n, n + TOKENS_PER_MESSAGE, None)[at] for at, n in enumerate(n_bytes)))
        request = Request(model=model.name, messages=(Message("user", ""),), parameters=parameters)
        return self._estimated(model, inputs, request)

    def _estimated(self, model: Model, inputs: Range, request: Request, *, is_exact: bool = False) -> Estimate:
        tier = request.parameters.service_tier or "standard"
        price = self.prices.price(model.provider, model.name, clock.now(), tier)
        usual = self.monitoring.usual_answer(model.name, simulated=model.is_simulated)
        outputs = output_range(longest_answer(request, model), usual)
        return estimate(model.name, price, inputs, outputs, media=media_of(request), is_exact=is_exact)

    def count_tokens(self, request: Request, key: Key | None = None) -> int:
        """The exact input tokens of a request, counted by its vendor. key: Who asks. Raises: AimmError"""
        return self.calls.count_tokens(request, Origin(source=self._source, key=key))

    @property
    def database_address(self) -> str:
        """Where the records are, without the password."""
        return self.database.address

    @property
    def has_key(self) -> bool:
        return self._registry.has("gemini")

    @property
    def model_list_error(self) -> str:
        """Why the vendor's model list could not be read; empty when it could."""
        return self._registry.list_error

    def check_key(self, key: str) -> KeyCheck:
        """Try a Gemini key without keeping it."""
        try:
            found = to_key(key)
        except InvalidRequest as error:
            return KeyCheck("wrong_key", error.message)
        if found is None:  # of an empty one, google-genai would take the environment's
            return KeyCheck("missing", "There is no key to try.")
        return self._loop.run(self._registry.check_key("gemini", found))

    def vendors(self) -> list[str]:
        """The vendors that are set up, simulated ones aside."""
        return self._registry.names

    def check_vendor(self, vendor: str) -> KeyCheck:
        """Try a vendor as it is set up: its address, its key, its list of models."""
        return self._loop.run(self._registry.check(vendor))

    def use_key(self, key: str) -> None:
        """Use a Gemini key from now on; it lives in this process only.

        Raises:
            InvalidRequest: It is empty, or holds what no key holds.
        """
        found = to_key(key)
        if found is None:
            raise InvalidRequest("There is no key to use.")
        self._registry.set_key("gemini", found)

    def remembered(self, generation_id: str) -> Generation | None:
        """A call of this process with its texts, even where content is not kept; else what the log has."""
        call = self.calls.running(generation_id)
        if call is not None and call.done.done() and call.done.exception() is None:
            return call.result()
        found = self.log.get(generation_id)
        return None if found is None else self.prices.with_receipts(found)

    def body_for(self, wire: Wire, request: Request) -> dict[str, Any]:
        """What a program sends to this server for the same request, in the wire of `openai` or `gemini`."""
        if wire == "gemini":
            return gemini_wire.to_body(request)
        body = OpenAIProvider("gateway", "http://localhost", None).to_body(replace(request, is_streamed=False))
        budget = request.parameters.thinking_budget
        return body if budget is None else {**body, "thinking_budget": budget}

    # Records -------------------------------------------------------------------------------------------------------

    def generation(self, generation_id: str) -> Generation:
        """A recorded call, whole.

        Raises:
            NotFound: There is none of this id.
        """
        found = self.log.get(generation_id)
        if found is None:
            raise NotFound(f"There is no generation {generation_id[:60]!r}.")
        return self.prices.with_receipts(found)
