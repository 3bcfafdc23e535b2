"""Evaluation of several networks as an ensemble, or of one network by several views of each image."""

import dataclasses
from collections.abc import Iterable

from kerasnets.evaluation.ensemble import Looks, check_vote, predict, together


def evaluate_ensemble(
    members: Iterable[tuple[str, tuple]], looks: Looks, vote: str = "mean", batch_size: int = 64
) -> dict:
    """Evaluates networks on the same labelled images, each alone and all together.

    Args:
        members: `(name, (model, source, preprocessing, options))` for each network, as `predict` takes them. Only one
            of them is held at a time, so a generator saves memory.
        looks: which views of each image.
        vote: how the members decide, `"mean"` or `"majority"`.
        batch_size: views at a time.

    Returns:
        What `together` gives, with `"crops"`, `"dense"`, `"flip"`, `"views"`, `"vote"` and `"members"`, the list of
        `{"target", "examples", "top1", "top5", "loss"}`.

    Raises:
        ValueError: for another vote, or networks that see other examples or classes.
    """
    check_vote(vote)
    predictions, figures = [], []
    for name, (model, source, preprocessing, options) in members:
        predictions.append(predict(model, source, preprocessing, options, looks, batch_size))
        alone = together(predictions[-1:])
        figures.append({"target": name} | {key: alone[key] for key in ("examples", "top1", "top5", "loss")})
    how = dataclasses.asdict(looks) | {"views": looks.views, "vote": vote, "members": figures}
    return how | together(predictions, vote)
