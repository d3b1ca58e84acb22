/** Writes docs/errors.md from the compiled error table. Run after `npm run build` when a code was added or reworded. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const { ERROR_CODES } = await import(new URL("../packages/core/dist/index.js", import.meta.url).href);
const rows = [...ERROR_CODES]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([code, row]) => `| \`${code}\` | ${row.class} | ${row.meaning} | ${row.remedy} |`);
const page = `# Errors

Every failure rankcast reports has a stable code, a class, a message that says where and what (expected and found), and a remedy.
Programs should switch on \`error.class\`; codes are finer and are for people, searches and tests. This page is generated from the error table
in \`packages/core/src/errors\`.

| code | class | meaning | what to do |
|---|---|---|---|
${rows.join("\n")}
`;
writeFileSync(join(ROOT, "docs", "errors.md"), page);
