/** Speed of conversions and of strided copies, per core. Prints JSON: `node bench/dist/cast.js [elements]`. */
import { castTensor, DTYPES, type DType, Storage, Tensor } from "@rankcast/core";
import { copyInto, gatherInto } from "@rankcast/core/internal";
import { bestSeconds, type Figure, figure, memcpySeconds } from "./measure.js";

const elements = Number(process.argv[2] ?? 2 ** 24);
const bytesPer = (dtype: DType) => (DTYPES.get(dtype)?.bits ?? 0) / 8;

function noise(dtype: DType, shape: number[], stride?: number[]): Tensor {
  const storage = Storage.allocate(elements * bytesPer(dtype));
  const bytes = storage.bytes();
  for (let at = 0, state = 1; at < bytes.length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return new Tensor({ dtype, shape, ...(stride ? { stride } : {}), storage });
}

function castFigure(from: DType, to: DType): Figure {
  const source = noise(from, [elements]);
  const target = castTensor(source, to);
  return figure(
    `${from} > ${to}`,
    bestSeconds(() => copyInto(target, source)),
    target.nbytes,
    memcpySeconds(target.nbytes),
  );
}

function gatherFigure(name: string, dtype: DType, shape: number[], stride: number[]): Figure {
  const source = noise(dtype, shape, stride);
  const target = Storage.allocate(source.nbytes);
  return figure(
    `${name} ${dtype}`,
    bestSeconds(() => gatherInto(source, target)),
    source.nbytes,
    memcpySeconds(source.nbytes),
  );
}

const side = Math.floor(Math.sqrt(elements));
const channels = Math.floor(Math.sqrt(elements / 9));
const figures = [
  ...(
    [
      "bfloat16",
      "float16",
      "float8_e4m3fn",
      "float8_e5m2",
      "float8_e4m3fnuz",
      "float8_e8m0fnu",
      "float64",
      "int64",
      "int8",
      "bool",
    ] as const
  ).map((from) => castFigure(from, "float32")),
  ...(["bfloat16", "float16", "float8_e4m3fn", "float64", "int64", "int8"] as const).map((to) => castFigure("float32", to)),
  castFigure("bfloat16", "float16"),
  castFigure("float16", "bfloat16"),
  ...(["uint8", "float16", "float32", "float64"] as const).map((dtype) => gatherFigure("transpose", dtype, [side, side], [1, side])),
  gatherFigure("channels_last", "float32", [channels, channels, 3, 3], [9 * channels, 1, 3 * channels, channels]),
  gatherFigure("every second row", "float32", [side / 2, side], [2 * side, 1]),
];
process.stdout.write(`${JSON.stringify({ bench: "cast", node: process.version, elements, figures }, undefined, 1)}\n`);
