/** The rendezvous' stories, told in test/scenarios/rendezvous. */
import { transcriptTests } from "../../support/transcript.ts";
import { createRendezvousAnswerer } from "./rendezvous-answerer.ts";

describe("rendezvous scenarios", () => {
  transcriptTests("rendezvous", createRendezvousAnswerer);
});
