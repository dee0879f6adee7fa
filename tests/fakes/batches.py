"""The batches of OpenAI and Anthropic in the fake vendor: made, moved on with each look, and refused as the vendors do.

`is_on`: else there are none, as on most servers. `holds`: they stay in progress. `loses`: the answer to a creation is
lost on its way. `expires`, `drops`: so many lines, the last ones, are never answered, or in no result. `before`: Takes
the method and the path of each request, and may answer in its stead.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from tests.fakes import media, refusals

ENDPOINTS = (
    "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions", "/v1/moderations",
    "/v1/images/generations",
)  # fmt: skip
Before = Callable[[str, str], tuple[int, Any] | None]
OVER = ("completed", "failed", "expired", "cancelled", "ended")


class FakeBatches:
    def __init__(self, answer: Any) -> None:
        """answer: Takes a path and a body and gives the status and the body of the answer."""
        self._answer = answer
        self.files: dict[str, bytes] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.forget()

    def forget(self) -> None:
        self.files.clear()
        self.made.clear()
        self.is_on = self.holds = False
        self.loses = self.expires = self.drops = 0
        self.is_doubled = False  # each result comes twice
        self.n_late = 0  # so many looks after its end, a batch does not name its files
        self.fails = ""  # the code of why a batch fails after its creation
        self.breaks = 0  # so many downloads break off in their middle
        self.refuses = ""
        self.n_created = 0
        self.asked: list[dict[str, Any]] = []  # bodies of lines that were answered
        self.before: Before | None = None

    def owns(self, path: str) -> bool:
        return bool(re.match(r"/v1/(files|batches|messages/batches)(/|\?|$)", path))

    def handle(self, method: str, path: str, kind: str, raw: bytes) -> tuple[int, Any]:
        """The status and the body (bytes = as they are; None = the connection is cut)."""
        if self.before is not None and (told := self.before(method, path)) is not None:
            return told
        if not self.is_on:
            return 404, {"error": {"message": f"Invalid URL ({method} {path})", "type": "invalid_request_error"}}
        bare = path.partition("?")[0].removeprefix("/v1/")
        if bare.startswith("files"):
            return self._file(method, bare, kind, raw)
        is_anthropic = bare.startswith("messages/")
        bare = bare.removeprefix("messages/")
        _, _, rest = bare.partition("/")
        batch_id, _, deed = rest.partition("/")
        if method == "POST" and not batch_id:
            made = self._anthropic(json.loads(raw)) if is_anthropic else self._openai(json.loads(raw))
            if "error" in made:
                return 400, {"type": "error", "error": {"type": "invalid_request_error", "message": made["error"]}}
            if self.loses:
                self.loses -= 1
                return 0, None
            return 200, self._view(made)
        if not batch_id:
            for each in self.made.values():  # time goes on
                self._move(each)
            return 200, {"data": [self._view(made) for made in reversed(self.made.values())], "has_more": False}
        if (made := self.made.get(batch_id)) is None:  # type: ignore[assignment]
            return 404, {"error": {"message": f"No batch found with id '{batch_id}'.", "type": "invalid_request_error"}}
        if deed == "cancel":
            return self._cancel(made)
        if method == "DELETE":
            del self.made[batch_id]
            return 200, {"id": batch_id, "type": "message_batch_deleted"}
        if deed == "results":
            return 200, self._cut("".join(json.dumps(each) + "\n" for each in made["results"]).encode())
        self._move(made)
        return 200, self._view(made)

    def _cut(self, raw: bytes) -> bytes:
        if not self.breaks:
            return raw
        self.breaks -= 1
        return raw[: len(raw) * 2 // 3] + b"\n{broken"

    def _file(self, method: str, bare: str, kind: str, raw: bytes) -> tuple[int, Any]:
        _, _, rest = bare.partition("/")
        file_id, _, deed = rest.partition("/")
        if method == "POST":
            form = media.form(raw, kind)
            if form.get("purpose") != "batch":
                return 400, {"error": {"message": f"'{form.get('purpose')}' is not one of ['batch', …] - 'purpose'"}}
            file_id = f"file-in{len(self.files)}"
            self.files[file_id] = form["file"][2]
            return 200, {"id": file_id, "object": "file", "purpose": "batch", "bytes": len(form["file"][2])}
        if file_id not in self.files:
            return 404, {"error": {"message": f"No such File object: {file_id}", "type": "invalid_request_error"}}
        if method == "DELETE":
            del self.files[file_id]
            return 200, {"id": file_id, "object": "file", "deleted": True}
        return 200, self._cut(self.files[file_id]) if deed == "content" else {"id": file_id, "object": "file"}

    def _openai(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.refuses:
            return {"error": self.refuses}
        if body.get("input_file_id") not in self.files or body.get("completion_window") != "24h":
            return {"error": "Invalid 'input_file_id' or 'completion_window'."}
        if body.get("endpoint") not in ENDPOINTS:
            return {"error": f"Invalid value: '{body.get('endpoint')}'."}
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        made = {**body, "id": f"batch_{self.n_created}", "kind": "openai", "status": "validating", "lines": lines}
        made["errors"] = [
            {"code": code, "message": code, "line": at}
            for at, line in enumerate(lines, 1)
            for code, is_wrong in (
                ("invalid_url", line["url"] != body["endpoint"]),
                ("invalid_method", line["method"] != "POST"),
                ("mismatched_model", line["body"]["model"] != lines[0]["body"]["model"]),
                ("streaming_not_supported", bool(line["body"].get("stream"))),
            )
            if is_wrong
        ]
        if len({line["custom_id"] for line in lines}) < len(lines):
            made["errors"].append({"code": "duplicate_custom_id", "message": "custom_id"})
        made["errors"] += [{"code": self.fails, "message": "Enqueued token limit reached."}] if self.fails else []
        return self._keep(made)

    def _anthropic(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.refuses:
            return {"error": self.refuses}
        if set(body) != {"requests"}:
            return {"error": f"{set(body) - {'requests'}}: Extra inputs are not permitted"}
        ids = [each["custom_id"] for each in body["requests"]]
        if len(set(ids)) < len(ids) or not all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in ids):
            return {"error": "requests: custom_id must be unique and match '^[a-zA-Z0-9_-]{1,64}$'"}
        if any(each["params"].get("stream") for each in body["requests"]):
            return {"error": "requests.0.params.stream: must be false"}
        refused = (
            refusals.by_anthropic(each["params"], {"anthropic-version": "2023-06-01"}) for each in body["requests"]
        )
        if any(words := next(filter(None, refused), "")):
            return {"error": words}
        lines = [
            {"custom_id": each["custom_id"], "url": "/v1/messages", "body": each["params"]} for each in body["requests"]
        ]
        return self._keep(
            {"id": f"msgbatch_{self.n_created}", "kind": "anthropic", "status": "in_progress", "lines": lines}
        )

    def _keep(self, made: dict[str, Any]) -> dict[str, Any]:
        self.n_created += 1
        self.made[made["id"]] = made
        return made

    def _move(self, made: dict[str, Any]) -> None:
        if made["status"] == "validating":
            made["status"] = "failed" if made["errors"] else "in_progress"
        elif made["status"] in ("in_progress", "cancelling") and not self.holds:
            self._end(made, is_cancelled=made["status"] == "cancelling")

    def _cancel(self, made: dict[str, Any]) -> tuple[int, Any]:
        if made["status"] in OVER:
            return 409, {"error": {"message": f"Cannot cancel a batch with status '{made['status']}'."}}
        made["status"] = "cancelling"
        return 200, self._view(made)

    def _end(self, made: dict[str, Any], *, is_cancelled: bool) -> None:
        """Answer the lines, the last ones first; of one that is cancelled only the first."""
        lines = made["lines"][: len(made["lines"]) - self.drops]
        n_answered = 1 if is_cancelled else len(lines) - self.expires
        reason = "cancelled" if is_cancelled else "expired"
        answers = [(line, *self._answer(line["url"], line["body"])) for line in lines[:n_answered]]
        self.asked += [line["body"] for line in lines[:n_answered]]
        answers += [(line, 0, reason) for line in lines[n_answered:]]
        answers.reverse()
        answers += answers if self.is_doubled else []
        if made["kind"] == "anthropic":
            made |= {"status": "ended", "results": [_anthropic_result(*each) for each in answers]}
            return
        for name, wanted in (("output_file_id", True), ("error_file_id", False)):
            found = [_openai_result(*each) for each in answers if (each[1] == 200) is wanted]
            if found:
                made[name] = f"file-{name}-{made['id']}"
                self.files[made[name]] = "".join(json.dumps(each) + "\n" for each in found).encode()
        made["counts"] = [sum(each[1] == 200 for each in answers), sum(each[1] >= 400 for each in answers)]
        made["status"] = "cancelled" if is_cancelled else "expired" if self.expires else "completed"

    def _view(self, made: dict[str, Any]) -> dict[str, Any]:
        n_ok, n_failed = made.get("counts", [0, 0])
        made["n_late"] = made.get("n_late", self.n_late) - (made["status"] in OVER)
        is_named = made["n_late"] < 0
        if made["kind"] == "anthropic":
            is_over = made["status"] == "ended"
            kinds = [each["result"]["type"] for each in made.get("results", ())]
            names = ("succeeded", "errored", "canceled", "expired")
            counts = {name: kinds.count(name) for name in names}
            return {
                "id": made["id"],
                "type": "message_batch",
                "processing_status": "canceling" if made["status"] == "cancelling" else made["status"],
                "request_counts": {**counts, "processing": 0 if is_over else len(made["lines"])},
                "created_at": "2126-01-01T00:00:00+00:00",
                "cancel_initiated_at": None,
                "results_url": f"https://elsewhere/v1/messages/batches/{made['id']}/results" if is_over else None,
            }
        return {
            "id": made["id"],
            "object": "batch",
            "status": made["status"],
            "endpoint": made["endpoint"],
            "input_file_id": made["input_file_id"],
            "output_file_id": made.get("output_file_id") if is_named else None,
            "error_file_id": made.get("error_file_id") if is_named else None,
            "errors": {"object": "list", "data": made["errors"]} if made["errors"] else None,
            "created_at": 4_900_000_000,
            "metadata": made.get("metadata"),
            "request_counts": {"total": len(made["lines"]), "completed": n_ok, "failed": n_failed},
        }


def _openai_result(line: dict[str, Any], status: int, body: Any) -> dict[str, Any]:
    head = {"id": f"batch_req_{line['custom_id']}", "custom_id": line["custom_id"]}
    if status:
        return {**head, "response": {"status_code": status, "request_id": "r", "body": body}, "error": None}
    return {**head, "response": None, "error": {"code": f"batch_{body}", "message": "It was not executed."}}


def _anthropic_result(line: dict[str, Any], status: int, body: Any) -> dict[str, Any]:
    if not status:
        return {"custom_id": line["custom_id"], "result": {"type": "canceled" if body == "cancelled" else body}}
    if status == 200:
        message = {**body, "usage": {**body["usage"], "service_tier": "batch"}}
        return {"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": message}}
    error = {"type": "error", "error": {"type": "invalid_request_error", **body["error"]}}
    return {"custom_id": line["custom_id"], "result": {"type": "errored", "error": error}}


class FakeGeminiBatches:
    """Gemini's: operations, whose results come in another order. `keyless`: so many results lack their key."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.made: dict[str, dict[str, Any]] = {}
        self.forget()

    def forget(self) -> None:
        self.made.clear()
        self.is_on = self.holds = self.in_file = False
        self.n_created = self.loses = self.expires = self.drops = self.keyless = 0
        self.before: Before | None = None

    def owns(self, path: str) -> bool:
        return ":batchGenerateContent" in path or bool(re.match(r"/(download/)?v1beta/(batches|files)", path))

    def handle(self, method: str, path: str, raw: bytes) -> tuple[int, Any]:
        if self.before is not None and (told := self.before(method, path)) is not None:
            return told
        if not self.is_on:
            return 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": f"{path} is not found."}}
        if path.endswith(":batchGenerateContent"):
            return self._create(json.loads(raw))
        name, _, deed = path.partition("?")[0].removeprefix("/v1beta/").partition(":")
        if name == "batches":
            return 200, {"operations": [self._view(made) for made in reversed(self.made.values())]}
        if path.startswith("/download/"):
            lines = self.made[path.rpartition("/")[2].partition(":")[0]]["results"]
            return 200, "".join(json.dumps({"key": e.pop("metadata")["key"], **e}) + "\n" for e in lines).encode()
        if (made := self.made.get(name.removeprefix("batches/"))) is None:
            return 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": f"{name} is not found."}}
        if method == "DELETE":
            del self.made[made["id"]]
            return 200, {}
        if deed == "cancel":
            made["state"] = "CANCELLING"
            return 200, {}
        if made["state"] in ("PENDING", "RUNNING", "CANCELLING") and not self.holds:
            self._end(made)
        return 200, self._view(made)

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        batch = body.get("batch") or {}
        requests = ((batch.get("inputConfig") or {}).get("requests") or {}).get("requests")
        if set(body) != {"batch"} or not batch.get("displayName") or not requests:
            words = "batch.displayName and batch.inputConfig are required."
            return 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": words}}
        made = {"id": f"b{self.n_created}", "name": batch["displayName"], "state": "PENDING", "requests": requests}
        self.n_created += 1
        self.made[made["id"]] = made
        if self.loses:
            self.loses -= 1
            return 0, None
        return 200, self._view(made)

    def _end(self, made: dict[str, Any]) -> None:
        is_cancelled = made["state"] == "CANCELLING"
        asked = made["requests"][:1] if is_cancelled else made["requests"]
        found = []
        for each in asked[: len(asked) - self.expires - self.drops]:
            status, body = self._answer(each["request"])
            said = {"response": body} if status == 200 else {"error": {"code": 3, "message": body["error"]["message"]}}
            found.append({**said, "metadata": each["metadata"]})
        for each in found[: self.keyless]:
            del each["metadata"]
        made["results"] = found[::-1]
        made["state"] = "CANCELLED" if is_cancelled else "EXPIRED" if self.expires else "SUCCEEDED"

    def _view(self, made: dict[str, Any]) -> dict[str, Any]:
        state = "RUNNING" if made["state"] == "CANCELLING" else made["state"]
        told = {"state": f"BATCH_STATE_{state}", "displayName": made["name"]}
        view = {"name": f"batches/{made['id']}", "metadata": told}
        if "results" in made:
            inline = {"inlinedResponses": {"inlinedResponses": made["results"]}}
            view |= {"done": True, "response": {"responsesFile": f"files/{made['id']}"} if self.in_file else inline}
        return view
