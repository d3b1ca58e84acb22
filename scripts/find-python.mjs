/** A Python that has a module, for the suites that compare with programs of others. */
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";

/** `PYTHON` names one; without it the first that has the module is taken. */
const PYTHONS = process.env["PYTHON"] ? [process.env["PYTHON"]] : ["python3", "/usr/bin/python3", "python"];

/** The program; ends this one with `status` and says what to install when there is none. */
export function findPython(module, howToInstall, status = 1) {
  // In a folder of its own: Python puts the current one on its path, and `types.py` there would break it.
  const has = (python) => spawnSync(python, ["-c", `import ${module}`], { cwd: tmpdir(), stdio: "ignore" }).status === 0;
  const python = PYTHONS.find(has);
  if (python !== undefined) return python;
  process.stderr.write(
    `No Python with ${module} here (looked at ${PYTHONS.join(", ")}). Install one, for example: ${howToInstall}; PYTHON=path names it\n`,
  );
  return process.exit(status);
}
