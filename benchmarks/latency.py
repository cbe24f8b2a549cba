"""The rate with a server that takes 50 ms for a reply, beside the rate that the latency alone would allow.

    python -m benchmarks latency

With c requests in flight and a latency of t, no client does more than c / t records a second. A client on one event
loop does less where one core is full: how many cores it kept busy stands beside the rate.
"""

from typing import Final

from benchmarks.client_cpu import NAMES, Measured, measured
from benchmarks.measuring import Spread
from benchmarks.report import Column, Goal, Row, Section

LATENCY_MS: Final = 50.0
CONCURRENCIES: Final = (64, 256)
FULL: Final = 0.9
"""From so much of one core on it counts as full: the rest goes to waiting for the other core's cache and kernel."""


def measure(records: int, repeats: int) -> Section:
    """Return the rates of both clients at both concurrencies, run in turns."""
    rows: list[Row] = []
    goals: list[Goal] = []
    notes: list[str] = []
    for concurrency in CONCURRENCIES:
        ideal = concurrency / (LATENCY_MS / 1e3)
        # As long for few requests in flight as for many.
        asked = max(concurrency, records * concurrency // max(CONCURRENCIES))
        found: dict[str, list[Measured]] = {client: [] for client in NAMES}
        for _ in range(repeats):
            for client in NAMES:
                found[client].append(measured(client, asked, latency_ms=LATENCY_MS, concurrency=concurrency))
        for client, name in NAMES.items():
            rates = Spread.of(each.rate for each in found[client])
            share = Spread.of(each.rate / ideal for each in found[client])
            cores = Spread.of(each.cores for each in found[client])
            rows.append(Row(f"{name}, {concurrency} in flight", [rates, share, cores]))
            if client == "postil_project":
                goals.append(
                    Goal(f"share of the ideal rate, {concurrency} in flight", share.median, 0.9, False, "share")
                )
                if share.median < 0.9 and cores.median >= FULL:
                    notes.append(f"with {concurrency} in flight one core is full: {cores.median:.2f} were busy")
    columns = [Column("records/s", "rate"), Column("of the ideal rate", "share"), Column("cores busy", "x")]
    return Section("latency", columns, rows, goals, notes)
