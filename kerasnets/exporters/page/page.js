// Classifies photos and camera images in the browser with LiteRT.js. Nothing leaves the computer.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { toPixels } from "./pixels.js";

const SHOWN = 5;
const byId = (id) => document.getElementById(id);
const about = await (await fetch("network.json")).json();
const channels = about.input.shape.at(-1);
let model;

// Returns {probabilities, milliseconds} of an ImageBitmap, a video or another source that a canvas can draw.
async function classify(source, width = source.width, height = source.height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  const pixels = toPixels(context.getImageData(0, 0, width, height), about.preprocessing, channels);
  const values = about.input.dtype === "uint8" ? pixels.data : Float32Array.from(pixels.data);
  const start = performance.now();
  const input = new Tensor(values, [1, pixels.height, pixels.width, channels]);
  const [output] = await model.run([input]);
  const probabilities = Array.from(await output.data());
  const milliseconds = performance.now() - start;
  input.delete();
  output.delete();
  return { probabilities, milliseconds };
}

// Returns the pixels as they are stored in a file, upright.
const decode = (file) => createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });

function card(image) {
  const made = document.createElement("article");
  made.append(image, document.createElement("div"));
  return made;
}

function show(made, { probabilities, milliseconds }) {
  const best = probabilities.map((value, index) => [value, index]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  const lines = best.slice(0, SHOWN).map(([value, index]) => {
    const line = document.createElement("div");
    const [label, bar, figure] = ["span", "meter", "span"].map((tag) => document.createElement(tag));
    label.textContent = about.labels[index];
    bar.value = value;
    figure.textContent = `${(100 * value).toFixed(1)} %`;
    line.className = "class";
    line.append(label, bar, figure);
    return line;
  });
  const time = document.createElement("p");
  time.textContent = `${milliseconds.toFixed(1)} ms`;
  made.lastChild.replaceChildren(...lines, time);
}

async function showFiles(files) {
  for (const file of files) {
    const image = document.createElement("img");
    image.src = URL.createObjectURL(file);
    image.alt = file.name;
    const made = card(image);
    byId("photos").prepend(made);
    try {
      show(made, await classify(await decode(file)));
    } catch (error) {
      made.lastChild.textContent = `${file.name} cannot be read as an image. ${error.message}`;
    }
  }
}

async function camera() {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say(`The camera cannot be used. ${error.message}`);
  }
  byId("camera").disabled = true;
  await video.play();
  const made = card(video);
  byId("photos").prepend(made);
  const next = async () => {
    show(made, await classify(video, video.videoWidth, video.videoHeight));
    requestAnimationFrame(next);
  };
  next();
}

const say = (text) => (byId("status").textContent = text);

document.title = byId("title").textContent = about.model;
byId("files").onchange = ({ target }) => showFiles(target.files);
byId("camera").onclick = camera;
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  showFiles(event.dataTransfer.files);
};
try {
  await loadLiteRt("litert/wasm/");
  model = await loadAndCompile("network.tflite", { accelerator: "wasm" });
  byId("files").disabled = byId("camera").disabled = false;
  say(about.description);
} catch (error) {
  say(`The network cannot be loaded. ${error.message}`);
}
// For scripts.
globalThis.network = { about, classify, decode };
