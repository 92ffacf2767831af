"""Runs side by side, as tables in Markdown made of k6's summaries."""

import json


def read(results, name):
    return json.loads((results / f"{name}.json").read_text())["metrics"]


def value(metrics, name, of):
    return metrics.get(name, {}).get(of)


def count(metrics, name):
    return value(metrics, name, "count") or 0


def ms(metrics, name, of):
    found = value(metrics, name, of)
    return "" if found is None else f"{found:,.0f} ms" if found >= 10 else f"{found:.2f} ms"


def share(metrics, name):
    found = value(metrics, name, "value")
    return "" if found is None else f"{100 * found:.1f} %"


def write(results, name, heading, columns, rows):
    lines = [heading, "", "| | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    lines += ["| " + " | ".join([what, *cells]) + " |" for what, cells in rows]
    text = "\n".join(lines) + "\n"
    (results / f"{name}.md").write_text(text)
    print(f"\n{text}", flush=True)


def less(before, after, metric, of):
    """By how much less, in per cent."""
    first, second = value(before, metric, of), value(after, metric, of)
    if not first or second is None:
        return ""
    change = 100 * (second / first - 1)
    return f"{abs(change):.1f} % {'more' if change > 0 else 'less'}"


def compare(results, heading):
    direct, proxied = read(results, "compare-direct"), read(results, "compare-proxied")
    rows = []
    for what, metric in [("reads", "read_ms"), ("cart requests", "write_ms")]:
        for of, short in [("avg", "mean"), ("med", "p50"), ("p(95)", "p95"), ("p(99)", "p99")]:
            cells = [ms(direct, metric, of), ms(proxied, metric, of), less(direct, proxied, metric, of)]
            rows.append((f"{what}, {short}", cells))
    for what, metric in [("origin requests, reads", "origin_reads"), ("origin requests, carts", "origin_writes")]:
        cells = [f"{count(each, metric):,}" for each in (direct, proxied)]
        rows.append((what, [*cells, less(direct, proxied, metric, "count")]))
    rows.append(("reads answered from memory", ["", share(proxied, "hits"), ""]))
    write(results, "compare", heading, ["direct", "through csu-edge", ""], rows)


def polling(results, names, heading):
    runs = [read(results, f"polling-{number + 1}") for number in range(len(names))]
    rows = []
    for of, short in [("avg", "mean"), ("med", "p50"), ("p(95)", "p95"), ("max", "longest")]:
        what = f"until a changed price is answered, {short}"
        rows.append((what, [ms(run, "staleness_ms", of) for run in runs]))
    rows.append(("looks that saw an old price", [
        f"{count(run, 'looks_at_an_old_price'):,} of {count(run, 'looks'):,}" for run in runs]))
    for of, short in [("avg", "mean"), ("med", "p50"), ("p(95)", "p95"), ("p(99)", "p99")]:
        rows.append((f"visitors' reads, {short}", [ms(run, "read_ms", of) for run in runs]))
    rows.append(("reads answered from memory", [share(run, "hits") for run in runs]))
    rows.append(("origin requests", [f"{count(run, 'origin_reads'):,}" for run in runs]))
    names = [f"{name}" for name in names]
    rows.append(("mean latency, to the first", ["", *(less(runs[0], run, "read_ms", "avg") for run in runs[1:])]))
    write(results, "polling", heading, names, rows)
