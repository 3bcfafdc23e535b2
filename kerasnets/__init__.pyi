# Written by `python docs/make_stub.py`.
import os
from collections.abc import Callable
from typing import Any, Literal

import keras

from kerasnets.architectures.googlenet import inception_module as inception_module
from kerasnets.build import create_model as create_model
from kerasnets.compression.quantization import quantization_aware as quantization_aware
from kerasnets.compression.structured import narrowed as narrowed
from kerasnets.data.labels import decode_predictions as decode_predictions
from kerasnets.experiments.learning_rate import find_learning_rate as find_learning_rate
from kerasnets.experiments.run import run_experiment as run_experiment
from kerasnets.experiments.sweep import sweep as sweep
from kerasnets.explain.inside import effective_receptive_field as effective_receptive_field
from kerasnets.exporters.compress import compress as compress
from kerasnets.exporters.evaluate import evaluate as evaluate
from kerasnets.exporters.export import export as export
from kerasnets.exporters.finetune import finetune as finetune
from kerasnets.exporters.open_network import open_network as open_network
from kerasnets.exporters.predict import predict as predict
from kerasnets.exporters.quantize_debug import quantize_debug as quantize_debug
from kerasnets.graph.cost import complexity as complexity
from kerasnets.graph.features import features as features
from kerasnets.graph.fold import fold_batch_norm as fold_batch_norm
from kerasnets.graph.freeze import freeze as freeze
from kerasnets.graph.inference import optimize as optimize
from kerasnets.model_index import ModelInfo as ModelInfo
from kerasnets.model_index import list_models as list_models
from kerasnets.model_index import list_pretrained as list_pretrained
from kerasnets.model_index import model_info as model_info
from kerasnets.report.arithmetic import arithmetic as arithmetic
from kerasnets.report.comparison import compare as compare
from kerasnets.report.experiment import experiment_report as experiment_report
from kerasnets.report.unit_pictures import visualize_evolution as visualize_evolution
from kerasnets.report.unit_pictures import visualize_units as visualize_units
from kerasnets.report.visualization import visualize as visualize
from kerasnets.runs.folder import load_model as load_model
from kerasnets.runs.hub import from_hub as from_hub
from kerasnets.runs.hub import push_to_hub as push_to_hub
from kerasnets.runs.summary import summary as summary
from kerasnets.training.loop import train as train
from kerasnets.training.prepare import prepare as prepare
from kerasnets.weights.load import load_weights as load_weights
from kerasnets.weights.preprocess import preprocess_input as preprocess_input

__version__: str

def AlexNet(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """The two-column network of 2012, with local response normalisation."""

def AlexNetTorchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """The one-column network that public weights exist for."""

def DenseNet100_12CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """100 layers, growth rate 12, for CIFAR."""

def DenseNet100_24CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """100 layers, growth rate 24, for CIFAR."""

def DenseNet121(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """121 layers, growth rate 32, for ImageNet."""

def DenseNet161(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """161 layers, growth rate 48, for ImageNet."""

def DenseNet169(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """169 layers, growth rate 32, for ImageNet."""

def DenseNet201(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """201 layers, growth rate 32, for ImageNet."""

def DenseNet264(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """264 layers, growth rate 32, for ImageNet."""

def DenseNet40_12CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """40 layers, growth rate 12, for CIFAR."""

def DenseNetBC100_12CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """100 layers, growth rate 12, for CIFAR."""

def DenseNetBC190_40CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """190 layers, growth rate 40, for CIFAR."""

def DenseNetBC250_24CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """250 layers, growth rate 24, for CIFAR."""

def EfficientNetB0(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B0."""

def EfficientNetB0Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B0."""

def EfficientNetB1(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B1."""

def EfficientNetB1Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B1."""

def EfficientNetB2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B2."""

def EfficientNetB2Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B2."""

def EfficientNetB3(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B3."""

def EfficientNetB3Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B3."""

def EfficientNetB4(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B4."""

def EfficientNetB4Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B4."""

def EfficientNetB5(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B5."""

def EfficientNetB5Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B5."""

def EfficientNetB6(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B6."""

def EfficientNetB6Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B6."""

def EfficientNetB7(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B7."""

def EfficientNetB7Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale B7."""

def EfficientNetLite0(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale Lite0."""

def EfficientNetLite1(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale Lite1."""

def EfficientNetLite2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale Lite2."""

def EfficientNetLite3(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale Lite3."""

def EfficientNetLite4(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.2,
    dropout: float | None = None,
) -> keras.Model:
    """The mobile inverted residual network at scale Lite4."""

def FractalNet20CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.4,
    drop_path: float = 0.15,
    columns: Any = None,
    affine: bool = True,
) -> keras.Model:
    """20 layers, 3 columns, for CIFAR."""

def FractalNet34(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    drop_path: float = 0.15,
    columns: Any = None,
    affine: bool = True,
) -> keras.Model:
    """34 layers, 4 columns, for ImageNet."""

def FractalNet40CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.4,
    drop_path: float = 0.15,
    columns: Any = None,
    affine: bool = True,
) -> keras.Model:
    """40 layers, 4 columns, for CIFAR."""

def GoogLeNet(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.4,
    aux_heads: bool = False,
) -> keras.Model:
    """The 22-layer network that won ILSVRC 2014."""

def GoogLeNetTorchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
    aux_heads: bool = False,
) -> keras.Model:
    """GoogLeNet as in torchvision."""

def InceptionResNetV1(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
) -> keras.Model:
    """A residual network with the cost of Inception v3."""

def InceptionResNetV2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
    aux_heads: bool = False,
) -> keras.Model:
    """Inception-ResNet v2 as its authors released it."""

def InceptionResNetV2Paper(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
) -> keras.Model:
    """A residual network with the cost of Inception v4, as in the paper."""

def InceptionResNetV2Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    aux_heads: bool = False,
) -> keras.Model:
    """Inception-ResNet v2 as in timm."""

def InceptionV3(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
    aux_heads: bool = False,
) -> keras.Model:
    """Inception v3 as its authors released it."""

def InceptionV3Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
    aux_heads: bool = False,
) -> keras.Model:
    """Inception v3 as in torchvision."""

def InceptionV4(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
    aux_heads: bool = False,
) -> keras.Model:
    """Inception v4 as its authors released it."""

def InceptionV4Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
    aux_heads: bool = False,
) -> keras.Model:
    """Inception v4 as in timm."""

def LeNet5(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    loss: str = "map",
) -> keras.Model:
    """LeNet-5 as it was published, with radial basis functions."""

def LeNet5Caffe(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
) -> keras.Model:
    """LeNet-5 as in Caffe's example, the network of papers on compression."""

def LeNet5Modern(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
) -> keras.Model:
    """LeNet-5 as it is taught today."""

def LeNet5Softmax(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
) -> keras.Model:
    """LeNet-5 with a softmax output."""

def MobileNetV1(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    alpha: float = 1.0,
    hidden_activation: str = "relu6",
    dropout: float = 0.001,
) -> keras.Model:
    """13 pairs of depthwise and pointwise convolution, of adjustable width."""

def MobileNetV1Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    alpha: float = 1.0,
    hidden_activation: str = "relu6",
    dropout: float = 0.001,
) -> keras.Model:
    """13 pairs of depthwise and pointwise convolution, of adjustable width."""

def MobileNetV2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    alpha: float = 1.0,
    dropout: float = 0.2,
) -> keras.Model:
    """17 inverted residuals with linear bottlenecks, of adjustable width."""

def MobileNetV2Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    alpha: float = 1.0,
    dropout: float = 0.2,
) -> keras.Model:
    """17 inverted residuals with linear bottlenecks, of adjustable width."""

def MobileNetV2Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    alpha: float = 1.0,
    dropout: float = 0.2,
) -> keras.Model:
    """17 inverted residuals with linear bottlenecks, of adjustable width."""

def MobileNetV3Large(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
) -> keras.Model:
    """The large network found by search."""

def MobileNetV3LargeTorchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
) -> keras.Model:
    """The large network found by search."""

def MobileNetV3Small(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
) -> keras.Model:
    """The small network found by search."""

def MobileNetV3SmallTorchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.2,
) -> keras.Model:
    """The small network found by search."""

def NASNetCIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    drop_path: float | None = None,
    dropout: float = 0.0,
    aux_heads: bool = False,
) -> keras.Model:
    """NASNet-A (6 @ 768), for CIFAR-10."""

def NASNetLarge(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    drop_path: float | None = None,
    dropout: float = 0.5,
    aux_heads: bool = False,
) -> keras.Model:
    """NASNet-A (6 @ 4032), the large network for ImageNet."""

def NASNetLargeTimm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    drop_path: float | None = None,
    dropout: float = 0.5,
    aux_heads: bool = False,
) -> keras.Model:
    """NASNet-A (6 @ 4032), the large network for ImageNet."""

def NASNetMobile(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    drop_path: float | None = None,
    dropout: float = 0.5,
    aux_heads: bool = False,
) -> keras.Model:
    """NASNet-A (4 @ 1056), the mobile network for ImageNet."""

def NiN(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Four mlpconv layers for ImageNet."""

def NiNCIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Three mlpconv layers for CIFAR-10."""

def Plain110CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 110-layer plain network for CIFAR-10."""

def Plain18(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 18-layer plain network for ImageNet."""

def Plain20CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 20-layer plain network for CIFAR-10."""

def Plain32CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 32-layer plain network for CIFAR-10."""

def Plain34(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 34-layer plain network for ImageNet."""

def Plain44CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 44-layer plain network for CIFAR-10."""

def Plain56CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 56-layer plain network for CIFAR-10."""

def ResNeXt101_32x4d(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """101 layers, 32 paths of 4 channels."""

def ResNeXt101_32x8d(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """101 layers, 32 paths of 8 channels."""

def ResNeXt101_64x4d(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """101 layers, 64 paths of 4 channels."""

def ResNeXt29_16x64dCIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """29 layers, 16 paths of 64 channels, for CIFAR."""

def ResNeXt29_8x64dCIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """29 layers, 8 paths of 64 channels, for CIFAR."""

def ResNeXt50_32x4d(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """50 layers, 32 paths of 4 channels."""

def ResNet1001V2CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 1001-layer pre-activation network for CIFAR-10."""

def ResNet101(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 101-layer residual network for ImageNet."""

def ResNet101V1_5(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 101-layer residual network for ImageNet."""

def ResNet101V2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 101-layer pre-activation network for ImageNet."""

def ResNet101V2Keras(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 101-layer pre-activation network for ImageNet."""

def ResNet110CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    shortcut: Literal["A", "B", "C"] | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """The 110-layer residual network for CIFAR-10."""

def ResNet110StochasticDepthCIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.5,
    dropout: float = 0.0,
) -> keras.Model:
    """The 110-layer residual network for CIFAR-10."""

def ResNet110V2CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 110-layer pre-activation network for CIFAR-10."""

def ResNet1202CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    shortcut: Literal["A", "B", "C"] | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """The 1202-layer residual network for CIFAR-10."""

def ResNet1202StochasticDepthCIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.5,
    dropout: float = 0.0,
) -> keras.Model:
    """The 1202-layer residual network for CIFAR-10."""

def ResNet152(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 152-layer residual network for ImageNet."""

def ResNet152V1_5(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 152-layer residual network for ImageNet."""

def ResNet152V2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 152-layer pre-activation network for ImageNet."""

def ResNet152V2Keras(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 152-layer pre-activation network for ImageNet."""

def ResNet164V2CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 164-layer pre-activation network for CIFAR-10."""

def ResNet18(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 18-layer residual network for ImageNet."""

def ResNet18V2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 18-layer pre-activation network for ImageNet."""

def ResNet200V2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 200-layer pre-activation network for ImageNet."""

def ResNet20CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    shortcut: Literal["A", "B", "C"] | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """The 20-layer residual network for CIFAR-10."""

def ResNet32CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    shortcut: Literal["A", "B", "C"] | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """The 32-layer residual network for CIFAR-10."""

def ResNet34(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 34-layer residual network for ImageNet."""

def ResNet34V2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 34-layer pre-activation network for ImageNet."""

def ResNet44CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    shortcut: Literal["A", "B", "C"] | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """The 44-layer residual network for CIFAR-10."""

def ResNet50(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 50-layer residual network for ImageNet."""

def ResNet50DCN(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    offset_groups: int = 1,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """ResNet-50 with deformable convolutions in conv5."""

def ResNet50DCNV2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    offset_groups: int = 1,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """ResNet-50 with modulated deformable convolutions in conv3 to conv5."""

def ResNet50V1_5(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    drop_mode: Literal["batch", "sample"] = "batch",
    dropout: float = 0.0,
) -> keras.Model:
    """The 50-layer residual network for ImageNet."""

def ResNet50V2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 50-layer pre-activation network for ImageNet."""

def ResNet50V2Keras(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """The 50-layer pre-activation network for ImageNet."""

def ResNet50V2Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """The 50-layer pre-activation network for ImageNet."""

def ResNet56CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    shortcut: Literal["A", "B", "C"] | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """The 56-layer residual network for CIFAR-10."""

def SENet154(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.2,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 8, 36, 3)."""

def SEResNeXt101_32x4d(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 23, 3)."""

def SEResNeXt101_32x4dTimm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 23, 3)."""

def SEResNeXt50_32x4d(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 6, 3)."""

def SEResNeXt50_32x4dTimm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 6, 3)."""

def SEResNet101(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 23, 3)."""

def SEResNet101Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 23, 3)."""

def SEResNet152(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 8, 36, 3)."""

def SEResNet34Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, basic blocks (3, 4, 6, 3)."""

def SEResNet50(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 6, 3)."""

def SEResNet50Timm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Squeeze-and-excitation, bottlenecks (3, 4, 6, 3)."""

def SqueezeNet1_0(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """The paper's network."""

def SqueezeNet1_0Bypass(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """The paper's network with identity bypass."""

def SqueezeNet1_0ComplexBypass(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """The paper's network, all modules bypassed."""

def SqueezeNet1_0Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """V1.0 as in torchvision."""

def SqueezeNet1_1(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """The authors' second version, with 2.4 times less computation."""

def SqueezeNet1_1Torchvision(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """V1.1 as in torchvision."""

def VGG11(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """11 layers, configuration A."""

def VGG11BN(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """11 layers, configuration A, with batch normalisation."""

def VGG11LRN(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """11 layers, configuration A-LRN."""

def VGG13(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """13 layers, configuration B."""

def VGG13BN(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """13 layers, configuration B, with batch normalisation."""

def VGG16(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """16 layers, configuration D."""

def VGG16BN(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """16 layers, configuration D, with batch normalisation."""

def VGG16C(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """16 layers, configuration C."""

def VGG19(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """19 layers, configuration E."""

def VGG19BN(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """19 layers, configuration E, with batch normalisation."""

def WideResNet101_2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """ResNet-101 with 3x3 convolutions 2 times as wide."""

def WideResNet16_8CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    block_dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """16 layers, 8 times as wide, for CIFAR."""

def WideResNet28_10CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    block_dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """28 layers, 10 times as wide, for CIFAR."""

def WideResNet40_4CIFAR(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 10,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    block_dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """40 layers, 4 times as wide, for CIFAR."""

def WideResNet50_2(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """ResNet-50 with 3x3 convolutions 2 times as wide."""

def Xception(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Depthwise separable convolutions throughout."""

def XceptionTimm(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """Xception as in timm (legacy_xception)."""

def ZFNet(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    filter_rms: float = 0.1,
    dropout: float = 0.5,
) -> keras.Model:
    """AlexNet with a first layer of 7x7, stride 2."""

def ZFNetWide(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str | None = None,
    *,
    include_preprocessing: bool = False,
    filter_rms: float = 0.1,
    dropout: float = 0.5,
) -> keras.Model:
    """ZFNet with 512, 1024 and 512 filters in its last convolutions."""
