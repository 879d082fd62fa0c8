"""Processes that are measured: ours, run to their end, and rivals that stay and answer requests."""

import json
import os
import subprocess
import sys
import tempfile
import time


class Gone(Exception):
    """A process ended, or failed, where an answer was expected."""


def note(text):
    print(text, file=sys.stderr, flush=True)


def tail(path, n=400):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()[-n:].strip()


def child(command, **env):
    """Runs a command to its end: (the JSON object that it prints, {"seconds", "rss_mb"})."""
    command = [str(c) for c in command]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **env})
        _, status, usage = os.wait4(p.pid, 0)
        seconds = time.perf_counter() - start
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        text, errors = out.read(), err.read()
    if p.returncode or "{" not in text:
        raise Gone(f"{' '.join(command)}: exit status {p.returncode}\n{errors[-800:]}")
    return json.loads(text[text.index("{"):]), {"seconds": seconds, "rss_mb": usage.ru_maxrss * 1024 / 1e6}


class Worker:
    def __init__(self, command, log):
        self.log, self.started, self.fresh = log, time.time(), True
        with open(log, "w", encoding="utf-8") as f:
            self.p = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=f, text=True)

    def ask(self, do, **request):
        try:
            self.p.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.p.stdin.flush()
            line = self.p.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Gone(f"exit status {self.p.wait()}: {tail(self.log)}")
        return json.loads(line)

    def close(self):
        """Ends it; returns its peak memory in MB."""
        if self.p.returncode is not None:
            return None
        self.p.stdin.close()
        _, status, usage = os.wait4(self.p.pid, 0)
        self.p.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss * 1024 / 1e6
