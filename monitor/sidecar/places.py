"""Whether the files that ``headwatch run`` keeps can be kept where they are configured; keeps none."""

from __future__ import annotations

import tempfile

from monitor.config.configuration import Config
from monitor.errors import ConfigError


def check_baseline_place(config: Config) -> str:
    """Where baselines are kept; raises ``ConfigError`` where one could not be written when it is made."""
    path = config.baseline.file or config.state.file.with_suffix(".baseline")
    if config.baseline.source == "file":
        return f"{path}: read, never written"
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"baseline.file = {path}: cannot be written ({error.strerror}); "
            "name a file in a folder that this user may write to"
        ) from None
    return f"{path}: {'stands' if path.exists() else 'will be made'}"
