"""The tier that nodes share, and the links to it."""

from panels import BREAKER, NODES, by, lines, quantile, rate, states, target

ROWS = [
    (
        "Redis",
        [
            states(
                "Are the links up?",
                "tier holds answers; purge, beat and follow are the purge plane. Down for a "
                "minute: CsuEdgeRedisLost. No bands: these nodes have no [redis].",
                f"csu_edge_redis_breaker_state{{{NODES}}}",
                "{{instance}} {{link}}",
                BREAKER,
            ),
            lines(
                "Commands that failed",
                "ops",
                "By link and outcome; docs/operations.md, Redis, has what each means. timed-out: "
                "Redis is slow. refused: it is full or lacks a permission. down: see the link "
                "beside.",
                target(
                    by("link, outcome", rate("csu_edge_redis_commands_total", ',outcome!="ok"')),
                    "{{link}} {{outcome}}",
                ),
            ),
            lines(
                "Commands",
                "ops",
                "What Redis is asked, by command. get is one for each miss in memory; beat is "
                "four a second for each node.",
                target(by("command", rate("csu_edge_redis_commands_total")), "{{command}}"),
                stacked=True,
            ),
            lines(
                "Time of commands, 99th percentile",
                "s",
                "Past a few milliseconds Redis is far away or busy; get is given up at "
                "redis.command_timeout. follow and wait wait on purpose.",
                target(
                    quantile(0.99, "csu_edge_redis_command_duration_seconds", "command"),
                    "{{command}}",
                ),
            ),
            lines(
                "Answers looked for in Redis",
                "ops",
                "found is a fetch that another node has spared this one. failed: no answer in "
                "time. unreadable or other-key again and again: somebody else writes there.",
                target(by("result", rate("csu_edge_shared_reads_total")), "{{result}}"),
                stacked=True,
            ),
            lines(
                "Answers written to Redis",
                "ops",
                "queue-full or failed: the other nodes have to fetch it too, see "
                "CsuEdgeSharedWritesDropped. too-large is redis.max_value_bytes.",
                target(by("result", rate("csu_edge_shared_writes_total")), "{{result}}"),
                stacked=True,
            ),
            lines(
                "Who is to fetch",
                "ops",
                "On a miss in both tiers: this node (elected), or another whose answer is waited "
                "for (follow). failed: nobody knows, so each node fetches by itself.",
                target(by("result", rate("csu_edge_shared_leases_total")), "{{result}}"),
            ),
            lines(
                "Connections given up",
                "short",
                "Connections to Redis that were replaced within the hour, by link and reason. "
                "Some at a failover are normal; a steady trickle is a network or a timeout that "
                "closes them.",
                target(
                    f"sum by (link, reason) (increase(csu_edge_redis_connections_replaced_total{{{NODES}}}[1h]))",
                    "{{link}} {{reason}}",
                ),
            ),
        ],
    ),
]
