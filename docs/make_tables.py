"""Writes what is generated from the registry: kerasnets/model_index.json, the stub, and the tables of two pages.

`make tables` runs it. Every variant is built and counted once, which takes minutes.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from make_families import example, families, title
from make_formats import PAGE as FORMATS
from make_formats import RECORD, page_text
from make_stub import STUB, stub

ROOT = Path(__file__).parent.parent
OUTSIDE = ROOT / "tests" / "outside_numbers.json"
FACTS = ("python_name", "family", "summary", "input_shape", "classes", "differences", "paper", "preprocessing")


def main() -> None:
    """Writes the model index, then what is printed from it."""
    from kerasnets.model_index import model_index_path, read_model_index
    from kerasnets.report.comparison import compare
    from kerasnets.report.comparison_charts import charts

    rows = {}
    for name, facts in generate():
        rows[name] = facts
        counts = f"{facts['parameters']:>14,} parameters {facts['multiply_adds']:>18,} multiply-adds"
        print(f"{name:28} {counts}", flush=True)
    model_index_path().write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_pages(read_model_index())
    STUB.write_text(stub(), encoding="utf-8")
    FORMATS.write_text(page_text(json.loads(RECORD.read_text(encoding="utf-8"))), encoding="utf-8")
    chart = charts(compare())["accuracy_operations"]
    (Path(__file__).parent / "_static" / "accuracy_operations.png").write_bytes(chart.png)


def generate() -> Iterator[tuple[str, dict]]:
    """Yields the name and facts of every registered variant, counts included."""
    import keras

    from kerasnets.build import create_model
    from kerasnets.graph.cost import complexity
    from kerasnets.graph.features import stages
    from kerasnets.registry import get_variant, variant_names

    for name in variant_names():
        keras.backend.clear_session()
        with keras.StatelessScope(initialize_variables=False):
            model = create_model(name)
        found = complexity(model)
        counts = {"parameters": found.parameters, "multiply_adds": found.multiply_adds}
        counts["stages"] = stages(model)
        yield name, facts_of(get_variant(name)) | counts


def facts_of(variant) -> dict:
    """Returns what a variant says of itself, as plain JSON values; nothing is built."""
    facts = {key: getattr(variant, key) for key in FACTS}
    plain = {"preprocessing": variant.preprocessing.as_plain()}
    return json.loads(json.dumps(facts | plain, default=dataclasses.asdict))


def families_table(rows: dict[str, dict]) -> str:
    """Returns the README's table of families in Markdown, the oldest paper first."""
    lines = ["| family | paper | variants | for example |", "| --- | --- | ---: | --- |"]
    for family in families(rows):
        members = [row for row in rows.values() if row["family"] == family]
        paper = min((row["paper"] for row in members), key=lambda paper: paper["year"])
        source = f"[{_short(paper['authors'])} {paper['year']}]({paper['url']})"
        lines.append(
            f"| {title(family)} | {source} | {len(members)} | `{rows[example(family, rows)]['python_name']}` |"
        )
    return "\n".join(lines)


def models_table(rows: dict[str, dict], outside: dict[str, dict]) -> str:
    """Returns the table of all variants in Markdown.

    Args:
        rows: the model index.
        outside: a variant's name -> `{"parameters", "multiply_adds", "source"}` as others published them.
    """
    lines = [
        "| name | paper | input | parameters | multiply-adds | counts compared with |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for name, row in sorted(rows.items(), key=_age):
        paper, shape = row["paper"], "x".join(map(str, row["input_shape"]))
        cells = (
            f"`{name}`",
            f"[{_short(paper['authors'])} {paper['year']}]({paper['url']})",
            shape,
            f"{row['parameters']:,}",
            f"{row['multiply_adds']:,}",
            _compared(row, outside.get(name, {})),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _age(item: tuple[str, dict]) -> tuple:
    row = item[1]
    return row["paper"]["year"], row["family"], row["parameters"]


def _short(authors: str) -> str:
    first, *others = authors.replace(" and ", ", ").split(",")
    return first.split()[-1] + (" et al." if others else "")


def _compared(row: dict, outside: dict) -> str:
    """Returns the source of the outside counts, after those of them that differ from ours."""
    words = {"parameters": "parameters", "multiply_adds": "multiply-adds"}
    other = [f"{outside[key]:,} {word}" for key, word in words.items() if outside.get(key, row[key]) != row[key]]
    return "; ".join([*other, *filter(None, [outside.get("source")])])


def write_pages(rows: dict[str, dict]) -> None:
    """Puts the table of families into README.md, and that of all variants into docs/models.md."""
    outside = json.loads(OUTSIDE.read_text(encoding="utf-8"))
    write_table(ROOT / "README.md", "families", families_table(rows))
    write_table(ROOT / "docs" / "models.md", "models", models_table(rows, outside))


def write_table(page: Path, name: str, table: str) -> None:
    """Puts a table between the two marks called `name` of a page.

    Raises:
        ValueError: when the page has no such marks.
    """
    begin, end = f"<!-- {name}: begin, written by `make tables` -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{page.name} should hold the lines {begin!r} and {end!r}. Received: {page}")
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
