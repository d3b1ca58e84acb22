/**
 * What copying costs at least: one memcpy of a checkpoint's bytes into fresh memory. The source is touched before and larger than any cache,
 * and used again and again, so that it needs no memory of a checkpoint's size. Arguments: nbytes, tensors. Says "ready", waits for "go", says
 * what it cost.
 */
import { pssBytes } from "../pss.js";

const SOURCE_BYTES_MAX = 256 * 2 ** 20;

const [nbytes = 0, count = 1] = process.argv.slice(2).map(Number);
const tensorBytes = Math.floor(nbytes / count);
const source = new Uint8Array(Math.min(SOURCE_BYTES_MAX, tensorBytes)).fill(1);

process.on("message", (message) => {
  if (message === "end") process.exit(0);
  const targets = Array.from({ length: count }, () => {
    const target = new Uint8Array(tensorBytes);
    for (let at = 0; at < tensorBytes; at += source.length) target.set(source.subarray(0, Math.min(source.length, tensorBytes - at)), at);
    return target;
  });
  process.send?.({ copied: targets.length * tensorBytes });
  process.send?.({ pssBytes: pssBytes() - before, peakRssBytes: process.resourceUsage().maxRSS * 1024 });
});

const before = pssBytes();
process.send?.("ready");
