/** A Python that has a module, for the suites that compare with programs of others. */
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { delimiter } from "node:path";

/** `PYTHON` names one or, like a path, several; without it those on the path and the system's are asked. */
const PYTHONS = process.env["PYTHON"] ? process.env["PYTHON"].split(delimiter) : ["python3", "/usr/bin/python3", "python"];

/** The first program that has the module; ends this one with `status` and says what to install when there is none. */
export function findPython(module, howToInstall, status = 1) {
  return findPythons(module, howToInstall, status)[0];
}

/** All of them, one of each installation. */
export function findPythons(module, howToInstall, status = 1) {
  const installations = new Map();
  for (const python of PYTHONS) {
    const where = `import sys, ${module}; print(sys.prefix, ${module}.__file__)`;
    // In a folder of its own: Python puts the current one on its path, and `types.py` there would break it.
    const found = spawnSync(python, ["-c", where], { cwd: tmpdir(), encoding: "utf8" });
    if (found.status === 0 && !installations.has(found.stdout)) installations.set(found.stdout, python);
  }
  if (installations.size > 0) return [...installations.values()];
  process.stderr.write(
    `No Python with ${module} here (looked at ${PYTHONS.join(", ")}). Install one, for example: ${howToInstall}; PYTHON=path names it\n`,
  );
  return process.exit(status);
}
