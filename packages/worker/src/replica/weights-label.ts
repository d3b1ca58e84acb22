/** What weights are called. */

/** Which weights a replica has. */
export interface WeightsLabel {
  /** Of the last collective load or update. */
  readonly generation: number;
  /** The opaque label of an update or a publication; empty for loads. */
  readonly version: string;
  /** Of a publication that a subscription took; null for collectives. */
  readonly number: number | null;
}
