"""Counters of a server in Prometheus' text format."""

from __future__ import annotations

import threading
from collections import Counter

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends in seconds."""


class Metrics:
    """Requests by status, and how long they took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()
        self._buckets = [0] * len(BUCKETS)
        self._seconds = 0.0

    def count(self, status: int, seconds: float) -> None:
        """Add a request."""
        with self._lock:
            self._statuses[status] += 1
            self._seconds += seconds
            for i, limit in enumerate(BUCKETS):
                self._buckets[i] += seconds <= limit

    def text(self, in_progress: int) -> str:
        """All counters."""
        with self._lock:
            total = self._statuses.total()
            lines = ["# TYPE earmark_requests_total counter"]
            lines += [f'earmark_requests_total{{status="{s}"}} {n}' for s, n in sorted(self._statuses.items())]
            lines += ["# TYPE earmark_request_seconds histogram"]
            pairs = [*zip(map(str, BUCKETS), self._buckets, strict=True), ("+Inf", total)]
            lines += [f'earmark_request_seconds_bucket{{le="{limit}"}} {n}' for limit, n in pairs]
            lines += [f"earmark_request_seconds_sum {self._seconds:.6f}", f"earmark_request_seconds_count {total}"]
        lines += ["# TYPE earmark_requests_in_progress gauge", f"earmark_requests_in_progress {in_progress}"]
        return "\n".join(lines) + "\n"
