"""What this machine computes in hardware."""

from pathlib import Path

# NVIDIA's tensor cores multiply bfloat16 from this compute capability on.
AMPERE = (8, 0)
# The names in Linux of the processor instructions that multiply bfloat16.
PROCESSOR, PROCESSOR_FLAGS = Path("/proc/cpuinfo"), {"avx512_bf16", "amx_bf16"}


def has_bfloat16() -> bool:
    """Whether all GPUs multiply bfloat16 in hardware; without a GPU, whether the processor does."""
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(each.get("compute_capability", (0, 0)) >= AMPERE for each in details)
    lines = PROCESSOR.read_text().splitlines() if PROCESSOR.exists() else []
    return any(PROCESSOR_FLAGS & set(line.split()) for line in lines if line.startswith("flags"))
