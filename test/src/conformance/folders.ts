/** Which format folders of the fixtures are compared. */

/** Folders below `accepted/`. */
export const FOLDERS: ReadonlySet<string> = new Set(["safetensors", "npz"]);

/** Whether the file at `path` belongs to a format that is compared. */
export function refusedNow(path: string): boolean {
  return /\/(st_|np[yz]_)/.test(path) || /\.(safetensors|np[yz])$/.test(path);
}
