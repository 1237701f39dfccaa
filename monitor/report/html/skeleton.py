"""The frame of every page: one file that needs nothing from anywhere and lets nothing in.

Its content security policy refuses every address, and every script but those given here, by their hash:
markup that slipped through the escaping could still not run.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files

from monitor.report.html.style import STYLE


def document(title: str, body: str, *, styles: Sequence[str] = (), scripts: Sequence[str] = ()) -> str:
    """The whole file: ``title`` is plain text, ``body`` is markup, escaped by who made it.

    ``styles`` and ``scripts`` are the texts themselves; the scripts run after the body, in their order.
    """
    hashes = " ".join(f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" for one in scripts)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
    if scripts:
        policy += f"; script-src {hashes}"
    run = "".join(f"<script>{_whole(one, 'script')}</script>" for one in scripts)
    looks = "".join(f"<style>{_whole(one, 'style')}</style>" for one in (STYLE, *styles))
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{policy}">'
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark">'
        f"<title>{escape(title)}</title>{looks}</head><body><main>{body}</main>{run}</body></html>\n"
    )


def data(name: str, value: object) -> str:
    r"""A value for scripts to read: JSON in an element with this id, which no text in it can leave.

    Within a script element only ``<`` could end or open anything, so none is left.

    >>> data("tokens", ["</script>"])
    '<script type="application/json" id="tokens">["\\u003c/script>"]</script>'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escape(name)}">{text}</script>'


def asset(name: str) -> str:
    """A file that lies beside this module: a script or a style sheet of our own."""
    return files("monitor.report.html").joinpath(name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """Files beside this module as one script: each sees those before it, the page none of their names."""
    return f'(() => {{\n"use strict";\n{"".join(map(asset, names))}}})();\n'


def _whole(text: str, element: str) -> str:
    if f"</{element}" in text.lower():
        raise ValueError(f"</{element}: must not occur in a {element} of our own")
    return text
