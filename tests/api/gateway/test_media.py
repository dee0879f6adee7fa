"""Pictures, sound, moderation and completions of texts, asked by OpenAI's own client."""

import base64
import io
import wave
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from core.domain.experiment import Target
from core.domain.generation import Parameters
from tests.builders import CLAUDE, FLASH, GPT, HELLO, Running
from tests.fakes import gemini as gemini_fake
from tests.fakes import media as fake
from tests.fakes.vendors import Reply, failure


def _wav(seconds: float = 0.1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(int(16_000 * seconds)))
    return file.getvalue()


def test_a_moderation_is_free_and_says_what_it_found(served: Running):
    heard = served.client().moderations.with_raw_response.create(input=["I will hurt you", "Hello"])

    found, row = heard.parse(), served.row()
    assert [each.flagged for each in found.results] == [True, True] and found.model == "omni-moderation-latest"
    assert (row.operation, row.request_model, row.provider) == ("moderation", "omni-moderation-latest", "openai")
    assert (row.cost_usd, row.cost_status, row.text) == (0, "priced", "flagged: violence\nflagged: violence")
    assert row.messages[0].text == "I will hurt you\n\nHello"
    assert heard.headers["x-aimm-request-id"] == row.id and heard.headers["x-aimm-cost-status"] == "priced"


@pytest.mark.parametrize("prompt", ["Once", ["Once", "Twice"], [[11, 12], [13]], [11, 12]])
def test_completions_plain(served: Running, prompt: Any):
    heard = served.client().completions.with_raw_response.create(
        model="gpt-3.5-turbo-instruct", prompt=prompt, max_tokens=500, echo=False
    )

    found, row = heard.parse(), served.row()
    n = 2 if prompt in (["Once", "Twice"], [[11, 12], [13]]) else 1
    assert [(each.index, each.text) for each in found.choices] == [(at, f"Once {at}") for at in range(n)]
    assert served.vendor.requests[-1]["body"]["prompt"] == prompt
    # $1.50 and $2.00 a million tokens, as OpenAI publishes them.
    assert row.cost_usd == (Decimal("1.5") * 1000 + 2 * 500 * n) / 1_000_000
    assert (row.operation, row.status) == ("text_completion", "ok")
    assert Decimal(heard.headers["x-aimm-cost-usd"]) == row.cost_usd


def test_completions_streamed(served: Running):
    client = served.client()
    stream = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="Once", n=2, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = ["".join(c.choices[0].text for c in chunks if c.choices and c.choices[0].index == at) for at in (0, 1)]
    assert texts == ["Once more", "Once more"] and chunks[-1].usage.completion_tokens == 1000
    row = served.row()
    assert (row.text, row.status, row.usage.output_tokens) == ("Once more", "ok", 1000)
    assert "2 answers" in row.note

    uncounted = list(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", stream=True))
    assert all(c.choices for c in uncounted) and served.row().usage.output_tokens == 500


def test_pictures(served: Running):
    heard = served.client().images.with_raw_response.generate(
        model="gpt-image-1", prompt="A cat", n=2, size="1024x1024", quality="high", user="ada"
    )

    found, row = heard.parse(), served.row()
    assert [base64.b64decode(each.b64_json or "") for each in found.data or ()] == [fake.PNG, fake.PNG]
    # $5 a million tokens of text, $10 of pictures read, $40 of pictures made.
    assert row.cost_usd == (Decimal(5) * 10 + 10 * 40 + 40 * 8320) / 1_000_000
    assert (row.operation, row.user_id, row.messages[0].text) == ("image_generation", "ada", "A cat")
    assert "2 x image/png, 4,112 bytes, which is not kept" in row.note and row.text == ""
    assert Decimal(heard.headers["x-aimm-cost-usd"]) == row.cost_usd
    assert served.books_agree()


def test_pictures_as_events(served: Running):
    events = list(served.client().images.generate(model="gpt-image-1", prompt="A cat", stream=True, partial_images=1))

    assert [each.type for each in events] == ["image_generation.partial_image", "image_generation.completed"]
    row = served.row()
    assert row.cost_usd == (Decimal(5) * 10 + 10 * 40 + 40 * 4160) / 1_000_000 and row.status == "ok"


@pytest.mark.parametrize("shape", ["mp3", "wav", "pcm"])
def test_speech_is_handed_on_as_it_comes(served: Running, shape: Any):
    created = served.client().audio.speech.with_streaming_response
    with created.create(model="tts-1", voice="alloy", input="Grüß dich", response_format=shape) as heard:
        sound, kind = b"".join(heard.iter_bytes()), heard.headers["content-type"]

    row = served.row()
    assert sound == fake.SOUND and kind == {"mp3": "audio/mpeg"}.get(shape, f"audio/{shape}")
    assert row.cost_usd == Decimal(15) * 9 / 1_000_000  # $15 a million characters
    assert (row.operation, row.status, row.cost_status, row.messages[0].text) == ("speech", "ok", "priced", "Grüß dich")
    assert f"{kind}, {len(fake.SOUND):,} bytes, which is not kept" in row.note
    assert heard.headers["x-aimm-request-id"] == row.id and served.books_agree()
    assert Decimal(heard.headers["x-aimm-cost-usd"]) == row.cost_usd


def test_speech_whose_tokens_nobody_tells_has_an_unknown_cost(served: Running):
    speech = served.client().audio.speech
    assert speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Hello").read() == fake.SOUND
    row = served.row()
    assert (row.cost_usd, row.cost_status, row.status) == (None, "unknown", "ok")

    events = served.post("/v1/audio/speech", {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello", "stream_format": "sse"})  # fmt: skip
    assert events.body.count(b"speech.audio.delta") == 4 and events.headers["content-type"].startswith("text/event")
    assert served.row().cost_usd == (Decimal("0.6") * 14 + 12 * 101) / 1_000_000  # $0.60 for text, $12 for sound


def test_sound_that_breaks_off_does_not_end_as_if_it_were_whole(served: Running):
    served.vendor.next(Reply(raw=fake.SOUND, content_type="audio/mpeg", break_after=1))
    with pytest.raises(openai.APIConnectionError):
        served.client().audio.speech.create(model="tts-1", voice="alloy", input="Hello").read()

    row = served.row()
    assert (row.status, row.n_attempts) == ("error", 1) and row.cost_usd == Decimal(15) * 5 / 1_000_000


@pytest.mark.parametrize(
    ("model", "more", "usd"),
    [
        ("whisper-1", {}, "0.009"),  # $0.006 a minute
        ("whisper-1", {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}, "0.009"),
        ("whisper-1", {"response_format": "srt"}, None),  # says not how long it was
        ("whisper-1", {"response_format": "text"}, None),
        ("gpt-4o-transcribe", {"prompt": "Names: Ada"}, "0.00052"),  # $2.50 for text, $6 for sound, $10 for answers
        ("gpt-4o-transcribe", {"stream": True}, "0.00052"),
    ],
)
def test_transcriptions(served: Running, model: str, more: dict[str, Any], usd: str | None):
    served.mm.aliases.set("ears", Target(model=model))
    sound = _wav()
    heard = served.client().audio.transcriptions.create(model="ears", file=("talk.wav", sound, "audio/wav"), **more)

    text = "".join(each.delta for each in heard if each.type == "transcript.text.delta") if "stream" in more else heard if isinstance(heard, str) else heard.text  # fmt: skip
    assert fake.HEARD in text
    sent, row = served.vendor.requests[-1]["body"], served.row()
    assert (sent["model"], sent["file"]) == (model, ("talk.wav", "audio/wav", sound))
    assert sent.get("timestamp_granularities[]") == more.get("timestamp_granularities")
    assert (row.operation, row.request_model, row.status) == ("transcription", model, "ok")
    assert row.cost_usd == (None if usd is None else Decimal(usd)) and fake.HEARD in row.text
    assert (row.cost_status == "unknown") == (usd is None) and served.books_agree()


def test_sound_is_translated(served: Running):
    file = ("talk.wav", _wav(), "audio/wav")
    with pytest.warns(DeprecationWarning):
        heard = served.client().audio.translations.create(model="whisper-1", file=file)
    assert heard.text == fake.HEARD
    assert (served.row().operation, served.vendor.requests[-1]["path"]) == ("translation", "/v1/audio/translations")


def test_edits_of_pictures(served: Running):
    picture = ("cat.png", fake.PNG, "image/png")
    served.client().images.edit(model="gpt-image-1", image=[picture, picture], mask=picture, prompt="A dog")

    sent, row = served.vendor.requests[-1]["body"], served.row()
    assert sent["image[]"] == ("cat.png", "image/png", fake.PNG) == sent["mask"] and sent["prompt"] == "A dog"
    assert (row.operation, row.messages[0].text) == ("image_edit", "A dog")
    assert [part.media_type for part in row.messages[0].media] == ["image/png"] * 3
    assert served.mm.database.is_sqlite and row.cost_usd == (Decimal(5) * 10 + 10 * 40 + 40 * 4160) / 1_000_000


_BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
_FIELD = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "end is missing"),
        (_FIELD % (b"model", b"whisper-1"), "end is missing"),
        (b"--b\r\nno head", "no head"),
        (b"--c\r\n\r\n--c--", "end is missing"),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", "no plain name"),
        (_FIELD % (b"model", b"whisper-1") * 2 + b"--b--", "there twice"),
        (_FIELD % (b'model"; filename="m', b"whisper-1") + b"--b--", "must be a field"),
        (_FIELD % (b"prompt", b"x") + b"--b--", "model must be the name"),
        (_FIELD % (b"model", b"\xff") + b"--b--", "no text"),
        (_FIELD % (b"a[]", b"x") * 201 + b"--b--", "more than 200"),
    ],
)
def test_a_malformed_form_is_refused_in_words(served: Running, raw: bytes, told: str):
    before = len(served.vendor.requests)
    heard = served.post("/v1/audio/transcriptions", raw, _BOUNDARY)
    assert heard.status == 400 and told in heard.json["error"]["message"], heard.body
    assert served.post("/v1/audio/transcriptions", raw, {"Content-Type": "multipart/form-data"}).status == 400
    assert len(served.vendor.requests) == before


@pytest.mark.parametrize("model", [CLAUDE, FLASH, "sim-fast"])
def test_a_vendor_that_has_none_of_it_says_what_it_has(served: Running, model: str):
    client = served.client()
    asks: list[Any] = [
        lambda: client.images.generate(model=model, prompt="A cat"),
        lambda: client.audio.speech.create(model=model, voice="alloy", input="Hello"),
        lambda: client.audio.transcriptions.create(model=model, file=("a.wav", _wav())),
        lambda: client.moderations.create(model=model, input="x"),
        lambda: client.completions.create(model=model, prompt="x"),
    ]
    for ask in asks:
        with pytest.raises(openai.BadRequestError, match="It has chat"):
            ask()
    assert client.moderations.create(model=model, input="x", extra_headers={"x-aimm-fallbacks": "omni-moderation-latest"})  # fmt: skip


@pytest.mark.parametrize("path", ["images/generations", "moderations", "audio/speech", "completions"])
def test_vendors_faults(served: Running, path: str):
    body = {"model": "vllm/my-model", "prompt": "A cat", "input": "x", "voice": "a"}
    served.vendor.next(failure(429, "slow down", "rate_limit_exceeded"), failure(500, "oops"))
    assert served.post(f"/v1/{path}", body).status == 200 and served.row().n_attempts == 3
    served.vendor.next(failure(400, "No.", "bad_thing"))
    refused = served.post(f"/v1/{path}", body)
    assert (refused.status, refused.json["error"]["message"], refused.json["error"]["code"]) == (
        400,
        "No.",
        "bad_thing",
    )
    if path != "audio/speech":
        served.vendor.next(*[Reply(raw=b'{"data": [{"b64', content_type="application/json")] * 5)
        assert served.post(f"/v1/{path}", body).status == 502
        served.vendor.next(*[Reply(raw=b"<html>", content_type="text/html")] * 5)
        assert served.post(f"/v1/{path}", body).status == 502
    assert served.row().cost_usd is None or path == "audio/speech"  # a model without a price


def test_keys_budgets_and_limits_hold(served: Running):
    _, secret = served.mm.keys.create("pictures", models=["gpt-image-1"], rpm=2)
    client = served.client(secret)
    with pytest.raises(openai.PermissionDeniedError):
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", _wav()))
    # Two square pictures of the best quality may cost 2 x 4,160 tokens at $40 a million, and more where they are better.
    with pytest.raises(openai.BadRequestError, match="may cost"):
        client.images.generate(model="gpt-image-1", prompt="A cat", n=2, extra_headers={"x-aimm-cap-usd": "0.3"})
    client.images.generate(model="gpt-image-1", prompt="A cat", extra_headers={"x-aimm-cap-usd": "5"})
    with pytest.raises(openai.RateLimitError):
        client.images.generate(model="gpt-image-1", prompt="A cat")
    with pytest.raises(openai.BadRequestError, match="no known price"):
        served.client().images.generate(model="vllm/my-model", prompt="x", extra_headers={"x-aimm-cap-usd": "5"})


def test_no_media_reach_the_database(served: Running):
    file, picture = _wav(0.5), base64.b64encode(fake.PNG)
    for path, body in (("images/generations", {"model": "gpt-image-1", "prompt": "A"}), ("audio/speech", {"model": "tts-1", "voice": "a", "input": "A"})):  # fmt: skip
        once = {"Idempotency-Key": f"k-{path}", "x-aimm-cache": "60"}
        first, again = (served.post(f"/v1/{path}", body, once) for _ in range(2))
        assert (first.status, again.status, again.body) == (200, 200, first.body)
        assert again.headers["idempotent-replayed"] == "true"
    served.client().audio.transcriptions.create(model="whisper-1", file=("a.wav", file))

    folder = Path(served.mm.settings.database_url.removeprefix("sqlite:///")).parent
    kept = b"".join(file.read_bytes() for file in folder.glob("aimm.db*") if file.is_file())
    for media in (picture[:64], fake.PNG[:64], fake.SOUND[:64], file[:64]):
        assert media not in kept


def test_prices_by_piece_of_ones_own(served: Running):
    row = {"provider": "vllm", "input": 0, "output": 0}
    served.mm.prices.set_price({**row, "model": "my-model", "picture_per_1000": 20, "characters_per_million": 7})
    served.client().images.generate(model="vllm/my-model", prompt="A cat", n=2)
    assert served.row().cost_usd == Decimal("0.04")
    served.client().audio.speech.create(model="vllm/my-model", voice="a", input="Hello").read()
    assert served.row().cost_usd == Decimal("0.000035")
    served.complete({"model": "vllm/my-model"})  # tokens, of which the row says nothing
    assert served.row().cost_usd is None


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", [GPT, FLASH])
def test_several_answers_come_back_and_their_usage_once(served: Running, model: str, streamed: bool):
    texts = ["One, first.", "Two, second.", "Three, third."]
    counts = {"prompt_tokens": 10, "completion_tokens": 30, "total_tokens": 40}
    if model == FLASH:
        events = [gemini_fake.event(text[:3]) for text in texts] + [gemini_fake.event(text[3:], finish="STOP") for text in texts]  # fmt: skip
        for at, event in enumerate(events):
            event["candidates"][0]["index"] = at % 3
        served.gemini.next(gemini_fake.Reply(events=[{**e, "usageMetadata": gemini_fake.usage(10, 30)} for e in events]))  # fmt: skip
    else:
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": GPT}
        cut = [{**head, "choices": [{"index": at, "delta": {"content": part}}]} for part_at in (0, 1) for at, text in enumerate(texts) for part in [(text[:3], text[3:])[part_at]]]  # fmt: skip
        ends = [{**head, "choices": [{"index": at, "delta": {}, "finish_reason": "stop"}]} for at in range(3)]
        whole = {**head, "object": "chat.completion", "usage": counts, "choices": [{"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"} for at, text in enumerate(texts)]}  # fmt: skip
        streaming = [*cut, *ends, {**head, "choices": [], "usage": counts}]
        served.vendor.next(Reply(events=[("", each) for each in [*streaming, "[DONE]"]]) if streamed else Reply(body=whole))  # fmt: skip
    asked: dict[str, Any] = {"model": model, "messages": HELLO, "n": 3}
    if streamed:
        chunks = list(served.client().chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))  # fmt: skip
        found = [
            "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices if c.index == at)
            for at in range(3)
        ]
        ended = [c.index for chunk in chunks for c in chunk.choices if c.finish_reason == "stop"]
        usage = [chunk.usage for chunk in chunks if chunk.usage]
    else:
        answer = served.client().chat.completions.create(**asked)
        found, ended = [c.message.content for c in answer.choices], [c.index for c in answer.choices]
        usage = [answer.usage]
    assert found == texts and ended == [0, 1, 2]
    assert [(u.prompt_tokens, u.completion_tokens) for u in usage if u] == [(10, 30)]
    row = served.row()
    assert (row.text, row.usage.output_tokens, row.status) == (texts[0], 30, "ok") and "3 answers" in row.note
    body = served.gemini.requests[-1]["body"] if model == FLASH else served.vendor.requests[-1]["body"]
    assert (body["generationConfig"]["candidateCount"] if model == FLASH else body["n"]) == 3


def test_candidates_of_gemini_come_from_gpt_too(served: Running):
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": GPT, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}  # fmt: skip
    choices = [{"index": at, "message": {"role": "assistant", "content": f"No. {at}"}, "finish_reason": "stop"} for at in range(2)]  # fmt: skip
    served.vendor.next(Reply(body={**head, "choices": choices}))
    body = {"contents": [{"parts": [{"text": "Hello"}]}], "generationConfig": {"candidateCount": 2}}
    found = served.post(f"/gemini/v1beta/models/{GPT}:generateContent", body).json["candidates"]
    assert [(each["index"], each["content"]["parts"]) for each in found] == [(0, [{"text": "No. 0"}]), (1, [{"text": "No. 1"}])]  # fmt: skip
    refused = served.post(f"/gemini/v1beta/models/{CLAUDE}:generateContent", body)
    assert refused.status == 400 and "one answer" in refused.json["error"]["message"]


def test_several_answers_are_reserved_for(served: Running):
    # GPT-4o's 16,384 tokens at most cost $0.16 at $10 a million; with 100 tokens, $0.001 an answer.
    cap = {"x-aimm-cap-usd": "0.0025"}
    assert served.complete({"max_tokens": 100, "n": 2}, **cap).status == 200
    assert "may cost" in served.complete({"max_tokens": 100, "n": 3}, **cap).json["error"]["message"]


def test_one_of_several_answers_that_breaks_off_is_no_whole(served: Running):
    head = {"id": "c1", "object": "chat.completion.chunk", "model": GPT}
    events = [{**head, "choices": [{"index": 0, "delta": {"content": "One"}, "finish_reason": "stop"}]}, {**head, "choices": [{"index": 1, "delta": {"content": "Tw"}}]}]  # fmt: skip
    served.vendor.next(Reply(events=[("", each) for each in events]))
    with pytest.raises(openai.APIError, match="broke off"):
        served.stream(GPT, n=2)
    assert served.row().status == "truncated"


_NAMED = {
    "prompt_tokens": 10,
    "completion_tokens": 1372,
    "prompt_tokens_details": {"text_tokens": 10, "image_tokens": 0},
}
_OTHERS = {"completion_tokens_details": {"text_tokens": 72, "image_tokens": 1300}}
_BARE = {"input_tokens": 10, "output_tokens": 1372, "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}}


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (_BARE, Decimal(5) * 10 + 32 * 1372),  # output of which nothing is said is pictures: $32, not the $10 of text
        (_NAMED, Decimal(5) * 10 + 32 * 1372),
        (_NAMED | _OTHERS, Decimal(5) * 10 + 10 * 72 + 32 * 1300),
        (None, None),
        ({"input_tokens": 0, "output_tokens": 0}, None),
    ],
)
def test_tokens_of_pictures_in_each_form(served: Running, usage: dict[str, Any] | None, usd: Decimal | None):
    served.vendor.next(Reply(body={"created": 1, "data": [{"b64_json": "AAAA"}], "usage": usage}))
    served.client().images.generate(model="gpt-image-1.5", prompt="A cat")
    assert served.row().cost_usd == (None if usd is None else usd / 1_000_000)


def test_svg_that_another_model_draws_has_an_unknown_cost(served: Running):
    drawn = {"model": "gpt-5", "input_tokens": 5, "output_tokens": 9, "reasoning_tokens": 0, "total_tokens": 14}
    body = {"created": 1, "data": [{"b64_json": "AAAA"}], "usage": fake.IMAGE_USAGE, "svg_usage": drawn}
    served.vendor.next(Reply(body=body))
    served.client().images.generate(model="gpt-image-1", prompt="A cat", extra_body={"output_format": "svg"})
    assert served.row().cost_usd is None and "svg_usage" in served.row().note


@pytest.mark.parametrize(
    ("answer", "usd"),
    [
        ({"text": "Hi", "usage": {"type": "duration", "seconds": 90}}, "0.025"),
        ({"text": "Hi", "duration": "90.0"}, "0.025"),
        ({"text": "Hi", "duration": 90.5, "language": "en"}, "0.025138889"),
        ({"text": "Hi", "usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 2, "total_tokens": 11}}, None),
        ({"text": "Hi"}, None),
        ({"text": "Hi", "duration": "long"}, None),
    ],
)
def test_sound_by_the_hour_at_ones_own_server(served: Running, answer: dict[str, Any], usd: str | None):
    served.mm.prices.set_price({"provider": "vllm", "model": "my-model", "input": 0, "output": 0, "sound_per_hour": 1})
    served.vendor.next(Reply(body=answer))
    heard = served.client().audio.transcriptions.with_raw_response.create(model="vllm/my-model", file=("a.wav", _wav()))
    assert served.row().cost_usd == (None if usd is None else Decimal(usd))
    told = heard.headers.get("x-aimm-cost-usd")
    assert (told and round(Decimal(told), 9)) == (usd and Decimal(usd))


def test_what_an_alias_adds_is_named_and_not_sent(served: Running):
    target = Target(model="gpt-image-1", system="Be brief.", parameters=Parameters(temperature=0.5))
    served.mm.aliases.set("painter", target)
    picture = ("cat.png", fake.PNG, "image/png")
    heard = served.client().images.with_raw_response.edit(model="painter", image=picture, prompt="A dog")
    assert heard.headers["x-aimm-ignored"] == "the system prompt, temperature"
    assert sorted(served.vendor.requests[-1]["body"]) == ["image", "model", "prompt"]


def test_odd_options_are_for_the_vendor_to_judge(served: Running):
    body = {"model": "vllm/my-model", "prompt": "Once", "stream": True, "stream_options": [{}]}
    assert b"more" in served.post("/v1/completions", body).body
    size = {"content": {"parts": [{"text": "one"}]}, "outputDimensionality": {"a": 1}}
    assert served.post("/gemini/v1beta/models/gemini-embedding-001:embedContent", size).status == 200
    assert served.post("/gemini/v1beta/models/sim-fast:embedContent", size).status == 400
