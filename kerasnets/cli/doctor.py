"""`kerasnets doctor`: what is installed, what the machine has, and what is slow or missing here."""

import os
import platform
import shutil
from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON
from kerasnets.cli.output import file_size, print_json, print_table, start_tensorflow

app = typer.Typer()
SIZES = Annotated[bool, typer.Option("--sizes", help="Add up the sizes of the caches, which can take long.")]
# Instructions that the kernels of TensorFlow and LiteRT use, as /proc/cpuinfo calls them.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
LEAST_DISK = 5e9
GPU_PAGE = "https://github.com/kerasnets/kerasnets/blob/main/docs/gpu.md"


@app.command("doctor", epilog="Example: kerasnets doctor --json")
def doctor_command(sizes: SIZES = False, json: JSON = False) -> None:
    """Say what is installed, which devices there are, where the caches lie, and what is slow here and why."""
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": packages(),
        "cpu": cpu(),
        **backend_and_gpus(),
        "caches": {name: _folder(path, sizes) for name, path in cache_folders().items()},
        "free_disk_bytes": shutil.disk_usage(Path.cwd()).free,
    }
    facts["advice"] = advice(facts)
    if json:
        print_json(facts)
        return
    table = [("python", f"{facts['python']}, {facts['system']}")]
    table += [(name, f"{p['installed'] or 'missing'} (needed: {p['needed']})") for name, p in facts["packages"].items()]
    table += [
        ("backend", facts["backend"]),
        (
            "processor",
            f"{facts['cpu']['cores']} cores; {', '.join(facts['cpu']['instructions']) or 'no known instructions'}",
        ),
        ("GPUs", "; ".join(f"{g['name']} ({g['compute_capability']})" for g in facts["gpus"]) or "none"),
        *((f"cache: {name}", _described(cache)) for name, cache in facts["caches"].items()),
        ("free disk", file_size(facts["free_disk_bytes"])),
        *(("advice", line) for line in facts["advice"] or ["nothing to say"]),
    ]
    print_table(("", ""), table)


def packages() -> dict[str, dict]:
    """Returns the version of each package that kerasnets needs, the versions it may have, and whether it has one."""
    from importlib import metadata

    from packaging.requirements import Requirement

    found = {}
    for requirement in map(Requirement, metadata.requires("kerasnets") or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = None
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        found[requirement.name] = {"installed": version, "needed": str(requirement.specifier), "fits": fits}
    return found


def cpu() -> dict:
    """Returns the cores that this process may use, and the instructions that matter to TensorFlow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = Path("/proc/cpuinfo")
    words = set(info.read_text(encoding="utf-8", errors="replace").split()) if info.is_file() else set()
    return {"cores": cores, "instructions": [name for name in INSTRUCTIONS if name in words]}


def backend_and_gpus() -> dict:
    """Returns Keras's backend, TensorFlow's GPUs, and the architectures that its kernels were compiled for."""
    start_tensorflow()
    import keras
    import tensorflow as tf

    gpus = []
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        capability = ".".join(map(str, details.get("compute_capability", ()))) or "unknown"
        gpus.append({"name": details.get("device_name", device.name), "compute_capability": capability})
    compiled = tf.sysconfig.get_build_info().get("cuda_compute_capabilities", [])
    return {"backend": keras.backend.backend(), "gpus": gpus, "compiled_for": list(compiled)}


def cache_folders() -> dict[str, Path]:
    """Returns the folders in which downloads are kept."""
    from huggingface_hub import constants

    from kerasnets.recipe.cache import home

    datasets = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
    return {"weights": home(), "hub": Path(constants.HF_HUB_CACHE), "tensorflow-datasets": datasets}


def advice(facts: dict) -> list[str]:
    """Returns a sentence for each thing that is missing or slow, and what to do about it."""
    wrong = [f"{name}{p['needed']}" for name, p in facts["packages"].items() if not p["fits"]]
    kinds, gpus = facts["cpu"]["instructions"], facts["gpus"]
    old = [gpu for gpu in gpus if not _compiled_for(gpu["compute_capability"], facts["compiled_for"])]
    return [
        *[f"Packages are missing or too old: pip install {' '.join(map(repr, wrong))}"] * bool(wrong),
        *[f"No GPU was found; training runs on the processor. See {GPU_PAGE}"] * (not gpus),
        *[f"TensorFlow has no kernels for {gpu['name']}: use KERAS_BACKEND=jax. See {GPU_PAGE}" for gpu in old],
        *["bfloat16 is slow here: the processor has no instructions for it. Use precision: float32."]
        * (not gpus and not {"avx512_bf16", "amx_bf16", "bf16"} & set(kinds)),
        *["TF_ENABLE_ONEDNN_OPTS=0 switches TensorFlow's faster kernels off."]
        * (os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0"),
        *[f"{facts['cpu']['cores']} cores decode images slowly: `kerasnets shard` stores smaller ones once."]
        * (facts["cpu"]["cores"] < 4),
        *["Less than 5 GB of disk space are free; a run writes checkpoints, an export its file."]
        * (facts["free_disk_bytes"] < LEAST_DISK),
    ]


def _compiled_for(capability: str, compiled: list[str]) -> bool:
    """Whether a wheel compiled for `["sm_80", "compute_90"]` has kernels, or code to compile, for a GPU."""
    digits = capability.replace(".", "")
    if not digits.isdecimal() or not compiled:
        return True
    exact = [name.removeprefix("sm_") for name in compiled if name.startswith("sm_")]
    later = [int(name.removeprefix("compute_")) for name in compiled if name.startswith("compute_")]
    same = any(e[:-1] == digits[:-1] and int(e) <= int(digits) for e in exact if e.isdecimal())
    return same or any(least <= int(digits) for least in later)


def _folder(path: Path, sizes: bool) -> dict:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if sizes and path.is_dir() else None
    return {"path": str(path), "exists": path.is_dir(), "bytes": size}


def _described(cache: dict) -> str:
    size = f", {file_size(cache['bytes'])}" if cache["bytes"] is not None else ""
    return f"{cache['path']}{size}" + (" (nothing there yet)" if not cache["exists"] else "")
