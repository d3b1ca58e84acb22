/** Model zoos: scheme to the URL that replaces it (vis4d/common/ckpt.py). */

/** `mmdet://`, `mmseg://` and `bdd100k://`. */
export const MODEL_ZOOS: ReadonlyMap<string, string> = new Map([
  ["mmdet://", "https://download.openmmlab.com/mmdetection/v2.0/"],
  ["mmseg://", "https://download.openmmlab.com/mmsegmentation/v0.5/"],
  ["bdd100k://", "https://dl.cv.ethz.ch/bdd100k/"],
]);
