"""See what a network looks at: gradients, deconvnet, class activation maps, occlusion, and measures of all of them.

    from kerasnets import explain

    maps = explain.grad_cam(model, images)

Every method is called as `method(model, images, target=None, layer=None, ...)` and returns float32 maps (batch, height,
width[, channels]) for logits. Names are imported when they are first used.
"""

import importlib

# Public name -> the file that defines it. No file has the name of a function.
_METHODS = {
    "gradient": "kerasnets.explain.saliency",
    "input_x_gradient": "kerasnets.explain.saliency",
    "smooth_grad": "kerasnets.explain.saliency",
    "integrated_gradients": "kerasnets.explain.saliency",
    "guided": "kerasnets.explain.rectified",
    "deconvnet": "kerasnets.explain.projection",
    "grad_cam": "kerasnets.explain.class_maps",
    "grad_cam_plus_plus": "kerasnets.explain.class_maps",
    "layer_cam": "kerasnets.explain.class_maps",
    "score_cam": "kerasnets.explain.class_maps",
    "cam": "kerasnets.explain.class_maps",
    "occlusion": "kerasnets.explain.perturbation",
    "rise": "kerasnets.explain.perturbation",
}
_FUNCTIONS = _METHODS | {
    "default_layer": "kerasnets.explain.network",
    "blocks_of": "kerasnets.explain.residual",
    "lesion": "kerasnets.explain.residual",
    "lesions": "kerasnets.explain.residual",
    "shuffles": "kerasnets.explain.residual",
    "response_deviations": "kerasnets.explain.inside",
    "excitations": "kerasnets.explain.inside",
    "feature_reuse": "kerasnets.explain.inside",
    "column_errors": "kerasnets.explain.inside",
    "effective_receptive_field": "kerasnets.explain.inside",
    "loss_landscape": "kerasnets.explain.inside",
    "strongest_images": "kerasnets.explain.units",
    "evolution": "kerasnets.explain.units",
    "first_filters": "kerasnets.explain.units",
    "feature_maps": "kerasnets.explain.units",
    "activation_maximization": "kerasnets.explain.units",
    "invariance": "kerasnets.explain.changed",
    "shifted": "kerasnets.explain.changed",
    "scaled": "kerasnets.explain.changed",
    "turned": "kerasnets.explain.changed",
    "heatmap": "kerasnets.explain.metrics",
    "random_maps": "kerasnets.explain.metrics",
    "interval": "kerasnets.explain.metrics",
    "deletion": "kerasnets.explain.metrics",
    "insertion": "kerasnets.explain.metrics",
    "completeness": "kerasnets.explain.metrics",
    "randomisation": "kerasnets.explain.metrics",
    "grid_pointing_game": "kerasnets.explain.localisation",
    "pointing_game": "kerasnets.explain.localisation",
    "box_from_map": "kerasnets.explain.localisation",
    "intersection_over_union": "kerasnets.explain.localisation",
}

# These need no gradients, and so work with every backend of Keras.
_WITHOUT_GRADIENTS = {"score_cam", "cam", "occlusion", "rise", "default_layer", "heatmap", "random_maps", "interval"}
_WITHOUT_GRADIENTS |= {"deletion", "insertion", "pointing_game", "box_from_map", "intersection_over_union"}
_WITHOUT_GRADIENTS |= {"grid_pointing_game", "completeness"}

# The names of the methods, which are all called alike.
METHODS = tuple(_METHODS)


def __getattr__(name: str):
    if name in _FUNCTIONS:
        from kerasnets.layers.backend import ON_TENSORFLOW, refusing

        if not (ON_TENSORFLOW or name in _WITHOUT_GRADIENTS):
            return refusing(f"explain.{name}")
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    if name.startswith("_"):
        raise AttributeError(f"module 'kerasnets.explain' has no attribute {name!r}")
    from kerasnets.registry import did_you_mean

    hint = did_you_mean(name, _FUNCTIONS)
    raise AttributeError(f"module 'kerasnets.explain' has no attribute {name!r}.{hint}")


def __dir__() -> list[str]:
    return sorted(_FUNCTIONS)
