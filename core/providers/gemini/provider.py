"""Gemini through google-genai's asynchronous client, whose own retries, redirects and loops are switched off."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from core.domain.generation import Chunk, Message, Model, Parameters, Request, Usage
from core.domain.operation import Operation
from core.errors import AimmError, ProviderError, ProviderTimeout
from core.formats import strict_json as json
from core.pricing.catalogue import normalise, shipped
from core.providers.base import KeyCheck, uncached
from core.providers.batches import Carried
from core.providers.families import SHIPPED, Families
from core.providers.gemini.batches import GeminiBatches
from core.providers.gemini.errors import to_error
from core.providers.gemini.request import as_came, to_body
from core.providers.gemini.response import Candidates, Reader, as_ended
from core.providers.gemini.usage import to_usage
from core.providers.http.client import HttpVendor
from core.providers.http.errors import UNREADABLE, unreadable
from core.providers.http.network import Network
from core.providers.key_check import judged

LIST_TIMEOUT_S = 6.0
MOST_EMBEDDINGS = 100  # of one request
_MODEL_PATH = re.compile(r"/v1beta/models/([^:/?]+)")
_NOT_TEXT = re.compile(r"embedding|tts|image|live|audio|robotics|aqa|veo|imagen|banana|omni|computer-use")


class GeminiProvider(Carried):
    """One key, one client; made on the event loop that uses it."""

    name = deployment = "gemini"
    wires: tuple[str, ...] = ("gemini",)
    families: Families = SHIPPED
    operations: frozenset[Operation] = frozenset({"chat", "embeddings"})
    gives_several = True

    def __init__(self, api_key: str, base_url: str, network: Network | None = None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client: Any = None
        self._genai_http: Any = None
        self._http = GeminiWire("Gemini", self._base_url, {"x-goog-api-key": api_key}, network)
        self.batches = GeminiBatches(self._http)

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncGenerator[Chunk]:
        ask = self._by_client if request.native is None else self._by_wire
        async with aclosing(ask(request, timeout_s)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _by_client(self, request: Request, timeout_s: float) -> AsyncGenerator[Chunk]:
        from core.providers.gemini.transport import carried_by

        with _translated():
            responses = await self._open().models.generate_content_stream(
                model=request.model,
                contents=self._body(request)["contents"],
                config=_config(self._body(request), timeout_s),
            )
            reader = Reader()
            async with aclosing(responses):
                async for response in responses:
                    yield reader.read([carried_by(response)])

    async def _by_wire(self, request: Request, timeout_s: float) -> AsyncGenerator[Chunk]:
        """Answer a request that came by HTTP without the client's objects, which would cost ten times as much.

        A request of this wire is answered in the vendor's own bytes.
        """
        native = request.native_for("gemini")
        if request.operation == "embeddings":
            yield await self._embeddings(request, timeout_s)
            return
        body = self._body(request) if native is None else as_came(request, native)
        action = "streamGenerateContent?alt=sse" if request.is_streamed else "generateContent"
        reader = Candidates(request.n_answers)
        async with self._http.answer(f"/v1beta/models/{quote(request.model, safe='')}:{action}", body) as answer:
            if await answer.is_whole():
                raw, values = await answer.whole()
                self._http.refuse_errors(values)
                kept = raw if native and not request.is_streamed else None
                for chunk in (*reader.read(as_ended(values), kept), *reader.end()):
                    yield chunk
                return
            async for events in answer.events():
                # Only what says something: google-genai takes a comment for a broken answer.
                said, error = self._http.until_error([event for event in events if event.value is not None])
                is_passed = native is not None and request.is_streamed
                # To be written anew for another wire, each event stays a chunk of its own.
                for together in [said] if is_passed else [[event] for event in said]:
                    values = [event.value for event in together if event.value is not None]
                    passed = b"".join(event.raw for event in together) if is_passed else None
                    if together:
                        for chunk in reader.read(values, passed):
                            yield chunk
                if error is not None:
                    raise error
            for chunk in reader.end():
                yield chunk

    async def _embeddings(self, request: Request, timeout_s: float) -> Chunk:
        """Older models count no tokens of embeddings."""
        model, dimensions = f"models/{request.model}", request.parameters.dimensions
        sized = {} if dimensions is None else {"outputDimensionality": dimensions}
        asked = [{"model": model, "content": {"parts": [{"text": m.text}]}, **sized} for m in request.messages]
        path = f"/v1beta/models/{quote(request.model, safe='')}:batchEmbedContents"
        vectors: list[Any] = []
        usage: Usage | None = Usage()
        if (native := request.native_for("gemini")) is not None:
            return await self._embedded(native.body, model, path)
        for at in range(0, len(asked), MOST_EMBEDDINGS):
            batch = asked[at : at + MOST_EMBEDDINGS]
            async with self._http.answer(path, {"requests": batch}) as answer:
                _, [value, *_] = await answer.whole()
                self._http.refuse_errors([value])
                vectors += [list(each["values"]) for each in value.get("embeddings") or ()]
            counted = to_usage(value.get("usageMetadata"))
            usage = usage + counted if usage is not None and counted is not None else None
        return Chunk(vectors=tuple(vectors), usage=usage, finish_reason="stop" if vectors else None)

    async def _embedded(self, body: Mapping[str, Any], model: str, path: str) -> Chunk:
        """The answer to a request as it came, for one content or for several."""
        if "requests" in body:
            body = {**body, "requests": [{**each, "model": model} for each in body["requests"]]}
        else:
            path = path.replace(":batchEmbedContents", ":embedContent")
            body = {**body, **({"model": model} if "model" in body else {})}
        async with self._http.answer(path, body) as answer:
            raw, [value, *_] = await answer.whole()
            self._http.refuse_errors([value])
        made = [*(value.get("embeddings") or ()), *([value["embedding"]] if "embedding" in value else ())]
        vectors = tuple(list(each["values"]) for each in made)
        usage = to_usage(value.get("usageMetadata"))
        return Chunk(raw=raw, vectors=vectors, usage=usage, finish_reason="stop" if vectors else None)

    async def models(self) -> list[Model]:
        # Loading it takes seconds of a busy processor: beside the loop, on which all answers wait.
        types = await asyncio.to_thread(import_module, "google.genai.types")
        async with _asked_briefly():
            pager = await self._open().models.list(config=types.ListModelsConfig(page_size=1000))
            found = [self._to_model(model) async for model in pager]
        return [model for model in found if model is not None]

    async def count_tokens(self, request: Request) -> int:
        contents = self._body(request)["contents"]
        if request.system:  # the vendor's count takes no system prompt; it is read like a turn
            contents.insert(0, {"role": "user", "parts": [{"text": request.system}]})
        async with _asked_briefly():
            counted = await self._open().models.count_tokens(model=request.model, contents=contents)
        if counted.total_tokens is None:
            raise ProviderError("Gemini counted no tokens.")
        return int(counted.total_tokens)

    def left_out(self, request: Request) -> list[str]:
        return uncached(request)

    def guess(self, name: str) -> Model:
        """A model with what its family accepts; for models that the vendor's list did not describe."""
        bare = normalise(name)
        return self.families.of(self.name, bare).model(bare, self.name)

    def fallback(self) -> list[Model]:
        """Models of the price catalogue, the newest first, for when the vendor's list cannot be read."""
        known = sorted(shipped().models("gemini"), key=_age, reverse=True)
        return [self.guess(n) for n in known if n.startswith("gemini-") and not _NOT_TEXT.search(n)]

    def _to_model(self, model: Any) -> Model | None:
        bare = normalise(model.name or "")
        actions = model.supported_actions
        if not bare or _NOT_TEXT.search(bare) or (actions is not None and "generateContent" not in actions):
            return None
        guessed = self.guess(bare)
        return replace(
            guessed,
            label=model.display_name or bare,
            context_tokens=model.input_token_limit,
            max_output_tokens=model.output_token_limit,
            max_temperature=model.max_temperature or guessed.max_temperature,
        )

    def _body(self, request: Request) -> dict[str, Any]:
        return to_body(request, self.families.of(self.name, request.model))

    async def check(self) -> KeyCheck:
        """Try the key: read the model list, then let one model write one token."""
        name = ""
        try:
            models = await self.models()
            if not models:
                return KeyCheck("error", "The key is accepted, but no text model is listed for it.")
            name = default_model([model.name for model in models])
            await self._one_token(name)
        except AimmError as error:
            return judged("Gemini", error, name)
        return KeyCheck("works", f"The key works: {len(models)} text models; {name} answered.")

    async def close(self) -> None:
        await self._http.close()
        if self._genai_http is not None:
            await self._genai_http.aclose()

    async def _one_token(self, name: str) -> None:
        request = Request(model=name, messages=(Message("user", "Hi"),), parameters=Parameters(max_tokens=1))
        async with _asked_briefly():
            async for _ in self.stream(request, attempt=1, timeout_s=LIST_TIMEOUT_S):
                pass

    def _open(self) -> Any:
        if self._client is None:
            import httpx2
            from google import genai
            from google.genai import client, types

            from core.providers.gemini.transport import GenaiTransport

            transport = GenaiTransport(self._http, urlsplit(self._base_url).path.rstrip("/"))
            # With a client of its own, google-genai follows redirects, tries again, and asks by whatever is installed.
            self._genai_http = httpx2.AsyncClient(transport=transport, follow_redirects=False, trust_env=False)
            # Whatever is left out here, the client reads from the environment: another address, version or a replay.
            options = types.HttpOptions(
                base_url=self._base_url, api_version="v1beta", timeout=60_000, httpx_async_client=self._genai_http
            )
            debug = client.DebugConfig(client_mode=None, replays_directory=None, replay_id=None)
            # Without one, it would take the environment's; what it sends as one goes no further than the transport.
            key = self._api_key or "none"
            self._client = genai.Client(api_key=key, vertexai=False, http_options=options, debug_config=debug)
        return self._client.aio


def default_model(names: list[str]) -> str:
    """The newest stable flash model of a list; its first entry where there is none."""
    flash = [name for name in names if re.fullmatch(r"gemini-[\d.]+-flash", name)]
    return max(flash, key=_age) if flash else names[0]


def _age(name: str) -> tuple[list[int], int]:
    """The newer a model, the larger; of one version, a dated one is older."""
    numbers = [int(part) for part in re.findall(r"\d+", name)]
    return numbers[:2], -len(numbers)


def _config(body: Mapping[str, Any], timeout_s: float) -> Any:
    """The client's own form of what is not contents, with its loops switched off."""
    from google.genai import types

    rest = {name: value for name, value in body.items() if name not in ("contents", "generationConfig")}
    return types.GenerateContentConfig(
        **rest,
        **body.get("generationConfig", {}),
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        http_options=types.HttpOptions(timeout=max(1, int(timeout_s * 1000))),
    )


class GeminiWire(HttpVendor):
    """Gemini over plain HTTP, where a request's path names its model."""

    def located(self, path: str) -> str:
        if self.addressing.names and (found := _MODEL_PATH.match(path)):
            there = quote(self.addressing.named(unquote(found[1])), safe="")
            return f"/v1beta/models/{there}{path[found.end() :]}"
        return path

    def error(self, status: int, raw: bytes, headers: Mapping[str, str]) -> AimmError:
        try:
            body = json.loads(raw)
        except ValueError:
            body = {"error": {"message": raw[:200].decode("utf-8", "replace").strip()}}
        return to_error(status, body, headers)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the client and its parser raise into our errors, once and here."""
    from google.genai import errors

    try:
        yield
    except (*UNREADABLE, errors.UnknownApiResponseError) as error:
        raise unreadable("Gemini", error) from None


@asynccontextmanager
async def _asked_briefly() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(LIST_TIMEOUT_S):
            with _translated():
                yield
    except TimeoutError:
        raise ProviderTimeout("Gemini did not answer in time.") from None
