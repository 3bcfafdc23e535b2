"""Times how long networks take to build, beside those of the same name in keras.applications.

    python benchmarks/build.py [--nets NAME ...]

Both sides stand in one process and take turns, network by network: each is built twice, and the shorter time counts.
The weights are random.
"""

import argparse
import time


def seconds(build) -> float:
    import keras

    times = []
    for _ in range(2):
        keras.backend.clear_session()
        start = time.perf_counter()
        build(weights=None)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    import keras

    import kerasnets

    infos = {name: kerasnets.model_info(name) for name in kerasnets.list_models()}
    same = {name: info.python_name for name, info in infos.items() if hasattr(keras.applications, info.python_name)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="*", choices=same, default=list(same))
    options = parser.parse_args()
    seconds(lambda weights: kerasnets.create_model("lenet5_modern", weights=weights))  # the first of a process is slow
    totals = [0.0, 0.0]
    for name in options.nets:
        sides = (getattr(kerasnets, same[name]), getattr(keras.applications, same[name]))
        found = [seconds(build) for build in sides]
        totals = [total + each for total, each in zip(totals, found, strict=True)]
        print(f"{name}: ours {found[0]:.2f} s, keras.applications {found[1]:.2f} s", flush=True)
    print(f"ratio build_{len(options.nets)}_networks {totals[1] / totals[0]:.2f}")


if __name__ == "__main__":
    main()
