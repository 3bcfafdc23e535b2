"""The folder in which kerasnets keeps what it can make or fetch again."""

import os
from pathlib import Path


def home() -> Path:
    """Returns the folder of the cache: `KERASNETS_HOME`, by default `kerasnets` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("KERASNETS_HOME") or Path(cache) / "kerasnets")
