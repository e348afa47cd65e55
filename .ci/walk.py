#!/usr/bin/env python3
"""Walks through the documents in a fresh clone, its working folder: .ci/walk.py TARGET-FOLDER

README.md and README.zh.md from top to bottom: each block behind a mark `<!-- ci: NAME -->` runs as printed, and what it
prints is compared with what the page says it prints. Then the blocks of the other pages behind `<!-- ci: run -->`, against
a service with the demo's configuration; in a `console` block the printed output must come, `…` standing for anything. At
last the README's tests. Chinese pages repeat the blocks of the English ones, which markdown.py has compared.
"""
import http.server
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

from markdown import Page

# The blocks of both READMEs that are not run, by their first line, and why.
NOT_RUN = {
    "$ docker build -t readhook .": "there is no Docker daemon in CI",
}


def fail(text):
    sys.exit(f"walk: {text}")


def run(text, **more):
    """A block as printed. What it prints to standard error is for whoever reads CI's log."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **more)
    if done.returncode:
        fail(f"this ended with {done.returncode}:\n{text}\n{done.stdout}")
    return done.stdout


def wait(what, state, service=None, seconds=60):
    end = time.monotonic() + seconds
    while not state():
        if service and service.process.poll() is not None:
            fail(f"readhook ended:\n{service.log()}")
        if time.monotonic() > end:
            fail(f"{what}: not within {seconds} s" + (f"\n{service.log()}" if service else ""))
        time.sleep(0.1)


class Service:
    """What a page starts and leaves running on the ports of the demo."""
    running = None

    def __init__(self, command, **more):
        self.out, self.err = open("walk.out", "w+"), open("walk.err", "w+")
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err, **more)
        Service.running = self
        # The first command compiles, if nobody has before.
        wait("readiness", lambda: ready(8080) and ready(9090), self, seconds=900)

    def printed(self):
        return pathlib.Path("walk.out").read_text()

    def log(self):
        return "".join(pathlib.Path("walk.err").read_text().splitlines(keepends=True)[-20:])

    def end(self):
        Service.running = None
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(60):
            fail(f"readhook ended with {code}:\n{self.log()}")


def ready(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).status == 200
    except OSError:
        return False


def same(page, name, expected, came):
    if expected != came:
        fail(f"{page}: `{name}` is not what the page prints; expected\n{expected}\nand this came\n{came}")


def readme(path):
    service, printed, test = None, {}, None
    for block in Page(path).blocks:
        match block.mark:
            case None if block.language in ("sh", "console"):
                if block.text.partition("\n")[0] not in NOT_RUN:
                    fail(f"{path}:{block.line}: mark this block, or say in .ci/walk.py why it is not run")
            case None:
                pass
            case "serve":
                service = Service(block.text)
            case "callbacks":
                printed["answers"] = run(block.text)
            case "answers":
                same(path, "answers", block.text, printed["answers"])
            case "receipts":
                count = block.text.count("\n")
                wait("the receipts", lambda: service.printed().count("\n") >= count, service)
                # Everything but the time of arrival is known beforehand.
                came = re.sub(r'"received_at":"[^"]*"', '"received_at":"…"', service.printed())
                same(path, "receipts", block.text, came)
            case "ask":
                if '"reader":"maya_k"' not in (page := run(block.text)):
                    fail(f"{path}: the API does not know the receipt:\n{page}")
            case "test":
                test = block.text
            case mark:
                fail(f"{path}:{block.line}: what is to be done with a block `{mark}`?")
    if not (service and printed and test):
        fail(f"{path}: the blocks `serve`, `callbacks` and `test` must be there")
    service.end()
    run("rm -r data/demo")  # as the page says; the next walk begins anew
    print(f"{path}: as printed")
    return test


def console(page, block):
    """Commands behind `$ `, and after each what it prints."""
    for part in re.split(r"(?m)^\$ ", block.text)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n", part)[0]
        expected = part[len(command):]
        came = run(command, stderr=subprocess.STDOUT)
        pattern = ".*".join(re.escape(piece) for piece in expected.rstrip("\n").split("…"))
        if expected and not re.fullmatch(pattern, came.rstrip("\n"), re.DOTALL):
            fail(f"{page}:{block.line}: {command}prints\n{came}and not\n{expected}")


class Receiver(http.server.BaseHTTPRequestHandler):
    """The pages' `webhook`."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def pages(callbacks):
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    pathlib.Path("config/readhook.toml").write_text(
        pathlib.Path("config/demo.toml").read_text().replace("data/demo/", "data/")
        + '\n[sinks.events]\ntype = "file"\npath = "data/receipts.jsonl"\n'
        + f'\n[sinks.webhook]\ntype = "http"\nurl = "http://127.0.0.1:{receiver.server_port}/"\nmode = "batch"\n')
    service = Service("readhook serve")
    run(callbacks)
    count = 0
    tracked = subprocess.run(["git", "ls-files", "-z", "*.md"], stdout=subprocess.PIPE, text=True, check=True)
    for path in sorted(filter(None, tracked.stdout.split("\0"))):
        if path in ("README.md", "README.zh.md") or "/zh/" in path:
            continue
        for block in Page(path).blocks:
            if not block.mark:
                continue
            if block.mark != "run" or block.language not in ("sh", "console"):
                fail(f"{path}:{block.line}: what is to be done with a {block.language} block `{block.mark}`?")
            print(f"{path}:{block.line}", flush=True)
            console(path, block) if block.language == "console" else run(block.text)
            count += 1
    service.end()
    receiver.shutdown()
    run("git checkout --quiet config/readhook.toml")  # the tests read it as it is
    print(f"{count} blocks of other pages: as printed")


def main():
    for port in (8080, 9090):
        if ready(port):
            fail(f"something answers on 127.0.0.1:{port} already; the pages' commands need that port")
    target = os.path.abspath(sys.argv[1])
    os.environ |= {"CARGO_TARGET_DIR": target, "PATH": f"{target}/release:{os.environ['PATH']}"}
    tests = {readme(path) for path in ("README.md", "README.zh.md")}
    pages(next(block.text for block in Page("README.md").blocks if block.mark == "callbacks"))
    for test in tests:  # the same in both, so it is run once
        print(run(test))


if __name__ == "__main__":
    try:
        main()
    finally:
        if Service.running:
            Service.running.process.kill()
