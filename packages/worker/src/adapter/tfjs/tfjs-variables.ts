/** Variables of TensorFlow.js without layers around them as a module. */
import { ForeignParameter, type StateDict } from "@rankcast/core";
import { KeyedModule } from "@rankcast/core/runtime";
import { ForeignVariable, showStateDict } from "./foreign-variable.ts";
import type { TfjsLayout } from "./layout.ts";
import type { TfjsVariable } from "./tfjs-library.ts";

/** How the variables lie. */
export interface TfjsVariablesOptions {
  /** Layouts by name in the state dict; `same` for those not named: the variable has torch's shape and order. */
  readonly layouts?: ReadonlyMap<string, TfjsLayout>;
}

/** Variables under their names in the state dict. Loads assign them; `stateDict()` shows them as they are now. */
export class TfjsVariables extends KeyedModule {
  /** The variables themselves. */
  readonly variables: ReadonlyMap<string, TfjsVariable>;

  /** @throws {UsageError} RANKCAST_ADAPTER_LAYER when a layout or type does not fit its variable. */
  constructor(variables: ReadonlyMap<string, TfjsVariable>, options: TfjsVariablesOptions = {}) {
    super("TfjsVariables");
    this.variables = variables;
    for (const [key, variable] of variables) {
      const [owner, name] = this.ownerOf(key);
      const place = {
        name: key,
        dtype: variable.dtype,
        shape: variable.shape,
        read: () => variable,
        write: (tensor: TfjsVariable | Parameters<TfjsVariable["assign"]>[0]) => variable.assign(tensor),
      };
      const foreign = new ForeignVariable(place, options.layouts?.get(key) ?? "same");
      owner.registerParameter(name, new ForeignParameter(foreign, { requiresGrad: variable.trainable && variable.dtype === "float32" }));
    }
  }

  override stateDict(): StateDict {
    return showStateDict(super.stateDict());
  }
}
