#!/usr/bin/env python3
"""Demands the same findings of one real image in every packaging.

  packagings.py [--corpus FOLDER] [--scanner PROGRAM] [--threads 1,2]

The image of benches/corpus.sh as `docker save` writes it (named, piped, and compressed as a whole), as OCI layouts with
gzip and zstd layers, each as folder and as one archive, with one thread and with two. Compared are rule, confidence,
fingerprint, layer, path, members, line, column, decoders and state of every place. A layer is named by its place in the
image and its diff_id: the digest of its stored form is another one in each packaging.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import time

import run as bench


def places(report):
    for finding in report["findings"]:
        for place in finding["locations"]:
            layer = place.get("layer") or {}
            yield json.dumps([finding["rule"], finding["confidence"], finding["fingerprint"], layer.get("index"),
                              layer.get("diff_id"), place["path"], place.get("entries"), place["line"], place["column"],
                              place.get("decoded"), place["state"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--corpus", default=os.path.join(bench.CACHE, "corpus"))
    parser.add_argument("--scanner", default=os.path.join(bench.HERE, "..", "target", "release", "scanner"))
    parser.add_argument("--threads", default="1,2")
    options = parser.parse_args()
    key = os.path.join(options.corpus, "fingerprint.key")
    if not os.path.exists(key):
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(os.urandom(32).hex())
    corpus = options.corpus
    forms = {
        "docker archive": ("app.tar", None),
        "the same, piped": ("-", f"cat {corpus}/app.tar"),
        "the same, gzip as a whole, piped": ("-", f"gzip -1 -c {corpus}/app.tar"),
        "OCI layout, gzip": ("oci", None),
        "the same in one archive, piped": ("-", f"tar -C {corpus}/oci -c ."),
        "OCI layout, zstd": ("oci-zstd", None),
    }
    print("| packaging | threads | exit code | seconds | places | digest of all places |\n|---|---|---|---|---|---|")
    first, differ = None, False
    for threads in options.threads.split(","):
        for name, (target, pipe) in forms.items():
            command = [options.scanner, "scan", target if pipe else os.path.join(corpus, target), "--threads", threads,
                       "--fail-on", "never", "-q", "--fingerprint-key", key, "--format", "json"]
            started = time.perf_counter()
            feed = subprocess.Popen(pipe, shell=True, stdout=subprocess.PIPE) if pipe else None
            done = subprocess.run(command, stdin=feed.stdout if feed else subprocess.DEVNULL, capture_output=True,
                                  check=False)
            seconds = time.perf_counter() - started
            found = sorted(places(json.loads(done.stdout)))
            digest = hashlib.sha256("\n".join(found).encode()).hexdigest()[:12]
            print(f"| {name} | {threads} | {done.returncode} | {seconds:.1f} | {len(found)} | `{digest}` |", flush=True)
            if first is None:
                first = found
            elif found != first:
                differ = True
                for line in sorted(set(first) ^ set(found))[:10]:
                    print(("only in the first: " if line in first else "only here: ") + line, file=sys.stderr)
    sys.exit("the findings differ" if differ else 0)


if __name__ == "__main__":
    main()
