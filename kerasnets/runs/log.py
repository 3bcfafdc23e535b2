"""Reads the log of a run, without TensorFlow."""

import json
from pathlib import Path


def read_log(path) -> list[dict]:
    """Returns the events of a run's log.

    Of an epoch that was trained twice (after a resume), only the last event is kept. A line that a killed process did
    not finish is left out.
    """
    events, epochs = [], {}
    for line in (Path(path) / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if event.get("event") == "epoch":
            epochs[event["epoch"]] = event
        events.append(event)
    return [e for e in events if e.get("event") != "epoch" or epochs[e["epoch"]] is e]
