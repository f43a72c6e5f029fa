"""The HTTP API: routes, models and problem documents over the services of ``relay.consent``."""
