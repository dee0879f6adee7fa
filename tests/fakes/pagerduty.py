"""A receiver of messages: a webhook, Slack's, or PagerDuty's Events API v2, which refuses what that refuses."""

import json
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROUTING_KEY = "R0123456789abcdef0123456789abcde"  # 32 characters
SEVERITIES = ("critical", "error", "warning", "info")


class FakeReceiver:
    """events: Whatever was accepted, by path. status: The answer to all, 0 = as each path answers."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.status = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                problems = _problems(body) if self.path == "/v2/enqueue" else []
                status = fake.status or (400 if problems else 202 if self.path == "/v2/enqueue" else 200)
                if status < 300:
                    fake.events.setdefault(self.path, []).append(body)
                answer = json.dumps(
                    {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
                    if problems
                    else {"status": "success", "message": "Event processed", "dedup_key": body.get("dedup_key")}
                ).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def incidents(self) -> dict[str, str]:
        """Each incident by its key: triggered or resolved."""
        return {
            each["dedup_key"]: {"trigger": "triggered"}.get(each["event_action"], "resolved")
            for each in self.events.get("/v2/enqueue", [])
        }


def _problems(event: dict[str, Any]) -> list[str]:
    """As https://developer.pagerduty.com/docs/send-alert-event says."""
    found = []
    if event.get("routing_key") != ROUTING_KEY:
        found.append("'routing_key' is invalid (must be 32 characters long)")
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        found.append("'event_action' is invalid")
    if len(event.get("dedup_key", "")) > 255:
        found.append("'dedup_key' is too long (max length is 255)")
    if event.get("event_action") != "trigger":
        return found if event.get("dedup_key") else [*found, "'dedup_key' is missing or blank"]
    payload = event.get("payload", {})
    for name, most in (("summary", 1024), ("source", 255)):
        if not payload.get(name):
            found.append(f"'payload.{name}' is missing or blank")
        elif len(payload[name]) > most:
            found.append(f"'payload.{name}' is too long")
    if payload.get("severity") not in SEVERITIES:
        found.append(
            "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
        )
    if "timestamp" in payload:
        datetime.fromisoformat(payload["timestamp"])
    return found
