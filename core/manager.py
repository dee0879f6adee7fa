"""ModelManager: the composition root. Settings in, services out; nothing else builds anything."""

import threading
import time
from asyncio import AbstractEventLoop as EventLoop
from dataclasses import replace
from itertools import starmap

from core.acting import as_system
from core.background import BackgroundLoop, PeriodicJobs
from core.batches.service import BatchService
from core.budgets.ledger import Ledger
from core.budgets.service import BudgetService
from core.calls.breaker import Breakers
from core.calls.cache import ResponseCache
from core.calls.engine import CallEngine
from core.calls.limits import RateLimits
from core.calls.methods import CallMethods
from core.calls.origin import Origin
from core.comparison.service import ComparisonService
from core.config import Settings
from core.configuration.alerts import Alerts
from core.configuration.experiments import Experiments as ConfiguredExperiments
from core.configuration.people import Teams, Users
from core.configuration.sections import Aliases, Budgets, Keys, Prices, Retention
from core.configuration.service import ConfigurationService
from core.configuration.vendors import Vendors
from core.costs.repricing import RepriceService
from core.costs.service import PriceService
from core.datasets.service import DatasetService
from core.demo.history import Demo
from core.domain.experiment import Variant
from core.domain.generation import Source
from core.domain.key import Key
from core.evaluation.service import EvaluationService, Library
from core.experiments.rollout import AliasService
from core.experiments.routing import TrafficRouter
from core.experiments.service import Experiments
from core.keys.issuing import KeyIssuer
from core.keys.logins import LoginService
from core.keys.permission import Permission
from core.keys.requests import RequestKeeper
from core.keys.service import KeyService
from core.log.service import LogService
from core.log.stored_responses import StoredResponses
from core.models.cipher import Cipher
from core.models.deployments import DeploymentService
from core.models.scopes import budget_check
from core.models.seen import SeenModels
from core.models.service import ModelService
from core.models.vendors import VendorService
from core.monitoring.alerts.delivery import Channels
from core.monitoring.alerts.outbox import Outbox
from core.monitoring.alerts.readings import Gated, Sources, Verdict
from core.monitoring.alerts.service import AlertService
from core.monitoring.alerts.watching import RuleService
from core.monitoring.bills.service import ReconcileService
from core.monitoring.feedback import FeedbackService
from core.monitoring.service import MonitoringService
from core.monitoring.spend import SpendService
from core.people.audit import AuditService
from core.people.roles import RoleRules
from core.people.service import PeopleService
from core.people.teams import TeamService
from core.prompts.service import PromptService
from core.providers.registry import Registry
from core.retention.forgetting import Forgetting
from core.retention.service import RetentionService
from core.runs.engine import RunEngine
from core.runs.job import JobTools
from core.storage.calls.rollups import RollupStore
from core.storage.calls.totals import TotalsStore
from core.storage.engine.database import Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Writer
from core.storage.experiments.aliases import AliasStore
from core.storage.money.spend_by import SpendByStore
from core.telemetry.process_log import tell_call
from core.telemetry.prometheus import PrometheusMetrics
from core.telemetry.tracing import open_tracing
from core.workflows.contestants import WorkflowContestants
from core.workflows.service import WorkflowService

BUSY_S = 60.0
LOOK_UP_S = 0.6  # what a server's requests look up is read again before it is a second old


class ModelManager(CallMethods):
    """Models, calls and their records.

    with ModelManager.open() as mm:
        print(mm.generate("Hello", model="sim-fast").text)
    """

    def __init__(
        self, settings: Settings, speed: float | None, source: Source, *, takes_up: bool, loop: EventLoop | None
    ) -> None:
        """See `open`."""
        self.settings = settings
        self._source: Source = source
        self._loop = BackgroundLoop(loop)
        self._registry = Registry(settings, speed)
        self._closed = threading.Event()
        self._open_records()
        self._open_money()
        self._open_models()
        self._open_calls()
        self._open_features()
        self._open_rules()
        self._open_configuration()
        self._open_telemetry(is_asked=takes_up)
        self._jobs = self._begin_jobs(takes_up=takes_up, serves=loop is not None)
        if takes_up:
            self.runs.watch()

    def _open_records(self) -> None:
        """The database, its one writer, and what stands alone upon them."""
        self.database = Database(self.settings.database_url)
        self._presence = Presence(self.database)
        self._writer = Writer(self.database)
        self._db = self.database, self._writer
        keep = self.settings.keep_texts_days, self.settings.keep_calls_days
        self.retention = RetentionService(*self._db, self._presence, keep, lambda name: self.keys.named(name).id)
        self._ledger = Ledger(*self._db, self._presence)
        self._rollups = RollupStore(self.database)
        self._spend_by = SpendByStore(self.database)
        self.audit = AuditService(*self._db)
        rules = RoleRules(
            self.settings.admins, self.settings.editors, self.settings.viewers, self.settings.groups_claim
        )
        self.people = PeopleService(*self._db, rules, lambda: self.keys.refresh())
        self.keys = KeyService(*self._db, lambda name: self.people.named(name).id)
        self.teams = TeamService(
            *self._db, lambda: [*(key.team for key in self.keys.all()), *(each.team for each in self.people.all())]
        )
        self.logins = LoginService(*self._db)
        self.requests = RequestKeeper(*self._db, self._presence)
        self.prompts = PromptService(*self._db)
        self.traffic = TrafficRouter(*self._db, self.prompts.get, lambda: self.models.default())
        self.datasets = DatasetService(*self._db)

    def _open_money(self) -> None:
        """Prices, budgets, and the keys that are issued with a budget of their own."""
        self.prices = PriceService(
            *self._db, self._registry.deployments, file=self.settings.prices_file, servers=self.settings.servers
        )
        self.repricing = RepriceService(*self._db, self.prices, on_repriced=self._ledger.rewrite_all)
        check = budget_check(
            self._registry,
            self._loop,
            self.prices,
            self._rollups,
            AliasStore(self.database),
            self.keys,
            self.people.all,
        )
        self.budgets = BudgetService(*self._db, self._ledger, check, self.settings.time_zone)
        self.issuer = KeyIssuer(self.keys, self.budgets)

    def _open_models(self) -> None:
        """Models by name, their vendors, and what has been called."""
        self.monitoring = MonitoringService(self._rollups, self._spend_by)
        self.models = ModelService(
            self._registry,
            self._loop,
            self.prices,
            self.traffic.alias,
            usual_answer=lambda model: self.monitoring.usual_answer(model.name, simulated=model.is_simulated),
            default_model=self.settings.default_model,
        )
        self._default_model = self.models.default
        self.vendors = VendorService(self._registry, self._loop, self._writer)
        cipher = Cipher.of(self.settings, self.database)
        self.deployments = DeploymentService(*self._db, self._registry, self._loop, cipher)
        self.deployments.refresh()
        self.seen_models = SeenModels(*self._db)

    def _open_calls(self) -> None:
        """The way to the models, and the log of what was asked."""
        outbox = Outbox(*self._db, Channels.of(self.settings))
        self.spend = SpendService(self._rollups, self._spend_by, self.budgets)
        self.alerts = AlertService(*self._db, self.spend, outbox)
        self.breakers = Breakers(*self._db, outbox.tell)
        self.deployments.on_mended.append(self.breakers.forget)
        self._cache = ResponseCache(*self._db)
        self.calls = CallEngine(
            self._loop,
            self._writer,
            self._registry,
            self._ledger,
            self.prices,
            router=self.traffic,
            breakers=self.breakers,
            limits=RateLimits(
                self._writer,
                self.teams.afind,
                is_shared=self.settings.n_workers > 1 or not self.database.is_sqlite,
                timeout_s=self.settings.call_timeout_s,
            ),
            cache=self._cache,
            timeout_s=self.settings.call_timeout_s,
            log_content=self.settings.log_content,
            permission=Permission(self.audit.refused),
        )
        keeps_text = self.settings.log_content == "full"
        self.log = LogService(
            self.database, self.prices.with_receipts, self.calls.running, self.retention.note, keeps_text=keeps_text
        )
        self.responses = StoredResponses(*self._db)

    def _open_features(self) -> None:
        """The features, which are built on calls."""
        keeps_text = self.settings.log_content == "full"
        self.runs = RunEngine(self.database, self._presence)
        tools = JobTools(*self._db, self.calls, self.keys.of_id)
        self.workflows = WorkflowService(tools, self.runs, default_model=self.models.default, resolve=self.models.get)
        self.comparisons = ComparisonService(
            tools,
            self.runs,
            resolve=self.models.named,
            is_simulated=lambda name: self.models.get(name).is_simulated,
            keeps_prompts=keeps_text,
        )
        self.batches = BatchService(tools, self.runs, self._loop, self._ledger, keeps_text=keeps_text)
        library = Library(
            dataset=self.datasets.get,
            rows=self.datasets.rows,
            resolve=self.models.named,
            model=self.models.get,
            estimate=self.models.estimate,
            default_model=self.models.default,
            flows=WorkflowContestants(self.workflows),
            resume_quick=lambda id_, cap_usd, key: self.comparisons.resume(id_, cap_usd=cap_usd, key=key),
        )
        self.evaluations = EvaluationService(tools, self.runs, self._loop, library)
        self.datasets.uses.append(self.evaluations.on_dataset)
        self.runs.register(self.workflows.job, self.comparisons.job, self.batches.job, self.evaluations.job)
        variants = self._resolved_variant, self._run_variant
        self.experiments = Experiments(*self._db, self.calls, self.traffic, *variants, keeps_text=keeps_text)
        self.experiments.open()
        exists, tell = self.models.exists, self.alerts.outbox.tell
        self.forgetting = Forgetting(*self._db, self.experiments.all)
        self.aliases = AliasService(*self._db, self.experiments, self.traffic, exists, tell)
        self.prompts.uses += [
            self.aliases.with_prompt,
            self.traffic.with_prompt,
            self.workflows.definitions.with_prompt,
        ]
        self.reconciliations = ReconcileService(*self._db, self.monitoring)
        self.feedback = FeedbackService(*self._db, self.log, self.retention.note, keeps_text=keeps_text)
        self.demo = Demo(*self._db)

    def _open_configuration(self) -> None:
        """The sections that a file of configuration may have, in the order in which they need each other."""
        self.configuration = ConfigurationService(
            *self._db,
            (
                Vendors(self.deployments),
                Users(self.people),
                Keys(self.keys),
                Teams(self.teams),
                Budgets(self.budgets, self.keys, self.settings.time_zone),
                Aliases(self.aliases),
                Prices(self.prices),
                Retention(self.retention, self.keys),
                Alerts(self.alert_rules),
                ConfiguredExperiments(self.experiments.designs, self._resolved_variant),
            ),
        )

    def _open_rules(self) -> None:
        """Alert rules, which look at what the features say."""
        sources = Sources(
            lambda: starmap(Verdict, self.experiments.reports.decided()),
            lambda: starmap(Gated, self.evaluations.verdicts.gated()),
        )
        self.alert_rules = RuleService(*self._db, self.alerts.outbox, sources, self.budgets.statuses)

    def _open_telemetry(self, *, is_asked: bool) -> None:
        """is_asked: Whether anyone may ask this process for its figures; a command that ends at once is never asked."""
        self.metrics = PrometheusMetrics(
            TotalsStore(self.database),
            self.budgets.statuses,
            lambda: self.calls.n_in_flight,
            folder=self.settings.metrics_folder,
        )
        self._tracing = open_tracing(self.settings)
        if is_asked:
            self.calls.observe(self.metrics.observe)
            self.calls.observe(tell_call)
        if self._tracing is not None:
            self.calls.observe(self._tracing.observe)

    def _begin_jobs(self, *, takes_up: bool, serves: bool) -> list[PeriodicJobs]:
        """The work that nobody asks for, and for a server the reading of what each request looks up."""
        jobs = (
            self._presence.renew,
            self.prices.refresh,
            self.budgets.release_dead,
            self.breakers.refresh,
            self._cache.forget_old,
            self.responses.forget_old,
            self.batches.files.forget_old,
            self.alerts.evaluate,
            self.alert_rules.evaluate,
            self.alerts.outbox.deliver,
            self.experiments.traffic.settle_runs,
            self.experiments.designs.reallocate,
            self.aliases.advance,
            self.keys.flush,
            self.metrics.beat,
        )
        # Retention has a thread of its own: a round takes long, as it leaves the database to calls in between.
        threads = (jobs, (self.retention.tick, self.forgetting.finish)) if takes_up else ()
        begun = [PeriodicJobs([as_system(job) for job in each]) for each in threads]
        begun.append(PeriodicJobs((as_system(self._look_at_deployments),), every_s=LOOK_UP_S))
        if serves:
            begun.append(PeriodicJobs((as_system(self._look_up),), every_s=LOOK_UP_S))
        return begun

    def _look_at_deployments(self) -> None:
        """See what was set up elsewhere, and what rests there: then nobody asks it here."""
        self.deployments.refresh()
        if any(len(pool.deployed) > 1 for pool in self._registry.deployments.pools.values()):
            self.breakers.refresh()

    def _look_up(self) -> None:
        if time.monotonic() - self.calls.last_at < BUSY_S:
            for each in (self.keys, self.traffic, self.budgets, self.people, self.teams):
                each.refresh()

    def _resolved_variant(self, variant: Variant) -> Variant:
        if not variant.workflow:
            pinned = self.traffic.pinned(variant.prompt_version)
            return self.models.named(replace(variant, prompt_version=pinned))
        self.workflows.get(variant.workflow)
        return replace(variant, model=self.models.get(variant.model or self.models.default()).name)

    def _run_variant(self, variant: Variant, text: str, key: Key | None) -> str:
        origin = Origin(source="experiment", key=key, is_permitted=True)  # judged by the experiment's name
        return self.workflows.start(variant.workflow, text, model=variant.model, origin=origin)

    @classmethod
    def open(
        cls,
        settings: Settings | None = None,
        *,
        simulated_speed: float | None = None,
        source: Source = "python",
        takes_up: bool = True,
        loop: EventLoop | None = None,
    ) -> "ModelManager":
        """Open with the settings of the environment and of `.env`, unless others are given.

        simulated_speed: How much faster than life simulated models answer; 0 = at once; None = as the settings say.
        source: The source that calls are logged under.
        takes_up: Do what nobody asks for: continue workflow runs that a dead process left, evaluate and send alerts.
        loop: A server's running loop, for calls to run on; then the manager is opened and closed in another thread.
        """
        return cls(settings or Settings.load(), simulated_speed, source, takes_up=takes_up, loop=loop)

    def close(self) -> None:
        """Stop running calls (they are recorded), finish all writes, close the database."""
        if self._closed.is_set():
            return
        self._closed.set()
        self.retention.stop()
        for jobs in self._jobs:
            jobs.close()
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
        """True where calls can be recorded just now."""
        return self._writer.works()

    def __enter__(self) -> "ModelManager":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
