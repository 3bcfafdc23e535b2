"""Sends image files to TensorFlow Serving and prints a line for each: labels with scores, or an error.

python examples/serving/classify.py MODEL FILE... [--server http://localhost:8501]

It needs nothing but Python.
"""

import argparse
import base64
import json
import urllib.request
from pathlib import Path


def request_of(files: list[Path]) -> bytes:
    """Returns the body of a request: each file in base64."""
    encoded = [{"b64": base64.b64encode(file.read_bytes()).decode()} for file in files]
    return json.dumps({"signature_name": "classify", "inputs": {"files": encoded}}).encode()


def lines_of(answer: dict, files: list[Path]) -> list[str]:
    """Returns a line for each file of an answer."""
    found, lines = answer["outputs"], []
    for file, labels, scores, error in zip(files, found["labels"], found["scores"], found["errors"], strict=True):
        best = ", ".join(f"{label} {score:.1%}" for label, score in zip(labels, scores, strict=True))
        lines.append(f"{file}: {error or best}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--server", default="http://localhost:8501")
    chosen = parser.parse_args()
    url = f"{chosen.server}/v1/models/{chosen.model}:predict"
    with urllib.request.urlopen(urllib.request.Request(url, request_of(chosen.files))) as answer:
        print(*lines_of(json.load(answer), chosen.files), sep="\n")


if __name__ == "__main__":
    main()
