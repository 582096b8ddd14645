#!/usr/bin/env python3
"""Checks a Farside issuance log with public keys alone, without a line of Farside's own code.

    check_log.py --key log.pub [--witness VKEY ...] [--older NOTE ...] [--export FILE] TILES

TILES is the folder of tiles (`<mint>/log/tiles`), or the URL under which a mint serves it; then name the
shards with --shard. For each shard: the checkpoint is signed by the log's key and by each witness named;
every tile, level by level, and every entry is what the leaves make of it; the root is the checkpoint's; each
older checkpoint is how this log began (RFC 9162 section 2.1.4). With an export (`farside mint log export
--proofs`): each record's leaf is computed from the record and stands at its place, by a proof built here from
the tiles and by the proof that the mint wrote, if the line has one (RFC 9162 section 2.1.3).

Needs the standard library and `cryptography`. Exit code 0: all agrees. 1: something does not, and is named.
2: it could not be looked at.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sys
import urllib.error
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TILE_WIDTH = 256
LOG_TYPE, WITNESS_TYPE = b"\x01", b"\x04"
FINDINGS_MAX = 20


class Wrong(Exception):
    """Something that does not agree."""


# Hashing, proofs: RFC 6962 section 2.1, RFC 9162 section 2.1.


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(entry):
    return sha256(b"\x00" + entry)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


class Tree:
    """All perfect subtrees of a list of leaf hashes: `levels[k][i]` covers leaves i * 2^k to (i + 1) * 2^k."""

    def __init__(self, leaves):
        self.levels = [leaves]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            self.levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def root(self, begin, end):
        """The root over the leaves begin to end, where a subtree of the RFC's recursion begins."""
        count = end - begin
        if count == 0:
            return sha256(b"")
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self.levels[level][begin >> level]
        middle = begin + split(count)
        return node_hash(self.root(begin, middle), self.root(middle, end))

    def inclusion(self, index, size):
        begin, end, proof = 0, size, []
        while end - begin > 1:
            middle = begin + split(end - begin)
            if index < middle:
                proof.append(self.root(middle, end))
                end = middle
            else:
                proof.append(self.root(begin, middle))
                begin = middle
        return proof[::-1]

    def consistency(self, old, size):
        begin, end, proof = 0, size, []
        while old < end:
            middle = begin + split(end - begin)
            if old <= middle:
                proof.append(self.root(middle, end))
                end = middle
            else:
                proof.append(self.root(begin, middle))
                begin = middle
        if begin > 0:
            proof.append(self.root(begin, end))
        return proof[::-1]


def split(count):
    """The largest power of two smaller than the count."""
    return 1 << ((count - 1).bit_length() - 1)


def root_of_inclusion(leaf, index, size, proof):
    """RFC 9162 section 2.1.3.2; None where the proof is not for such a place."""
    if index >= size:
        return None
    place, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        place, last = place >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(old_size, old_root, size, root, proof):
    """RFC 9162 section 2.1.4.2."""
    if old_size == 0:
        return not proof and old_root == sha256(b"")
    if old_size == size:
        return not proof and old_root == root
    if old_size > size:
        return False
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old, new = path[0], path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, node)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == root


# Keys and checkpoints: c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature.


class Key:
    """A C2SP verifier key: name+id+base64(type, key)."""

    def __init__(self, line, kind):
        name, _, typed = line.strip().split("+", 2)
        raw = base64.b64decode(typed, validate=True)
        if raw[:1] != kind or len(raw) != 33:
            raise ValueError(f"{name}: not an Ed25519 key of this kind")
        self.name, self.raw = name, raw
        self.key = Ed25519PublicKey.from_public_bytes(raw[1:])

    def holds(self, name, signatures, message):
        """Whether a line of this key, under this name, signs what `message` makes of its signature."""
        key_id = sha256(name.encode() + b"\n" + self.raw)[:4]
        for signer, blob in signatures:
            if signer == name and blob[:4] == key_id:
                signature, signed = message(blob[4:])
                try:
                    self.key.verify(signature, signed)
                except InvalidSignature:
                    return False
                return True
        return False


class Checkpoint:
    """A shard's head that the log's key has signed, and each witness demanded."""

    def __init__(self, note, shard, log, witnesses):
        text, _, lines = note.decode().rpartition("\n\n")
        text += "\n"
        origin, size, root, *rest = text.split("\n")
        if rest != [""] or origin != f"{log.name}/{shard}" or str(int(size)) != size:
            raise Wrong("it is not a checkpoint of this shard")
        self.size, self.root = int(size), base64.b64decode(root, validate=True)
        signatures = []
        for line in lines.splitlines():
            dash, name, blob = line.split(" ")
            if dash != "\u2014":
                raise Wrong("it holds a line that is no signature")
            signatures.append((name, base64.b64decode(blob, validate=True)))
        if not log.holds(origin, signatures, lambda signature: (signature, text.encode())):
            raise Wrong("the log's key has not signed it")
        for witness in witnesses:
            if not witness.holds(witness.name, signatures, cosigned(text)):
                raise Wrong(f"witness {witness.name} has not cosigned it")


def cosigned(text):
    def message(signature):
        time = int.from_bytes(signature[:8], "big")
        return signature[8:], f"cosignature/v1\ntime {time}\n{text}".encode()

    return message


# Tiles: c2sp.org/tlog-tiles.


class Source:
    """Tiles in a folder or behind a URL."""

    def __init__(self, where):
        self.where = where.rstrip("/")
        self.remote = where.startswith(("http://", "https://"))

    def shards(self):
        if self.remote:
            raise OSError("name the shards of a served log with --shard")
        return sorted(path.name for path in pathlib.Path(self.where).iterdir() if path.is_dir())

    def get(self, path):
        if not self.remote:
            return (pathlib.Path(self.where) / path).read_bytes()
        try:
            with urllib.request.urlopen(f"{self.where}/{path}", timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as fault:
            raise FileNotFoundError(f"{path}: HTTP {fault.code}") from fault

    def tile(self, shard, row, number, width):
        name = f"{number % 1000:03}"
        rest = number // 1000
        while rest:
            name = f"x{rest % 1000:03}/{name}"
            rest //= 1000
        partial = "" if width == TILE_WIDTH else f".p/{width}"
        return self.get(f"{shard}/tile/{row}/{name}{partial}")


def tiles_of(count):
    """Number and width of each tile of a row of `count` hashes."""
    full, rest = divmod(count, TILE_WIDTH)
    return [(number, TILE_WIDTH) for number in range(full)] + ([(full, rest)] if rest else [])


def read_row(source, shard, level, count):
    hashes = []
    for number, width in tiles_of(count):
        tile = source.tile(shard, level, number, width)
        if len(tile) != 32 * width:
            raise Wrong(f"tile {level}/{number} is not {width} hashes wide")
        hashes += [tile[at : at + 32] for at in range(0, len(tile), 32)]
    return hashes


def check_entries(source, shard, leaves):
    for number, width in tiles_of(len(leaves)):
        bundle, at = source.tile(shard, "entries", number, width), 0
        for index in range(number * TILE_WIDTH, number * TILE_WIDTH + width):
            length = int.from_bytes(bundle[at : at + 2], "big")
            entry, at = bundle[at + 2 : at + 2 + length], at + 2 + length
            if leaf_hash(entry) != leaves[index]:
                raise Wrong(f"entry {index} is not what its leaf commits to")
        if at != len(bundle):
            raise Wrong(f"entries/{number} holds more than {width} entries")


def check_shard(source, shard, log, witnesses):
    """The shard's checkpoint and its whole tree."""
    checkpoint = Checkpoint(source.get(f"{shard}/checkpoint"), shard, log, witnesses)
    leaves = read_row(source, shard, 0, checkpoint.size)
    tree = Tree(leaves)
    if tree.root(0, checkpoint.size) != checkpoint.root:
        raise Wrong("the leaves do not make the checkpoint's root")
    level = 1
    while checkpoint.size >> (8 * level):
        count = checkpoint.size >> (8 * level)
        if read_row(source, shard, level, count) != tree.levels[8 * level][:count]:
            raise Wrong(f"a tile of level {level} is not what the tiles below make")
        level += 1
    check_entries(source, shard, leaves)
    return checkpoint, tree


def check_older(note, shard, log, checkpoint, tree):
    older = Checkpoint(note, shard, log, [])
    if older.size > checkpoint.size:
        raise Wrong(f"it has {older.size} leaves, more than the newest checkpoint")
    proof = [] if older.size == 0 else tree.consistency(older.size, checkpoint.size)
    if not is_consistent(older.size, older.root, checkpoint.size, checkpoint.root, proof):
        raise Wrong(f"the log has forked: another tree had {older.size} leaves")


# Records: spec/log.md section 2, spec/token.md section 7.2.


def leaf_of(record):
    shard, index, entry = record["shard"], record["index"], record["entry"]
    signed = entry.get("token") or entry.get("redacted")
    commitment = signed["signing_input_sha256"] if signed else "void"
    return leaf_hash(f"farside-leaf/1\n{shard}\n{index}\n{commitment}\n".encode())


def check_record(record, checkpoint, tree):
    """How many proofs held: ours, and the mint's where the line has one."""
    index, leaf = record["index"], leaf_of(record)
    if base64.urlsafe_b64decode(record["leaf"] + "=") != leaf:
        raise Wrong("the record does not make the leaf that its line names")
    if index >= checkpoint.size:
        raise Wrong("it stands under no checkpoint yet")
    own = tree.inclusion(index, checkpoint.size)
    if root_of_inclusion(leaf, index, checkpoint.size, own) != checkpoint.root:
        raise Wrong("its leaf does not stand at its place in the tiles")
    written = record.get("proof")
    if written is None:
        return 1
    proof = [base64.b64decode(line, validate=True) for line in written["hashes"]]
    root = root_of_inclusion(leaf, index, written["size"], proof)
    if written["size"] > checkpoint.size or root != tree.root(0, written["size"]):
        raise Wrong("the mint's proof does not lead to the root")
    return 2


# The whole.


class Report:
    def __init__(self):
        self.findings, self.counts = [], {"shards": 0, "leaves": 0, "older": 0, "records": 0, "proofs": 0}

    def look(self, what, check):
        """Runs one check; what does not agree is kept with its place."""
        try:
            return check()
        except (Wrong, ValueError, KeyError, TypeError, AttributeError, IndexError, FileNotFoundError) as fault:
            self.findings.append(f"{what}: {str(fault) or type(fault).__name__}")
            return None


def check_export(lines, shards, report):
    for number, line in enumerate(lines, 1):
        def one(line=line):
            record = json.loads(line)
            if record["shard"] not in shards:
                raise Wrong(f"shard {record['shard']} was not found whole")
            return check_record(record, *shards[record["shard"]])

        proofs = report.look(f"line {number} of the export", one)
        report.counts["records"] += 1
        report.counts["proofs"] += proofs or 0
        if len(report.findings) >= FINDINGS_MAX:
            return


def run(arguments):
    log = Key(pathlib.Path(arguments.key).read_text(), LOG_TYPE)
    witnesses = [Key(line, WITNESS_TYPE) for line in arguments.witness]
    source, report, shards = Source(arguments.tiles), Report(), {}
    for shard in arguments.shard or source.shards():
        checked = report.look(f"shard {shard}", lambda: check_shard(source, shard, log, witnesses))
        if checked:
            shards[shard] = checked
            report.counts["shards"] += 1
            report.counts["leaves"] += checked[0].size
    for path in arguments.older:
        note = pathlib.Path(path).read_bytes()
        shard = note.split(b"\n")[0].decode().rpartition("/")[2]
        if shard in shards:
            report.look(f"checkpoint {path}", lambda: check_older(note, shard, log, *shards[shard]))
        else:
            report.findings.append(f"checkpoint {path}: shard {shard} was not found whole")
        report.counts["older"] += 1
    if arguments.export:
        with open(arguments.export, encoding="utf-8") as lines:
            check_export(lines, shards, report)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", metavar="TILES")
    parser.add_argument("--key", required=True, help="file with the log's verifier key")
    parser.add_argument("--witness", action="append", default=[], help="a witness that must have cosigned")
    parser.add_argument("--shard", action="append", default=[], help="look at this shard alone")
    parser.add_argument("--older", action="append", default=[], help="file with an earlier checkpoint")
    parser.add_argument("--export", help="file with an export of records")
    arguments = parser.parse_args()
    try:
        report = run(arguments)
    except (OSError, ValueError) as fault:
        print(f"check_log: error: {fault}", file=sys.stderr)
        return 2
    print(json.dumps({"agrees": not report.findings, **report.counts, "findings": report.findings}))
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
