"""What other systems are told of calls: figures for Prometheus, spans and metrics for OpenTelemetry. Never what was said."""
