/** The launcher's stories, told in test/scenarios/supervisor. */
import { transcriptTests } from "../../support/transcript.ts";
import { createSupervisorAnswerer } from "./supervisor-answerer.ts";

describe("supervisor scenarios", () => {
  transcriptTests("supervisor", createSupervisorAnswerer);
});
