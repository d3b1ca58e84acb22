/** The only reader of `process.env` in core (law L7). A variable that is set but empty counts as unset. */
import { userInfo } from "node:os";

/** Hugging Face's variables, by the names and rules of `huggingface_hub/constants.py`. */
export interface HuggingFaceEnvironment {
  /** `HF_HOME`. */
  readonly home?: string;
  /** `HF_HUB_CACHE`, or the older `HUGGINGFACE_HUB_CACHE`. */
  readonly hubCache?: string;
  /** `HF_TOKEN`, or the older `HUGGING_FACE_HUB_TOKEN`. A secret. */
  readonly token?: string;
  /** `HF_TOKEN_PATH`. */
  readonly tokenPath?: string;
  /** `HF_ENDPOINT`, for mirrors. */
  readonly endpoint?: string;
  /** `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`. */
  readonly offline: boolean;
  /** `HF_HUB_DISABLE_IMPLICIT_TOKEN`: a stored token is not sent unless the caller passes one. */
  readonly noImplicitToken: boolean;
}

/** AWS's variables, by the names of its command line; used by `s3://`. */
export interface AwsEnvironment {
  readonly accessKeyId?: string;
  /** A secret. */
  readonly secretAccessKey?: string;
  /** A secret. */
  readonly sessionToken?: string;
  /** `AWS_REGION`, or `AWS_DEFAULT_REGION`. */
  readonly region?: string;
  /** `AWS_PROFILE`; `default` when unset. */
  readonly profile: string;
  readonly credentialsFile?: string;
  readonly configFile?: string;
  /** `AWS_ENDPOINT_URL_S3`, or `AWS_ENDPOINT_URL`. */
  readonly endpoint?: string;
}

/** Google Cloud Storage; used by `gs://`. */
export interface GoogleEnvironment {
  /** `CLOUDSDK_AUTH_ACCESS_TOKEN`: an OAuth token. A secret. */
  readonly accessToken?: string;
  /** `GS_ACCESS_KEY_ID`: an HMAC key for the XML API. */
  readonly hmacKeyId?: string;
  /** `GS_SECRET_ACCESS_KEY`. A secret. */
  readonly hmacSecret?: string;
  /** `STORAGE_EMULATOR_HOST`: another endpoint. */
  readonly endpoint?: string;
}

/** What core takes from the environment, frozen. */
export interface Environment {
  /** The home directory: `HOME`, else the user database's. */
  readonly home: string;
  /** `RANKCAST_HOME`: where our cache lives. */
  readonly rankcastHome?: string;
  /** `RANKCAST_OFFLINE`: never use the network. */
  readonly offline: boolean;
  /** `RANKCAST_NO_MMAP`: do as if files could not be mapped. */
  readonly noMmap: boolean;
  /** `XDG_RUNTIME_DIR`: a directory that only this user can enter. */
  readonly runtimeDirectory?: string;
  readonly torchHome?: string;
  readonly xdgCacheHome?: string;
  readonly mmengineHome?: string;
  /** Scheme (`http`, `https`, `all`, and `no` for the exceptions) to proxy. Values may hold credentials. */
  readonly proxies: ReadonlyMap<string, string>;
  readonly huggingFace: HuggingFaceEnvironment;
  readonly aws: AwsEnvironment;
  readonly google: GoogleEnvironment;
}

/** A set of variables, as in `process.env`. */
export type Variables = { readonly [name: string]: string | undefined };

/** Reads the environment once; tests pass their own variables. */
export function readEnvironment(variables: Variables = process.env): Environment {
  const text = (...names: string[]): string | undefined =>
    names.map((name) => variables[name]).find((value) => value !== undefined && value !== "");
  const flag = (...names: string[]): boolean => names.some((name) => /^(1|true|yes|on)$/i.test(variables[name] ?? ""));
  return Object.freeze({
    home: text("HOME") ?? userInfo().homedir,
    offline: flag("RANKCAST_OFFLINE"),
    noMmap: flag("RANKCAST_NO_MMAP"),
    ...present({
      rankcastHome: text("RANKCAST_HOME"),
      runtimeDirectory: text("XDG_RUNTIME_DIR"),
      torchHome: text("TORCH_HOME"),
      xdgCacheHome: text("XDG_CACHE_HOME"),
      mmengineHome: text("MMENGINE_HOME"),
    }),
    proxies: readProxies(variables),
    huggingFace: Object.freeze({
      offline: flag("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
      noImplicitToken: flag("HF_HUB_DISABLE_IMPLICIT_TOKEN"),
      ...present({
        home: text("HF_HOME"),
        hubCache: text("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"),
        token: text("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        tokenPath: text("HF_TOKEN_PATH"),
        endpoint: text("HF_ENDPOINT"),
      }),
    }),
    aws: Object.freeze({
      profile: text("AWS_PROFILE") ?? "default",
      ...present({
        accessKeyId: text("AWS_ACCESS_KEY_ID"),
        secretAccessKey: text("AWS_SECRET_ACCESS_KEY"),
        sessionToken: text("AWS_SESSION_TOKEN"),
        region: text("AWS_REGION", "AWS_DEFAULT_REGION"),
        credentialsFile: text("AWS_SHARED_CREDENTIALS_FILE"),
        configFile: text("AWS_CONFIG_FILE"),
        endpoint: text("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
      }),
    }),
    google: Object.freeze(
      present({
        accessToken: text("CLOUDSDK_AUTH_ACCESS_TOKEN"),
        hmacKeyId: text("GS_ACCESS_KEY_ID"),
        hmacSecret: text("GS_SECRET_ACCESS_KEY"),
        endpoint: text("STORAGE_EMULATOR_HOST"),
      }),
    ),
  });
}

/**
 * `<scheme>_proxy` in any case; the lower-case name wins and, when empty, disables. `HTTP_PROXY` is ignored where `REQUEST_METHOD` is set,
 * because a CGI server fills it from a request header (httpoxy). CPython: `urllib.request.getproxies_environment`.
 */
function readProxies(variables: Variables): ReadonlyMap<string, string> {
  const proxies = new Map<string, string>();
  const named = Object.entries(variables).filter(([name]) => /_proxy$/i.test(name));
  for (const [name, value] of named) if (value) proxies.set(name.toLowerCase().slice(0, -6), value);
  if (variables["REQUEST_METHOD"] !== undefined) proxies.delete("http");
  for (const [name, value] of named) {
    if (!name.endsWith("_proxy")) continue;
    const scheme = name.toLowerCase().slice(0, -6);
    if (value) proxies.set(scheme, value);
    else proxies.delete(scheme);
  }
  return proxies;
}

type Present<T> = { [name in keyof T]?: Exclude<T[name], undefined> };

/** Only the fields that have a value: an absent variable is an absent field. */
function present<T extends Record<string, string | undefined>>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>;
}
