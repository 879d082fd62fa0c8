#!/usr/bin/env python3
"""An OpenAI-compatible endpoint that behaves badly on purpose, for tests/cli/test_judge.sh. Standard library only.

usage: judge_server.py PORTFILE [CERT KEY]    (writes the port it got to PORTFILE; with CERT and KEY it speaks TLS)

The mode is the first part of the path: http://localhost:PORT/MODE/v1/chat/completions. The score it gives is the number behind
"SCORE=" in what it is asked. GET /stats tells what was received, GET /release ends the holding of mode hold.
"""
import email.utils
import hashlib
import json
import math
import os
import random
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ.get("JUDGE_TEST_KEY", "")
lock = threading.RLock()
released = threading.Event()
seen = {}  # mode -> {digest of the request: times received}
answered = {}  # mode -> digests answered
again = 0  # requests that had been answered before
flying = most = 0
wrong_keys = early = 0
last_body = {}  # mode -> the request as received
not_before = {}  # mode -> time


def top(*pairs):
    return [{"token": t, "logprob": math.log(p) if p > 0 else -9999.0, "bytes": None} for t, p in pairs]


def completion(text, top_logprobs=None, finish="length", model="judge-2026-01-01"):
    c = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, "logprobs": None}
    if top_logprobs is not None:
        c["logprobs"] = {"content": [{"token": text, "logprob": -0.1, "top_logprobs": top_logprobs}]}
    return {"id": "x", "object": "chat.completion", "model": model, "choices": [c], "usage": {"prompt_tokens": 100, "completion_tokens": 1}}


def score_of(body):
    text = body["messages"][0]["content"]
    return int(text.split("SCORE=")[1].split()[0]) if "SCORE=" in text else 50


def good(body):
    n = score_of(body)
    d = 0 < n < 100  # the expectation over the numbers is n; what is no number has 0.2
    return completion(str(n), top((str(n), 0.4), ("I", 0.2), (str(n + d), 0.2), (str(n - d), 0.2)))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    inside = 0

    def log_message(self, *args):
        pass

    def leave(self):  # before the answer goes out, which may bring the next request at once
        global flying
        with lock:
            flying -= self.inside
            self.inside = 0

    def send(self, status, content, headers=(), cut=0):
        self.leave()
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - cut])
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def do_GET(self):
        if self.path == "/release":
            released.set()
            return self.send(200, {})
        with lock:
            self.send(200, {"seen": {m: sorted(v.values()) for m, v in seen.items()}, "most": most, "wrong_keys": wrong_keys, "early": early,
                            "again": again, "body": last_body})

    def do_POST(self):
        global flying, most, wrong_keys, early, again
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        mode = self.path.split("/")[1]
        digest = hashlib.sha256(self.path.encode() + raw).hexdigest()
        with lock:
            self.inside = 1
            flying += 1
            most = max(most, flying)
            times = seen.setdefault(mode, {})
            times[digest] = n = times.get(digest, 0) + 1
            total = sum(times.values())
            again += digest in answered.get(mode, ())
            last_body[mode] = body
            if KEY and self.headers.get("Authorization") != "Bearer " + KEY:
                wrong_keys += 1
            if time.monotonic() < not_before.get(mode, 0):
                early += 1
        try:
            self.answer(mode, body, n, total, digest)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True
        finally:
            self.leave()

    def ok(self, mode, content, digest):
        with lock:
            answered.setdefault(mode, []).append(digest)
        self.send(200, content)

    def answer(self, mode, body, n, total, digest):
        if mode == "hold":  # answers ten, then holds
            with lock:
                hold = len(answered.get(mode, ())) >= 10 and not released.is_set()
                if not hold:
                    answered.setdefault(mode, []).append(digest)
            if hold:
                released.wait(300)
                self.close_connection = True
                return None  # the asker is gone
            return self.send(200, good(body))
        if mode == "shuffle":
            time.sleep(random.random() * 0.03)
            return self.ok(mode, good(body), digest)
        if mode == "never":
            time.sleep(20)
            return self.ok(mode, good(body), digest)
        if mode in ("wait", "waitdate") and total == 1:
            when = time.time() + 1
            if mode == "waitdate":  # whole seconds: up to the next but one
                when = math.ceil(time.time()) + 1
            with lock:
                not_before[mode] = time.monotonic() + (1 if mode == "wait" else when - 0.05 - time.time())
            value = "1" if mode == "wait" else email.utils.formatdate(when, usegmt=True)
            return self.send(429, {"error": {"message": "slow down", "type": "rate_limit"}}, [("Retry-After", value)])
        if mode == "waitlong":
            return self.send(429, {"error": {"message": "see you tomorrow"}}, [("Retry-After", "86400")])
        if mode == "errors" and n <= 5:  # each request: every failure that may pass, then an answer
            if n == 1:
                return self.send([500, 503, 408, 409, 429][int(digest[:4], 16) % 5], b"<html>oops</html>")
            if n == 2:
                return self.send(200, good(body), cut=25)
            if n == 3:
                return self.send(200, b'{"choices": [{"message": ')
            if n == 4:
                self.close_connection = True  # nothing at all
                return None
            return self.send(200, {"choices": []})
        if mode == "down":
            return self.send(500, {"error": {"message": "out of order"}})
        if mode == "refuse":
            return self.send(401, {"error": {"message": "Incorrect API key provided: " + self.headers.get("Authorization", ""), "code": "invalid_api_key"}})
        if mode == "badrequest":
            return self.send(400, {"error": {"message": "logprobs are not\nsupported"}})
        if mode == "quota":
            return self.send(429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})
        if mode == "moved":
            return self.send(302, b"", [("Location", "http://example.com/v1/chat/completions")])
        if mode == "impossible":
            return self.send(200, completion("75", [{"token": "75", "logprob": 4.0}]))
        if mode == "endless":
            return self.send(200, b" " * (5 << 20))
        if mode == "echo":  # the key in what is kept
            a = self.headers.get("Authorization", "")
            return self.ok(mode, completion(a, top((str(score_of(body)), 0.5), (a, 0.3)), model=a), digest)
        if mode == "lies":  # numbers that are none, and more than there are
            t = top(("150", 0.1), ("-5", 0.1), ("+7", 0.05), ("1e1", 0.05), ("\u0663\u0665", 0.1), ("7.5", 0.05), (" 40 ", 0.2), ("60", 0.2), ("007", 0.05))
            return self.ok(mode, completion("150", t), digest)
        if mode == "little":
            return self.ok(mode, completion("I", top(("I", 0.8), ("75", 0.1))), digest)
        if mode == "digits":
            return self.ok(mode, completion("7", top(("7", 0.9), ("8", 0.1))), digest)
        if mode == "prose":
            return self.ok(mode, completion("I would rather not give a number", finish="stop"), digest)
        if mode == "text":  # no log-probabilities
            return self.ok(mode, completion(" %d.\n" % score_of(body), finish="stop"), digest)
        if mode == "cut":
            return self.ok(mode, completion(str(score_of(body))[:1], finish="length"), digest)
        return self.ok(mode, good(body), digest)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # a connection that its other end gave up
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with open(sys.argv[1] + ".tmp", "w") as f:
        f.write(str(server.server_address[1]))
    os.rename(sys.argv[1] + ".tmp", sys.argv[1])
    server.serve_forever()


main()
