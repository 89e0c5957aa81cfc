#!/usr/bin/python3
"""nets.py: network namespaces for tests of several nodes.

    nets.py [--bridge] N COMMAND [ARG...]    from a shell
    with Nets(3, bridge=True) as nets: ...   from Python

Makes N named namespaces wm-PID-1 ... wm-PID-N, each with loopback up, and removes them at the end,
also after a failure or SIGTERM. Without a bridge nothing joins them: relay (relay.c) between two
of them is then the only way, so a test decides what gets through. With one, namespace I has the
address 10.99.0.I on eth0, and the bridge lies in a namespace of its own, so the machine's addresses
and firewall do not matter.

COMMAND finds the names in NETS (separated by blanks) and the first one's in NET_1, and so on. Its exit
status is that of nets.py; 77 when this machine does not allow namespaces. Namespaces that a killed
nets.py left are removed when their process number is nobody's any more."""
import os
import re
import shutil
import signal
import subprocess
import sys


class Unavailable(Exception):
    pass


def ip(*args, ns=None, check=True):
    command = ["ip"] + (["-n", ns] if ns else []) + list(args)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


class Nets:
    def __init__(self, count, bridge=False):
        self.prefix = f"wm-{os.getpid()}"
        self.names = [f"{self.prefix}-{i + 1}" for i in range(count)]
        self.hub = f"{self.prefix}-hub" if bridge else None
        self.made = []

    def address(self, index):
        """Of namespace `index`, from 1, on the bridge."""
        return f"10.99.0.{index}"

    def __enter__(self):
        if not shutil.which("ip"):
            raise Unavailable("no ip here (package iproute2)")
        sweep()
        try:
            self.make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def make(self):
        for name in ([self.hub] if self.hub else []) + self.names:
            ip("netns", "add", name)
            self.made.append(name)
            ip("link", "set", "lo", "up", ns=name)
        if not self.hub:
            return
        ip("link", "add", "bridge", "type", "bridge", ns=self.hub)
        ip("link", "set", "bridge", "up", ns=self.hub)
        for i, name in enumerate(self.names, 1):
            ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"port{i}",
               "netns", self.hub)
            ip("link", "set", f"port{i}", "master", "bridge", "up", ns=self.hub)
            ip("addr", "add", f"{self.address(i)}/24", "dev", "eth0", ns=name)
            ip("link", "set", "eth0", "up", ns=name)

    def remove(self):
        for name in self.made:
            ip("netns", "del", name, check=False)
        self.made = []

    def popen(self, index, command, **options):
        """Starts a command in namespace `index`, from 1."""
        return subprocess.Popen(["ip", "netns", "exec", self.names[index - 1]] + command, **options)


def sweep():
    for line in ip("netns", "list", check=False).splitlines():
        found = re.match(r"wm-(\d+)-(\d+|hub)\b", line)
        if found and not os.path.exists(f"/proc/{found.group(1)}"):
            ip("netns", "del", found.group(0), check=False)


def main(args):
    bridge = args[:1] == ["--bridge"]
    args = args[bridge:]
    if len(args) < 2 or not args[0].isdigit():
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Nets(int(args[0]), bridge) as nets:
            env = dict(os.environ, NETS=" ".join(nets.names))
            env.update({f"NET_{i}": name for i, name in enumerate(nets.names, 1)})
            return subprocess.run(args[1:], env=env).returncode
    except Unavailable as why:
        print(f"nets.py: {why}", file=sys.stderr)
        return 77


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
