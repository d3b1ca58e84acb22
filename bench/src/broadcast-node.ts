/** One node of the broadcast bench: its data plane in a process of its own, steered over the parent's channel. */
import { type NodeBroadcast, startNodeBroadcast } from "@rankcast/coordinator/internal";
import { compileLimits } from "@rankcast/core";
import {
  type BroadcastOffer,
  createMemorySegment,
  createWrittenSegment,
  nativeMemory,
  type SegmentDescriptor,
} from "@rankcast/core/internal";
import { rawReceive, rawServe } from "./raw-copy.js";

/** What the bench tells a node. Each is answered with the same `id`. */
export type NodeOrder = { readonly id: number } & (
  | { readonly type: "start"; readonly nodeRank: number; readonly listen: string; readonly noMmap: boolean; readonly lane: "tcp" | "grpc" }
  | { readonly type: "make"; readonly nbytes: number }
  | { readonly type: "offer" | "receive"; readonly offer: BroadcastOffer }
  | { readonly type: "end"; readonly offer: BroadcastOffer }
  | { readonly type: "raw-serve"; readonly host: string; readonly nbytes: number }
  | { readonly type: "raw-receive"; readonly address: string; readonly nbytes: number; readonly keep: boolean }
  | { readonly type: "memory" }
);

let node: NodeBroadcast | null = null;
let descriptors: SegmentDescriptor[] = [];
let bytes: Uint8Array = new Uint8Array(0);

async function obey(order: NodeOrder): Promise<unknown> {
  switch (order.type) {
    case "start": {
      const { nodeRank, listen, noMmap, lane } = order;
      const key = { jobId: "bench", token: "bench", certificates: null, insecure: true };
      node = await startNodeBroadcast({
        nodeRank,
        listen,
        key,
        noMmap,
        lane,
        limits: compileLimits(),
        onEvent: (event) => {
          const { id, type, ...rest } = event;
          if (type !== "receiver-finished") process.stderr.write(`node ${nodeRank} ${type} ${JSON.stringify(rest)}\n`);
        },
      });
      return node.laneAddress;
    }
    case "make": {
      const segment = createMemorySegment(order.nbytes, nativeMemory(false));
      bytes = new Uint8Array(order.nbytes);
      for (let at = 0, state = 1; at < bytes.length; at += 4096) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        bytes.fill(state >>> 24, at, at + 4096);
      }
      new Uint8Array(segment.buffer).set(bytes);
      descriptors = [segment.publish()];
      return null;
    }
    case "offer":
      void node?.offer(order.offer, descriptors);
      return null;
    case "receive": {
      const begin = process.cpuUsage();
      const received = await node?.receive(order.offer);
      received?.release();
      const { user, system } = process.cpuUsage(begin);
      return (user + system) / 1000;
    }
    case "end":
      node?.end(order.offer.id);
      return null;
    case "raw-serve":
      return rawServe(order.host, bytes.subarray(0, order.nbytes));
    case "raw-receive": {
      const segment = order.keep ? createWrittenSegment(order.nbytes, nativeMemory(false)) : null;
      const begin = process.cpuUsage();
      await rawReceive(order.address, order.nbytes, segment);
      segment?.release();
      const { user, system } = process.cpuUsage(begin);
      return (user + system) / 1000;
    }
    case "memory":
      return process.memoryUsage().rss;
  }
}

process.on("message", (order: NodeOrder) => {
  void obey(order).then(
    (value) => process.send?.({ id: order.id, value }),
    (error: Error) => process.send?.({ id: order.id, error: error.message }),
  );
});
process.on("disconnect", () => process.exit());
