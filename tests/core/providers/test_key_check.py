"""What the test of a key says, from what vendors really write."""

import json
from typing import Any

import pytest

from core.providers.gemini.errors import to_error
from core.providers.http.client import HttpVendor
from core.providers.key_check import judged

ZERO = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to:"
    " https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/"
    "generate_content_free_tier_requests, limit: 0, model: gemini-2.5-pro\nPlease retry in 52.07s."
)


def google(reason: str) -> list[dict[str, Any]]:
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]


@pytest.mark.parametrize(
    ("code", "status", "message", "details", "says"),
    [
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", google("API_KEY_INVALID"), "wrong_key"),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [], "wrong_key"),
        (400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", google("API_KEY_INVALID"), "expired"),
        (403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without established identity).", [], "wrong_key"),
        (403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", [], "suspended"),
        (403, "PERMISSION_DENIED", "Permission denied: Consumer 'api_key:AIzaX' has been suspended.", google("CONSUMER_SUSPENDED"), "suspended"),
        (403, "PERMISSION_DENIED", "Your project has been denied access. Please contact support.", [], "suspended"),
        (403, "PERMISSION_DENIED", "Requests from referer <empty> are blocked.", google("API_KEY_HTTP_REFERRER_BLOCKED"), "restricted"),
        (403, "PERMISSION_DENIED", "Requests from referer https://a.example/ are blocked.", [], "restricted"),
        (403, "PERMISSION_DENIED", "The provided API key has an IP address restriction. The originating IP address of the call (10.0.0.1) violates this restriction.", google("API_KEY_IP_ADDRESS_BLOCKED"), "restricted"),
        (403, "PERMISSION_DENIED", "Requests from this Android client application <empty> are blocked.", google("API_KEY_ANDROID_APP_BLOCKED"), "restricted"),
        (403, "PERMISSION_DENIED", "Requests to this API generativelanguage.googleapis.com method google.ai.generativelanguage.v1beta.ModelService.ListModels are blocked.", google("API_KEY_SERVICE_BLOCKED"), "restricted"),
        (403, "PERMISSION_DENIED", "The caller does not have permission", [], "restricted"),
        (403, "PERMISSION_DENIED", "Generative Language API has not been used in project 123 before or it is disabled. Enable it by visiting https://console.developers.google.com/ then retry.", google("SERVICE_DISABLED"), "api_off"),
        (403, "PERMISSION_DENIED", "This API method requires billing to be enabled. Please enable billing on project #123 by visiting https://console.developers.google.com/billing/enable", google("BILLING_DISABLED"), "billing"),
        (400, "FAILED_PRECONDITION", "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.", [], "billing"),
        (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", [], "region"),
        (429, "RESOURCE_EXHAUSTED", ZERO, [], "no_tier"),
        (429, "RESOURCE_EXHAUSTED", ZERO, [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "m", "quotaId": "GenerateRequestsPerDay"}]}], "no_tier"),
        (429, "RESOURCE_EXHAUSTED", "Quota exceeded", [{"violations": [{"quotaId": "PerDay", "quotaValue": "0"}]}], "no_tier"),
        (429, "RESOURCE_EXHAUSTED", ZERO.replace("limit: 0,", "limit: 20,"), [], "quota"),
        (429, "RESOURCE_EXHAUSTED", ZERO.replace("limit: 0,", "limit: 0.5,"), [], "quota"),
        (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing.", [], "billing"),
        (403, "PERMISSION_DENIED", "The billing account for the owning project is disabled in state closed", [], "billing"),
        (403, "PERMISSION_DENIED", "The project to be billed is associated with an absent billing account.", [], "billing"),
        (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", [], "network"),
        (400, "INVALID_ARGUMENT", "Invalid value at 'contents'", [], "error"),
    ],
)  # fmt: skip
def test_google_s_words_are_understood(code: int, status: str, message: str, details: list[Any], says: str):
    error = to_error(code, {"error": {"code": code, "status": status, "message": message, "details": details}}, {})

    check = judged("Gemini", error, "gemini-2.5-pro")

    assert check.status == says, check.message
    assert "10.0.0.1" not in message or "10.0.0.1" in check.message  # the vendor's own words say which


@pytest.mark.parametrize(
    ("http_status", "kind", "code", "message", "says"),
    [
        (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-ab**cd.", "wrong_key"),
        (401, "invalid_request_error", None, "You didn't provide an API key.", "wrong_key"),
        (401, "invalid_request_error", "account_deactivated", "Your OpenAI account has been deactivated.", "suspended"),
        (401, "invalid_request_error", "mismatched_organization", "OpenAI-Organization header should match organization for API key", "restricted"),
        (401, "invalid_request_error", "ip_not_authorized", "Your request is not authorized from this IP.", "restricted"),
        (401, "invalid_request_error", None, "You must be a member of an organization to use the API.", "restricted"),
        (401, "invalid_request_error", None, "The project you are requesting has been archived and is no longer accessible", "suspended"),
        (403, "invalid_request_error", None, "You have insufficient permissions for this operation. Missing scopes: api.model.read.", "restricted"),
        (403, "request_forbidden", "unsupported_country_region_territory", "Country, region, or territory not supported", "region"),
        (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details.", "billing"),
        (429, "billing_not_active", "billing_not_active", "Your account is not active, please check your billing details on our website.", "billing"),
        (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests", "quota"),
        (402, "invalid_request_error", None, "Insufficient Balance", "billing"),
        (401, "authentication_error", None, "invalid x-api-key", "wrong_key"),
        (403, "permission_error", None, "Your API key does not have permission to use the specified resource.", "restricted"),
        (400, "invalid_request_error", None, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.", "billing"),
        (400, "invalid_request_error", None, "This organization has been disabled.", "suspended"),
        (429, "rate_limit_error", None, "This request would exceed your organization's rate limit of 50 requests per minute", "quota"),
        (529, "overloaded_error", None, "Overloaded", "network"),
        (401, "authentication_error", None, "OAuth token has expired. Please obtain a new token.", "expired"),
        (400, "invalid_request_error", None, "You have reached your specified API usage limits. You will regain access on 2026-12-01.", "billing"),
        (403, "permission_error", None, "This workspace has been archived.", "suspended"),
        (401, "invalid_request_error", "access_terminated", "Your access was terminated due to violation of our policies.", "suspended"),
        # OpenRouter, Groq, Mistral, xAI
        (403, "", None, "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys", "billing"),
        (403, "", None, "This model is not available in your region", "region"),
        (429, "", None, "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day", "quota"),
        (400, "invalid_request_error", "organization_restricted", "Organization has been restricted. Please reach out to support.", "suspended"),
        (400, "invalid_request_error", "blocked_api_access", "Your organization has reached its spend limit", "billing"),
        (403, "", None, "Inactive subscription or usage limit reached", "billing"),
        (400, "", None, "Incorrect API key provided: xa***xx. You can obtain an API key from https://console.x.ai.", "wrong_key"),
        (403, "", None, "Your newly created team doesn't have any credits or licenses yet.", "billing"),
        (429, "", None, "Your team has either used all available credits or reached its monthly spending limit.", "billing"),
        (429, "", None, "you have reached your hourly usage limit, please wait or upgrade to continue", "quota"),
    ],
)  # fmt: skip
def test_other_vendors_words_are_understood(http_status: int, kind: str, code: str | None, message: str, says: str):
    raw = json.dumps({"type": "error", "error": {"type": kind, "code": code, "message": message}}).encode()
    vendor = HttpVendor("OpenAI", "https://api.example", {})

    assert judged("OpenAI", vendor.error(http_status, raw, {})).status == says
