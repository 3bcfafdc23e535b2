"""`kerasnets compress`."""

from typing import Annotated

import typer

from kerasnets.cli.options import JSON, NETWORK, WEIGHTS
from kerasnets.cli.output import file_size, percent, print_json, print_table, share_of, start_tensorflow, work_on_stderr

app = typer.Typer()
BITS = Annotated[int, typer.Option(min=0, max=8, help="Bits of a layer's codebook; 0 keeps every weight as it is.")]
SPARSITY = Annotated[float, typer.Option(help="The share of each layer's weights that is pruned first.")]
START = Annotated[str, typer.Option(help="How the clusters start: linear, density or random.")]
CALIBRATE = Annotated[
    str | None,
    typer.Option(
        help="Real images, without labels, to compensate the error with: digits, an .npz file, a folder or tfds:NAME."
    ),
]
EXAMPLES = Annotated[int, typer.Option(min=2, help="The largest number of these images.")]
TUNE = Annotated[int, typer.Option(min=0, help="Steps of tuning the codebooks on these images.")]
OUTPUT = Annotated[str, typer.Option("--output", "-o", help="The file, NAME.knc.")]


@app.command("compress", epilog="Example: kerasnets compress runs/lenet5_digits --bits 5 -o lenet5.knc")
def compress_command(
    target: NETWORK,
    output: OUTPUT,
    bits: BITS = 6,
    sparsity: SPARSITY = 0.0,
    start: START = "linear",
    calibrate: CALIBRATE = None,
    examples: EXAMPLES = 250,
    tune: TUNE = 0,
    weights: WEIGHTS = None,
    json: JSON = False,
) -> None:
    """Compress a trained network into a .knc file: prune, share the weights of each layer, code them.

    `kerasnets.load_weights` and `--weights` read the file.
    """
    start_tensorflow()
    from kerasnets.exporters.compress import compress
    from kerasnets.report.run_report import write_report
    from kerasnets.runs.folder import is_run

    with work_on_stderr():
        choices = {"weights": weights, "bits": bits or None, "sparsity": sparsity, "start": start, "steps": tune}
        report = compress(target, output, calibrate=calibrate, examples=examples, **choices)
        if is_run(target):
            write_report(target)
    if json:
        print_json(report)
        return
    columns = ("layer", "weights", "kept", "codebook", "bits a weight", "coding", "bytes", "ratio")
    print_table(columns, map(_cells, report["layers"]), right=[c for c in columns if c not in ("layer", "coding")])
    times = f"{report['ratio']:.1f} times smaller than {file_size(report['float32_bytes'])}"
    lines = [
        ("file", report["path"]),
        ("size", f"{report['bytes']:,} bytes, {times}"),
        ("weights", f"{report['weights']:,}, {percent(report['kept'])} not zero"),
        ("same top-1", share_of(report["agreement"], report["images"])),
    ]
    print()
    print_table(("", ""), lines)


def _cells(row: dict) -> tuple[str, ...]:
    """Returns the cells of a layer."""
    bits = "–" if row["codebook_bits"] is None else f"{row['codebook_bits']} bits"
    counts = (f"{row['weights']:,}", percent(row["kept"], 1), bits, f"{row['bits_per_weight']:.2f}")
    return (row["name"], *counts, row["coding"], f"{row['bytes']:,}", f"{row['ratio']:.1f}")
