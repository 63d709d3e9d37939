#!/usr/bin/env python3
"""Runs scanners over one target, interleaved, and prints medians: seconds, peak anonymous memory, findings.

  run.py TARGET NAME=COMMAND... [--rounds 5]

`{}` in a command stands for the target. A warm-up round comes first and is not counted. Anonymous memory is RssAnon of
the process, read every 20 ms: mapped files do not count, because the kernel takes them back when it needs room.
`cat` of the target (every file of it, for a folder) runs in each round as the floor.

  benches/corpus.sh
  benches/run.py ~/.cache/keyturn/corpus/app.tar 'keyturn=target/release/scanner scan {} --fail-on never -q' \\
      'gitleaks=gitleaks dir {} --max-archive-depth 3 --exit-code 0 --no-banner -l error'
"""
import argparse
import os
import re
import shlex
import statistics
import subprocess
import time


def anonymous(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            found = re.search(r"RssAnon:\s+(\d+) kB", status.read())
            return int(found.group(1)) if found else 0
    except OSError:
        return 0


def once(command):
    """Seconds, peak anonymous memory in MiB, exit code."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.02)
    return time.perf_counter() - started, peak / 1024, process.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("commands", nargs="+", metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    floor = ["cat", options.target]
    if os.path.isdir(options.target):
        floor = ["sh", "-c", f"find {shlex.quote(options.target)} -type f -print0 | xargs -0 cat"]
    runs = {"cat": floor}
    for command in options.commands:
        name, _, text = command.partition("=")
        runs[name] = [part.replace("{}", options.target) for part in shlex.split(text)]
    results = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, command in runs.items():
            result = once(command)
            if number:
                results[name].append(result)
    base = statistics.median(seconds for seconds, _, _ in results[next(iter(list(runs)[1:]))])
    print(f"{'':14} {'seconds':>8} {'of first':>9} {'MiB anon':>9}  exit")
    for name, found in results.items():
        seconds = statistics.median(s for s, _, _ in found)
        memory = max(m for _, m, _ in found)
        codes = sorted({code for _, _, code in found})
        print(f"{name:14} {seconds:8.2f} {seconds / base:8.2f}x {memory:9.0f}  {codes}")


if __name__ == "__main__":
    main()
