"""The page of metrics, from the registry of ``relay.observe.metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs.generator.markdown import code, table
from docs.generator.words import LABELS, NOT_FED
from relay.observe.metrics import Metrics


def metrics() -> Iterator[str]:
    """Every series: name, type, labels, meaning."""
    yield "# Metrics"
    yield ""
    yield (
        "`GET /metrics` on the listener `http.metrics` (127.0.0.1:9925), in Prometheus' text "
        "format. No label ever holds an address or a destination domain. "
        "[config/prometheus/](../../config/prometheus/) has a scrape configuration and alerts."
    )
    yield ""
    rows = []
    for name, kind, labels, text in series():
        if name in NOT_FED:
            text += " Nothing feeds it in this release."
        rows.append((code(name), kind, ", ".join(map(code, labels)) or "-", text))
    yield from table(("series", "type", "labels", "meaning"), rows)
    yield "A histogram has the usual `_bucket`, `_sum` and `_count`."
    yield ""
    yield "## Labels"
    yield ""
    used = {label for _, _, labels, _ in series() for label in labels}
    yield from table(("label", "values"), [(code(label), LABELS[label]) for label in sorted(used)])


def series() -> list[tuple[str, str, tuple[str, ...], str]]:
    """(name, type, labels, help) of every series, in the order of their declaration."""
    # The registry tells names of labels only of series that have a sample; the collectors know.
    collectors = dict.fromkeys(Metrics("0").registry._collector_to_names)
    found = []
    for collector in collectors:
        family: Any = collector
        name = family._name + ("_total" if family._type == "counter" else "")
        found.append((name, family._type, tuple(family._labelnames), family._documentation))
    return found
