/** Tables of weights that extend or replace the built-in ones, for sites that mirror weights or have their own. */
import { UsageError } from "../errors/checkpoint-error.ts";

/** See the module comment. Plain data: it crosses processes. */
export interface WeightTables {
  /** More `torchvision://` names, `<enum>.<member>` to URL. They win over the built-in ones. */
  readonly torchvision?: Readonly<Record<string, string>>;
  /** More `open-mmlab://` names to URLs, or to paths relative to `MMENGINE_HOME`. They win over that folder's index and the built-in one. */
  readonly openMmlab?: Readonly<Record<string, string>>;
  /** More `mmcls://` names to URLs. They win over the built-in ones. */
  readonly mmcls?: Readonly<Record<string, string>>;
  /** Beginnings of URLs and what to put in their place, first match wins: `["https://download.pytorch.org/", "https://mirror.example/torch/"]`. */
  readonly mirrors?: readonly (readonly [string, string])[];
}

const NAME_TABLES = new Set(["torchvision", "openMmlab", "mmcls"]);

/**
 * What a table file or an option says, checked.
 * @throws {UsageError} RANKCAST_USAGE naming the part that is no such table.
 */
export function checkWeightTables(tables: unknown): WeightTables {
  if (typeof tables !== "object" || tables === null || Array.isArray(tables))
    refuse("tables", "an object with torchvision, openMmlab, mmcls or mirrors");
  for (const [part, value] of Object.entries(tables)) {
    if (part === "mirrors") checkMirrors(value);
    else if (!NAME_TABLES.has(part)) refuse(`tables.${part}`, "one of torchvision, openMmlab, mmcls and mirrors");
    else if (!isRecordOfText(value)) refuse(`tables.${part}`, "an object of names and URLs");
  }
  return tables;
}

function checkMirrors(value: unknown): void {
  const isPair = (each: unknown) =>
    Array.isArray(each) && each.length === 2 && each.every((text) => typeof text === "string" && text !== "");
  if (!Array.isArray(value) || !value.every(isPair)) refuse("tables.mirrors", "an array of pairs of beginnings of URLs");
}

function isRecordOfText(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every((each) => typeof each === "string")
  );
}

function refuse(option: string, expected: string): never {
  throw new UsageError("RANKCAST_USAGE", `${option} must be ${expected}`, { details: { option, expected } });
}
