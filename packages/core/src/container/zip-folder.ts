/** The one folder that all records of a torch archive share, and lookups in it. */
import { quote } from "../errors/quote.ts";
import type { Container, ContainerEntry } from "./container.ts";
import { zipError } from "./zip-error.ts";

/**
 * Name of the folder all records are in, without its slash (torch: the saved file's name, or `archive`).
 * @throws {FormatError} RANKCAST_ZIP_NAME when a record is in no folder or in another one. torch refuses both as well.
 */
export function folderOf(container: Container): string {
  const { source } = container;
  const [first] = container.entries.keys();
  if (first === undefined) throw zipError("RANKCAST_ZIP_RECORD_MISSING", { source }, "the archive is empty");
  const folder = first.slice(0, first.indexOf("/") + 1);
  container.entries.forEach(({ offset }, name) => {
    if (folder !== "" && name.startsWith(folder)) return;
    const text = name.includes("/") ? `in the archive's folder ${quote(folder.slice(0, -1))}` : "in a folder";
    throw zipError("RANKCAST_ZIP_NAME", { source, record: name, offset }, `the record is not ${text}`);
  });
  return folder.slice(0, -1);
}

/**
 * The record called `name`, in exactly this spelling.
 * @throws {FormatError} RANKCAST_ZIP_RECORD_MISSING; says so when only another case of the name is there (torch would take that one).
 */
export function requireRecord(container: Container, name: string): ContainerEntry {
  const entry = container.entries.get(name);
  if (entry) return entry;
  const wanted = name.toLowerCase();
  const twin = [...container.entries.keys()].find((each) => each.toLowerCase() === wanted);
  const hint = twin === undefined ? "" : `; ${quote(twin)} differs in case`;
  throw zipError("RANKCAST_ZIP_RECORD_MISSING", { source: container.source, record: name }, `not in the archive${hint}`);
}
