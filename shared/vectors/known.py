#!/usr/bin/env python3
"""A second implementation of the known file, from its description in shared/src/known.rs alone.

    known.py make     writes known.bin and known.json beside this script
    known.py check    reads known.bin again, checks it, and looks every value up

It needs Python 3.9 and the package `cryptography` (Ed25519, ChaCha20-Poly1305, HKDF); SipHash and HChaCha20 are
written out here. The values are derived from names, so that no secret lies in the repository.
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = pathlib.Path(__file__).parent
MASK = (1 << 64) - 1
WINDOW, STRIDE, SPAN = 12, 4, 15
STATES = {"dead": 0, "previous": 1, "current": 2}
PAYLOAD_TYPE = b"application/vnd.keyturn.known"

DESCRIPTION = {
    "by": "known.py",
    "key": bytes(range(32)).hex(),
    "idKey": bytes(range(32, 64)).hex(),
    "signerSeed": bytes(range(64, 96)).hex(),
    "generation": 7,
    "created": "2026-03-01T02:00:00Z",
    "expires": "2026-03-02T02:00:00Z",
    "nonce": bytes(range(24)).hex(),
    "target": "sha256:" + "0f" * 32,
    "entries": [
        {"name": f"value {n}", "length": length, "state": state}
        for n, (length, state) in enumerate(
            [(16, "current"), (17, "current"), (18, "previous"), (19, "dead"), (32, "current"), (33, "current"),
             (64, "previous"), (100, "current"), (1000, "current"), (4096, "dead")]
        )
    ],
}


def value_of(name, length):
    blocks = b"".join(hashlib.sha256(f"{name}/{block}".encode()).digest() for block in range(length // 32 + 1))
    return blocks[:length].hex().encode()[:length]


def subkey(key, use, length):
    return HKDF(hashes.SHA256(), length, None, b"keyturn/known/1/" + use).derive(key)


def rotate(word, bits):
    return ((word << bits) | (word >> (64 - bits))) & MASK


def siphash24(key, message):
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def hchacha20(key, nonce16):
    state = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    state += struct.unpack("<4I", nonce16)

    def quarter(a, b, c, d):
        for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            word = state[z] ^ state[x]
            state[z] = ((word << bits) | (word >> (32 - bits))) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(a, b, c, d)
    return struct.pack("<8I", *state[:4], *state[12:])


def xchacha(key, nonce):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]


class Keys:
    def __init__(self, key):
        self.body = subkey(key, b"body", 32)
        a, b, c = struct.unpack("<QQQ", subkey(key, b"window", 24))
        self.a, self.b, self.c = a | 1, b | 1, c
        self.tag = subkey(key, b"tag", 16)
        self.decoy = subkey(key, b"decoy", 16)
        self.mac = subkey(key, b"mac", 32)
        self.offset = subkey(key, b"offset", 32)
        self.proof = subkey(key, b"proof", 32)
        self.key_id = subkey(key, b"key id", 4).hex()

    def bit(self, window, log2):
        x, y = struct.unpack("<QI", window)
        return ((x * self.a + y * self.b + self.c) & MASK) >> (64 - log2)

    def with_length(self, subkey_, value):
        return hmac.digest(subkey_, struct.pack("<H", len(value)) + value, "sha256")[:16]

    def place(self, value):
        places = len(value) - SPAN + 1
        start = struct.unpack("<I", self.with_length(self.offset, value)[:4])[0] % places
        order = list(range(start, places)) + list(range(start))
        return next(at for at in order if len(set(value[at:at + SPAN])) >= 6)

    def proof_of(self, value, nonce, target):
        message = struct.pack("<Q", len(value)) + value + nonce + target.encode()
        return hmac.digest(self.proof, message, "sha256").hex()


def sizes(count):
    log2 = max(count - 1, 0).bit_length()
    tag_bits = min(max(log2 + 2, 8), 30)
    bitmap_log2 = max((max(count, 1) * STRIDE * 64 - 1).bit_length(), 9)
    return tag_bits, bitmap_log2


def encoded_for_signature(payload):
    return b"DSSEv1 %d %s %d " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(payload)) + payload


def signer_name(public):
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).digest()[:8]


def make():
    described = json.loads(json.dumps(DESCRIPTION))
    keys = Keys(bytes.fromhex(described["key"]))
    id_key, nonce = bytes.fromhex(described["idKey"]), bytes.fromhex(described["nonce"])
    described["keyId"] = keys.key_id
    count = len(described["entries"])
    tag_bits, bitmap_log2 = sizes(count)
    bitmap = bytearray((1 << bitmap_log2) // 8)

    def set_bit(bit):
        bitmap[bit // 8] |= 1 << bit % 8

    entries = []
    for entry in described["entries"]:
        value = value_of(entry["name"], entry["length"])
        at = keys.place(value)
        for shift in range(STRIDE):
            set_bit(keys.bit(value[at + shift:at + shift + WINDOW], bitmap_log2))
        tag = siphash24(keys.tag, value[at:at + WINDOW]) & ((1 << tag_bits) - 1)
        name = hmac.digest(id_key, b"keyturn/known/1/id" + value, "sha256")[:8]
        entries.append((tag, keys.with_length(keys.mac, value), at, len(value), name, STATES[entry["state"]]))
        entry["id"], entry["proof"] = name.hex(), keys.proof_of(value, nonce, described["target"])
    for decoy in range((1 << bitmap_log2) // 60):
        set_bit(siphash24(keys.decoy, struct.pack("<Q", decoy)) >> (64 - bitmap_log2))

    # One value was too short: the counts of what was left out.
    body = struct.pack("<BBBBIIIII", WINDOW, STRIDE, tag_bits, bitmap_log2, count, 1, 0, 0, 0)
    for tag, mac, at, length, name, state in sorted(entries):
        body += struct.pack("<HHI", at, length, tag) + mac + name + bytes([state])
    body += bitmap
    header = json.dumps(
        {"version": 1, "keyId": keys.key_id, "generation": described["generation"], "created": described["created"],
         "expires": described["expires"], "count": count, "nonce": described["nonce"]},
        separators=(",", ":"),
    ).encode()
    signed = b"KTKNOWN1" + struct.pack("<I", len(header)) + header
    cipher, short_nonce = xchacha(keys.body, nonce)
    sealed = cipher.encrypt(short_nonce, body, signed)
    signed += struct.pack("<Q", len(sealed)) + sealed
    signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(described["signerSeed"]))
    file = signed + signer_name(signer.public_key()) + signer.sign(encoded_for_signature(signed))
    (HERE / "known.bin").write_bytes(file)
    (HERE / "known.json").write_text(json.dumps(described, indent=2) + "\n")


def check():
    described = json.loads((HERE / "known.json").read_text())
    file = (HERE / "known.bin").read_bytes()
    keys = Keys(bytes.fromhex(described["key"]))
    public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(described["signerSeed"])).public_key()
    signed, name, signature = file[:-72], file[-72:-64], file[-64:]
    assert name == signer_name(public)
    public.verify(signature, encoded_for_signature(signed))
    assert signed[:8] == b"KTKNOWN1"
    end = 12 + struct.unpack("<I", signed[8:12])[0]
    header, sealed = json.loads(signed[12:end]), signed[end + 8:]
    assert struct.unpack("<Q", signed[end:end + 8])[0] == len(sealed)
    assert header["keyId"] == keys.key_id and header["version"] == 1
    cipher, short_nonce = xchacha(keys.body, bytes.fromhex(header["nonce"]))
    body = cipher.decrypt(short_nonce, sealed, signed[:end])
    window, stride, tag_bits, bitmap_log2, count, *left_out = struct.unpack("<BBBBIIIII", body[:24])
    assert (window, stride, count, left_out) == (WINDOW, STRIDE, header["count"], [1, 0, 0, 0])
    bitmap = body[24 + 33 * count:]
    assert len(bitmap) == (1 << bitmap_log2) // 8
    rows = {}
    for row in range(count):
        at, length, tag, mac, id_, state = struct.unpack("<HHI16s8sB", body[24 + 33 * row:57 + 33 * row])
        rows[mac] = (at, length, tag, id_.hex(), state)
    for entry in described["entries"]:
        value = value_of(entry["name"], entry["length"])
        at, length, tag, id_, state = rows.pop(keys.with_length(keys.mac, value))
        assert (length, id_, state) == (len(value), entry["id"], STATES[entry["state"]])
        assert tag == siphash24(keys.tag, value[at:at + WINDOW]) & ((1 << tag_bits) - 1)
        for shift in range(STRIDE):
            bit = keys.bit(value[at + shift:at + shift + WINDOW], bitmap_log2)
            assert bitmap[bit // 8] >> bit % 8 & 1
        assert entry["proof"] == keys.proof_of(value, bytes.fromhex(header["nonce"]), described["target"])
    assert not rows
    ones = sum(bin(byte).count("1") for byte in bitmap)
    print(f"known.bin: {count} values, {len(file)} bytes, one bit in {len(bitmap) * 8 / ones:.1f} is set")


def self_test():
    # The last vector of the SipHash paper (Aumasson and Bernstein, appendix A).
    assert siphash24(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5
    # draft-irtf-cfrg-xchacha-03, 2.2.1.
    key, nonce = bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927")
    assert hchacha20(key, nonce).hex().startswith("82413b4227b27bfed30e42508a877d73")


if __name__ == "__main__":
    self_test()
    {"make": make, "check": check}[sys.argv[1]]()
