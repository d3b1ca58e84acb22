/**
 * A channel that ends when the coordinator's process has been stopped (SIGSTOP) for too long: its end of the stream stays open, and nothing would ever
 * come. Silence tells nothing, for a coordinator may be busy; the kernel tells. Which process it is says the owner of the directory of its socket, and
 * the welcome, which knows better.
 */
import { dirname } from "node:path";
import { DistributionError } from "@rankcast/core";
import { ownerTagIn, StoppedWatch } from "@rankcast/core/runtime";
import { openCoordinatorChannel } from "../grpc/coordinator-channel.ts";
import type { OpenChannel } from "./rank-session.ts";

const INTERVAL_MS = 1000;

/** How channels are opened that give a coordinator up after it has been stopped for `silenceMs`. */
export function watchedChannel(silenceMs: number, open: OpenChannel = openCoordinatorChannel): OpenChannel {
  const intervalMs = Math.min(INTERVAL_MS, silenceMs / 4);
  return (address, token, listener) => {
    let timer: NodeJS.Timeout | undefined;
    const owner = ownerTagIn(dirname(address.replace(/^unix:/, "")));
    let watch = owner === null ? null : new StoppedWatch(owner, intervalMs);
    let over = false;
    const end: typeof listener.onEnd = (error) => {
      clearInterval(timer);
      if (!over) listener.onEnd(error);
      over = true;
    };
    const channel = open(address, token, {
      onMessage: (message) => {
        if (over) return;
        watch?.heard();
        if (message.type === "welcome" && message.incarnation) watch = new StoppedWatch(message.incarnation, intervalMs);
        listener.onMessage(message);
      },
      onEnd: end,
    });
    if (over) return channel;
    timer = setInterval(() => {
      const stoppedMs = watch?.look(performance.now()) ?? 0;
      if (stoppedMs < silenceMs) return;
      end(stopped(stoppedMs, address));
      channel.cut();
    }, intervalMs);
    timer.unref();
    return channel;
  };
}

function stopped(stoppedMs: number, address: string): DistributionError {
  return new DistributionError("RANKCAST_COORDINATOR_LOST", `the coordinator has been stopped for ${(stoppedMs / 1000).toFixed(1)} s`, {
    details: { address, stoppedMs },
  });
}
