/** The launcher's flags as options of a verb. */
import { RUN_FLAGS, type RunFlag, type RunFlagValues } from "@rankcast/coordinator/launcher";
import { type Command, Option } from "commander";

/** Adds torchrun's flags, with their other spellings (hidden in the help). */
export function addLaunchOptions(command: Command): void {
  for (const each of RUN_FLAGS) {
    const [first, ...others] = optionsOf(each);
    if (first) command.addOption(first);
    for (const option of others) command.addOption(option.hideHelp());
  }
}

/** What was given on the command line, by option of the launcher; what was not given is left out, so that PET_* variables count. */
export function launchValuesOf(given: Readonly<Record<string, unknown>>, command: Command): RunFlagValues {
  const values: Record<string, string | number | boolean> = {};
  for (const each of RUN_FLAGS) {
    for (const option of optionsOf(each)) {
      const name = option.attributeName();
      // A `--no-…` switch has a value even when nobody wrote it.
      if (command.getOptionValueSource(name) !== "cli") continue;
      const value = given[name];
      values[each.option] = option.negate ? value === false : (value as string | boolean);
    }
  }
  return values;
}

function optionsOf({ flag, aliases, short, value, variable, fallback, help }: RunFlag): Option[] {
  const argument = value === undefined ? "" : ` <${value}>`;
  const text = `${help}${fallback === "" || value === undefined ? "" : ` (default ${fallback})`} [${variable}]`;
  return [`${short === undefined ? "" : `${short}, `}${flag}`, ...aliases].map((spelling) => new Option(`${spelling}${argument}`, text));
}
