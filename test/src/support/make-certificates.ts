/** Certificates of a node, made by openssl: an authority of its own, and a certificate that it has signed. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Whether there is an openssl to make certificates with; says so when there is none. */
export function hasOpenssl(): boolean {
  if (!spawnSync("openssl", ["version"]).error) return true;
  console.log("      skipped: no openssl to make certificates with");
  return false;
}

/** Makes them; the files lie in `folder` as `NAME-pem`, `NAME-key` and `NAME-ca.pem`. */
export function makeCertificates(folder: string, name: string) {
  const file = (ending: string) => join(folder, `${name}-${ending}`);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "ignore" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...newKey, "-keyout", file("ca.key"), "-out", file("ca.pem"), "-subj", `/CN=${name} authority`, "-days", "2");
  openssl("req", ...newKey, "-keyout", file("key"), "-out", file("csr"), "-subj", `/CN=${name} node`);
  const authority = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"];
  openssl("x509", "-req", "-in", file("csr"), ...authority, "-out", file("pem"), "-days", "2");
  return { certificate: readFileSync(file("pem")), key: readFileSync(file("key")), authority: readFileSync(file("ca.pem")) };
}
