"""Opens a folder of millions of files in thousands of classes: seconds and memory.

    python benchmarks/large_folder.py [--classes 2184] [--per-class 641] [--folder FOLDER]

It makes a tree of hard links to small photos (14 million files: `--classes 21841`; the directories take 0.6 GB of disk)
and deletes it afterwards; a FOLDER that exists is measured as it is and kept. Each line is printed by a process of its
own: opening without an index, opening with one, the first batch of a training, and the first batch of a run that
resumes in the middle of an epoch. Memory is the highest of the process, TensorFlow included.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# A file can have 65,000 hard links on ext4.
LINKS = 60_000
PARTS = ("the first open, without an index", "open with the index", "first batch", "first batch of a resumed run")


def make_tree(folder: Path, classes: int, per_class: int) -> None:
    """Writes class folders of links to photos under `folder`/train, named as those of ImageNet-21k."""
    import tensorflow as tf

    source, used = None, LINKS
    for label in range(classes):
        place = folder / "train" / f"n{label:08}"
        place.mkdir(parents=True)
        if used + per_class > LINKS:
            pixels = np.random.default_rng(label).integers(0, 256, (6, 8, 3)).astype("float32")
            photo = tf.io.encode_jpeg(tf.cast(tf.clip_by_value(tf.image.resize(pixels, (48, 64)), 0, 255), "uint8"))
            source, used = folder / f"photo-{label}.jpg", 0
            source.write_bytes(photo.numpy())
        handle = os.open(place, os.O_RDONLY)
        for number in range(per_class):
            os.link(source, f"n{label:08}_{number}.JPEG", dst_dir_fd=handle)
        os.close(handle)
        used += per_class


def measure(part: int, folder: str) -> None:
    """Prints the seconds and the memory of one part, in a process of its own."""
    import resource

    import tensorflow as tf  # noqa: F401 - starting it is not counted

    from kerasnets.data.pipeline import training_batches
    from kerasnets.data.sources import open_source
    from kerasnets.recipe.data_options import DataOptions
    from kerasnets.registry import Preprocessing

    options = DataOptions(source={"kind": "folder", "path": folder}, augmentation={"random_resized_crop": {}})
    begun = time.perf_counter()
    source = open_source(options.source, "train")
    if part > 1:
        opened = time.perf_counter()
        settings = {"batch_size": 256, "seed": 0, "start_step": source.size // 512 if part == 3 else 0}
        next(iter(training_batches(source, Preprocessing(size=64), options, **settings)))
        begun = opened
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"files": source.size, "classes": len(source.classes), "seconds": seconds, "peak": peak}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=2184)
    parser.add_argument("--per-class", type=int, default=641)
    parser.add_argument("--folder")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part is not None:
        return measure(options.part, options.folder)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="large_folder-"))
    kept = options.folder is not None and folder.exists()
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        try:
            if not kept:
                begun = time.perf_counter()
                make_tree(folder, options.classes, options.per_class)
                print(f"made the tree in {time.perf_counter() - begun:.0f} s")
            for part, name in enumerate(PARTS):
                command = [sys.executable, __file__, "--folder", str(folder), "--part", str(part)]
                environment = os.environ | {"KERASNETS_HOME": cache}
                output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
                found = json.loads(output.splitlines()[-1])
                seconds.append(found["seconds"])
                size = f"{found['files']:,} files in {found['classes']:,} classes"
                print(f"{name}: {size}, {found['seconds']:.1f} s, at most {found['peak'] / 1e9:.2f} GB", flush=True)
        finally:
            if not kept:
                shutil.rmtree(folder)
    print(f"ratio large_folder_scan_over_index {seconds[0] / seconds[1]:.2f}")


if __name__ == "__main__":
    main()
