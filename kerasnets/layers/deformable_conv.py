"""Deformable convolution: a convolution that learns where to look."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("kerasnets")
class DeformableConv2D(keras.layers.Layer):
    """2-D convolution whose kernel positions are moved by offsets, and with `modulated=True` weighted too.

    Inputs: the map (batch, height, width, channels) and the offsets (batch, rows, columns, n). With K kernel
    positions, n is 2 K `offset_groups`: for every offset group and position, y then x in pixels (torchvision's and
    MXNet's order). Modulated, K `offset_groups` logits follow, whose sigmoid multiplies the sample. Output (batch,
    rows, columns, filters). Samples are bilinear, and zero outside of the map. With offsets of zero this is the plain
    convolution. Kernel (height, width, channels / groups, filters). Padding is symmetric; stride 1 keeps the size.

    Source: Dai et al. 2017, equation 2, https://arxiv.org/abs/1703.06211; Zhu et al. 2018, equation 1 (modulated),
        https://arxiv.org/abs/1811.11168
    """

    def __init__(self, filters, kernel_size=3, strides=1, *, modulated=False, kernel_initializer="he_normal", **kwargs):
        shape = {key: kwargs.pop(key, 1) for key in ("dilation_rate", "groups", "offset_groups")}
        self.use_bias = kwargs.pop("use_bias", False)
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides, self.modulated = filters, kernel_size, strides, modulated
        self.dilation_rate, self.groups, self.offset_groups = shape.values()
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shapes):
        channels, n = input_shapes[0][-1], input_shapes[1][-1]
        wanted = (3 if self.modulated else 2) * self.kernel_size**2 * self.offset_groups
        if n != wanted or channels % self.groups or channels % self.offset_groups:
            raise ValueError(
                f"The offsets should have {wanted} channels, and the map's channels be a multiple of both groups. "
                f"Received: input shapes {input_shapes}"
            )
        shape = (self.kernel_size, self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), name="bias") if self.use_bias else None

    def call(self, inputs):
        x, offsets = inputs
        taps, groups = self.kernel_size**2, self.offset_groups
        batch, rows, columns = ops.shape(offsets)[:3]
        flat = ops.reshape(ops.cast(offsets, "float32"), (batch, rows * columns, -1))
        moved = ops.reshape(flat[..., : 2 * taps * groups], (batch, rows * columns, groups * taps, 2))
        base_y, base_x = self._grid(rows, columns)
        samples = self._sample(x, moved[..., 0] + base_y, moved[..., 1] + base_x)
        if self.modulated:
            mask = ops.sigmoid(flat[..., 2 * taps * groups :])
            samples = samples * ops.cast(mask, samples.dtype)[..., None]
        y = ops.reshape(self._multiply(samples), (batch, rows, columns, self.filters))
        return y if self.bias is None else y + ops.cast(self.bias, y.dtype)

    def _grid(self, rows, columns):
        """Where the kernel looks without offsets: y and x, (rows * columns, offset groups * K)."""
        place = (np.arange(self.kernel_size) - (self.kernel_size - 1) // 2) * self.dilation_rate
        grid = np.meshgrid(place, place, indexing="ij")
        tap_y, tap_x = (np.tile(np.reshape(taps, -1), self.offset_groups) for taps in grid)
        pixel = ops.arange(rows * columns, dtype="int32")
        y = ops.cast(ops.floor_divide(pixel, columns) * self.strides, "float32")[:, None] + tap_y.astype("float32")
        x = ops.cast(ops.mod(pixel, columns) * self.strides, "float32")[:, None] + tap_x.astype("float32")
        return y, x

    def _sample(self, x, at_y, at_x):
        """Bilinear samples: (batch, rows * columns, offset groups * K, channels / offset groups)."""
        batch, height, width = ops.shape(x)[:3]
        groups = self.offset_groups
        pixels = ops.reshape(x, (batch * height * width * groups, x.shape[-1] // groups))
        group = np.repeat(np.arange(groups, dtype="int32"), self.kernel_size**2)
        first = ops.arange(batch, dtype="int32")[:, None, None] * height
        top, left = ops.floor(at_y), ops.floor(at_x)
        total = 0
        for y, weight_y in ((top, 1 - (at_y - top)), (top + 1, at_y - top)):
            for x_, weight_x in ((left, 1 - (at_x - left)), (left + 1, at_x - left)):
                inside = (y >= 0) & (y <= ops.cast(height - 1, "float32")) & (x_ >= 0)
                inside = inside & (x_ <= ops.cast(width - 1, "float32"))
                row = ops.clip(ops.cast(y, "int32"), 0, height - 1)
                column = ops.clip(ops.cast(x_, "int32"), 0, width - 1)
                values = ops.take(pixels, ((first + row) * width + column) * groups + group, axis=0)
                weight = weight_y * weight_x * ops.cast(inside, "float32")
                total = total + values * ops.cast(weight, values.dtype)[..., None]
        return total

    def _multiply(self, samples):
        """Kernel times samples: (batch * rows * columns, filters)."""
        taps, groups, width = self.kernel_size**2, self.offset_groups, samples.shape[-1]
        samples = ops.reshape(samples, (-1, groups, taps, width))
        samples = ops.reshape(ops.transpose(samples, (0, 2, 1, 3)), (-1, taps, groups * width))
        kernel = ops.reshape(ops.cast(self.kernel, samples.dtype), (taps, -1, self.filters))
        depth, filters = kernel.shape[1], self.filters // self.groups
        parts = []
        for g in range(self.groups):
            seen = ops.reshape(samples[..., g * depth : (g + 1) * depth], (-1, taps * depth))
            part = ops.reshape(kernel[..., g * filters : (g + 1) * filters], (taps * depth, filters))
            parts.append(ops.matmul(seen, part))
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    def multiply_adds(self, source, target):
        """Multiply-adds of the kernel, without the bilinear samples."""
        return int(np.prod(target[1:3]) * np.prod(self.kernel.shape))

    def compute_output_shape(self, input_shapes):
        return (*input_shapes[1][:3], self.filters)

    def get_config(self):
        shape = {"filters": self.filters, "kernel_size": self.kernel_size, "strides": self.strides}
        shape |= {"dilation_rate": self.dilation_rate, "groups": self.groups, "offset_groups": self.offset_groups}
        initializer = keras.initializers.serialize(self.kernel_initializer)
        options = {"modulated": self.modulated, "use_bias": self.use_bias, "kernel_initializer": initializer}
        return {**super().get_config(), **shape, **options}
