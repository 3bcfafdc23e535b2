"""Confusions are counted without a matrix of all classes, and equal those of scikit-learn's matrix."""

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from kerasnets.evaluation.evaluate import MATRIX_LIMIT, Counts, Verdicts
from kerasnets.report.run_report import write_report


def counted(classes: int, labels: np.ndarray, predicted: np.ndarray) -> dict:
    counts = Counts(classes)
    for batch in np.array_split(np.arange(len(labels)), 7):
        ones = np.ones(len(batch))
        counts.add(batch, labels[batch], Verdicts(predicted[batch], ones, ones, np.zeros(len(batch))))
    return counts.result()


@pytest.mark.parametrize("classes", [3, 12, MATRIX_LIMIT + 1])
def test_the_most_frequent_confusions(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, min(classes, 12), 400).astype("int32")
    predicted = np.where(rng.random(400) < 0.6, labels, rng.integers(0, min(classes, 12), 400)).astype("int32")
    found = counted(classes, labels, predicted)
    matrix = confusion_matrix(labels, predicted, labels=np.arange(classes))
    assert found["confusion"] == (matrix.tolist() if classes <= MATRIX_LIMIT else [])
    assert found["top1"] == np.trace(matrix) / 400
    off = matrix - np.diag(np.diag(matrix))
    assert [each["count"] for each in found["confusions"]] == sorted(off[off > 0].tolist(), reverse=True)[:100]
    for each in found["confusions"]:
        assert each["count"] == off[each["label"], each["predicted"]] and each["of"] == matrix[each["label"]].sum()


def test_21841_classes_fit_and_the_report_names_the_most_frequent(tmp_path):
    labels = np.arange(30_000, dtype="int32") % 21_841
    predicted = np.where(labels == 21_000, 7, labels).astype("int32")
    found = json.loads(json.dumps(counted(21_841, labels, predicted)))
    assert found["confusion"] == []
    assert found["confusions"] == [{"label": 21_000, "predicted": 7, "count": 1, "of": 1}]
    (tmp_path / "recipe.yaml").write_text("model: {name: resnet50}\ndata: {source: {kind: digits}}\n")
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    for write_labels in (False, True):
        if write_labels:
            (tmp_path / "labels.txt").write_text("\n".join(f"class {k}" for k in range(21_841)))
        page = write_report(tmp_path).read_text(encoding="utf-8")
        assert "21000" in page and "1 of 1" in page and ("class 21000" in page) == write_labels


def test_nothing_evaluated():
    assert Counts(5).result()["confusions"] == []
