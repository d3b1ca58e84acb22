/** Public names of @rankcast/worker/jax-js: parameter trees of jax-js. */
export type { JaxTree } from "./jax-library.ts";
export { JaxModule } from "./jax-module.ts";
