/** A head's door for other nodes in a process of its own, so that what a flood does to it can be measured. Says its address, and its memory when asked. */
import { type LinkKey, listenForLinks, startClusterServer } from "@rankcast/coordinator/internal";

/** The job of the flooded head. */
export const FLOODED_JOB: LinkKey = { jobId: "job", token: "secret", certificates: null, insecure: false };

if (process.send) {
  const server = startClusterServer({
    // Answers every sign of life, as a good head does.
    onMessage: (stream, message) => message.type === "heartbeat" && stream.send({ type: "heartbeat" }),
    onEnd: () => undefined,
  });
  const { address } = await listenForLinks({ address: "127.0.0.1:0", key: FLOODED_JOB, onLink: (_, socket) => server.inject(socket) });
  let peakBytes = 0;
  setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
  }, 20);
  process.on("message", () => {
    process.send?.({ peakBytes });
    peakBytes = 0;
  });
  process.on("disconnect", () => process.exit());
  process.send({ address });
}
