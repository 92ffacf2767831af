"""How a hit's cost grows: with cores, stored responses, connections, and purges."""

import contextlib
import http.client
import json
import threading
import time
from statistics import median

import plot
import servers
from loads import FIRST_PRODUCT, Peak, Steady, gets, measured
from report import of


def cores(built, report, rounds, seconds):
    """One worker and its load on one core, two workers and theirs on two."""
    requests = gets()
    found = {"1": [], "2": []}
    with servers.floor(built, core="0,1", name="origin") as origin:
        for _ in range(rounds):
            for name, cpus in [("1", "0"), ("2", "0,1")]:
                with servers.edge(built, origin, core=cpus, workers=int(name)) as edge:
                    load = Peak(requests, 32 * int(name), int(name), cpus)
                    load.run(edge, 1)
                    found[name].append(measured(load, edge, seconds))
    rows = []
    for name, figures in found.items():
        report.keep("cores", name, figures)
        rows.append([name, of(figures, "rate"), of(figures, "cpu_us")])
    report.table("Server and generator together on one core, and on two", ["cores", "requests/s",
                 "CPU/request, µs"], rows)
    gain = median(b["rate"] / a["rate"] for a, b in zip(found["1"], found["2"]))
    report.hold("requests/s on two cores, to one", gain, least=1.8)


def stored(built, report, rounds, seconds):
    """Stored responses, each asked for once in turn; and what each costs in memory."""
    rows, points = [], []
    with servers.floor(built, core="1", name="origin") as origin:
        for count in [1_000, 10_000, 100_000, 1_000_000]:
            settings = '[memory]\nmax_bytes = "8GiB"\n'
            with servers.edge(built, origin, settings=settings) as edge:
                empty_mb = edge.resident_mb()
                requests = gets(count)
                Steady(built, requests, 12_000).run(edge, count / 12_000 + 0.5)
                each = (edge.resident_mb() - empty_mb) * 2**20 / count
                figures = [measured(Steady(built, requests, 20_000), edge, seconds)
                           for _ in range(rounds)]
                report.keep("stored", str(count), figures)
                rows.append([count, of(figures, "cpu_us"), of(figures, "p99_us"), each, each / 4600])
                points.append((count, of(figures, "cpu_us")))
    report.table("Stored responses of 4.6 kB, 20,000 requests a second in turn",
                 ["stored", "CPU/hit, µs", "p99, µs", "bytes each, all told", "to its body's"], rows)
    report.hold("memory of a stored response of 4.6 kB, to its bytes", rows[2][4], most=1.25)
    report.plot("stored", plot.line("stored responses", "µs of CPU a hit", points))


def connections(built, report, rounds, seconds):
    """Connections that are all in use."""
    rows, points = [], []
    with servers.floor(built, core="1", name="origin") as origin, servers.edge(
            built, origin, settings="[limits]\nconnections_per_client = 20000\n"
            "connections = 20000\n") as edge:
        Peak(gets()).run(edge, 1)
        for count in [1, 32, 1_000, 10_000]:
            figures = [measured(Peak(gets(), count), edge, seconds) for _ in range(rounds)]
            report.keep("connections", str(count), figures)
            rows.append([count, of(figures, "rate"), of(figures, "cpu_us"), edge.resident_mb()])
            points.append((count, of(figures, "cpu_us")))
    report.table("Connections, all in use", ["connections", "requests/s", "CPU/hit, µs",
                 "memory, MB"], rows)
    report.plot("connections", plot.line("connections", "µs of CPU a hit", points))


class Purges:
    """Sends so many push events a second, each of one item that nobody asks for."""

    def __init__(self, port, rate):
        self.port, self.rate, self.sent, self.over = port, rate, 0, threading.Event()
        self.thread = threading.Thread(target=self.send)

    def send(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        start = time.monotonic()
        while not self.over.is_set():
            if self.sent > (time.monotonic() - start) * self.rate:
                time.sleep(0.0005)
                continue
            event = {"class": "price", "items": [f"nobody-{self.sent}"]}
            connection.request("POST", "/ingest/cdx", json.dumps(event),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"an event was answered with {answer.status}")
            self.sent += 1

    def __enter__(self):
        if self.rate:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        if self.rate:
            self.thread.join()


def purges(built, report, rounds, seconds):
    """Purges of what is not asked for, while hits are given: the cost is the storefront's thread's."""
    rates = [0, 10, 100, 1_000]
    found = {rate: [] for rate in rates}
    with servers.floor(built, core="1", name="origin") as origin, servers.edge(built, origin) as edge:
        load = Peak(gets())
        load.run(edge, 1)
        for _ in range(rounds):
            for rate in rates:
                with Purges(edge.ingest, rate) as sender:
                    before = edge.cpu_us("storefront")
                    figures = measured(load, edge, seconds)
                    figures["thread_us"] = (edge.cpu_us("storefront") - before) / figures["requests"]
                    figures["purges"] = sender.sent / seconds
                found[rate].append(figures)
    rows = []
    for rate, figures in found.items():
        report.keep("purges", str(rate), figures)
        rows.append([of(figures, "purges"), of(figures, "thread_us"), of(figures, "p99_us")])
    report.table("Purges a second beside hits", ["purges/s", "CPU/hit, µs", "p99, µs"], rows)
    cost = median(b["thread_us"] / a["thread_us"] for a, b in zip(found[0], found[1_000]))
    report.hold("a hit's CPU at 1,000 purges a second, to none", cost, most=1.1)
    report.plot("purges", plot.line("purges a second", "µs of CPU a hit",
                                    [(max(row[0], 1), row[1]) for row in rows]))


def churn(built, report, rounds, seconds):
    """Resident memory while every request is a miss that pushes something out; ten minutes where
    rounds and seconds are the defaults."""
    span_s = rounds * seconds * 30
    most_mb = 256
    sizes = [700, 4_600, 30_000]
    highest = []
    with contextlib.ExitStack() as stack:
        origins = [stack.enter_context(servers.floor(built, 50, size, "1", "origin"))
                   for size in sizes]
        edges = [stack.enter_context(servers.edge(
            built, origin, settings=f'[memory]\nmax_bytes = "{most_mb}MiB"\n')) for origin in origins]
        for size, edge in zip(sizes, edges):
            empty_mb = edge.resident_mb()
            first, start, held = FIRST_PRODUCT, time.monotonic(), []
            while time.monotonic() - start < span_s / len(sizes):
                requests = gets(20_000, first)
                first += len(requests)
                measured(Steady(built, requests, 4_000), edge, 5)
                held.append({"requests": 20_000, "resident_mb": edge.resident_mb()})
            report.keep("churn", str(size), held)
            highest.append([size, empty_mb, held[len(held) // 2]["resident_mb"],
                            max(found["resident_mb"] for found in held)])
    for row in highest:
        row.append((row[3] - row[1]) / most_mb)
    report.table(f"Churn for {span_s} s in all, max_bytes {most_mb} MiB; resident memory in MB",
                 ["body, bytes", "empty", "half-way", "highest", "growth to max_bytes"], highest)
    report.hold("growth of resident memory to max_bytes", max(row[4] for row in highest), most=1.05)


ALL = {"cores": cores, "stored": stored, "connections": connections, "purges": purges,
       "churn": churn}
