/** Public names of @rankcast/worker/tfjs: models of TensorFlow.js. */
export { fromTfjs } from "./from-tfjs.ts";
export type { TfjsLayer, TfjsLayersModel, TfjsLayerVariable } from "./layers-model.ts";
export type { TfjsLayout } from "./layout.ts";
export { TfjsModule, type TfjsModuleOptions, type TfjsWeightName } from "./tfjs-module.ts";
export { TfjsVariables, type TfjsVariablesOptions } from "./tfjs-variables.ts";
