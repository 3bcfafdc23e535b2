"""The report: complete, in one file, safe with any text, and no wider than a phone in a real browser."""

import base64
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from kerasnets.report.charts import confusion_chart, line_chart
from kerasnets.report.run_report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>alert('x')</script>&\""


def digit(seed: int) -> bytes:
    from PIL import Image

    pixels, file = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8), io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def epoch(number: int) -> dict:
    share = 1 - 1 / (number + 1)
    return {
        "event": "epoch", "epoch": number, "step": 44 * number, "loss": 2.3 / number, "top1": share * 0.99,
        "val_loss": 2.5 / number, "val_top1": share, "val_top5": 1.0, "learning_rate": 0.05 * (1 - number / 13),
        "seconds": 1.5, "images_per_second": 950.0 + number,
    }  # fmt: skip


def export_report(form: str, size: int) -> dict:
    return {
        "format": form, "path": f"saved_models/digits_{form}", "bytes": size, "examples": 360, "top1_agreement": 1.0,
        "largest_difference": 2e-6, "labelled": 356, "accuracy": 0.9889, "keras_accuracy": 0.9889,
        "images": "split 'test' of digits", "not_checked": ["the speed on another device"],
        "ops": {"CONV_2D": 3}, "flex_ops": [], "float_islands": [], "latency_ms": 0.0731,
        "bounds": {}, "failures": [], "passed": True,
    }  # fmt: skip


COMPRESSION = {
    "path": "lenet5.knc", "bytes": 17_629, "ratio": 60.5,
    "layers": [
        {"name": "ip1.weight", "weights": 235_200, "kept": 0.05, "codebook_bits": 5, "bits_per_weight": 8.93,
         "bytes": 13_120, "ratio": 71.7},
        {"name": "ip1.bias", "weights": 300, "kept": 1.0, "codebook_bits": None, "bits_per_weight": 13.33,
         "bytes": 500, "ratio": 2.4},
    ],
}  # fmt: skip


def write_run(run, hostile: str = "") -> None:
    """Writes a run's folder by hand, as training, evaluation and export would leave it."""
    (run / "wrong").mkdir(parents=True)
    name = json.dumps("lenet5_modern" + hostile)
    (run / "recipe.yaml").write_text(f"model:\n  name: {name}\ndata:\n  source:\n    kind: digits\nepochs: 12\n")
    events = [{"event": "start"}, *map(epoch, range(1, 13)), {"event": "bad_image", "path": f"a{hostile}.png"}]
    (run / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (run / "labels.txt").write_text("".join(f"{digit}{hostile}\n" for digit in range(10)))
    (run / "environment.json").write_text(json.dumps({"python": "3.11", "devices": ["CPU:0"], "note": hostile}))
    confusion = np.diag([36] * 10)
    confusion[8, 1] = confusion[9, 4] = confusion[3, 5] = 2
    wrong = []
    for number, (true, taken) in enumerate([(8, 1), (8, 1), (9, 4), (9, 4), (3, 5), (3, 5)], 1):
        (run / f"wrong/{number:04}.png").write_bytes(digit(number))
        picture = {"index": number, "image": f"wrong/{number:04}.png"}
        wrong.append(picture | {"label": true, "predicted": taken, "probability": 0.61})
    evaluation = {"examples": 366, "top1": 360 / 366, "top5": 1.0, "loss": 0.0421}
    (run / "evaluation.json").write_text(json.dumps(evaluation | {"confusion": confusion.tolist(), "wrong": wrong}))
    forms = {"saved-model": 512_000, "tflite": 250_000, "tflite-int8": 71_000}
    (run / "exports.json").write_text(json.dumps([export_report(*item) for item in forms.items()]))
    (run / "compression.json").write_text(json.dumps(COMPRESSION))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "digits"
    write_run(run)
    return write_report(run)


def test_report_holds_every_part_and_needs_no_other_file(report):
    text = report.read_text()
    for title in (
        "Training",
        "Confusion matrix",
        "What it got wrong",
        "Exported files",
        "Compressed file",
        "Notes",
        "Recipe",
        "Environment",
    ):
        assert f"<h2>{title}</h2>" in text
    assert "98.36\N{NO-BREAK SPACE}%" in text and "71 kB" in text and text.count("<figure>") == 6
    assert not re.search(r"""(src|href)=["'](?!data:)""", text) and "@import" not in text and "<script" not in text


def test_every_share_of_an_export_has_its_number_and_the_images_are_named(report):
    text = report.read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert text.count("98.89 % of 356") == 3 and text.count("100.00 % of 360") == 3
    assert "split 'test' of digits" in html.unescape(text) and "Not checked: the speed on another device" in text


def test_the_compressed_file_has_a_row_for_each_layer(report):
    text = report.read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "17,629 bytes, 60.5 times" in text and text.count("13,120") == 1
    assert "5 bits" in text and "5.0 %" in text and "ip1.bias" in text


def test_reports_of_older_exports_are_shown(tmp_path):
    write_run(tmp_path / "digits")
    path = tmp_path / "digits" / "exports.json"
    reports = json.loads(path.read_text())
    for key in ("labelled", "images", "not_checked"):
        del reports[0][key]
    path.write_text(json.dumps(reports))
    assert "98.89\N{NO-BREAK SPACE}% of 360" in write_report(tmp_path / "digits").read_text()


@pytest.mark.parametrize("how", ["absolute", "above", "beside", "link", "folder link"])
def test_report_embeds_nothing_from_outside_the_folder_of_wrong_predictions(how, tmp_path):
    run, secret = tmp_path / "digits", tmp_path / "secret" / "0001.png"
    write_run(run)
    secret.parent.mkdir()
    secret.write_bytes(b"a private key")
    (run / "model.keras").write_bytes(b"a private key")
    named = {"absolute": str(secret), "above": "wrong/../../secret/0001.png", "beside": "model.keras"}
    if how == "link":
        (run / "wrong" / "link.png").symlink_to(secret)
    if how == "folder link":
        shutil.rmtree(run / "wrong")
        (run / "wrong").symlink_to(secret.parent)
    path = run / "evaluation.json"
    evaluation = json.loads(path.read_text())
    evaluation["wrong"][0]["image"] = named.get(how, "wrong/link.png" if how == "link" else "wrong/0001.png")
    path.write_text(json.dumps(evaluation))
    text = write_report(run).read_text()
    assert base64.b64encode(secret.read_bytes()).decode() not in text
    assert text.count("<figure>") == (0 if how == "folder link" else 5)


def test_report_escapes_what_it_did_not_write(tmp_path):
    write_run(tmp_path / "digits", HOSTILE)
    text = write_report(tmp_path / "digits").read_text()
    assert "<script" not in text and "alert('x')" in html.unescape(text)


def test_report_of_an_unfinished_run_says_what_there_is(tmp_path):
    write_run(tmp_path / "digits")
    for name in ("evaluation.json", "exports.json", "compression.json", "labels.txt", "log.jsonl"):
        (tmp_path / "digits" / name).unlink()
    text = write_report(tmp_path / "digits").read_text()
    assert "<h2>Recipe</h2>" in text and "<h2>Confusion matrix</h2>" not in text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="recipe.yaml"):
        write_report(tmp_path)


@pytest.mark.parametrize("values", [[], [float("nan"), None], [1.0], [1.0, 1.0], [0.0, 1e-9, 1e9], [-3.0, -2.0]])
def test_line_chart_draws_any_numbers(values):
    svg = line_chart("Loss", {"training": list(enumerate(values, 1))}, x_label="epoch")
    assert "nan" not in svg.lower() and "inf" not in svg.lower()
    assert bool(svg) == any(value is not None and value == value for value in values)


def test_confusion_chart_of_many_classes_and_empty_rows():
    svg = confusion_chart(np.zeros((30, 30), int).tolist(), [f"a class with a long name {i}" for i in range(30)])
    assert svg.count("<rect") == 900


def browser(page, tmp_path, *arguments: str) -> str:
    """Runs Chromium on `page` with nothing but what it needs, and returns what it prints."""
    quiet = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *quiet]
    command += [f"--user-data-dir={tmp_path / 'profile'}", *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to lay the page out")
def test_report_is_no_wider_than_a_laptop_or_a_phone(report, tmp_path):
    """A frame of each width holds the report and says by how much its content is wider."""
    widths = (1280, 390)
    source = json.dumps(report.read_text()).replace("</", "<\\/")
    frames = tmp_path / "frames.html"
    frames.write_text(f"""<!doctype html><body><pre id="answer"></pre><script>
        for (const width of {list(widths)}) {{
          const frame = document.createElement("iframe");
          frame.style = `width: ${{width}}px; height: 800px; border: 0`;
          frame.srcdoc = {source};
          frame.onload = () => {{
            const root = frame.contentDocument.documentElement;
            const over = root.scrollWidth - root.clientWidth;
            const beyond = [...root.querySelectorAll("main *:not(pre *)")].filter(
              element => element.getBoundingClientRect().right > width + 0.5);
            document.getElementById("answer").textContent +=
              `[${{width}} ${{over}} ${{beyond.length}} ${{root.querySelectorAll("section").length}}]`;
          }};
          document.body.append(frame);
        }}</script>""")
    answer = browser(frames, tmp_path, "--virtual-time-budget=3000", "--dump-dom")
    found = {tuple(map(int, four)) for four in re.findall(r"\[(\d+) (\d+) (\d+) (\d+)\]", answer)}
    assert found == {(width, 0, 0, 8) for width in widths}  # overflow, elements beyond the edge, sections
