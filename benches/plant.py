#!/usr/bin/env python3
"""Plants synthetic credentials for the corpus: `plant.py FOLDER LIST`.

Every value is made here, from a seed, and opens nothing. LIST (JSON) says which file holds which kind, so that a
bench can check that each one was found.
"""
import json
import os
import random
import string
import sys
import zlib

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def token(generator, alphabet, length):
    return "".join(generator.choice(alphabet) for _ in range(length))


def github(generator):
    """A classic token: 30 random characters and their CRC-32 in base 62."""
    body = token(generator, BASE62, 30)
    number, check = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        check = BASE62[digit] + check
    return "ghp_" + body + check.rjust(6, "0")


def aws(generator):
    return "AKIA" + token(generator, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)


def main():
    folder, listing = sys.argv[1:]
    generator = random.Random(20260301)
    planted = []

    def plant(path, kind, value, text):
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text.replace("{}", value))
        planted.append({"path": path, "kind": kind})

    plant("app/.env", "github", github(generator), "PORT=8080\nGITHUB_TOKEN={}\n")
    plant("app/deleted.env", "github", github(generator), "export GH_TOKEN={}\n")
    plant("root/.aws/credentials", "aws", aws(generator),
          "[default]\naws_access_key_id = {}\naws_secret_access_key = " + token(generator, BASE62 + "+/", 40) + "\n")
    plant("app/node_modules/left/index.js", "github", github(generator), 'module.exports = "{}";\n')
    plant("usr/share/app/data.bin", "github", github(generator), "\x00\x01\x02" * 4096 + "{}" + "\x00" * 4096)
    plant("app/config.yaml", "database", token(generator, BASE62, 24),
          "database:\n  url: postgresql://orders:{}@db.internal:5432/orders\n")
    with open(listing, "w", encoding="utf-8") as file:
        json.dump(planted, file, indent=1)


if __name__ == "__main__":
    main()
