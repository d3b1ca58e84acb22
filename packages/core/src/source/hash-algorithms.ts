/** The digests files are known by. Apart from the rest, because the hash thread loads this and nothing else. */
import { createHash, type Hash } from "node:crypto";

/** What to compute. `git-sha1` is the identity of a blob in git (SHA-1 over `blob <size>`, NUL and the content), which Hugging Face gives small files. */
export type HashAlgorithm = "sha256" | "md5" | "git-sha1";

/** A hash object of the algorithm for a file of `sizeBytes`. */
export function createContentHash(algorithm: HashAlgorithm, sizeBytes: number): Hash {
  return algorithm === "git-sha1" ? createHash("sha1").update(`blob ${sizeBytes}\0`) : createHash(algorithm);
}
