/** Which element type a loaded tensor gets, and what that can lose. Pure: judged by the types alone. */
import type { CastLoss } from "../report/replica-report.ts";
import { type DType, type DTypeTraits, traitsOf } from "../tensor/dtype.ts";
import type { CompiledLoadOptions } from "./load-options.ts";

/** The decision for one tensor. */
export type DtypeDecision =
  | { readonly verdict: "same" | "cast"; readonly dtype: DType }
  | { readonly verdict: "refuse"; readonly dtype: DType; readonly fatal: boolean };

/** Decides for a checkpoint tensor of type `from` and a model tensor of type `model`. */
export function decideDtype(from: DType, model: DType, options: CompiledLoadOptions): DtypeDecision {
  const wanted = options.floatDtype !== null && isFloat(model) ? options.floatDtype : model;
  if (from === wanted || options.dtypePolicy === "keep") return { verdict: "same", dtype: from };
  if (options.dtypePolicy === "error") return { verdict: "refuse", dtype: wanted, fatal: true };
  if (!canCast(from, wanted)) return { verdict: "refuse", dtype: wanted, fatal: false };
  if (castLoss(from, wanted) === "truncation" && !options.allowFloatToInt) return { verdict: "refuse", dtype: wanted, fatal: false };
  return { verdict: "cast", dtype: wanted };
}

function isFloat(dtype: DType): boolean {
  return traitsOf(dtype).kind === "float";
}

/** Types whose values are numbers; bits and quantised values mean nothing without their scale. */
const NUMERIC = new Set(["float", "int", "uint", "bool", "complex"]);

function canCast(from: DType, to: DType): boolean {
  return NUMERIC.has(traitsOf(from).kind) && NUMERIC.has(traitsOf(to).kind);
}

/** Digits (with the hidden one) and largest power of two of each floating type: IEEE 754, bfloat16, and the OCP 8-bit formats. */
const FLOATS: ReadonlyMap<string, { readonly digits: number; readonly exponent: number }> = new Map([
  ["float64", { digits: 53, exponent: 1023 }],
  ["float32", { digits: 24, exponent: 127 }],
  ["bfloat16", { digits: 8, exponent: 127 }],
  ["float16", { digits: 11, exponent: 15 }],
  ["float8_e5m2", { digits: 3, exponent: 15 }],
  ["float8_e5m2fnuz", { digits: 3, exponent: 15 }],
  ["float8_e4m3fn", { digits: 4, exponent: 8 }],
  ["float8_e4m3fnuz", { digits: 4, exponent: 7 }],
  ["float8_e8m0fnu", { digits: 1, exponent: 127 }],
]);

/** Component type of each complex type. */
const COMPONENTS: ReadonlyMap<string, DType> = new Map<string, DType>([
  ["complex32", "float16"],
  ["complex64", "float32"],
  ["complex128", "float64"],
]);

/** What a cast from `from` to `to` can lose at worst; false when every value survives. */
export function castLoss(from: DType, to: DType): CastLoss {
  const [source, target] = [traitsOf(from), traitsOf(to)];
  if (from === to || source.kind === "bool") return false;
  if (source.kind === "complex") {
    const component = COMPONENTS.get(from) ?? "float64";
    if (target.kind === "complex") return floatLoss(component, COMPONENTS.get(to) ?? "float64");
    return target.kind === "float" ? "imaginary" : "truncation";
  }
  const reached = COMPONENTS.get(to) ?? to;
  if (isFloat(reached)) return source.kind === "float" ? floatLoss(from, reached) : intToFloatLoss(source, reached);
  if (source.kind === "float") return "truncation";
  return target.kind === "bool" ? "overflow" : intLoss(source, target);
}

function floatLoss(from: DType, to: DType): CastLoss {
  const [source, target] = [FLOATS.get(from), FLOATS.get(to)];
  if (!source || !target) return "rounding";
  if (source.exponent > target.exponent) return "overflow";
  return source.digits > target.digits ? "rounding" : false;
}

function intToFloatLoss(source: DTypeTraits, to: DType): CastLoss {
  const target = FLOATS.get(to);
  const bits = magnitudeBits(source);
  if (!target) return "rounding";
  if (bits > target.exponent + 1) return "overflow";
  return bits > target.digits ? "rounding" : false;
}

function intLoss(source: DTypeTraits, target: DTypeTraits): CastLoss {
  const signLost = source.kind === "int" && target.kind === "uint";
  return signLost || magnitudeBits(source) > magnitudeBits(target) ? "overflow" : false;
}

function magnitudeBits(traits: DTypeTraits): number {
  return traits.kind === "int" ? traits.bits - 1 : traits.bits;
}
