"""Models for their users: listed, looked up by name or alias, with their price and what a request may cost."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from core import clock
from core.background import BackgroundLoop
from core.costs.service import PriceService
from core.domain.comparison import Candidate
from core.domain.experiment import Alias, Variant
from core.domain.generation import Message, Model, Parameters, Request
from core.domain.key import Key
from core.domain.price import Price
from core.errors import AimmError, InvalidRequest
from core.formats.names import ref_in
from core.keys.rules import check_model
from core.models.media import read_by
from core.pricing.estimate import Estimate, Range, estimate, input_range, output_range
from core.pricing.tokens import TOKENS_PER_MESSAGE, longest_answer, longest_input, media_of
from core.providers.gemini import request as gemini
from core.providers.openai import request as openai
from core.providers.registry import Registry

_Named = TypeVar("_Named", Variant, Candidate)


class ModelService:
    """Models that can be asked. Calling the service lists the models."""

    def __init__(
        self,
        registry: Registry,
        loop: BackgroundLoop,
        prices: PriceService,
        find_alias: Callable[[str], Alias | None],
        usual_answer: Callable[[Model], float | None],
        default_model: str | None,
    ) -> None:
        """find_alias: The alias of a name, if it is one.
        usual_answer: The output tokens that a model's answers have on average; None = it has not answered.
        default_model: The one of the settings; None = a vendor's newest.
        """
        self._registry = registry
        self._loop = loop
        self._prices = prices
        self._find_alias = find_alias
        self._usual_answer = usual_answer
        self._default_model = default_model

    def __call__(self, wait_s: float | None = None) -> list[Model]:
        """The models that can be asked now: the vendors' first, then the simulated ones.

        wait_s: After so long, what is known without the vendors that have not said which models they have.
        """
        return self._loop.run(self._registry.models(wait_s))

    def get(self, name: str) -> Model:
        """The model of a name, or the one that an alias stands for today.

        Raises:
            ModelNotFound, AuthenticationError
        """
        alias = self._find_alias(name)
        return self._resolve(alias.target.model if alias else name)

    def exists(self, name: str) -> bool:
        """True where a name is a model's that can be asked; an alias is none."""
        try:
            self._resolve(name)
        except AimmError:
            return False
        return True

    def default(self) -> str:
        """The model that answers where none is named."""
        return self._default_model or self._loop.run(self._registry.default_model())

    def named(self, wanted: _Named) -> _Named:
        """A variant or candidate with the model that it really asks; of an alias, what that stands for today."""
        alias = self._find_alias(wanted.model)
        if alias is None:
            return replace(wanted, model=self._resolve(wanted.model).name)
        target = alias.target
        if ref_in(target.prompt_version):
            raise InvalidRequest(f"{alias.name} stands for a prompt: name its model here, and the prompt beside it.")
        return replace(
            wanted,
            model=target.model,
            system=wanted.system if wanted.system is not None else target.system,
            parameters=wanted.parameters.over(target.parameters),
        )

    def price(self, name: str) -> Price | None:
        """The price row that holds now; None when none is known."""
        return self._prices.price(self.get(name).provider, name, clock.now())

    def reads(self, name: str) -> frozenset[str]:
        """The kinds of files that a model reads: image, pdf, audio. Raises: ModelNotFound, AuthenticationError"""
        return read_by(self.get(name))

    def estimate(self, request: Request, *, counted: int | None = None, key: Key | None = None) -> Estimate:
        """The range of what a call may cost.

        counted: Its input tokens, where the vendor counted them.
        key: The caller's.

        Raises:
            ModelNotFound, AuthenticationError; Forbidden: the key may not ask this model. InvalidRequest: a parameter.
        """
        check_model(key, request.model)
        if problem := request.parameters.problem():
            raise InvalidRequest(problem)
        model = self.get(request.model)
        inputs = input_range(request.n_bytes, longest_input(request, model), counted)
        return self._estimated(model, inputs, request, is_exact=counted is not None)

    def estimate_step(self, name: str, n_bytes: Range, parameters: Parameters) -> Estimate:
        """The same for a step of a workflow, by the bytes that its prompt may have."""
        model = self.get(name)
        inputs = Range(*(input_range(n, n + TOKENS_PER_MESSAGE, None)[at] for at, n in enumerate(n_bytes)))
        request = Request(model=model.name, messages=(Message("user", ""),), parameters=parameters)
        return self._estimated(model, inputs, request)

    def body_for(self, wire: str, request: Request) -> dict[str, Any]:
        """The body that a program sends to this server for the same request: Gemini's, or for other wires OpenAI's."""
        if wire == "gemini":
            return gemini.to_body(request)
        body = openai.to_body(replace(request, is_streamed=False))
        budget = request.parameters.thinking_budget
        return body if budget is None else {**body, "thinking_budget": budget}

    def _resolve(self, name: str) -> Model:
        return self._loop.run(self._registry.resolve(name))[1]

    def _estimated(self, model: Model, inputs: Range, request: Request, *, is_exact: bool = False) -> Estimate:
        tier = request.parameters.service_tier or "standard"
        price = self._prices.price(model.provider, model.name, clock.now(), tier)
        outputs = output_range(longest_answer(request, model), self._usual_answer(model))
        return estimate(model.name, price, inputs, outputs, media=media_of(request), is_exact=is_exact)
