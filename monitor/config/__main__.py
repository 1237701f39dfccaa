"""``python -m monitor.config FILE...`` says for each file whether it can be used."""

from __future__ import annotations

import sys

from monitor.config.configuration import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
