"""What was measured: told as it comes, and kept as a page and as raw figures."""

from statistics import median


def of(rounds, name):
    """The median of a figure over the rounds, or None where it was not measured."""
    values = [found[name] for found in rounds if name in found]
    return median(values) if values else None


class Report:
    def __init__(self, machine, versions, command):
        self.machine, self.versions, self.command = machine, versions, command
        self.tables, self.rounds, self.missed, self.plots = [], {}, [], {}

    def keep(self, subject, name, rounds):
        self.rounds.setdefault(subject, {})[name] = rounds

    def table(self, title, columns, rows):
        lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
        text = f"{title}\n\n" + "\n".join(lines)
        print(text, flush=True)
        self.tables.append(text)

    def hold(self, what, value, most=None, least=None):
        """Holds a figure against its target."""
        bound = f"at most {most}" if most is not None else f"at least {least}"
        is_met = value <= most if most is not None else value >= least
        text = f"{what}: {value:.3g} (target: {bound}): {'met' if is_met else 'missed'}"
        print(text, flush=True)
        self.tables.append(text)
        if not is_met:
            self.missed.append(text)

    def plot(self, name, svg):
        self.plots[name] = svg

    def raw(self):
        return {"command": self.command, "machine": self.machine, "versions": self.versions,
                "rounds": self.rounds}

    def text(self):
        machine = self.machine
        head = (f"`{self.command}`, {machine['date']}, {machine['cores']} cores of {machine['cpu']}, "
                f"Linux {machine['kernel']}, load average {machine['load_average']:.1f} at the start.")
        versions = "; ".join(f"{name}: {told}" for name, told in self.versions.items())
        return "\n\n".join([head, versions + ".", *self.tables]) + "\n"


def cell(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if isinstance(value, float) and value >= 1000 else (
        f"{value:.3g}" if isinstance(value, float) else str(value))
