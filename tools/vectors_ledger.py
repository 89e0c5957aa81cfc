"""The ledger's test vectors, doc/format/vectors/ledger.json, from doc/format/ledger.md; tools/vectors writes
them. One small ledger is made in full, with real signatures and roots: four replicas, three requests of two
clients, four batches and a change of view. `good` has each structure with its fields, `bad` what a reader refuses,
each with the reason; `cose` has statements of replicas as COSE Receipts (RFC 9942).
"""
import hashlib
import re

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLAIMS, TREE, PROOFS = -65537, 395, 396
PIPELINE = 2
NONE = bytes(32)


def sha256(data):
    return hashlib.sha256(data).digest()


def cbor(value):
    return cbor2.dumps(value)


class Key:
    def __init__(self, name):
        self.seed = sha256(name.encode())
        self.private = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def leaf(data):
    return sha256(b"\0" + data)


# --- RFC 9162 trees, by their definition ---

def split(count):
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def tree_root(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\1" + tree_root(leaves[:k]) + tree_root(leaves[k:]))


def tree_path(leaves, index):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return tree_path(leaves[:k], index) + [tree_root(leaves[k:])]
    return tree_path(leaves[k:], index - k) + [tree_root(leaves[:k])]


# --- Statements ---

class Statement:
    """signed<claims, payload>"""

    def __init__(self, key, claims, payload, tree=False):
        self.claims, self.payload, self.key = claims, payload, key
        entries = {1: -8, 4: key.public}
        if tree:
            entries[TREE] = 1
        entries[CLAIMS] = claims
        self.header = cbor(entries)
        covered = cbor(["Signature1", self.header, b"", payload])
        self.name = sha256(covered)
        self.signature = key.private.sign(covered)

    def parts(self):
        return [self.header, self.payload, self.signature]

    def sign1(self, attached=False, proof=None):
        unprotected = {PROOFS: {-1: [cbor(proof)]}} if proof else {}
        return cbor2.CBORTag(18, [self.header, unprotected, self.payload if attached else None, self.signature])


# --- Fields, in the order of their items ---

REQUEST = ["service", "number", "minimum_index", "procedure", "arguments_len"]
OUTPUT = ["code", "result", "result_len", "procedure", "fuel_version", "reads", "writes"]
PREPREPARE = ["service", "cfg", "view", "seqno", "kind", "phase", "first_index", "count", "ledger_size", "ledger_root",
              "state_root", "commitment", "evidence", "governance", "checkpoint", "committed_root"]
PREPARE = ["service", "cfg", "view", "seqno", "replica", "preprepare", "commitment"]
VIEWCHANGE = ["service", "cfg", "view", "replica", "top"]
NEWVIEW = ["service", "cfg", "view", "ledger_size", "ledger_root", "base_seqno", "used"]
ENDORSEMENT = ["salt", "replica", "member"]
MEMBER = ["id", "name", "key", "weight"]
REPLICA = ["id", "key", "member", "address", "endorsement"]
PARAMETERS = ["pipeline", "checkpoint_interval", "batch_max"]
RULES = ["members", "replicas", "parameters", "procedures"]
QUORUM = ["header", "root", "signature", "primary_nonce", "shares"]
SHARE = ["replica", "signature", "nonce"]
EVIDENCE_SHARE = ["commitment", "signature", "nonce"]
CERTIFICATE_PREPARE = ["replica", "commitment", "signature"]
TRANSACTION_ITEM = ["request", "arguments", "output", "result"]
RECEIPT = ["request", "output", "index", "position", "path", "quorum", "chained"]


def items(fields, names):
    return [fields[name] for name in names]


def named(values, names):
    return dict(zip(names, values))


def changed(fields, **change):
    assert set(change) <= set(fields), set(change) - set(fields)
    return {**fields, **change}


def shown(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int) and value >> 53:
        return str(value)  # as JSON numbers, readers would take it for a double
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value


# --- How the structures lie ---

def request_claims(fields):
    return [18, 1] + items(fields, REQUEST)


def output(fields):
    return items(fields, OUTPUT)


def preprepare_claims(fields):
    return [20, 1] + items(fields, PREPREPARE)


def prepare_claims(fields):
    return [21, 1] + items(fields, PREPARE)


def viewchange_claims(fields):
    return [22, 1] + items(fields, VIEWCHANGE)


def newview_claims(fields):
    return [23, 1] + items(fields, NEWVIEW)


def endorsement_claims(fields):
    return [17, 1] + items(fields, ENDORSEMENT)


def parts(fields):
    return [[items(member, MEMBER) for member in fields["members"]],
            [items(replica, REPLICA) for replica in fields["replicas"]],
            items(fields["parameters"], PARAMETERS), items(fields["rules"], RULES)]


def genesis(fields):
    return [16, 1, fields["name"], fields["salt"], fields["time"]] + parts(fields)


def configuration(fields):
    return [26, 1, fields["number"]] + parts(fields)


def evidence(fields):
    return [1, fields["seqno"], fields["bitmap"], fields["preprepare_signature"],
            [items(share, EVIDENCE_SHARE) for share in fields["shares"]]]


def preprepare_entry(fields):
    return [2, fields["header"], fields["root"]]


def transactions(fields):
    return [5, fields["seqno"],
            [[item["request"], item["arguments"], output(item["output"]), item["result"]] for item in fields["items"]]]


def certificate(fields):
    if fields is None:
        return None
    return [fields["preprepare"], [items(prepare, CERTIFICATE_PREPARE) for prepare in fields["prepares"]]]


def viewchange(fields):
    return [fields["header"], fields["signature"], certificate(fields["certificate"])]


def viewchanges(fields):
    return [3, fields["view"], [viewchange(change) for change in fields["viewchanges"]]]


def newview_entry(fields):
    return [4, fields["header"], fields["signature"]]


def quorum(fields):
    return items(fields, QUORUM[:4]) + [[items(share, SHARE) for share in fields["shares"]]]


def receipt(fields):
    chained = fields["chained"]
    return [24, 1, fields["request"], output(fields["output"]), fields["index"], fields["position"], fields["path"],
            quorum(fields["quorum"]), chained and items(chained, ["header", "leaf", "path"])]


def link(fields):
    if fields["kind"] == 0:
        return [0] + items(fields, ["receipt", "arguments", "result"])
    return [fields["kind"], quorum(fields["quorum"]) if fields["kind"] == 1 else certificate(fields["certificate"])]


def chain(fields):
    return [link(one) for one in fields["links"]]


def state_proof(fields):
    return None if fields is None else items(fields, ["key_hash", "value_hash", "path"])


def blame(fields):
    return [25, 1] + items(fields, ["service", "chain", "kind", "parts"])


# --- The ledger ---

class Story:
    def __init__(self):
        self.members = [Key(f"member {i}") for i in range(1, 5)]
        self.replicas = [Key(f"replica {i}") for i in range(1, 5)]
        self.clients = [Key(f"client {i}") for i in range(1, 3)]
        self.salt = sha256(b"salt")[:16]
        self.endorsements = [
            Statement(self.members[i], endorsement_claims({"salt": self.salt, "replica": i + 1, "member": i + 1}),
                      self.replicas[i].public) for i in range(4)]
        self.genesis = {
            "name": "vectors", "salt": self.salt, "time": 1700000000,
            "members": [{"id": i + 1, "name": f"member-{i + 1}", "key": self.members[i].public, "weight": 1}
                        for i in range(4)],
            "replicas": [{"id": i + 1, "key": self.replicas[i].public, "member": i + 1,
                          "address": f"replica-{i + 1}.example:7000", "endorsement": self.endorsements[i].sign1()}
                         for i in range(4)],
            "parameters": {"pipeline": PIPELINE, "checkpoint_interval": 16, "batch_max": 1000},
            "rules": {"members": 66, "replicas": 50, "parameters": 50, "procedures": 0}}
        self.service = sha256(cbor(genesis(self.genesis)))
        self.entries, self.index, self.governance = [], 1, 0
        self.state()
        self.run()

    def state(self):
        """Two pairs, and their trie."""
        self.pairs = {b"\x01": b"one", b"\x02": b"two"}
        hashes = sorted((sha256(key), sha256(value)) for key, value in self.pairs.items())
        tops = [sha256(b"\0" + key + value) for key, value in hashes]
        bit = next(b for b in range(256) if (hashes[0][0][b // 8] ^ hashes[1][0][b // 8]) >> (7 - b % 8) & 1)
        self.state_root = sha256(b"\1" + bytes([bit]) + tops[0] + tops[1])
        self.state_proof = {"key_hash": hashes[0][0], "value_hash": hashes[0][1], "path": [[bit, tops[1]]]}

    def nonce(self, view, seqno, position):
        return sha256(f"nonce of {position} for batch {seqno} in view {view}".encode())

    def request(self, client, number, procedure, arguments, minimum_index=1):
        fields = {"service": self.service, "number": number, "minimum_index": minimum_index, "procedure": procedure,
                  "arguments_len": len(arguments)}
        statement = Statement(client, request_claims(fields), sha256(arguments))
        return {"fields": fields, "statement": statement, "bytes": cbor(statement.sign1(attached=True)),
                "arguments": arguments}

    def batch(self, view, seqno, requests=(), results=(), evidence_of=None, positions=None, **change):
        """Proposed by the view's primary, prepared by all."""
        batch = {"view": view, "seqno": seqno, "primary": view % 4, "requests": list(requests),
                 "results": list(results)}
        batch["items"], batch["outputs"], batch["leaves"], batch["transactions"] = [], [], [], []
        for k, request in enumerate(requests):
            fields = {"code": 0, "result": sha256(results[k]), "result_len": len(results[k]),
                      "procedure": sha256(f"wardmote:{request['fields']['procedure']}:1".encode()), "fuel_version": 0,
                      "reads": sha256(b""), "writes": sha256(cbor([b"%c" % (k + 1), b"one"]))}
            transaction = cbor([19, 1, self.index + k, sha256(request["bytes"]), output(fields)])
            batch["outputs"].append(fields)
            batch["transactions"].append(transaction)
            batch["leaves"].append(leaf(transaction))
            batch["items"].append({"request": request["bytes"], "arguments": request["arguments"], "output": fields,
                                   "result": results[k]})
        batch["root"] = tree_root(batch["leaves"])
        bitmap = 0
        if evidence_of:
            batch["evidence"] = self.evidence(evidence_of, positions)
            bitmap = batch["evidence"]["bitmap"]
            self.entries.append(cbor(evidence(batch["evidence"])))
        fields = {"service": self.service, "cfg": 0, "view": view, "seqno": seqno, "kind": 0, "phase": 0,
                  "first_index": self.index, "count": len(requests), "ledger_size": len(self.entries),
                  "ledger_root": tree_root([leaf(entry) for entry in self.entries]), "state_root": self.state_root,
                  "commitment": sha256(self.nonce(view, seqno, view % 4)), "evidence": bitmap,
                  "governance": self.governance, "checkpoint": [0, NONE], "committed_root": None}
        fields = changed(fields, **change)
        batch["fields"] = fields
        batch["preprepare"] = Statement(self.replicas[view % 4], preprepare_claims(fields), batch["root"], tree=True)
        batch["prepare_fields"] = [
            {"service": self.service, "cfg": 0, "view": view, "seqno": seqno, "replica": position,
             "preprepare": batch["preprepare"].name, "commitment": sha256(self.nonce(view, seqno, position))}
            for position in range(4)]
        batch["prepares"] = [Statement(self.replicas[i], prepare_claims(batch["prepare_fields"][i]), batch["root"],
                                       tree=True) for i in range(4)]
        batch["leaf"] = len(self.entries)
        self.entries.append(cbor(preprepare_entry(self.entry(batch))))
        self.index += len(requests)
        return batch

    def entry(self, batch):
        return {"header": batch["preprepare"].header, "root": batch["root"]}

    def evidence(self, batch, positions):
        shares = []
        for position in positions:
            nonce = self.nonce(batch["view"], batch["seqno"], position)
            if position == batch["primary"]:
                shares.append({"commitment": None, "signature": None, "nonce": nonce})
            else:
                shares.append({"commitment": sha256(nonce), "signature": batch["prepares"][position].signature,
                               "nonce": nonce})
        return {"seqno": batch["seqno"], "bitmap": sum(1 << position for position in positions),
                "preprepare_signature": batch["preprepare"].signature, "shares": shares}

    def quorum(self, batch, positions, with_root=False):
        primary = batch["primary"]

        def nonce(position):
            return self.nonce(batch["view"], batch["seqno"], position)
        return {"header": batch["preprepare"].header, "root": batch["root"] if with_root else None,
                "signature": batch["preprepare"].signature,
                "primary_nonce": nonce(primary) if primary in positions else None,
                "shares": [{"replica": i, "signature": batch["prepares"][i].signature, "nonce": nonce(i)}
                           for i in positions if i != primary]}

    def certificate(self, batch, positions):
        return {"preprepare": batch["preprepare"].parts(),
                "prepares": [{"replica": i, "commitment": batch["prepare_fields"][i]["commitment"],
                              "signature": batch["prepares"][i].signature} for i in positions]}

    def viewchange(self, view, position, top, positions):
        fields = {"service": self.service, "cfg": 0, "view": view, "replica": position,
                  "top": top and [top["view"], top["seqno"], top["preprepare"].name]}
        certified = top and self.certificate(top, positions)
        statement = Statement(self.replicas[position], viewchange_claims(fields), sha256(cbor(certificate(certified))))
        return {"fields": fields, "statement": statement,
                "entry": {"header": statement.header, "signature": statement.signature, "certificate": certified}}

    def receipt(self, batch, position, certified, later=None):
        """Of a transaction, by the quorum `certified` of its batch or of a later one."""
        chained = None
        if later:
            below = [leaf(entry) for entry in self.entries[:later["fields"]["ledger_size"]]]
            chained = {"header": batch["preprepare"].header, "leaf": batch["leaf"],
                       "path": tree_path(below, batch["leaf"])}
        return {"request": batch["requests"][position]["bytes"], "output": batch["outputs"][position],
                "index": batch["fields"]["first_index"] + position, "position": position,
                "path": tree_path(batch["leaves"], position), "quorum": certified, "chained": chained}

    def run(self):
        a, b = self.clients
        proposal = cbor([[7, [2, 32, 1000]]])
        self.requests = [self.request(a, 1, "kv.put", cbor([b"\x01", b"one"])),
                         self.request(b, 7, "kv.put", cbor([b"\x02", b"two"])),
                         self.request(self.members[0], (1 << 64) - 1, "governance.propose", proposal, 2)]
        self.batch1 = self.batch(0, 1, self.requests, [b"", b"", cbor([1, False])])
        self.governance = 3
        self.batch2 = self.batch(0, 2)
        self.batch3 = self.batch(0, 3, evidence_of=self.batch1, positions=[0, 1, 2])
        # Batch 3 is prepared by 0, 1, 2; then the primary falls silent.
        self.changes = [self.viewchange(1, position, top, [1, 2])
                        for position, top in ((1, self.batch3), (2, self.batch3), (3, None))]
        self.viewchanges = {"view": 1, "viewchanges": [change["entry"] for change in self.changes]}
        entry = cbor(viewchanges(self.viewchanges))
        self.entries.append(entry)
        self.newview_fields = {"service": self.service, "cfg": 0, "view": 1, "ledger_size": len(self.entries),
                               "ledger_root": tree_root([leaf(e) for e in self.entries]),
                               "base_seqno": 3, "used": 0b1110}
        self.newview = Statement(self.replicas[1], newview_claims(self.newview_fields), sha256(entry))
        self.entries.append(cbor(newview_entry({"header": self.newview.header, "signature": self.newview.signature})))
        self.batch4 = self.batch(1, 4)


# --- The vectors ---

def packed(data):
    """Hexadecimal; of what is long for a run of one byte: [before, that byte, how often, after]."""
    if len(data) <= 8192:
        return data.hex()
    run = max(re.finditer(rb"(.)\1*", data, re.DOTALL), key=lambda found: len(found.group()))
    return [data[:run.start()].hex(), run.group(1).hex(), len(run.group()), data[run.end():].hex()]


class Vectors:
    def __init__(self):
        self.good, self.bad = [], []

    def accept(self, kind, name, fields, data):
        self.good.append({"type": kind, "name": name, "fields": shown(fields), "bytes": data.hex()})

    def refuse(self, kind, why, data):
        self.bad.append({"type": kind, "why": why, "bytes": packed(data)})


def endorsed(fields):
    """As shown: what lies encoded in another structure stays encoded."""
    return changed(fields, replicas=[changed(one, endorsement=cbor(one["endorsement"])) for one in fields["replicas"]])


def good_statements(s, v):
    v.accept("genesis", "four members, four replicas", endorsed(s.genesis), cbor(genesis(s.genesis)))
    small = changed(s.genesis, name="ä" * 32, time=(1 << 64) - 1,
                    members=[changed(s.genesis["members"][0], weight=(1 << 32) - 1)],
                    replicas=[changed(s.genesis["replicas"][0], address="")],
                    parameters={"pipeline": 16, "checkpoint_interval": 1048576, "batch_max": 4096},
                    rules={"members": 0, "replicas": 99, "parameters": 24, "procedures": 23})
    v.accept("genesis", "one of each, and limits", endorsed(small), cbor(genesis(small)))
    next_one = {"number": 1, **{name: s.genesis[name] for name in ("members", "rules")},
                "replicas": s.genesis["replicas"][1:], "parameters": changed(s.genesis["parameters"], pipeline=4)}
    v.accept("configuration", "the next one", endorsed(next_one), cbor(configuration(next_one)))
    v.accept("endorsement", "of replica 1", {"key": s.members[0].public, "salt": s.salt, "replica": 1, "member": 1,
                                             "signature": s.endorsements[0].signature}, cbor(s.endorsements[0].sign1()))
    for number, request in enumerate(s.requests, 1):
        v.accept("request", f"request {number}", {**request["fields"], "key": request["statement"].key.public,
                                                  "payload": request["statement"].payload,
                                                  "signature": request["statement"].signature}, request["bytes"])
    for number, batch in enumerate((s.batch1, s.batch2, s.batch3, s.batch4), 1):
        v.accept("preprepare", f"batch {number}", batch["fields"], cbor(batch["preprepare"].claims))
    last = changed(s.batch4["fields"], kind=1, phase=32, seqno=1 << 48, cfg=1 << 48, view=1 << 48, first_index=1 << 48,
                   ledger_size=1 << 48, evidence=(1 << 64) - 1, governance=(1 << 48) - 1,
                   checkpoint=[(1 << 48) - 1, sha256(b"checkpoint")], committed_root=sha256(b"committed"))
    v.accept("preprepare", "the end of a configuration, and limits", last, cbor(preprepare_claims(last)))
    start = changed(s.batch4["fields"], kind=2, phase=16)
    v.accept("preprepare", "the start of a configuration", start, cbor(preprepare_claims(start)))
    for position in (1, 2, 3):
        v.accept("prepare", f"batch 1, replica {position}", s.batch1["prepare_fields"][position],
                 cbor(s.batch1["prepares"][position].claims))
    v.accept("header", "batch 1's pre-prepare", {"key": s.replicas[0].public, "tree": True,
                                                 "claims": cbor(s.batch1["preprepare"].claims)},
                                                s.batch1["preprepare"].header)
    v.accept("header", "a view-change", {"key": s.replicas[1].public, "tree": False,
                                         "claims": cbor(s.changes[0]["statement"].claims)},
                                        s.changes[0]["statement"].header)
    for number, change in enumerate(s.changes, 1):
        v.accept("viewchange_claims", f"view-change {number}", change["fields"], cbor(change["statement"].claims))
    v.accept("newview_claims", "view 1", s.newview_fields, cbor(s.newview.claims))


def good_entries(s, v):
    for number, transaction in enumerate(s.batch1["transactions"]):
        v.accept("transaction", f"index {number + 1}",
                 {"index": number + 1, "request": sha256(s.requests[number]["bytes"]),
                                                        "output": s.batch1["outputs"][number]}, transaction)
    v.accept("evidence", "of batch 1 in batch 3, with its primary", s.batch3["evidence"],
             cbor(evidence(s.batch3["evidence"])))
    without = s.evidence(s.batch1, [1, 2, 3])
    v.accept("evidence", "without the primary", without, cbor(evidence(without)))
    v.accept("preprepare_entry", "batch 1", s.entry(s.batch1), cbor(preprepare_entry(s.entry(s.batch1))))
    v.accept("transactions", "batch 1", {"seqno": 1, "items": s.batch1["items"]},
             cbor(transactions({"seqno": 1, "items": s.batch1["items"]})))
    erased = {"seqno": 1, "items": [changed(item, arguments=None, result=None) for item in s.batch1["items"]]}
    v.accept("transactions", "erased", erased, cbor(transactions(erased)))
    v.accept("transactions", "an empty batch", {"seqno": 2, "items": []}, cbor(transactions({"seqno": 2, "items": []})))
    certified = s.certificate(s.batch3, [1, 2])
    v.accept("certificate", "batch 3", certified, cbor(certificate(certified)))
    v.accept("certificate", "none", None, cbor(None))
    for number, change in enumerate(s.changes, 1):
        v.accept("viewchange", f"view-change {number}",
                 changed(change["entry"], certificate=cbor(certificate(change["entry"]["certificate"]))),
                 cbor(viewchange(change["entry"])))
    v.accept("viewchanges", "view 1",
             {"view": 1, "viewchanges": [cbor(viewchange(one)) for one in s.viewchanges["viewchanges"]]},
             cbor(viewchanges(s.viewchanges)))
    v.accept("newview_entry", "view 1", {"header": s.newview.header, "signature": s.newview.signature},
             cbor(newview_entry({"header": s.newview.header, "signature": s.newview.signature})))


def good_proofs(s, v):
    quorums = {"batch 1": s.quorum(s.batch1, [0, 1, 3]), "batch 1, without its primary": s.quorum(s.batch1, [1, 2, 3]),
               "batch 4, with its root": s.quorum(s.batch4, [0, 1, 2], with_root=True)}
    for name, fields in quorums.items():
        v.accept("quorum", name, fields, cbor(quorum(fields)))
    alone = changed(quorums["batch 1"], shares=[])
    v.accept("quorum", "a service of one replica", alone, cbor(quorum(alone)))
    receipts = {"direct": s.receipt(s.batch1, 1, quorums["batch 1"]),
                "direct, of the governance transaction": s.receipt(s.batch1, 2,
                                                                   quorums["batch 1, without its primary"]),
                "chained, by batch 4": s.receipt(s.batch1, 0, quorums["batch 4, with its root"], s.batch4)}
    for name, fields in receipts.items():
        v.accept("receipt", name, fields, cbor(receipt(fields)))
    certified = s.certificate(s.batch3, [1, 2])
    links = [{"kind": 0, "receipt": cbor(receipt(receipts["direct, of the governance transaction"])),
              "arguments": s.requests[2]["arguments"], "result": s.batch1["results"][2]},
             {"kind": 1, "quorum": quorums["batch 4, with its root"]}, {"kind": 2, "certificate": certified}]
    v.accept("chain", "a link of each kind", {"links": links}, cbor(chain({"links": links})))
    v.accept("chain", "none", {"links": []}, cbor([]))
    v.accept("state_proof", "one of two pairs", s.state_proof, cbor(state_proof(s.state_proof)))
    v.accept("state_proof", "an empty state", None, cbor(None))
    deep = changed(s.state_proof, path=[[bit, sha256(b"%c" % bit)] for bit in range(255, -1, -1)])
    v.accept("state_proof", "the longest path", deep, cbor(state_proof(deep)))
    own = cbor(chain({"links": links[:1]}))
    parts_of = {
        "equivocation": [s.batch1["preprepare"].parts(), s.batch1["prepares"][1].parts()],
        "fork": [quorum(quorums["batch 1"]), quorum(quorums["batch 4, with its root"])],
        "implicit": [quorum(quorums["batch 4, with its root"]), cbor(preprepare_entry(s.entry(s.batch1))), 0, [],
                     s.batch1["prepares"][1].parts()],
        "rollback": [s.batch3["prepares"][3].parts(), s.nonce(0, 3, 3), viewchange(s.changes[2]["entry"])],
        "new-view": [newview_entry({"header": s.newview.header, "signature": s.newview.signature}),
                     cbor(viewchanges(s.viewchanges))],
        "execution": [quorum(quorums["batch 1"]), cbor(transactions({"seqno": 1, "items": s.batch1["items"]})),
                      state_proof(s.state_proof)],
        "index": [cbor(receipt(receipts["direct"]))],
        "governance": []}
    for kind, value in parts_of.items():
        fields = {"service": s.service, "chain": chain({"links": links[:1]}), "kind": kind, "parts": value}
        v.accept("blame", kind, changed(fields, chain=own, parts=[cbor(part) for part in value]), cbor(blame(fields)))
    return quorums, receipts, links


def good_messages(s, v, quorums, receipts):
    def peer(name, fields, value):
        v.accept("peer", name, {"kind": value[0], **fields}, cbor(value))
    hashes = b"".join(sha256(request["bytes"]) for request in s.requests)
    request = s.requests[0]
    peer("request", {"request": request["bytes"], "arguments": request["arguments"]},
         [1, request["bytes"], request["arguments"]])
    peer("pre-prepare of batch 1", {"statement": s.batch1["preprepare"].parts(), "evidence": b"", "requests": hashes},
         [2, s.batch1["preprepare"].parts(), b"", hashes])
    entry = cbor(evidence(s.batch3["evidence"]))
    peer("pre-prepare of batch 3", {"statement": s.batch3["preprepare"].parts(), "evidence": entry, "requests": b""},
         [2, s.batch3["preprepare"].parts(), entry, b""])
    peer("prepare", {"statement": s.batch1["prepares"][2].parts()}, [3, s.batch1["prepares"][2].parts()])
    commit = {"cfg": 0, "view": 0, "seqno": 1, "replica": 3, "nonce": s.nonce(0, 1, 3)}
    peer("commit", commit, [4] + list(commit.values()))
    change = s.changes[0]["entry"]
    peer("view-change", {"viewchange": cbor(viewchange(change))}, [5, viewchange(change)])
    newview = {"header": s.newview.header, "signature": s.newview.signature,
               "viewchanges": cbor(viewchanges(s.viewchanges))}
    peer("new-view", newview, [6] + list(newview.values()))
    peer("fetch-requests", {"requests": hashes}, [7, hashes])
    peer("fetch-entries", {"from_seqno": 1, "name": s.batch3["preprepare"].name}, [8, 1, s.batch3["preprepare"].name])
    stored = s.entries[:2]
    peer("entries", {"from_seqno": 1, "name": NONE, "quorum": quorums["batch 1"], "entries": [cbor(e) for e in stored]},
         [9, 1, NONE, quorum(quorums["batch 1"]), stored])
    peer("no entries", {"from_seqno": 9, "name": s.batch3["preprepare"].name, "quorum": None, "entries": []},
         [9, 9, s.batch3["preprepare"].name, None, []])
    status = {"cfg": 0, "view": 1, "in_view": True, "prepared_seqno": 4, "committed_seqno": 3, "evidenced_seqno": 2,
              "checkpoint_seqno": 0}
    peer("status", status, [10] + list(status.values()))
    peer("ask-newest", {"challenge": sha256(b"challenge")}, [11, sha256(b"challenge")])
    peer("newest",
         {"challenge": sha256(b"challenge"), "batch": s.batch4["prepares"][2].parts(),
          "view": s.changes[1]["statement"].parts()},
         [12, sha256(b"challenge"), s.batch4["prepares"][2].parts(), s.changes[1]["statement"].parts()])
    peer("newest: none", {"challenge": NONE, "batch": None, "view": None}, [12, NONE, None, None])

    def client(name, fields, value):
        v.accept("client", name, {"kind": value[0], **fields}, cbor(value))
    hash1 = sha256(request["bytes"])
    hello = {"service": s.service, "replica": 1, "cfg": 0, "view": 1, "committed_seqno": 3, "next_index": 4,
             "governance": 3, "primary": 2}
    client("hello", hello, [1] + list(hello.values()))
    client("submit", {"request": request["bytes"], "arguments": request["arguments"], "wants_replyx": True},
           [2, request["bytes"], request["arguments"], True])
    client("refused", {"request": hash1, "code": 4104, "retry_ms": 250, "text": "busy"}, [3, hash1, 4104, 250, "busy"])
    reply = {"cfg": 0, "view": 0, "seqno": 1, "position": 2, "primary": False,
             "preprepare": s.batch1["preprepare"].name,
             "signature": s.batch1["prepares"][2].signature, "nonce": s.nonce(0, 1, 2)}
    client("reply", reply, [4] + list(reply.values()))
    direct = receipts["direct"]
    replyx = {"request": sha256(direct["request"]), "preprepare": s.batch1["preprepare"].parts(), "index": 2,
              "position": 1,
              "path": direct["path"], "output": direct["output"], "result": b""}
    client("replyx", replyx, [5] + list(changed(replyx, output=output(replyx["output"])).values()))
    client("find by hash", {"request": hash1}, [6, hash1])
    client("find by index", {"index": 2}, [6, 2])
    found = {"request": hash1, "receipt": cbor(receipt(direct)), "arguments": request["arguments"], "result": b"",
             "text": ""}
    client("receipt", found, [7] + list(found.values()))
    gone = {"request": hash1, "receipt": b"", "arguments": None, "result": None, "text": "no such request"}
    client("no receipt", gone, [7] + list(gone.values()))
    client("chain", {"have": 1}, [8, 1])
    one = [1, quorum(quorums["batch 4, with its root"])]
    client("links", {"have": 0, "total": 2, "links": [cbor(one)]}, [9, 0, 2, [one]])
    client("read", {"number": 5, "key": b"\x01"}, [10, 5, b"\x01"])
    certified = quorums["batch 4, with its root"]
    client("value",
           {"number": 5, "value": b"one", "proof": cbor(state_proof(s.state_proof)),
            "quorum": cbor(quorum(certified))},
           [11, 5, b"one", state_proof(s.state_proof), quorum(certified)])
    client("no value", {"number": 5, "value": None, "proof": cbor(None), "quorum": cbor(quorum(certified))},
           [11, 5, None, None, quorum(certified)])
    client("follow", {"from_index": 1}, [12, 1])
    pair = [cbor(preprepare_entry(s.entry(s.batch1))), cbor(transactions({"seqno": 1, "items": s.batch1["items"]}))]
    client("followed", {"seqno": 1, "preprepare": pair[0], "transactions": pair[1]}, [13, 1] + pair)
    client("status", {}, [14])
    numbers = {"cfg": 0, "view": 1, "head_seqno": 4, "committed_seqno": 3, "next_index": 4, "governance": 3,
               "primary": 2,
               "pool_requests": 0, "checkpoint_seqno": 0, "ledger_bytes": 1 << 33, "state_pairs": 2, "state_bytes": 8}
    peers = [[1, True, False, 1, 3], [3, False, True, 0, 2]]
    client("state", {"mode": 1, "mode_text": "normal", **numbers, "peers": peers},
           [15, 1, "normal"] + list(numbers.values()) + [peers])


# --- What is refused ---

def bad_encodings(s, v):
    claims = cbor(s.batch1["preprepare"].claims)
    v.refuse("preprepare", "a byte follows", claims + b"\0")
    v.refuse("preprepare", "cut in the last item", claims[:-1])
    v.refuse("preprepare", "no bytes at all", b"")
    v.refuse("preprepare", "an array of indefinite length", b"\x9f" + claims[1:] + b"\xff")
    v.refuse("preprepare", "a count of items that is not in its shortest form", b"\x98\x12" + claims[1:])
    v.refuse("preprepare", "a type that is not in its shortest form", claims[:1] + b"\x18\x14" + claims[2:])
    v.refuse("preprepare", "a version that is not in its shortest form",
             claims.replace(b"\x14\x01", b"\x14\x18\x01", 1))
    v.refuse("preprepare", "a hash's length that is not in its shortest form",
             claims.replace(b"\x58\x20", b"\x59\x00\x20", 1))
    v.refuse("preprepare", "a hash as text", claims.replace(b"\x58\x20" + s.service, b"\x78\x20" + b"x" * 32, 1))
    v.refuse("preprepare", "a map instead of an array", cbor(dict(enumerate(s.batch1["preprepare"].claims))))
    v.refuse("preprepare", "a tag before it", b"\xd8\x2a" + claims)
    v.refuse("preprepare", "a prepare's claims", cbor(s.batch1["prepares"][1].claims))


def bad_claims(s, v):
    fields = s.batch3["fields"]

    def preprepare(why, **change):
        v.refuse("preprepare", why, cbor(preprepare_claims(changed(fields, **change))))
    v.refuse("preprepare", "another type", cbor([21, 1] + items(fields, PREPREPARE)))
    v.refuse("preprepare", "version 2", cbor([20, 2] + items(fields, PREPREPARE)))
    v.refuse("preprepare", "version 2 with an item more", cbor([20, 2] + items(fields, PREPREPARE) + [0]))
    v.refuse("preprepare", "version 0", cbor([20, 0] + items(fields, PREPREPARE)))
    v.refuse("preprepare", "an item too many", cbor([20, 1] + items(fields, PREPREPARE) + [None]))
    v.refuse("preprepare", "an item missing", cbor([20, 1] + items(fields, PREPREPARE[:-1])))
    preprepare("a service of 31 bytes", service=s.service[:31])
    preprepare("a service of 33 bytes", service=s.service + b"\0")
    preprepare("a seqno of 0", seqno=0, evidence=0)
    preprepare("a seqno above 2^48", seqno=(1 << 48) + 1)
    preprepare("a view above 2^48", view=(1 << 48) + 1)
    preprepare("a negative view", view=-1)
    preprepare("a view that is a float", view=1.5)
    preprepare("a kind that does not exist", kind=3, phase=1)
    preprepare("normal, with a phase", phase=1)
    preprepare("the end of a configuration without a phase", kind=1, committed_root=NONE, count=0)
    preprepare("the end of a configuration in phase 33", kind=1, phase=33, committed_root=NONE, count=0)
    preprepare("the start of a configuration in phase 17", kind=2, phase=17, count=0)
    preprepare("the end of a configuration without a committed root", kind=1, phase=1, count=0)
    preprepare("normal, with a committed root", committed_root=NONE)
    preprepare("the start of a configuration with a committed root", kind=2, phase=1, committed_root=NONE, count=0)
    preprepare("the end of a configuration with transactions", kind=1, phase=1, committed_root=NONE, count=1)
    preprepare("a first index of 0", first_index=0, governance=0)
    preprepare("4,097 transactions", count=4097)
    preprepare("a ledger size above 2^48", ledger_size=(1 << 48) + 1)
    preprepare("evidence in the first batch", seqno=1)
    preprepare("evidence of 65 positions", evidence=cbor2.CBORTag(2, b"\1" + bytes(8)))
    preprepare("a governance transaction that is not before it", governance=fields["first_index"])
    preprepare("its own state as checkpoint", checkpoint=[3, NONE])
    preprepare("no checkpoint, but a root of it", checkpoint=[0, s.state_root])
    preprepare("a checkpoint of three items", checkpoint=[0, NONE, 0])
    preprepare("a checkpoint that is null", checkpoint=None)
    preprepare("a committed root that is false", kind=1, phase=1, count=0, committed_root=False)

    fields = s.batch1["prepare_fields"][1]

    def prepare(why, **change):
        v.refuse("prepare", why, cbor(prepare_claims(changed(fields, **change))))
    v.refuse("prepare", "another type", cbor([20, 1] + items(fields, PREPARE)))
    v.refuse("prepare", "version 2", cbor([21, 2] + items(fields, PREPARE)))
    prepare("position 64", replica=64)
    prepare("a position of 2^32", replica=1 << 32)
    prepare("a position that is null", replica=None)
    prepare("a seqno of 0", seqno=0)
    prepare("a seqno above 2^48", seqno=(1 << 48) + 1)
    prepare("a pre-prepare that is null", preprepare=None)
    v.refuse("prepare", "an item missing", cbor([21, 1] + items(fields, PREPARE[:-1])))
    v.refuse("prepare", "a byte follows", cbor(prepare_claims(fields)) + b"\0")

    fields = s.changes[0]["fields"]

    def change_claims(why, **change):
        v.refuse("viewchange_claims", why, cbor(viewchange_claims(changed(fields, **change))))
    v.refuse("viewchange_claims", "version 2", cbor([22, 2] + items(fields, VIEWCHANGE)))
    change_claims("position 64", replica=64)
    change_claims("a top of two items", top=fields["top"][:2])
    change_claims("a top of the view that it asks for", top=[1] + fields["top"][1:])
    change_claims("a top of batch 0", top=[0, 0, fields["top"][2]])
    change_claims("a top that is false", top=False)

    fields = s.newview_fields

    def new(why, **change):
        v.refuse("newview_claims", why, cbor(newview_claims(changed(fields, **change))))
    v.refuse("newview_claims", "version 2", cbor([23, 2] + items(fields, NEWVIEW)))
    new("no view-changes used", used=0)
    new("a ledger of no entries", ledger_size=0)
    new("a base above 2^48", base_seqno=(1 << 48) + 1)
    new("a root of 31 bytes", ledger_root=bytes(31))


def bad_genesis(s, v):
    def refuse(why, kind=16, version=1, data=None, **change):
        whole = genesis(changed(s.genesis, **change))
        v.refuse("genesis", why, data or cbor([kind, version] + whole[2:]))

    def member(position, **change):
        return [changed(one, **change) if i == position else one for i, one in enumerate(s.genesis["members"])]

    def replica(position, **change):
        return [changed(one, **change) if i == position else one for i, one in enumerate(s.genesis["replicas"])]
    refuse("another type", kind=26)
    refuse("version 2", version=2)
    refuse("a byte follows", data=cbor(genesis(s.genesis)) + b"\0")
    refuse("more than 65,536 bytes", data=cbor(genesis(s.genesis)) + bytes(65536))
    refuse("no name", name="")
    refuse("a name of 65 bytes", name="x" * 65)
    refuse("a name that is bytes", name=b"vectors")
    refuse("a name that is not UTF-8", data=cbor(genesis(s.genesis)).replace(b"vectors", b"vec\xc3ors", 1))
    refuse("a salt of 15 bytes", salt=s.salt[:15])
    refuse("a time before 1970", time=-1)
    refuse("no members", members=[])
    refuse("65 members", members=[{"id": i, "name": "x", "key": sha256(b"%c" % i), "weight": 1} for i in range(65)])
    refuse("members not in the order of ids", members=s.genesis["members"][::-1])
    refuse("two members of one id", members=member(1, id=1))
    refuse("two members of one key", members=member(1, key=s.members[0].public))
    refuse("a member's id above 2^32", members=member(3, id=1 << 32))
    refuse("a member's key of 33 bytes", members=member(0, key=s.members[0].public + b"\0"))
    refuse("weights with a sum of 0", members=[changed(one, weight=0) for one in s.genesis["members"]])
    refuse("weights with a sum of 2^32", members=member(0, weight=(1 << 32) - 3))
    refuse("no replicas", replicas=[])
    refuse("replicas not in the order of ids", replicas=s.genesis["replicas"][::-1])
    refuse("two replicas of one key", replicas=replica(1, key=s.replicas[0].public))
    refuse("a replica with the key of a member", replicas=replica(1, key=s.members[2].public))
    lost = Statement(s.members[0], endorsement_claims({"salt": s.salt, "replica": 1, "member": 9}),
                     s.replicas[0].public)
    refuse("a replica of a member that does not exist", replicas=replica(0, member=9, endorsement=lost.sign1()))
    refuse("an address of 256 bytes", replicas=replica(0, address="x" * 256))
    refuse("an endorsement with its payload", replicas=replica(0, endorsement=s.endorsements[0].sign1(attached=True)))
    refuse("an endorsement that is null", replicas=replica(0, endorsement=None))
    refuse("an endorsement in a byte string", replicas=replica(0, endorsement=cbor(s.endorsements[0].sign1())))
    for name, low, high in (("pipeline", 0, 17), ("checkpoint_interval", 15, 1048577), ("batch_max", 0, 4097)):
        for value in (low, high):
            refuse(f"{name} of {value}", parameters=changed(s.genesis["parameters"], **{name: value}))
    refuse("a rule of 100 percent", rules=changed(s.genesis["rules"], members=100))
    v.refuse("genesis", "an item too many", cbor(genesis(s.genesis) + [0]))
    v.refuse("configuration", "a genesis", cbor(genesis(s.genesis)))
    small = {"number": (1 << 48) + 1,
             **{name: s.genesis[name] for name in ("members", "replicas", "parameters", "rules")}}
    v.refuse("configuration", "a number above 2^48", cbor(configuration(small)))
    v.refuse("configuration", "version 2", cbor([26, 2] + configuration(changed(small, number=1))[2:]))
    tree = Statement(s.members[0], endorsement_claims({"salt": s.salt, "replica": 1, "member": 1}),
                     s.replicas[0].public, tree=True)
    v.refuse("endorsement", "over a tree", cbor(tree.sign1()))
    v.refuse("endorsement", "a request", s.requests[0]["bytes"])
    later = Statement(s.members[0], [17, 2, s.salt, 1, 1], s.replicas[0].public)
    v.refuse("endorsement", "version 2", cbor(later.sign1()))


def bad_requests(s, v):
    request = s.requests[0]
    statement, fields = request["statement"], request["fields"]

    def claims(why, value, key=statement.key):
        v.refuse("request", why, cbor(Statement(key, value, statement.payload).sign1(attached=True)))

    def refuse(why, **change):
        claims(why, request_claims(changed(fields, **change)))
    v.refuse("request", "a byte follows", request["bytes"] + b"\0")
    v.refuse("request", "cut", request["bytes"][:-1])
    v.refuse("request", "the payload left out", cbor(statement.sign1()))
    v.refuse("request", "over a tree",
             cbor(Statement(statement.key, statement.claims, statement.payload, tree=True).sign1(attached=True)))
    v.refuse("request", "not tagged", request["bytes"][1:])
    v.refuse("request", "tagged as COSE_Mac0", b"\xd1" + request["bytes"][1:])
    claims("another type", [19, 1] + items(fields, REQUEST))
    claims("version 2", [18, 2] + items(fields, REQUEST))
    claims("an item too many", [18, 1] + items(fields, REQUEST) + [0])
    refuse("no procedure", procedure="")
    refuse("a procedure's name of 65 bytes", procedure="x" * 65)
    refuse("a procedure's name that is bytes", procedure=b"kv.put")
    refuse("65,537 bytes of arguments", arguments_len=65537)
    refuse("a minimum index above 2^48", minimum_index=(1 << 48) + 1)
    refuse("a number that is text", number="1")
    # A map of four entries in the unprotected header: longer than a request may be.
    long = cbor(cbor2.CBORTag(18, [statement.header, {PROOFS: {-1: [bytes(400)]}}, None, statement.signature]))
    v.refuse("request", "more than 384 bytes", long)
    whole = cbor2.CBORTag(18, [statement.header, {}, statement.payload, statement.signature[:63]])
    v.refuse("request", "a signature of 63 bytes", cbor(whole))
    v.refuse("request", "an unprotected entry",
             cbor(cbor2.CBORTag(18, [statement.header, {33: b""}, statement.payload, statement.signature])))

    def header(why, entries):
        v.refuse("header", why, entries if isinstance(entries, bytes) else cbor(entries))
    own = s.batch1["preprepare"]
    header("claims before the key", {1: -8, CLAIMS: own.claims, 4: own.key.public})
    header("no key", {1: -8, CLAIMS: own.claims})
    header("no claims", {1: -8, 4: own.key.public})
    header("algorithm ES256", {1: -7, 4: own.key.public, CLAIMS: own.claims})
    header("a key of 31 bytes", {1: -8, 4: own.key.public[:31], CLAIMS: own.claims})
    header("another kind of tree", {1: -8, 4: own.key.public, TREE: 2, CLAIMS: own.claims})
    header("an entry too many", {1: -8, 4: own.key.public, TREE: 1, CLAIMS: own.claims, -65538: 0})
    header("claims that are a map", {1: -8, 4: own.key.public, CLAIMS: {0: 0}})
    header("claims of more than 448 bytes", {1: -8, 4: own.key.public, CLAIMS: [20, 1, bytes(448)]})
    header("a byte follows", own.header + b"\0")


def bad_entries(s, v):
    fields = s.batch3["evidence"]

    def shares(why, changed_shares, **change):
        v.refuse("evidence", why, cbor(evidence(changed(fields, shares=changed_shares, **change))))
    own = fields["shares"]
    v.refuse("evidence", "an entry of another kind", cbor([2] + evidence(fields)[1:]))
    v.refuse("evidence", "an item missing", cbor(evidence(fields)[:-1]))
    v.refuse("evidence", "a byte follows", cbor(evidence(fields)) + b"\0")
    shares("a bit more than shares", own, bitmap=0b1111)
    shares("a share more than bits", own, bitmap=0b11)
    shares("no bits and no shares", [], bitmap=0)
    shares("batch 0", own, seqno=0)
    shares("two shares of a primary", [own[0], own[0], own[2]])
    shares("a share without a nonce", [own[0], changed(own[1], nonce=None), own[2]])
    shares("a commitment without a signature", [own[0], changed(own[1], signature=None), own[2]])
    shares("a signature without a commitment", [own[0], changed(own[1], commitment=None), own[2]])
    shares("a signature of 63 bytes", [own[0], changed(own[1], signature=own[1]["signature"][:63]), own[2]])
    shares("a nonce of 33 bytes", [changed(own[0], nonce=bytes(33)), own[1], own[2]])
    shares("a bitmap above 2^64", own, bitmap=cbor2.CBORTag(2, b"\7" + bytes(8)))
    shares("a bitmap of bytes", own, bitmap=b"\7")
    shares("the pre-prepare's signature left out", own, preprepare_signature=None)
    entry = preprepare_entry(s.entry(s.batch1))
    v.refuse("preprepare_entry", "an entry of another kind", cbor([4] + entry[1:]))
    v.refuse("preprepare_entry", "with its signature", cbor(entry + [s.batch1["preprepare"].signature]))
    v.refuse("preprepare_entry", "an empty header", cbor([2, b"", NONE]))
    v.refuse("preprepare_entry", "a header of 513 bytes", cbor([2, bytes(513), NONE]))
    v.refuse("preprepare_entry", "a header that is not in a byte string", cbor([2, cbor2.loads(entry[1]), NONE]))
    v.refuse("preprepare_entry", "a byte follows", cbor(entry) + b"\0")
    item = s.batch1["items"][2]

    def transaction(why, **change):
        v.refuse("transactions", why, cbor(transactions({"seqno": 1, "items": [changed(item, **change)]})))
    v.refuse("transactions", "an entry of another kind", cbor([3, 1, []]))
    v.refuse("transactions", "batch 0", cbor([5, 0, []]))
    v.refuse("transactions", "4,097 of them", cbor([5, 1, [None] * 4097]))
    v.refuse("transactions", "a byte follows", cbor([5, 1, []]) + b"\0")
    v.refuse("transactions", "fewer than the count says", cbor([5, 1, []])[:-1] + b"\x81")
    transaction("a result of another length than its output says", result=item["result"] + b"\0")
    transaction("arguments of 65,537 bytes", arguments=bytes(65537))
    transaction("arguments that are text", arguments="x")
    transaction("an empty request", request=b"")
    transaction("a request of 385 bytes", request=bytes(385))
    transaction("a result of more than 65,536 bytes", output=changed(item["output"], result_len=65537), result=None)
    transaction("a code of 2^32", output=changed(item["output"], code=1 << 32))
    transaction("reads left out", output=changed(item["output"], reads=None))


def bad_viewchanges(s, v):
    own = s.certificate(s.batch3, [1, 2])
    a, b = own["prepares"]

    def refuse(why, prepares, preprepare=own["preprepare"]):
        v.refuse("certificate", why, cbor([preprepare, [items(p, CERTIFICATE_PREPARE) for p in prepares]]))
    refuse("a replica twice", [a, a])
    refuse("prepares not in the order of positions", [b, a])
    refuse("position 64", [a, changed(b, replica=64)])
    refuse("64 prepares", [changed(a, replica=i) for i in range(63)] + [changed(a, replica=63)])
    refuse("a prepare without a commitment", [a, changed(b, commitment=None)])
    refuse("a pre-prepare without a signature", [a, b], own["preprepare"][:2])
    refuse("a pre-prepare with an empty header", [a, b], [b""] + own["preprepare"][1:])
    refuse("a pre-prepare that is null", [a, b], None)
    v.refuse("certificate", "false instead of null", cbor(False))
    v.refuse("certificate", "an item too many", cbor(certificate(own) + [0]))
    change = s.changes[0]["entry"]
    v.refuse("viewchange", "the certificate in a byte string",
             cbor([change["header"], change["signature"], cbor(certificate(own))]))
    v.refuse("viewchange", "a certificate that is not one", cbor([change["header"], change["signature"], [1, 2]]))
    v.refuse("viewchange", "no certificate", cbor([change["header"], change["signature"]]))
    v.refuse("viewchanges", "none", cbor([3, 1, []]))
    v.refuse("viewchanges", "an entry of another kind", cbor([5] + viewchanges(s.viewchanges)[1:]))
    v.refuse("viewchanges", "65 of them", cbor([3, 1, [[b"\xa0", bytes(64), None]] * 65]))
    v.refuse("viewchanges", "a view above 2^48", cbor([3, (1 << 48) + 1] + viewchanges(s.viewchanges)[2:]))
    v.refuse("newview_entry", "an entry of another kind", cbor([2, s.newview.header, s.newview.signature]))
    v.refuse("newview_entry", "with its payload", cbor([4] + s.newview.parts()))


def bad_proofs(s, v, quorums, receipts, links):
    own = quorums["batch 1"]
    one, three = own["shares"]

    def refuse(why, **change):
        v.refuse("quorum", why, cbor(quorum(changed(own, **change))))
    refuse("a replica twice", shares=[one, one])
    refuse("shares not in the order of positions", shares=[three, one])
    refuse("position 64", shares=[one, changed(three, replica=64)])
    refuse("64 shares", shares=[changed(one, replica=i) for i in range(64)])
    refuse("a root of 31 bytes", root=bytes(31))
    refuse("a share's signature left out", shares=[one, changed(three, signature=None)])
    refuse("the primary's nonce is false", primary_nonce=False)
    v.refuse("quorum", "an item missing", cbor(quorum(own)[:-1]))
    v.refuse("quorum", "null", cbor(None))
    direct, chained = receipts["direct"], receipts["chained, by batch 4"]

    def bad_receipt(why, base=direct, **change):
        v.refuse("receipt", why, cbor(receipt(changed(base, **change))))
    v.refuse("receipt", "another type", cbor([25] + receipt(direct)[1:]))
    v.refuse("receipt", "version 2", cbor([24, 2] + receipt(direct)[2:]))
    v.refuse("receipt", "a byte follows", cbor(receipt(direct)) + b"\0")
    v.refuse("receipt", "more than 16,384 bytes", cbor(receipt(direct)) + bytes(16384))
    v.refuse("receipt", "an item missing", cbor(receipt(direct)[:-1]))
    bad_receipt("direct, with the root that follows", quorum=changed(own, root=s.batch1["root"]))
    bad_receipt("chained, without the root", base=chained, quorum=changed(chained["quorum"], root=None))
    bad_receipt("chained, its own header left out", base=chained, chained=changed(chained["chained"], header=b""))
    bad_receipt("index 0", index=0)
    bad_receipt("an index above 2^48", index=(1 << 48) + 1)
    bad_receipt("position 4,096", position=4096)
    bad_receipt("a path of 13", path=[NONE] * 13)
    bad_receipt("a path with a hash of 31 bytes", path=[bytes(31)])
    bad_receipt("a chain's path of 49", base=chained, chained=changed(chained["chained"], path=[NONE] * 49))
    bad_receipt("a request of 385 bytes", request=bytes(385))
    v.refuse("receipt", "the request not in a byte string",
             cbor(receipt(direct)[:2] + [cbor2.loads(direct["request"])] + receipt(direct)[3:]))
    v.refuse("chain", "a link of another kind", cbor([[3, quorum(own)]]))
    v.refuse("chain", "a link with an item too many", cbor([link(links[0]) + [0]]))
    v.refuse("chain", "the end of a configuration by no certificate", cbor([[2, None]]))
    v.refuse("chain", "a quorum where a receipt must be", cbor([[0, quorum(own)]]))
    v.refuse("chain", "an empty receipt", cbor([[0, b"", b"", b""]]))
    v.refuse("chain", "a map", cbor({}))
    proof = s.state_proof

    def path(why, value):
        v.refuse("state_proof", why, cbor(state_proof(changed(proof, path=value))))
    path("bits that do not descend", [[3, NONE], [3, NONE]])
    path("bits that ascend", [[3, NONE], [4, NONE]])
    path("bit 256", [[256, NONE]])
    path("257 steps", [[255, NONE]] * 257)
    path("a step without its sibling", [[3]])
    v.refuse("state_proof", "an empty array for an empty state", cbor([]))
    v.refuse("state_proof", "a value's hash left out", cbor(state_proof(changed(proof, value_hash=None))))
    fields = {"service": s.service, "chain": [], "kind": "fork", "parts": []}

    def bad_blame(why, **change):
        v.refuse("blame", why, cbor(blame(changed(fields, **change))))
    bad_blame("a kind that does not exist", kind="envy")
    bad_blame("a kind by its number", kind=2)
    bad_blame("no kind", kind="")
    bad_blame("a chain that is null", chain=None)
    bad_blame("parts that are a map", parts={})
    v.refuse("blame", "version 2", cbor([25, 2] + blame(fields)[2:]))
    v.refuse("blame", "a part that is not deterministic", cbor(blame(fields))[:-1] + b"\x81\x18\x01")
    v.refuse("blame", "fewer parts than the count says", cbor(blame(fields))[:-1] + b"\x81")


def bad_messages(s, v, quorums):
    hashes = sha256(b"x")
    parts_of = s.batch1["preprepare"].parts()
    for why, value in {
            "kind 0": [0], "kind 13, which is reserved": [13], "a kind that does not exist": [15, 0], "no kind": [],
            "a request with an item too many": [1, b"x", b"", b""], "an empty request": [1, b"", b""],
            "a request of 385 bytes": [1, bytes(385), b""], "arguments of 65,537 bytes": [1, b"x", bytes(65537)],
            "half a hash of a request": [2, parts_of, b"", hashes[:16]],
            "hashes of 4,097 requests": [2, parts_of, b"", NONE * 4097],
            "evidence that is null": [2, parts_of, None, b""], "a prepare of nothing": [3, None],
            "a commit of position 64": [4, 0, 0, 1, 64, NONE], "a commit of batch 0": [4, 0, 0, 0, 1, NONE],
            "a commit without its nonce": [4, 0, 0, 1, 1],
            "a view-change in a byte string": [5, cbor(viewchange(s.changes[0]["entry"]))],
            "a new-view without view-changes": [6, s.newview.header, s.newview.signature, b""],
            "entries from batch 0": [8, 0, NONE], "entries that are not in byte strings": [9, 1, NONE, None,
                                                                                           [[2, b"x", NONE]]],
            "entries with half a quorum": [9, 1, NONE, quorum(quorums["batch 1"])[:3], []],
            "a status whose in_view is a number": [10, 0, 1, 1, 4, 3, 2, 0], "a challenge of 31 bytes": [11, bytes(31)],
            "a newest statement without a header": [12, NONE, [b"", NONE, bytes(64)], None]}.items():
        v.refuse("peer", why, cbor(value))
    v.refuse("peer", "a byte follows", cbor([7, b""]) + b"\0")
    v.refuse("peer", "a kind that is not in its shortest form", b"\x82\x18\x07\x40")
    certified = quorum(quorums["batch 4, with its root"])
    for why, value in {
            "kind 0": [0], "a kind that does not exist": [16], "a hello of another length": [1, s.service],
            "a request of 385 bytes": [2, bytes(385), b"", True], "wants_replyx is a number": [2, b"x", b"", 1],
            "a reason of 241 bytes": [3, NONE, 1, 0, "x" * 241],
            "a reply of position 64": [4, 0, 0, 1, 64, False, NONE, bytes(64), NONE],
            "find by text": [6, "x"], "find index 0": [6, 0], "an empty key": [10, 1, b""],
            "a key of 257 bytes": [10, 1, bytes(257)],
            "a value of 65,537 bytes": [11, 1, bytes(65537), None, certified],
            "a value without a quorum": [11, 1, b"", None, None],
            "a value whose proof is not one": [11, 1, b"", [1], certified],
            "followed without its entry": [13, 1, b"", b"x"],
            "a replica's state of four items": [15, 1, ""] + [0] * 12 + [[[1, True, False, 0]]]}.items():
        v.refuse("client", why, cbor(value))


def cose(s):
    """Statements of replicas as COSE Receipts of one transaction of batch 1."""
    batch, position = s.batch1, 1
    proof = [len(batch["leaves"]), position, tree_path(batch["leaves"], position)]
    statements = [("pre-prepare", s.batch1["preprepare"])]
    statements += [(f"prepare of replica {i}", s.batch1["prepares"][i]) for i in (1, 2, 3)]
    return [{"name": name, "key": one.key.public.hex(), "leaf": batch["transactions"][position].hex(),
             "root": batch["root"].hex(),
             "receipt": cbor(one.sign1(proof=proof)).hex()} for name, one in statements]


def vectors():
    s, v = Story(), Vectors()
    good_statements(s, v)
    good_entries(s, v)
    quorums, receipts, links = good_proofs(s, v)
    good_messages(s, v, quorums, receipts)
    bad_encodings(s, v)
    bad_claims(s, v)
    bad_genesis(s, v)
    bad_requests(s, v)
    bad_entries(s, v)
    bad_viewchanges(s, v)
    bad_proofs(s, v, quorums, receipts, links)
    bad_messages(s, v, quorums)
    seeds = {"members": s.members, "replicas": s.replicas, "clients": s.clients}
    return {"seeds": {name: [key.seed.hex() for key in keys] for name, keys in seeds.items()},
            "service": s.service.hex(),
            "entries": shown(s.entries), "good": v.good, "bad": v.bad, "cose": cose(s)}


# In the order of test/common/ledger_wire.c: the first byte of the fuzzer's inputs.
FORMATS = ["genesis", "configuration", "endorsement", "request", "header", "preprepare", "prepare", "viewchange_claims",
           "newview_claims", "evidence", "preprepare_entry", "transactions", "certificate", "viewchange", "viewchanges",
           "newview_entry", "quorum", "receipt", "chain", "state_proof", "blame", "peer", "client"]


def corpus(made):
    """Seeds of test/fuzz/fuzz_ledger_wire.c: {name: bytes}. One of each format, and of each kind of message."""
    seeds, kinds = {}, set()
    for vector in made["good"]:
        kind = vector["type"]
        if kind not in FORMATS:
            continue
        name = kind if kind not in ("peer", "client") else f"{kind}-{vector['fields']['kind']}"
        if name not in kinds:
            kinds.add(name)
            seeds[name] = bytes([FORMATS.index(kind)]) + bytes.fromhex(vector["bytes"])
    return seeds
