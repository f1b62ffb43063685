// onnxruntime.mjs -- one image at a time through onnxruntime, as a JSON line.
//
//   npm install --ignore-scripts onnxruntime-node    (in some folder)
//   akin extractor convert resnet20.akx -o resnet20.onnx
//   NODE_PATH=FOLDER/node_modules node tests/bench/onnxruntime.mjs \
//     resnet20.onnx [REPEATS [THREADS]]
//
// The image is noise of a fixed seed.  The time is of run() alone, which has
// some ten microseconds of JavaScript in it.
import { createRequire } from "module";
import { basename } from "path";

const [file, repeats = "500", threads = "1"] = process.argv.slice(2);
if (!file) {
  console.error("usage: onnxruntime.mjs FILE.onnx [REPEATS [THREADS]]");
  process.exit(64);
}
const ort = createRequire(process.env.NODE_PATH + "/")("onnxruntime-node");
const session = await ort.InferenceSession.create(file, {
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  executionMode: "sequential",
});
const shape = session.inputMetadata[0].shape.slice(1);
const size = shape.reduce((a, b) => a * b, 1);
let state = 1n;
const pixels = Float32Array.from({ length: size }, () => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
  return Number(state >> 56n);
});
const feeds = { pixels: new ort.Tensor("float32", pixels, [1, ...shape]) };
const times = [];
let out;
for (let i = 0; i < Number(repeats) + 20; i++) {
  const start = process.hrtime.bigint();
  out = await session.run(feeds, ["feature"]);
  if (i >= 20) times.push(Number(process.hrtime.bigint() - start) / 1e6);
}
times.sort((a, b) => a - b);
console.log(JSON.stringify({
  bench: "extract",
  engine: "onnxruntime",
  version: ort.env.versions.node,
  model: basename(file),
  threads: Number(threads),
  ms: times[times.length >> 1],
  ms_least: times[0],
  feature_sum: out.feature.data.reduce((a, b) => a + b, 0),
}));
