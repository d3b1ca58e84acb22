/**
 * A channel that ends when the coordinator's process has been stopped (SIGSTOP) for too long: its end of the stream stays open, and nothing would ever
 * come. Silence tells nothing, for a coordinator may be busy; the kernel tells.
 */
import { DistributionError } from "@rankcast/core";
import { StoppedWatch } from "@rankcast/core/runtime";
import { openCoordinatorChannel } from "../grpc/coordinator-channel.ts";
import type { OpenChannel } from "./rank-session.ts";

const INTERVAL_MS = 1000;

/** How channels are opened that give a coordinator up after it has been stopped for `silenceMs`. */
export function watchedChannel(silenceMs: number, open: OpenChannel = openCoordinatorChannel): OpenChannel {
  const intervalMs = Math.min(INTERVAL_MS, silenceMs / 4);
  return (address, token, listener) => {
    let timer: NodeJS.Timeout | undefined;
    let watch: StoppedWatch | null = null;
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
        if (message.type === "welcome" && message.incarnation) {
          const fresh = new StoppedWatch(message.incarnation, intervalMs);
          watch = fresh;
          timer = setInterval(() => {
            const stoppedMs = fresh.look(performance.now());
            if (stoppedMs < silenceMs) return;
            end(stopped(stoppedMs, address));
            channel.cut();
          }, intervalMs);
          timer.unref();
        }
        listener.onMessage(message);
      },
      onEnd: end,
    });
    return channel;
  };
}

function stopped(stoppedMs: number, address: string): DistributionError {
  return new DistributionError("RANKCAST_COORDINATOR_LOST", `the coordinator has been stopped for ${(stoppedMs / 1000).toFixed(1)} s`, {
    details: { address, stoppedMs },
  });
}
