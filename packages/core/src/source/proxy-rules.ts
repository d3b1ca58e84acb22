/** Which proxy a URL goes through: the rules of CPython's `urllib.request`, so that a job behaves as the Python jobs beside it. */

/**
 * The proxy's URL, or undefined for a direct connection. `proxies` maps `http`, `https`, `all` (any scheme without an own one) and `no`.
 *
 * `no` is a comma list; `*` means everything, another entry matches the host (with or without port) itself and its subdomains, with
 * or without a leading dot, in any case (`urllib.request.proxy_bypass_environment`). Address ranges are not understood there, nor here.
 */
export function proxyFor(url: URL, proxies: ReadonlyMap<string, string>): string | undefined {
  const proxy = proxies.get(url.protocol.slice(0, -1)) ?? proxies.get("all");
  if (proxy === undefined || bypasses(url, proxies.get("no") ?? "")) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function bypasses(url: URL, exceptions: string): boolean {
  if (exceptions.trim() === "*") return true;
  const host = url.hostname.toLowerCase();
  const hosts = [host, url.host.toLowerCase()];
  return exceptions
    .split(",")
    .map((each) => each.trim().replace(/^\.+/, "").toLowerCase())
    .some((each) => each !== "" && hosts.some((candidate) => candidate === each || candidate.endsWith(`.${each}`)));
}
