/** The barrier's stories, told in test/scenarios/barrier. */
import { transcriptTests } from "../../support/transcript.ts";
import { createBarrierAnswerer } from "./barrier-answerer.ts";

describe("barrier scenarios", () => {
  transcriptTests("barrier", createBarrierAnswerer);
});
