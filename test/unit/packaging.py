#!/usr/bin/env python3
"""packaging.py BUILD: the files of packaging/, as far as they can be judged without a cluster (TAP)."""
import os, pathlib, re, shutil, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1]).resolve()
PACKAGING = ROOT / "packaging"
results = []  # (name, problems or a reason to skip)


def check(name, *problems, skip=None):
    results.append((name, [str(p) for p in problems if p], skip))


def unit():
    made = (BUILD / "wardmote-node.service").read_text()
    check("the unit has its paths filled in", "@" in re.sub(r"@system-service", "", made) and "an @ is left",
          "" if re.search(r"^ExecStart=/\S+/wardmote node --data /var/lib/wardmote", made, re.M) else "no ExecStart")
    verify = shutil.which("systemd-analyze")
    if not verify:
        check("systemd-analyze verify", skip="no systemd-analyze here")
        return
    # The program of this build in place of the installed one, which may not be there.
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "wardmote-node.service"
        path.write_text(re.sub(r"/\S+/wardmote node", f"{BUILD}/wardmote node", made))
        out = subprocess.run([verify, "verify", "--man=no", str(path)], capture_output=True, text=True)
        said = [line for line in (out.stdout + out.stderr).splitlines() if "wardmote-node" in line]
        if out.returncode and not said:
            check("systemd-analyze verify", skip="it does not work here: " + (out.stderr.strip().splitlines() or ["no reason"])[0])
        else:
            check("systemd-analyze verify", *said)
        # A filter or a capability that systemd does not know is a message of its own, not an error.
        path.write_text(path.read_text().replace("ProtectSystem=strict", "ProtectSystem=strct"))
        out = subprocess.run([verify, "verify", "--man=no", str(path)], capture_output=True, text=True)
        check("and it would find a mistake", "" if "strct" in out.stdout + out.stderr or out.returncode else out)


def container():
    text = (PACKAGING / "Containerfile").read_text()
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M))
    words = {line.split()[0] for line in joined.splitlines() if line.strip()}
    known = {"FROM", "WORKDIR", "COPY", "RUN", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    check("Containerfile: instructions", words - known)
    bases = re.findall(r"^FROM (\S+)", joined, re.M)
    check("both stages are Debian 12", [b for b in bases if not b.endswith("debian:12-slim")], "" if len(bases) == 2 else bases)
    for line in joined.splitlines():
        if line.startswith("RUN "):
            out = subprocess.run(["sh", "-n", "-c", line[4:]], capture_output=True, text=True)
            check("RUN " + line[4:40], out.stderr)
    # The libraries that the programs of this build need are those that the image has.
    listed = set(re.findall(r"lib[a-z0-9.+-]+", joined.split("install -q -y")[1].split("&&")[0]))
    if not shutil.which("dpkg") or not shutil.which("readelf"):
        check("its libraries are those of the programs", skip="no dpkg or no readelf here")
        return
    base = {"libc6", "libgcc-s1", "zlib1g", "libstdc++6", "libdwarf1"}
    problems = []
    for name in ("wardmote", "wardmote-client", "wardmote-wasmc", "wardmote-node"):
        if not (BUILD / name).exists():
            continue
        out = subprocess.run(["readelf", "-d", str(BUILD / name)], capture_output=True, text=True).stdout
        for library in re.findall(r"\(NEEDED\).*\[(.*)\]", out):
            owner = subprocess.run(["dpkg", "-S", f"*/{library}"], capture_output=True, text=True).stdout
            packages = {line.split(":")[0] for line in owner.splitlines()}
            if packages and not packages & (listed | base) and "asan" not in library and "ubsan" not in library:
                problems.append(f"{name} needs {library} of {sorted(packages)}, which is not installed in the image")
    check("its libraries are those of the programs", *problems)


def kubernetes():
    try:
        import yaml
    except ImportError:
        check("kubernetes.yaml", skip="python3 has no yaml module here (python3-yaml)")
        return
    text = (PACKAGING / "kubernetes.yaml").read_text()
    documents = list(yaml.safe_load_all(text))
    check("says that it has not been run", "" if "NOT YET RUN ON A CLUSTER" in text else "it does not")
    check("every document has a kind and a name", *(d for d in documents if not (d.get("apiVersion") and d.get("kind") and d["metadata"].get("name"))))
    by = {(d["kind"], d["metadata"]["name"]): d for d in documents}
    check("no two of a name", "" if len(by) == len(documents) else sorted(by))
    problems = []
    pods = {}
    for (kind, name), document in by.items():
        if kind != "StatefulSet":
            continue
        spec = document["spec"]
        labels = spec["template"]["metadata"]["labels"]
        pods[name] = labels
        if spec["selector"]["matchLabels"] != labels:
            problems.append(f"{name}: its selector does not match its own pods")
        service = by.get(("Service", spec["serviceName"]))
        if not service or service["spec"].get("clusterIP") != "None":
            problems.append(f"{name}: {spec['serviceName']} is no headless service")
        pod = spec["template"]["spec"]
        volumes = {v["name"] for v in pod.get("volumes", [])} | {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])}
        for volume in pod.get("volumes", []):
            if "secret" in volume:
                secret = by.get(("Secret", volume["secret"]["secretName"]))
                for item in volume["secret"].get("items", []):
                    if not secret or item["key"] not in secret["stringData"]:
                        problems.append(f"{name}: secret {volume['secret']} is not there")
        for container in pod["containers"]:
            ports = {p["name"] for p in container["ports"]}
            problems += [f"{name}: mounts {m['name']}, which is no volume" for m in container["volumeMounts"] if m["name"] not in volumes]
            for probe in ("readinessProbe", "livenessProbe"):
                for action in ("httpGet", "tcpSocket"):
                    port = container.get(probe, {}).get(action, {}).get("port")
                    if port and port not in ports:
                        problems.append(f"{name}: {probe} asks port {port}")
            if container["command"][0] != "/bin/sh":
                continue
            out = subprocess.run(["sh", "-n", "-c", container["args"][0]], capture_output=True, text=True)
            problems += [f"{name}: {out.stderr}"] if out.stderr else []
    for (kind, name), document in by.items():
        selector = document["spec"].get("selector") if kind == "Service" else document.get("spec", {}).get("podSelector", {}).get("matchLabels")
        if kind in ("Service", "NetworkPolicy") and selector not in pods.values():
            problems.append(f"{kind} {name}: selects no pods of ours: {selector}")
    check("everything that is referred to is there", *problems)
    redis = by[("StatefulSet", "redis")]["spec"]["template"]["spec"]["containers"][0]["args"]
    redis = dict(zip(redis[::2], redis[1::2]))
    check("Redis keeps what it acknowledged", *(f"{name} is {redis.get(name)}" for name, want in
            (("--appendonly", "yes"), ("--appendfsync", "always"), ("--maxmemory-policy", "noeviction"), ("--dir", "/data")) if redis.get(name) != want))
    if not shutil.which("redis-server") or not shutil.which("redis-cli"):
        check("Redis takes these options", skip="no redis-server here")
    else:
        with tempfile.TemporaryDirectory() as folder:
            given = [word for pair in {**redis, "--dir": folder, "--port": "0", "--unixsocket": f"{folder}/s"}.items() for word in pair]
            server = subprocess.Popen(["redis-server", *given], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(100):
                out = subprocess.run(["redis-cli", "-s", f"{folder}/s", "config", "get", "append*"], capture_output=True, text=True)
                if out.returncode == 0 and out.stdout:
                    break
                time.sleep(0.05)
            server.terminate()
            said = server.communicate(timeout=10)[0].decode()
            check("Redis takes these options", "" if "appendfsync\nalways" in out.stdout and "appendonly\nyes" in out.stdout else (out, said))
    nodes = by[("StatefulSet", "wardmote")]
    script = nodes["spec"]["template"]["spec"]["containers"][0]["args"][0]
    peers = re.findall(r"- (\S+):8301", script)
    namespace = nodes["metadata"]["namespace"]
    check("the peers are the replicas", "" if peers == [f"wardmote-{n}=wardmote-{n}.wardmote-nodes.{namespace}.svc" for n in range(nodes["spec"]["replicas"])] else peers)
    inner = re.search(r"<<END\n(.*)END\n", script, re.S)
    config = yaml.safe_load(re.sub(r"\$\([^)]*\)", "x", inner.group(1)))
    check("the node's configuration in it is a flat map", "" if isinstance(config, dict) and config["data"] == "/var/lib/wardmote" else config)
    node = BUILD / "wardmote-node"
    if not node.exists():
        check("the node takes that configuration", skip="wardmote-node is not built here")
        return
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "key").write_text("0" * 64)
        os.chmod(f"{folder}/key", 0o600)
        text = re.sub(r"\$\([^)]*\)", "x", inner.group(1)).replace("/run/secrets/wardmote/cluster-key", f"{folder}/key").replace("/var/lib/wardmote", folder)
        pathlib.Path(folder, "node.yaml").write_text(text)
        out = subprocess.run([str(node), "--config", f"{folder}/node.yaml", "--print-config"], capture_output=True, text=True, timeout=20)
        check("the node takes that configuration", out.stderr if out.returncode else "")


for part in (unit, container, kubernetes):
    try:
        part()
    except Exception:
        import traceback
        check(f"{part.__name__} ran to its end", traceback.format_exc())
print(f"1..{len(results)}")
for number, (name, problems, skip) in enumerate(results, 1):
    name = name.replace("#", "\\#")
    print(f"{'not ok' if problems else 'ok'} {number} - {name}" + (f" # SKIP {skip}" if skip else ""))
    for problem in problems:
        print("# " + problem.replace("\n", "\n# "))
sys.exit(any(problems for _, problems, _ in results))
