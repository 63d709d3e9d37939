#!/usr/bin/env python3
"""Makes the image of all traps and prints, as a table, which of them each scanner finds.

  traps.py [NAME=KIND:BINARY ...] [--make target/release/make-image] [--scanner target/release/scanner]

KIND is gitleaks, betterleaks, kingfisher or trivy: how the program is called and its report is read. Each runs with
the options that let it see most (nested archives, decoding), on the image as `docker save` writes it now, as it wrote
it before, and as an OCI layout with gzip layers in one archive. A trap counts as found when its token stands in the
report; trivy masks tokens, so that any finding at the trap's path counts. Nothing is validated over the network.

  benches/traps.py gitleaks=gitleaks:gitleaks trivy=trivy:trivy > benches/traps.md
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.parse

PACKAGINGS = [("docker", "docker"), ("docker-legacy", "docker, old"), ("oci", "OCI")]
SECONDS_MAX = 300


def run(command, folder):
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_CONFIG_HOME": folder, "TMPDIR": folder}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS_MAX, check=False)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        return "timeout", b""


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def gitleaks(binary, image, folder, traps):
    report = os.path.join(folder, "report.json")
    code, _ = run([binary, "dir", image, "--max-archive-depth", "8", "--max-decode-depth", "8", "--report-format",
                   "json", "--report-path", report, "--redact=0", "--no-banner"], folder)
    return code, by_token(read(report), traps)


def betterleaks(binary, image, folder, traps):
    report = os.path.join(folder, "report.json")
    code, _ = run([binary, image, "--max-archive-depth", "8", "--max-decode-depth", "8", "--output", report,
                   "--no-banner"], folder)
    return code, by_token(read(report), traps)


def kingfisher(binary, image, folder, traps):
    report = os.path.join(folder, "report.json")
    code, _ = run([binary, "scan", image, "--format", "json", "--output", report, "--no-validate",
                   "--no-update-check", "--no-dedup", "--confidence", "low"], folder)
    return code, by_token(read(report), traps)


def trivy(binary, image, folder, traps):
    code, out = run([binary, "image", "--input", image, "--scanners", "secret", "--image-config-scanners", "secret",
                     "--format", "json", "--quiet", "--exit-code", "1", "--cache-dir", os.path.join(folder, "cache")],
                    folder)
    try:
        results = json.loads(out).get("Results") or []
    except ValueError:
        return f"{code}, no report", set()
    seen = {result["Target"].lstrip("/"): len(result["Secrets"]) for result in results if result.get("Secrets")}
    in_configuration = [index for index, trap in enumerate(traps) if trap["layer"] is None]
    found = set(in_configuration[:seen.get(image.lstrip("/"), 0)])
    for index, trap in enumerate(traps):
        # It writes names that are not UTF-8 with replacement characters.
        path = urllib.parse.unquote_to_bytes(trap["path"]).decode(errors="replace")
        if path in seen:
            found.add(index)
    return code, found


def ours(binary, image, folder, traps):
    code, out = run([binary, "scan", image, "--format", "json"], folder)
    places = set()
    for finding in json.loads(out)["findings"]:
        for place in finding["locations"]:
            layer = (place.get("layer") or {}).get("index")
            places.add((layer, place["path"], tuple(place.get("entries") or []), place["state"]))
    wanted = [(t["layer"], t["path"], tuple(t["entries"]), t["state"]) for t in traps]
    return code, {index for index, place in enumerate(wanted) if place in places}


def by_token(report, traps):
    return {index for index, trap in enumerate(traps) if trap["token"].encode() in report}


def version(binary, kind):
    words = {"gitleaks": ["version"]}.get(kind, ["--version"])
    done = subprocess.run([binary, *words], capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].split()[-1] if lines else "?"


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="NAME=KIND:BINARY")
    parser.add_argument("--make", default="target/release/make-image")
    parser.add_argument("--scanner", default="target/release/scanner")
    options = parser.parse_args()
    kinds = {"gitleaks": gitleaks, "betterleaks": betterleaks, "kingfisher": kingfisher, "trivy": trivy}
    programs = [("keyturn", "keyturn", os.path.abspath(options.scanner), ours)]
    for peer in options.peers:
        name, _, rest = peer.partition("=")
        kind, _, binary = rest.partition(":")
        programs.append((name, kind, binary, kinds[kind]))
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        for form, shown in PACKAGINGS:
            image, listed = os.path.join(folder, f"{form}.tar"), os.path.join(folder, "traps.json")
            subprocess.run([os.path.abspath(options.make), "--traps", "--traps-list", listed, "--seed", "7", "--format",
                            form, "--out", image], check=True)
            with open(listed, encoding="utf-8") as file:
                traps = json.load(file)
            for name, _, binary, search in programs:
                home = tempfile.mkdtemp(dir=folder)
                code, found = search(binary, image, home, traps)
                columns.append((name, shown, code, found))
                print(f"{name} {shown}: {len(found)} of {len(traps)}, exit code {code}", file=sys.stderr)
    table(programs, traps, columns)


def table(programs, traps, columns):
    versions = ", ".join(f"{name} {version(binary, kind)}" for name, kind, binary, _ in programs)
    print("# Traps\n")
    print("One distinct, generated token in each place where a scanner may fail to look, in one image. Made by")
    print("`benches/traps.py`, which says how each program is called. \"no report\": the program")
    print("refuses the archive, which holds layers of xz and zstd, or reads an OCI layout from a folder only.\n")
    print(f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()}: {versions}.\n")
    columns = sorted(columns, key=lambda column: [program[0] for program in programs].index(column[0]))
    print("| trap | where | " + " | ".join(f"{name}, {shown}" for name, shown, _, _ in columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    print("| **found** | | " + " | ".join(f"**{len(found)} of {len(traps)}**" for _, _, _, found in columns) + " |")
    print("| exit code | | " + " | ".join(str(code) for _, _, code, _ in columns) + " |")
    for index, trap in enumerate(traps):
        layer = "image" if trap["layer"] is None else f"layer {trap['layer']}, {trap['state']}"
        marks = ["yes" if index in found else "**no**" for _, _, _, found in columns]
        print(f"| {trap['name']} | {layer} | " + " | ".join(marks) + " |")


if __name__ == "__main__":
    main()
