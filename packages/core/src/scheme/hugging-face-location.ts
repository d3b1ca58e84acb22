/** What an `hf://` string names. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";

/** A file, a folder, or the whole of one revision of a repository. */
export interface HubLocation {
  readonly kind: "models" | "datasets" | "spaces";
  /** `org/name`, or `name` for the oldest models. */
  readonly repo: string;
  readonly revision: string;
  /** Without leading and trailing slashes; empty for the root. */
  readonly path: string;
}

const SEGMENT = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?$/;

/**
 * Parses `hf://[models/|datasets/|spaces/]org/name[@revision][/path]`. A revision that holds slashes is written with `%2F`, except `refs/pr/1` and
 * `refs/convert/x`, as in huggingface_hub. A model without an organisation needs its revision: `hf://gpt2@main/model.safetensors`.
 * @throws {UsageError} RANKCAST_USAGE.
 */
export function parseHubUri(uri: string): HubLocation {
  const refuse = (why: string): never => {
    throw new UsageError("RANKCAST_USAGE", `${quote(uri)}: ${why}; expected hf://org/name[@revision][/file]`, {
      details: { weights: uri },
    });
  };
  const segments = uri
    .replace(/^hf:\/\//, "")
    .replace(/\/+$/, "")
    .split("/");
  const kind = KINDS.get(segments[0] ?? "");
  if (kind !== undefined) segments.shift();
  const repoLength = segments[0]?.includes("@") ? 1 : 2;
  const [name, revision] = splitOnce(segments[repoLength - 1] ?? "", "@");
  const repo = [...segments.slice(0, repoLength - 1), name].join("/");
  if (!repo.split("/").every((each) => SEGMENT.test(each) && !each.includes("--") && !each.includes("..")))
    return refuse("no repository name");
  let rest = segments.slice(repoLength);
  let fullRevision = revision === undefined ? "main" : decodeURIComponent(revision);
  if (fullRevision === "refs" && (rest[0] === "pr" || rest[0] === "convert") && rest.length >= 2) {
    fullRevision = `refs/${rest[0]}/${rest[1]}`;
    rest = rest.slice(2);
  }
  if (fullRevision === "" || fullRevision.split("/").some((each) => each === ".." || each === "." || each === ""))
    return refuse("no revision");
  if (rest.some((each) => each === "" || each === "." || each === ".." || /[\\\0]/.test(each)))
    return refuse("the path leaves the repository");
  return { kind: kind ?? "models", repo, revision: fullRevision, path: rest.join("/") };
}

const KINDS: ReadonlyMap<string, HubLocation["kind"]> = new Map([
  ["models", "models"],
  ["datasets", "datasets"],
  ["spaces", "spaces"],
]);

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
