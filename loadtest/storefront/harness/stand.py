"""The programs that take part: started on free loopback ports, and ended when they are left."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
ROOT = FOLDER.parents[1]
STARTED_WITHIN_S = 20
ENDED_WITHIN_S = 10
ASKED_WITHIN_S = 10
OPERATING_UNIT = "128"

EDGE = """\
[listen]
storefront = "127.0.0.1:0"
ingest = "127.0.0.1:0"
control = "127.0.0.1:0"
drain_for = "1s"

[origin]
service_root = "{origin}"

[cors]
allowed_origins = ["{page}"]

[log]
filter = "warn"
"""


class Failed(Exception):
    """What ends a run, in words for whoever started it."""


def build():
    """The release binaries of csu-edge and csu-sandbox."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    try:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bins"], cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f"csu-edge cannot be built: {error}") from error
    return target / "release" / "csu-edge", target / "release" / "csu-sandbox"


@contextmanager
def program(name, command):
    """Runs a program that tells on its first line where it listens; yields that."""
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            raise Failed(f"{name} cannot be started: {error}") from error
        try:
            line = first_line(process)
            if not line:
                log.seek(0)
                raise Failed(f"{name} did not start:\n{log.read().decode(errors='replace')}")
            yield json.loads(line)["listening"]
        finally:
            process.terminate()
            try:
                process.wait(ENDED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def first_line(process):
    """Nothing where it ended, or said nothing in time."""
    ready, _, _ = select.select([process.stdout], [], [], STARTED_WITHIN_S)
    return process.stdout.readline() if ready else b""


class Stand:
    """The stand-in Retail Server and the page, which keep running; csu-edge comes and goes."""

    def __init__(self, edge, folder, sandbox, page):
        self._edge, self._folder = edge, folder
        self._control = f"http://{sandbox['sandbox']}/sandbox"
        self.direct = f"http://{sandbox['sandbox']}/Commerce"
        self.page = f"http://{page['page']}"

    @contextmanager
    def edge(self):
        """A csu-edge that has nothing in memory; yields its service root."""
        config = self._folder / "edge.toml"
        config.write_text(EDGE.format(origin=self.direct, page=self.page))
        with program("csu-edge", [self._edge, "serve", "--config", config]) as listening:
            yield f"http://{listening['storefront']}/Commerce"

    def point_page_at(self, base):
        """Writes the page's config.js."""
        told = json.dumps({"base": base, "operatingUnit": OPERATING_UNIT})
        fresh = self._folder / "page.json.new"
        fresh.write_text(told)
        fresh.rename(self._folder / "page.json")

    def control(self, method, path, body=None):
        """Asks a control path of the stand-in."""
        return ask(method, f"{self._control}/{path}", body)

    def retail_server(self, path, body):
        """Calls an action of the stand-in, as the page would."""
        return ask("POST", f"{self.direct}/{path}?api-version=7.3", body, {"OUN": OPERATING_UNIT})

    def count_anew(self):
        self.control("DELETE", "stats")

    def counted(self):
        """Requests that reached the stand-in since then."""
        return sum(self.control("GET", "stats").values())


def ask(method, url, body=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | (headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=ASKED_WITHIN_S) as response:
            return json.load(response)
    except OSError as error:
        raise Failed(f"{method} {url}: {error}") from error


@contextmanager
def stand(edge, sandbox, latency):
    """Everything but csu-edge and the browser."""
    with tempfile.TemporaryDirectory(prefix="storefront-") as name:
        folder = Path(name)
        config = folder / "page.json"
        config.write_text("{}")
        with (
            program("csu-sandbox", [sandbox, "--latency", latency, "--preflights"]) as origin,
            program("serve", [sys.executable, "-B", FOLDER / "serve", "--config", config]) as page,
        ):
            yield Stand(edge, folder, origin, page)


def version(program_path):
    told = subprocess.run([program_path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    return told.stdout.strip() or "unknown"


def machine():
    """This machine, in a line."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    return f"{model}, {os.cpu_count()} cores, Linux {os.uname().release.split('-')[0]}"


def today():
    return time.strftime("%Y-%m-%d", time.gmtime())
