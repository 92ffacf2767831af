"""What the origin is sent, and what the gate makes of it."""

from panels import BREAKER, NODES, READS, by, lines, quantile, rate, ratios, states, target

ROWS = [
    (
        "Origin: load, budget and breaker",
        [
            lines(
                "Requests to the origin by purpose",
                "reqps",
                "fetch and revalidate are reads on their way into the store, batch is several of "
                "them in one, pass is everything that is not cached. Much pass: see Busiest "
                "operations.",
                target(by("purpose", rate("csu_edge_origin_requests_total")), "{{purpose}}"),
                stacked=True,
            ),
            lines(
                "Requests to the origin by outcome",
                "reqps",
                "What came back: the class of the status, or why there was none. 5xx, "
                "unreachable, timeouts or broken: the Retail Server's own logs say why. client- "
                "ones are visitors who left.",
                target(by("outcome", rate("csu_edge_origin_requests_total")), "{{outcome}}"),
                stacked=True,
            ),
            ratios(
                "Requests that the origin failed",
                "The share that came back as 5xx or not at all, by node. Past 20 % see "
                "CsuEdgeOriginFailing. One node alone: its way there.",
                target(
                    f"instance:csu_edge_origin_failures:ratio_rate5m{{{NODES}}}", "{{instance}}"
                ),
            ),
            lines(
                "Time of the origin",
                "s",
                "From sending to the head of its answer: the median and the slowest of a hundred. "
                "Where it rises, the gate's limit comes down; look at the Scale Unit, not at "
                "csu-edge.",
                target(
                    quantile(0.5, "csu_edge_origin_request_duration_seconds", "purpose"),
                    "{{purpose}} median",
                ),
                target(
                    quantile(0.99, "csu_edge_origin_request_duration_seconds", "purpose"),
                    "{{purpose}} 99 %",
                ),
            ),
            lines(
                "Requests past the gate, and their limit",
                "short",
                "How many requests are at the origin at once, how many the gate finds bearable by "
                "its latency, and how many clients wait for their turn. Waiting all the time: see "
                "The gate in docs/operations.md, concurrency.",
                target(f"csu_edge_origin_gate_in_flight{{{NODES}}}", "{{instance}} past the gate"),
                target(f"csu_edge_origin_in_flight{{{NODES}}}", "{{instance}} without a head yet"),
                target(f"csu_edge_origin_gate_limit{{{NODES}}}", "{{instance}} limit"),
                target(
                    f"csu_edge_origin_gate_waiting{{{NODES}}}", "{{instance}} clients that wait"
                ),
            ),
            lines(
                "Budget that is left",
                "short",
                "Requests that may go at once, of origin.gate.requests; below 0 where writes have "
                "overdrawn it. No curve where no budget is set. At 0 for minutes: "
                "CsuEdgeBudgetSpent.",
                target(f"csu_edge_origin_gate_tokens{{{NODES}}}", "{{instance}}"),
                min=None,
            ),
            states(
                "Is the origin asked?",
                "The gate's breaker. Open: the origin failed so often in a row that only a probe "
                "goes there, and stale answers are served where they may be. See "
                "CsuEdgeBreakerOpen.",
                f"csu_edge_origin_gate_breaker_state{{{NODES}}}",
                "{{instance}}",
                BREAKER,
            ),
            lines(
                "Requests that the gate kept back",
                "reqps",
                "By reason and for whom. Work in the background is kept back as a matter of "
                "course; clients are a reason to act: The gate in docs/operations.md has what to "
                "do about each reason.",
                target(
                    by("reason, priority", rate("csu_edge_origin_gate_refused_total")),
                    "{{reason}}: {{priority}}",
                ),
            ),
            lines(
                "Requests that the gate let through",
                "reqps",
                "For whom: clients who wait, writes that pass, and work in the background. Much "
                "refresh-ahead or after-purge: [refresh] is what spends the origin's time.",
                target(by("priority", rate("csu_edge_origin_gate_admitted_total")), "{{priority}}"),
                stacked=True,
            ),
            lines(
                "Asked for less, and asked again",
                "cps",
                "429 of the origin, and reads that got no answer and were asked once more. 429 "
                "again and again: set a budget below what it bears. Many repetitions: connections "
                "break on the way.",
                target(by("instance", rate("csu_edge_origin_throttled_total")), "{{instance}} 429"),
                target(
                    by("instance", rate("csu_edge_origin_retries_total")),
                    "{{instance}} asked again",
                ),
            ),
            lines(
                "Left alone for",
                "s",
                "How long the origin still wants to be left alone, by its Retry-After. Above 0 "
                "the gate is shut for reads: CsuEdgeOriginThrottles.",
                target(f"csu_edge_origin_gate_throttled_seconds{{{NODES}}}", "{{instance}}"),
            ),
            lines(
                "Things asked for in calls for lists",
                "cps",
                "What lists cost the origin, thing by thing. Compare with Things in lists: what "
                "is not asked for here was in the store, or in a list that is asked for whole.",
                target(
                    by(
                        "operation", f"rate(csu_edge_origin_ids_total{{{READS}}}[$__rate_interval])"
                    ),
                    "{{operation}}",
                ),
            ),
        ],
    ),
]
