#!/usr/bin/env python3
"""Peak anonymous memory of a scan, by size and packaging of an image.

  memory.py [--sizes 0.2,2,8] [--corpus FOLDER] [--folder FOLDER] [--scanner PROGRAM]

Makes archives as `docker save` writes them, of so many gigabytes, out of the files of the corpus; each file gets a
line of its own at the end, because equal content is searched once. Then OCI layouts whose two layers need the largest
windows: `xz -9` and `zstd --long=27`. Each is scanned with two threads, once as it is and once with at most 300 MB of
data (`prlimit --data=300000000`), and both must find the same. RssAnon is read every 10 ms.
"""
import argparse
import glob
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time

import run as bench

LAYER_BYTES = 400_000_000
DATA_BYTES = 300_000_000


def files_of(corpus):
    for tree in ("debian", "toolchains", "modules"):
        for folder, _, names in sorted(os.walk(os.path.join(corpus, tree))):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    yield path


def layer(path, number, wanted, corpus):
    """A tar of about so many bytes; what stands at the end of each file makes it another one. Gives its digest."""
    written = 0
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for source in files_of(corpus):
            if written > wanted:
                break
            with open(source, "rb") as file:
                content = file.read() + f"\n# copy {number}\n".encode()
            info = tarfile.TarInfo(os.path.relpath(source, corpus))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            written += len(content)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def docker_archive(path, gigabytes, corpus, folder):
    wanted, layers = int(gigabytes * 1e9), []
    while wanted > 0:
        part = os.path.join(folder, f"layer-{len(layers)}")
        digest = layer(part, len(layers), min(wanted, LAYER_BYTES), corpus)
        wanted -= os.path.getsize(part)
        layers.append((part, digest))
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{digest}" for _, digest in layers]}}).encode()
    name = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": ["memory:1"],
                            "Layers": [f"{digest}/layer.tar" for _, digest in layers]}]).encode()
    with tarfile.open(path, "w") as archive:
        for member, content in ((f"{name}.json", config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for part, digest in layers:
            archive.add(part, f"{digest}/layer.tar")
            os.unlink(part)


def oci_layout(path, compress, corpus, folder):
    """Two layers, both compressed by a command that reads its input."""
    blobs = os.path.join(path, "blobs", "sha256")
    os.makedirs(blobs)

    def blob(content):
        name = hashlib.sha256(content).hexdigest()
        with open(os.path.join(blobs, name), "wb") as file:
            file.write(content)
        return {"digest": f"sha256:{name}", "size": len(content)}

    layers, diff_ids = [], []
    for number in range(2):
        part = os.path.join(folder, "layer")
        # More than the largest window.
        diff_ids.append("sha256:" + layer(part, number, 150_000_000, corpus))
        with open(part, "rb") as file:
            packed = subprocess.run(compress, stdin=file, capture_output=True, check=True).stdout
        os.unlink(part)
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar", **blob(packed)})
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                              "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode())
    manifest = blob(json.dumps({"schemaVersion": 2, "layers": layers, "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json", **config}}).encode())
    index = {"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest}]}
    with open(os.path.join(path, "index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file)
    with open(os.path.join(path, "oci-layout"), "w", encoding="utf-8") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)


def scan(scanner, target, folder, limited):
    """Exit code, seconds, peak RssAnon in MB, and what was found."""
    answer = os.path.join(folder, "answer.json")
    command = [scanner, "scan", target, "--threads", "2", "--fail-on", "never", "-q", "--format", f"json={answer}"]
    if limited:
        command = ["prlimit", f"--data={DATA_BYTES}", *command]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, bench.anonymous(process.pid))
        time.sleep(0.01)
    seconds = time.perf_counter() - started
    with open(answer, encoding="utf-8") as file:
        report = json.load(file)
    found = sorted((f["rule"], l["path"], l["line"]) for f in report["findings"] for l in f["locations"])
    return process.returncode, seconds, peak * 1024 / 1e6, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sizes", default="0.2,2,8")
    parser.add_argument("--corpus", default=os.path.join(bench.CACHE, "corpus"))
    parser.add_argument("--folder", default=os.path.join(bench.CACHE, "memory"))
    parser.add_argument("--scanner", default=os.path.join(bench.HERE, "..", "target", "release", "scanner"))
    options = parser.parse_args()
    if not glob.glob(os.path.join(options.corpus, "debian", "*")):
        sys.exit(f"{options.corpus} is missing: run benches/corpus.sh first")
    os.makedirs(options.folder, exist_ok=True)
    targets = [(f"docker archive, {size} GB", f"{size}.tar",
                lambda path, size=size: docker_archive(path, float(size), options.corpus, options.folder))
               for size in options.sizes.split(",") if size]
    for name, command in (("xz -9", ["xz", "-9", "-c"]), ("zstd --long=27", ["zstd", "-q", "--long=27", "-c"])):
        targets.append((f"OCI layout, two layers {name}", name.replace(" ", ""),
                        lambda path, command=command: oci_layout(path, command, options.corpus, options.folder)))
    print("| target | bytes | seconds | peak RssAnon | with 300 MB of data | findings |\n|---|---|---|---|---|---|")
    wrong = False
    for name, inside, make in targets:
        path = os.path.join(options.folder, inside)
        if not os.path.exists(path):
            make(path)
        total = os.path.getsize(path) if os.path.isfile(path) else sum(
            os.path.getsize(blob) for blob in glob.glob(f"{path}/blobs/*/*"))
        code, seconds, peak, found = scan(options.scanner, path, options.folder, False)
        limited_code, _, limited_peak, limited_found = scan(options.scanner, path, options.folder, True)
        same = (code, found) == (limited_code, limited_found) and code == 0
        wrong |= not same
        print(f"| {name} | {total:,} | {seconds:.1f} | {peak:.0f} MB | "
              f"{limited_peak:.0f} MB, {'the same' if same else f'EXIT {limited_code}, OTHER FINDINGS'} | {len(found)} |",
              flush=True)
        # The largest is as large as a small disk.
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
