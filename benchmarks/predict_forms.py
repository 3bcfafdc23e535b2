"""Measures from how many images on it saves time in `kerasnets predict` to compile a network, and to fold it first.

    python benchmarks/predict_forms.py [--nets NAME ...] [--batch 32] [--rounds 3] [--processor-time]

A compiled form takes time before its first answer and less for each image. Each form of each network has a process of
its own, with the network already built. It answers a first batch, and then `--rounds` more, of which the quickest
counts. The forms:

* plain: the Keras model as it is;
* compiled: one TensorFlow graph with constants for weights;
* folded: the same, after batch normalisation is folded.

`--processor-time` counts seconds of a core instead, which other work on the machine changes little: those before the
first answer as they are, because one thread works then, and those of a later batch shared among the cores.

A form's break-even is the number of images from which on it takes less time in all than the form before it.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

from sides import ask, open_sides, serve

FORMS = ("plain", "compiled", "folded")
NETS = ("lenet5_modern", "squeezenet1_0", "mobilenet_v2", "efficientnet_lite0", "resnet50", "densenet121")


def side(form: str) -> None:
    """Answers `NET BATCH ROUNDS` with the seconds of preparation, and those of a batch."""
    import numpy as np

    import kerasnets
    from kerasnets.exporters.predict import WORTH_COMPILING, WORTH_FOLDING, open_predictor

    images = dict(zip(FORMS, (1, WORTH_COMPILING, WORTH_FOLDING), strict=True))[form]

    def answer(request):
        net, batch, rounds = request.split()
        model = kerasnets.create_model(net)
        pixels = np.zeros((int(batch), *model.input_shape[1:]), "uint8")
        start = clock()
        run = open_predictor(model, images=images).run
        run(pixels)
        times = [clock()]
        for _ in range(int(rounds)):
            run(pixels)
            times.append(clock())
        batch = min(after - before for before, after in zip(times, times[1:], strict=False))
        return times[0] - start - batch, batch / cores

    measured = bool(os.environ.get("BENCHMARK_PROCESSOR_TIME"))
    clock, cores = (time.process_time, os.cpu_count()) if measured else (time.perf_counter, 1)
    serve(answer)


def break_even(before: tuple, after: tuple, batch: int) -> str:
    """Returns from how many images on the second of two (seconds of preparation, seconds of a batch) is quicker."""
    dearer = after[0] - before[0]
    saved = (before[1] - after[1]) / batch
    return "never" if saved <= 0 else f"{max(0, dearer / saved):.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="*", default=NETS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--side", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(options.side)
    os.environ["BENCHMARK_PROCESSOR_TIME"] = "1" if options.processor_time else ""
    ratios = {}
    for net in options.nets:
        with open_sides(__file__, dict.fromkeys(FORMS, sys.executable)) as processes:
            request = f"{net} {options.batch} {options.rounds}"
            found = {form: ask(process, request) for form, process in processes.items()}
        figures = [
            f"{form} {first:.2f} s, {options.batch / later:.1f} images/s" for form, (first, later) in found.items()
        ]
        print(f"{net}: {'; '.join(figures)}", flush=True)
        pairs = (("compiled", "plain"), ("folded", "compiled"), ("folded", "plain"))
        for form, other in pairs:
            print(f"{net}: {form} pays from {break_even(found[other], found[form], options.batch)} images over {other}")
        ratios[f"predict_forms_{net}"] = found["plain"][1] / found["folded"][1]
    for name, ratio in ratios.items():
        print(f"ratio {name} {ratio:.2f}")


if __name__ == "__main__":
    main()
