"""Times the start of Python processes: `import kerasnets`, `kerasnets list`, and `kerasnets predict` of one photo.

    python benchmarks/start_up.py [--runs 5]

The quickest of `--runs` processes counts, in seconds and in seconds of a core; those of an empty Python process are
printed as well. The network of `predict` is SqueezeNet 1.0 with random weights, in a .keras file.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = "import sys; from kerasnets.cli.app import main; main()"
PREPARE = """
import sys, numpy as np, kerasnets
from PIL import Image
folder = sys.argv[1]
kerasnets.create_model("squeezenet1_0").save(f"{folder}/net.keras")
noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)
Image.fromarray(noise).save(f"{folder}/photo.jpg")
"""
# What may take so many seconds at most.
GOALS = {"import": 0.05, "list": 0.3}


def quickest(command: list[str], runs: int) -> tuple[float, float]:
    """Returns the least seconds and the least seconds of a core among several runs."""
    walls, cores = [], []
    for _ in range(runs):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cores.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls), min(cores)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", PREPARE, folder], check=True, capture_output=True)
        commands = {
            "empty": ["-c", "pass"],
            "import": ["-c", "import kerasnets"],
            "list": ["-c", PROGRAM, "list"],
            "predict": ["-c", PROGRAM, "predict", str(Path(folder) / "photo.jpg"), "--model", f"{folder}/net.keras"],
        }
        found = {name: quickest(command, options.runs) for name, command in commands.items()}
    for name, (wall, core) in found.items():
        print(f"{name}: {wall:.3f} s, {core:.3f} s of a core")
    for name, goal in GOALS.items():
        spent = found[name][0] - (found["empty"][0] if name == "import" else 0)
        print(f"ratio start_up_{name}_goal {goal / spent:.2f}")


if __name__ == "__main__":
    main()
