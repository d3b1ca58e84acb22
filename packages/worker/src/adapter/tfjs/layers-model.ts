/**
 * What the adapter needs of TensorFlow.js's layers. Structural, so that @tensorflow/tfjs-layers is no dependency: whichever package the
 * program takes its models from fits.
 */
import type { TfjsTensor } from "./tfjs-library.ts";

/** A layer's weight (`LayerVariable`). */
export interface TfjsLayerVariable {
  /** `layer/kernel`. */
  readonly name: string;
  /** The name before it was made unique. */
  readonly originalName: string;
  readonly dtype: string;
  readonly shape: readonly (number | null)[];
  readonly trainable: boolean;
  read(): TfjsTensor;
  write(value: TfjsTensor): unknown;
}

/** A connection into a layer (`Node`). */
export interface TfjsNode {
  readonly inboundLayers: readonly TfjsLayer[];
  /** One shape per input, although the library declares a single shape, too. */
  readonly inputShapes: readonly unknown[];
}

/** A layer (`Layer`); a model inside a model is one, too. */
export interface TfjsLayer {
  readonly name: string;
  readonly weights: readonly TfjsLayerVariable[];
  readonly inboundNodes: readonly TfjsNode[];
  /** Present on models. */
  readonly layers?: readonly TfjsLayer[];
  getClassName(): string;
}

/** A model (`LayersModel`, `Sequential`). */
export interface TfjsLayersModel {
  readonly layers: readonly TfjsLayer[];
}
