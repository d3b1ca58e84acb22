/** Credentials and region for S3, from the places AWS's own tools look at first: the environment, then the profile files. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../environment/environment.ts";
import { resolveLocalPath } from "../source/local-path.ts";
import type { SigningKeys } from "./aws-signature.ts";

/** What was found. Without keys requests are not signed, which public buckets accept. */
export interface AwsAccount {
  readonly keys: SigningKeys | null;
  readonly region: string;
  readonly endpoint: string | undefined;
}

/** Reads `AWS_*`, `~/.aws/credentials` and `~/.aws/config` (or the files the environment names). Absent and unreadable files hold nothing. */
export async function awsAccount(environment: Environment): Promise<AwsAccount> {
  const { aws, home } = environment;
  const path = (given: string | undefined, name: string): string => resolveLocalPath(given ?? join(home, ".aws", name), home);
  const [credentials, config] = await Promise.all([
    readIni(path(aws.credentialsFile, "credentials")),
    readIni(path(aws.configFile, "config")),
  ]);
  const profile = new Map([
    ...(config.get(aws.profile === "default" ? "default" : `profile ${aws.profile}`) ?? []),
    ...(credentials.get(aws.profile) ?? []),
  ]);
  return {
    keys:
      keysOf(aws.accessKeyId, aws.secretAccessKey, aws.sessionToken) ??
      keysOf(profile.get("aws_access_key_id"), profile.get("aws_secret_access_key"), profile.get("aws_session_token")),
    region: aws.region ?? profile.get("region") ?? "us-east-1",
    endpoint: aws.endpoint ?? profile.get("endpoint_url"),
  };
}

function keysOf(
  accessKeyId: string | undefined,
  secretAccessKey: string | undefined,
  sessionToken: string | undefined,
): SigningKeys | null {
  if (!accessKeyId || !secretAccessKey) return null;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** Sections of `name = value` lines; comments start with `#` or `;`. Nested settings (indented lines) are not needed here. */
async function readIni(path: string): Promise<Map<string, Map<string, string>>> {
  const text = await readFile(path, "utf8").catch(() => "");
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1];
    const [, name, value] = /^([A-Za-z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (header !== undefined) {
      section = sections.get(header) ?? new Map();
      sections.set(header, section);
    } else if (name !== undefined && value !== undefined) section.set(name, value);
  }
  return sections;
}
