"""A readhook that the scripts in Python measure: started in a folder of its own, loaded, rested, ended.

Each has the configuration of `drive` (src/bin/drive/readhook.toml: the defaults and a file sink); what a script wants
otherwise it says in `settings`, as environment variables. Nothing is asked of the journal's files, only over HTTP.
"""
import contextlib, glob, json, os, pathlib, platform, shutil, signal, socket, subprocess, sys, tempfile, time
import urllib.request

BENCH = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", BENCH.parent / "target"))
READHOOK = TARGET / "release/readhook"
LOAD = pathlib.Path(os.environ.get("LOAD", TARGET / "release/load"))
CONFIG = BENCH / "src/bin/drive/readhook.toml"
# Older than the default of `journal.retention_days`.
AGE = "-31d"
# Past any proxy that the environment names.
ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def libfaketime():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        sys.exit("libfaketime is missing; on Debian: apt-get install faketime")
    return found[0]


def machine():
    """In a few words, for a title."""
    cpu = next((line.split(":")[1] for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    cpu = " ".join(cpu.replace("(R)", "").replace("Processor", "").split())
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {kernel}"


@contextlib.contextmanager
def workplace(name, limit):
    """A folder on the disk to be measured, removed at the end. The script ends after `limit` seconds whatever happens."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{name}: ended from outside"))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"{name}: not done after {limit} s"))
    signal.alarm(limit)
    (TARGET / "bench-data").mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=TARGET / "bench-data")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Readhook:
    def __init__(self, binary, folder, order="growing", **settings):
        self.binary, self.folder, self.order, self.settings = binary.resolve(), folder, order, settings
        self.sent, self.process = 0, None
        self.public, self.admin = free_ports(2)
        folder.mkdir()
        text = CONFIG.read_text().replace("PUBLIC", f"127.0.0.1:{self.public}")
        text = text.replace("ADMIN", f"127.0.0.1:{self.admin}").replace("FOLDER", str(folder))
        self.config = folder / "config.toml"
        self.config.write_text(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def spawn(self, aged=False, **settings):
        """Starts it and waits for nothing; if `aged`, for it to be a month ago."""
        ours = {k: v for k, v in os.environ.items() if k != "RUST_LOG" and not k.startswith("READHOOK__")}
        if aged:
            ours |= {"LD_PRELOAD": libfaketime(), "FAKETIME": AGE, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--config", self.config], env=ours | self.settings | settings,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self, aged=False, **settings):
        self.spawn(aged, **settings)
        for _ in range(1500):
            with contextlib.suppress(OSError):
                if ask(f"http://127.0.0.1:{self.public}/readyz", timeout=5).status == 200:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        sys.exit("readhook does not start: " + (self.folder / "log").read_text()[-2000:])

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    @contextlib.contextmanager
    def asleep(self):
        """Takes no CPU meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def generator(self, connections, seconds, stderr=None, **options):
        """`load`, started; each callback is new."""
        command = [LOAD, "--addr", f"127.0.0.1:{self.public}", "--order", self.order, "--start", str(self.sent),
                   "--connections", str(connections), "--seconds", str(seconds)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True)

    def load(self, connections, seconds, **options):
        """A run of `load` to its end; what it says as JSON."""
        with self.generator(connections, seconds, **options) as generator:
            try:
                said, _ = generator.communicate(timeout=seconds + 60)
            except BaseException:
                generator.kill()
                raise
        if generator.returncode:
            sys.exit(f"the load was not answered: {said}\n" + (self.folder / "log").read_text()[-2000:])
        result = json.loads(said.splitlines()[0])
        self.sent += result["sent"]
        return result

    def fill(self, receipts):
        """Up to so many receipts, as fast as it goes; then it rests."""
        if receipts > self.sent:
            self.load(256, 1500, requests=receipts - self.sent)
        self.rest()

    def metric(self, series):
        text = ask(f"http://127.0.0.1:{self.admin}/metrics", timeout=30).read().decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{series} "))

    def rest(self):
        """Waits until sink and read state have everything, and the disk has what is written."""
        end = time.monotonic() + 600
        for series in ("readhook_state_lag_receipts", 'readhook_sink_lag_receipts{sink="events"}'):
            while self.metric(series) > 0:
                if time.monotonic() > end:
                    sys.exit(f"{series} does not come to 0")
                time.sleep(0.1)
        os.sync()

    def oldest(self):
        """The position of the oldest receipt that there is; those before it retention has forgotten."""
        url = f"http://127.0.0.1:{self.admin}/api/v1/stream?events=receipt&from=start"
        with ask(url, timeout=30) as stream:
            # A place comes first; then the receipt, and its id, which begins with its position.
            for line in stream:
                if line.startswith(b"event: receipt"):
                    return int(next(line for line in stream if line.startswith(b"id:"))[3:].split(b"-")[0])
        sys.exit("the stream ended before its first receipt")

    def until_retention(self):
        """Waits until retention has forgotten something; it looks every five seconds."""
        began, end = self.oldest(), time.monotonic() + 60
        while self.oldest() == began:
            if time.monotonic() > end:
                sys.exit("retention forgets nothing")
            time.sleep(0.2)
