/** A replica whose modules keep extra state; `names` in the options says which. */
import { type StatefulModel as Model, plainStates, StatefulModel } from "../../support/stateful-model.js";

export function createReplica({ options }: { readonly options: { readonly names: readonly string[] } }): Model {
  return new StatefulModel(options.names);
}

/** What the modules were given. */
export function states(replica: Model): unknown {
  return plainStates(replica.states);
}
