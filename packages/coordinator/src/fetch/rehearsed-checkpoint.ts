/** A tiny checkpoint for rehearsals: built in, and in memory. */
import { writeSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { nativeMemory, readEnvironment } from "@rankcast/core/runtime";

/**
 * What torch 2.13's `torch.save` makes of an OrderedDict of sixteen float32 tensors of zeros, `module.layer.<n>.weight`, deflated: two of 16 x 1024, whose
 * storages are looked at as large ones are, and fourteen of 2 x 2.
 */
const CHECKPOINT =
  "7dbbcxNVHMDx0zRtYtS2qICg4l2qYu6XRkU0arxENKyiFS9hSZYmkjaczWkR74ow44s8+sZ/4Tij/4T6wgszOuOTozO++uhuD1myuy026piX72cmhHby+/4OIdmkXpuMChGPi5A5cYMw" +
  "7Wa7s2alWqYykydPdKuVGXHE55NIs9nrdq2m6vRW+omX7JZlW62nOk2VkOJ+Q07ML253Ysu91mrXSnbN05adTCdPWZ2ltpKRpuo5G5KNVdXp9hMN2zq22um2Gspa6ffsxlo2ISfn5xdj" +
  "TqDvPNJcsmRUjySq3Z6pXta/TMipxQnnMWk5vTjp3DdPrsrYQfG4kvFDNVGbOyii5+Q1zp+1iXMy8UXbPde1Sl5nyOvDh8sMDjfTdna3o23dzsjZtm7OXWluu9y8QTdvVPImQ24PN7OD" +
  "5g5fMyt3tmO1qJI3u8lILXJO7nLunOBuHbxFyVsNeVs4mBsE9/iCOXm7Dt7hBe/Uwbt08G4l7zHkveFgfhC8zxfMy706OO8F79fBB3TwQSX3GfKhcLAwCCZ9wYJM6WDaC2Z0MKuDOSXz" +
  "hiyEg8VBsOgLFmVJBxe8YFkHH9bBR5R81JD7w8HSIPiYL1iSB3TwcS/4hA5WdPBJJZ8y5NPh4MIgWPUFF+QzOvisF3xOB5/XwZqSLxjyYDhYHgRf9AXL8iUdrHvBQzpo6ODLSr5iyMOL" +
  "O0Kvbe+d96pXjLgv7rR8TScXveTrOnlEJ99Q8k1DvrVB0nu/vO1PZmRDJ496SVMnj+lkU8mWIa0Nkt7b5bg/mZVLOtn2kh2dfEcnTyjZNeTyBknvDbPiT+ZkTydPekmpk7ZO9pVUhlzd" +
  "IOm9Zdb8ybw8pZPvesnTOvmeTr6v5AeG/HCDpPem+cifLMiPdfITL/mpTn6mk2eU/NyQZ1eT9VosvvfbC+fPTwnh3uqbXt53in3e5T15vGcvm6qxZtl95zJercwHrvKby7gbv/nj0hn3" +
  "leneNt+4W5SubLx8PW+Y3c7SyrK1oqqV3JaXDinm3QMcOCV/dZ+pyFUPsE0c8A5w7LSyeu6HVbXyyD/ZO9DtKNW13DOc3f/Lrmlny/RVzzAjHvN9qqbS1crD/+IAAgAAAAAAAAAAAAAA" +
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAR70Wi//25VcXhZgQ7q1em4wKEY+H" +
  "HzkjosK0m+3OmpVqmcpMZaoVnj8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" +
  "AAAAAAAAAAAAgFavxeK/ffnVRSEmhHur1yajQsTj4UfOiKgw7Wa7s2alWqYyU9lqZePe4dp3v885f59b/3nzXt7fy1UraXFkRP/h/vyY9xfGvL845v2lMe9fGPP+8v+7f1bk/Psz6Wol" +
  "Jca4PzPm/dkx78+NeX9+zPsLY9u/Ztn9Tm/lH+zPJdyNP1xYOhxxmpGrbtwjst7G5Po/uW/ZHbPbec9UzvZGp1WtJEc8QLpUTBdy6VK2WFooL2TL5dxCJlPMpTPZQrFUSJdLuUK6WMpl" +
  "3FO+8PXqk/POOebXTznhHtY7595vL5w/PyWEe5sLnXz4/yl58kQ3OP3NH5fO6O8PQuz0Tf40dWU6ebxnL5uqcfnZDkYOnJK/Dp7E3b7IoemhSF/1bHPJajjP29LKsrWigp2z+3/Z5QwI" +
  "97bN1/lxqHPstLJ6dsuyg+PD34ZmfOOvxvzPRCq99dnvYxOBV3twdvhV65+di0cC37y2Pns0OJvb+uzPwdn8CHuvCcwWRtgbnC2OsDcRmC2NsDc4uzDC3msDs+Wrzc769wZnM+mtDx+9" +
  "LjicGWFzaDg7wubrg8O5ETaHhvMjbJ4JDodeXcNX5MDmoeFNrkTDF8o9vmFjNvI3l/B6bXp63+CCP/mQN7kjcP/6lL7/czZy+YNrOrZ+rduuf55Y/93UtJ7Zsf54/di/AA==";

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
