"""Writes deploy/grafana/dashboards/csu-edge.json: `python3 deploy/grafana/dashboard`. With --check
it says whether that is up to date, and writes nothing.

What a panel shows and says stands in one place; where it is and how it looks follows from its kind.
"""

import json
import pathlib
import sys

import node
import origin
import purges
import redis
import traffic
from panels import DATASOURCE

FILE = pathlib.Path(__file__).parent.parent / "dashboards" / "csu-edge.json"
ROWS = [*traffic.ROWS, *origin.ROWS, *purges.ROWS, *redis.ROWS, *node.ROWS]


def variable(name, label, query, several):
    several_at_once = {
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        **(several_at_once if several else {}),
    }


def dashboard():
    panels, at = [], 0
    for title, members in ROWS:
        panels.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": at, "w": 24, "h": 1},
            }
        )
        at += 1
        width, height = (3, 4) if members[0]["type"] == "stat" else (12, 8)
        for index, member in enumerate(members):
            column, line = index % (24 // width), index // (24 // width)
            place = {"x": column * width, "y": at + line * height, "w": width, "h": height}
            panels.append({**member, "gridPos": place})
        at += -(-len(members) // (24 // width)) * height
    return {
        "uid": "csu-edge",
        "title": "csu-edge",
        "description": "A fleet of csu-edge, from its visitors to its origin: docs/operations.md.",
        "tags": ["csu-edge"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                },
                variable("job", "Job", "label_values(csu_edge_build_info, job)", False),
                variable(
                    "instance",
                    "Node",
                    'label_values(csu_edge_build_info{job="$job"}, instance)',
                    True,
                ),
                variable(
                    "operation",
                    "Operation",
                    'label_values(csu_edge_requests_total{job="$job"}, operation)',
                    True,
                ),
            ]
        },
        "annotations": {"list": []},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }


def main():
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    match sys.argv[1:]:
        case []:
            FILE.write_text(text, encoding="utf-8")
        case ["--check"]:
            if FILE.read_text(encoding="utf-8") != text:
                sys.exit(f"{FILE} is not what {__file__} writes: run it")
        case _:
            sys.exit("usage: dashboard.py [--check]")


if __name__ == "__main__":
    main()
