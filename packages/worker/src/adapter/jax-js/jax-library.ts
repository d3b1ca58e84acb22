/** The only file that knows jax-js. */
import { availableParallelism } from "node:os";
import type { numpy } from "@jax-js/jax";
import { importPeer } from "../import-peer.ts";

/** An array of the library. */
export type JaxArray = numpy.Array;
/** Nested objects and lists of arrays, as jax calls a pytree; the paths are the names of the state dict. */
export type JaxTree = JaxArray | readonly JaxTree[] | { readonly [name: string]: JaxTree };

// Its kernels ask a browser's `navigator`, which Node has since 21 only (jax-js 0.1.25, `backend`); this is what Node 21 says.
if (!("navigator" in globalThis)) {
  const value = { userAgent: `Node.js/${process.versions.node.split(".")[0]}`, hardwareConcurrency: availableParallelism() };
  Object.defineProperty(globalThis, "navigator", { value, configurable: true, writable: true, enumerable: false });
}

/** The library; importing this file rejects with RANKCAST_ADAPTER_PEER where it is not installed. */
const jax: typeof import("@jax-js/jax") = await importPeer("jax-js", "@jax-js/jax", () => import("@jax-js/jax"));

/** Whether a part of a tree is an array. */
export function isJaxArray(tree: unknown): tree is JaxArray {
  return tree instanceof jax.numpy.Array;
}

/** An array with a copy of the values. */
export function jaxArray(values: unknown, shape: readonly number[], dtype: string): JaxArray {
  return jax.numpy.array(values as Float32Array<ArrayBuffer>, { shape: [...shape], dtype: dtype as never });
}
