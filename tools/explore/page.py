#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the explorer's page of its parts, ready for the data.

page.py OUT.html page.html page.css NAME.js...    scripts in this order, in one scope; <!--DATA--> is left for the blocks of data

The content security policy allows this very style and this very script, and nothing else: no network, no eval, nothing that data could bring.
"""
import base64
import hashlib
import sys
from pathlib import Path


def digest(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("ascii")).digest()).decode() + "'"


def page(html, css, *scripts):
    script = "(() => {\n'use strict';\n" + "".join(scripts) + "})();\n"
    policy = f"default-src 'none'; style-src {digest(css)}; script-src {digest(script)}; base-uri 'none'; form-action 'none'"
    for mark, text in (("/*CSS*/", css), ("/*JS*/", script), ("POLICY", policy)):
        if html.count(mark) != 1:
            sys.exit(f"page.html: {mark} must be there once")
        html = html.replace(mark, text)
    return html


if __name__ == "__main__":
    # Not ASCII: UnicodeDecodeError. A page of ASCII alone is held by browsers at one byte a character.
    Path(sys.argv[1]).write_text(page(*(Path(path).read_bytes().decode("ascii") for path in sys.argv[2:])), encoding="ascii")
