"""Figures of calls for other systems: Prometheus, and spans and metrics for OpenTelemetry. Never what was said."""
