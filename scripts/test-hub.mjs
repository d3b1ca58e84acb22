/** `[PYTHON=path] npm run test:hub`: one cache, used by Hugging Face's Python library and by us. */
import { findPython } from "./find-python.mjs";
import { runOptionalSuite } from "./optional-suite.mjs";

process.env["PYTHON"] = findPython("huggingface_hub", "pip install huggingface_hub", 2);
await runOptionalSuite({ name: "test:hub", programs: [], packages: [], files: ["dist/hub/*.hub.js"], timeoutMs: 120_000 });
