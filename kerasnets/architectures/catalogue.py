"""The families, one line each: importing this file registers every row."""

from kerasnets.architectures import (
    alexnet,
    efficientnet,
    googlenet,
    inception_resnet,
    inception_v3,
    inception_v4,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nin,
    resnet,
    squeezenet,
    vgg,
    xception,
    zfnet,
)

FAMILIES = (
    alexnet,
    efficientnet,
    googlenet,
    inception_resnet,
    inception_v3,
    inception_v4,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nin,
    resnet,
    squeezenet,
    vgg,
    xception,
    zfnet,
)
