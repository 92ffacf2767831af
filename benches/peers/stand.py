"""Servers under measurement: started on loopback ports, pinned to a core, and read from /proc."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVER_CORE, LOAD_CORE = "0", "1"
STARTED_WITHIN_S = 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def build():
    """The release binaries: csu-edge, csu-sandbox, and floor and steady, which are a package apart."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    cargo = ["cargo", "build", "--release", "--locked", "--quiet"]
    subprocess.run([*cargo, "--bins"], cwd=ROOT, check=True)
    apart = target / "peers"
    subprocess.run([*cargo, "--target-dir", apart], cwd=ROOT / "benches/peers", check=True)
    return {name: str(folder / "release" / name) for folder, names in [
        (target, ["csu-edge", "csu-sandbox"]), (apart, ["floor", "steady"])] for name in names}


class Server:
    """A server and all of its processes. Ends them when it is left."""

    def __init__(self, name, command, port, core=SERVER_CORE, files=()):
        self.name, self.port = name, port
        self.folder = Path(tempfile.mkdtemp(prefix=f"peer-{name}-"))
        for path, text in files:
            (self.folder / path).write_text(text.replace("FOLDER", str(self.folder)))
        command = [part.replace("FOLDER", str(self.folder)) for part in command]
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", core, *command], stdout=self.log, stderr=self.log,
            cwd=self.folder, start_new_session=True,
        )
        deadline = time.monotonic() + STARTED_WITHIN_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.002)

    def answers(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def pids(self):
        """The process and its descendants."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
        found = {self.process.pid}
        while True:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            if not more:
                return found
            found |= more

    def cpu_us(self, threads=""):
        """CPU time of all threads that run and whose names begin so, in microseconds (schedstat
        counts nanoseconds)."""
        total = 0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                if (task / "comm").read_text().startswith(threads):
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1000

    def resident_mb(self):
        total = 0
        for pid in self.pids():
            found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
            total += int(found.group(1)) if found else 0
        return total / 1024

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path, headers=(), body=None):
        request = urllib.request.Request(self.url(path), data=body, headers=dict(headers))
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": cpu.group(1) if cpu else "unknown",
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "load_average": os.getloadavg()[0],
    }


def version(command):
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return told.stdout.strip().splitlines()[0]
