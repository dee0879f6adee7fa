"""Requests are held back where a vendor says that none are left, and one now and then learns whether that still holds."""

import pytest

from core.calls import limits
from core.domain.generation import Quota
from core.providers.http.errors import quota_of


def test_a_far_reset_lets_one_request_in_ten_seconds_learn_the_truth(monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    pacer = limits.Pacer()
    pacer.heard("openai", "m", Quota(remaining=0, reset_s=7200))

    assert pacer.wait_s("openai", "m") == 10
    now[0] += 10
    assert [pacer.wait_s("openai", "m") for _ in range(2)] == [0, 10]
    pacer.heard("openai", "m", Quota(remaining=1, reset_s=3))
    assert [pacer.wait_s("openai", "m") for _ in range(2)] == [0, 3]
    now[0] += 3
    assert [pacer.wait_s("openai", "m") for _ in range(2)] == [0, 0]


def test_tokens_are_no_requests():
    headers = {"x-ratelimit-remaining-requests": "50", "x-ratelimit-reset-requests": "1s"}
    few = headers | {"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}

    assert quota_of(few) == Quota(remaining=50, reset_s=1.0)
    assert quota_of(few | {"x-ratelimit-remaining-tokens": "0"}) == Quota(remaining=0, reset_s=360.0)
