/** A tiny checkpoint for rehearsals: built in, and in memory. */
import { writeSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { nativeMemory, readEnvironment } from "@rankcast/core/runtime";

/** What torch 2.13's `torch.save` makes of an OrderedDict of sixteen float32 tensors of 2 x 2, `module.layer.<n>.weight`, deflated. */
const CHECKPOINT =
  "pZjZb1tFFIdvNidx28QJbboAXShLujl389bSxjatWQytc0tCWgqua9/Gpk6cY4/ThaUpXaQKiT8B0Uf4A0CIl/COkMoLQkKiqC8gVQIkHpAQEnd88DAzN0mV4UpHV4nu7/tOr" +
  "Lkzx8llu7o1ra9P810hbVgr1IvlyoI7ViqQQnj+QjWTHtBOC9diZ7FYq1bdIqnU5hrBE/WSW3dLRytFEgRtjwMdo9ObPNhsrdSsuuFq4bJbD+vhi25lpkygs0hqniGcb5JKtR" +
  "HM191zzUq1lCfuXKNWzy+YQegaHZ3u9QAN78nCjAvdGAlmqrUCOYm/DELPdIf3jA6B6S7vXpxvQm+2m0DfRFbLdmY7b0G/d+u4BcHbZdrUOgLrHdjg78xodzZQ9sTl7jKCDRg" +
  "st4AhBhxC4DACHyGw0YFNfqDZBo4IQBM2I3ALA25F4DYEPkrgMQce9wOtNnC7ALRgBwJ3MuAuBD6BwN0EnnTgKT/QbgOfFoA2PIPAUQbcg8C9CNxHYL8DB/zASBsYFoARGEOg" +
  "zoAGAk0EWgRsByJ+YLQNjArAKMQQGGfABAIPIvAQgWcdOOwHxtrAIwIwBuMITDJgCoFpBD5H4KgDx/zAeBuYEYBxeB6BLzDgiwh8CYFZAi878IofmGgDjwvABJxAYI4BJxDoI" +
  "PAkgVcdmJwe8S1s9s5NMWInXdk6vIbIaYY8hcjTiHydwBkH3lgGyV6WN0WkAXlEnmXIAiLPIbJIoOSAuwySvS7nRaQJM4gsM2QFkW8h8gKBqgOzyyDZCzMnIi2oIXKeIQGRdU" +
  "Q2CBAHmssg2SuzICJtuIjISwx5GZFXEPk2gXcceHcZJHtp3hOREbiKyEWGvIbI9xF5ncANB242w7lsb9/80ncXbvdoGq3cihv7Zs1kG3v4fK0+WyD5Bbfe8DbwTDos7e8Puwz" +
  "q/fzXH67T9UlrZe82Lfaf99/9PF+oVmbmZt05kklba1S3rqhNGxi/CL/Qz6tz1QaGtHHWwLnLxK3RwyqTPqTibV/VCiFVl/Zw8/D9rQHPEli1hwHtiHCqjumZ9MH/0YDMp51M" +
  "Zr98EGqd4Kt3YoudGJm0rq3dvzjOF/VPbSz/rOA31fxaki/q37n0wR0Fv6XmTyb5ov4tzU+uKfhtxc8/yRf15z795icFf0TN/3GSL+r/+rcff1fwR9X8S0m+qL+848FXCv6Ym" +
  "v9eki/q/+PY33cV/HHF9Z/ii/qXNnbsUvAn1PyhFF/U/+EX/Xse7h/ULGn/8bbCMW3N/p0pvqj/zPGQoeI3lPx6ii/qH76/JaHiN5X8yRRf1P/nnd0dKn5LyZ9L8UX9n63f16" +
  "/it5X8Z1N8UX/pL3NIxR9R8s+n+KL+vVMHt67Nz8avNfutIDXe/Whm8uHzz3Z+8Gv9yQ23XvEmsCsF+u09Xymtff7TY1E9YukxMxqLJ+JmImHFDSNq6bZlRmw7ohtGIh6L2jr" +
  "t8sZh3Rr1+hhtddlBm2V98qNryNe5/H8IOc0PoJuF5Pc92krDrgzhh8htAmQioK0yucocfhAcEjjfchw2gMpxfnobEOJTvZo0O8pZfvISs/fkrCFn+alJzJ7tk7KmnOUnHskr" +
  "Zy05y08rkrdfytpylp80JK+cjchZfkqQvEEpG5Wz/AkveeVsTM7yp7PkXSdl43KWP1klr5xNyFn+VBwUvevlteFbWPyRJobv+cK+lcWfR5J5gxz2LS3+MJHMvrBvbfEngWQek" +
  "MO+xcVv45LZF/atLn5HlsyDmrzvy2F+o9wu7iBcePktPJcNBPa3N/yuAyw5It1P9eD9Uqj9xTHQ22p8E/6M3+V7ApgZaT2Pz/4D";

/** A file that nobody else sees. */
export interface RehearsedCheckpoint {
  readonly path: string;
  /** Gives the memory back. */
  close(): void;
}

/** Makes it; null where there is no memory to put it into. @throws {TensorError} RANKCAST_MEMORY_FULL. */
export function openRehearsedCheckpoint(): RehearsedCheckpoint | null {
  const native = nativeMemory(readEnvironment().noMmap);
  if (!native || process.platform !== "linux") return null;
  const bytes = inflateRawSync(Buffer.from(CHECKPOINT, "base64"));
  const fd = native.createMemoryFile("rankcast", bytes.length, false);
  writeSync(fd, bytes);
  return { path: `/proc/self/fd/${fd}`, close: () => native.close(fd) };
}
