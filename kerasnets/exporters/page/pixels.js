// From a photo to the pixels that a network takes: the resizing of TensorFlow and Pillow, antialiased, in whole values.

const FILTERS = {
  bilinear: { radius: 1, weight: (x) => Math.max(0, 1 - x) },
  // Keys, a = -0.5
  bicubic: {
    radius: 2,
    weight: (x) =>
      x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0,
  },
  lanczos3: {
    radius: 3,
    weight: (x) => (x < 1e-7 ? 1 : x < 3 ? (3 * Math.sin(Math.PI * x) * Math.sin((Math.PI * x) / 3)) / (Math.PI * x) ** 2 : 0),
  },
};

// Returns an image {data, height, width, channels} of the network's size.
//
// image: {data, height, width} with 4 numbers from 0 to 255 a pixel, as ImageData has them.
// numbers: the preprocessing in network.json. channels: 3 (RGB) or 1 (grey).
export function toPixels(image, numbers, channels) {
  const { size, interpolation, geometry = "centre_crop" } = numbers;
  const photo = channelsOf(image, channels);
  const sides = [photo.height, photo.width];
  if (geometry === "stretch") return resize(photo, size, size, interpolation);
  if (geometry === "pad") {
    const [height, width] = sides.map((side) => Math.max(1, toEven((size * side) / Math.max(...sides))));
    return window_(resize(photo, height, width, interpolation), Math.trunc((height - size) / 2), Math.trunc((width - size) / 2), size);
  }
  const shorter = toEven(size / numbers.crop_fraction);
  const [height, width] = sides.map((side) => toEven((shorter * side) / Math.min(...sides)));
  return window_(resize(photo, height, width, interpolation), toEven((height - size) / 2), toEven((width - size) / 2), size);
}

// Rounds halves to even, as Python and TensorFlow do.
function toEven(value) {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

function channelsOf({ data, height, width }, channels) {
  const found = new Uint8Array(height * width * channels);
  for (let i = 0; i < height * width; i++) {
    const [red, green, blue] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    if (channels === 1) found[i] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    else found.set([red, green, blue], 3 * i);
  }
  return { data: found, height, width, channels };
}

// Pillow rounds a bicubic image between the two passes, first along the width.
function resize(image, height, width, method) {
  if (image.height === height && image.width === width) return image;
  const passes = method === "bicubic" ? [[width, 1], [height, 0]] : [[height, 0], [width, 1]];
  passes.forEach(([length, axis], number) => {
    image = along(image, axis, length, FILTERS[method], method === "bicubic" || number === 1);
  });
  return image;
}

// Resizes along one axis (0: height, 1: width), and rounds to whole values from 0 to 255 if `whole`.
function along({ data, height, width, channels }, axis, length, filter, whole) {
  const before = axis ? width : height;
  const [rows, columns] = axis ? [height, length] : [length, width];
  const found = whole ? new Uint8Array(rows * columns * channels) : new Float32Array(rows * columns * channels);
  const step = axis ? channels : width * channels;
  spans(before, length, filter).forEach(({ start, weights }, place) => {
    for (let other = 0; other < (axis ? rows : columns); other++) {
      const from = axis ? other * width * channels : other * channels;
      const to = axis ? (other * columns + place) * channels : (place * columns + other) * channels;
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * data[from + (start + i) * step + channel];
        found[to + channel] = whole ? Math.min(255, Math.max(0, sum)) + 0.5 : sum;
      }
    }
  });
  return { data: found, height: rows, width: columns, channels };
}

// Returns for each new place the first old one and the weights from there on.
function spans(before, after, { radius, weight }) {
  const ratio = before / after;
  const scale = Math.max(ratio, 1);
  return Array.from({ length: after }, (_, place) => {
    const centre = (place + 0.5) * ratio;
    const start = Math.max(0, Math.ceil(centre - radius * scale - 0.5));
    const end = Math.min(before - 1, Math.floor(centre + radius * scale - 0.5));
    const raw = Array.from({ length: end - start + 1 }, (_, i) => weight(Math.abs(start + i + 0.5 - centre) / scale));
    const total = raw.reduce((sum, value) => sum + value, 0);
    return { start, weights: raw.map((value) => value / total) };
  });
}

// Cuts out a square; what lies outside the image is black.
function window_(image, top, left, size) {
  const { channels } = image;
  const found = new Uint8Array(size * size * channels);
  for (let y = Math.max(0, -top); y < Math.min(size, image.height - top); y++) {
    const [first, last] = [Math.max(0, -left), Math.min(size, image.width - left)];
    const from = ((top + y) * image.width + left + first) * channels;
    found.set(image.data.subarray(from, from + (last - first) * channels), (y * size + first) * channels);
  }
  return { data: found, height: size, width: size, channels };
}
