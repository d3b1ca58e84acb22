/** Addresses that a server-side fetch must be able to refuse: loopback, link-local (cloud metadata), private and special ranges. */
import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";

// RFC 6890 and the IANA special-purpose registries; 169.254.169.254 is the metadata service of most clouds.
const V4 = ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16"];
const V4_MORE = ["192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"];
const V6 = ["::/128", "::1/128", "64:ff9b::/96", "100::/64", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8"];
const BLOCKED = new BlockList();
for (const range of [...V4, ...V4_MORE, ...V6]) {
  const [address = "", bits] = range.split("/");
  BLOCKED.addSubnet(address, Number(bits), address.includes(":") ? "ipv6" : "ipv4");
}

/** Whether an address is loopback, private, link-local, multicast, reserved, or an IPv6 form that carries such an IPv4 address. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  const family = isIP(bare);
  // BlockList compares IPv4-mapped addresses (::ffff:127.0.0.1) with the IPv4 ranges by itself.
  return family !== 0 && BLOCKED.check(bare, family === 6 ? "ipv6" : "ipv4");
}

/**
 * Refuses a host that is written as a private address: no name is looked up for it, so the lookup hook would not see it.
 * @throws {SourceError} RANKCAST_ADDRESS_BLOCKED.
 */
export function refusePrivateHost(hostname: string): void {
  if (isPrivateAddress(hostname)) throw blocked(hostname, hostname);
}

/**
 * A `lookup` for sockets that refuses names whose address is private. It runs where the connection is made, so a name that resolves to
 * something else the second time (DNS rebinding) is caught as well.
 */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  dnsLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    if (error) return callback(error, "", 0);
    const refused = addresses.find((each) => isPrivateAddress(each.address));
    if (refused) return callback(blocked(hostname, refused.address), "", 0);
    const first = addresses[0];
    if (options.all || first === undefined) return callback(null, addresses);
    return callback(null, first.address, first.family);
  });
};

function blocked(hostname: string, address: string): SourceError {
  return new SourceError(
    "RANKCAST_ADDRESS_BLOCKED",
    `${printable(hostname)}: its address ${address} is private, and private addresses are blocked`,
    {
      details: { host: hostname, address },
    },
  );
}
