"""Pictures, sound, moderation and completions as OpenAI documents them, and what it refuses of them."""

import base64
import json
from email.parser import BytesParser
from typing import Any

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
SOUND = b"ID3\x04\x00 \r\n\x00" + bytes(range(256)) * 600  # more than is held back before an answer is certain
IMAGE_USAGE = {
    "input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}  # fmt: skip
HEARD = "Imagine the wildest idea."


def form(raw: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a form, read by another parser than ours: files as (name, type, bytes)."""
    whole = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw)
    assert whole.is_multipart() and not whole.defects, whole.defects
    found: dict[str, Any] = {}
    for part in whole.get_payload():
        name, contents = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if part.get_filename() is not None:
            found[name] = (part.get_filename(), part.get_content_type(), contents)
        elif name.endswith("[]"):
            found.setdefault(name, []).append(contents.decode())
        else:
            found[name] = contents.decode()
    return found


def refusal(path: str, body: dict[str, Any]) -> str:
    """What OpenAI would say of a body; empty = it takes it."""
    model = str(body.get("model"))
    needed = {
        "/images/generations": ("prompt",), "/images/edits": ("prompt",), "/audio/speech": ("input", "voice"),
        "/audio/transcriptions": ("file",), "/audio/translations": ("file",), "/moderations": ("input",),
    }  # fmt: skip
    for end, names in needed.items():
        for name in names if path.endswith(end) else ():
            if not body.get(name):
                return f"Missing required parameter: '{name}'."
    if "/images/" in path and model.startswith("gpt-image") and "response_format" in body:
        return "Unknown parameter: 'response_format'."
    if path.endswith("/transcriptions") and "4o" in model and body.get("response_format", "json") != "json":
        return f"response_format '{body['response_format']}' is not compatible with model '{model}'."
    if path.endswith("/speech") and len(body["input"]) > 4096:
        return "[{'type': 'string_too_long', 'loc': ('body', 'input')}]"
    if path.endswith("/completions") and "chat" not in path and "instruct" not in model and "my-model" not in model:
        return "This is a chat model and not supported in the v1/completions endpoint."
    return ""


def answer(path: str, body: dict[str, Any]) -> tuple[bytes, str] | None:
    """(an answer, its content type); None = it is none of these addresses."""
    kind = next((name for name in _ANSWERS if path.endswith(name) and "/chat/" not in path), "")
    made = _ANSWERS[kind](body) if kind else None
    if isinstance(made, list):
        events = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" if "type" in each else f"data: {json.dumps(each)}\n\n" for each in made]  # fmt: skip
        end = "data: [DONE]\n\n" if kind == "/completions" else ""
        return ("".join(events) + end).encode(), "text/event-stream; charset=utf-8"
    return (json.dumps(made).encode(), "application/json") if isinstance(made, dict) else made


def _is_streamed(body: dict[str, Any]) -> bool:
    return body.get("stream") in (True, "true")


def _pictures(body: dict[str, Any]) -> Any:
    picture, n = base64.b64encode(PNG).decode(), int(body.get("n") or 1)
    usage = {**IMAGE_USAGE, "output_tokens": 4160 * n, "total_tokens": 50 + 4160 * n}
    if _is_streamed(body):
        whole = {"b64_json": picture, "size": "1024x1024", "quality": "high", "output_format": "png", "created_at": 1}
        return [
            {"type": "image_generation.partial_image", "partial_image_index": 0, **whole},
            {"type": "image_generation.completed", **whole, "usage": usage},
        ]
    told = {"background": "opaque", "output_format": "png", "quality": "high", "size": "1024x1024"}
    return {"created": 1, **told, "data": [{"b64_json": picture}] * n, "usage": usage}


def _speech(body: dict[str, Any]) -> Any:
    if body.get("stream_format") == "sse":
        usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
        deltas = [{"type": "speech.audio.delta", "audio": base64.b64encode(SOUND[:300]).decode()}] * 2
        return [*deltas, {"type": "speech.audio.done", "usage": usage}]
    return SOUND, {"wav": "audio/wav", "pcm": "audio/pcm"}.get(str(body.get("response_format")), "audio/mpeg")


def _heard(body: dict[str, Any]) -> Any:
    shape, details = body.get("response_format", "json"), {"text_tokens": 4, "audio_tokens": 10}
    tokens = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59, "input_token_details": details}  # fmt: skip
    usage = {"type": "duration", "seconds": 90} if body["model"] == "whisper-1" else tokens
    if shape in ("text", "srt", "vtt"):
        return {"text": f"{HEARD}\n", "srt": f"1\n00:00:00,000 --> 00:00:02,000\n{HEARD}\n\n", "vtt": f"WEBVTT\n\n{HEARD}\n"}[shape].encode(), "text/plain; charset=utf-8"  # fmt: skip
    if _is_streamed(body) and body["model"] != "whisper-1":
        deltas = [{"type": "transcript.text.delta", "delta": word} for word in ("Imagine the ", "wildest idea.")]
        return [*deltas, {"type": "transcript.text.done", "text": HEARD, "usage": usage}]
    more = {"task": "transcribe", "language": "english", "duration": 90.0, "segments": []} if shape == "verbose_json" else {}  # fmt: skip
    return {"text": HEARD, **more, "usage": usage}


def _judged(body: dict[str, Any]) -> Any:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    given = given[:1] if isinstance(given[0], dict) else given
    one = {"flagged": True, "categories": {"violence": True, "hate": False}, "category_scores": {"violence": 0.9, "hate": 0.0}}  # fmt: skip
    return {"id": "modr-1", "model": body["model"], "results": [one for _ in given]}


def _completed(body: dict[str, Any]) -> Any:
    prompt = body.get("prompt", "")
    n = (len(prompt) if isinstance(prompt, list) and isinstance(prompt[0], str | list) else 1) * (body.get("n") or 1)
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
    usage = {"prompt_tokens": 1000, "completion_tokens": 500 * n, "total_tokens": 1000 + 500 * n}
    if not body.get("stream"):
        choices = [{"text": f"Once {at}", "index": at, "logprobs": None, "finish_reason": "length"} for at in range(n)]
        return {**head, "choices": choices, "usage": usage}
    events: list[dict[str, Any]] = []
    for text, finish in (("Once", None), (" more", None), ("", "stop")):
        for at in range(n):
            choice = {"text": text, "index": at, "logprobs": None, "finish_reason": finish}
            events.append({**head, "choices": [choice]})
    counted = (body.get("stream_options") or {}).get("include_usage")
    return events + ([{**head, "choices": [], "usage": usage}] if counted else [])


_ANSWERS = {
    "/images/generations": _pictures, "/images/edits": _pictures, "/images/variations": _pictures,
    "/audio/speech": _speech, "/audio/transcriptions": _heard, "/audio/translations": _heard,
    "/moderations": _judged, "/completions": _completed,
}  # fmt: skip
