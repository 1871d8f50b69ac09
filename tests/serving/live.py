"""A service as a process of its own, and a browser that is told what to do by its pipe, without further packages."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-background-networking", "--disable-sync", "--remote-debugging-pipe"),
]

PIPED = """
import fcntl, os, sys
both = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for one, file in zip(both, (3, 4)):
    os.dup2(one, file)
os.execv(sys.argv[3], sys.argv[3:])
"""  # starts a browser that is told by its files 3 and 4 what to do


@contextmanager
def served(run, *options):
    """Start `mammo serve` on a free port; yields the process, its address and the file of its log."""
    with tempfile.NamedTemporaryFile("w+") as log:
        words = [sys.executable, "-m", "mammo", "serve", str(run), "--port", "0", *options]
        process = subprocess.Popen(words, stderr=log, stdout=log)
        try:
            deadline = time.monotonic() + 400
            while not (found := re.search(r"http://\S+:\d+", Path(log.name).read_text())):
                assert process.poll() is None and time.monotonic() < deadline, Path(log.name).read_text()
                time.sleep(0.2)
            yield process, found[0], Path(log.name)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def memory_mb(pid):
    """The memory of a process and its descendants that no other shares, in MB."""
    total = 0
    for one in [pid, *descendants(pid)]:
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(kb) for kb in re.findall(r"^Pss:\s+(\d+)", lines, re.MULTILINE))
    return total / 1000


def processor_s(pid):
    """The processor time of a process and its descendants, in seconds."""
    total = 0
    for one in [pid, *descendants(pid)]:
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def descendants(pid):
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]


class Browser:
    """One tab of a headless Chromium."""

    def __init__(self, folder, width, dark):
        down, here = os.pipe(), os.pipe()
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        files = [str(down[0]), str(here[1])]
        start = [sys.executable, "-c", PIPED, *files, *words]
        self.process = subprocess.Popen(start, pass_fds=(down[0], here[1]), stderr=subprocess.DEVNULL)
        os.close(down[0])
        os.close(here[1])
        self.write, self.read = os.fdopen(down[1], "wb", 0), os.fdopen(here[0], "rb")
        self.number, self.rest, self.told, self.session = 0, b"", [], None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def ask(self, method, **parameters):
        """Send a command; return its result. Events are kept in `told`."""
        self.number += 1
        said = {"id": self.number, "method": method, "params": parameters}
        said |= {"sessionId": self.session} if self.session else {}
        self.write.write(json.dumps(said).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.read.fileno(), 1 << 20)
                assert more, "the browser has ended"
                self.rest += more
            one, _, self.rest = self.rest.partition(b"\0")
            message = json.loads(one)
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.told.append(message)

    def evaluate(self, script):
        """The value of a script in the page; a promise is awaited."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script, seconds=180):
        """Wait until a script is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(script):
            assert time.monotonic() < deadline, script
            time.sleep(0.1)

    @property
    def faults(self):
        """The errors of the page so far, and what it asked of other addresses."""
        kinds = ("Runtime.exceptionThrown",)
        entries = [one["params"]["entry"] for one in self.told if one.get("method") == "Log.entryAdded"]
        logged = [one["text"] for one in entries if one["source"] != "network"]  # which tells of a refused film, too
        thrown = [str(one["params"]) for one in self.told if one.get("method") in kinds]
        return logged + thrown

    @property
    def asked(self):
        """The addresses that the page asked for."""
        sent = [one for one in self.told if one.get("method") == "Network.requestWillBeSent"]
        return {one["params"]["request"]["url"] for one in sent}

    def end(self):
        self.process.kill()
        self.process.wait()
        self.write.close()
        self.read.close()
