"""Requests, and the generators that send them: wrk as fast as answers come, steady at a rate, h2load
for HTTP/2."""

import json
import subprocess
import tempfile
from pathlib import Path

from stand import LOAD_CORE

CHANNEL = 5637154326
FIRST_PRODUCT = 68719489871
OUN = "128"


class Request:
    """One request, as every generator takes it."""

    def __init__(self, method, path, headers=(), body=""):
        self.method, self.path, self.headers, self.body = method, path, dict(headers), body

    def raw(self, port):
        headers = {"Host": f"127.0.0.1:{port}", **self.headers}
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n{self.body}"


def attributes(product, more=()):
    path = (f"/Commerce/Products({product})/GetAttributeValues(channelId={CHANNEL},catalogId=0)"
            "?api-version=7.3")
    return Request("GET", path, {"OUN": OUN, "Accept": "application/json", **dict(more)})


def gets(count=1000, first=FIRST_PRODUCT, more=()):
    return [attributes(first + number, more) for number in range(count)]


def prices(products, more=()):
    domain = {"ChannelId": CHANNEL, "CatalogId": 0}
    body = json.dumps({"projectDomain": domain, "productIds": products}, separators=(",", ":"))
    headers = {"OUN": OUN, "Accept": "application/json", "Content-Type": "application/json"}
    path = "/Commerce/Products/GetActivePrices?api-version=7.3"
    return Request("POST", path, {**headers, **dict(more)}, body)


WRK = """
local requests = {}
init = function()
  for line in io.lines(FILE) do requests[#requests + 1] = load("return " .. line)() end
end
local at = OFFSET
request = function()
  at = at + 1
  if at > #requests then at = 1 end
  return requests[at]
end
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.stderr:write(string.format(
    '{"requests":%d,"seconds":%f,"failed":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d}\\n',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50),
    latency:percentile(99), latency:percentile(99.9)))
end
"""


class Peak:
    """As many requests as come through on so many connections."""

    def __init__(self, requests, connections=32, threads=1, core=LOAD_CORE, scheme="http"):
        self.requests, self.connections, self.threads = requests, connections, threads
        self.core, self.scheme = core, scheme
        self.folder = tempfile.TemporaryDirectory(prefix="wrk-")

    def run(self, server, seconds):
        folder = Path(self.folder.name)
        quoted = (json.dumps(request.raw(server.port)) for request in self.requests)
        (folder / "requests").write_text("\n".join(quoted))
        script = WRK.replace("FILE", json.dumps(str(folder / "requests"))).replace("OFFSET", "0")
        (folder / "script.lua").write_text(script)
        command = ["taskset", "-c", self.core, "wrk", f"-t{self.threads}"]
        command += [f"-c{self.connections}", f"-d{seconds}s", "-s", str(folder / "script.lua")]
        command += [f"{self.scheme}://127.0.0.1:{server.port}/"]
        told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return json.loads(told.stderr.strip().splitlines()[-1])


class Steady:
    """So many requests a second."""

    def __init__(self, built, requests, rate, connections=32, core=LOAD_CORE):
        self.program, self.requests, self.rate = built["steady"], requests, rate
        self.connections, self.core = connections, core

    def run(self, server, seconds):
        with tempfile.NamedTemporaryFile("w", prefix="steady-") as file:
            for request in self.requests:
                raw = request.raw(server.port)
                file.write(f"{len(raw)}\n{raw}")
            file.flush()
            command = ["taskset", "-c", self.core, self.program, f"127.0.0.1:{server.port}"]
            command += [str(self.rate), str(seconds), str(self.connections), file.name]
            told = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        return json.loads(told.stdout)


class Http2:
    """One request over and over, on connections of HTTP/2 with ten streams each."""

    def __init__(self, requests, connections=4, streams=8, core=LOAD_CORE):
        self.requests, self.connections, self.streams = requests, connections, streams
        self.core = core

    def run(self, server, seconds):
        headers = [part for name, value in self.requests[0].headers.items()
                   for part in ("-H", f"{name}: {value}")]
        urls = [server.url(request.path) for request in self.requests[:100]]
        command = ["taskset", "-c", self.core, "h2load", "-D", str(seconds), "--warm-up-time=0"]
        command += ["-c", str(self.connections), "-m", str(self.streams), *headers, *urls]
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        words = next(line for line in told.splitlines() if line.startswith("requests:")).split()
        done, failed = int(words[words.index("done,") - 1]), int(words[words.index("failed,") - 1])
        return {"requests": done, "seconds": seconds, "failed": failed}


def measured(load, server, seconds):
    """One round: what the generator found, and the server's CPU time for each request."""
    before = server.cpu_us()
    found = load.run(server, seconds)
    spent = server.cpu_us() - before
    if found["failed"] or not found["requests"]:
        raise SystemExit(f"{server.name}: {found}")
    found["cpu_us"] = spent / found["requests"]
    found["rate"] = found["requests"] / found.get("seconds", seconds)
    return found
