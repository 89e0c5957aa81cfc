#!/usr/bin/python3
"""relay_test.py RELAY: the relay does what its head promises. TAP."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nets

relay_path = sys.argv[1]
count = failed = 0


def report(name, ok, note=""):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {count} {name}", flush=True)
    if note:
        print(f"# {note}", flush=True)


class Relay:
    """A relay before an echo server, or before a given address."""

    def __init__(self, options=(), listen="127.0.0.1:0", target=None):
        self.server = None
        if not target:
            self.server = socket.create_server(("127.0.0.1", 0))
            threading.Thread(target=self.serve, daemon=True).start()
            target = "127.0.0.1:%d" % self.server.getsockname()[1]
        self.process = subprocess.Popen([relay_path, *options, listen, target], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.address = self.process.stdout.readline().split()[1]
        self.port = int(self.address.split(":")[1])

    def serve(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.echo, args=(client,), daemon=True).start()

    @staticmethod
    def echo(client):
        try:
            while data := client.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        client.close()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()

    def connect(self, timeout=5):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.status = self.process.wait(timeout=5)
        self.process.stdout.close()
        if self.server:
            self.server.close()


def receive(sock, size):
    data = b""
    while len(data) < size:
        got = sock.recv(min(size - len(data), 1 << 16))
        if not got:
            break
        data += got
    return data


def round_trip_ms(sock, data=b"x"):
    start = time.monotonic()
    sock.sendall(data)
    assert receive(sock, len(data)) == data
    return (time.monotonic() - start) * 1000


def silent(sock, seconds=0.3):
    sock.settimeout(seconds)
    try:
        return sock.recv(1) is None
    except TimeoutError:
        return True
    finally:
        sock.settimeout(5)


def is_reset(sock):
    try:
        sock.sendall(b"x")
        return sock.recv(1) is None
    except ConnectionError:
        return True


def forwards():
    data = os.urandom(3 << 20)
    with Relay() as relay, relay.connect() as sock:
        threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR))).start()
        got = receive(sock, len(data))
        report("bytes arrive whole, in order, and so does the end", got == data and sock.recv(1) == b"")
        stats = relay.tell("stats").split()
        report("they are counted", stats[3] == str(len(data)) == stats[5], " ".join(stats))
    report("it ends with its standard input", relay.status == 0)


def delays():
    with Relay() as relay, relay.connect() as sock:
        quick = round_trip_ms(sock)
        relay.tell("delay 50")
        slow = min(round_trip_ms(sock) for _ in range(3))
        relay.tell("delay 20 15")
        shaken = [round_trip_ms(sock) for _ in range(12)]
        relay.tell("delay 0")
        report("delay: both ways, jitter around it", quick < 20 and 100 <= slow < 130 and
               8 <= min(shaken) < max(shaken) < 95 and max(shaken) - min(shaken) > 5,
               f"{quick:.2f} ms; 50 each way: {slow:.1f}; 20+-15: {min(shaken):.0f} to {max(shaken):.0f}")
        report("and back", min(round_trip_ms(sock) for _ in range(3)) < 20)


def limits():
    sink = socket.create_server(("127.0.0.1", 0))
    with Relay(target="127.0.0.1:%d" % sink.getsockname()[1]) as relay:
        relay.tell("rate 16000000")
        sock = relay.connect()
        peer, _ = sink.accept()
        stop = threading.Event()

        def push():
            try:
                while not stop.is_set():
                    sock.sendall(bytes(65536))
            except OSError:
                pass

        threading.Thread(target=push, daemon=True).start()
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            peer.recv(65536)
        total, start = 0, time.monotonic()
        while time.monotonic() < start + 1:
            total += len(peer.recv(65536))
        mbits = total * 8 / (time.monotonic() - start) / 1e6
        stop.set()
        peer.close()
        sock.close()
        report("rate within 5 %", 15.2 < mbits < 16.8, f"16 Mbit/s: {mbits:.2f}")
    sink.close()


def loses():
    with Relay(["--seed", "7"]) as relay, relay.connect() as sock:
        relay.tell("loss 20 40")
        times = [round_trip_ms(sock) for _ in range(40)]
        stalled = sum(t >= 40 for t in times)
        report("loss: some stall, nothing is lost", 5 <= stalled <= 30 and min(times) < 20,
               f"{stalled} of 40 stalled; {relay.tell('stats')}")
        relay.tell("loss 0")
        report("and back", max(round_trip_ms(sock) for _ in range(10)) < 40)


def cuts():
    with Relay() as relay, relay.connect() as sock:
        round_trip_ms(sock)
        relay.tell("partition")
        sock.sendall(b"abc")
        report("partition: nothing passes", silent(sock))
        with relay.connect() as late:
            late.sendall(b"late")
            report("a connection made meanwhile is silent", silent(late))
            relay.tell("heal")
            report("heal: what waited arrives", receive(sock, 3) == b"abc" and receive(late, 4) == b"late")
        relay.tell("partition down")
        sock.sendall(b"x")
        held = silent(sock)
        up = relay.tell("stats").split()[3]
        relay.tell("heal")
        report("one way only", held and up == "9" and receive(sock, 1) == b"x", up)
        relay.tell("reset")
        report("reset ends connections", is_reset(sock))
        relay.tell("refuse")
        try:
            with relay.connect() as late:
                refused = is_reset(late)
        except ConnectionError:
            refused = True
        report("refuse", refused)
        relay.tell("accept")
        with relay.connect() as again:
            report("accept", round_trip_ms(again) < 1000)


def nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Relay(target=f"127.0.0.1:{port}") as relay, relay.connect() as sock:
        report("nobody behind it: reset", is_reset(sock))


def wrong_commands():
    wrong = ["", "delay", "delay x", "delay -1", "delay 1 2 3", "loss 101", "partition left", "rate nan",
             "x" * 200]
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/control"
        with Relay(["--control", path]) as relay:
            answers = [relay.tell(line) for line in wrong]
            report("wrong commands are refused", all(a.startswith("error:") for a in answers), str(answers[0]))
            with socket.socket(socket.AF_UNIX) as control:
                control.connect(path)
                control.sendall(b"delay 30\nsta")
                control.sendall(b"ts\n")
                text = control.makefile().readline(), control.makefile().readline
                with relay.connect() as sock:
                    slow = round_trip_ms(sock)
                report("the same over the socket", text[0] == "ok\n" and slow >= 60, f"{slow:.1f} ms")


def namespaces():
    try:
        with nets.Nets(2) as two:
            serve = ("import socket\n"
                     "s = socket.create_server(('127.0.0.1', 7001))\n"
                     "print('up', flush=True)\n"
                     "c, _ = s.accept()\n"
                     "c.sendall(c.recv(9))\n")
            ask = ("import socket\n"
                   "c = socket.create_connection(('127.0.0.1', 7002), 5)\n"
                   "c.sendall(b'hello')\n"
                   "print(c.recv(9).decode())\n")
            server = two.popen(2, [sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True)
            server.stdout.readline()
            direct = two.popen(1, [sys.executable, "-c", ask.replace("7002", "7001")],
                               stderr=subprocess.DEVNULL)
            apart = direct.wait(10) != 0
            with Relay(["--listen-ns", two.names[0], "--connect-ns", two.names[1]],
                       "127.0.0.1:7002", "127.0.0.1:7001"):
                client = two.popen(1, [sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True)
                got = client.communicate(timeout=10)[0]
            server.wait(5)
            server.stdout.close()
            report("between two namespaces the relay is the only way", apart and got == "hello\n", got.strip())
        with nets.Nets(2, bridge=True) as two:
            serve = serve.replace("127.0.0.1", "10.99.0.2")
            server = two.popen(2, [sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True)
            server.stdout.readline()
            client = two.popen(1, [sys.executable, "-c", ask.replace("127.0.0.1", "10.99.0.2")
                                   .replace("7002", "7001")], stdout=subprocess.PIPE, text=True)
            got = client.communicate(timeout=10)[0]
            server.wait(5)
            server.stdout.close()
            report("over a bridge they reach each other", got == "hello\n", got.strip())
            names = two.names
        report("no namespace is left", not any(os.path.exists(f"/run/netns/{n}") for n in names))
        left = subprocess.Popen([sys.executable, nets.__file__, "1", "sleep", "60"],
                                start_new_session=True)
        name = f"/run/netns/wm-{left.pid}-1"
        for _ in range(100):
            if os.path.exists(name):
                break
            time.sleep(0.05)
        made = os.path.exists(name)
        os.killpg(left.pid, signal.SIGKILL)
        left.wait()
        with nets.Nets(1):
            report("a killed one's are swept by the next", made and not os.path.exists(name))
    except nets.Unavailable as why:
        report(f"namespaces # SKIP {why}", True)


for part in (forwards, delays, limits, loses, cuts, nobody_there, wrong_commands, namespaces):
    try:
        part()
    except Exception as error:  # a test that breaks off has failed, and the others go on
        report(f"{part.__name__}: {type(error).__name__}: {error}", False)
print(f"1..{count}")
sys.exit(failed > 0)
