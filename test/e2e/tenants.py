#!/usr/bin/env python3
"""tenants.py BUILD: two tenants of one trust class in one worker: neither has anything of the other's (TAP).

Each has a function `who` that gives its owner's secret, a function `ask` that chains to `who`, and state under one key.
The second tenant's are asked for after the first one's are loaded. Files are seen by a tenant that has its worker alone.
"""
import pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from node import Node, check, finish, same

WHO = """
#include <faaslet.h>
FAASLET_MAIN
{
    char text[64];
    int32_t len = faaslet_secret("owner", 5, text, sizeof text);
    return len < 0 ? 1 : faaslet_output(text, (uint32_t)len);
}
"""
# Chains twice, so that one of the two may run where the function is not loaded yet.
ASK = """
#include <faaslet.h>
FAASLET_MAIN
{
    char text[64];
    int64_t id = faaslet_chain("who", 3, "", 0);
    if (id < 0 || faaslet_await(id, 5000) != 0) {
        return 1;
    }
    int32_t len = faaslet_chained_output(id, 0, text, sizeof text);
    return len < 0 ? 1 : faaslet_output(text, (uint32_t)len);
}
"""
KEEP = """
#include <faaslet.h>
FAASLET_MAIN
{
    char text[64];
    int32_t len = faaslet_input(text, sizeof text);
    if (len > 0 && (faaslet_state_write("key", 3, 0, text, (uint32_t)len) != 0 || faaslet_state_push("key", 3, 0, 0) != 0)) {
        return 1;
    }
    len = faaslet_state_read("key", 3, 0, text, sizeof text);
    return len < 0 ? 2 : faaslet_output(text, (uint32_t)len);
}
"""
READ = """
#include <stdio.h>
int main(void)
{
    char text[64] = "nothing";
    FILE *file = fopen("/note", "r");
    if (file && !fgets(text, sizeof text, file)) {
        return 1;
    }
    fputs(text, stdout);
}
"""
TENANTS = ["anna", "bert"]
node = Node(sys.argv[1])

def workers():
    """Processes that run functions of this node."""
    count = 0
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        count += "(wardmote-worker" in name and int(rest.split()[1]) == node.process.pid
    return count

try:
    folder = pathlib.Path(node.folder)
    (folder / "who.c").write_text(WHO)
    (folder / "ask.c").write_text(ASK)
    (folder / "keep.c").write_text(KEEP)
    (folder / "read.c").write_text(READ)
    for tenant in TENANTS + ["cleo"]:
        shared = ["--trust-class", "shared"] if tenant in TENANTS else []
        check(f"{tenant} is there", node.wardmote("tenant", "add", tenant, *shared).failed())
        (folder / "secret").write_text(f"{tenant}'s own")
        check(f"{tenant}: who", node.fn("put", str(folder / "who.c"), "--tenant", tenant, "--secret", f"owner={folder}/secret").failed())
        for name in ("ask", "keep", "read"):
            check(f"{tenant}: {name}", node.fn("put", str(folder / f"{name}.c"), "--tenant", tenant).failed())
    for tenant in ("anna", "cleo"):
        status, _, _ = node.ask("PUT", f"/v1/files/note?tenant={tenant}", f"{tenant}'s note".encode())
        check(f"{tenant} has a file", same(status // 100, 2))
    for tenant in TENANTS:
        check(f"{tenant} chains to functions of its own", node.call("ask", "", "--tenant", tenant).is_(f"{tenant}'s own"))
    for tenant in TENANTS:
        check(f"{tenant} writes state", node.call("keep", tenant, "--tenant", tenant).is_(tenant))
    for tenant in TENANTS:
        check(f"{tenant} reads what it wrote", node.call("keep", "", "--tenant", tenant).is_(tenant))
        check(f"{tenant}'s state lasts", node.wardmote("state", "get", "key", "--tenant", tenant).is_(tenant))
    for tenant in TENANTS:
        check(f"{tenant} reads no file", node.call("read", "", "--tenant", tenant).is_("nothing"))
    check("cleo reads hers", node.call("read", "", "--tenant", "cleo").is_("cleo's note"))
    check("one process serves anna and bert, another one cleo", same(workers(), 2))
finally:
    node.close()
finish()
