"""`kerasnets quantize-debug`."""

import typer

from kerasnets.cli.export import CALIBRATE, KEEP_FLOAT, PREPROCESSING
from kerasnets.cli.options import JSON, NETWORK, WEIGHTS
from kerasnets.cli.output import percent, print_json, print_table, start_tensorflow, work_on_stderr

app = typer.Typer()
# More rows do not help to choose a layer; --json has all.
_ROWS = 20


@app.command("quantize-debug", epilog="Example: kerasnets quantize-debug runs/lenet5_digits")
def quantize_debug_command(
    target: NETWORK,
    calibrate: CALIBRATE = None,
    weights: WEIGHTS = None,
    preprocessing: PREPROCESSING = None,
    keep_float: KEEP_FLOAT = None,
    json: JSON = False,
) -> None:
    """Show in which layers an int8 file loses accuracy: the error that rounding each alone adds.

    An error is the root mean squared change of the probabilities. No file is written.
    """
    start_tensorflow()
    from kerasnets.exporters.quantize_debug import advice, quantize_debug

    kept = keep_float.split(",") if keep_float else ()
    with work_on_stderr():
        rows = quantize_debug(target, calibrate, weights=weights, preprocessing=preprocessing, keep_float=kept)
    if json:
        print_json([row._asdict() for row in rows])
        return
    shown = [(r.layer, f"{r.kernel:.2g}", f"{r.output:.2g}", percent(r.agreement)) for r in rows[: _ROWS + 1]]
    print_table(("layer", "error by its kernel", "by its range", "top-1 agreement"), shown)
    print(advice(rows))
